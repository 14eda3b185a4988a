"""Where a plan of faults takes hold: between a request and its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.protocol.ws_api import Connection


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection is closed without an answer."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed in the middle of an answer."""

    response: Response
    at_byte: int  # of the body; the headers are sent and promise all of it


Outcome = Response | Dropped | Cut


class Interceptor(Protocol):
    """Stands between the server and the dispatcher."""

    async def intercept(self, request: Request, proceed: Callable[[Request], Response]) -> Outcome:
        """Return what the client gets.

        Args:
            request: What came.
            proceed: Answers a request at once and never raises. Not to call it loses the request; to call it and
                to drop the response loses the answer of a request that was carried out.
        """
        ...


class SyncInterceptor(Protocol):
    """Stands between a caller without a socket and the dispatcher."""

    def intercept_now(self, request: Request, proceed: Callable[[Request], Response]) -> Outcome:
        """Return what the caller gets, as :meth:`Interceptor.intercept` does; where that waits, the market goes on."""
        ...


class FrameInterceptor(Protocol):
    """Stands between the connections of the WebSocket API and the API."""

    async def intercept_frame(self, text: str, connection: Connection, proceed: Callable[[str], str]) -> Outcome:
        """Return what the client gets: the frame is the body of the response; else the connection ends.

        Args:
            text: The frame that came.
            connection: On which.
            proceed: Answers a frame at once and never raises.
        """
        ...
