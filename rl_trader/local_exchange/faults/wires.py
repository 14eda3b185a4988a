"""The connections of streams as faults see them: which there are, what each carries, what is muted, held and late.

Times in milliseconds of the session's clock.
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import count
from typing import Final, Protocol

from rl_trader.local_exchange.faults.triggers import Facts
from rl_trader.local_exchange.streams.connection import Connection
from rl_trader.local_exchange.streams.names import parse_stream
from rl_trader.local_exchange.venue import Venue

USER: Final = "user:"  # what a plan calls an account's stream, with the account

_DETAILS: Final = ("o", "k", "ac")  # where events keep what they are about
_FACTS: Final = {"symbol": "s", "side": "S", "type": "o", "execution": "x"}  # of a detail


class Sockets(Protocol):
    """A shell's connections."""

    @property
    def connections(self) -> Iterable[Connection]:
        """Those that are open."""
        ...

    def cut(self, connection: Connection) -> None:
        """End one without a word."""
        ...


@dataclass(kw_only=True)
class StreamFrame:
    """One frame on its way to a client."""

    connection: Connection
    stream: str  # as a plan calls it
    account: str | None
    text: str

    @cached_property
    def payload(self) -> dict[str, object]:
        """The event; of a list of events the first one; empty of anything else."""
        data: object = json.loads(self.text)
        if isinstance(data, dict) and "stream" in data:
            data = data["data"]
        if isinstance(data, list):
            data = data[0] if data else {}
        return data if isinstance(data, dict) else {}

    @property
    def event(self) -> str:
        """What ``e`` says."""
        return str(self.payload.get("e", ""))

    def facts(self) -> Facts:
        """Return what conditions are held against."""
        facts: dict[str, set[str]] = {name: set() for name in _FACTS}
        details = [self.payload, *(self.payload.get(name) for name in _DETAILS), *_positions(self.payload)]
        for detail in (detail for detail in details if isinstance(detail, dict)):
            for name, key in _FACTS.items():
                if isinstance(detail.get(key), str):
                    facts[name].add(detail[key])
        candle = self.payload.get("k")
        closed = {str(candle.get("x"))} if isinstance(candle, dict) else set()
        account = {self.account} if self.account else set()
        return {
            name: frozenset(values) for name, values in (facts | {"bar_closed": closed, "account": account}).items()
        }

    def __str__(self) -> str:
        return f"{self.event or 'frame'} of {self.stream}: {self.text}"


def _positions(payload: dict[str, object]) -> list[object]:
    update = payload.get("a")
    positions = update.get("P") if isinstance(update, dict) else None
    return positions if isinstance(positions, list) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """Frames that are not sent."""

    until_ms: int
    connection: Connection | None = None  # None is every one
    pattern: str = "*"  # of streams; "*" also covers answers and pings

    def covers(self, connection: Connection, stream: str) -> bool:
        """Return whether a frame is not sent."""
        return self.connection in (None, connection) and fnmatchcase(stream, self.pattern)


class Wires:
    """All connections.

    Args:
        venue: Whose accounts have listen keys.
    """

    def __init__(self, venue: Venue) -> None:
        self.mutes: list[Mute] = []
        self._venue = venue
        self._sockets: list[Sockets] = []
        self._owners: dict[str, str] = {}  # listen key -> account
        self._held: dict[tuple[Connection, str], str] = {}  # a frame that waits for the next one of its stream
        self._late: list[tuple[int, int, StreamFrame]] = []  # a heap: due time and number
        self._numbers = count()

    def attach(self, sockets: Sockets) -> None:
        """Let the connections of a shell be reached."""
        self._sockets.append(sockets)

    def frame(self, connection: Connection, name: str, text: str) -> StreamFrame:
        """Return a frame; the name is empty of an answer, and of an account's stream the listen key."""
        owner = self.owner(name)
        return StreamFrame(connection=connection, stream=_called(name, owner), account=owner, text=text)

    def owner(self, name: str) -> str | None:
        """Return the account of a listen key, also of one that is no longer valid; None of any other name."""
        if not name or parse_stream(name) is not None:
            return None
        if name not in self._owners:
            for account in self._venue.exchange.traders:
                if (key := self._venue.hub.listen_keys.key_of(account)) is not None:
                    self._owners[key] = account
        return self._owners.get(name)

    def carrying(self, pattern: str) -> Iterator[Connection]:
        """Yield the connections that carry a stream; ``*`` is every one."""
        for sockets in self._sockets:
            for connection in tuple(sockets.connections):
                names = [_called(name, self.owner(name)) for name in connection.names]
                if pattern == "*" or any(fnmatchcase(name, pattern) for name in names):
                    yield connection

    def end(self, connection: Connection, close_code: int | None) -> None:
        """End a connection with a code, or None: without a word."""
        if close_code is not None:
            connection.close(close_code, "Fault")
            return
        for sockets in self._sockets:
            if connection in tuple(sockets.connections):
                sockets.cut(connection)
        connection.leave()

    # Frames

    def is_muted(self, connection: Connection, stream: str) -> bool:
        """Return whether nothing is sent."""
        now_ms = self._venue.session_ms()
        self.mutes = [mute for mute in self.mutes if now_ms < mute.until_ms]
        return any(mute.covers(connection, stream) for mute in self.mutes)

    def hold(self, frame: StreamFrame) -> bool:
        """Hold a frame back until the next one of its stream has passed; False if one is held already."""
        place = (frame.connection, frame.stream)
        if place in self._held:
            return False
        self._held = {other: text for other, text in self._held.items() if other[0].is_open}
        self._held[place] = frame.text
        return True

    def is_holding(self, frame: StreamFrame) -> bool:
        """Return whether one waits for this frame."""
        return (frame.connection, frame.stream) in self._held

    def take_held(self, frame: StreamFrame) -> list[str]:
        """Return what waits for a frame, and hold it no longer."""
        text = self._held.pop((frame.connection, frame.stream), None)
        return [] if text is None else [text]

    def send_later(self, frame: StreamFrame, delay_ms: int) -> None:
        """Send a frame when so much time has passed."""
        heapq.heappush(self._late, (self._venue.session_ms() + delay_ms, next(self._numbers), frame))

    def on_time(self) -> None:
        """Send what is due."""
        while self._late and self._late[0][0] <= self._venue.session_ms():
            frame = heapq.heappop(self._late)[-1]
            if not self.is_muted(frame.connection, frame.stream):
                frame.connection.deliver(frame.text)


def _called(name: str, owner: str | None) -> str:
    return name if owner is None else USER + owner
