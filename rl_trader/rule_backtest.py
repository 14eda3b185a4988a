"""A rule's balance over a long recording, in the accounting of training and many times faster than ``backtest``.

What is kept is the balance at every close and the sums of what was paid; for every bar's outcome there is
``backtest.backtest_targets``, whose balances these are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_trader import replay_rule
from rl_trader.config import TradingConfig
from rl_trader.market import Period
from rl_trader.observed_market import ObservedMarket
from rl_trader.simulator import FROM_FIRST_BAR, Simulator


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """One account on one symbol over a period."""

    margin_balance: NDArray[np.float64]  # (num_bars,) USDT, at every bar's close
    fees: float  # USDT, not positive
    slippage: float  # USDT, not positive
    funding: float  # USDT, positive when received
    liquidation: float  # USDT: liquidation fees and what the insurance fund bore
    traded_notional: float  # USDT
    has_ended: bool  # whether the account was liquidated or ruined


def backtest_rule(
    targets: NDArray[np.float64], observed: ObservedMarket, trading: TradingConfig, period: Period, symbol: int = 0
) -> RuleResult:
    """Return how one account fares on one symbol, through all its segments; positions are not carried across holes.

    Args:
        targets: (num_bars,) target positions decided at the close of every bar of ``observed.market.bars``.
        observed: Market and features.
        trading: How the account trades.
        period: The bars that are played.
        symbol: Its index.
    """
    simulator = Simulator(observed, trading, FROM_FIRST_BAR, period, 1)
    stretches = simulator.episodes[simulator.episodes["symbol"] == symbol]
    lengths = stretches["last_bar"] - stretches["first_start"]
    balances = np.empty(int(lengths.sum()))
    sums = np.zeros(replay_rule.NUM_SUMS)
    observations = simulator.new_observations()
    balance, has_ended, done = trading.initial_balance, False, 0
    for stretch, length in zip(stretches, lengths.tolist(), strict=True):
        simulator.begin(stretch, np.array([balance]), observations)
        part = balances[done : done + length]
        decided = np.ascontiguousarray(targets[stretch["first_start"] : stretch["last_bar"]], np.float64)
        has_ended = simulator.play_rule(decided, part, sums, has_ended)
        balance, done = float(part[-1]), done + length
    return RuleResult(
        margin_balance=balances,
        fees=float(sums[replay_rule.FEES]),
        slippage=float(sums[replay_rule.SLIPPAGE]),
        funding=float(sums[replay_rule.FUNDING]),
        liquidation=float(sums[replay_rule.LIQUIDATION]),
        traded_notional=float(sums[replay_rule.TRADED]),
        has_ended=has_ended,
    )
