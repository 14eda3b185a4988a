"""The drift of many bars, summed up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rl_trader.live.drift.comparison import BarDrift


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over bars; money in USDT with the sign of the wallet's change, shares as fractions."""

    bars: int  # that were seen
    compared: int  # that the simulation has played, too
    rebuilt: int  # observations that come out of the recorded bars with the same bytes
    repeated: int  # targets that the policy wants again
    same_observations: int  # as the simulation's, by their bytes
    same_actions: int  # as the simulation's
    trades: int
    priced: int  # trades that the simulation has a price for
    slippage: Decimal  # beyond the simulation, positive where it has cost more
    slippage_fraction: Decimal  # of the notional of the trades
    fees: Decimal
    simulated_fees: Decimal
    funding: Decimal
    simulated_funding: Decimal
    wallet_gap: Decimal  # at the last bar that was compared, live less simulation
    equity_gap: Decimal  # likewise
    largest_equity_gap: Decimal  # of all bars, without its sign
    equity: Decimal | None  # at that bar; None where none was compared
    simulated_equity: Decimal | None  # likewise


def totals_of(bars: Sequence[BarDrift]) -> Totals:
    """Return the sums over bars, the oldest first; fees and funding of those that both have played."""
    compared = [bar for bar in bars if bar.is_compared]
    made = [bar.decisions for bar in compared if bar.decisions is not None]
    trades = [trade for bar in bars for trade in bar.trades]
    priced = [trade for trade in trades if trade.simulated is not None]
    slippage = _sum(trade.slippage for trade in priced)
    notional = _sum(abs(trade.amount) * (trade.simulated or 0) for trade in priced)
    last = compared[-1] if compared else None
    return Totals(
        bars=len(bars),
        compared=len(compared),
        rebuilt=sum(each.is_rebuilt for each in made),
        repeated=sum(each.is_repeated for each in made),
        same_observations=sum(each.is_same_observation for each in made),
        same_actions=sum(each.is_same_action for each in made),
        trades=len(trades),
        priced=len(priced),
        slippage=slippage,
        slippage_fraction=slippage / notional if notional else Decimal(0),
        fees=_sum(bar.fees for bar in compared),
        simulated_fees=_sum(bar.simulated_fees for bar in compared),
        funding=_sum(bar.funding for bar in compared),
        simulated_funding=_sum(bar.simulated_funding for bar in compared),
        wallet_gap=Decimal(0) if last is None else last.wallet - (last.simulated_wallet or 0),
        equity_gap=Decimal(0) if last is None else last.equity_gap,
        largest_equity_gap=max((abs(bar.equity_gap) for bar in compared), default=Decimal(0)),
        equity=None if last is None else last.equity,
        simulated_equity=None if last is None else last.simulated_equity,
    )


def _sum(values: Iterable[Decimal]) -> Decimal:
    return sum(values, Decimal(0))
