"""A stage: an exchange in lock-step, a trader on it, and the time that both share.

Time goes from one thing that happens to the next: a corner of the market's path, a timer of the trader's. What the
exchange sends is taken at once. At a bar's close the trader decides, and its orders arrive at the next open, as they do
in the replay. The trader's own streams and workers run here; where faults and hazards are given, answers are lost,
events come late, and the process ends and begins again.

Times in milliseconds since 1970 UTC.
"""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from rl_trader.live.bans import banned
from rl_trader.live.calls import Calls
from rl_trader.live.clock_keeping import keep_clock
from rl_trader.live.core.caps import Caps
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.deciding import Gate
from rl_trader.live.core.events import BarClosed, Decided, Event, Started
from rl_trader.live.core.fencing import RECV_WINDOW_MS
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.step import Core
from rl_trader.live.exchange.budget import Budget
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.secrets import Credentials, Secret
from rl_trader.live.exchange.server_clock import Sample, ServerClock
from rl_trader.live.exchange.venue import Gate as WireGate
from rl_trader.live.exchange.venue import Venue
from rl_trader.live.reading import UnreadableError, user_events
from rl_trader.live.redaction import Redactor
from rl_trader.live.streams.user_stream import AccountGap, UserEvent, UserItem, UserStream, UserStreamDown
from rl_trader.live.trader import Trader
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.rehearsal.hazards import Hazards, KilledError
from rl_trader.rehearsal.market_line import MarketLine
from rl_trader.rehearsal.memory_journal import MemoryJournal
from rl_trader.rehearsal.network import Network
from rl_trader.rehearsal.operator import Operator
from rl_trader.rehearsal.policies import CAPS
from rl_trader.rehearsal.sockets import MemoryDialer, user_stream
from rl_trader.rehearsal.timers import VirtualTimers
from rl_trader.rehearsal.virtual_clock import VirtualClock
from rl_trader.rehearsal.virtual_loop import VirtualLoop
from rl_trader.rehearsal.wire import MemoryWire

ADDRESS: Final = "http://127.0.0.1:1"  # of nobody: requests never leave the process
MOST_ROUNDS: Final = 1_000  # of events that lead to events at one moment
TICK_MS: Final = 5_000  # the longest time in which nothing is looked at


class Stage:
    """One trader on one exchange.

    Args:
        assembly: In lock-step, at the open of a bar; its account is set up.
        conduct: How the trader trades.
        decide: The policy, asked with the time.
        gate: The risk gate.
        hazards: Of the trader's process; None is none.
        network: To the exchange; None loses nothing and takes no time.
        line: What the trader is told of the market; None is everything at once.
        operator: The person beside it; None does nothing.
        caps: The operator's.
    """

    def __init__(
        self,
        assembly: Assembly,
        conduct: Conduct,
        *,
        decide: Callable[[Decide, int], Decided],
        gate: Gate,
        hazards: Hazards | None = None,
        network: Network | None = None,
        line: MarketLine | None = None,
        operator: Operator | None = None,
        caps: Caps = CAPS,
    ) -> None:
        self.venue = assembly.venue
        self.hazards = hazards or Hazards(self._now)
        self.journal = MemoryJournal(self.hazards)
        self.network = network or Network(assembly, VirtualClock(self._now()))
        self.alerts: list[str] = []
        self.epoch = 0
        self.is_up = False
        self.is_user_stream_up = False
        self._conduct, self._decide, self._gate = conduct, decide, gate
        self._line = line or MarketLine(self.venue, conduct.symbol)
        self._operator, self._caps = operator or Operator(), caps
        self._timers = VirtualTimers(self._now())
        self._clock = VirtualClock(self._now())
        self._dialer = MemoryDialer(self.network.streams, self.venue.session_ms, self.hazards)
        self._key = assembly.keys[0]
        self._account = self._key.account
        self._rest = self._make_rest(assembly)
        self._tasks: list[asyncio.Task[None]] = []
        self._stream: UserStream | None = None
        self.trader = self._new_trader()

    def _make_rest(self, assembly: Assembly) -> Rest:
        clock = ServerClock(self._local_ms)
        now = self.venue.session_ms()
        clock.set_by([Sample(now, now, now)])
        key = assembly.keys[0]
        venue = Venue.paper(ADDRESS, ADDRESS.replace("http", "ws"))
        rest = Rest(
            venue,
            MemoryWire(self.network, self.journal, self.hazards, WireGate(venue)),
            clock,
            redactor=Redactor(),
            credentials=Credentials(key=Secret(key.key), secret=Secret(key.secret)),
        )
        rest.tell_ban = lambda until_ms: self._happen(banned(until_ms, self._now(), self._now()))
        return rest

    def _local_ms(self) -> int:
        steps = self.hazards.clock_steps
        return self.venue.session_ms() + (self.hazards.clock_step_ms if steps else 0)

    # The trader's life

    async def start(self) -> None:
        """Begin, or begin again after a stop or a kill: what is known is what the journal says."""
        try:
            await self._begin()
        except KilledError:
            await self.kill()

    async def _begin(self) -> None:
        self.epoch += 1
        self.hazards.begin()
        self.is_up, self.is_user_stream_up = True, False
        self.trader = self._new_trader()
        for event in self.journal.events():
            self.trader.core.step(event)
        self._rest.budget = Budget(banned_until_ms=self.trader.core.state.banned_until_ms)
        await self.trader.__aenter__()
        self._line.begin()
        self._happen(Started(t_ms=self._now(), epoch=self.epoch, caps=self._caps))
        self._stream = user_stream(self._dialer, self._rest, self._take_account, self._clock, self.epoch)
        works = (self._stream.run(), self.trader.watch(), keep_clock(self._rest, self._clock))
        self._tasks = [asyncio.create_task(work) for work in works]
        await self._settle()

    async def kill(self) -> None:
        """End the trader without a word; the exchange goes on, and nobody listens."""
        self.is_up = self.is_user_stream_up = False
        for task in self._tasks:
            task.cancel()
        await self.trader.__aexit__()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._timers.clear()
        self._clock.clear()
        self._dialer.cut()

    def _new_trader(self) -> Trader:
        calls = Calls(
            self._rest,
            self._conduct.symbol,
            now_ms=self._rest.clock.now_ms,
            recv_window_ms=RECV_WINDOW_MS,
            stop_on_mark=True,
            is_user_stream_healthy=lambda: self.is_user_stream_up,
        )
        core = Core(State(self._conduct), self._gate)
        self.journal.digest = lambda: digest(core.state)
        return Trader(
            core,
            self.journal,
            calls,
            self._timers,
            decide=self._ask_policy,
            tell=self.alerts.append,
            latched=self.journal.latched,
            rebuild=self._rebuild_stream,
            session_ms=self._now,
        )

    def _rebuild_stream(self) -> None:
        if self._stream is not None:
            self._stream.rebuild()

    def _ask_policy(self, command: Decide) -> Decided:
        self.hazards.at("before the policy is asked")
        decided = self._decide(command, self._now())
        self.hazards.at("before the policy's answer is taken")
        return decided

    # Time

    async def run_until(self, end_ms: int) -> None:
        """Let time pass, and everything happen that happens in it."""
        source = self.venue.market.source
        assert isinstance(source, Replay)
        while (now_ms := self._now()) < end_ms:
            wanted = [end_ms, source.next_ms, self.network.clock.next_ms, *self._awaited()]
            await self._go_to(max(min([time for time in wanted if time is not None]), now_ms))
            if self._timers.next_ms is None and source.is_over:
                break

    def _awaited(self) -> list[int | None]:
        """Return when the trader has something to do next, or is to be started."""
        if not self.is_up:
            return [self.hazards.down_until_ms] if self.hazards.is_dead else []
        told = (self._timers.next_ms, self._line.next_ms, self._operator.next_ms)
        return [*told, self.hazards.next_ms, self._now() + TICK_MS]

    async def _go_to(self, time_ms: int) -> None:
        self.venue.advance(time_ms)
        self._let_time_be()
        self.hazards.look()
        try:
            if not self.is_up and self.hazards.is_dead and self._now() >= self.hazards.down_until_ms:
                await self._begin()
            elif self.is_up and not self.hazards.is_dead:
                await self._live()
        except KilledError:
            pass
        if self.is_up and self.hazards.is_dead:
            await self.kill()

    async def _live(self) -> None:
        """Take what has come, then what the market tells; the orders of a decision arrive at the next open."""
        await self._settle()
        events = [*self._operator.take(self._now(), self.trader.core.state), *self._line.take()]
        if not events:
            return
        for event in events:
            self._happen(event)
        if any(isinstance(event, BarClosed) and event.t_ms < event.open_ms + self._conduct.bar_ms for event in events):
            self.venue.to_next_open()
            self._let_time_be()
        await self._settle()

    def _let_time_be(self) -> None:
        """Let every clock show the market's time; the engine's stands still between two corners of the path."""
        engine, now_ms = self.venue.exchange.state, self._now()
        engine.now_ms = max(engine.now_ms, now_ms)
        self.network.streams.tick()
        self.network.clock.at(now_ms)
        self._timers.at(now_ms)
        self._clock.at(now_ms)

    async def _settle(self) -> None:
        """Let everything happen that is due."""
        for _ in range(MOST_ROUNDS):
            await _loop().quiet()
            self._check()
            names = self._timers.take_due()
            for name in names:
                self.hazards.at("before a timer fires")
                self.trader.fire(name, self._now())
            if not self._dialer.pump() and not names:
                return
        raise RuntimeError(f"at {self._now()} something always leads to something else")

    def _check(self) -> None:
        """Raise what the trader has died of."""
        if self.hazards.is_dead:
            raise KilledError
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError("a part of the trader has ended by itself")

    def _now(self) -> int:
        return self.venue.market_ms()

    @property
    def listens(self) -> bool:
        """Whether an open connection carries the account's valid listen key."""
        key = self.venue.hub.listen_keys.key_of(self._account)
        return any(key in connection.names for connection in self.network.streams.connections)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The account's key, its secret, and the listen key if there is one."""
        listen_key = self.venue.hub.listen_keys.key_of(self._account)
        return (self._key.key, self._key.secret, *([str(listen_key)] if listen_key else []))

    # What the trader is told

    async def _take_account(self, item: UserItem) -> None:
        match item:
            case UserEvent():
                try:
                    events = user_events(item.payload, self._conduct.symbol)
                except UnreadableError:
                    self.trader.fire("poll", self._now())
                    return
                for event in events:
                    self._happen(event)
            case AccountGap():
                self.is_user_stream_up = True
                self.trader.fire("poll", self._now())
            case UserStreamDown():
                self.is_user_stream_up = False

    def _happen(self, event: Event) -> None:
        self.hazards.at(f"before taking {type(event).__name__}")
        self.trader.happen(event)


def digest(state: State) -> str:
    """Return what tells one state from another, whatever the last step has changed."""
    changes, state.changes = state.changes, []
    try:
        return sha256(repr(state).encode()).hexdigest()
    finally:
        state.changes = changes


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "a stage is run by run_virtually"
    return loop
