"""What carries requests: below it are sockets, or an exchange in memory.

A transport never raises for what happens on the way: it says what came, and whether a byte of the request may have
left, since only what has not left is certain not to be carried out. It sends once. What it does raise is that a request
goes where it must not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Final, Protocol

import aiohttp
from yarl import URL

from rl_trader.live.exchange.venue import Gate

_KEEP_ALIVE_S: Final = 10.0  # shorter than servers keep connections: one that is being closed would lose an order
_LARGEST_HEAD: Final = 65_536


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request, signed."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAnswer:
    """What came."""

    status: int | None = None  # None where not even the head of an answer came
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = field(default=b"", repr=False)
    failure: str = field(default="", repr=False)  # why it is not whole, in words that may hold the address
    is_written: bool = True  # whether a byte of the request may have left


class Transport(Protocol):
    """Carries requests."""

    async def send(self, request: WireRequest) -> WireAnswer:
        """Return what came of a request that was sent once.

        Raises:
            ConfigError: If it goes where it must not; nothing is sent then.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long sockets are waited for."""

    connect_s: float = 3.0
    """Until a connection is there; longer, and what is signed would be too old."""
    answer_s: float = 12.0
    """In all; the exchange itself gives up after 10 seconds and says so."""


class _LostError(Exception):
    """A connection that ended; of a kind that aiohttp does not answer by sending once more."""


class AiohttpTransport:
    """Carries requests over sockets.

    Args:
        gate: Lets requests through, or not.
        patience: With connections and answers.
    """

    def __init__(self, gate: Gate, patience: Patience | None = None) -> None:
        self._gate = gate
        self._patience = Patience() if patience is None else patience
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: WireRequest) -> WireAnswer:
        """Return what came of a request; whatever fails after a connection was there may have been sent."""
        self._gate.check(request.url, request.method)
        head = SimpleNamespace(is_connected=False, status=None, headers={})
        try:
            async with self._opened().request(
                request.method,
                URL(request.url, encoded=True),
                headers=dict(request.headers),
                data=request.body or None,
                allow_redirects=False,
                trace_request_ctx=head,
            ) as response:
                head.status, head.headers = response.status, _plain(response)
                body = await response.read()
        except Exception as error:  # an error that nobody has thought of must not look like an order that was not sent
            cause = error.__cause__ if isinstance(error, _LostError) and error.__cause__ else error
            failure = f"{type(cause).__name__}: {cause}"
            return WireAnswer(
                status=head.status, headers=head.headers, failure=failure, is_written=bool(head.is_connected)
            )
        return WireAnswer(status=head.status, headers=head.headers, body=body)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            tracing = aiohttp.TraceConfig()
            tracing.on_connection_create_end.append(_on_connection)
            tracing.on_connection_reuseconn.append(_on_connection)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=_KEEP_ALIVE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._patience.answer_s, connect=self._patience.connect_s),
                trace_configs=[tracing],
                middlewares=(_send_once,),
                trust_env=False,  # no proxy of the environment sees a key
                max_line_size=_LARGEST_HEAD,
                max_field_size=_LARGEST_HEAD,
            )
        return self._session


async def _on_connection(_session: aiohttp.ClientSession, context: SimpleNamespace, _told: object) -> None:
    context.trace_request_ctx.is_connected = True


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request, and not again where aiohttp would: it repeats DELETE and PUT when a kept connection has ended."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError from error


def _plain(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
