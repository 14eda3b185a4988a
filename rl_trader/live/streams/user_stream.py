"""What happens to an account, over a socket: every event, in order, none left out.

A listen key names the stream. It is asked for before every connection, which also keeps it valid, and extended every
twenty minutes. It is never deleted: every client of the account shares it. Where it is said to have expired, by an
event or by -1125, a new key and a new connection come first; then the trader is told that the account has to be read,
and only then the old connection is dropped.

The exchange tells only what happens while a connection is there. So each new one comes with :class:`AccountGap`, behind
which everything that follows is told: what was before has to be read over REST. While two connections overlap what
both bring is told once.

The stream is silent while nothing happens. A connection is known to live by pings; whether the exchange tells what it
should can only be seen by who reads the account, and says so by :meth:`UserStream.rebuild`.

Sources: the API documentation of USD-M futures, "User Data Streams" (read in autumn 2026).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from rl_trader.live.exchange.endpoints import user_path
from rl_trader.live.exchange.outcome import Kind, Outcome, classify
from rl_trader.live.streams.line_keeper import Backoff, LineKeeper, LineLimits, Reason
from rl_trader.live.streams.sockets import Caller, Clock, Dialer, Line, LineError, Lines, Waiting

LIMITS: Final = LineLimits(stall_ms=20_000)

_EXPIRED: Final = "listenKeyExpired"
_NO_SUCH_KEY: Final = -1125
_TICK_MS: Final = 250  # between two looks at the key
_OVERLAP_MS: Final = 60_000  # from the making of a connection on; by then the old one is gone
_MOST_SEEN: Final = 100_000  # texts that are remembered meanwhile
_DECODER: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=str)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """When a listen key is extended, in milliseconds. It is valid for an hour."""

    extend_ms: int = 20 * 60_000
    retry_ms: int = 60_000
    most_failures: int = 10  # in a row; then a new key is asked for
    ping_ms: int = 10_000  # between pings on a connection


class UserEvent(NamedTuple):
    """Something that has happened to the account, as the exchange writes it; empty where it cannot be read."""

    payload: Mapping[str, object]


class AccountGap(NamedTuple):
    """What happened until now may not have been told: the account is to be read."""

    why: Reason


class UserStreamDown(NamedTuple):
    """Nothing is told at present."""


UserItem = UserEvent | AccountGap | UserStreamDown


class KeyKeeper:
    """When a listen key is to be extended, and when it is of no use any more; without a socket.

    Args:
        limits: When.
    """

    def __init__(self, limits: KeyLimits) -> None:
        self._limits = limits
        self._due_ms: int | None = None  # None: there is no key, or it is being extended
        self._failures = 0

    def renew(self, now_ms: int) -> None:
        """Know that a key was given, or extended."""
        self._failures = 0
        self._due_ms = now_ms + self._limits.extend_ms

    def begin(self, now_ms: int) -> bool:
        """Return whether the key is to be extended now; it must be told whether it was."""
        if self._due_ms is None or now_ms < self._due_ms:
            return False
        self._due_ms = None
        return True

    def fail(self, now_ms: int, code: int | None) -> bool:
        """Know that the key was not extended, and return whether another one is needed."""
        self._failures += 1
        if code == _NO_SUCH_KEY or self._failures > self._limits.most_failures:
            self._failures = 0
            return True
        self._due_ms = now_ms + self._limits.retry_ms
        return False


class UserStream:
    """The stream of one account.

    Args:
        dialer: Opens connections.
        caller: Asks for the listen key.
        tell: Awaited with everything that comes, in order.
        clock: Of connections and key.
        backoff: Between attempts.
        line_limits: How long connections are trusted.
        key_limits: When the key is extended.
    """

    def __init__(
        self,
        dialer: Dialer,
        caller: Caller,
        tell: Callable[[UserItem], Awaitable[None]],
        clock: Clock,
        backoff: Backoff,
        line_limits: LineLimits = LIMITS,
        key_limits: KeyLimits | None = None,
    ) -> None:
        limits = key_limits or KeyLimits()
        self.waiting: Waiting[UserItem] = Waiting()
        self._dialer, self._caller, self._tell, self._clock = dialer, caller, tell, clock
        self._keeper = LineKeeper(line_limits, backoff)
        self._lines = Lines(self, self._keeper, clock, ping_s=dialer.patience.ping_s, ping_every_ms=limits.ping_ms)
        self._keys = KeyKeeper(limits)
        self._key = ""
        self._seen: dict[str, None] | None = None  # texts told while two connections may overlap
        self._overlaps_until_ms = 0

    def rebuild(self) -> None:
        """Make another connection: the account has changed and nothing was told."""
        self._keeper.ask(Reason.ASKED)

    async def run(self) -> None:
        """Keep connected and tell what comes, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lines.run())
            group.create_task(self._keep_key())
            while True:
                await self._tell(await self.waiting.take())

    # What lines are kept for

    async def dial(self, why: Reason) -> Line:
        """Return a new line, with a key that is valid."""
        outcome = await self._ask("listen_key.start")
        key = outcome.data.get("listenKey") if isinstance(outcome.data, Mapping) else None
        if outcome.kind is not Kind.ACKED or not isinstance(key, str) or not key:
            raise LineError(f"a listen key must be given and is not ({_words(outcome)}); it is asked for again")
        self._key = key
        now_ms = self._clock.monotonic_ms()
        self._keys.renew(now_ms)
        if self._keeper.has_line:
            self._seen, self._overlaps_until_ms = self._seen or {}, now_ms + _OVERLAP_MS
        return await self._dialer.open(user_path(key))

    def take(self, line: Line, text: str) -> None:
        """Take a frame."""
        self._lines.hear(line)
        if self._is_repeated(text):
            return
        payload = parse_user_frame(text)
        if payload is None:
            return
        if payload.get("e") == _EXPIRED:
            self._expire(payload)
            payload = {name: value for name, value in payload.items() if name != "listenKey"}
        self.waiting.put(UserEvent(payload))

    def on_pong(self, line: Line) -> None:
        """Take a pong for a sign of life."""
        self._lines.hear(line)

    def on_open(self, line: Line, why: Reason) -> None:
        """Tell that the account is to be read; what happens from now on is told."""
        self.waiting.put(AccountGap(why))
        self._lines.hear(line)

    def on_down(self) -> None:
        """Tell that nothing is told."""
        self.waiting.put(UserStreamDown())

    def _is_repeated(self, text: str) -> bool:
        """Return whether a text was told already, by the connection that overlaps."""
        if self._seen is None:
            return False
        if text in self._seen:
            return True
        self._seen[text] = None
        if len(self._seen) > _MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return False

    # The key

    def _expire(self, payload: Mapping[str, object]) -> None:
        """Get another key, unless it is an older one that has expired."""
        if payload.get("listenKey") in (None, self._key):
            self._keeper.ask(Reason.EXPIRED)

    async def _keep_key(self) -> None:
        while True:
            await self._clock.sleep(_TICK_MS)
            now_ms = self._clock.monotonic_ms()
            if now_ms > self._overlaps_until_ms:
                self._seen = None
            if self._keys.begin(now_ms):
                outcome = await self._ask("listen_key.extend")
                self._note_extension(outcome)

    def _note_extension(self, outcome: Outcome) -> None:
        now_ms = self._clock.monotonic_ms()
        if outcome.kind is Kind.ACKED:
            self._keys.renew(now_ms)
            return
        _log.warning("the listen key was not extended (%s)", _words(outcome))
        if self._keys.fail(now_ms, outcome.code):
            self._keeper.ask(Reason.EXPIRED)

    async def _ask(self, name: str) -> Outcome:
        return classify(await self._caller.call(name))


def parse_user_frame(text: str) -> Mapping[str, object] | None:
    """Return the event of a frame; empty if it cannot be read, None if it is an answer and no event."""
    try:
        frame: object = _DECODER.decode(text)
    except (ValueError, RecursionError, ArithmeticError):
        return {}
    if isinstance(frame, dict) and "stream" in frame:
        frame = frame.get("data")
    if not isinstance(frame, dict):
        return {}
    if "e" not in frame and "id" in frame:
        return None
    return frame


def _words(outcome: Outcome) -> str:
    return f"{outcome.status} {outcome.code} {outcome.reason}"
