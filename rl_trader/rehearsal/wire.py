"""Requests of the live trader to an exchange in memory, and what is lost on the way."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

import requests

from rl_trader.live.wire import WireAnswer, WireRequest
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.rehearsal.hazards import Hazards


class MemoryWire:
    """Carries requests without a socket; what faults lose is told as sockets tell it.

    Args:
        transport: To the exchange.
        hazards: Of the process that asks.
        pump: Lets what the exchange has sent meanwhile be received.
    """

    def __init__(self, transport: MemoryTransport, hazards: Hazards, pump: Callable[[], object]) -> None:
        self._transport = transport
        self._hazards = hazards
        self._pump = pump

    async def send(self, request: WireRequest) -> WireAnswer:
        """Send a request once; others have their turn before it leaves, and before its answer is read."""
        split = urlsplit(request.url)
        name = f"{request.method} {split.path.removeprefix('/fapi/')}"
        await self._pause()
        self._hazards.at(f"before sending {name}")
        answer = self._exchange(request)
        self._pump()
        await self._pause()
        self._hazards.at(f"before reading the answer to {name}")
        return answer

    def _exchange(self, request: WireRequest) -> WireAnswer:
        try:
            response = self._transport.request(request.method, request.url, headers=request.headers, body=request.body)
        except requests.RequestException as error:
            return WireAnswer(failure=type(error).__name__)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return WireAnswer(status=response.status, headers=headers, body=response.body)

    async def _pause(self) -> None:
        for _ in range(self._hazards.pauses()):
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Do nothing: there is nothing open."""
