"""What has happened of a symbol that is followed: a past that grows.

Candles are those that the followed exchange told, and longer ones are made of them. Shorter ones are not made up, so
that there are none; neither is a part of one, so that the last 24 hours begin with the first bar that opens in them. Of
mark price, index price and premium the candle that forms is made of the samples that the streams bring, and is replaced
by the exchange's own when that is asked for.

Times in milliseconds since 1970 UTC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from rl_trader.bars import MS_PER_DAY
from rl_trader.klines import INTERVAL_MS, MS_PER_MINUTE
from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.market.candles import Candles, Series, grouped
from rl_trader.local_exchange.market.history import Window
from rl_trader.local_exchange.market.intervals import ending_times, opening_times
from rl_trader.local_exchange.market.live_news import Kline
from rl_trader.local_exchange.market.recording import Recording

_LEAST_CAPACITY: Final = 1024  # rows
_NOTHING: Final = Candles(*(np.empty(0, kind) for kind in (np.int64, *[np.float64] * 4, *[np.int64] * 5)))


class Places(NamedTuple):
    """Decimals that numbers are written with."""

    price: int
    amount: int
    quote: int


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveRecording(Recording):
    """What was recorded of a symbol when following began, and how its numbers are written since.

    The followed exchange's digits are kept, so that equal numbers are equal texts.
    """

    written: Places

    @cached_property
    def price_places(self) -> int:
        """Decimals that prices are written with."""
        return self.written.price

    @cached_property
    def amount_places(self) -> int:
        """Decimals of amounts."""
        return self.written.amount

    @cached_property
    def quote_places(self) -> int:
        """Decimals of quote volumes."""
        return self.written.quote


class _Table:
    """Candles of one interval in ascending order, that grow at their end."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._columns = Candles._make(np.empty(_LEAST_CAPACITY, column.dtype) for column in _NOTHING)
        self._num_rows = 0

    @property
    def rows(self) -> Candles:
        """All of them."""
        return Candles._make(column[: self._num_rows] for column in self._columns)

    def put(self, kline: Kline) -> None:
        """Add a candle, or replace the one with its open time."""
        at = int(np.searchsorted(self.rows.open_time, kline.open_time))
        if at == self._num_rows or self._columns.open_time[at] != kline.open_time:
            self._make_room(at)
        for column, value in zip(self._columns, self._values(kline), strict=True):
            column[at] = value

    def sample(self, open_time: int, price: Decimal) -> None:
        """Let the last candle, or a new one, have one more price."""
        last, value = self._num_rows - 1, float(price)
        if last < 0 or self._columns.open_time[last] < open_time:
            self._make_room(last + 1)
            for column, first in zip(self._columns, (open_time, *[value] * 4, 0, 0, 1, 0, 0), strict=True):
                column[last + 1] = first
            return
        columns = self._columns
        columns.high[last] = max(columns.high[last], value)
        columns.low[last] = min(columns.low[last], value)
        columns.close[last] = value
        columns.trades[last] += 1

    def _values(self, kline: Kline) -> tuple[float, ...]:
        return (
            kline.open_time,
            *map(float, kline[1:5]),
            _units(kline.volume, self._places.amount),
            _units(kline.quote_volume, self._places.quote),
            kline.trades,
            _units(kline.taker_buy_volume, self._places.amount),
            _units(kline.taker_buy_quote, self._places.quote),
        )

    def _make_room(self, at: int) -> None:
        """Move the rows from one on by one, which leaves that one free."""
        if self._num_rows == len(self._columns.open_time):
            self._columns = Candles._make(np.concatenate([column, column]) for column in self._columns)
        for column in self._columns:
            column[at + 1 : self._num_rows + 1] = column[at : self._num_rows].copy()
        self._num_rows += 1


class LiveHistory:
    """The past of one symbol, as far as it is known.

    Args:
        recording: Of the symbol.
    """

    def __init__(self, recording: LiveRecording) -> None:
        self._interval, self._interval_ms = recording.interval, recording.interval_ms
        self._tables = {series: _Table(recording.written) for series in Series}
        self._fundings: list[Settlement] = []

    def put(self, series: Series, klines: Iterable[Kline]) -> None:
        """Add candles of the bars' interval, or replace those with their open times."""
        for kline in klines:
            self._tables[series].put(kline)

    def sample(self, open_time: int, prices: Mapping[Series, Decimal]) -> None:
        """Let the candles of a bar that forms have one more price each."""
        for series, price in prices.items():
            self._tables[series].sample(open_time, price)

    def add_funding(self, settlement: Settlement) -> None:
        """Add the next settlement."""
        self._fundings.append(settlement)

    def klines(self, series: Series, interval: str, window: Window, played_ms: int) -> Candles:
        """Return candles of one of the exchange's intervals, the forming one included; none that bars do not make up.

        Args:
            series: What of.
            interval: One of :data:`rl_trader.local_exchange.market.intervals.INTERVALS`.
            window: Of open times.
            played_ms: The last millisecond that has happened.
        """
        rows = self._tables[series].rows
        if INTERVAL_MS.get(interval, MS_PER_DAY) % self._interval_ms:  # months have whole days
            return _NOTHING
        opens = rows.open_time
        if interval != self._interval:
            opens = np.unique(opening_times(interval, opens))
        first, stop = window.rows(opens, played_ms)
        wanted = opens[first:stop]
        if not len(wanted):
            return _NOTHING
        end = int(ending_times(interval, wanted[-1:])[0])
        begin, after = np.searchsorted(rows.open_time, (wanted[0], end))
        return grouped(Candles._make(column[begin:after].copy() for column in rows), wanted)

    def day(self, played_ms: int, now_ms: int) -> tuple[int, Candles]:
        """Return when the 24 hours before a moment began, to the minute, and the one candle of them, if any."""
        since = (now_ms - MS_PER_DAY) // MS_PER_MINUTE * MS_PER_MINUTE
        rows = self._tables[Series.LAST].rows
        begin, after = np.searchsorted(rows.open_time, (since, played_ms + 1))
        if begin == after:
            return since, _NOTHING
        return since, grouped(Candles._make(column[begin:after] for column in rows), np.array([since], np.int64))

    def fundings(self, window: Window, played_ms: int) -> list[Settlement]:
        """Return the funding that has been settled, in ascending order."""
        times = np.array([settlement.time_ms for settlement in self._fundings], np.int64)
        first, stop = window.rows(times, played_ms)
        return self._fundings[first:stop]


def open_time_of(interval: str, time_ms: int) -> int:
    """Return the open time of the bar that contains a time."""
    return int(opening_times(interval, np.array([time_ms], np.int64))[0])


@exact
def _units(value: Decimal, places: int) -> int:
    """Return a number in whole units of ``10 ** -places``."""
    return int(value.scaleb(places).to_integral_value(ROUND_HALF_EVEN))
