"""Alarms fire on policies, losses and features that nobody wants, and on nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from agents.training.alarms import loss_alarm, policy_alarms, weight_alarm
from envs.embedded import embedded_market_data
from rl_trader.backtest import BacktestResult
from rl_trader.errors import DataError
from rl_trader.market import MarketData
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import observe_market
from tests.hand_made_results import hand_made_result

BAND = 0.1


def decided(targets: list[float]) -> BacktestResult:
    return replace(hand_made_result([1_000.0] * len(targets)), targets=np.array(targets))


def names(*results: BacktestResult) -> list[str]:
    return [alarm.name for alarm in policy_alarms(results, BAND)]


def market_with_mood(mood: NDArray[np.float64]) -> MarketData:
    return replace(embedded_market_data(len(mood)), signals={"mood": mood})


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (0.0, ["flat"]),
        (0.09, ["flat"]),  # within the band of 0.1 of flat: no order is ever sent
        (0.5, ["always long"]),
        (-0.5, ["always short"]),
        (-1.0, ["always short"]),
        (1.0, ["always long", "buy and hold"]),
        (0.95, ["always long", "buy and hold"]),  # within the band of 1
        (0.85, ["always long"]),  # more than a band from 1: an order lies between them
    ],
)
def test_a_policy_that_always_does_the_same_raises_the_alarm_of_its_name(target: float, expected: list[str]) -> None:
    assert names(decided([target] * 100)) == expected


def test_98_of_100_bars_are_enough_for_an_alarm_and_97_are_not() -> None:
    assert names(decided([0.0] * 98 + [1.0, -1.0])) == ["flat"]
    assert names(decided([0.0] * 97 + [1.0, -1.0, 1.0])) == []


def test_a_policy_that_is_long_and_short_by_turns_raises_no_alarm() -> None:
    assert names(decided([1.0, -1.0] * 50)) == []


def test_a_policy_that_is_long_in_one_symbol_and_short_in_another_raises_no_alarm() -> None:
    assert names(decided([1.0] * 50), decided([-1.0] * 50)) == []


def test_bars_after_a_liquidation_do_not_make_a_policy_flat() -> None:
    result = decided([1.0, -1.0] + [0.0] * 198)
    result.outcomes["terminated"][1] = True
    assert names(result) == []  # 198 of 200 bars are flat, but nothing could be done in them


def test_the_alarm_says_in_how_many_bars() -> None:
    alarm = policy_alarms([decided([-1.0] * 99 + [1.0])], BAND)[0]
    assert str(alarm).startswith("always short: the policy is always short in 99.0% of the bars")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_a_loss_that_is_not_finite_raises_an_alarm_with_its_tag(value: float) -> None:
    alarm = loss_alarm({"train/n_updates": 3, "train/value_loss": value}, 12_288)
    assert alarm is not None
    assert alarm.sentence == f"train/value_loss is {value} after 12,288 bars"


def test_finite_losses_and_an_undefined_explained_variance_raise_no_alarm() -> None:
    # Stable-Baselines3 logs NaN as the explained variance of returns that are all equal.
    assert (
        loss_alarm({"train/loss": 1e9, "train/explained_variance": float("nan"), "rollout/ep_rew_mean": 1.0}, 1) is None
    )


def test_a_weight_that_is_not_finite_raises_an_alarm_with_its_name() -> None:
    policy = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    assert weight_alarm(policy, 5) is None
    with torch.no_grad():
        policy.get_parameter("1.bias")[0] = float("inf")
    alarm = weight_alarm(policy, 5)
    assert alarm is not None
    assert alarm.sentence.startswith("1.bias ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_feature_that_is_not_finite_is_refused_with_its_name_and_bar(value: float) -> None:
    mood = np.sin(np.arange(2_000.0))
    mood[1_500] = value
    # The embedded market begins on 2020-01-01; 1,500 bars of 30 minutes are 31 days and 6 hours.
    with pytest.raises(
        DataError, match=r"feature 'signal:mood' must be finite, found .* at the bar of 2020-02-01T06:00"
    ):
        observe_market(market_with_mood(mood), ObservationSchema(features=("log_return_4", "signal:mood")))


def test_a_feature_may_be_missing_where_it_is_never_observed() -> None:
    mood = np.sin(np.arange(2_000.0))
    mood[:48] = np.nan  # log_return_48 has no value before row 48 either
    observed = observe_market(market_with_mood(mood), ObservationSchema(features=("log_return_48", "signal:mood")))
    assert np.isfinite(observed.rows[48:]).all()
