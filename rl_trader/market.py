"""Klines, mark price, funding and signals of one or several symbols, aligned into the arrays that the kernels read.

Every number of a bar's record is known at the bar's close. Where a series is not recorded the market is refused, or
built under an assumption that the configuration names and that ``MarketData.assumptions`` repeats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bars import BAR_DTYPE, FUNDING_DTYPE, MS_PER_HOUR, OHLC
from rl_trader.config import Assumptions
from rl_trader.contract import ContractTerms
from rl_trader.errors import ConfigError, DataError
from rl_trader.funding import check_funding, funding_holes
from rl_trader.klines import check_klines, describe_hole, find_segments, interval_ms, utc
from rl_trader.mark_price import align_mark_price
from rl_trader.state import EPISODE_DTYPE

BASE_FUNDING_RATE: Final = 0.0001  # 0.01 % per 8 hours: the interest part of the rate (Binance FAQ "Funding Rates")
BASE_FUNDING_HOURS: Final = 8
SIGNAL_PREFIX: Final = "signal_"


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolTables:
    """The recorded tables of one symbol, as the store returns them.

    Columns of ``klines`` whose names begin with ``signal_`` become named signals.
    """

    terms: ContractTerms
    klines: pd.DataFrame
    mark_prices: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # by interval
    funding: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A gap-free stretch of one symbol's bars."""

    symbol: int  # index into MarketData.symbols
    start: int  # first row of MarketData.bars
    stop: int  # one after the last row


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData:
    """Aligned bars of one or several symbols, one symbol below the other."""

    interval: str
    bars: NDArray[np.void]  # (num_bars,) of BAR_DTYPE
    fundings: NDArray[np.void]  # (num_settlements,) of FUNDING_DTYPE
    segments: tuple[Segment, ...]
    signals: dict[str, NDArray[np.float64]]  # each (num_bars,)
    terms: tuple[ContractTerms, ...]
    assumptions: tuple[str, ...]  # sentences

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols in the order of their index."""
        return tuple(terms.symbol for terms in self.terms)

    @property
    def interval_ms(self) -> int:
        """Return the length of a bar in milliseconds."""
        return interval_ms(self.interval)

    @property
    def bars_per_year(self) -> float:
        """Return the number of bars in 365 days."""
        return 365 * 24 * MS_PER_HOUR / self.interval_ms

    def rows(self, symbol: int) -> slice:
        """Return the rows of ``bars`` that belong to a symbol."""
        own = [segment for segment in self.segments if segment.symbol == symbol]
        return slice(own[0].start, own[-1].stop)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time ``[since, until)``; None is the begin or end of the recording."""

    since: int | None = None  # ms UTC
    until: int | None = None  # ms UTC

    def __str__(self) -> str:
        return f"{utc(self.since) if self.since is not None else 'begin'} to " + (
            utc(self.until) if self.until is not None else "end"
        )


def build_market(
    tables: Sequence[SymbolTables],
    interval: str,
    assumptions: Assumptions | None = None,
    played_from: int | None = None,
) -> MarketData:
    """Align the recorded tables of one or several symbols.

    Args:
        tables: Of every symbol.
        interval: Length of a bar.
        assumptions: What to do where a series is not recorded.
        played_from: Open time (ms UTC) of the first bar that is played; mark price and funding may lack before the bar
            that closes then, which is warm-up. None is the first bar.

    Raises:
        DataError: If a table is damaged, has a hole, a settlement lies in a hole, or a series is missing and no
            assumption is named.
    """
    assumed = assumptions or Assumptions()
    parts: list[NDArray[np.void]] = []
    settlements: list[NDArray[np.void]] = []
    segments: list[Segment] = []
    notes: list[str] = []
    num_bars = num_settlements = 0
    for index, symbol in enumerate(tables):
        name = f"{symbol.terms.symbol} {interval}"
        check_klines(symbol.klines, name=name, interval=interval)
        bars, stretches = _fill_bars(symbol.klines, interval, name, assumed, len(segments))
        needed_from = int(bars["open_time"][0]) if played_from is None else played_from - interval_ms(interval)
        notes += align_mark_price(
            bars,
            symbol.mark_prices,
            interval,
            name,
            last_is_assumed=assumed.missing_mark == "last",
            needed_from=needed_from,
        )
        known, note = _settlements(symbol, bars, interval_ms(interval), assumed, needed_from)
        notes += note
        fundings = _write_funding(
            bars, known, interval_ms(interval), symbol.terms.funding_interval_hours, num_settlements
        )
        segments += [Segment(index, num_bars + start, num_bars + stop) for start, stop in stretches]
        parts.append(bars)
        settlements.append(fundings)
        num_bars += len(bars)
        num_settlements += len(fundings)
    return MarketData(
        interval=interval,
        bars=np.concatenate(parts) if len(parts) > 1 else parts[0],
        fundings=np.concatenate(settlements),
        segments=tuple(segments),
        signals=_signals(tables),
        terms=tuple(symbol.terms for symbol in tables),
        assumptions=tuple(notes),
    )


def _fill_bars(
    klines: pd.DataFrame, interval: str, name: str, assumed: Assumptions, num_segments: int
) -> tuple[NDArray[np.void], list[tuple[int, int]]]:
    open_time = klines["open_time"].to_numpy(np.int64)
    hole = describe_hole(open_time, interval_ms(interval), name)
    if hole is not None and assumed.holes == "refuse":
        raise DataError(
            f"{hole}; or set market.assumptions.holes to split, which trains on both sides of it but never across"
        )
    bars = np.zeros(len(klines), BAR_DTYPE)
    bars["open_time"] = open_time
    for column in OHLC:
        bars[column] = klines[column].to_numpy(np.float64)
    bars["volume"] = klines["volume"].to_numpy(np.float64)
    recorded = "taker_buy_volume" in klines
    bars["taker_buy_volume"] = klines["taker_buy_volume"].to_numpy(np.float64) if recorded else np.nan
    stretches = find_segments(open_time, interval_ms(interval))
    for number, (start, stop) in enumerate(stretches):
        bars["segment"][start:stop] = num_segments + number
    return bars, stretches


def _settlements(
    symbol: SymbolTables, bars: NDArray[np.void], bar_ms: int, assumed: Assumptions, needed_from: int
) -> tuple[NDArray[np.void], list[str]]:
    """Return the settlements of FUNDING_DTYPE before the last bar's close, and assumptions.

    The mark price is NaN where no bar pays: before the first one, and in a hole of the bars, where the time of a
    settlement is known but not its rate; it counts as the rate before it.
    """
    name = symbol.terms.symbol
    first, end = max(int(bars["open_time"][0]), needed_from), int(bars["open_time"][-1]) + bar_ms
    recorded = check_funding(symbol.funding, name=name) if symbol.funding is not None else None
    times = np.empty(0, np.int64) if recorded is None else recorded["funding_time"].to_numpy(np.int64)
    rates = np.empty(0) if recorded is None else recorded["funding_rate"].to_numpy(np.float64)
    times, rates = times[times < end], rates[times < end]
    _check_paid(times, bars["open_time"], bar_ms, name)
    missing = _missing_times(recorded, first, end, symbol.terms.funding_interval_hours * MS_PER_HOUR)
    is_unpaid = _lie_in_a_hole(missing, bars["open_time"], bar_ms)
    unpaid, missing = missing[is_unpaid], missing[~is_unpaid]
    notes: list[str] = []
    if len(missing):
        num_due = len(missing) + int((times >= first).sum())
        where = f"{name} funding is not recorded at {len(missing)} of {num_due} settlements"
        if assumed.missing_funding == "refuse":
            raise DataError(
                f"{where}, the first {utc(int(missing[0]))}; download it, choose a period that has it, or set"
                " market.assumptions.missing_funding to zero or base"
            )
        hours = symbol.terms.funding_interval_hours
        rate = 0.0 if assumed.missing_funding == "zero" else BASE_FUNDING_RATE * hours / BASE_FUNDING_HOURS
        notes.append(f"{where}: rate {rate:g} is assumed there")
        times, rates = np.concatenate([times, missing]), np.concatenate([rates, np.full(len(missing), rate)])
    order = np.argsort(times, kind="stable")
    times, rates = times[order], rates[order]
    before = np.searchsorted(times, unpaid)
    result = np.zeros(len(times) + len(unpaid), FUNDING_DTYPE)
    result["funding_time"] = np.insert(times, before, unpaid)
    result["funding_rate"] = np.insert(rates, before, np.concatenate([[0.0], rates])[before])
    result["mark_price"], note = _settlement_marks(symbol, recorded, bars, bar_ms, result["funding_time"])
    return result, notes + note


def _lie_in_a_hole(times: NDArray[np.int64], open_time: NDArray[np.int64], bar_ms: int) -> NDArray[np.bool_]:
    """Return which of the times before the last bar's close lie after a bar and in none."""
    row = np.searchsorted(open_time, times, side="right") - 1
    in_hole: NDArray[np.bool_] = (row >= 0) & (times - open_time[row] >= bar_ms)
    return in_hole


def _check_paid(times: NDArray[np.int64], open_time: NDArray[np.int64], bar_ms: int, name: str) -> None:
    """Refuse a settlement that is recorded in a hole of the bars, where no position is known that would pay it."""
    in_hole = times[_lie_in_a_hole(times, open_time, bar_ms)]
    if len(in_hole):
        after = int(np.searchsorted(open_time, in_hole[0]))
        raise DataError(
            f"{name} funding must be settled in recorded bars and that of {utc(int(in_hole[0]))} lies in the hole"
            f" between the bars of {utc(int(open_time[after - 1]))} and {utc(int(open_time[after]))} ({len(in_hole)}"
            " settlements in all lie in holes); download these bars, choose a period on one side of the hole, or"
            " remove such settlements from the funding table"
        )


def _missing_times(recorded: pd.DataFrame | None, first: int, end: int, interval: int) -> NDArray[np.int64]:
    """Return the settlement times in ``[first, end)`` that are not recorded.

    Before and after the recording they lie on the grid of the funding interval, in its holes evenly between the
    settlements on either side: the interval may have been another one then.
    """
    grid = np.arange(-(-first // interval) * interval, end, interval, dtype=np.int64)
    if recorded is None or not len(recorded):
        return grid
    times = recorded["funding_time"]
    parts = [grid[(grid < int(times.iloc[0])) | (grid > int(times.iloc[-1]))]]
    for after, before, missing in funding_holes(times.to_numpy(np.int64), interval):
        hours = np.rint(np.linspace(after, before, missing + 2)[1:-1] / MS_PER_HOUR)
        parts.append(hours.astype(np.int64) * MS_PER_HOUR)
    found = np.unique(np.concatenate(parts))
    return found[(found >= first) & (found < end)]


def _settlement_marks(
    symbol: SymbolTables,
    recorded: pd.DataFrame | None,
    bars: NDArray[np.void],
    bar_ms: int,
    times: NDArray[np.int64],
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the mark price of every settlement, NaN outside a bar.

    Recorded with the settlement, else a mark candle's open at its instant, else that of the bar's open.
    """
    row = np.searchsorted(bars["open_time"], times, side="right") - 1
    offset = times - bars["open_time"][row]
    marks = bars["mark_open"][row].copy()
    is_exact = offset == 0
    for table in symbol.mark_prices.values():
        mark_times = table["open_time"].to_numpy(np.int64)
        at = np.minimum(np.searchsorted(mark_times, times), len(mark_times) - 1)
        found = mark_times[at] == times
        marks[found] = table["open"].to_numpy(np.float64)[at[found]]
        is_exact |= found
    if recorded is not None and "mark_price" in recorded:
        settled = recorded["mark_price"].to_numpy(np.float64)
        is_known = ~np.isnan(settled)
        known_times, known = recorded["funding_time"].to_numpy(np.int64)[is_known], settled[is_known]
        at = np.searchsorted(known_times, times)
        found = np.append(known_times, -1)[at] == times
        marks[found] = known[at[found]]
        is_exact |= found
    marks[(row < 0) | (offset >= bar_ms)] = np.nan
    num_inside = int((~is_exact & ~np.isnan(marks)).sum())
    name = symbol.terms.symbol
    if num_inside:
        return marks, [f"{name}: {num_inside} settlements inside a bar use the mark price of the bar's open"]
    return marks, []


def _write_funding(
    bars: NDArray[np.void], known: NDArray[np.void], bar_ms: int, hours: int, num_before: int
) -> NDArray[np.void]:
    """Write what the bars know of funding, and return the settlements that are paid in a bar."""
    close_time = bars["open_time"] + bar_ms
    paid: NDArray[np.void] = known[~np.isnan(known["mark_price"])]
    bars["num_settled"] = np.searchsorted(paid["funding_time"], close_time, side="left") + num_before
    times = known["funding_time"]
    settled = np.searchsorted(times, close_time, side="left")
    rates = np.concatenate([[0.0], known["funding_rate"]])
    bars["last_funding_rate"] = rates[settled]
    grid = hours * MS_PER_HOUR
    following = -(-close_time // grid) * grid  # where no later settlement is recorded
    if len(times):
        recorded = times[np.minimum(settled, len(times) - 1)]
        following = np.where(settled < len(times), recorded, following)
    bars["hours_to_funding"] = (following - close_time) / MS_PER_HOUR
    return paid


def _signals(tables: Sequence[SymbolTables]) -> dict[str, NDArray[np.float64]]:
    every = dict.fromkeys(str(column) for symbol in tables for column in symbol.klines.columns)
    names = [column for column in every if column.startswith(SIGNAL_PREFIX)]
    signals = {}
    for name in names:
        if any(name not in symbol.klines for symbol in tables):
            raise DataError(f"signal column {name!r} is not in the klines of every symbol; add it or leave it out")
        columns = [symbol.klines[name].to_numpy(np.float64) for symbol in tables]
        signals[name.removeprefix(SIGNAL_PREFIX)] = np.concatenate(columns)
    return signals


def episode_table(market: MarketData, period: Period, warmup: int, episode_bars: int = 0) -> NDArray[np.void]:
    """Return (num_segments,) of ``EPISODE_DTYPE``: where episodes may begin so that all played bars lie in a period.

    Args:
        market: The bars.
        period: The bars that are played have their open times in it; the bars before serve as warm-up.
        warmup: Bars before the first decision's bar that the features of the window need.
        episode_bars: Bars of an episode; 0 is until the end of the segment.

    Raises:
        ConfigError: If no bar of the period can be played.
    """
    rows = []
    longest = 0
    for segment in market.segments:
        open_time = market.bars["open_time"][segment.start : segment.stop]
        begin = 0 if period.since is None else int(np.searchsorted(open_time, period.since))
        stop = len(open_time) if period.until is None else int(np.searchsorted(open_time, period.until))
        first_start = max(begin - 1, warmup)
        longest = max(longest, stop - begin)
        num_starts = stop - 1 - first_start
        if num_starts < 1:
            continue
        if episode_bars:
            num_starts = max(num_starts - episode_bars + 1, 1)
        rows.append((segment.symbol, segment.start + first_start, num_starts, segment.start + stop - 1))
    if not rows:
        bars = market.bars["open_time"]
        raise ConfigError(
            f"no bar of the period {period} can be played: the recording of {', '.join(market.symbols)} goes from"
            f" {utc(int(bars[0]))} to {utc(int(bars[-1]))} and {warmup} bars are warm-up of the features, the period"
            f" has {longest}; choose a longer or another period"
        )
    table: NDArray[np.void] = np.array(rows, EPISODE_DTYPE)
    return table
