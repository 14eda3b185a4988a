"""Combinatorial purged cross-validation: many paths through the time before the test, none of them trained on.

The time is cut into groups. For every combination of them a forest, or an agent
(``agents.walking.combinatorial_agents``), is trained on the others, purged and embargoed, and the tests of all
combinations are chained into paths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.config import MarketConfig, TrainConfig
from agents.markets import load_market, parse_period
from agents.supervised import ForestConfig, grow_forest, round_trip, training_rows
from rl_trader.backtest import backtest_policy
from rl_trader.bars import MS_PER_DAY
from rl_trader.decision import ActionMap
from rl_trader.folds import CombinatorialFold, combinatorial_folds, paths
from rl_trader.forest import ForestPolicy
from rl_trader.klines import interval_ms
from rl_trader.market import MarketData, Period, Segment
from rl_trader.metrics import DAYS_PER_YEAR, portfolio
from rl_trader.observed_market import observe_market, schema_warmup
from rl_trader.statistics.sharpe import sharpe_ratio

EMBARGO_SHARE: Final = 0.01  # of the whole time, after a tested group
HURDLE: Final = 1.0  # in round trips' costs; there is no period left to choose it on


@dataclass(frozen=True, slots=True)
class Combinatorial:
    """What every path through the groups would have earned."""

    folds: list[CombinatorialFold]
    daily: NDArray[np.float64]  # (num_paths, num_days) daily returns of the paths

    @property
    def sharpe_ratios(self) -> list[float | None]:
        """Return the paths' Sharpe ratios of daily returns, annualised."""
        found = [sharpe_ratio(path) for path in self.daily]
        return [None if ratio is None else ratio.ratio * DAYS_PER_YEAR**0.5 for ratio in found]

    def to_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "num_folds": len(self.folds),
            "num_paths": len(self.daily),
            "total_returns": (np.prod(1.0 + self.daily, axis=1) - 1.0).tolist(),
            "sharpe_ratios": self.sharpe_ratios,
        }


def plan_combinations(
    config: TrainConfig, num_groups: int, num_tested: int, purge_bars: int
) -> list[CombinatorialFold]:
    """Return the combinations of groups of whole days, from the begin of the training to that of the test.

    Args:
        config: Its periods say from when to when.
        num_groups: Into which the time is cut.
        num_tested: Of each combination.
        purge_bars: On either side of a tested group that are not trained on, in whole days.

    Raises:
        ConfigError: If the groups do not fit into the time.
    """
    since, until = parse_period(config.market.train).since, parse_period(config.market.validation).until
    assert since is not None
    assert until is not None
    length = (until - since) // MS_PER_DAY // max(num_groups, 1) * num_groups * MS_PER_DAY
    return combinatorial_folds(
        Period(since, since + length),
        num_groups,
        num_tested,
        purge_ms=whole_days(purge_bars * interval_ms(config.market.interval)),
        embargo_ms=whole_days(int(EMBARGO_SHARE * length)),
    )


def whole_days(length_ms: int) -> int:
    """Return a time in ms, rounded up to whole days."""
    return -(-length_ms // MS_PER_DAY) * MS_PER_DAY


def before_test(market: MarketConfig) -> MarketConfig:
    """Return a market whose bars end with the validation period: nothing later is loaded."""
    return replace(market, test=market.validation)


def chained(
    folds: Sequence[CombinatorialFold], tests: Sequence[Sequence[NDArray[np.float64]]], num_groups: int
) -> Combinatorial:
    """Return the paths through the groups.

    Args:
        folds: All combinations.
        tests: Of every combination the daily returns of each of its tested groups.
        num_groups: Number of groups.
    """
    of_paths = [
        np.concatenate([tests[row][folds[row].groups.index(group)] for group, row in enumerate(path)])
        for path in paths(folds, num_groups)
    ]
    return Combinatorial(list(folds), np.stack(of_paths))


def cross_validate(
    config: TrainConfig, num_groups: int, num_tested: int, holding_bars: int, forest: ForestConfig | None = None
) -> Combinatorial:
    """Fit a forest for every combination of groups and chain its tests into paths.

    Args:
        config: Its periods say from when to when; nothing is chosen on any of them.
        num_groups: Into which the time is cut.
        num_tested: Of each combination.
        holding_bars: Added to the longest feature window and the forest's horizon: the purge.
        forest: How it is grown.

    Raises:
        RlTraderError: If configuration or data cannot be used.
    """
    chosen = forest or ForestConfig()
    purge_bars = schema_warmup(config.env.schema) + holding_bars + chosen.horizon_bars
    folds = plan_combinations(config, num_groups, num_tested, purge_bars)
    market = load_market(before_test(config.market), config.env.schema, config.data)
    return chained(folds, [_tested(fold, market, config, chosen) for fold in folds], num_groups)


def _tested(
    fold: CombinatorialFold, market: MarketData, config: TrainConfig, forest: ForestConfig
) -> list[NDArray[np.float64]]:
    """Return the daily returns of every tested group of a fold."""
    schema = config.env.schema
    trained = observe_market(only_in(market, fold.train), schema)  # the scaling is that of the training alone
    inputs, returns = training_rows(trained, Period(), forest.horizon_bars)
    arrays = grow_forest(inputs, returns, forest, config.seed)
    hurdle = HURDLE * round_trip(market, config)
    policy = ForestPolicy(arrays, schema.size, hurdle, ActionMap(levels=config.env.trading.levels))
    observed = observe_market(market, schema, scaling=trained.scaling)
    results = [backtest_policy("forest", policy, observed, config.env.trading, period) for period in fold.test]
    return [portfolio(result).daily_returns() for result in results]


def only_in(market: MarketData, periods: Sequence[Period]) -> MarketData:
    """Return the market with its segments cut to the bars that open in one of the periods; all bars stay in place."""
    segments = []
    for segment in market.segments:
        open_time = market.bars["open_time"][segment.start : segment.stop]
        for period in periods:
            begin, end = (int(row) for row in np.searchsorted(open_time, (period.since or 0, period.until or 0)))
            if begin < end:
                segments.append(Segment(segment.symbol, segment.start + begin, segment.start + end))
    return replace(market, segments=tuple(segments))
