"""The market's streams over sockets, and what keeps feeds going with them and with REST.

One connection carries the candles and the mark price of every symbol. The mark price comes every second and is the sign
of life: where it fails to come for 4.5 seconds a second connection is made, and the first one is dropped when the
second one brings something. While one has not been taken yet, a newer mark price or a newer state of a candle that
forms takes its place; candles that are over are kept. Where even those are too many, all that waits is left out, and
what happened is asked for over REST, as after a connection was lost.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, NamedTuple

from rl_trader.bars import MS_PER_DAY, MS_PER_HOUR
from rl_trader.live.exchange.endpoints import kline_stream, mark_price_stream, market_path
from rl_trader.live.exchange.outcome import Kind, classify
from rl_trader.live.streams.line_keeper import Backoff, LineKeeper, LineLimits, Reason
from rl_trader.live.streams.market_feed import MarketFeed
from rl_trader.live.streams.market_news import Call, FeedEvent, KlineNews, MarkNews, News, Unreadable
from rl_trader.live.streams.market_rows import is_price, is_rate, is_stamp
from rl_trader.live.streams.sockets import Caller, Clock, Dialer, Line, Lines, Waiting

LIMITS: Final = LineLimits(stall_ms=4_500)
TICK_MS: Final = 100  # between two looks at the feeds
MOST_WAITING: Final = 10_000  # items

_CANDLE: Final = "tohlcvTqnVQB"  # a candle's fields, in the columns of REST
_SHOWN: Final = 100  # characters of a frame that a reason quotes
_DECODER: Final = json.JSONDecoder(parse_float=str, parse_constant=str)


class StreamUp(NamedTuple):
    """The streams are subscribed to, and may have told nothing before."""

    why: Reason


class StreamDown(NamedTuple):
    """No connection carries the streams."""


Item = News | StreamUp | StreamDown


class MarketStream:
    """The streams of candles and mark prices.

    Args:
        dialer: Opens connections.
        streams: Symbols with the intervals of their candles.
        tell: Awaited with everything that comes, in order.
        clock: Of the connections.
        backoff: Between attempts.
        limits: How long connections are trusted.
    """

    def __init__(
        self,
        dialer: Dialer,
        streams: Sequence[tuple[str, str]],
        tell: Callable[[Item], Awaitable[None]],
        clock: Clock,
        backoff: Backoff,
        limits: LineLimits = LIMITS,
    ) -> None:
        self.waiting: Waiting[Item] = Waiting()
        self._dialer, self._tell = dialer, tell
        names = [name for symbol, bars in streams for name in (kline_stream(symbol, bars), mark_price_stream(symbol))]
        self._path = market_path(*dict.fromkeys(names))
        self._lines = Lines(self, LineKeeper(limits, backoff), clock, ping_s=dialer.patience.ping_s)

    async def run(self) -> None:
        """Keep connected and tell what comes, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lines.run())
            while True:
                await self._tell(await self.waiting.take())

    # What lines are kept for

    async def dial(self, why: Reason) -> Line:
        """Return a new line."""
        return await self._dialer.open(self._path)

    def take(self, line: Line, text: str) -> None:
        """Take a frame."""
        news = parse_market_frame(text)
        if news is None:
            return
        if isinstance(news, MarkNews):
            self._lines.hear(line)
        if len(self.waiting) >= MOST_WAITING:
            self.waiting.clear()
            self.waiting.put(StreamUp(Reason.ASKED))
        self.waiting.put(news, superseded_by=_kind_of(news))

    def on_pong(self, line: Line) -> None:
        """Take no notice: what counts is whether prices come."""

    def on_open(self, line: Line, why: Reason) -> None:
        """Tell that the streams are subscribed to."""
        self.waiting.put(StreamUp(why))

    def on_down(self) -> None:
        """Tell that they are not any more."""
        self.waiting.put(StreamDown())


class MarketData:
    """Feeds of symbols on the streams and on REST.

    Args:
        feeds: One a symbol.
        caller: Calls over REST.
        clock: Of the feeds.
        tell: Awaited with every event, in order.
    """

    def __init__(
        self,
        feeds: Sequence[MarketFeed],
        caller: Caller,
        clock: Clock,
        tell: Callable[[FeedEvent], Awaitable[None]],
    ) -> None:
        self._feeds, self._caller, self._clock, self._tell = tuple(feeds), caller, clock, tell
        self._events: Waiting[FeedEvent] = Waiting()
        self._news = asyncio.Event()  # something has come that may have to be asked about

    async def take(self, item: Item) -> None:
        """Take what the streams tell."""
        now_ms = self._clock.monotonic_ms()
        for feed in self._feeds:
            match item:
                case StreamUp():
                    self._put(feed.connect(now_ms))
                case StreamDown():
                    self._put(feed.disconnect(now_ms))
                case _:
                    self._put(feed.receive(item, now_ms))
        self._news.set()

    async def run(self) -> None:
        """Ask what is to be asked and tell what is to be told, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask(group))
            group.create_task(self._tick())
            while True:
                await self._tell(await self._events.take())

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(TICK_MS)
            self._news.set()

    async def _ask(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            now_ms = self._clock.monotonic_ms()
            for feed in self._feeds:
                self._put(feed.tick(now_ms))
                for call in feed.wants(now_ms):
                    group.create_task(self._call(feed, call))

    async def _call(self, feed: MarketFeed, call: Call) -> None:
        outcome = classify(await self._caller.call(call.name, **call.params))
        now_ms = self._clock.monotonic_ms()
        if outcome.kind is Kind.ACKED:
            self._put(feed.answer(call, outcome.data, now_ms))
        else:
            self._put(feed.fail(call, now_ms))
        self._news.set()

    def _put(self, events: Sequence[FeedEvent]) -> None:
        for event in events:
            self._events.put(event)


def parse_market_frame(text: str) -> News | None:
    """Return what a frame of the market's streams tells; None of what is not followed, as answers and other events."""
    try:
        frame: object = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return Unreadable(f"a frame must be JSON and is {text[:_SHOWN]!r}; it is left out")
    if isinstance(frame, dict) and "stream" in frame:
        frame = frame.get("data")
    if not isinstance(frame, dict):
        return None
    match frame.get("e"):
        case "kline":
            return _kline(frame, text)
        case "markPriceUpdate":
            return _mark(frame, text)
    return None


def _kline(frame: dict[str, object], text: str) -> News:
    candle, symbol, stamp = frame.get("k"), frame.get("s"), frame.get("E")
    if isinstance(candle, dict):
        interval, is_closed = candle.get("i"), candle.get("x")
        if isinstance(symbol, str) and isinstance(interval, str) and isinstance(is_closed, bool) and is_stamp(stamp):
            row = tuple(candle.get(name) for name in _CANDLE)
            return KlineNews(symbol, stamp, interval, is_closed, row)
    return Unreadable(f"a candle must have symbol, interval, time and end and is {text[:_SHOWN]!r}; it is left out")


def _mark(frame: dict[str, object], text: str) -> News:
    symbol, stamp, due = frame.get("s"), frame.get("E"), frame.get("T")
    mark, rate = frame.get("p"), frame.get("r")
    is_whole = isinstance(symbol, str) and is_price(mark) and is_rate(rate)
    if not is_whole or not is_stamp(stamp) or not is_stamp(due) or due % MS_PER_HOUR or abs(due - stamp) > MS_PER_DAY:
        wanted = "symbol, price, rate, time and next settlement"
        return Unreadable(f"a mark price must have {wanted} and is {text[:_SHOWN]!r}; it is left out")
    return MarkNews(str(symbol), stamp, str(mark), str(rate), due)


def _kind_of(news: News) -> Hashable | None:
    """Return what a later frame takes the place of a waiting one by; None of what is kept."""
    match news:
        case KlineNews(is_closed=True):
            return None
        case KlineNews():
            return ("kline", news.symbol, news.interval)
        case MarkNews():
            return ("mark", news.symbol)
    return "unreadable"
