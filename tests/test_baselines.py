"""The rules beside the agent, and random agents."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.embedded import embedded_market_data
from rl_trader.baselines import BASELINES, Crossover, Hold, Momentum, mean_jump, random_targets
from rl_trader.market import MarketData, Segment


def _market(closes: list[float], segments: tuple[Segment, ...] | None = None) -> MarketData:
    market = embedded_market_data(len(closes), 0)
    bars = market.bars.copy()
    bars["close"] = closes
    return replace(market, bars=bars, segments=segments or (Segment(0, 0, len(closes)),))


def _random(num_bars: int, turnover: float, levels: tuple[float, ...], seed: int = 3) -> NDArray[np.float64]:
    return np.stack(list(random_targets(num_bars, turnover, seed, 50, levels)))


def test_holding_rules_hold() -> None:
    market = _market([5.0, 6.0, 7.0])
    assert Hold(-1.0).targets(market).tolist() == [-1.0, -1.0, -1.0]


def test_a_crossover_is_long_while_the_fast_average_is_above_the_slow_one() -> None:
    # Averages over 1 and 3 closes: 4 > 7/3, 1 < 8/3, 3 > 8/3, 2 = 2; the first two bars are warm-up.
    rule = Crossover(1, 3)
    assert rule.targets(_market([1.0, 2.0, 4.0, 1.0, 3.0, 2.0])).tolist() == [0.0, 0.0, 1.0, -1.0, 1.0, 0.0]


def test_momentum_is_the_sign_of_the_price_change() -> None:
    assert Momentum(2).targets(_market([5.0, 6.0, 7.0, 6.0, 3.0])).tolist() == [0.0, 0.0, 1.0, 0.0, -1.0]


@pytest.mark.parametrize("rule", [Crossover(1, 2), Momentum(1), Crossover(2, 9), Momentum(9)])
def test_a_rule_is_flat_again_at_the_begin_of_a_segment_and_in_short_ones(rule: Crossover | Momentum) -> None:
    market = _market([1.0, 2.0, 3.0, 9.0, 8.0, 7.0], (Segment(0, 0, 3), Segment(0, 3, 6)))
    is_short_enough = rule in (Crossover(1, 2), Momentum(1))
    assert rule.targets(market).tolist() == ([0, 1, 1, 0, -1, -1] if is_short_enough else [0] * 6)


@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_reads_a_later_bar(name: str) -> None:
    market = embedded_market_data(400, 7)
    known = 300
    changed = market.bars.copy()
    for field in ("open", "high", "low", "close"):
        changed[field][known:] *= 3.7
    before = BASELINES[name].targets(market)
    after = BASELINES[name].targets(replace(market, bars=changed))
    assert np.array_equal(before[:known], after[:known])


@pytest.mark.parametrize(
    ("levels", "jump"),
    [
        ((-1.0, 0.0, 1.0), 4.0 / 3.0),  # from -1: 1 or 2; from 0: 1 or 1; from 1: 1 or 2; mean 8/6
        ((0.0, 1.0), 1.0),
        ((), 2.0 / 3.0),
    ],
)
def test_the_targets_of_random_agents_change_by_the_wanted_turnover(levels: tuple[float, ...], jump: float) -> None:
    assert mean_jump(levels) == pytest.approx(jump)
    targets = _random(20_000, 0.05, levels)
    changes = np.abs(np.diff(targets, axis=0))
    # A change is at most 2 in about 5 % of 1e6 bars: the standard error of the mean is below 2 sqrt(0.05 / 1e6).
    assert changes.mean() == pytest.approx(0.05, abs=4.0 * 2.0 * np.sqrt(0.05 / 1e6))


def test_random_agents_repeat_with_their_seed_begin_flat_and_hold_all_levels_alike() -> None:
    targets = _random(20_000, 0.5, (-1.0, 0.0, 1.0))
    assert np.array_equal(targets, _random(20_000, 0.5, (-1.0, 0.0, 1.0)))
    assert not np.array_equal(targets, _random(20_000, 0.5, (-1.0, 0.0, 1.0), seed=4))
    shares = [(targets == level).mean() for level in (-1.0, 0.0, 1.0)]
    # About 4e5 of the 1e6 bars are moves, each an independent enough draw: standard error below 1 / sqrt(4e5).
    assert shares == pytest.approx([1 / 3] * 3, abs=4.0 / np.sqrt(4e5))
    first = next(islice(random_targets(9, 0.0, 0, 4, (-1.0, 0.0, 1.0)), 8, None))
    assert first.tolist() == [0.0] * 4


def test_without_a_flat_level_random_agents_hold_one_of_their_levels() -> None:
    assert set(np.unique(_random(50, 0.1, (-0.5, 0.75)))) == {-0.5, 0.75}
