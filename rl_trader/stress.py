"""What the agent's decisions would have earned at other costs, and what it would have decided in a mirror.

Other fees, slippage, funding and a delay are asked of the decisions that were made: they are replayed, in the same
kernel. In the mirrored market the agent decides anew.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.backtest import BacktestResult, CostFactors, backtest_costs, backtest_policy
from rl_trader.config import TradingConfig
from rl_trader.features import SIGNAL_PREFIX
from rl_trader.market import Period
from rl_trader.metrics import DAYS_PER_YEAR, measure
from rl_trader.mirror import mirrored_market, with_funding
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.policy import AnyPolicy
from rl_trader.statistics.sharpe import sharpe_ratio

COSTS: Final = MappingProxyType[str, CostFactors](
    {
        "fee x 0": CostFactors(fee=0.0),
        "fee x 1": CostFactors(),
        "fee x 2": CostFactors(fee=2.0),
        "fee x 3": CostFactors(fee=3.0),
        "slippage x 0": CostFactors(slippage=0.0),
        "slippage x 2": CostFactors(slippage=2.0),
        "slippage x 5": CostFactors(slippage=5.0),
        "one bar late": CostFactors(is_late=True),
    }
)
FUNDING_FACTORS: Final = (0.0, 1.0, 2.0)
MIRRORED: Final = "mirrored prices"


@dataclass(frozen=True, slots=True)
class Stressed:
    """What an agent would have made of it."""

    total_return: float  # fraction of the initial balance
    sharpe: float | None  # of daily returns, annualised
    max_drawdown: float  # fraction

    def to_json(self) -> dict[str, float | None]:
        """Return the figures by name."""
        return asdict(self)


def stress(
    policy: AnyPolicy, agent: Sequence[BacktestResult], observed: ObservedMarket, trading: TradingConfig, period: Period
) -> dict[str, Stressed]:
    """Return the agent's figures under every stress, as ``stressed_results`` does its results."""
    results = stressed_results(policy, agent, observed, trading, period)
    return {name: _stressed(result) for name, result in results.items()}


def stressed_results(
    policy: AnyPolicy, agent: Sequence[BacktestResult], observed: ObservedMarket, trading: TradingConfig, period: Period
) -> dict[str, list[BacktestResult]]:
    """Return the agent's results under every stress, by name; without mirrored prices where it observes a signal.

    Args:
        policy: The agent.
        agent: Its results, one a symbol.
        observed: Market and features of the results.
        trading: Of the results.
        period: Of the results.
    """
    results: dict[str, list[BacktestResult]] = dict(backtest_costs(agent, COSTS, observed, trading, period))
    for factor in FUNDING_FACTORS:
        other = replace(observed, market=with_funding(observed.market, factor))
        name = f"funding x {factor:g}"
        results |= backtest_costs(agent, {name: CostFactors()}, other, trading, period)
    if not any(name.startswith(SIGNAL_PREFIX) for name in observed.schema.features):
        market = mirrored_market(observed.market)
        mirrored = observe_market(market, observed.schema, scaling=observed.scaling)
        results[MIRRORED] = backtest_policy(MIRRORED, policy, mirrored, trading, period)
    return results


def _stressed(results: Sequence[BacktestResult]) -> Stressed:
    metrics = measure(results)
    return Stressed(metrics.total_return, metrics.sharpe, metrics.max_drawdown)


def stressed_returns(daily: NDArray[np.float64]) -> Stressed:
    """Return the figures of daily returns (num_days,); the drawdown is that of the balances at midnight."""
    growth = np.cumprod(np.concatenate([[1.0], 1.0 + daily]))
    ratio = sharpe_ratio(daily)
    return Stressed(
        total_return=float(growth[-1]) - 1.0,
        sharpe=None if ratio is None else ratio.ratio * math.sqrt(DAYS_PER_YEAR),
        max_drawdown=float((1.0 - growth / np.maximum.accumulate(growth)).max()),
    )


def stressed_json(stresses: Mapping[str, Stressed]) -> dict[str, dict[str, float | None]]:
    """Return plain numbers by stress."""
    return {name: stressed.to_json() for name, stressed in stresses.items()}
