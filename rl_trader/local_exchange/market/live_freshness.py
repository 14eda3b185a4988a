"""How old the prices are that are followed.

What is told carries the followed exchange's time, and two clocks differ: the least difference that was seen is taken
for theirs, and what a price lags behind it for its age. So both a feed that falls silent and one that is late grow old.
Where that exchange runs faster than the clock, as a replay may, only silence is seen.

Times in milliseconds.
"""


class Freshness:
    """The age of one symbol's prices.

    Args:
        begun_ms: Time of the first prices.
        most_ms: Age from which on prices are stale.
    """

    def __init__(self, begun_ms: int, most_ms: int) -> None:
        self._newest_ms = begun_ms
        self._most_ms = most_ms
        self._offset_ms: int | None = None  # of the clock, ahead of the followed exchange's time

    def note(self, time_ms: int, clock_ms: int) -> None:
        """Know that prices of a time have come at a time of the clock."""
        offset = clock_ms - time_ms
        self._offset_ms = offset if self._offset_ms is None else min(self._offset_ms, offset)
        self._newest_ms = max(self._newest_ms, time_ms)

    def note_answer(self, time_ms: int, clock_ms: int) -> None:
        """Know that prices of a time were answered: where they are newer, the two clocks are compared anew."""
        if time_ms > self._newest_ms:
            self._offset_ms = None
        self.note(time_ms, clock_ms)

    def is_stale(self, clock_ms: int) -> bool:
        """Return whether the newest prices are too old; the first look is taken for their time."""
        if self._offset_ms is None:
            self._offset_ms = clock_ms - self._newest_ms
        return clock_ms - self._newest_ms - self._offset_ms > self._most_ms


class Lasting:
    """How long something has been so, on one clock."""

    def __init__(self) -> None:
        self._since_ms: int | None = None

    def note(self, is_so: bool, clock_ms: int) -> None:
        """Know whether it is so now."""
        if not is_so:
            self._since_ms = None
        elif self._since_ms is None:
            self._since_ms = clock_ms

    def is_longer(self, than_ms: int, clock_ms: int) -> bool:
        """Return whether it has been so for longer than a time."""
        return self._since_ms is not None and clock_ms - self._since_ms > than_ms
