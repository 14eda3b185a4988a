"""A clock that waits in virtual time."""

import asyncio


class VirtualClock:
    """A clock that is told what time it is; who sleeps is woken by :meth:`at`.

    Args:
        now_ms: Time at first.
    """

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def monotonic_ms(self) -> int:
        """Return its time."""
        return self._now_ms

    @property
    def next_ms(self) -> int | None:
        """When somebody wakes next."""
        self._sleepers = [entry for entry in self._sleepers if not entry[1].done()]
        return min((time for time, _ in self._sleepers), default=None)

    def alarm(self, duration_ms: int) -> "asyncio.Future[None]":
        """Return what is done after a time; who needs it no more cancels it."""
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now_ms + duration_ms, future))
        return future

    async def sleep(self, duration_ms: int) -> None:
        """Wait until it is told a time that is so much later."""
        await self.alarm(duration_ms)

    def at(self, now_ms: int) -> None:
        """Let it be a time."""
        self._now_ms = max(self._now_ms, now_ms)
        due = [entry for entry in self._sleepers if entry[0] <= self._now_ms]
        self._sleepers = [entry for entry in self._sleepers if entry[0] > self._now_ms]
        for _, future in sorted(due, key=lambda entry: entry[0]):
            if not future.done():
                future.set_result(None)

    def clear(self) -> None:
        """Forget who sleeps, as a process does that ends."""
        self._sleepers.clear()
