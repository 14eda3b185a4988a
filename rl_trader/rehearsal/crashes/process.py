"""The process that is killed: the live trader with its real journal, in lock-step with an exchange beside it.

Core, trader, journal, calls, REST and the account's stream are those of every deployment; sockets are replaced by a
channel, clocks by the exchange's, and the policy by targets that come with the time. Times in milliseconds since 1970
UTC.
"""

import asyncio
import os
import resource
import signal
import sys
import traceback
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final, Never

from rl_trader.live.calls import Calls
from rl_trader.live.core.codec import decode_event
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.deciding import Gate
from rl_trader.live.core.events import BarClosed, Decided, Event, Started
from rl_trader.live.core.fencing import RECV_WINDOW_MS
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.step import Core
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.reserved import ReservedJournal
from rl_trader.live.reading import user_events
from rl_trader.live.streams.line_keeper import Backoff
from rl_trader.live.streams.user_stream import AccountGap, UserEvent, UserItem, UserStream, UserStreamDown
from rl_trader.live.trader import Trader
from rl_trader.rehearsal.crashes.channel import Channel, Message
from rl_trader.rehearsal.crashes.journal import IDENTITY, RESERVE_BYTES, WatchedJournal
from rl_trader.rehearsal.crashes.points import Points
from rl_trader.rehearsal.crashes.way import Way
from rl_trader.rehearsal.crashes.wire import ChannelDialer, ChannelWire
from rl_trader.rehearsal.policies import CAPS, legs
from rl_trader.rehearsal.stage import MOST_ROUNDS, digest
from rl_trader.rehearsal.timers import VirtualTimers
from rl_trader.rehearsal.virtual_clock import VirtualClock

ENDED: Final = 0
FAILED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission:
    """What a process is started with."""

    journal: Path
    conduct: Conduct
    gate: Gate
    way: Way
    now_ms: int
    point: str  # at which it is killed; empty is nowhere, until it is told
    ends_by: signal.Signals  # what it gets there


class TraderProcess:
    """One process of the trader, from its first look at the journal on.

    Args:
        commission: What it is started with.
        channel: To the exchange.
    """

    def __init__(self, commission: Commission, channel: Channel) -> None:
        self._commission, self._channel = commission, channel
        self._points = Points(commission.point, commission.ends_by)
        self._now_ms = commission.now_ms
        self._target = Decimal(0)
        self._timers, self._clock = VirtualTimers(self._now_ms), VirtualClock(self._now_ms)
        self._is_user_stream_up, self._reserve_helps = False, True
        self._points.at("before opening the journal")
        self._journal = Journal.open(commission.journal, IDENTITY, reserve_bytes=RESERVE_BYTES)
        self._points.at("after opening the journal")
        core = Core(State(commission.conduct), commission.gate)
        for stored in self._journal.events():
            core.step(decode_event(stored.kind, stored.body))
        self._state = core.state
        self._wire = ChannelWire(channel, self._points, self._purpose_of, lambda: self._journal.last_seq)
        self._dialer = ChannelDialer(channel, self._points)
        commission.way.wire, commission.way.now_ms = self._wire, lambda: self._now_ms
        self._rest = commission.way.rest
        self._written = ReservedJournal(self._journal, self._note_failure)
        self._trader = self._make_trader(core)
        epoch = self._journal.epoch
        self._stream = UserStream(
            self._dialer.as_dialer(), self._rest, self._take_account, self._clock, Backoff(Random(epoch).random)
        )
        self._tasks: list[asyncio.Task[None]] = []

    def _make_trader(self, core: Core) -> Trader:
        conduct = self._commission.conduct
        calls = Calls(
            self._rest,
            conduct.symbol,
            now_ms=lambda: self._now_ms,
            recv_window_ms=RECV_WINDOW_MS,
            stop_on_mark=True,
            is_user_stream_healthy=lambda: self._is_user_stream_up,
        )
        return Trader(
            core,
            WatchedJournal(self._written, self._points, core.state),
            calls,
            self._timers,
            decide=self._decide,
            tell=lambda text: self._channel.send({"is": "tell", "text": text}),
            latched=[stop.seq for stop in self._journal.latched_stops()],
            rebuild=self._stream_anew,
            session_ms=lambda: self._now_ms,
        )

    def _note_failure(self, why: str) -> None:
        """Let the room be there that the reserve gives back, if it helps, and get out."""
        if self._reserve_helps:
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        self._trader.note_failure(why)

    def _fill_disk(self, room: int) -> None:
        """Let the journal grow by so many bytes and no more."""
        log = self._journal.path.with_name(f"{self._journal.path.name}-wal")
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + room, most))

    def _stream_anew(self) -> None:
        self._stream.rebuild()

    def _purpose_of(self, client_id: str) -> str:
        return self._state.intents[client_id].purpose.value

    # At work

    async def run(self) -> None:
        """Do what the other end says, until it says to end, or the process is asked to."""
        async with self._trader:
            try:
                await self._work()
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
        self._channel.send({"is": "ended", "digest": digest(self._state), "seq": self._journal.last_seq})

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    async def _work(self) -> None:
        self._happen(Started(t_ms=self._now_ms, epoch=self._journal.epoch, caps=CAPS))
        self._tasks = [asyncio.create_task(run) for run in (self._stream.run(), self._trader.watch())]
        await self._settle()
        while (message := self._channel.receive()) is not None and message["is"] != "end":
            self._be_at(message["now_ms"])
            if message["is"] == "go":
                self._go(message)
            if message["is"] == "go" and message["waits"]:
                self._channel.send({"is": "taken"})
            else:
                await self._settle()

    def _go(self, message: Message) -> None:
        """Take what has happened by a time; what is to be done about it is not done yet."""
        self._points.point = message["point"] or self._points.point
        if message["room"] is not None:
            self._reserve_helps = message["reserve_helps"]
            self._fill_disk(message["room"])
        self._target = Decimal(message["target"])
        for kind, body in message["events"]:
            event = decode_event(kind, body)
            self._happen(event)
            if isinstance(event, BarClosed):
                self._written.flush()
                self._trader.heed_failure()

    def _be_at(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._clock.at(now_ms)
        self._timers.at(now_ms)

    async def _settle(self) -> None:
        """Let everything happen that is due, one thing that comes after the other."""
        for _ in range(MOST_ROUNDS):
            await self._quiet()
            names = self._timers.take_due()
            for name in names:
                self._trader.fire(name, self._now_ms)
            if names:
                continue
            self._channel.send({"is": "more"})
            came = self._channel.receive()
            if came is None or came["is"] == "nothing":
                break
            (self._wire if came["is"] == "answer" else self._dialer).take(came)
        else:
            raise RuntimeError(f"at {self._now_ms} something always leads to something else")
        is_stopped = self._state.is_stopped
        self._channel.send({"is": "idle", "next_ms": self._timers.next_ms, "is_stopped": is_stopped})

    async def _quiet(self) -> None:
        """Wait until nobody can go on without something new, and raise what a part has died of."""
        ready = getattr(asyncio.get_running_loop(), "_ready")  # noqa: B009 - not in the types
        while ready or self._points.is_asked_to_end:
            await asyncio.sleep(0)
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError("a part of the trader has ended by itself")

    # What it is told

    def _decide(self, command: Decide) -> Decided:
        self._points.at("before the policy is asked")
        reduce_amount, open_amount = legs(command.amount, self._target)
        decided = Decided(
            t_ms=self._now_ms,
            open_ms=command.open_ms,
            observation_sha="",
            action=str(self._target),
            target=self._target,
            reduce_amount=reduce_amount,
            open_amount=open_amount,
            fault="",
        )
        self._points.at("before the policy's answer is taken")
        return decided

    async def _take_account(self, item: UserItem) -> None:
        match item:
            case UserEvent():
                for event in user_events(item.payload, self._commission.conduct.symbol):
                    self._happen(event)
            case AccountGap():
                self._is_user_stream_up = True
                self._trader.fire("poll", self._now_ms)
            case UserStreamDown():
                self._is_user_stream_up = False

    def _happen(self, event: Event) -> None:
        self._points.at(f"before taking {type(event).__name__}")
        self._trader.happen(event)


def become(commission: Commission, channel: Channel) -> Never:
    """Be the trader's process, just forked, until its end."""
    status = FAILED
    try:
        asyncio.run(_live(commission, channel))
        status = ENDED
    except (asyncio.CancelledError, KeyboardInterrupt):
        status = ENDED
    except BaseException:
        channel.send({"is": "failed", "text": traceback.format_exc()})
    finally:
        sys.stderr.flush()
        os._exit(status)


async def _live(commission: Commission, channel: Channel) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    process = TraderProcess(commission, channel)
    try:
        await process.run()
    finally:
        process.close()
