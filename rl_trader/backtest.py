"""Policies and rules over a whole period, in the same kernel as training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_trader.config import TradingConfig
from rl_trader.market import Period
from rl_trader.observed_market import ObservedMarket
from rl_trader.policy import Policy
from rl_trader.simulator import FROM_FIRST_BAR, Simulator
from rl_trader.state import OUTCOME_DTYPE

Decide = Callable[[int, NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """One account on one symbol over a period.

    An account that was wholly liquidated, or ruined, does not trade again: its balance stays what was left.
    """

    name: str
    symbol: str
    interval_ms: int
    initial_balance: float  # USDT
    close_time: NDArray[np.int64]  # (num_bars,) ms UTC
    outcomes: NDArray[np.void]  # (num_bars,) of OUTCOME_DTYPE, a bar each
    targets: NDArray[np.float64]  # (num_bars,) target position decided before the bar

    @property
    def margin_balance(self) -> NDArray[np.float64]:
        """Return the margin balance at every bar's close, (num_bars,) USDT."""
        return self.outcomes["margin_balance"]


def backtest_policy(
    name: str, policy: Policy, observed: ObservedMarket, trading: TradingConfig, period: Period
) -> list[BacktestResult]:
    """Return the result of a policy on every symbol; its observations are those of training."""

    def decide(_row: int, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        return policy.targets(observations)

    return [
        _play([name], decide, observed, trading, period, symbol)[0] for symbol in range(len(observed.market.symbols))
    ]


def backtest_targets(
    targets: Mapping[str, NDArray[np.float64]], observed: ObservedMarket, trading: TradingConfig, period: Period
) -> dict[str, list[BacktestResult]]:
    """Return the results of several series of targets, each with one result a symbol.

    Args:
        targets: By name, (num_bars,) target positions decided at the close of every bar of ``observed.market.bars``.
        observed: Market and features.
        trading: How the accounts trade.
        period: The bars that are played.
    """
    names = list(targets)
    table = np.stack([targets[name] for name in names], axis=1)

    def decide(row: int, _observations: NDArray[np.float32]) -> NDArray[np.float64]:
        return table[row]

    by_symbol = [
        _play(names, decide, observed, trading, period, symbol) for symbol in range(len(observed.market.symbols))
    ]
    return {name: [results[i] for results in by_symbol] for i, name in enumerate(names)}


def _play(
    names: list[str],
    decide: Decide,
    observed: ObservedMarket,
    trading: TradingConfig,
    period: Period,
    symbol: int,
) -> list[BacktestResult]:
    """Play one account a name through all segments of a symbol; balances are carried across holes, positions not."""
    simulator = Simulator(observed, trading, FROM_FIRST_BAR, period, len(names))
    stretches = simulator.episodes[simulator.episodes["symbol"] == symbol]
    num_bars = int((stretches["last_bar"] - stretches["first_start"]).sum())
    outcomes = np.zeros((num_bars, len(names)), OUTCOME_DTYPE)
    decided = np.zeros((num_bars, len(names)))
    balances = np.full(len(names), trading.initial_balance)
    has_ended = np.zeros(len(names), np.bool_)
    observations = simulator.new_observations()
    n = 0
    for stretch in stretches:
        simulator.begin(stretch, balances, observations)
        for row in range(stretch["first_start"], stretch["last_bar"]):
            decided[n] = np.where(has_ended, 0.0, decide(row, observations))
            simulator.step(decided[n], observations)
            outcomes[n] = simulator.outcomes
            has_ended |= simulator.outcomes["terminated"]
            n += 1
        balances = outcomes["margin_balance"][n - 1]
    market = observed.market
    rows = outcomes["bar"][:, 0]
    return [
        BacktestResult(
            name=name,
            symbol=market.symbols[symbol],
            interval_ms=market.interval_ms,
            initial_balance=trading.initial_balance,
            close_time=market.bars["open_time"][rows] + market.interval_ms,
            outcomes=np.ascontiguousarray(outcomes[:, i]),
            targets=np.ascontiguousarray(decided[:, i]),
        )
        for i, name in enumerate(names)
    ]
