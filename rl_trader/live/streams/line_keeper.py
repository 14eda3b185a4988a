"""Which connection to the exchange's streams there should be, and when another one takes its place: without a socket.

Times in milliseconds of a clock that goes on evenly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_DOUBLINGS: Final = 20  # more of them change nothing


class Backoff:
    """How long to wait before the next attempt: twice as long each time, and by chance up to half less.

    Args:
        chance: Returns numbers in [0, 1).
        first_ms: After the first failure.
        most_ms: At most.
    """

    def __init__(self, chance: Callable[[], float], first_ms: int = 1_000, most_ms: int = 60_000) -> None:
        self._chance, self._first_ms, self._most_ms = chance, first_ms, most_ms
        self._failures = 0

    def next_ms(self) -> int:
        """Return how long to wait after one more failure."""
        whole = min(self._first_ms * 2 ** min(self._failures, _DOUBLINGS), self._most_ms)
        self._failures += 1
        return int(whole * (1.0 - self._chance() / 2.0))

    def reset(self) -> None:
        """Begin anew."""
        self._failures = 0

    def spread(self, duration_ms: int) -> int:
        """Return a duration that is by chance up to a tenth shorter, so that not all ends at once."""
        return int(duration_ms * (1.0 - self._chance() / 10.0))


class Reason(StrEnum):
    """Why there should be another line."""

    START = "start"
    LOST = "the connection has ended"
    STALLED = "the connection has fallen silent"
    AGED = "the connection is old"
    EXPIRED = "the listen key is no longer valid"
    ASKED = "somebody has asked for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineLimits:
    """How long lines are trusted, in milliseconds."""

    stall_ms: int  # without a sign of life
    lifetime_ms: int = 23 * 3_600_000  # the exchange ends a connection after 24 hours
    steady_ms: int = 10_000  # a line that has lasted less was a failure


@dataclass(slots=True)
class _Known:
    number: int
    opened_ms: int
    heard_ms: int
    lifetime_ms: int


class LineKeeper:
    """Decides when there should be another line, and which is to be dropped for it.

    There is one line, and for a while a second one that is to take its place: the old one is dropped when the new one
    has shown a sign of life.

    Args:
        limits: How long lines are trusted.
        backoff: Between attempts that fail.
    """

    def __init__(self, limits: LineLimits, backoff: Backoff) -> None:
        self._limits, self._backoff = limits, backoff
        self._current: _Known | None = None
        self._next: _Known | None = None
        self._is_opening = False
        self._not_before_ms: int | None = None
        self._why: Reason | None = Reason.START
        self._why_again: Reason | None = None  # one more after the one that is on its way

    @property
    def has_line(self) -> bool:
        """Whether there is any."""
        return self._current is not None or self._next is not None

    def ask(self, why: Reason) -> None:
        """Want another line; one that is on its way already is not enough."""
        if self._is_opening or self._next is not None:
            self._why_again = why
        elif self._why is None:
            self._why = why

    def begin(self, now_ms: int) -> Reason | None:
        """Return why a line is to be opened now, if one is; it must be told whether it was."""
        current = self._current
        if self._why is None and current is not None:
            if now_ms - current.heard_ms > self._limits.stall_ms:
                self._why = Reason.STALLED
            elif now_ms - current.opened_ms >= current.lifetime_ms:
                self._why = Reason.AGED
        is_early = self._not_before_ms is not None and now_ms < self._not_before_ms
        if self._why is None or self._is_opening or self._next is not None or is_early:
            return None
        self._is_opening = True
        return self._why

    def fail(self, now_ms: int) -> None:
        """Know that the line could not be opened."""
        self._is_opening = False
        self._not_before_ms = now_ms + self._backoff.next_ms()

    def open(self, number: int, now_ms: int) -> None:
        """Know that the line is there."""
        self._is_opening = False
        self._next = _Known(number, now_ms, now_ms, self._backoff.spread(self._limits.lifetime_ms))

    def hear(self, number: int, now_ms: int) -> int | None:
        """Know of a sign of life, and return the line that is to be dropped now, if there is one."""
        if self._current is not None and self._current.number == number:
            self._current.heard_ms = now_ms
            if now_ms - self._current.opened_ms >= self._limits.steady_ms:
                self._backoff.reset()
        if self._next is None or self._next.number != number:
            return None
        old, self._current, self._next = self._current, self._next, None
        self._current.heard_ms = now_ms
        self._why, self._why_again = self._why_again, None
        return None if old is None else old.number

    def silent(self, now_ms: int) -> int | None:
        """Return the new line, which is to be dropped, if it has shown no sign of life for too long."""
        new = self._next
        if new is None or now_ms - new.opened_ms <= self._limits.stall_ms:
            return None
        self._next = None
        self._not_before_ms = now_ms + self._backoff.next_ms()
        return new.number

    def close(self, number: int, now_ms: int) -> None:
        """Know that a line has ended."""
        for line in (self._current, self._next):
            if line is not None and line.number == number:
                self._note_end(line, now_ms)

    def _note_end(self, line: _Known, now_ms: int) -> None:
        is_steady = now_ms - line.opened_ms >= self._limits.steady_ms
        self._not_before_ms = now_ms if is_steady else now_ms + self._backoff.next_ms()
        if line is self._next:
            self._next = None
        else:
            self._current = None
            self._why = Reason.LOST
