"""The policy at work in a thread of its own, and for so long and no longer: nothing that it does holds up the trader.

A policy that has not answered in time has given no answer on its bar. It cannot be made to end; until it does, it is
not asked about other bars either. Everything else goes on: kills, stops, streams, readings of the account. What holds
the interpreter for as long as it works, as compiled code may, holds up the rest all the same.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Self

from rl_trader.klines import utc
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.events import Decided
from rl_trader.live.policy_desk import Answer, PolicyDesk, Question, no_answer

DEADLINE_S: Final = 10.0
FIRST_DEADLINE_S: Final = 120.0  # of the first decision, before which something may have to be compiled

_Work = tuple[Question, "asyncio.Future[Answer]"]


class PolicyWorker:
    """Asks one desk's policy; a context manager within a running loop.

    Args:
        desk: Whose policy.
        take: Told of every decision, in the loop's thread.
        deadline_s: In which an answer must come.
    """

    def __init__(self, desk: PolicyDesk, take: Callable[[Decided], object], deadline_s: float = DEADLINE_S) -> None:
        self._desk, self._take, self._deadline_s = desk, take, deadline_s
        self._loop = asyncio.get_running_loop()
        self._asked: asyncio.Queue[Decide] = asyncio.Queue()
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._has_answered = False
        self._late: Decide | None = None  # about which the policy is still at work, though nobody waits
        self._thread = threading.Thread(target=self._serve, name="policy", daemon=True)

    def __enter__(self) -> Self:
        """Let the thread begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the thread end as soon as it can; nobody waits for it."""
        self._work.put(None)

    def ask(self, command: Decide) -> None:
        """Have the policy asked; the decision is told later."""
        self._asked.put_nowait(command)

    async def run(self) -> None:
        """Ask about one bar after the other, until it is cancelled."""
        while True:
            command = await self._asked.get()
            while not self._asked.empty():  # of bars that are over there is nothing left to decide
                command = self._asked.get_nowait()
            self._take(self._desk.take(await self._answer(command)))

    async def _answer(self, command: Decide) -> Answer:
        if self._late is not None:
            return no_answer(command, f"the policy is still at work on the bar of {utc(self._late.open_ms)}")
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._work.put((self._desk.question(command), future))
        deadline_s = self._deadline_s if self._has_answered else max(self._deadline_s, FIRST_DEADLINE_S)
        done, _ = await asyncio.wait([future], timeout=deadline_s)
        if done:
            self._has_answered = True
            return future.result()
        self._late = command
        future.add_done_callback(self._be_in_time)
        return no_answer(command, f"the policy has not answered within {deadline_s:g} s")

    def _be_in_time(self, future: "asyncio.Future[Answer]") -> None:
        self._late = None
        if not future.cancelled():
            future.exception()  # an answer that comes too late is none, whatever it is

    # In the thread

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            question, future = work
            try:
                answer = self._desk.answer(question)
            except BaseException as error:  # it is raised where it is waited for
                self._tell(future.set_exception, error)
            else:
                self._tell(future.set_result, answer)

    def _tell(self, tell: Callable[..., object], what: Answer | BaseException) -> None:
        try:
            self._loop.call_soon_threadsafe(tell, what)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return
