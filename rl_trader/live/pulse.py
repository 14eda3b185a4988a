"""Whether the process stood still: what it knows is as old as the time in which it did nothing.

The clock goes on while the machine sleeps, where there is such a clock.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

EVERY_MS: Final = 250
STILL_MS: Final = 2_000  # that count as standing still

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_ms() -> int:
    """Return the time since the machine was started, its sleep included, in ms."""
    return time.clock_gettime_ns(_CLOCK) // 1_000_000


class Pulse:
    """Beats for as long as the event loop has its turn.

    Args:
        now_ms: A clock.
    """

    def __init__(self, now_ms: Callable[[], int] = boot_ms) -> None:
        self._now_ms = now_ms
        self._beat_ms: int | None = None  # the newest; None before the first

    def take_gap_ms(self) -> int:
        """Return for how long the process has stood still since the last beat, once; 0 if it has not."""
        if self._beat_ms is None:
            return 0
        gap_ms = self._now_ms() - self._beat_ms
        if gap_ms <= STILL_MS + EVERY_MS:
            return 0
        self._beat_ms = self._now_ms()
        return gap_ms

    def beat(self) -> None:
        """Note that the event loop has its turn."""
        self._beat_ms = self._now_ms()

    async def run(self, note: Callable[[int], object]) -> None:
        """Beat until it is cancelled.

        Args:
            note: Told for how long the process has stood still, where nobody has asked before.
        """
        while True:
            if gap_ms := self.take_gap_ms():
                note(gap_ms)
            self.beat()
            await asyncio.sleep(EVERY_MS / 1_000)
