"""How often invariants were asked, and what is broken."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """How often invariants were really asked."""

    looked: Counter[str] = field(default_factory=Counter)
    name: str = ""  # of the invariant that is being asked

    def look(self, times: int = 1) -> None:
        """Count that something was looked at."""
        self.looked[self.name] += times


@dataclass(frozen=True, slots=True)
class Breach:
    """An invariant that does not hold."""

    invariant: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.sentence}"
