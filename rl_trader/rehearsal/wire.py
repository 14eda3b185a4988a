"""Requests of the live trader to an exchange in memory, and what is lost on the way."""

from urllib.parse import urlsplit

import requests

from rl_trader.live.wire import WireAnswer, WireRequest
from rl_trader.local_exchange.shells.memory import MemoryTransport


class MemoryWire:
    """Carries requests without a socket; what faults lose is told as sockets tell it.

    Args:
        transport: To the exchange.
    """

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport

    async def send(self, request: WireRequest) -> WireAnswer:
        """Send a request once."""
        split = urlsplit(request.url)
        try:
            response = self._transport.request(
                request.method, split.geturl(), headers=request.headers, body=request.body
            )
        except requests.RequestException as error:
            return WireAnswer(failure=type(error).__name__)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return WireAnswer(status=response.status, headers=headers, body=response.body)

    async def close(self) -> None:
        """Do nothing: there is nothing open."""
