"""Timers of the process that trades."""

import asyncio
from collections.abc import Callable

from rl_trader.live.streams.sockets import MachineClock


class RealTimers:
    """Timers that fire by a clock.

    Args:
        clock: Waits.
        fire: Called with the name of one that is due.
    """

    def __init__(self, clock: MachineClock, fire: Callable[[str], object]) -> None:
        self._clock = clock
        self._fire = fire
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set(self, name: str, after_ms: int) -> None:
        """Fire after a time; a timer of the same name is replaced."""
        if (before := self._tasks.pop(name, None)) is not None:
            before.cancel()
        self._tasks[name] = asyncio.create_task(self._wait(name, after_ms))

    async def _wait(self, name: str, after_ms: int) -> None:
        await self._clock.sleep(after_ms)
        self._tasks.pop(name, None)
        try:
            self._fire(name)
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)

    async def watch(self) -> None:
        """Wait until what a timer has led to fails, and raise it."""
        await self._failed

    def cancel(self) -> None:
        """Fire none of them any more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
