"""The exchange's time as its stamps tell it, and how late what it tells comes.

Stamps are the exchange's times in milliseconds since 1970 UTC. Local times are those of a clock that goes on evenly,
in milliseconds since anything.
"""

from typing import Final

_WINDOW_MS: Final = 300_000  # local; two clocks drift apart by some 15 ms in that time


class StampClock:
    """What is certain of the exchange's time, and what it is about.

    A stamp that lies far ahead may be a fault, or the exchange may have leapt, as a replay does: the earlier of two
    such stamps in a row counts. So does the first of all.

    Args:
        leap_ms: How far ahead of what is expected a stamp counts at once.
    """

    def __init__(self, leap_ms: int) -> None:
        self._leap_ms = leap_ms
        self._suspect_ms: int | None = None
        self._noted_ms = 0  # local time of the newest stamp
        self.newest_ms: int | None = None  # has passed at the exchange for certain

    def note(self, stamp_ms: int, now_ms: int) -> bool:
        """Take a stamp that has come just now, and return whether it is believed."""
        expected = self.estimate(now_ms)
        if expected is None or stamp_ms > expected + self._leap_ms:
            suspect, self._suspect_ms = self._suspect_ms, stamp_ms
            if suspect is None:
                return False
            stamp_ms = min(suspect, stamp_ms)
        self._suspect_ms = None
        if self.newest_ms is None or stamp_ms > self.newest_ms:
            self.newest_ms, self._noted_ms = stamp_ms, now_ms
        return True

    def confirm(self, stamp_ms: int, now_ms: int) -> bool:
        """Take the answer to the question what time it is, and return whether it is news; it may stand still."""
        before = self.newest_ms
        self.note(stamp_ms, now_ms)
        if stamp_ms == before:
            self._noted_ms = now_ms
        return self.newest_ms != before

    def estimate(self, now_ms: int) -> int | None:
        """Return about what time it is at the exchange, a transmission late; None before anything is certain."""
        return None if self.newest_ms is None else self.newest_ms + now_ms - self._noted_ms


class Lag:
    """How late something comes, against the least that its way took in the last minutes."""

    def __init__(self) -> None:
        self._begun_ms = 0  # of the present window
        self._least: list[int] = []  # offsets of the clocks, of the window before and the present one

    def note(self, stamp_ms: int, now_ms: int) -> int:
        """Return by how much what was stamped then and has come now is late."""
        offset = now_ms - stamp_ms
        passed = now_ms - self._begun_ms
        if not self._least or passed >= _WINDOW_MS:
            self._begun_ms = now_ms
            self._least = [*(self._least[-1:] if passed < 2 * _WINDOW_MS else []), offset]
        self._least[-1] = min(self._least[-1], offset)
        return offset - min(self._least)
