"""The equity over time, in few points however long the trader runs."""

from typing import Final, NamedTuple

MOST_POINTS: Final = 720
FIRST_SPACING_MS: Final = 1_000


class Point(NamedTuple):
    """Equity at a time."""

    t_ms: int
    equity: float  # USDT


class Curve:
    """Points at least a spacing apart, and the newest; of too many every other goes, and the spacing doubles.

    Args:
        most: Points that are kept.
        spacing_ms: Between two of them, at first.
    """

    def __init__(self, most: int = MOST_POINTS, spacing_ms: int = FIRST_SPACING_MS) -> None:
        self._most = most
        self._spacing_ms = spacing_ms
        self._kept: list[Point] = []
        self._newest: Point | None = None

    def add(self, t_ms: int, equity: float) -> None:
        """Add a point; one that is older than the newest is left out."""
        if self._newest is not None and t_ms < self._newest.t_ms:
            return
        self._newest = Point(t_ms, equity)
        if self._kept and t_ms - self._kept[-1].t_ms < self._spacing_ms:
            return
        self._kept.append(self._newest)
        if len(self._kept) > self._most:
            self._kept = self._kept[::2]
            self._spacing_ms *= 2

    def points(self) -> tuple[Point, ...]:
        """Return them, oldest first."""
        if self._newest is None or self._kept[-1] is self._newest:
            return tuple(self._kept)
        return (*self._kept, self._newest)
