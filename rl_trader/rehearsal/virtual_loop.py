"""An event loop with nothing outside of it: no sockets, no other threads, no time that passes by itself.

What is called goes on in the order in which it was called, as in asyncio's own loop. As nothing can come from outside,
it is known when nobody can go on, which is when virtual time may.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Call:
    """What is called when its turn comes."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context) -> None:
        self.callback, self.args, self.context = callback, args, context
        self.is_cancelled = False

    def cancel(self) -> None:
        """Call it no more."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Return whether it is called no more."""
        return self.is_cancelled


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs tasks whose time is given to them.

    A moment that is waited for in the machine's own time never comes: here a task goes on without it, or never.
    """

    def __init__(self) -> None:
        self._due: deque[_Call] = deque()
        self._quiet: list[asyncio.Future[None]] = []
        self._is_running = self._is_stopping = self._is_closed = False

    async def quiet(self) -> None:
        """Wait until nobody can go on without something new."""
        if self._due:
            future = self.create_future()
            self._quiet.append(future)
            await future

    # Running

    def run_forever(self) -> None:
        """Run until it is stopped.

        Raises:
            RuntimeError: If everybody waits for what can never come.
            BaseException: What a call has failed with that nobody waits for.
        """
        asyncio._set_running_loop(self)
        self._is_running = True
        try:
            while not self._is_stopping:
                self._turn()
        finally:
            self._is_running = self._is_stopping = False
            asyncio._set_running_loop(None)

    def _turn(self) -> None:
        """Call everything that is due; what that leads to has its turn next."""
        due = self._due
        if not due:
            self._tell_quiet()
        for _ in range(len(due)):
            call = due.popleft()
            if not call.is_cancelled:
                call.context.run(call.callback, *call.args)

    def _tell_quiet(self) -> None:
        if not self._quiet:
            raise RuntimeError("everybody waits for what can never come")
        waiting, self._quiet = self._quiet, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def run_until_complete(self, future: Any) -> Any:  # noqa: ANN401 - as asyncio has it
        """Run until a future or coroutine is done, and return its result."""
        task = asyncio.ensure_future(future, loop=self)
        task.add_done_callback(lambda _: self.stop())
        self.run_forever()
        return task.result()

    def stop(self) -> None:
        """Stop after this turn."""
        self._is_stopping = True

    def is_running(self) -> bool:
        """Return whether it runs."""
        return self._is_running

    def is_closed(self) -> bool:
        """Return whether it is closed."""
        return self._is_closed

    def close(self) -> None:
        """Forget everything."""
        self._is_closed = True
        self._due.clear()

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: there are none."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Do nothing: there is none."""

    # Calls

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Let something be called in the next turn."""
        call = _Call(callback, args, contextvars.copy_context() if context is None else context)
        self._due.append(call)
        return cast("asyncio.Handle", call)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call nothing: the machine's time does not pass here."""
        return asyncio.TimerHandle(when, callback, args, self, context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call nothing: the machine's time does not pass here."""
        return self.call_at(delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: no timer is kept."""

    def time(self) -> float:
        """Return a time that stands still."""
        return 0.0

    def create_future(self) -> "asyncio.Future[Any]":
        """Return a future."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[T]":
        """Return a task that begins in the next turn."""
        return asyncio.Task(coro, loop=self, name=name, context=context)

    # Failures

    def get_debug(self) -> bool:
        """Return False: nothing is watched."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Do nothing."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Do nothing: it is about tasks that have failed and that nobody has asked."""


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
