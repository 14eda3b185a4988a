"""The exchange's side of a crash: the engine lives on, answers one process after the other, and moves the time.

Times in milliseconds since 1970 UTC.
"""

import os
import signal
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from rl_trader.errors import RlTraderError
from rl_trader.live.core.codec import encode
from rl_trader.live.core.deciding import Gate
from rl_trader.live.core.events import BarClosed, Event
from rl_trader.live.core.state import Conduct
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.market.happenings import BarClosed as MarketBarClosed
from rl_trader.local_exchange.market.happenings import Happening
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.local_exchange.protocol.parameters import sent_texts
from rl_trader.local_exchange.protocol.request import Request
from rl_trader.local_exchange.shells.guarded import guarded_response
from rl_trader.local_exchange.shells.memory_streams import MemoryClient, MemoryStreams
from rl_trader.rehearsal.crashes.channel import Channel, Message
from rl_trader.rehearsal.crashes.journal import journalled_ids
from rl_trader.rehearsal.crashes.process import ENDED, Commission, become
from rl_trader.rehearsal.crashes.way import prepared_way
from rl_trader.rehearsal.market_line import MarketLine
from rl_trader.rehearsal.network import Asked, client_id_of

STREAMS: Final = "ws://exchange"
TICK_MS: Final = 15_000  # the longest time in which the process is told nothing


class DiedError(RlTraderError):
    """The trader's process has ended, and not by the kill that was wanted."""


class ExchangeSide:
    """One exchange, and the trader's processes on it, one at a time.

    Args:
        assembly: In lock-step, with one account.
        conduct: How the trader trades.
        gate: The trader's risk gate.
        journal: File of the trader's journal.
        events_first: Whether the account's events come before the answer to what has led to them.
        ends_by: The signal that a process gets at its point.
    """

    def __init__(
        self,
        assembly: Assembly,
        conduct: Conduct,
        gate: Gate,
        journal: Path,
        *,
        events_first: bool,
        ends_by: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.venue = assembly.venue
        self.asked: list[Asked] = []
        self.told: list[str] = []
        self.closes: dict[int, Decimal] = {}
        self.target = Decimal(0)
        self.digest: tuple[int, str] | None = None  # of the state in the end, with the entry's number
        self.num_starts = 0
        self.has_ended = False  # as it was to end at its point
        self.listened = False  # whether the account's stream was listened to until the end
        self.is_stopped = False  # whether the trader enters no more, as it says
        self._assembly, self._journal, self._events_first = assembly, journal, events_first
        key = assembly.keys[0]
        way = prepared_way(key.key, key.secret)
        self._commission = Commission(
            journal=journal, conduct=conduct, gate=gate, way=way, now_ms=0, point="", ends_by=ends_by
        )
        self._line = MarketLine(self.venue, conduct.symbol)
        self._streams = MemoryStreams(self.venue.hub, self.venue.session_ms)
        self._clients: dict[int, MemoryClient] = {}
        self._answers: deque[Message] = deque()
        self._frames: deque[Message] = deque()
        self._channel: Channel | None = None
        self._pid = 0
        self._next_ms: int | None = None
        self._point = ""
        self._room: int | None = None
        self._reserve_helps = True
        self.venue.market.source.listeners.append(self._hear)

    # A process

    @property
    def is_up(self) -> bool:
        """Whether there is a process."""
        return self._channel is not None

    @property
    def now_ms(self) -> int:
        """The market's time."""
        return self.venue.market_ms()

    @property
    def listens(self) -> bool:
        """Whether an open connection carries the account's valid listen key."""
        key = self.venue.hub.listen_keys.key_of(self._assembly.keys[0].account)
        return any(key in connection.names for connection in self._streams.connections)

    def start(self, point: str = "") -> None:
        """Start a process, which is killed at a point, and let it settle."""
        ours, theirs = socket.socketpair()
        commission = replace(self._commission, now_ms=self.now_ms, point=point)
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            become(commission, Channel(theirs))
        theirs.close()
        self.num_starts += 1
        self.has_ended = False
        self._channel = Channel(ours)
        self._line.begin()
        self._serve_until("idle")

    def arm(self, point: str) -> None:
        """Have the process killed at a point from the next time on that it is told."""
        self._point = point

    def fill_disk(self, room: int, *, reserve_helps: bool) -> None:
        """Let the journal grow by so many bytes from the next time on that the process is told.

        Args:
            room: Bytes.
            reserve_helps: Whether there is room again once the journal has given its reserve back.
        """
        self._room, self._reserve_helps = room, reserve_helps

    def stop(self) -> None:
        """Let the process end as it does when it is asked to."""
        if self._channel is not None:
            self.listened = self.listens
            self._send({"is": "end"})
            if self._serve_until("ended"):
                self._bury()

    def end(self) -> None:
        """Kill the process, if there is one, and see that it is gone."""
        if self._channel is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._bury()

    def _bury(self) -> None:
        """See how the process has ended; its connections end with it."""
        assert self._channel is not None
        self._channel.close()
        self._channel = None
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        is_asked = self._commission.ends_by is not signal.SIGKILL
        self.has_ended = code == -signal.SIGKILL or (is_asked and code == ENDED)
        self._clients.clear()
        self._answers.clear()
        self._frames.clear()
        for connection in self._streams.connections:
            self._streams.cut(connection)

    # Time

    def run_until(self, end_ms: int) -> None:
        """Let time pass until then, or until the process is killed."""
        source = self.venue.market.source
        assert isinstance(source, Replay)
        was_up = self.is_up
        while self.now_ms < end_ms and self.is_up is was_up and not source.is_over:
            wanted = [end_ms, source.next_ms, *((self._next_ms, self._line.next_ms) if was_up else ())]
            wanted.append(self.now_ms + TICK_MS)
            self.venue.advance(max(min(time for time in wanted if time is not None), self.now_ms))
            self._let_time_be()
            if was_up:
                self.tell(self._line.take())

    def tell(self, events: Sequence[Event]) -> None:
        """Tell the process what has happened; the orders of a decision arrive at the next open."""
        bar_ms = self._commission.conduct.bar_ms
        closed = any(isinstance(event, BarClosed) and event.t_ms < event.open_ms + bar_ms for event in events)
        plain = [(type(event).__name__, encode(event)) for event in events]
        go = {"is": "go", "point": self._point, "target": str(self.target), "events": plain, "waits": closed}
        go |= {"room": self._room, "reserve_helps": self._reserve_helps}
        self._point, self._room = "", None
        self._send(go)
        if closed and self._serve_until("taken"):
            self.venue.to_next_open()
            self._let_time_be()
            self._send({"is": "on"})
        if self.is_up:
            self._serve_until("idle")

    def _let_time_be(self) -> None:
        engine = self.venue.exchange.state
        engine.now_ms = max(engine.now_ms, self.now_ms)
        self._streams.tick()

    def _hear(self, happening: Happening) -> None:
        if isinstance(happening, MarketBarClosed):
            self.closes[happening.open_time] = self.venue.exchange.quotes[happening.symbol].last

    # What the process wants

    def _send(self, message: Message) -> None:
        assert self._channel is not None
        with suppress(BrokenPipeError):  # who is dead is found so by who reads
            self._channel.send({"now_ms": self.now_ms, **message})

    def _serve_until(self, kind: str) -> bool:
        """Do what the process wants until it says a word; False if it is killed before.

        Raises:
            DiedError: If it has failed.
        """
        assert self._channel is not None
        while (message := self._channel.receive()) is not None:
            self._serve(message)
            if message["is"] == kind:
                return True
        self._bury()
        if not self.has_ended:
            raise DiedError("the trader's process has ended by itself")
        return False

    def _serve(self, message: Message) -> None:  # noqa: C901 - one case a word
        number, data = message.get("number", 0), message.get("data", "")
        match message["is"]:
            case "ask":
                self._answers.append(self._answer(message))
            case "connect":
                self._clients[number] = self._streams.connect(STREAMS + data)
            case "ping":
                self._pong(number, data)
            case "pong" if number in self._clients:
                self._clients[number].connection.receive_pong(data.encode(), self.venue.session_ms())
            case "leave" if number in self._clients:
                self._clients[number].connection.leave()
            case "more":
                self._send(self._next_thing())
            case "idle":
                self._next_ms, self.is_stopped = message["next_ms"], message["is_stopped"]
            case "tell":
                self.told.append(message["text"])
            case "ended":
                self.digest = message["seq"], message["digest"]
            case "failed":
                raise DiedError(f"the trader's process has died of {message['text']}")

    def _next_thing(self) -> Message:
        """Return what the process is told next: an answer, or what has come on a stream."""
        self.venue.tick()
        self._collect()
        first, second = self._answers, self._frames
        if self._events_first:
            first, second = second, first
        return first.popleft() if first else second.popleft() if second else {"is": "nothing"}

    def _collect(self) -> None:
        """Take what has come on the streams, in its order."""
        for number, client in list(self._clients.items()):
            inbox = client.inbox
            self._frames += [_frame(number, "text", text) for text in inbox.texts]
            self._frames += [_frame(number, "ping", payload.decode()) for payload in inbox.pings]
            inbox.texts.clear()
            inbox.pings.clear()
            if not client.connection.is_open:
                del self._clients[number]
                self._frames.append(_frame(number, "closed", ""))

    def _pong(self, number: int, payload: str) -> None:
        """Answer a ping, behind what has come by then; one of a connection that is gone is not answered."""
        self._collect()
        client = self._clients.get(number)
        if client is not None and client.connection.receive_ping(self.venue.session_ms()):
            self._frames.append(_frame(number, "pong", payload))

    def _answer(self, message: Message) -> Message:
        request = Request(
            method=message["method"],
            path=message["path"],
            query=message["query"],
            body=message["body"].encode(),
            headers=message["headers"],
        )
        sent = sent_texts(request)
        asked = Asked(
            name=f"{request.method} {request.path}",
            sent=sent,
            sent_ms=self.now_ms,
            num_journalled=message["seq"],
            is_journalled=False,
            num_arrivals=1,
        )
        if asked.is_order:
            asked.is_journalled = client_id_of(sent) in journalled_ids(self._journal)
        self.asked.append(asked)
        response = guarded_response(self._assembly.dispatcher, request)
        asked.status = response.status
        return {
            "is": "answer",
            "number": message["number"],
            "status": response.status,
            "headers": {name.lower(): value for name, value in response.headers.items()},
            "body": response.body.decode(),
        }


def _frame(number: int, kind: str, data: str) -> Message:
    return {"is": "frame", "number": number, "type": kind, "data": data}
