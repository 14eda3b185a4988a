"""Feeds of candles and of the ticker of a day.

Every candle of a subscribed interval is closed exactly once, in order, and nothing of the next one comes before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Final

import numpy as np

from rl_trader.local_exchange.endpoints.klines import Row, kline_rows
from rl_trader.local_exchange.market.candles import Series
from rl_trader.local_exchange.market.history import Window
from rl_trader.local_exchange.market.intervals import ending_times, opening_times
from rl_trader.local_exchange.market.market import Market, Ticker
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.streams.feeds import Moment, News, Pace
from rl_trader.local_exchange.streams.market_messages import Payload, kline_fields
from rl_trader.local_exchange.streams.names import Stream

_AT_ONCE: Final = 500  # candles that are asked for
_NO_TRADE: Final = -1  # stands for the id of a trade where there is none
_TIME_OF: Final = attrgetter("time_ms")

KlineMessage = Callable[[Payload, str, int], Payload]
TickerMessage = Callable[[Ticker, Recording, int], Payload]


class KlineFeed:
    """The candles of a symbol, as they form and when they are over.

    Args:
        market: Has them.
        stream: Which of them, and how often while they form.
        message: Makes an event of a candle.
        moment: From when on.
    """

    def __init__(self, market: Market, stream: Stream, message: KlineMessage, moment: Moment) -> None:
        self._market, self._symbol, self._interval = market, stream.symbol, stream.interval
        self._pace = Pace(stream.rate_ms)
        self._message = message
        self._forming: Row = []  # as it was told last
        self._next_open = _opening_time(self._interval, moment.over_ms + 1)  # of the first candle that is not closed
        self._next_end = _ending_time(self._interval, self._next_open)

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the candles that are over since, and the one that forms if it has changed and is due."""
        while self._next_end <= moment.over_ms + 1:
            yield from self._closed(moment)
        if moment.played_ms >= self._next_open and self._pace.allows(self._symbol, moment.now_ms):
            rows = [row for row in self._rows(1) if row[0] == self._next_open]
            if rows and rows[0] != self._forming:
                self._forming = rows[0]
                self._pace.note(self._symbol, moment.now_ms)
                yield self._event(rows[0], moment, is_closed=False)

    def _closed(self, moment: Moment) -> Iterator[News]:
        """Yield candles that are over, and go on to the one after them."""
        rows = self._rows(_AT_ONCE)
        for row in rows:
            open_time = row[0]
            assert isinstance(open_time, int)
            row_end = _ending_time(self._interval, open_time)
            if row_end > moment.over_ms + 1:
                break
            self._next_open = row_end
            yield self._event(row, moment, is_closed=True)
        if len(rows) < _AT_ONCE:  # the rest of the time is a hole, or has not come
            self._next_open = _opening_time(self._interval, moment.over_ms + 1)
        self._next_end = _ending_time(self._interval, self._next_open)

    def _rows(self, limit: int) -> list[Row]:
        window = Window(limit, since_ms=self._next_open)
        candles = self._market.klines(self._symbol, Series.LAST, self._interval, window)
        return kline_rows(self._market.recordings[self._symbol], Series.LAST, self._interval, candles)

    def _event(self, row: Row, moment: Moment, *, is_closed: bool) -> News:
        open_time, close_time = row[0], row[6]
        assert isinstance(open_time, int)
        assert isinstance(close_time, int)
        fields = kline_fields(row, self._interval, self._trade_ids(open_time, close_time), is_closed=is_closed)
        return News(self._message(fields, self._symbol, moment.now_ms), is_superseded=not is_closed)

    def _trade_ids(self, open_time: int, close_time: int) -> tuple[int, int]:
        """Return the numbers of the first and last trade of a candle, as far as trades are remembered."""
        tape = self._market.quotes(self._symbol).tape
        first = bisect_left(tape, open_time, key=_TIME_OF)
        stop = bisect_right(tape, close_time, key=_TIME_OF)
        return (tape[first].trade_id, tape[stop - 1].trade_id) if first < stop else (_NO_TRADE, _NO_TRADE)


class TickerFeed:
    """What symbols did in 24 hours, those that have changed.

    Args:
        market: Has them.
        symbols: Which.
        rate_ms: Least time between two looks.
        message: Makes an event of a ticker.
    """

    def __init__(self, market: Market, symbols: Sequence[str], rate_ms: int, message: TickerMessage) -> None:
        self._market, self._symbols = market, symbols
        self._pace = Pace(rate_ms)
        self._message = message
        self._seen: dict[str, Ticker] = {}

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the tickers that have changed."""
        for symbol in self._pace.due(self._symbols, moment):
            if self._market.quotes(symbol).last <= 0:
                continue
            self._pace.note(symbol, moment.now_ms)
            ticker = self._market.ticker(symbol)
            told, self._seen[symbol] = self._seen.get(symbol), ticker._replace(open_ms=0, close_ms=0)
            if self._seen[symbol] != told:
                yield News(self._message(ticker, self._market.recordings[symbol], moment.now_ms), is_superseded=True)


def _opening_time(interval: str, time_ms: int) -> int:
    return int(opening_times(interval, np.array([time_ms], np.int64))[0])


def _ending_time(interval: str, open_time: int) -> int:
    return int(ending_times(interval, np.array([open_time], np.int64))[0])
