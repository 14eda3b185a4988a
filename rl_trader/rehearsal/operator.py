"""The person beside the trader: asks it to stop, and clears stops after having looked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rl_trader.live.core.events import Event, Resumed, StopAsked
from rl_trader.live.core.state import State

NAME = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator wants at a moment."""

    time_ms: int
    kind: str  # HALT, KILL or RESUME


@dataclass(slots=True)
class Operator:
    """Does what is planned, and resumes after every stop if it is patient enough.

    Args:
        wishes: In any order.
        resume_after_ms: Of a stop; None never.
    """

    wishes: Sequence[Wish] = ()
    resume_after_ms: int | None = None
    _left: list[Wish] = field(init=False)
    done: Counter[str] = field(default_factory=Counter)
    _stopped_ms: int | None = None  # since when it is known to be stopped

    def __post_init__(self) -> None:
        self._left = sorted(self.wishes, key=lambda wish: wish.time_ms)

    @property
    def next_ms(self) -> int | None:
        """When something is wanted next."""
        times = [wish.time_ms for wish in self._left[:1]]
        if self._stopped_ms is not None and self.resume_after_ms is not None:
            times.append(self._stopped_ms + self.resume_after_ms)
        return min(times, default=None)

    def take(self, now_ms: int, state: State) -> list[Event]:
        """Return what is done now."""
        if not state.is_stopped:
            self._stopped_ms = None
        elif self._stopped_ms is None:
            self._stopped_ms = now_ms
        events: list[Event] = []
        while self._left and self._left[0].time_ms <= now_ms:
            events += self._done(self._left.pop(0), now_ms, state)
        if not events and self._is_patient(now_ms):
            events.append(Resumed(t_ms=now_ms, reason="looked at it", by=NAME))
            self.done["operator: RESUME"] += 1
            self._stopped_ms = None
        return events

    def _done(self, wish: Wish, now_ms: int, state: State) -> list[Event]:
        if wish.kind != "RESUME" or state.is_stopped:
            self.done[f"operator: {wish.kind}"] += 1
        if wish.kind == "RESUME":
            return [Resumed(t_ms=now_ms, reason="as planned", by=NAME)] if state.is_stopped else []
        return [StopAsked(t_ms=now_ms, kind=wish.kind, reason="as planned", by=NAME)]

    def _is_patient(self, now_ms: int) -> bool:
        since, after = self._stopped_ms, self.resume_after_ms
        return since is not None and after is not None and now_ms >= since + after
