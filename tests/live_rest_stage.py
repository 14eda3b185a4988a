"""The live trader's REST on a local exchange with a plan of faults, in memory or over loopback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests

from rl_trader.live.exchange.outcome import Outcome, RawAnswer, classify
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.secrets import Credentials, Secret
from rl_trader.live.exchange.server_clock import ServerClock
from rl_trader.live.exchange.venue import Gate, Venue
from rl_trader.live.exchange.wire import AiohttpTransport, Patience, Transport, WireAnswer, WireRequest
from rl_trader.live.redaction import Redactor
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.shells.memory import MemoryTransport
from tests.fault_stage import FaultStage

NOWHERE = Venue.paper("http://127.0.0.1:9", "ws://127.0.0.1:9")  # in memory, addresses do not matter


class MemoryWire:
    """Carries requests to an exchange in memory.

    Args:
        transport: Of the exchange.
    """

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport

    async def send(self, request: WireRequest) -> WireAnswer:
        """Return what came; a connection in memory that is cut has carried the request."""
        try:
            response = await self._transport.fetch(
                request.method, request.url, headers=request.headers, body=request.body
            )
        except requests.RequestException as error:
            return WireAnswer(failure=f"{type(error).__name__}: {error}")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return WireAnswer(status=response.status, headers=headers, body=response.body)

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def credentials_of(key: ApiKey) -> Credentials:
    """Return a local exchange's key as the trader holds it."""
    return Credentials(Secret(key.key), Secret(key.secret))


def make_rest(
    transport: Transport,
    key: ApiKey | None,
    local_ms: Callable[[], int],
    venue: Venue = NOWHERE,
    **more: Any,
) -> Rest:
    """Return REST whose clock is not set yet."""
    more = {"redactor": Redactor(), "credentials": None if key is None else credentials_of(key)} | more
    return Rest(venue, transport, ServerClock(local_ms), **more)


async def rest_in_memory(stage: FaultStage, **more: Any) -> Rest:
    """Return REST of a stage's first account, with its clock set; that costs 5 calls of ``time``."""
    rest = make_rest(MemoryWire(stage.transport), stage.keys["main"], stage.venue.session_ms, **more)
    assert await rest.synchronise()
    return rest


@contextmanager
def loopback(stage: FaultStage, patience: Patience | None = None, **more: Any) -> Iterator[Rest]:
    """Serve a stage's exchange, and give REST of its first account whose clock is not set yet."""
    with stage.serving() as server:
        venue = Venue.paper(server.url, server.ws_url)
        transport = AiohttpTransport(Gate(venue), patience)
        yield make_rest(transport, stage.keys["main"], stage.venue.session_ms, venue, **more)


def order(client_id: str = "a-1", quantity: str = "0.1", **more: Any) -> dict[str, Any]:
    """Return the parameters of a purchase at the market."""
    return {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quantity": quantity,
        "newClientOrderId": client_id,
        **more,
    }


async def outcome_of(rest: Rest, name: str, **arguments: Any) -> tuple[RawAnswer, Outcome]:
    """Return what came of a call, and what it means."""
    answer = await rest.call(name, **arguments)
    return answer, classify(answer)
