"""Candles of any of the exchange's intervals, made of a recording up to a moment.

Candles longer than the recorded bars are made of whole bars, shorter ones of parts of the path inside a bar
(:mod:`rl_trader.local_exchange.market.path`), and so is the candle that is still forming. Candles of one moment add up:
shorter ones to the recorded bars, these to longer ones, exactly. In a hole of the recording there are none.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache, lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY
from rl_trader.klines import INTERVAL_MS
from rl_trader.local_exchange.market.amounts import BarAmounts
from rl_trader.local_exchange.market.intervals import candle_opens, ending_times, opening_times
from rl_trader.local_exchange.market.path import (
    extremes,
    last_corners,
    mark_corners,
    premium_corners,
    prices_at,
)
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.wire import MONEY_PLACES

_LEVELS: Final = ("5m", "1h")  # intervals whose candles are kept, since longer ones are made of them
_BARS_AT_ONCE: Final = 65_536  # that are read together, so that no answer needs the whole of a long recording
_MS_PER_SECOND: Final = 1000
_FEW: Final = 8  # bars of which a forming candle has parts, which is asked for many times while they stay the same


class Series(Enum):
    """What candles are of."""

    LAST = "last price"
    MARK = "mark price"
    INDEX = "index price"
    PREMIUM = "premium index"


class Candles(NamedTuple):
    """Candles in ascending order, each array (num_candles,).

    Volumes are whole units of the recording's ``amount_places`` and ``quote_places``; other series than the last price
    have none, and one sample a second instead of trades.
    """

    open_time: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.int64]
    quote_volume: NDArray[np.int64]
    trades: NDArray[np.int64]
    taker_buy_volume: NDArray[np.int64]
    taker_buy_quote: NDArray[np.int64]


_CORNERS: Final[dict[Series, Callable[[NDArray[np.void]], NDArray[np.float64]]]] = {
    Series.LAST: last_corners,
    Series.MARK: mark_corners,
    Series.INDEX: mark_corners,
    Series.PREMIUM: premium_corners,
}


class CandleMaker:
    """Makes the candles of one series of a recording.

    Args:
        recording: Of the symbol.
        series: Of it.
    """

    def __init__(self, recording: Recording, series: Series) -> None:
        self._recording = recording
        self._series = series
        self.opens = cache(self._opens)  # by interval: open times of all candles that the recording reaches
        self._block = cache(self._make_block)  # by level and number
        self._few_bars = lru_cache(_FEW)(self._make_few_bars)  # by their rows

    def _opens(self, interval: str) -> NDArray[np.int64]:
        times, length = self._recording.open_time, self._recording.interval_ms
        parts = [
            candle_opens(interval, int(times[start]), int(times[stop - 1]) + length - 1)
            for start, stop in self._recording.stretches
        ]
        return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))

    def candles(self, interval: str, first: int, stop: int, end_ms: int) -> Candles:
        """Return candles of an interval as they are before a moment.

        Args:
            interval: One of the exchange's.
            first: Row of ``opens(interval)``, the first candle.
            stop: The row after the last one, which opens before the moment.
            end_ms: The moment; what happens from then on is left out.
        """
        opens = self.opens(interval)[first:stop]
        if not len(opens):
            return self._parts(opens, 0)
        end = min(end_ms, int(ending_times(interval, opens[-1:])[0]))
        longest = INTERVAL_MS.get(interval, MS_PER_DAY)  # months have whole days
        return grouped(self._pieces(self._level(longest), opens, end), opens)

    def span(self, since_ms: int, until_ms: int) -> Candles:
        """Return the one candle of a stretch of time, or none where nothing is recorded in it."""
        start = np.array([since_ms], np.int64)
        return grouped(self._parts(start, until_ms), start)

    def _parts(self, starts: NDArray[np.int64], end_ms: int) -> Candles:
        """Return the time from the first start to the end, cut at every start and at every bar's open and end."""
        recording = self._recording
        times, length = recording.open_time, recording.interval_ms
        begin = starts
        if len(starts):
            first, stop = times.searchsorted((starts[0], end_ms)).tolist()
            if len(starts) > 1 or first < stop:
                begin = np.union1d(times[first:stop], starts)
        row = times.searchsorted(begin, side="right") - 1
        next_begin = np.empty_like(begin)
        next_begin[:-1], next_begin[-1:] = begin[1:], end_ms
        end = np.minimum(next_begin, times[np.maximum(row, 0)] + length)
        is_recorded = (row >= 0) & (end > begin)
        return self._read(row[is_recorded], begin[is_recorded], end[is_recorded])

    def _read(self, row: NDArray[np.intp], begin: NDArray[np.int64], end: NDArray[np.int64]) -> Candles:
        """Return parts of bars from a begin to an end in time."""
        bars = self._few_bars(*row.tolist()) if len(row) <= _FEW else _Bars(self._recording, self._series, row)
        return bars.parts(begin, end)

    def _make_few_bars(self, *rows: int) -> "_Bars":
        return _Bars(self._recording, self._series, np.array(rows, np.intp))

    def _pieces(self, level: str | None, opens: NDArray[np.int64], end_ms: int) -> Candles:
        """Return what candles are made of: the kept candles of a level, or parts of bars."""
        if level is None:
            return self._parts(opens, end_ms)
        last_open = int(opening_times(level, np.array([end_ms], np.int64))[0])
        first, stop = self.opens(level).searchsorted((opens[0], last_open)).tolist()
        pieces = [] if first == stop else [self._kept(level, first, stop)]
        if last_open < end_ms:
            rest = np.array([max(last_open, int(opens[0]))], np.int64)
            pieces.append(self._pieces(self._level(INTERVAL_MS[level] - 1), rest, end_ms))
        return _joined(pieces)

    def _level(self, longest_ms: int) -> str | None:
        """Return the longest level up to a length whose candles are longer than the bars."""
        usable = [level for level in _LEVELS if self._recording.interval_ms < INTERVAL_MS[level] <= longest_ms]
        return usable[-1] if usable else None

    def _kept(self, level: str, first: int, stop: int) -> Candles:
        """Return candles of a level, by their rows in ``opens(level)``, at least one."""
        at_once = self._kept_at_once(level)
        blocks = range(first // at_once, (stop - 1) // at_once + 1)
        kept = _joined([self._block(level, number) for number in blocks])
        begin = first - blocks.start * at_once
        return Candles._make(column[begin : begin + stop - first] for column in kept)

    def _make_block(self, level: str, number: int) -> Candles:
        """Return a block of the candles of a level, also those that have not happened yet."""
        at_once = self._kept_at_once(level)
        starts = self.opens(level)[number * at_once : (number + 1) * at_once]
        below = self._level(INTERVAL_MS[level] - 1)
        return grouped(self._pieces(below, starts, int(starts[-1]) + INTERVAL_MS[level]), starts)

    def _kept_at_once(self, level: str) -> int:
        return _BARS_AT_ONCE * self._recording.interval_ms // INTERVAL_MS[level]


class _Bars:
    """Bars of a recording, with what their parts are made of."""

    def __init__(self, recording: Recording, series: Series, row: NDArray[np.intp]) -> None:
        self._open_time = recording.open_time[row]
        self._interval_ms = recording.interval_ms
        self._corners = _CORNERS[series](recording.bars[row])
        self._digits = recording.price_digits if series is Series.LAST else MONEY_PLACES
        self._amounts = BarAmounts(recording, row) if series is Series.LAST else None

    def parts(self, begin: NDArray[np.int64], end: NDArray[np.int64]) -> Candles:
        """Return a part of each bar, from a begin to an end in time."""
        since, until = begin - self._open_time, end - self._open_time
        opened, closed = prices_at(self._corners, np.array((since, until - 1)), self._interval_ms, self._digits)
        high, low = extremes(self._corners, (opened, closed), since, until, self._interval_ms)
        if self._amounts is not None:
            return Candles(begin, opened, high, low, closed, *self._amounts.between(since, until))
        nothing = np.zeros(len(begin), np.int64)
        samples = -(-end // _MS_PER_SECOND) + begin // -_MS_PER_SECOND
        return Candles(begin, opened, high, low, closed, nothing, nothing, samples, nothing, nothing)


def _joined(pieces: Sequence[Candles]) -> Candles:
    if len(pieces) == 1:
        return pieces[0]
    return Candles._make(map(np.concatenate, zip(*pieces, strict=True)))


def grouped(parts: Candles, starts: NDArray[np.int64]) -> Candles:
    """Put consecutive parts together that belong to the same candle, by the candles' open times."""
    candle = starts.searchsorted(parts.open_time, side="right") - 1
    if len(candle) <= 1:
        return parts._replace(open_time=starts[candle])
    first = np.concatenate(([0], np.flatnonzero(np.diff(candle)) + 1))
    last = np.append(first[1:], len(candle)) - 1
    return Candles(
        starts[candle[first]],
        parts.open[first],
        np.maximum.reduceat(parts.high, first),
        np.minimum.reduceat(parts.low, first),
        parts.close[last],
        *(np.add.reduceat(column, first) for column in parts[5:]),
    )
