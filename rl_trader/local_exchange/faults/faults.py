"""The faults of a plan at work: they stand between a venue's shells and its clients.

One object serves every seam: requests over HTTP (``intercept``) and in memory (``intercept_now``), frames of the
WebSocket API (``intercept_frame``), frames of streams (``pass_frame``), the replay and the clock (``on_time``). The
same plan and the same calls in the same order give the same faults.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.faults.actions import CallAction, Deed, FrameAction
from rl_trader.local_exchange.faults.forms import ApiCall, frame_call, framed, rest_call
from rl_trader.local_exchange.faults.log import FaultLog
from rl_trader.local_exchange.faults.plan import Fault, FaultPlan
from rl_trader.local_exchange.faults.stage import Inner, Stage, Steps
from rl_trader.local_exchange.faults.triggers import Watch
from rl_trader.local_exchange.faults.wires import Sockets
from rl_trader.local_exchange.market.happenings import Happening
from rl_trader.local_exchange.protocol import ws_api
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.shells.interception import Outcome
from rl_trader.local_exchange.streams.connection import PING, Connection
from rl_trader.local_exchange.venue import Venue

_MS_PER_S: Final = 1000


async def machine_pause(pause_ms: int) -> None:
    """Let so much of the machine's time pass."""
    await asyncio.sleep(pause_ms / _MS_PER_S)


class Faults:
    """The faults of a plan.

    Args:
        plan: Which.
        venue: Whose; its replay tells them what happens, so that it must not have begun what they are about.
        pause: Waits a number of milliseconds where a call over a socket is delayed.

    Raises:
        ConfigError: If the plan names an account or a symbol that the venue does not have.
    """

    def __init__(
        self, plan: FaultPlan, venue: Venue, pause: Callable[[int], Awaitable[object]] = machine_pause
    ) -> None:
        self._watches = [(fault, Watch(fault.trigger, f"{plan.seed} {n}")) for n, fault in enumerate(plan.faults)]
        self._on_calls = [(fault, watch) for fault, watch in self._watches if fault.trigger.endpoint is not None]
        self._on_frames = [
            (fault.name, fault.action, watch) for fault, watch in self._watches if isinstance(fault.action, FrameAction)
        ]
        timed = [(watch.trigger.time, fault, watch) for fault, watch in self._watches]
        self._in_time = sorted(
            ((time, fault, watch) for time, fault, watch in timed if time is not None), key=lambda entry: entry[0]
        )
        self._venue = venue
        self._pause = pause
        self._stage = Stage(venue)
        for fault in plan.faults:
            _check_names(fault, venue)
        venue.market.source.listeners.insert(0, self._listen)  # before anybody is told

    @property
    def log(self) -> FaultLog:
        """What has happened."""
        return self._stage.log

    def unfired(self) -> list[str]:
        """Return the names of the faults that have never happened."""
        return [fault.name for fault, watch in self._watches if not watch.num_fired]

    def attach(self, sockets: Sockets) -> None:
        """Let the connections of a shell of streams be ended, and told of listen keys and revised candles."""
        self._stage.wires.attach(sockets)

    # Calls

    async def intercept(self, request: Request, proceed: Callable[[Request], Response]) -> Outcome:
        """Return what becomes of a request over HTTP."""
        return await self._run(self._steps(rest_call(request, self._venue.keys), lambda: proceed(request)))

    def intercept_now(self, request: Request, proceed: Callable[[Request], Response]) -> Outcome:
        """Return what becomes of a request in memory; where it is delayed the market goes on."""
        steps = self._steps(rest_call(request, self._venue.keys), lambda: proceed(request))
        while True:
            try:
                pause_ms = next(steps)
            except StopIteration as end:
                return _outcome(end)
            self._venue.advance(self._venue.market_ms() + pause_ms)

    async def intercept_frame(self, text: str, connection: ws_api.Connection, proceed: Callable[[str], str]) -> Outcome:
        """Return what becomes of a frame of the WebSocket API."""
        call = frame_call(text, connection.address, self._venue.keys)
        return await self._run(self._steps(call, lambda: Response(framed({}).status, {}, proceed(text).encode())))

    async def _run(self, steps: Steps) -> Outcome:
        while True:
            try:
                pause_ms = next(steps)
            except StopIteration as end:
                return _outcome(end)
            await self._pause(pause_ms)

    def _steps(self, call: ApiCall, proceed: Callable[[], Response]) -> Steps:
        now_ms = self._venue.market_ms()
        self.on_time(now_ms)
        inner: Inner = partial(self._stage.through_effects, call, partial(_carried_out, call, proceed))
        fired = [
            fault
            for fault, watch in self._on_calls
            if not (isinstance(fault.action, CallAction) and fault.action.spares(call))
            and watch.is_met_by_call(call.endpoint, call.facts, now_ms)
        ]
        for fault in fired:
            if isinstance(fault.action, CallAction):
                self._stage.record(fault.name, str(call))
        for fault in reversed(fired):
            inner = self._wrapped(fault, call, inner)
        return inner()

    def _wrapped(self, fault: Fault, call: ApiCall, inner: Inner) -> Inner:
        action = fault.action
        if isinstance(action, CallAction):
            return partial(action.around, self._stage, call, inner)
        assert isinstance(action, Deed)
        return partial(self._with_deed, fault.name, action, inner, is_before=fault.trigger.moment == "before")

    def _with_deed(self, name: str, deed: Deed, inner: Inner, *, is_before: bool) -> Steps:
        if is_before:
            self._stage.perform(name, deed)
        outcome = yield from inner()
        if not is_before:
            self._stage.perform(name, deed)
        return outcome

    # Streams

    def pass_frame(self, connection: Connection, stream: str, text: str) -> Iterable[str]:
        """Return what is sent in the place of a frame of a stream."""
        wires = self._stage.wires
        if not self._on_frames and not wires.mutes:
            return (text,)
        frame = wires.frame(connection, stream, text)
        if wires.is_muted(connection, frame.stream):
            return ()
        if stream in ("", PING):
            return (text,)
        is_awaited, texts = wires.is_holding(frame), [text]
        now_ms = self._venue.market_ms()
        for name, action, watch in self._on_frames:
            if watch.is_met_by_frame(frame.stream, frame.event, frame.facts, now_ms):
                self._stage.record(name, str(frame))
                texts = action.passes(self._stage, frame, texts)
        if not connection.is_open:
            return ()
        return [*texts, *wires.take_held(frame)] if is_awaited else texts

    # Time

    def on_time(self, market_ms: int) -> None:
        """Do what is due; to be called whenever either clock has gone on.

        Args:
            market_ms: The market's time.
        """
        due = []
        while self._in_time and self._in_time[0][2].is_met_at(market_ms):
            due.append(self._in_time.pop(0)[1])
        for fault in due:
            assert isinstance(fault.action, Deed)
            self._stage.perform(fault.name, fault.action)
        self._stage.on_time()

    def _listen(self, happening: Happening) -> None:
        self._stage.happen(happening)
        self.on_time(self._venue.market_ms())


def _carried_out(call: ApiCall, proceed: Callable[[], Response]) -> Steps:
    yield from ()
    if not call.during:
        return proceed()
    with ExitStack() as stack:
        for condition in call.during:
            stack.enter_context(condition)
        return proceed()


def _outcome(end: StopIteration) -> Outcome:
    outcome: Outcome = end.value
    return outcome


def _check_names(fault: Fault, venue: Venue) -> None:
    """Refuse a fault of accounts or symbols that there are not."""
    for part in (fault.trigger, fault.action):
        account, symbol = getattr(part, "account", None), getattr(part, "symbol", None)
        if account is not None:
            venue.trader(account)
        if symbol is not None and symbol not in venue.exchange.quotes:
            names = ", ".join(venue.exchange.quotes)
            raise ConfigError(f"symbol of fault {fault.name!r} must be one of {names} and is {symbol}; choose one")
