"""Streams over WebSockets: the sockets around :mod:`rl_trader.local_exchange.streams.connection`.

Every connection has a queue of what it has not taken yet. Where it grows, market data that later data supersedes is
left out; where it grows on, the connection is cut, as the exchange cuts slow ones. What an account is told is never
left out of a connection that lives.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Final, NamedTuple

from aiohttp import ClientConnectionError, WSMsgType, web

from rl_trader.local_exchange.shells import interception
from rl_trader.local_exchange.shells.http import handshake_outcome
from rl_trader.local_exchange.streams.connection import (
    EXCHANGE_RULES,
    GOING_AWAY,
    Connection,
    ConnectionRules,
    Interceptor,
    Streams,
    as_it_is,
)
from rl_trader.local_exchange.streams.names import Category
from rl_trader.local_exchange.streams.routes import UNSPLIT_TODAY, parse_route

MOST_WAITING: Final = 10_000  # frames; a connection that leaves more waiting is cut

_CROWDED: Final = 1000  # frames; from then on superseded ones are left out
_TICK_S: Final = 1.0
_CLOSE_S: Final = 1.0  # that a connection has for what it has not taken when the server stops
_LARGEST_FRAME: Final = 2**18  # bytes that a client may send; 1024 names of streams are less

Frame = Callable[[], Awaitable[object]]  # sends itself


class SocketOutlet:
    """Where the frames of a connection wait for its socket.

    Args:
        socket: Open.
        abort: Ends the connection at once.
    """

    def __init__(self, socket: web.WebSocketResponse, abort: Callable[[], object]) -> None:
        self._socket = socket
        self._abort = abort
        self._numbers = count()
        self._waiting: OrderedDict[int, Frame] = OrderedDict()
        self._latest: dict[str, int] = {}  # by name, of frames that may be superseded
        self._news = asyncio.Event()
        self._is_over = False

    def send(self, text: str, superseded_by: str | None) -> None:
        """Let a text wait, in the place of one that it supersedes where many are waiting."""
        number = self._put(partial(self._socket.send_str, text))
        if superseded_by is None:
            return
        if len(self._waiting) > _CROWDED:
            self._waiting.pop(self._latest.get(superseded_by, -1), None)
        self._latest[superseded_by] = number

    def ping(self, payload: bytes) -> None:
        """Let a ping wait."""
        self._put(partial(self._socket.ping, payload))

    def pong(self, payload: bytes) -> None:
        """Let the answer to a ping wait."""
        self._put(partial(self._socket.pong, payload))

    def close(self, code: int, reason: str) -> None:
        """Let the end wait, behind everything else; nothing is taken after it."""
        self._put(partial(self._socket.close, code=code, message=reason.encode()))
        self._is_over = True

    def cut(self) -> None:
        """End the connection at once; what waits is lost."""
        self._is_over = True
        self._waiting.clear()
        self._news.set()
        self._abort()

    async def write(self) -> None:
        """Send what waits until the end has been sent or the client is gone."""
        try:
            while self._waiting or not self._is_over:
                while self._waiting:
                    await self._waiting.popitem(last=False)[1]()
                self._news.clear()
                if not self._is_over:
                    await self._news.wait()
        except ClientConnectionError:
            self.cut()

    def _put(self, frame: Frame) -> int:
        number = next(self._numbers)
        if self._is_over:
            return number
        self._waiting[number] = frame
        self._news.set()
        if len(self._waiting) > MOST_WAITING:
            self.cut()
        return number


class _Line(NamedTuple):
    outlet: SocketOutlet
    writer: asyncio.Task[None]


class StreamRoutes:
    """The routes of the streams; ``add_routes`` gives them to an application.

    Args:
        streams: Tell connections what they have subscribed to.
        session_ms: The clock of connections.
        unsplit: What connections without a category carry.
        rules: How long connections last.
        interceptor: Stands between every connection and its socket.
        handshakes: Stands before every connection.
    """

    def __init__(
        self,
        streams: Streams,
        session_ms: Callable[[], int],
        *,
        unsplit: frozenset[Category] = UNSPLIT_TODAY,
        rules: ConnectionRules = EXCHANGE_RULES,
        interceptor: Interceptor = as_it_is,
        handshakes: interception.Interceptor | None = None,
    ) -> None:
        self._streams, self._session_ms, self._unsplit = streams, session_ms, unsplit
        self._rules, self._interceptor, self._handshakes = rules, interceptor, handshakes
        self._open: dict[Connection, _Line] = {}
        self._ticking: asyncio.Task[None] | None = None

    def add_routes(self, app: web.Application) -> None:
        """Add the routes, and what is to happen when the server starts and stops."""
        for path in ("ws", "stream", *Category):
            app.router.add_get(f"/{path}", self._serve)
            app.router.add_get(f"/{path}/{{rest:.*}}", self._serve)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self.stop)

    def tick(self) -> None:
        """Let time pass for every connection; also done every second."""
        now_ms = self._session_ms()
        for connection in list(self._open):
            connection.tick(now_ms)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Those that are open."""
        return tuple(self._open)

    def cut(self, connection: Connection) -> None:
        """End an open connection without a word; what waits for its socket is lost."""
        connection.leave()
        self._open[connection].outlet.cut()

    async def _start(self, app: web.Application) -> None:
        self._ticking = asyncio.create_task(self._tick_forever())

    async def stop(self, app: web.Application | None = None) -> None:
        """Send what waits and close every connection; also done when the server stops."""
        if self._ticking is not None:
            self._ticking.cancel()
        writers = [line.writer for line in self._open.values()]
        for connection in list(self._open):
            connection.close(GOING_AWAY, "The exchange is shutting down")
        if writers:
            await asyncio.wait(writers, timeout=_CLOSE_S)

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self.tick()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        route = parse_route(request.path, request.query_string, self._unsplit)
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=_LARGEST_FRAME)
        if route is None or not socket.can_prepare(request):
            return web.Response(status=404 if route is None else 400)
        if (instead := await handshake_outcome(request, self._handshakes)) is not None:
            return instead
        await socket.prepare(request)
        outlet = SocketOutlet(socket, partial(_abort, request))
        connection = Connection(
            self._streams, route, outlet, self._session_ms(), rules=self._rules, interceptor=self._interceptor
        )
        writer = asyncio.create_task(outlet.write())
        self._open[connection] = _Line(outlet, writer)
        try:
            await self._read(socket, connection, outlet)
        finally:
            connection.leave()
            del self._open[connection]
            writer.cancel()
        return socket

    async def _read(self, socket: web.WebSocketResponse, connection: Connection, outlet: SocketOutlet) -> None:
        async for message in socket:
            now_ms = self._session_ms()
            match message.type:
                case WSMsgType.TEXT:
                    connection.receive_text(message.data, now_ms)
                case WSMsgType.PING:
                    if connection.receive_ping(now_ms):
                        outlet.pong(message.data)
                case WSMsgType.PONG:
                    connection.receive_pong(bytes(message.data), now_ms)
                case WSMsgType.BINARY:
                    connection.receive_binary()


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
