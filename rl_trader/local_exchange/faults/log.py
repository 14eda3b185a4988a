"""What a plan has done: each fault that happened, when, and what it met."""

from typing import NamedTuple


class Fired(NamedTuple):
    """One fault that happened."""

    fault: str  # its name
    market_ms: int
    session_ms: int
    met: str  # the call or frame that it happened to, or what became of it


class FaultLog:
    """All faults that have happened, in their order."""

    def __init__(self) -> None:
        self.entries: list[Fired] = []

    def of(self, fault: str) -> list[Fired]:
        """Return how often and when one fault has happened."""
        return [entry for entry in self.entries if entry.fault == fault]
