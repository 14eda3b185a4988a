"""Paper trading: the local exchange follows another exchange's public market data.

Two connections bring what happens there, ``/market`` with trades, mark prices and candles and ``/public`` with the best
prices, and REST what they lack. Only public data is asked for, without a key, and nothing is ever sent but
subscriptions, which stand in the addresses.

A connection that ends, as the exchange ends each after 24 hours, is made anew, the second time after a pause that
doubles. What happened meanwhile is asked for over REST once the streams flow again, so that nothing is missed. Where
prices grow too old although the connections stand, they are made anew, too.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiohttp

from rl_trader.download.client import all_of
from rl_trader.download.recent import REST_URL
from rl_trader.errors import ConfigError, DataError, DownloadError
from rl_trader.klines import interval_ms
from rl_trader.local_exchange.assembly import Assembly, Setup, assemble_following, machine_ms
from rl_trader.local_exchange.market.live import STALE_AFTER_MS, LiveMarket
from rl_trader.local_exchange.market.live_news import parse_news
from rl_trader.local_exchange.market.live_questions import DERIVED, ask_fundings, ask_klines, ask_snapshot
from rl_trader.local_exchange.market.live_symbol import Missing, Need
from rl_trader.local_exchange.market.live_terms import ask_beginnings
from rl_trader.local_exchange.shells.feed_rest import PublicData
from rl_trader.local_exchange.venue import Venue

STREAM_URL: Final = "wss://fstream.binance.com"
DEFAULT_INTERVAL: Final = "1m"
TICK_S: Final = 0.05  # between two looks at the clock
BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 60.0
RETRY_S: Final = 1.0  # before what was not answered is asked for again
HEARTBEAT_S: Final = 30.0  # between pings; a connection that does not answer one ends

_BEST_PRICES: Final = "bookTicker"  # which have a connection of their own
_CLOSE_S: Final = 1.0  # that the other end has to say good-bye
_RATE_EARLY_MS: Final = 60_000  # a settlement may be stamped before its hour

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The exchange that is followed.

    Raises:
        ConfigError: If fewer than one bar of the past is wanted.
    """

    rest_url: str = REST_URL  # production
    ws_url: str = STREAM_URL
    num_bars: int = 1500  # of the past
    stale_after_ms: int = STALE_AFTER_MS  # age of prices at which nothing is traded any more
    backoff_s: float = BACKOFF_S  # before the second connection; twice as long before each further one

    def __post_init__(self) -> None:
        if self.num_bars < 1:
            raise ConfigError(f"a bar of the past at least must be followed, not {self.num_bars}; choose more")


async def begin_following(
    setup: Setup, followed: Followed, clock_ms: Callable[[], int] = machine_ms
) -> tuple[Assembly, "Feed"]:
    """Return a local exchange that stands where another one stands, and what lets it follow.

    Raises:
        DownloadError: If the address does not answer.
        RlTraderError: If what it answers cannot be followed.
    """
    interval = setup.interval or DEFAULT_INTERVAL
    interval_ms(interval)
    async with aiohttp.ClientSession(trust_env=True) as session:
        rest = PublicData(followed.rest_url, session, followed.backoff_s)
        beginnings = await ask_beginnings(rest.ask, setup.symbols, interval, followed.num_bars, setup.data)
        for url in stream_addresses(followed.ws_url, setup.symbols, interval):
            await _try_stream(url, session)
    following = assemble_following(setup, beginnings, stale_after_ms=followed.stale_after_ms, session_clock=clock_ms)
    feed = Feed(following.assembly.venue, following.market, followed, interval, clock_ms)
    return following.assembly, feed


def stream_addresses(ws_url: str, symbols: Iterable[str], interval: str) -> tuple[str, str]:
    """Return the addresses of the two connections, which name what they subscribe to."""
    topics = stream_topics(symbols, interval)
    market = "/".join(name for name in topics if not name.endswith(_BEST_PRICES))
    public = "/".join(name for name in topics if name.endswith(_BEST_PRICES))
    base = ws_url.rstrip("/")
    return f"{base}/market/stream?streams={market}", f"{base}/public/stream?streams={public}"


def stream_topics(symbols: Iterable[str], interval: str) -> list[str]:
    """Return the names of the streams by which symbols are followed."""
    topics = ("aggTrade", "markPrice@1s", f"kline_{interval}", _BEST_PRICES)
    return [f"{symbol.lower()}@{topic}" for symbol in symbols for topic in topics]


async def _try_stream(url: str, session: aiohttp.ClientSession) -> None:
    try:
        async with session.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S)):
            pass
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise DownloadError(
            f"{url} must stream to be followed and does not ({error or type(error).__name__}); check the address and "
            "the network, and start again"
        ) from error


class Feed:
    """Lets a market follow another exchange.

    Args:
        venue: Of the market.
        market: That follows.
        followed: Where.
        interval: Of the bars.
        clock_ms: The machine's time.
    """

    def __init__(
        self, venue: Venue, market: LiveMarket, followed: Followed, interval: str, clock_ms: Callable[[], int]
    ) -> None:
        self._venue, self._market = venue, market
        self._followed, self._interval = followed, interval
        self._clock_ms = clock_ms
        self._addresses = stream_addresses(followed.ws_url, venue.exchange.quotes, interval)
        self._news = asyncio.Event()
        self._num_open = 0  # connections
        self._asking: dict[tuple[Missing, str], asyncio.Task[None]] = {}
        self._not_before_s: dict[tuple[Missing, str], float] = {}  # on the loop's clock

    async def run(self) -> None:
        """Follow for ever."""
        try:
            async with aiohttp.ClientSession(trust_env=True) as session:
                rest = PublicData(self._followed.rest_url, session, self._followed.backoff_s)
                await all_of([self._play_for_ever(rest), self._listen_for_ever(session)])
        except Exception:
            _log.exception("the market is not followed any more")
            raise
        finally:
            self._stop_asking()

    # What happens

    async def _play_for_ever(self, rest: PublicData) -> None:
        """Let happen what was told, at once or when the clock has gone on."""
        while True:
            self._news.clear()
            self._venue.advance(self._clock_ms())
            self._ask_for_needs(rest)
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._news.wait()

    def _ask_for_needs(self, rest: PublicData) -> None:
        """Ask for what is missing, each thing once at a time; only while the streams tell what comes after it."""
        if self._num_open < len(self._addresses):
            return
        for key, task in tuple(self._asking.items()):
            if task.done():
                del self._asking[key]
                task.result()
        now_s = asyncio.get_running_loop().time()
        for need in self._market.needs(self._clock_ms()):
            key = need.missing, need.symbol
            if key not in self._asking and now_s >= self._not_before_s.get(key, 0.0):
                self._asking[key] = asyncio.create_task(self._ask_for(need, rest))

    async def _ask_for(self, need: Need, rest: PublicData) -> None:
        is_sure = need.missing is not Missing.RATE  # a rate may be answered only some seconds after its time
        try:
            await self._answer(need, rest)
        except (DownloadError, DataError) as error:
            _log.warning("%s", error)
            is_sure = False
        if not is_sure:
            self._not_before_s[need.missing, need.symbol] = asyncio.get_running_loop().time() + RETRY_S
        self._news.set()

    async def _answer(self, need: Need, rest: PublicData) -> None:
        symbol, since_ms = need.symbol, need.since_ms
        match need.missing:
            case Missing.SNAPSHOT:
                snapshot = await ask_snapshot(rest.ask, symbol, self._interval, since_ms)
                self._market.catch_up(symbol, snapshot, self._clock_ms())
            case Missing.RATE:
                self._market.learn_rates(symbol, await ask_fundings(rest.ask, symbol, since_ms - _RATE_EARLY_MS))
            case Missing.DERIVED:
                span = since_ms, max(self._market.now_ms, since_ms)
                klines = {
                    series: await ask_klines(rest.ask, series, symbol, self._interval, span) for series in DERIVED
                }
                self._market.amend(symbol, klines)

    def _stop_asking(self) -> None:
        for task in self._asking.values():
            task.cancel()
        self._asking.clear()

    # What is told

    async def _listen_for_ever(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        wait_s = 0.0
        while True:
            begun_s = loop.time()
            try:
                await all_of([self._end_when_stale(), *(self._listen(url, session) for url in self._addresses)])
            except (aiohttp.ClientError, OSError, TimeoutError, DataError) as error:
                _log.warning("the streams of %s ended: %s", self._followed.ws_url, error or type(error).__name__)
            self._stop_asking()
            self._market.lose()
            if loop.time() - begun_s > MAX_BACKOFF_S:
                wait_s = 0.0
            await asyncio.sleep(wait_s)
            wait_s = min(max(2 * wait_s, self._followed.backoff_s), MAX_BACKOFF_S)

    async def _listen(self, url: str, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientWSTimeout(ws_close=_CLOSE_S)
        async with session.ws_connect(url, heartbeat=HEARTBEAT_S, timeout=timeout) as socket:
            self._num_open += 1
            try:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT and (news := parse_news(message.data)) is not None:
                        self._market.receive(news)
                        self._news.set()
            finally:
                self._num_open -= 1
        raise aiohttp.ClientConnectionError(f"the server closed the connection with the code {socket.close_code}")

    async def _end_when_stale(self) -> None:
        """End the connections if prices are too old although they stand."""
        while True:
            await asyncio.sleep(self._followed.stale_after_ms / 1000)
            if self._market.halted:
                raise aiohttp.ClientConnectionError(f"prices of {', '.join(self._market.halted)} are too old")
