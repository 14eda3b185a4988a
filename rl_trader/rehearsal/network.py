"""What lies between the trader's process and the exchange, and outlives the process: requests on their way, streams.

A request that has left goes on, whether or not somebody still waits for its answer. Times in milliseconds, of the
market's clock.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.faults.faults import Faults
from rl_trader.local_exchange.protocol.parameters import sent_texts
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.shells.guarded import guarded_response
from rl_trader.local_exchange.shells.interception import Outcome
from rl_trader.local_exchange.shells.memory_streams import MemoryStreams
from rl_trader.local_exchange.streams.connection import as_it_is
from rl_trader.rehearsal.virtual_clock import VirtualClock

ORDER: Final = "POST /fapi/v1/order"
ALGO_ORDER: Final = "POST /fapi/v1/algoOrder"

_LAGGING: Final = ("GET /fapi/v1/userTrades", "GET /fapi/v1/income")
_OK: Final = 200
_BANNED: Final = 418
_MS_PER_S: Final = 1_000


@dataclass(slots=True)
class Asked:
    """One request, as it left the trader."""

    name: str  # "POST /fapi/v1/order"
    sent: Mapping[str, str]  # parameters
    sent_ms: int
    num_journalled: int  # entries of the journal by then
    is_journalled: bool  # whether its client id was in the journal; of orders alone
    origin: str = ""  # scheme, host and port to which it was sent
    num_arrivals: int = 0  # times that it reached the exchange
    status: int | None = None  # of the exchange's answer, whether or not it came back
    told_ms: int | None = None  # when an answer came back
    banned_until_ms: int | None = None  # as the answer that came back says
    is_untold: bool = True  # whether nobody was there any more to read the answer

    @property
    def is_order(self) -> bool:
        """Whether it asks for an order."""
        return self.name in (ORDER, ALGO_ORDER)

    @property
    def client_id(self) -> str:
        """The client id of an order."""
        return client_id_of(self.sent)

    @property
    def adds_exposure(self) -> bool:
        """Whether it may make a position larger."""
        closes = (self.sent.get("reduceOnly"), self.sent.get("closePosition"))
        return self.is_order and "true" not in closes


def client_id_of(sent: Mapping[str, str]) -> str:
    """Return the client id of an order's parameters."""
    return sent.get("newClientOrderId") or sent.get("clientAlgoId") or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How well the network and the exchange's lists do."""

    latency_ms: int = 0  # of a way, at most
    lag_ms: int = 0  # until a trade or booking is listed
    lag_until_ms: int = 0  # from then on all is listed at once
    seed: int = 0  # of the latency


class Network:
    """The way between one process and one exchange.

    Args:
        assembly: The exchange.
        clock: Of the way.
        faults: On it; None is none.
        conditions: Of it.
    """

    def __init__(
        self,
        assembly: Assembly,
        clock: VirtualClock,
        faults: Faults | None = None,
        conditions: Conditions | None = None,
    ) -> None:
        self.clock = clock
        self.asked: list[Asked] = []
        self._dispatcher, self._venue, self._faults = assembly.dispatcher, assembly.venue, faults
        self._conditions = conditions or Conditions()
        self._chance = Random(self._conditions.seed)
        interceptor = as_it_is if faults is None else faults.pass_frame
        self.streams = MemoryStreams(self._venue.hub, self._venue.session_ms, interceptor=interceptor)
        if faults is not None:
            faults.attach(self.streams)
            self._venue.on_tick.append(lambda: faults.on_time(self._venue.market_ms()))
        self._tasks: set[asyncio.Task[Outcome]] = set()

    def send(
        self, request: Request, num_journalled: int, client_ids: set[str], origin: str = ""
    ) -> "tuple[Asked, asyncio.Task[Outcome]]":
        """Let a request be on its way, and return it with what will come back.

        Args:
            request: Which.
            num_journalled: Entries of the journal.
            client_ids: Of the orders in the journal.
            origin: Scheme, host and port to which it is sent.
        """
        try:
            sent: Mapping[str, str] = sent_texts(request)
        except RefusedError:
            sent = {}
        asked = Asked(
            name=f"{request.method} {request.path}",
            sent=sent,
            sent_ms=self._venue.market_ms(),
            num_journalled=num_journalled,
            is_journalled=client_id_of(sent) in client_ids,
            origin=origin,
        )
        self.asked.append(asked)
        task = asyncio.create_task(self._carry(request, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return asked, task

    async def _carry(self, request: Request, asked: Asked) -> Outcome:
        def arrive(arrived: Request) -> Response:
            asked.num_arrivals += 1
            response = guarded_response(self._dispatcher, arrived)
            asked.status = response.status
            return self._lagging(asked.name, response)

        await self._travel()
        outcome = arrive(request) if self._faults is None else await self._faults.intercept(request, arrive)
        await self._travel()
        self._note(asked, outcome)
        return outcome

    def _note(self, asked: Asked, outcome: Outcome) -> None:
        """Note what an answer tells who waits for it."""
        if not isinstance(outcome, Response):
            return
        asked.told_ms = self._venue.market_ms()
        if outcome.status == _BANNED and (wait_s := outcome.headers.get("Retry-After")) is not None:
            asked.banned_until_ms = asked.told_ms + int(wait_s) * _MS_PER_S

    async def _travel(self) -> None:
        if self._conditions.latency_ms:
            await self.clock.sleep(self._chance.randint(0, self._conditions.latency_ms))

    def _lagging(self, name: str, response: Response) -> Response:
        """Leave out what is too young to be listed."""
        now, conditions = self._venue.market_ms(), self._conditions
        if name not in _LAGGING or response.status != _OK or now >= conditions.lag_until_ms or not conditions.lag_ms:
            return response
        rows = [row for row in json.loads(response.body) if row["time"] <= now - conditions.lag_ms]
        return replace(response, body=json.dumps(rows).encode())
