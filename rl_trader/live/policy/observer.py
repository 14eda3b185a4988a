"""What the policy sees at a bar's close: from the newest bars and the account, by the functions of training.

Only the trailing window is computed. A row of features depends on nothing but the rows of its window, so that its bits
are those of the whole table in training, evaluation and back-test.

Prices in USDT per unit of the base asset, amounts in base asset and signed, money in USDT, times in milliseconds since
1970 UTC.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bars import BAR_DTYPE, MS_PER_DAY, MS_PER_HOUR
from rl_trader.contract_terms import ContractTerms
from rl_trader.decision import MarketState, observe
from rl_trader.errors import DataError
from rl_trader.features import compute, resolve_features
from rl_trader.klines import interval_ms, utc
from rl_trader.ledger import Account
from rl_trader.live.policy.deployment import Deployment
from rl_trader.market import MarketData, SymbolTables, build_market
from rl_trader.observed_market import check_finite
from rl_trader.scaling import scale
from rl_trader.trading import kernel_terms

FUNDING_BEFORE_MS: Final = 5 * MS_PER_DAY  # of the window: settlements by which a change of their interval is told


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountAtClose:
    """What the exchange says of the account at a bar's close."""

    wallet_balance: Decimal  # without unrealised profit, with the isolated wallet
    amount: Decimal
    entry_price: Decimal
    isolated_wallet: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """From when on the series are needed to observe a bar, ms UTC; every one up to the bar's close."""

    klines_ms: int  # open times
    marks_ms: int  # open times, of every interval of the deployment's
    funding_ms: int  # settlements


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """What a policy is shown at a bar's close, and what its order is made of."""

    open_ms: int  # of the bar
    values: NDArray[np.float32]  # (schema.size,)
    account: Account
    close: float
    mark_close: float
    taker_fee: float

    @property
    def sha256(self) -> str:
        """Hash of the values' bytes, by which an observation is found again."""
        return hashlib.sha256(self.values.tobytes()).hexdigest()


class Observer:
    """Makes the observations of one deployment.

    Args:
        deployment: What is deployed.
        terms: Of the symbol as they are today; None is as they were in training.
    """

    def __init__(self, deployment: Deployment, terms: ContractTerms | None = None) -> None:
        self._deployment = deployment
        self._terms = terms or deployment.terms
        self._kernel_terms, self._brackets = kernel_terms([self._terms], deployment.trading)
        self._features = resolve_features(deployment.schema.features)
        self._num_rows = deployment.num_bars
        longest = max((interval_ms(name) for name in deployment.series.mark_intervals), default=0)
        self._mark_ms = longest if longest > deployment.interval_ms else 0
        self._compute(plain_bars(self._num_rows, deployment.interval_ms))  # compiles the kernels

    def needed(self, open_ms: int) -> Needed:
        """Return from when on the series are needed to observe a bar."""
        first = open_ms - (self._num_rows - 1) * self._deployment.interval_ms
        begin = first - self._mark_ms  # at least one coarse mark opens between the two
        return Needed(klines_ms=begin, marks_ms=begin, funding_ms=begin - FUNDING_BEFORE_MS)

    def observe(
        self,
        open_ms: int,
        tables: SymbolTables,
        account: AccountAtClose,
        *,
        bars_held: int,
        taker_fee: float,
        next_funding_ms: int | None = None,
    ) -> Observation:
        """Return the observation at the close of a bar.

        Args:
            open_ms: Of the bar.
            tables: Closed klines, the mark-price candles of ``series.mark_intervals`` (of the coarser ones also the
                one that is forming, of which the open alone is read), and settled funding, from ``needed`` on.
            account: At the close.
            bars_held: Bars since the position was opened (:func:`~rl_trader.live.core.holding.bars_held_after`).
            taker_fee: Of the account.
            next_funding_ms: When funding is settled next, the bar's close included, as it was announced before the
                close; None is by the interval of the terms.

        Raises:
            DataError: If a bar, a mark price or a settlement that is needed is not there, or a value is not finite.
        """
        market = self._market(open_ms, tables)
        write_countdown(market, tables.funding, next_funding_ms)
        bars, schema = market.bars, self._deployment.schema
        rows = self._compute(bars)
        held = _as_floats(account, is_isolated=self._deployment.trading.margin_mode == "isolated")
        bar = bars[-1]
        state = MarketState(float(bar["mark_close"]), float(bar["hours_to_funding"]), float(bar["last_funding_rate"]))
        values = observe(
            self._scaled(rows, market),
            held,
            state,
            bars_held,
            taker_fee,
            self._deployment.trading.max_exposure,
            schema,
            self._kernel_terms,
            self._brackets,
        )
        return Observation(
            open_ms=open_ms,
            values=values,
            account=held,
            close=float(bar["close"]),
            mark_close=float(bar["mark_close"]),
            taker_fee=taker_fee,
        )

    def _market(self, open_ms: int, tables: SymbolTables) -> MarketData:
        deployment, length = self._deployment, self._deployment.interval_ms
        needed, end_ms = self.needed(open_ms), open_ms + length
        klines = _between(tables.klines, "open_time", needed.klines_ms, end_ms)
        if not deployment.series.has_taker_buys:
            klines = klines.drop(columns="taker_buy_volume", errors="ignore")
        self._check_series(klines, open_ms)
        marks = {
            name: _between(_table(tables.mark_prices, name), "open_time", needed.marks_ms, end_ms)
            for name in deployment.series.mark_intervals
        }
        funding = tables.funding
        if funding is not None:
            funding = _between(funding, "funding_time", needed.funding_ms, end_ms + MS_PER_HOUR)
        recorded = {name: table for name, table in marks.items() if len(table)}
        terms = replace(self._terms, funding_interval_hours=tables.terms.funding_interval_hours)  # which may change
        cut = SymbolTables(terms=terms, klines=klines, mark_prices=recorded, funding=funding)
        first = open_ms - (self._num_rows - 1) * length
        return build_market([cut], deployment.interval, deployment.assumptions, first + length)

    def _check_series(self, klines: pd.DataFrame, open_ms: int) -> None:
        """Refuse a window that lacks a bar."""
        times, length = klines["open_time"].to_numpy(np.int64), self._deployment.interval_ms
        name = f"{self._deployment.symbol} {self._deployment.interval}"
        if not len(times) or times[-1] != open_ms:
            raise DataError(f"{name} must have the bar of {utc(open_ms)} and does not; wait for it or fetch it")
        wanted = open_ms - np.arange(self._num_rows)[::-1] * length
        missing = np.setdiff1d(wanted, times, assume_unique=True)
        if len(missing):
            raise DataError(
                f"{name} must have {self._num_rows} bars up to {utc(open_ms)} without a hole and lacks {len(missing)},"
                f" the last of {utc(int(missing[-1]))}; fetch them, or wait until the window is full"
            )

    def _compute(self, bars: NDArray[np.void]) -> NDArray[np.float32]:
        first = len(bars) - self._deployment.schema.window
        return compute(bars, self._features, None, first=first, parallel=False)

    def _scaled(self, rows: NDArray[np.float32], market: MarketData) -> NDArray[np.float32]:
        """Return the scaled rows of the window.

        Raises:
            DataError: If a value is not finite; scaling would cut infinity to a number.
        """
        is_finite = np.isfinite(rows)
        if not is_finite.all():
            whole = np.zeros((len(market.bars), rows.shape[1]), np.float32)
            whole[len(whole) - len(rows) :] = rows
            check_finite(whole, self._features, market)
        return scale(rows, self._deployment.checkpoint.scaling, out=rows)


def _as_floats(account: AccountAtClose, *, is_isolated: bool) -> Account:
    if not account.amount:
        return Account(float(account.wallet_balance), 0.0, 0.0, 0.0)
    isolated_wallet = float(account.isolated_wallet) if is_isolated else 0.0
    return Account(float(account.wallet_balance), float(account.amount), float(account.entry_price), isolated_wallet)


def _table(tables: Mapping[str, pd.DataFrame], interval: str) -> pd.DataFrame:
    if interval not in tables:
        found = ", ".join(tables) or "none"
        raise DataError(f"mark-price candles of {interval} are needed, found {found}; fetch those of the deployment")
    return tables[interval]


def _between(table: pd.DataFrame, time: str, since_ms: int, until_ms: int) -> pd.DataFrame:
    """Return the rows with times in ``[since_ms, until_ms)``; the times ascend."""
    first, stop = np.searchsorted(table[time].to_numpy(np.int64), (since_ms, until_ms))
    return table.iloc[first:stop].reset_index(drop=True)


def write_countdown(market: MarketData, funding: pd.DataFrame | None, next_funding_ms: int | None) -> None:
    """Write when the settlement after the newest known one is due, into the bars after that one.

    In training it is the next recorded settlement, which the interval of today's terms need not tell.
    """
    close_time = market.bars["open_time"] + market.interval_ms
    end_ms = int(close_time[-1])
    if next_funding_ms is not None and next_funding_ms < end_ms:
        raise DataError(
            f"the next settlement must not lie before the bar's close at {utc(end_ms)} and is {utc(next_funding_ms)};"
            " ask the exchange for it again"
        )
    stamps = np.empty(0, np.int64) if funding is None else funding["funding_time"].to_numpy(np.int64)
    hours = (stamps + MS_PER_HOUR // 2) // MS_PER_HOUR * MS_PER_HOUR  # a stamp may lie some milliseconds after its hour
    following = [int(hour) for hour in hours[hours >= end_ms]]
    if next_funding_ms is not None:
        following.append(next_funding_ms)
    if not following:
        return
    settled = market.fundings["funding_time"]
    is_after = close_time > (settled[-1] if len(settled) else 0)
    market.bars["hours_to_funding"][is_after] = (min(following) - close_time[is_after]) / MS_PER_HOUR


def plain_bars(num_bars: int, length_ms: int) -> NDArray[np.void]:
    """Return bars without a move, (num_bars,), on which kernels are compiled before they are needed."""
    bars = np.zeros(num_bars, BAR_DTYPE)
    bars["open_time"] = np.arange(num_bars) * length_ms
    for name in BAR_DTYPE.names or ():
        if BAR_DTYPE[name].kind == "f":
            bars[name] = 1.0
    return bars
