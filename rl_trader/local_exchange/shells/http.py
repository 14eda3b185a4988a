"""The HTTP server on loopback: REST, the WebSocket API, and whatever routes the streams add.

The server never listens on anything but 127.0.0.1: keys and secrets of a local exchange protect nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Final, Self

from aiohttp import WSCloseCode, WSMsgType, web

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.protocol.dispatch import LARGEST_BODY, Dispatcher, refusal_response
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.protocol.statuses import StatusError
from rl_trader.local_exchange.protocol.ws_api import Connection, WsApi
from rl_trader.local_exchange.refusal_texts import refused
from rl_trader.local_exchange.shells.guarded import guarded_frame, guarded_response
from rl_trader.local_exchange.shells.interception import Cut, Dropped, FrameInterceptor, Interceptor, Outcome

LOOPBACK: Final = "127.0.0.1"
WS_API_PATH: Final = "/ws-fapi/v1"
PING_S: Final = 180.0  # the exchange pings every three minutes
LIFETIME_S: Final = 86_400.0  # and closes connections after 24 hours

_LONGEST_LINE: Final = 2**16  # bytes of a request line; a batch of orders may stand in the query
_SWITCHING: Final = 101
_OK: Final = 200
_WHOLE_TEXT: Final = 0x81  # first byte of a frame that is a whole text
_SHORT_FRAME: Final = 125  # bytes; a longer frame's length has bytes of its own
_CLOSE_S: Final = 1.0  # that open connections have when the server stops


class HttpServer:
    """The server; an async context manager, listening within it.

    Args:
        dispatcher: Answers REST.
        ws_api: Answers the WebSocket API; without it that path is unknown.
        add_routes: Called with the application before it starts, to add routes of their own.
        interceptor: Stands between requests and the dispatcher, also those for a WebSocket.
        frame_interceptor: Stands between frames and the WebSocket API.
        host: 127.0.0.1.
        port: 0 takes a free one.

    Raises:
        ConfigError: If the host is another.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        ws_api: WsApi | None = None,
        add_routes: Iterable[Callable[[web.Application], None]] = (),
        interceptor: Interceptor | None = None,
        frame_interceptor: FrameInterceptor | None = None,
        host: str = LOOPBACK,
        port: int = 0,
    ) -> None:
        if host != LOOPBACK:
            raise ConfigError(f"the local exchange listens on {LOOPBACK} only, not on {host!r}; leave the host out")
        self._dispatcher = dispatcher
        self._ws_api = ws_api
        self._add_routes = tuple(add_routes)
        self._interceptor = interceptor
        self._frame_interceptor = frame_interceptor
        self._port = port
        self._runner: web.AppRunner | None = None
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """The address of REST, without a slash at its end."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def ws_url(self) -> str:
        """The address of WebSockets, without a slash at its end."""
        return f"ws://{LOOPBACK}:{self._port}"

    async def __aenter__(self) -> Self:
        """Start to listen."""
        app = web.Application()
        app.on_shutdown.append(self._close_sockets)
        if self._ws_api is not None:
            app.router.add_get(WS_API_PATH, self._serve_ws_api)
        for add in self._add_routes:
            add(app)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=_CLOSE_S, max_line_size=_LONGEST_LINE, max_field_size=_LONGEST_LINE
        )
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, LOOPBACK, self._port)
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop: close what is open and let go of the port."""
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        try:
            request = await _request(http)
        except web.RequestPayloadError:  # a body that is not encoded as its headers say
            return _http_response(refusal_response(refused(-1100)))
        if self._interceptor is None:
            return _http_response(self._proceed(request))
        return await _outcome(http, await self._interceptor.intercept(request, self._proceed))

    def _proceed(self, request: Request) -> Response:
        return guarded_response(self._dispatcher, request)

    async def _serve_ws_api(self, http: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=LARGEST_BODY)
        if self._ws_api is None or not socket.can_prepare(http).ok:
            return await self._serve(http)
        if (instead := await handshake_outcome(http, self._interceptor)) is not None:
            return instead
        try:
            connection = self._ws_api.connect(http.remote or LOOPBACK, http.query_string)
        except StatusError as error:
            return _http_response(refusal_response(error))
        await socket.prepare(http)
        self._sockets.add(socket)
        try:
            async with asyncio.timeout(LIFETIME_S):
                async for frame in _frames(socket):
                    answer = await self._frame_outcome(self._ws_api, frame, connection)
                    if isinstance(answer, Response):
                        await socket.send_str(answer.body.decode())
                    else:
                        _break_off(http, answer)
        except (TimeoutError, ConnectionError):
            await socket.close()
        finally:
            self._sockets.discard(socket)
        return socket

    async def _frame_outcome(self, ws_api: WsApi, text: str, connection: Connection) -> Outcome:
        def proceed(frame: str) -> str:
            return guarded_frame(ws_api, frame, connection)

        if self._frame_interceptor is None:
            return Response(_OK, {}, proceed(text).encode())
        return await self._frame_interceptor.intercept_frame(text, connection, proceed)

    async def _close_sockets(self, _: web.Application) -> None:
        for socket in tuple(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)


async def handshake_outcome(http: web.Request, interceptor: Interceptor | None) -> web.StreamResponse | None:
    """Return what a client gets in the place of a WebSocket that it asks for; None lets it have one."""
    if interceptor is None:
        return None
    accepted = Response(_SWITCHING, {}, b"")
    outcome = await interceptor.intercept(await _request(http), lambda request: accepted)
    return None if outcome is accepted else await _outcome(http, outcome)


async def _request(http: web.Request) -> Request:
    path, _, query = http.raw_path.partition("?")
    headers = {name.lower(): value for name, value in http.headers.items()}
    return Request(http.method, path, query, await _body(http), headers, http.remote or LOOPBACK)


async def _body(http: web.Request) -> bytes:
    """Return the body, or as much of it as shows that it is too long."""
    body = bytearray()
    while http.can_read_body and len(body) <= LARGEST_BODY:
        body += await http.content.readany()
    return bytes(body)


def _http_response(response: Response) -> web.Response:
    return web.Response(status=response.status, headers=response.headers, body=response.body)


async def _frames(socket: web.WebSocketResponse) -> AsyncIterator[str]:
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            yield message.data
        elif message.type is WSMsgType.BINARY:
            yield message.data.decode("utf-8", "replace")


def _break_off(http: web.Request, outcome: Dropped | Cut) -> None:
    """Close a WebSocket's connection without a word, or in the middle of a frame."""
    if http.transport is None:
        return
    if isinstance(outcome, Cut):
        body = outcome.response.body
        http.transport.write(_frame_head(len(body)) + body[: outcome.at_byte])
    http.transport.close()


def _frame_head(length: int) -> bytes:
    """Return what comes before the text of a whole frame (RFC 6455, section 5.2)."""
    if length <= _SHORT_FRAME:
        return bytes([_WHOLE_TEXT, length])
    if length < 2**16:
        return bytes([_WHOLE_TEXT, _SHORT_FRAME + 1]) + length.to_bytes(2, "big")
    return bytes([_WHOLE_TEXT, _SHORT_FRAME + 2]) + length.to_bytes(8, "big")


async def _outcome(http: web.Request, outcome: Outcome) -> web.StreamResponse:
    if isinstance(outcome, Response):
        return _http_response(outcome)
    answer = web.StreamResponse()
    if isinstance(outcome, Cut):
        answer = web.StreamResponse(status=outcome.response.status, headers=outcome.response.headers)
        answer.content_length = len(outcome.response.body)
        await answer.prepare(http)
        await answer.write(outcome.response.body[: outcome.at_byte])
    if http.transport is not None:
        http.transport.close()
    return answer
