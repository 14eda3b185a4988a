"""What an account did over a period, in numbers.

Several accounts (one a symbol) count as one portfolio: the sum of accounts that began with equal balances. Fractions
are never percentages; money is in USDT with the sign of the wallet's change (fees are negative). A number that is not
defined, such as the Sharpe ratio of a flat account, is None.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.backtest import BacktestResult
from rl_trader.bars import MS_PER_DAY
from rl_trader.state import (
    LIQUIDATED,
    REDUCED_BY_LIQUIDATION,
    REFUSED_BRACKET,
    REFUSED_MARGIN,
    REFUSED_NO_TRADES,
    REFUSED_NOTIONAL,
    STOPPED,
    TOOK_PROFIT,
)

DAYS_PER_YEAR: Final = 365
MAX_LOG_GROWTH: Final = 700.0  # a year's growth beyond it is no float
FLOWS: Final = ("price_pnl", "fees", "slippage", "funding", "liquidation")  # they sum to the change of the balance
LIQUIDATIONS: Final = LIQUIDATED | REDUCED_BY_LIQUIDATION
REFUSALS: Final = REFUSED_MARGIN | REFUSED_BRACKET | REFUSED_NOTIONAL | REFUSED_NO_TRADES


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The figures of one account or portfolio."""

    num_bars: int
    num_days: float  # from the first bar's open to the last close
    initial_balance: float  # USDT
    final_balance: float  # USDT, margin balance at the last close
    min_balance: float  # USDT, lowest margin balance at a close
    total_return: float  # fraction of the initial balance
    log_growth: float | None  # natural logarithm of final over initial balance, a year of 365 days
    annual_return: float | None  # fraction a year, compounded
    sharpe: float | None  # mean over standard deviation of the daily returns, times sqrt(365)
    sharpe_error: float | None  # standard error of it, from the number of whole UTC days
    volatility: float | None  # standard deviation of the daily returns, times sqrt(365)
    max_drawdown: float  # largest fall from a peak of the balance at the closes, fraction of the peak
    calmar: float | None  # annual return over max_drawdown
    turnover: float  # traded notional over margin balance, a day, until the account ended
    num_orders: int  # bars in which anything was traded
    num_trades: int  # positions opened; a flip closes one and opens one
    mean_holding_bars: float | None  # closes at which a position was held, a trade
    hit_rate: float | None  # trades that won after all costs; a bar with a flip counts for the new position
    exposure: float  # mean of notional over margin balance, without sign
    time_long: float  # fraction of the closes
    time_short: float
    time_flat: float
    liquidations: int  # bars with a whole or partial liquidation
    stops: int  # bars in which the protective stop triggered
    take_profits: int
    refused: int  # bars in which an order was refused
    is_ruined: bool  # an account was liquidated wholly, or its balance cannot carry the smallest order
    price_pnl: float  # USDT from price moves; with the next four it sums to the change of the balance
    fees: float  # USDT
    slippage: float  # USDT
    funding: float  # USDT, positive when received
    liquidation: float  # USDT
    traded_notional: float  # USDT
    fees_share: float  # paid fees over the sum of the absolute values of the five flows, 0 without any
    slippage_share: float  # likewise
    funding_share: float  # likewise, negative when paid
    break_even_fee: float | None  # fraction of the notional: the fee at which these trades would have earned 0

    def to_json(self) -> dict[str, float | int | bool | None]:
        """Return the figures by name, with None for what is not defined."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """Series of one or several accounts, summed at every close that any of them has."""

    interval_ms: int
    initial_balance: float  # USDT
    close_time: NDArray[np.int64]  # (num_closes,) ms UTC
    margin_balance: NDArray[np.float64]  # (num_closes,) USDT
    traded_notional: NDArray[np.float64]  # (num_closes,) USDT, of the bar
    is_trading: NDArray[np.bool_]  # (num_closes,) whether any account had not ended before the bar
    flows: dict[str, NDArray[np.float64]] = field(repr=False)  # each (num_closes,) USDT, of the bar

    @property
    def margin_balance_before(self) -> NDArray[np.float64]:
        """Return the margin balance before every bar, (num_closes,) USDT."""
        return np.concatenate([[self.initial_balance], self.margin_balance[:-1]])

    @property
    def drawdown(self) -> NDArray[np.float64]:
        """Return the fall from the highest balance so far, (num_closes,) fractions from 0 to 1."""
        peak = np.maximum(np.maximum.accumulate(self.margin_balance), self.initial_balance)
        return 1.0 - self.margin_balance / peak

    def daily_returns(self) -> NDArray[np.float64]:
        """Return the returns (num_days,) of the whole UTC days of the period; 0 when nothing was left."""
        begin = int(self.close_time[0]) - self.interval_ms
        midnights = np.arange(-(-begin // MS_PER_DAY) * MS_PER_DAY, int(self.close_time[-1]) + 1, MS_PER_DAY)
        balances = np.concatenate([[self.initial_balance], self.margin_balance])
        at_midnight = balances[np.searchsorted(self.close_time, midnights, side="right")]
        before = at_midnight[:-1]
        ratios: NDArray[np.float64] = np.divide(at_midnight[1:], before, out=np.ones(len(before)), where=before > 0.0)
        return ratios - 1.0


def portfolio(results: Sequence[BacktestResult]) -> Portfolio:
    """Return the sum of accounts; before its first and after its last bar an account stands still."""
    close_time = np.unique(np.concatenate([result.close_time for result in results]))
    balance, traded = np.zeros((2, len(close_time)))
    is_trading = np.zeros(len(close_time), np.bool_)
    flows = {name: np.zeros(len(close_time)) for name in FLOWS}
    for result in results:
        known = np.concatenate([[result.initial_balance], result.margin_balance])
        balance += known[np.searchsorted(result.close_time, close_time, side="right")]
        rows = np.searchsorted(close_time, result.close_time)
        traded[rows] += result.outcomes["traded_notional"]
        is_trading[rows] |= ~result.has_ended
        for name in FLOWS:
            flows[name][rows] += result.outcomes[name]
    return Portfolio(
        interval_ms=results[0].interval_ms,
        initial_balance=math.fsum(result.initial_balance for result in results),
        close_time=close_time,
        margin_balance=balance,
        traded_notional=traded,
        is_trading=is_trading,
        flows=flows,
    )


def measure(results: Sequence[BacktestResult]) -> Metrics:
    """Return the figures of one account, or of the portfolio of several.

    Args:
        results: One a symbol, of one interval.
    """
    total = portfolio(results)
    outcomes = np.concatenate([result.outcomes for result in results])
    return Metrics(
        num_bars=len(total.close_time),
        num_days=_num_days(total),
        initial_balance=total.initial_balance,
        final_balance=float(total.margin_balance[-1]),
        min_balance=min(float(total.margin_balance.min()), total.initial_balance),
        **_growth_and_risk(total),
        turnover=_turnover(total),
        **_positions(outcomes, np.concatenate([_trade_profits(result) for result in results])),
        **_events(outcomes),
        **_costs(total, float(outcomes["traded_notional"].sum())),
    )


def _num_days(total: Portfolio) -> float:
    return (int(total.close_time[-1]) - int(total.close_time[0]) + total.interval_ms) / MS_PER_DAY


def _growth_and_risk(total: Portfolio) -> dict[str, Any]:
    ratio = float(total.margin_balance[-1]) / total.initial_balance
    log_growth = math.log(ratio) * DAYS_PER_YEAR / _num_days(total) if ratio > 0.0 else None
    annual_return = -1.0 if log_growth is None else math.expm1(log_growth) if log_growth < MAX_LOG_GROWTH else None
    max_drawdown = float(total.drawdown.max())
    daily = total.daily_returns()
    deviation = float(daily.std(ddof=1)) if len(daily) > 1 else 0.0
    sharpe = float(daily.mean()) / deviation if deviation > 0.0 else None
    to_year = math.sqrt(DAYS_PER_YEAR)
    return {
        "total_return": ratio - 1.0,
        "log_growth": log_growth,
        "annual_return": annual_return,
        "sharpe": None if sharpe is None else sharpe * to_year,
        "sharpe_error": None if sharpe is None else math.sqrt((1.0 + sharpe**2 / 2.0) / len(daily)) * to_year,
        "volatility": deviation * to_year if len(daily) > 1 else None,
        "max_drawdown": max_drawdown,
        "calmar": annual_return / max_drawdown if annual_return is not None and max_drawdown > 0.0 else None,
    }


def _turnover(total: Portfolio) -> float:
    before = total.margin_balance_before
    counts = total.is_trading & (before > 0.0)
    return float((total.traded_notional[counts] / before[counts]).mean()) * MS_PER_DAY / total.interval_ms


def _positions(outcomes: NDArray[np.void], profits: NDArray[np.float64]) -> dict[str, Any]:
    exposure = outcomes["exposure"]
    return {
        "num_orders": int((outcomes["traded_notional"] > 0.0).sum()),
        "num_trades": len(profits),
        "mean_holding_bars": float((exposure != 0.0).sum()) / len(profits) if len(profits) else None,
        "hit_rate": float((profits > 0.0).mean()) if len(profits) else None,
        "exposure": float(np.abs(exposure).mean()),
        "time_long": float((exposure > 0.0).mean()),
        "time_short": float((exposure < 0.0).mean()),
        "time_flat": float((exposure == 0.0).mean()),
    }


def _trade_profits(result: BacktestResult) -> NDArray[np.float64]:
    """Return what each trade of an account earned, (num_trades,) USDT; a bar counts for the trade begun last."""
    position = np.sign(result.outcomes["exposure"])
    before = np.concatenate([[0.0], position[:-1]])
    before[1:][np.diff(result.close_time) != result.interval_ms] = 0.0  # no position is carried across a hole
    has_traded = result.outcomes["traded_notional"] > 0.0
    begins = np.where(position == 0.0, (before == 0.0) & has_traded, position != before)
    earned = result.outcomes["margin_balance"] - result.outcomes["margin_balance_before"]
    sums: NDArray[np.float64] = np.bincount(np.cumsum(begins), weights=earned, minlength=1).astype(np.float64)
    return sums[1:]


def _events(outcomes: NDArray[np.void]) -> dict[str, Any]:
    def count(bits: int) -> int:
        return int((outcomes["events"] & bits != 0).sum())

    return {
        "liquidations": count(LIQUIDATIONS),
        "stops": count(STOPPED),
        "take_profits": count(TOOK_PROFIT),
        "refused": count(REFUSALS),
        "is_ruined": bool(outcomes["terminated"].any()),
    }


def _costs(total: Portfolio, traded_notional: float) -> dict[str, Any]:
    flows = {name: math.fsum(total.flows[name]) for name in FLOWS}
    gross = math.fsum(map(abs, flows.values())) or 1.0  # without any flow every share is 0
    without_fees = math.fsum(flows.values()) - flows["fees"]
    return {
        **flows,
        "traded_notional": traded_notional,
        "fees_share": abs(flows["fees"]) / gross,
        "slippage_share": abs(flows["slippage"]) / gross,
        "funding_share": flows["funding"] / gross,
        "break_even_fee": without_fees / traded_notional if traded_notional > 0.0 else None,
    }
