"""Requests of the live trader to an exchange in memory, and what is lost on the way."""

import asyncio
from typing import Any, Final

from rl_trader.live.exchange.venue import Gate
from rl_trader.live.exchange.wire import Patience, WireAnswer, WireRequest
from rl_trader.local_exchange.protocol.request import Request
from rl_trader.local_exchange.shells.interception import Cut, Dropped, Outcome
from rl_trader.rehearsal.hazards import Hazards
from rl_trader.rehearsal.memory_journal import MemoryJournal
from rl_trader.rehearsal.network import Network

ADDRESS: Final = "127.0.0.1"  # that limits are counted by
PATIENCE_MS: Final = int(Patience().answer_s * 1_000)


class MemoryWire:
    """Carries requests without a socket; what is lost or late is told as sockets tell it.

    Args:
        network: To the exchange.
        journal: Of the trader.
        hazards: Of the process that asks.
        gate: Of the venue that is traded on.
    """

    def __init__(self, network: Network, journal: MemoryJournal, hazards: Hazards, gate: Gate) -> None:
        self._gate = gate
        self._network, self._journal, self._hazards = network, journal, hazards

    async def send(self, request: WireRequest) -> WireAnswer:
        """Send a request once; others have their turn before it leaves, and before its answer is read."""
        self._gate.check(request.url, request.method)
        scheme, _, rest = request.url.partition("://")
        host, _, target = rest.partition("/")
        path, _, query = target.partition("?")
        name = f"{request.method} {path.removeprefix('fapi/')}"
        await self._pause()
        self._hazards.at(f"before sending {name}")
        sent = Request(
            method=request.method,
            path=f"/{path}",
            query=query,
            body=request.body,
            headers={key.lower(): value for key, value in request.headers.items()},
            address=ADDRESS,
        )
        asked, task = self._network.send(sent, len(self._journal), self._journal.client_ids, f"{scheme}://{host}")
        alarm = self._network.clock.alarm(PATIENCE_MS)
        await _first_of(task, alarm)
        alarm.cancel()
        await self._pause()
        self._hazards.at(f"before reading the answer to {name}")
        if not task.done():
            return WireAnswer(failure="TimeoutError")
        asked.is_untold = False
        return _answer(task.result())

    async def _pause(self) -> None:
        turns = self._hazards.pauses()
        if turns:
            await _turns(turns)

    async def close(self) -> None:
        """Do nothing: there is nothing open."""


def _first_of(*futures: "asyncio.Future[Any]") -> "asyncio.Future[None]":
    """Return what is done once one of several is."""
    first = asyncio.get_running_loop().create_future()

    def tell(_done: "asyncio.Future[Any]") -> None:
        if not first.done():
            first.set_result(None)

    for future in futures:
        future.add_done_callback(tell)
    return first


def _turns(number: int) -> "asyncio.Future[None]":
    """Return what is done when the others have had so many turns."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def count(left: int) -> None:
        if left:
            loop.call_soon(count, left - 1)
        elif not future.done():
            future.set_result(None)

    count(number - 1)
    return future


def _answer(outcome: Outcome) -> WireAnswer:
    if isinstance(outcome, Dropped):
        return WireAnswer(failure="ServerDisconnectedError")
    response = outcome.response if isinstance(outcome, Cut) else outcome
    headers = {name.lower(): value for name, value in response.headers.items()}
    if isinstance(outcome, Cut) and outcome.at_byte < len(response.body):
        return WireAnswer(status=response.status, headers=headers, failure="ClientPayloadError")
    return WireAnswer(status=response.status, headers=headers, body=response.body)
