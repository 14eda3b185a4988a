"""Timers in virtual time."""


class VirtualTimers:
    """Timers that fire when they are told what time it is.

    Args:
        now_ms: Time at first.
    """

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._due: dict[str, int] = {}

    def set(self, name: str, after_ms: int) -> None:
        """Fire after a time; a timer of the same name is replaced."""
        self._due[name] = self._now_ms + after_ms

    @property
    def next_ms(self) -> int | None:
        """When the next one fires."""
        return min(self._due.values(), default=None)

    def at(self, now_ms: int) -> None:
        """Let it be a time, which timers are set from."""
        self._now_ms = max(self._now_ms, now_ms)

    def take_due(self) -> list[str]:
        """Return, and forget, the names of those that fire by now, in their order."""
        due = sorted([(time, name) for name, time in self._due.items() if time <= self._now_ms])
        for _, name in due:
            del self._due[name]
        return [name for _, name in due]

    def clear(self) -> None:
        """Forget all, as a process does that ends."""
        self._due.clear()
