"""Messages a second that the live trader's streams take, while every event of the account has to arrive.

A bare server writes as fast as its sockets take it: candles that form and mark prices on one connection, events of the
account on another. The trader's own streams read them; what is read of the account becomes events of the core.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final, cast

import aiohttp
from aiohttp import web

from agents.benchmark.effort import Effort
from agents.benchmark.live.decisions import live_hash
from agents.benchmark.live.stage import BAR_MS, INTERVAL
from agents.benchmark.market import SYMBOL
from agents.benchmark.measure import Contest
from rl_trader.contract import load_terms
from rl_trader.live.core.events import FillSeen
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.secrets import Credentials, Secret
from rl_trader.live.exchange.server_clock import Sample, ServerClock
from rl_trader.live.exchange.venue import Gate, Venue
from rl_trader.live.exchange.wire import AiohttpTransport
from rl_trader.live.reading import user_events
from rl_trader.live.redaction import Redactor
from rl_trader.live.streams.bar_series import BarSeries, SeriesNeeds
from rl_trader.live.streams.line_keeper import Backoff
from rl_trader.live.streams.market_feed import MarketFeed
from rl_trader.live.streams.market_news import FeedEvent
from rl_trader.live.streams.market_stream import MarketData, MarketStream
from rl_trader.live.streams.sockets import Dialer, MachineClock
from rl_trader.live.streams.user_stream import UserEvent, UserItem, UserStream

EVENT_EVERY: Final = 100  # messages; one of them is an event of the account

_START_MS: Final = 1_704_067_200_000
_PATIENCE_S: Final = 120.0
_LOOK_S: Final = 0.001
_AT_ONCE: Final = 100  # frames that are written together
_MOST_WAITING: Final = 2**20  # bytes, of a connection
_SHORT: Final = 125  # bytes of a frame that has no length of its own
_GREETING: Final = 2  # mark prices with which a connection begins; one alone is not believed


@contextmanager
def line(effort: Effort) -> Iterator[Contest]:
    """Messages a second of a burst, beside a client that only counts them."""
    with server() as port, asyncio.Runner() as runner:
        yield Contest(
            subject=lambda: runner.run(take(port, effort.num_messages)),
            reference=lambda: runner.run(_count(port, effort.num_messages)),
            reference_name="a bare aiohttp client that counts",
            config=live_hash(),
        )


class _Account:
    """Counts the trades that are told; none may lack or come twice."""

    def __init__(self) -> None:
        self.trades: list[int] = []

    async def take(self, item: UserItem) -> None:
        """Take an item of the stream."""
        if isinstance(item, UserEvent):
            events = user_events(item.payload, SYMBOL)
            self.trades += [event.trade_id for event in events if isinstance(event, FillSeen)]


async def take(port: int, num_messages: int) -> float:
    """Return messages a second.

    Raises:
        RuntimeError: If an event of the account is lost.
    """
    account, feed, num_events = _Account(), _feed(), num_messages // EVENT_EVERY
    async with _streams(port, account, feed):
        await _until(lambda: feed.mark is not None)
        account.trades.clear()
        await _ask(port, "make", num_messages)
        begin = time.perf_counter()
        await _ask(port, "flood", num_messages)
        last_ms = _START_MS + num_messages
        await _until(lambda: feed.mark.stamp_ms >= last_ms and len(account.trades) >= num_events)  # type: ignore[union-attr]
        elapsed = time.perf_counter() - begin
        if account.trades != list(range(num_events)):
            raise RuntimeError(f"{num_events} events were sent and {len(account.trades)} told; none may be lost")
    return num_messages / elapsed


def _feed() -> MarketFeed:
    needs = SeriesNeeds(terms=load_terms(SYMBOL, None), interval=INTERVAL, num_bars=1, mark_intervals=())
    return MarketFeed(BarSeries(needs))


@asynccontextmanager
async def _streams(port: int, account: _Account, feed: MarketFeed) -> AsyncIterator[None]:
    venue = Venue.paper(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}")
    gate, clock = Gate(venue), MachineClock()
    server_clock = ServerClock(clock.monotonic_ms)
    server_clock.set_by([Sample(clock.monotonic_ms(), clock.monotonic_ms(), _START_MS)])
    dialer, transport = Dialer(gate, venue.streams), AiohttpTransport(gate)
    credentials = Credentials(key=Secret("key"), secret=Secret("secret"))
    rest = Rest(venue, transport, server_clock, redactor=Redactor(), credentials=credentials)
    data = MarketData([feed], rest, clock, _ignore)
    market = MarketStream(dialer, [(SYMBOL, INTERVAL)], data.take, clock, Backoff(lambda: 0.5))
    user = UserStream(dialer, rest, account.take, clock, Backoff(lambda: 0.5))
    tasks = [asyncio.create_task(work) for work in (data.run(), market.run(), user.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await dialer.close()
        await rest.close()


async def _ignore(_event: FeedEvent) -> None:
    """Take what a feed tells."""


async def _count(port: int, num_messages: int) -> float:
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/market/stream") as socket:
        await _ask(port, "make", num_messages)
        begin = time.perf_counter()
        await _ask(port, "flood", num_messages)
        for _ in range(_GREETING + num_messages - num_messages // EVENT_EVERY):
            await socket.receive()
        return num_messages / (time.perf_counter() - begin)


async def _ask(port: int, what: str, num_messages: int) -> None:
    async with aiohttp.ClientSession() as session:
        await session.post(f"http://127.0.0.1:{port}/{what}", params={"messages": num_messages})


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not is_so():
            await asyncio.sleep(_LOOK_S)


# The server


class _Flood:
    """Sends what it is asked to, to everybody who listens."""

    def __init__(self, first_trade: int) -> None:
        self._first_trade = first_trade
        self._market: set[asyncio.Transport] = set()
        self._account: set[asyncio.Transport] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, app: web.Application) -> None:
        """Add its routes."""
        app.router.add_post("/fapi/v1/listenKey", self._listen_key)
        app.router.add_get("/fapi/v1/time", self._time)
        app.router.add_get("/fapi/v1/{rows}", self._no_rows)
        app.router.add_post("/make", self._make)
        app.router.add_post("/flood", self._begin)
        app.router.add_get("/private/{path:.*}", lambda request: self._serve(request, self._account))
        app.router.add_get("/market/{path:.*}", lambda request: self._serve(request, self._market))

    async def _listen_key(self, _request: web.Request) -> web.Response:
        return web.json_response({"listenKey": "bench"})

    async def _time(self, _request: web.Request) -> web.Response:
        return web.json_response({"serverTime": _START_MS})

    async def _no_rows(self, _request: web.Request) -> web.Response:
        return web.json_response([])

    async def _serve(self, request: web.Request, connections: set[asyncio.Transport]) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        connection = cast("asyncio.Transport", request.transport)
        connections.add(connection)
        if connections is self._market:
            for number in range(_GREETING):
                await socket.send_str(_mark(_START_MS + number))
        async for _ in socket:
            pass
        connections.discard(connection)
        return socket

    async def _make(self, request: web.Request) -> web.Response:
        number = int(request.query["messages"])
        _account_frames(self._first_trade, number // EVENT_EVERY)
        _market_frames(number - number // EVENT_EVERY, number)
        return web.json_response({})

    async def _begin(self, request: web.Request) -> web.Response:
        task = asyncio.create_task(self._send(int(request.query["messages"])))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.json_response({})

    async def _send(self, num_messages: int) -> None:
        num_events = num_messages // EVENT_EVERY
        market, account = (
            _market_frames(num_messages - num_events, num_messages),
            _account_frames(self._first_trade, num_events),
        )
        pairs = [*((each, market) for each in self._market), *((each, account) for each in self._account)]
        await asyncio.gather(*(_write(connection, frames) for connection, frames in pairs))


async def _write(connection: asyncio.Transport, frames: Sequence[bytes]) -> None:
    """Write frames as fast as they are taken, all that are ready at once: a server must not be what limits."""
    for part in frames:
        while connection.get_write_buffer_size() > _MOST_WAITING and not connection.is_closing():
            await asyncio.sleep(_LOOK_S)
        if connection.is_closing():
            return
        connection.write(part)
        await asyncio.sleep(0)


def _frame(text: str) -> bytes:
    """Return a text as a frame of WebSocket, from a server (RFC 6455, section 5.2)."""
    payload = text.encode()
    if len(payload) <= _SHORT:
        return bytes((0x81, len(payload))) + payload
    return bytes((0x81, _SHORT + 1)) + len(payload).to_bytes(2, "big") + payload


def _parts(texts: Iterable[str]) -> tuple[bytes, ...]:
    frames = [_frame(text) for text in texts]
    return tuple(b"".join(frames[begin : begin + _AT_ONCE]) for begin in range(0, len(frames), _AT_ONCE))


@lru_cache(maxsize=1)
def _market_frames(number: int, last: int) -> tuple[bytes, ...]:
    return _parts(_market_texts(number, last))


@lru_cache(maxsize=1)
def _account_frames(first: int, number: int) -> tuple[bytes, ...]:
    return _parts(map(_trade, range(first, first + number)))


def _market_texts(number: int, last: int) -> Iterator[str]:
    """Yield candles that form and mark prices in turn; the last is a mark price with the last stamp."""
    for n in range(number - 1):
        yield _mark(_START_MS + n) if n % 2 else _candle(_START_MS + n)
    yield _mark(_START_MS + last)


def _mark(stamp: int) -> str:
    hours = 8 * 3_600_000
    data = {"e": "markPriceUpdate", "E": stamp, "s": SYMBOL, "p": "50000.10", "i": "50001.2", "r": "0.0001"}
    data |= {"T": (stamp // hours + 1) * hours}
    return json.dumps({"stream": "btcusdt@markPrice@1s", "data": data})


def _candle(stamp: int) -> str:
    candle = dict.fromkeys("ohlcvqVQ", "50000.1") | {"t": stamp // BAR_MS * BAR_MS, "n": 5, "x": False, "i": INTERVAL}
    candle |= {"T": stamp // BAR_MS * BAR_MS + BAR_MS - 1, "s": SYMBOL, "f": 1, "L": 5, "B": "0"}
    return json.dumps({"stream": "s", "data": {"e": "kline", "E": stamp, "s": SYMBOL, "k": candle}})


def _trade(number: int) -> str:
    order = {"s": SYMBOL, "c": "rlt1-a-1", "S": "BUY", "x": "TRADE", "X": "PARTIALLY_FILLED", "i": 7, "t": number}
    order |= {"l": "0.001", "z": "0.001", "L": "50000.1", "n": "0.02", "rp": "0"}
    return json.dumps({"e": "ORDER_TRADE_UPDATE", "T": _START_MS, "E": _START_MS, "o": order})


@contextmanager
def server(first_trade: int = 0) -> Iterator[int]:
    """Run the server in a process of its own; trades are numbered from ``first_trade`` on, and should be from 0."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, first_trade), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def _run(connection: Connection, first_trade: int) -> None:
    asyncio.run(_run_until_told(connection, first_trade))


async def _run_until_told(connection: Connection, first_trade: int) -> None:
    app = web.Application()
    _Flood(first_trade).add(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    connection.send(runner.addresses[0][1])
    await asyncio.to_thread(connection.recv)
    await runner.cleanup()
