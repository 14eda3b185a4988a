"""Streams without a socket: for lock-step, where nothing waits and nothing depends on the machine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.streams.connection import Connection, Interceptor, Streams, as_it_is
from rl_trader.local_exchange.streams.names import Category
from rl_trader.local_exchange.streams.routes import UNSPLIT_TODAY, parse_route


@dataclass(slots=True)
class Inbox:
    """What has come to a client."""

    texts: list[str] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)  # their payloads
    close_code: int | None = None  # of the end; None while there was none, or it came without a word

    def send(self, text: str, superseded_by: str | None) -> None:
        """Take a text."""
        self.texts.append(text)

    def ping(self, payload: bytes) -> None:
        """Take a ping."""
        self.pings.append(payload)

    def close(self, code: int, reason: str) -> None:
        """Take the end."""
        self.close_code = code


@dataclass(frozen=True, slots=True)
class MemoryClient:
    """One end of a connection."""

    connection: Connection  # takes what the client sends
    inbox: Inbox


class MemoryStreams:
    """Connections of streams without a socket.

    Args:
        streams: Tell connections what they have subscribed to.
        session_ms: The clock of connections.
        unsplit: What connections without a category carry.
        interceptor: Stands between every connection and its client.
    """

    def __init__(
        self,
        streams: Streams,
        session_ms: Callable[[], int],
        *,
        unsplit: frozenset[Category] = UNSPLIT_TODAY,
        interceptor: Interceptor = as_it_is,
    ) -> None:
        self._streams, self._session_ms = streams, session_ms
        self._unsplit, self._interceptor = unsplit, interceptor
        self._open: list[Connection] = []

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Those that are open."""
        self._open = [connection for connection in self._open if connection.is_open]
        return tuple(self._open)

    def cut(self, connection: Connection) -> None:
        """End an open connection without a word."""
        connection.leave()

    def tick(self) -> None:
        """Let time pass for every connection."""
        for connection in self.connections:
            connection.tick(self._session_ms())

    def connect(self, address: str) -> MemoryClient:
        """Return a connection; scheme and host of the address do not matter.

        Raises:
            ConfigError: If no stream lives there.
        """
        split = urlsplit(address)
        route = parse_route(split.path, split.query, self._unsplit)
        if route is None:
            raise ConfigError(f"an address must be one of streams and is {address!r}; let its path begin with /ws")
        inbox = Inbox()
        connection = Connection(self._streams, route, inbox, self._session_ms(), interceptor=self._interceptor)
        self._open.append(connection)
        return MemoryClient(connection, inbox)
