"""WebSockets without a socket: what the live trader's own stream of the account is run on."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from random import Random
from typing import Final, NamedTuple, cast

import aiohttp

from rl_trader.live.streams.line_keeper import Backoff
from rl_trader.live.streams.sockets import Caller, Dialer, Line, Patience
from rl_trader.live.streams.user_stream import UserItem, UserStream
from rl_trader.local_exchange.shells.memory_streams import MemoryClient, MemoryStreams
from rl_trader.rehearsal.hazards import Hazards
from rl_trader.rehearsal.virtual_clock import VirtualClock

ADDRESS: Final = "ws://exchange"  # of nobody: frames never leave the process


class _Frame(NamedTuple):
    """What a socket receives, as aiohttp has it."""

    type: aiohttp.WSMsgType
    data: str | bytes


class MemorySocket:
    """The client's end of a connection in memory, with those of aiohttp's methods that a line uses.

    Args:
        client: The connection.
        session_ms: Clock of connections.
    """

    def __init__(self, client: MemoryClient, session_ms: Callable[[], int]) -> None:
        self._client, self._session_ms = client, session_ms
        self._frames: asyncio.Queue[_Frame] = asyncio.Queue()
        self.is_over = False

    def pump(self) -> bool:
        """Let what has come to this end be received, and return whether there was any."""
        inbox, connection = self._client.inbox, self._client.connection
        is_any = bool(inbox.texts or inbox.pings)
        for text in inbox.texts:
            self._frames.put_nowait(_Frame(aiohttp.WSMsgType.TEXT, text))
        for payload in inbox.pings:
            self._frames.put_nowait(_Frame(aiohttp.WSMsgType.PING, payload))
        inbox.texts.clear()
        inbox.pings.clear()
        if not connection.is_open and not self.is_over:
            self.is_over = True
            self._frames.put_nowait(_Frame(aiohttp.WSMsgType.CLOSED, ""))
            return True
        return is_any

    async def receive(self) -> _Frame:
        """Return the next frame once there is one."""
        return await self._frames.get()

    async def pong(self, payload: bytes) -> None:
        """Answer a ping."""
        self._client.connection.receive_pong(payload, self._session_ms())

    async def ping(self, payload: bytes) -> None:
        """Send a ping, whose pong comes behind what has come by then.

        Raises:
            ConnectionError: If none comes: here nobody waits for what never comes.
        """
        if not self._client.connection.is_open or not self._client.connection.receive_ping(self._session_ms()):
            raise ConnectionError("no pong has come")
        self.pump()
        self._frames.put_nowait(_Frame(aiohttp.WSMsgType.PONG, payload))

    async def close(self) -> None:
        """End the connection."""
        self._client.connection.leave()
        self.pump()


class MemoryDialer:
    """Opens lines to an exchange in memory.

    Args:
        streams: Of the exchange.
        session_ms: Clock of connections.
        hazards: Of the process that connects.
    """

    def __init__(self, streams: MemoryStreams, session_ms: Callable[[], int], hazards: Hazards) -> None:
        self.patience = Patience()
        self._streams, self._session_ms, self._hazards = streams, session_ms, hazards
        self._numbers = count(1)
        self._sockets: list[MemorySocket] = []

    async def open(self, path: str) -> Line:
        """Return a line to a path."""
        self._hazards.at("before connecting")
        socket = MemorySocket(self._streams.connect(ADDRESS + path), self._session_ms)
        self._sockets.append(socket)
        return Line(next(self._numbers), cast("aiohttp.ClientWebSocketResponse", socket))

    def pump(self) -> bool:
        """Let what has come be received, and return whether there was any."""
        pumped = [socket.pump() for socket in self._sockets]
        self._sockets = [socket for socket in self._sockets if not socket.is_over]
        return any(pumped)

    def cut(self) -> None:
        """End every connection, as the end of a process does."""
        for connection in self._streams.connections:
            self._streams.cut(connection)
        self._sockets.clear()


def user_stream(
    dialer: MemoryDialer, caller: Caller, tell: Callable[[UserItem], Awaitable[None]], clock: VirtualClock, seed: int
) -> UserStream:
    """Return the live trader's own stream of an account, on an exchange in memory."""
    return UserStream(cast("Dialer", dialer), caller, tell, clock, Backoff(Random(seed).random))
