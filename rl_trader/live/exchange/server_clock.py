"""The exchange's clock, as it is told by the time that its answers carry.

Requests are signed with it, and how long an order may still be accepted is counted on it. The local clock may be any
that goes on evenly; best is one that nobody can set. Times in milliseconds.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

NUM_SAMPLES: Final = 5  # of which the quickest is taken
RESYNC_MS: Final = 600_000  # after which the clock should be set again: quartz drifts by some 10 ms in that time

_ROUNDING_MS: Final = 1  # times are cut to whole ones


class Sample(NamedTuple):
    """One question for the time."""

    sent_ms: int  # local
    received_ms: int  # local
    server_ms: int  # what was answered

    @property
    def round_trip_ms(self) -> int:
        """How long it took."""
        return self.received_ms - self.sent_ms

    @property
    def offset_ms(self) -> int:
        """How far the server is ahead if both ways took equally long."""
        return self.server_ms - (self.sent_ms + self.received_ms) // 2

    def agrees(self, other: "Sample") -> bool:
        """Return whether there is an offset that both allow."""
        allowed_ms = (self.round_trip_ms + other.round_trip_ms) / 2 + 2 * _ROUNDING_MS
        return abs(self.offset_ms - other.offset_ms) <= allowed_ms


class Estimate(NamedTuple):
    """How far the server is ahead."""

    offset_ms: int
    error_ms: int  # at most, in either direction


def estimate(samples: Sequence[Sample]) -> Estimate | None:
    """Return what the quickest sample tells of those with which most others agree; None if there is no majority."""
    possible = [sample for sample in samples if sample.round_trip_ms >= 0]
    trusted = [one for one in possible if 2 * sum(one.agrees(other) for other in possible) > len(samples)]
    if not trusted:
        return None
    best = min(trusted, key=lambda sample: sample.round_trip_ms)
    return Estimate(best.offset_ms, best.round_trip_ms // 2 + _ROUNDING_MS)


class ServerClock:
    """The exchange's time.

    Args:
        local_ms: The local clock; it must go on evenly and never back.
    """

    def __init__(self, local_ms: Callable[[], int]) -> None:
        self.local_ms = local_ms
        self._estimate: Estimate | None = None
        self._set_at_ms = 0
        self._is_doubted = False

    def doubt(self) -> None:
        """Know that it is wrong: it should be set again."""
        self._is_doubted = True

    @property
    def is_set(self) -> bool:
        """Whether it was ever set."""
        return self._estimate is not None

    @property
    def is_stale(self) -> bool:
        """Whether it should be set again."""
        return self._is_doubted or not self.is_set or self.local_ms() - self._set_at_ms >= RESYNC_MS

    @property
    def error_ms(self) -> int | None:
        """By how much it may have been wrong when it was set; None if it never was."""
        return None if self._estimate is None else self._estimate.error_ms

    def now_ms(self) -> int:
        """Return the exchange's time; the local clock's until it is set."""
        return self.local_ms() + (0 if self._estimate is None else self._estimate.offset_ms)

    def set_by(self, samples: Sequence[Sample]) -> bool:
        """Set it; False, and as it was, if the samples contradict each other."""
        found = estimate(samples)
        if found is None:
            return False
        self._estimate, self._set_at_ms, self._is_doubted = found, self.local_ms(), False
        return True
