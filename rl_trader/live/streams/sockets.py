"""Lines: WebSockets that are read until they end, and what keeps one open.

A line is there when a ping that was sent on it has come back: by then the exchange has subscribed it to what its
address names. In the same way an old line is known to have brought everything when a ping that was sent on it after the
new one was there has come back.

Times in milliseconds of a clock that goes on evenly, unless a name says seconds.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from itertools import count
from time import monotonic_ns
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import aiohttp

from rl_trader.errors import RlTraderError
from rl_trader.live.exchange.outcome import RawAnswer
from rl_trader.live.exchange.venue import Gate
from rl_trader.live.streams.line_keeper import LineKeeper, Reason

T = TypeVar("T")

_log = logging.getLogger(__name__)

_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1_000
_CLOSE_S: Final = 1.0  # that the other end has to say good-bye
_LARGEST_FRAME: Final = 2**22  # bytes
TICK_MS: Final = 50  # between two looks at the lines
_TAKEN_AT_ONCE: Final = 1_000  # items, before others have their turn; more than come with one read of a socket
_OVER: Final = frozenset({aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED})


class Clock(Protocol):
    """A clock that goes on evenly, and waits."""

    def monotonic_ms(self) -> int:
        """Return its time, since anything."""
        ...

    async def sleep(self, duration_ms: int) -> None:
        """Wait."""
        ...


class Caller(Protocol):
    """Calls the exchange over REST; :class:`rl_trader.live.exchange.rest.Rest` is one."""

    async def call(self, name: str, /, **arguments: str | int) -> RawAnswer:
        """Send a call once, and return what came."""
        ...


class MachineClock:
    """The machine's."""

    def monotonic_ms(self) -> int:
        """Return its time, since anything."""
        return monotonic_ns() // _NS_PER_MS

    async def sleep(self, duration_ms: int) -> None:
        """Wait."""
        await asyncio.sleep(duration_ms / _MS_PER_S)


class Waiting(Generic[T]):
    """Items on their way to one consumer, in order.

    An item may be left out for a later one of its kind while it waits. Nothing else ever is.
    """

    def __init__(self) -> None:
        self._numbers = count()
        self._items: OrderedDict[int, T] = OrderedDict()
        self._latest: dict[Hashable, int] = {}  # by what supersedes it
        self._news = asyncio.Event()
        self._taken = 0
        self.most = 0  # that have waited at once

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._items)

    def put(self, item: T, superseded_by: Hashable | None = None) -> None:
        """Let an item wait.

        Args:
            item: Which.
            superseded_by: Kind of which a later item takes its place; None keeps it.
        """
        number = next(self._numbers)
        if superseded_by is not None:
            self._items.pop(self._latest.get(superseded_by, -1), None)
            self._latest[superseded_by] = number
        self._items[number] = item
        self.most = max(self.most, len(self._items))
        self._news.set()

    def clear(self) -> None:
        """Leave out everything."""
        self._items.clear()

    async def take(self) -> T:
        """Return the first item once there is one."""
        self._taken += 1
        if self._taken % _TAKEN_AT_ONCE == 0:
            await asyncio.sleep(0)
        while not self._items:
            self._news.clear()
            await self._news.wait()
        return self._items.popitem(last=False)[1]


class LineError(RlTraderError):
    """A line could not be opened. Its sentence never holds the address, which may hold a listen key."""


class Patience(NamedTuple):
    """How long the other end is waited for, in seconds."""

    connect_s: float = 10.0
    ping_s: float = 5.0


class Line:
    """One WebSocket.

    Args:
        number: Its own.
        socket: Open.
    """

    def __init__(self, number: int, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.number = number
        self._socket = socket
        self._pings = count()
        self._awaited: dict[bytes, asyncio.Future[None]] = {}

    async def read(self, take: Callable[["Line", str], None], hear: Callable[["Line"], None]) -> None:
        """Read until it ends.

        Args:
            take: Given every text.
            hear: Called at every pong.
        """
        try:
            while (message := await self._socket.receive()).type not in _OVER:
                match message.type:
                    case aiohttp.WSMsgType.TEXT:
                        take(self, message.data)
                    case aiohttp.WSMsgType.PING:
                        await self._socket.pong(message.data)
                    case aiohttp.WSMsgType.PONG:
                        self._resolve(bytes(message.data))
                        hear(self)
                    case aiohttp.WSMsgType.ERROR:
                        return
        except (aiohttp.ClientError, ConnectionError):
            return
        finally:
            for future in self._awaited.values():
                future.cancel()
            self._awaited.clear()

    async def ping(self) -> None:
        """Send a ping; its pong is a sign of life."""
        with suppress(aiohttp.ClientError, ConnectionError):
            await self._socket.ping(str(next(self._pings)).encode())

    async def fence(self, timeout_s: float) -> bool:
        """Return whether everything has come that the other end had sent until it saw this."""
        payload = f"fence {next(self._pings)}".encode()
        future = asyncio.get_running_loop().create_future()
        self._awaited[payload] = future
        try:
            async with asyncio.timeout(timeout_s):
                await self._socket.ping(payload)
                await asyncio.wait((future,))
        except (TimeoutError, aiohttp.ClientError, ConnectionError):
            return False
        finally:
            self._awaited.pop(payload, None)
        return not future.cancelled()

    async def close(self) -> None:
        """End it."""
        with suppress(aiohttp.ClientError, ConnectionError):
            await self._socket.close()

    def _resolve(self, payload: bytes) -> None:
        future = self._awaited.get(payload)
        if future is not None and not future.done():
            future.set_result(None)


class Dialer:
    """Opens lines to one venue.

    Args:
        gate: Lets connections through, or not.
        base: The address of the venue's streams, without a slash at its end.
        patience: With the other end.
    """

    def __init__(self, gate: Gate, base: str, patience: Patience | None = None) -> None:
        self._gate, self._base = gate, base
        self.patience = patience or Patience()
        self._numbers = count(1)
        self._session: aiohttp.ClientSession | None = None

    async def open(self, path: str) -> Line:
        """Return a line to a path of the venue.

        Raises:
            LineError: If there is none.
            ConfigError: If the venue is not where it may lead.
        """
        self._gate.check(self._base)
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        reason = ""
        try:
            async with asyncio.timeout(self.patience.connect_s):
                socket = await self._session.ws_connect(
                    self._base + path,
                    autoping=False,
                    max_msg_size=_LARGEST_FRAME,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                )
        except aiohttp.WSServerHandshakeError as error:
            reason = f"status {error.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = type(error).__name__
        if reason:  # outside of the handlers: what they handle holds the address
            raise LineError(f"{self._base} must open a connection and does not ({reason}); it is tried again")
        return Line(next(self._numbers), socket)

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class Owner(Protocol):
    """Whoever keeps a line open."""

    async def dial(self, why: Reason) -> Line:
        """Return a new line.

        Raises:
            LineError: If there is none.
        """
        ...

    def take(self, line: Line, text: str) -> None:
        """Take a text of a line."""
        ...

    def on_pong(self, line: Line) -> None:
        """Know that a pong has come on a line."""
        ...

    def on_open(self, line: Line, why: Reason) -> None:
        """Know that a line is there."""
        ...

    def on_down(self) -> None:
        """Know that there is no line any more."""
        ...


class Lines:
    """Keeps a line open for its owner, and for a while a second one that is to take its place.

    Args:
        owner: Whose.
        keeper: Decides.
        clock: Of the decisions.
        ping_s: How long a pong is waited for.
        ping_every_ms: Between pings on every line; None sends none.
    """

    def __init__(
        self, owner: Owner, keeper: LineKeeper, clock: Clock, *, ping_s: float, ping_every_ms: int | None = None
    ) -> None:
        self._owner, self._keeper, self._clock = owner, keeper, clock
        self._ping_s, self._ping_every_ms = ping_s, ping_every_ms
        self._pinged_ms = clock.monotonic_ms()
        self._lines: dict[int, Line] = {}
        self._why = Reason.START  # of the newest line
        self._early: set[int] = set()  # lines that showed a sign of life before they were there

    async def run(self) -> None:
        """Keep a line open until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._look(group, self._clock.monotonic_ms())
                    await self._clock.sleep(TICK_MS)
        finally:
            for line in list(self._lines.values()):
                await line.close()

    def hear(self, line: Line) -> None:
        """Know of a sign of life of a line."""
        if line.number not in self._lines:
            self._early.add(line.number)
            return
        self._drop(self._keeper.hear(line.number, self._clock.monotonic_ms()))

    def _look(self, group: asyncio.TaskGroup, now_ms: int) -> None:
        self._group = group
        if (why := self._keeper.begin(now_ms)) is not None:
            group.create_task(self._open(why))
        self._drop(self._keeper.silent(now_ms))
        if self._ping_every_ms is not None and now_ms - self._pinged_ms >= self._ping_every_ms:
            self._pinged_ms = now_ms
            for line in self._lines.values():
                group.create_task(line.ping())

    async def _open(self, why: Reason) -> None:
        try:
            line = await self._owner.dial(why)
        except LineError as error:
            _log.info("%s", error)
            self._keeper.fail(self._clock.monotonic_ms())
            return
        self._group.create_task(self._read(line))
        if not await line.fence(self._ping_s):
            self._keeper.fail(self._clock.monotonic_ms())
            await line.close()
            return
        self._lines[line.number], self._why = line, why
        self._keeper.open(line.number, self._clock.monotonic_ms())
        self._owner.on_open(line, why)
        if line.number in self._early:
            self.hear(line)

    async def _read(self, line: Line) -> None:
        await line.read(self._owner.take, self._owner.on_pong)
        self._early.discard(line.number)
        if self._lines.pop(line.number, None) is not None:
            self._keeper.close(line.number, self._clock.monotonic_ms())
            if not self._keeper.has_line:
                self._owner.on_down()

    def _drop(self, number: int | None) -> None:
        """Let a line go, once it has brought everything; from one that has fallen silent nothing is waited for."""
        line = None if number is None else self._lines.get(number)
        if line is not None:
            is_silent = self._why is Reason.STALLED
            self._group.create_task(line.close() if is_silent else self._retire(line))

    async def _retire(self, line: Line) -> None:
        await line.fence(self._ping_s)
        await line.close()
