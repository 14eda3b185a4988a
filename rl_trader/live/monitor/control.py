"""The trader's own server on 127.0.0.1: what is to be seen as JSON, a page for it, a kill and a resumption.

Whoever asks needs the token of this start (``Authorization: Bearer``), but for the page itself, which holds nothing. A
page of another site can reach none of it: the ``Host`` must be this server's, whatever name led here, and so must the
``Origin``, where there is one. There is no address to listen at but loopback's.
"""

import hmac
import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, Final, Protocol

from aiohttp import web

from rl_trader.errors import ConfigError, RlTraderError
from rl_trader.live.exchange.secrets import Secret
from rl_trader.live.monitor.contact import HOST

MOST_REASON: Final = 500  # letters
LARGEST_BODY: Final = 4_096  # bytes

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGE: Final = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/chart.js": ("chart.js", "text/javascript"),
}
_CONFLICT: Final = 409

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Controlled(Protocol):
    """What the server shows, and what it can have done."""

    def status(self) -> dict[str, Any]:
        """Return what is to be seen, as JSON."""
        ...

    def kill(self, reason: str, by: str) -> None:
        """Close everything, and enter no more until somebody resumes."""
        ...

    def resume(self, reason: str, by: str) -> None:
        """Enter again.

        Raises:
            RlTraderError: If that cannot be done now.
        """
        ...


class ControlServer:
    """The server; an async context manager.

    Args:
        controlled: What it is for.
        token: Of this start.
        port: 0 takes a free one.

    Raises:
        ConfigError: From ``__aenter__``, if the port is not free.
    """

    def __init__(self, controlled: Controlled, token: Secret, port: int = 0) -> None:
        self._controlled = controlled
        self._token = token
        self.port = port
        app = web.Application(middlewares=[self._guard], client_max_size=LARGEST_BODY)
        app.add_routes([web.get(path, _page(*page)) for path, page in _PAGE.items()])
        app.add_routes(
            [
                web.get("/api/status", self._status),
                web.post("/api/kill", self._kill),
                web.post("/api/resume", self._resume),
            ]
        )
        app.on_response_prepare.append(_add_headers)
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> "ControlServer":
        """Listen."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"port {self.port} of {HOST} must be free and is not ({error.strerror}); choose another by --port"
            ) from error
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts = (f"{HOST}:{self.port}", f"localhost:{self.port}")
        origin = request.headers.get("Origin")
        if request.headers.get("Host") not in hosts:
            return _refused(web.HTTPForbidden.status_code, "the host of the address must be 127.0.0.1 or localhost")
        if origin is not None and origin not in [f"http://{host}" for host in hosts]:
            return _refused(web.HTTPForbidden.status_code, "a page of another site may not ask")
        if request.path.startswith("/api/") and not self._knows_token(request):
            return _refused(web.HTTPUnauthorized.status_code, "the token must be that of this start of the trader")
        return await handler(request)

    def _knows_token(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self._token.reveal()}".encode())

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self._controlled.status())

    async def _kill(self, request: web.Request) -> web.Response:
        return await _done(request, self._controlled.kill)

    async def _resume(self, request: web.Request) -> web.Response:
        return await _done(request, self._controlled.resume)


async def _done(request: web.Request, deed: Callable[[str, str], None]) -> web.Response:
    """Have something done that needs a reason, which is the body's ``reason``."""
    if request.content_type != "application/json":
        return _refused(web.HTTPUnsupportedMediaType.status_code, "what is asked for must be JSON")
    try:
        body = json.loads(await request.text())
    except ValueError:
        body = None
    reason = body.get("reason") if isinstance(body, dict) else None
    by = body.get("by", "the page") if isinstance(body, dict) else None
    if not _is_line(reason) or not _is_line(by):
        return _refused(web.HTTPBadRequest.status_code, f"a reason must be given, of 1 to {MOST_REASON} letters")
    try:
        deed(str(reason).strip(), str(by).strip())
    except RlTraderError as error:
        return _refused(_CONFLICT, str(error))
    return web.json_response({"done": True})


def _is_line(text: object) -> bool:
    return isinstance(text, str) and text.isprintable() and 0 < len(text.strip()) <= MOST_REASON


def _refused(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


def _page(name: str, content_type: str) -> Handler:
    content = (files("rl_trader.live.monitor") / "page" / name).read_bytes()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=content_type, charset="utf-8")

    return answer


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.pop("Server", None)
