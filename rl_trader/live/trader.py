"""The trader: the core, its journal, and the workers that do what it commands.

Events are taken one at a time, in one thread: the core steps, the journal is written, and only then is anything done.
Orders go one after the other in a worker of their own, questions in another, so that a question never holds up an
order. Nothing here knows what time it is: clocks and timers are given.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rl_trader.live.calls import MOST_READINGS, Calls
from rl_trader.live.core.answering import sought
from rl_trader.live.core.commands import (
    Alert,
    Cancel,
    CancelAll,
    Command,
    Countdown,
    Decide,
    Place,
    Query,
    QueryNumber,
    ReadAccount,
    ReadSettings,
    ReadSymbol,
    RebuildStream,
    SetTimer,
)
from rl_trader.live.core.events import Decided, Event, Resumed, SnapshotFailed, StopAsked, Suspended, TimerFired
from rl_trader.live.core.state import Latched, State
from rl_trader.live.core.step import Core
from rl_trader.live.core.words import IntentState
from rl_trader.live.entries import entry
from rl_trader.live.exchange.outcome import Kind
from rl_trader.live.journal.rows import NewEvent, Row

Work = Callable[[], Coroutine[Any, Any, None]]
Watcher = Callable[[Event, State], object]
Recorder = Callable[[Event, State], Sequence[Row]]


class Journal(Protocol):
    """Where events are written down before anything is done."""

    def append(self, events: list[NewEvent]) -> int:
        """Write events, and return the number of the last."""
        ...


class Timers(Protocol):
    """What fires events later."""

    def set(self, name: str, after_ms: int) -> None:
        """Fire an event of a name after a time; one of the same name is replaced."""
        ...


class Trader:
    """One deployment at work.

    Args:
        core: Decides what is done.
        journal: Written before anything is done.
        calls: To the exchange.
        timers: Fire events later.
        decide: Asks the policy; returns its event, or None where it will happen later.
        tell: Told what a person should know.
        session_ms: This process's clock.
        latched: Numbers of the journal's events that came with stops which nobody has cleared.
        rebuild: Makes another connection for the account's events.
        gap_ms: Returns for how long the process has stood still, once; 0 if it has not.
        record: Returns what is journalled with an event and the state after it, besides what the event has changed.
        watchers: Shown every event once it is journalled, with the state after it; what they raise ends the trader.
    """

    def __init__(
        self,
        core: Core,
        journal: Journal,
        calls: Calls,
        timers: Timers,
        *,
        decide: Callable[[Decide], Decided | None],
        tell: Callable[[str], object],
        session_ms: Callable[[], int],
        latched: Sequence[int] = (),
        rebuild: Callable[[], object] = lambda: None,
        gap_ms: Callable[[], int] = lambda: 0,
        record: Recorder = lambda _event, _state: (),
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.core = core
        self._journal = journal
        self._calls = calls
        self._timers = timers
        self._decide = decide
        self._tell = tell
        self._rebuild = rebuild
        self._gap_ms = gap_ms
        self._record = record
        self._watchers = watchers
        self._session_ms = session_ms
        self._latched = list(latched)
        self._orders: asyncio.Queue[Work] = asyncio.Queue()
        self._questions: asyncio.Queue[Work] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._num_undone = 0  # pieces of work that are waiting or being done
        self._failure: str | None = None  # of the journal, that nothing was done about yet

    async def __aenter__(self) -> "Trader":
        """Let the workers begin."""
        self._workers = [asyncio.create_task(self._work(queue)) for queue in (self._orders, self._questions)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the workers; what they were about to do is found by the next start."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def watch(self) -> None:
        """Wait until a worker fails, and raise what it has died of: without it orders would wait for ever."""
        done, _ = await asyncio.wait(self._workers, return_when=asyncio.FIRST_COMPLETED)
        for worker in done:
            worker.result()

    def happen(self, event: Event) -> None:
        """Let an event happen: the core steps, it is journalled, and what is commanded is set going."""
        if gap_ms := self._gap_ms():
            self._take(Suspended(t_ms=event.t_ms, gap_ms=gap_ms))
        self._take(event)

    def _take(self, event: Event) -> None:
        commands = self.core.step(event)
        written = entry(event, self.core.state, self._session_ms(), self._latched)
        kept = self._record(event, self.core.state)
        number = self._journal.append([replace(written, rows=(*written.rows, *kept)) if kept else written])
        if isinstance(event, Resumed):
            self._latched.clear()
        self._latched += [number for change in self.core.state.changes if isinstance(change, Latched)]
        for watcher in self._watchers:
            watcher(event, self.core.state)
        for command in commands:
            self._do(command)
        self.heed_failure()

    def note_failure(self, why: str) -> None:
        """Note that the journal is written from its reserve from now on."""
        self._failure = why

    def heed_failure(self) -> None:
        """Get out, once, if the journal is written from its reserve: nobody knows for how long it will be."""
        if self._failure is None:
            return
        reason, self._failure = self._failure, None
        self.happen(StopAsked(t_ms=self.core.state.now_ms, kind="KILL", reason=reason, by="the journal"))

    async def idle(self) -> None:
        """Wait until nothing is being done; for tests and lock-step."""
        while self._num_undone:
            for worker in self._workers:
                if worker.done():
                    worker.result()  # raises what it has died of
            await asyncio.sleep(0)

    def _do(self, command: Command) -> None:  # noqa: C901 - one case a command
        match command:
            case Place(intent):
                self._give(self._orders, lambda: self._place(intent.client_id))
            case Cancel(client_id, is_conditional):
                self._give(self._orders, lambda: self._cancel(client_id, is_conditional))
            case CancelAll():
                self._give(self._orders, lambda: self._ask(self._calls.cancel_all()))
            case Countdown(after_ms):
                self._give(self._orders, lambda: self._countdown(after_ms))
            case Query(client_id, is_conditional):
                self._give(
                    self._questions, lambda: self._ask(self._calls.query(client_id, is_conditional=is_conditional))
                )
            case QueryNumber(order_id):
                self._give(self._questions, lambda: self._ask(self._calls.query_number(order_id)))
            case ReadAccount():
                self._give(self._questions, self._read_account)
            case ReadSettings():
                self._give(self._questions, lambda: self._ask(self._calls.read_settings()))
            case ReadSymbol():
                self._give(self._questions, lambda: self._ask(self._calls.read_symbol()))
            case Decide():
                if (decided := self._decide(command)) is not None:
                    self.happen(decided)
            case SetTimer(name, after_ms):
                self._timers.set(name, after_ms)
            case RebuildStream(why):
                self._tell(f"the account's events are listened to anew: {why}")
                self._rebuild()
            case Alert(text):
                self._tell(text)

    def _give(self, queue: asyncio.Queue[Work], work: Work) -> None:
        self._num_undone += 1
        queue.put_nowait(work)

    async def _work(self, queue: asyncio.Queue[Work]) -> None:
        while True:
            work = await queue.get()
            try:
                await work()
            finally:
                self._num_undone -= 1

    def fire(self, name: str, now_ms: int) -> None:
        """Let a timer fire."""
        self.happen(TimerFired(t_ms=now_ms, name=name))

    async def _place(self, client_id: str) -> None:
        intent = self.core.state.intents[client_id]
        if intent.state is not IntentState.PLANNED:
            return
        self.happen(self._calls.sending(intent))
        if self.core.state.intents[client_id].state is IntentState.REJECTED:  # withdrawn
            return
        if self.core.state.is_stopped and intent.purpose.adds_exposure:  # by what writing it has led to
            self.happen(self._calls.withheld(intent, self.core.state.stop_reason))
            return
        self.happen(await self._calls.place(intent))

    async def _cancel(self, client_id: str, is_conditional: bool) -> None:
        await self._ask(self._calls.cancel(client_id, is_conditional=is_conditional))

    async def _countdown(self, after_ms: int) -> None:
        outcome = await self._calls.countdown(after_ms)
        if outcome.kind is not Kind.ACKED:
            self._tell(f"the exchange's countdown for what rests could not be set to {after_ms} ms: {outcome.reason}")

    async def _ask(self, question: Coroutine[Any, Any, list[Event]]) -> None:
        for event in await question:
            self.happen(event)

    async def _read_account(self) -> None:
        """Read the account; a reading is of no use if something has happened meanwhile that may not be in it."""
        state = self.core.state
        for _ in range(MOST_READINGS):
            since_ms = state.books.income_since_ms or state.now_ms
            num_told = state.num_told
            seen = await self._calls.read_account(state.books.last_trade_id, since_ms, sought(state))
            if state.num_told == num_told:
                self.happen(seen)
                return
        self.happen(SnapshotFailed(t_ms=seen.t_ms, reason="the account did not stand still while it was read"))
