"""What may happen to the trader's process: it is killed, its clock jumps, and whatever waits goes on in any order.

The points are where a process can end between two things that cannot be undone together: before and after an entry of
the journal, before a request leaves, after it was answered and before the answer is read, before an event is taken.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

MOST_PAUSES: Final = 3  # turns that others have while somebody waits for an answer
ANY_MOMENT: Final = "at a moment"  # a point that is no point: when its time has come


class KilledError(BaseException):
    """The process ends here; nothing catches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One end of the process."""

    point: str
    since_ms: int  # the first time that the point is passed from then on
    until_ms: int  # from then on nothing happens any more
    down_ms: int  # until it is started again

    def is_due(self, point: str, now_ms: int) -> bool:
        """Return whether the process ends when it passes a point."""
        return self.point == point and self.since_ms <= now_ms < self.until_ms


@dataclass(frozen=True, slots=True)
class ClockStep:
    """A jump of the machine's clock; one that goes on evenly stands still while the machine is suspended."""

    time_ms: int
    by_ms: int


@dataclass(slots=True)
class Hazards:
    """The kills of a run, the jumps of its clock, and its chance.

    Args:
        now_ms: The market's time.
        kills: In any order.
        seed: Of the pauses.
        clock_steps: In any order.
    """

    now_ms: Callable[[], int]
    kills: Sequence[Kill] = ()
    seed: int = 0
    clock_steps: Sequence[ClockStep] = ()
    is_dead: bool = False
    down_until_ms: int = 0
    killed: list[str] = field(default_factory=list)  # points, as they came
    passed: Counter[str] = field(default_factory=Counter)
    _left: list[Kill] = field(init=False)
    _chance: Random = field(init=False)

    def __post_init__(self) -> None:
        self._left = sorted(self.kills, key=lambda kill: kill.since_ms)
        self._chance = Random(self.seed)

    def at(self, point: str) -> None:
        """Pass a point.

        Raises:
            KilledError: If the process ends here, or has ended.
        """
        self.passed[point] += 1
        if not self.is_dead:
            due = self._due(point)
            if due is None:
                return
            self._end(due)
        raise KilledError(point)

    def look(self) -> None:
        """End the process if the moment has come."""
        due = self._due(ANY_MOMENT)
        if due is not None and not self.is_dead:
            self._end(due)

    @property
    def next_ms(self) -> int | None:
        """When the next kill comes that waits for a moment."""
        now = self.now_ms()
        times = [kill.since_ms for kill in self._left if kill.point == ANY_MOMENT and now < kill.until_ms]
        return min(times, default=None)

    @property
    def clock_step_ms(self) -> int:
        """By how much the machine's clock has jumped so far."""
        if not self.clock_steps:
            return 0
        now = self.now_ms()
        return sum(step.by_ms for step in self.clock_steps if step.time_ms <= now)

    def begin(self) -> None:
        """Let there be a process again."""
        self.is_dead = False

    def pauses(self) -> int:
        """Return how many turns others have."""
        return self._chance.randrange(MOST_PAUSES + 1) if self.seed else 0

    def _due(self, point: str) -> Kill | None:
        for kill in self._left:
            if kill.point == point and kill.is_due(point, self.now_ms()):
                return kill
        return None

    def _end(self, kill: Kill) -> None:
        self._left.remove(kill)
        self.killed.append(kill.point)
        self.is_dead, self.down_until_ms = True, self.now_ms() + kill.down_ms
