"""The local exchange: orders over HTTP, bars in lock-step without a socket, and streams to many subscribers."""

import asyncio
import http.client
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from decimal import Decimal
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final

import aiohttp
from aiohttp import web

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_hash
from agents.benchmark.measure import Contest, Run, rate
from rl_trader.local_exchange.assembly import Assembly, Setup, assemble_lock_step, machine_ms
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.protocol.limits import UNLIMITED
from rl_trader.local_exchange.shells.local import make_server
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.local_exchange.shells.signed_client import SignedClient, signed_query

NUM_SUBSCRIBERS: Final = 50
STREAMS: Final = ("embedded@aggTrade", "embedded@markPrice@1s", "embedded@kline_30m", "embedded@depth20@100ms")
BARS_AT_ONCE: Final = 20  # between two looks at what has arrived
BALANCE: Final = Decimal(100_000_000)

_KEY: Final = "X-MBX-APIKEY"
_ORDER: Final = {"symbol": "EMBEDDED", "type": "MARKET", "quantity": "1"}
_BARE_PATH: Final = "/bare"
_BARE_TEXT: Final = "x" * 200
_BARE_TEXTS: Final = 200  # at once
_PATIENCE_S: Final = 60.0


def _setup() -> Setup:
    return Setup(balance=BALANCE, limits=UNLIMITED)


@contextmanager
def lock_step(effort: Effort) -> Iterator[Contest]:
    """Bars a second with an order in each over the transport without a socket, beside bars without a client."""
    assembly, bare = assemble_lock_step(_setup()), assemble_lock_step(_setup())
    client = SignedClient(MemoryTransport(assembly.dispatcher), assembly.keys[0], assembly.venue.market_ms)
    sides = iter(_sides())

    def trade() -> None:
        client.call("POST", "/fapi/v1/order", side=next(sides), **_ORDER)
        _next_bar(assembly)

    yield Contest(
        subject=rate(trade, 1, effort.seconds),
        reference=rate(lambda: _next_bar(bare), 1, effort.seconds),
        reference_name="bars without a client",
        config=account_hash(),
    )


def _sides() -> Iterator[str]:
    while True:
        yield "BUY"
        yield "SELL"


def _next_bar(assembly: Assembly) -> None:
    if not assembly.venue.to_next_open():
        raise RuntimeError("the embedded market must last longer than a measurement; measure for fewer seconds")


@contextmanager
def orders(effort: Effort) -> Iterator[Contest]:
    """Orders a second over one HTTP connection, beside requests that ask nothing."""
    with _server() as (port, key):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        sides = iter(_sides())

        def order() -> None:
            query = signed_query(key, _ORDER | {"side": next(sides)}, machine_ms())
            _ask(connection, "POST", f"/fapi/v1/order?{query}", {_KEY: key.key})

        yield Contest(
            subject=rate(order, 1, effort.seconds),
            reference=rate(lambda: _ask(connection, "GET", "/fapi/v1/ping", {}), 1, effort.seconds),
            reference_name="pings on the same connection",
            config=account_hash(),
        )
        connection.close()


def _ask(connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]) -> None:
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:  # noqa: PLR2004
        raise RuntimeError(f"{method} {path} was answered {response.status} {body!r}; it should have been taken")


@contextmanager
def streams(effort: Effort) -> Iterator[Contest]:
    """Messages a second to 50 sockets in all, beside the same number of texts from a bare aiohttp server."""
    with _server() as (port, key), asyncio.Runner() as runner:
        yield Contest(
            subject=_run_in(runner, lambda: _deliveries(port, key, effort.seconds)),
            reference=_run_in(runner, lambda: _bare_deliveries(port, effort.seconds)),
            reference_name="a bare aiohttp server's texts",
            config=account_hash(),
        )


def _run_in(runner: asyncio.Runner, measure: Callable[[], Coroutine[Any, Any, float]]) -> Run:
    return lambda: runner.run(measure())


async def _deliveries(port: int, key: ApiKey, seconds: float) -> float:
    """Return messages a second, while an order a round is placed and each of its events has to arrive.

    Raises:
        RuntimeError: If an event of the account is lost.
    """
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(headers={_KEY: key.key}))
        listen_key = (await _json(session.post(f"{url}/fapi/v1/listenKey")))["listenKey"]
        account = await stack.enter_async_context(_listening(session, f"{url}/private/ws/{listen_key}"))
        path = f"{url}/market/stream?streams={'/'.join(STREAMS)}"
        counters = [await stack.enter_async_context(_listening(session, path)) for _ in range(NUM_SUBSCRIBERS)]
        begin, rounds = time.perf_counter(), 0
        while not rounds or time.perf_counter() - begin < seconds:
            query = signed_query(key, _ORDER | {"side": "SELL" if rounds % 2 else "BUY"}, machine_ms())
            await _json(session.post(f"{url}/fapi/v1/order?{query}"))
            await _json(session.post(f"{url}/local/v1/advance", params={"bars": BARS_AT_ONCE}))
            rounds += 1
            await _until(partial(_have_closed, counters, rounds * BARS_AT_ONCE))
        elapsed = time.perf_counter() - begin
        await _until(lambda: account.num_trades >= rounds)
        if account.num_trades != rounds:
            raise RuntimeError(f"{rounds} orders were filled and {account.num_trades} fills told; none may be lost")
        return sum(counter.num_messages for counter in counters) / elapsed


class _Listener:
    """Counts what arrives on a socket."""

    def __init__(self) -> None:
        self.num_messages = self.num_closed = self.num_trades = 0

    async def listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            text = message.data
            self.num_messages += 1
            self.num_closed += '"x":true' in text
            self.num_trades += '"x":"TRADE"' in text


@asynccontextmanager
async def _listening(session: aiohttp.ClientSession, url: str) -> AsyncIterator[_Listener]:
    listener = _Listener()
    async with session.ws_connect(url) as socket:
        task = asyncio.create_task(listener.listen(socket))
        yield listener
        task.cancel()


async def _json(request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> dict[str, str]:
    async with request as response:
        data: dict[str, str] = await response.json()
        if response.status != 200:  # noqa: PLR2004
            raise RuntimeError(f"{response.url.path} was answered {data}; it should have been taken")
        return data


async def _until(is_done: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not is_done():
            await asyncio.sleep(0.001)


def _have_closed(counters: list[_Listener], num_closed: int) -> bool:
    return all(counter.num_closed >= num_closed for counter in counters)


def _have_received(counters: list[_Listener], num_messages: int) -> bool:
    return all(counter.num_messages >= num_messages for counter in counters)


async def _bare_deliveries(port: int, seconds: float) -> float:
    url = f"http://127.0.0.1:{port}{_BARE_PATH}"
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        counters = [await stack.enter_async_context(_listening(session, url)) for _ in range(NUM_SUBSCRIBERS)]
        begin, sent = time.perf_counter(), 0
        while not sent or time.perf_counter() - begin < seconds:
            await _json(session.post(url))
            sent += _BARE_TEXTS
            await _until(partial(_have_received, counters, sent))
        return sum(counter.num_messages for counter in counters) / (time.perf_counter() - begin)


class _BareRoutes:
    """Sends texts of a usual length to everybody who listens."""

    def __init__(self) -> None:
        self._sockets: list[web.WebSocketResponse] = []

    def add(self, app: web.Application) -> None:
        app.router.add_get(_BARE_PATH, self._serve)
        app.router.add_post(_BARE_PATH, self._send)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self._sockets.append(socket)
        async for _ in socket:
            pass
        self._sockets.remove(socket)
        return socket

    async def _send(self, _request: web.Request) -> web.StreamResponse:
        for _ in range(_BARE_TEXTS):
            for socket in self._sockets:
                await socket.send_str(_BARE_TEXT)
        return web.json_response({})


@contextmanager
def _server() -> Iterator[tuple[int, ApiKey]]:
    """Run a local exchange in lock-step in a process of its own; its port, and its account's key."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    yield ours.recv()
    ours.send(None)
    process.join()


def _serve(connection: Connection) -> None:
    asyncio.run(_serve_until_told(connection))


async def _serve_until_told(connection: Connection) -> None:
    assembly = assemble_lock_step(_setup(), machine_ms)
    async with make_server(assembly, add_routes=[_BareRoutes().add]) as server:
        connection.send((server.port, assembly.keys[0]))
        await asyncio.to_thread(connection.recv)
