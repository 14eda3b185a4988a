"""Where a plan of faults takes hold: between a request and its answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rl_trader.local_exchange.protocol.request import Request, Response


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection is closed without an answer."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed in the middle of an answer."""

    response: Response
    at_byte: int  # of the body; the headers are sent and promise all of it


class Interceptor(Protocol):
    """Stands between the server and the dispatcher."""

    async def intercept(self, request: Request, proceed: Callable[[Request], Response]) -> Response | Dropped | Cut:
        """Return what the client gets.

        Args:
            request: What came.
            proceed: Answers a request at once and never raises. Not to call it loses the request; to call it and
                to drop the response loses the answer of a request that was carried out.
        """
        ...
