"""The live trader's streams on a local exchange behind a port, whose market moves when a test says so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

import aiohttp

from rl_trader.contract import load_terms
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.venue import Gate, Venue
from rl_trader.live.exchange.wire import AiohttpTransport
from rl_trader.live.streams.bar_series import BarSeries, SeriesNeeds
from rl_trader.live.streams.line_keeper import Backoff, LineLimits
from rl_trader.live.streams.market_feed import FeedLimits, MarketFeed
from rl_trader.live.streams.market_news import FeedEvent
from rl_trader.live.streams.market_stream import Item, MarketData, MarketStream
from rl_trader.live.streams.sockets import Caller, Dialer, MachineClock, Patience
from rl_trader.live.streams.user_stream import KeyLimits, UserItem, UserStream
from rl_trader.local_exchange.shells.http import HttpServer
from rl_trader.local_exchange.shells.server_thread import ServerThread
from rl_trader.local_exchange.shells.websocket import StreamRoutes
from rl_trader.local_exchange.streams.connection import GOING_AWAY
from tests.fault_stage import FaultStage
from tests.live_rest_stage import make_rest

T = TypeVar("T")

DEADLINE_S = 60.0  # until what must come has come, on a machine that does much else
CALM = LineLimits(stall_ms=600_000)  # the market stands still between two words of the test
QUICK = FeedLimits(stale_ms=600_000, fetch_ms=200, marks_ms=0, late_ms=600_000, first_retry_ms=50)


class Heard(Generic[T]):
    """What has been told, and a way to wait for it."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._news = asyncio.Condition()

    async def take(self, item: T) -> None:
        """Keep an item."""
        async with self._news:
            self.items.append(item)
            self._news.notify_all()

    async def until(self, is_met: Callable[[list[T]], Any]) -> None:
        """Wait until what has been told fulfils a condition."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: is_met(self.items))

    async def of(self, kind: type[Any], number: int = 1) -> list[Any]:
        """Wait until so many items of a kind were told, and return them."""
        await self.until(lambda items: sum(isinstance(item, kind) for item in items) >= number)
        return [item for item in self.items if isinstance(item, kind)]


class StreamStage(FaultStage):
    """An exchange whose connections can be seen while it is served."""

    def serving(self) -> ServerThread:
        """Return a server of the exchange; the market stands still meanwhile."""
        self.routes = StreamRoutes(
            self.venue.hub, self.venue.session_ms, interceptor=self.faults.pass_frame, handshakes=self.faults
        )
        self.faults.attach(self.routes)
        server = HttpServer(
            self._dispatcher, ws_api=self._ws_api, add_routes=(self.routes.add_routes,), interceptor=self.faults
        )
        return ServerThread(server)

    def end_connections(self) -> None:
        """End every connection, as the exchange does before it goes away."""
        for connection in self.routes.connections:
            connection.close(GOING_AWAY, "test")


class Port:
    """An exchange behind a port, and what a client of it is made with."""

    def __init__(self, stage: StreamStage, server: ServerThread) -> None:
        self.stage, self._server = stage, server
        venue = Venue.paper(server.url, server.ws_url)
        self.gate = Gate(venue)
        self.rest: Rest = make_rest(
            AiohttpTransport(self.gate), stage.keys["main"], stage.venue.session_ms, venue=venue
        )
        self.dialer = Dialer(self.gate, venue.streams, Patience(connect_s=20.0, ping_s=20.0))
        self.clock = MachineClock()

    async def do(self, function: Callable[[], T]) -> T:
        """Let something happen at the exchange."""
        return await asyncio.get_running_loop().run_in_executor(None, self._server.call, function)

    async def lines(self, number: int) -> None:
        """Wait until the exchange has so many connections."""
        async with asyncio.timeout(DEADLINE_S):
            while len(await self.do(lambda: self.stage.routes.connections)) != number:
                await asyncio.sleep(0)

    def backoff(self) -> Backoff:
        """Return pauses of some milliseconds."""
        return Backoff(lambda: 0.5, first_ms=20, most_ms=100)


@asynccontextmanager
async def serving(stage: StreamStage) -> AsyncIterator[Port]:
    """Serve a stage's exchange."""
    with stage.serving() as server:
        port = Port(stage, server)
        try:
            yield port
        finally:
            await port.dialer.close()
            await port.rest.close()
            # What was given up while it was being connected is there by now, and is closed with the server.
            with suppress(aiohttp.ClientError):
                async with aiohttp.ClientSession() as session, session.get(f"{server.url}/fapi/v1/ping"):
                    pass


@asynccontextmanager
async def running(*runs: Awaitable[None]) -> AsyncIterator[None]:
    """Let something run meanwhile; what it raises is raised here."""
    task = asyncio.ensure_future(asyncio.gather(*runs))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def user_stream(
    port: Port, line_limits: LineLimits = CALM, key_limits: KeyLimits | None = None
) -> AsyncIterator[tuple[UserStream, Heard[UserItem]]]:
    """Follow the first account."""
    heard: Heard[UserItem] = Heard()
    stream = UserStream(port.dialer, port.rest, heard.take, port.clock, port.backoff(), line_limits, key_limits)
    async with running(stream.run()):
        yield stream, heard


class Market:
    """A followed market."""

    def __init__(self, port: Port, line_limits: LineLimits, limits: FeedLimits, caller: Caller) -> None:
        terms = load_terms("BTCUSDT")
        needs = SeriesNeeds(terms=terms, interval="30m", num_bars=2, mark_intervals=("30m",))
        self.feed = MarketFeed(BarSeries(needs), limits)
        self.events: Heard[FeedEvent] = Heard()
        self.items: Heard[Item] = Heard()
        self.data = MarketData([self.feed], caller, port.clock, self.events.take)
        self.stream = MarketStream(
            port.dialer, [("BTCUSDT", "30m")], self._take, port.clock, port.backoff(), line_limits
        )

    async def _take(self, item: Item) -> None:
        await self.data.take(item)
        await self.items.take(item)

    async def ready(self, port: Port) -> None:
        """Wait until everything before the open bar is there."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.feed.series.is_ready(port.stage.venue.market_ms()):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def market(
    port: Port, line_limits: LineLimits = CALM, limits: FeedLimits = QUICK, caller: Caller | None = None
) -> AsyncIterator[Market]:
    """Follow BTCUSDT."""
    followed = Market(port, line_limits, limits, caller or port.rest)
    async with running(followed.data.run(), followed.stream.run()):
        yield followed
