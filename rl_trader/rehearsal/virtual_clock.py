"""A clock that waits in virtual time."""

import asyncio
import heapq
from itertools import count


class VirtualClock:
    """A clock that is told what time it is; who sleeps is woken by :meth:`at`.

    Args:
        now_ms: Time at first.
    """

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._numbers = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap: when, and in which order

    def monotonic_ms(self) -> int:
        """Return its time."""
        return self._now_ms

    @property
    def next_ms(self) -> int | None:
        """When somebody wakes next."""
        while self._sleepers and self._sleepers[0][-1].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def alarm(self, duration_ms: int) -> "asyncio.Future[None]":
        """Return what is done after a time; who needs it no more cancels it."""
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_ms + duration_ms, next(self._numbers), future))
        return future

    async def sleep(self, duration_ms: int) -> None:
        """Wait until it is told a time that is so much later."""
        await self.alarm(duration_ms)

    def at(self, now_ms: int) -> None:
        """Let it be a time."""
        self._now_ms = max(self._now_ms, now_ms)
        while self._sleepers and self._sleepers[0][0] <= self._now_ms:
            future = heapq.heappop(self._sleepers)[-1]
            if not future.done():
                future.set_result(None)

    def clear(self) -> None:
        """Forget who sleeps, as a process does that ends."""
        self._sleepers.clear()
