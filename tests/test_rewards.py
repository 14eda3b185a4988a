"""Rewards, each against values worked by hand."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.embedded import embedded_market_data
from envs.rewards import REWARDS, bar_volatility, reward_kernel
from envs.trading_env import TradingEnv
from rl_trader.config import EMBEDDED_ENV, EpisodeConfig
from rl_trader.embedded import embedded_terms
from rl_trader.errors import ConfigError
from rl_trader.market import MarketData, Period, Segment
from rl_trader.state import OUTCOME_DTYPE

INITIAL = 5_000.0  # USDT


def rewards_of(name: str, balances: list[float], exposures: list[float] | None = None, ends: str = "") -> list[float]:
    """Return the rewards of one account whose balance goes through ``balances``.

    Args:
        name: Of the reward.
        balances: At the start and after every step, USDT.
        exposures: After every step.
        ends: A letter a step: t terminated, c truncated, else neither.
    """
    write = reward_kernel(name)
    states = np.zeros((1, 3))
    found = []
    for i, (before, after) in enumerate(itertools.pairwise(balances)):
        outcomes = np.zeros(1, OUTCOME_DTYPE)
        outcomes["margin_balance_before"], outcomes["margin_balance"] = before, after
        outcomes["exposure"] = exposures[i] if exposures else 0.0
        outcomes["terminated"] = ends[i : i + 1] == "t"
        outcomes["truncated"] = ends[i : i + 1] == "c"
        rewards: NDArray[np.float64] = np.zeros(1)
        write(outcomes, INITIAL, 1.0, states, rewards)
        found.append(float(rewards[0]))
    return found


def test_the_log_return_is_the_change_of_the_log_balance() -> None:
    # ln 1.1 = 0.0953101798..., ln 0.9 = -0.1053605156...
    assert rewards_of("log_return", [4_000.0, 4_400.0, 3_960.0]) == pytest.approx([0.0953101798043, -0.1053605156578])


def test_the_simple_return_is_the_change_over_the_balance() -> None:
    assert rewards_of("simple_return", [4_000.0, 4_400.0, 3_960.0]) == pytest.approx([0.1, -0.1])


def test_the_differential_sharpe_ratio_is_moodys() -> None:
    # Returns 0.1 and -0.05, rate 0.01. The first finds no variance: 0. Then A = 0.01 * 0.1 = 0.001 and
    # B = 0.01 * 0.01 = 0.0001; dA = -0.051, dB = 0.0025 - 0.0001 = 0.0024, variance 0.0001 - 0.000001 = 0.000099.
    # (0.0001 * -0.051 - 0.5 * 0.001 * 0.0024) / 0.000099 ** 1.5 = -6.3e-6 / 9.850381e-7 = -6.395691, times 0.01.
    assert rewards_of("differential_sharpe", [1_000.0, 1_100.0, 1_045.0]) == pytest.approx([0.0, -0.06395691], rel=1e-6)


def test_the_drawdown_is_taken_from_the_highest_balance_of_the_episode() -> None:
    # ln 1.1; then the balance is 10 % under the peak of 1100: ln 0.9 - 0.1 * 0.1; then ln 1 - 0.01; then at a new peak.
    found = rewards_of("drawdown_penalised", [1_000.0, 1_100.0, 990.0, 990.0, 1_210.0])
    assert found == pytest.approx([0.0953101798, -0.1053605157 - 0.01, -0.01, np.log(1_210 / 990)])


def test_the_first_balance_of_an_episode_counts_as_a_peak() -> None:
    # 20 % under 1000: ln 0.8 = -0.2231435513, less 0.1 * 0.2.
    assert rewards_of("drawdown_penalised", [1_000.0, 800.0]) == pytest.approx([-0.2431435513])


@pytest.mark.parametrize("left", [0.0, -3.0, 0.5, 0.2])
def test_a_ruined_account_counts_as_a_ten_thousandth_of_the_initial_balance(left: float) -> None:
    # 5000 / 10 000 = 0.5 USDT: ln(0.5 / 2000) = -8.29404964, and 0.5 / 2000 - 1 = -0.99975.
    assert rewards_of("log_return", [2_000.0, left]) == pytest.approx([-8.2940496401])
    assert rewards_of("simple_return", [2_000.0, left]) == pytest.approx([-0.99975])
    assert all(np.isfinite(rewards_of(name, [2_000.0, left])).all() for name in REWARDS)


@pytest.mark.parametrize("end", ["t", "c"])
@pytest.mark.parametrize("name", ["drawdown_penalised", "differential_sharpe", "tests.own_rewards:change_of_exposure"])
def test_an_episode_forgets_the_one_before(name: str, end: str) -> None:
    balances, exposures = [1_000.0, 1_100.0, 900.0, 950.0], [0.5, -1.0, 0.25]
    first = rewards_of(name, balances, exposures)
    both = rewards_of(name, [*balances, *balances[1:]], exposures * 2, f"--{end}")
    # The balance of 950 that the second begins with is not the first's 1000: compare from a step on that hides it.
    again = rewards_of(name, [950.0, *balances[1:]], exposures)
    assert both == [*first, *again]


def test_a_users_reward_sees_state_and_exposures() -> None:
    # Changes of 0.5, -1.5 and 1.25, times 10, and 0, 1 and 2 for the steps before.
    name = "tests.own_rewards:change_of_exposure"
    assert rewards_of(name, [1_000.0] * 4, [0.5, -1.0, 0.25]) == [5.0, -14.0, 14.5]
    assert rewards_of("tests.own_rewards:compiled", [1_000.0, 1_234.5]) == [1_234.5]


def test_the_environment_pays_the_reward_over_its_scale() -> None:
    config = replace(EMBEDDED_ENV, reward_scale=0.5, episode=EpisodeConfig(episode_bars=9))
    env = TradingEnv(embedded_market_data(600, 3), config)
    env.reset(seed=2)
    for action in (0, 2, 2, 1, 0):
        _, reward, *_, info = env.step(action)
        expected = 2.0 * np.log(info["margin_balance"] / info["margin_balance_before"])
        assert reward == pytest.approx(expected, abs=1e-12)


def test_log_rewards_sum_to_the_log_growth_of_an_episode() -> None:
    config = replace(EMBEDDED_ENV, reward_scale=1.0, episode=EpisodeConfig(episode_bars=50, random_position=False))
    env = TradingEnv(embedded_market_data(600, 3), config)
    env.reset(seed=2)
    env.action_space.seed(4)
    total, has_ended = 0.0, False
    info: dict[str, float] = {}
    while not has_ended:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        total += reward
        has_ended = terminated or truncated
    assert total == pytest.approx(np.log(info["margin_balance"] / 10_000.0), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("riches", "unknown reward 'riches'; choose from log_return"),
        ("tests.own_rewards:missing", "cannot be imported"),
        ("no_such_package:reward", "cannot be imported"),
        (":x", "must be an import path"),
        ("tests.own_rewards:NUMBER", "must be a function, found int"),
        ("tests.own_rewards:without_state", "must compile as"),
    ],
)
def test_a_reward_that_cannot_be_used_is_refused_before_the_first_step(name: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        TradingEnv(embedded_market_data(600, 3), replace(EMBEDDED_ENV, reward=name))
    assert "\n" not in str(caught.value)


def flat_market(closes: list[list[float]]) -> MarketData:
    """Return a market with one segment a list of closes, of one symbol."""
    whole = embedded_market_data(600, 3)
    bars = whole.bars[: sum(map(len, closes))].copy()
    bars["close"] = np.concatenate(closes)
    stops = np.cumsum([len(part) for part in closes])
    segments = tuple(Segment(0, int(stop) - len(part), int(stop)) for stop, part in zip(stops, closes, strict=True))
    return replace(whole, bars=bars, segments=segments, terms=(embedded_terms(),))


def test_the_bar_volatility_pools_segments_without_the_jump_between_them() -> None:
    # Log returns: ln 1.1 and -ln 1.1 in the first, ln 1.1 in the second. Mean ln 1.1 / 3, so the deviation is
    # ln 1.1 * sqrt(1 - 1 / 9) = 0.0953101798 * 0.9428090416 = 0.0898593.
    market = flat_market([[100.0, 110.0, 100.0], [500.0, 550.0]])
    assert bar_volatility(market, Period()) == pytest.approx(0.0953101798 * 0.9428090416)


def test_prices_that_do_not_move_give_no_scale() -> None:
    with pytest.raises(ConfigError, match="do not move in the period; give a reward_scale"):
        bar_volatility(flat_market([[100.0, 100.0, 100.0]]), Period())
