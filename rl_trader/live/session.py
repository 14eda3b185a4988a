"""One deployment at one venue, from the first look at the exchange to the end of the process.

The parts are made here and held together: REST and its clock, the journal, the core with its workers, the streams of
market and account, the timers. What any of them tells becomes an event of the core, in one thread. Where one of them
fails for good, all end: what was on its way is found by the next start.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from secrets import token_hex
from types import TracebackType
from typing import Final, Self

from rl_trader.live.arming.arming import Arming
from rl_trader.live.arming.paper_time import build_sha256
from rl_trader.live.bans import banned, require_no_ban
from rl_trader.live.calls import Calls
from rl_trader.live.clock_keeping import keep_clock
from rl_trader.live.condition import Condition
from rl_trader.live.conducting import conduct_of
from rl_trader.live.core.caps import Caps
from rl_trader.live.core.events import (
    ArmedUntil,
    BarClosed,
    Decided,
    Event,
    Resumed,
    Started,
    StopAsked,
    Suspended,
    TimerFired,
)
from rl_trader.live.core.fencing import RECV_WINDOW_MS
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.words import StopKind
from rl_trader.live.drift.band import Band
from rl_trader.live.drift.recorder import Recorder
from rl_trader.live.drift.watch import DriftWatch, HeardJournal
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.secrets import Credentials
from rl_trader.live.exchange.server_clock import ServerClock
from rl_trader.live.exchange.venue import Gate, Venue
from rl_trader.live.exchange.wire import AiohttpTransport
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.reserved import ReservedJournal
from rl_trader.live.journal.schema import JournalIdentity
from rl_trader.live.market_reading import MarkAt, market_event
from rl_trader.live.policy.decider import Decider
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.policy.observer import Observer
from rl_trader.live.policy_desk import PolicyDesk
from rl_trader.live.policy_worker import DEADLINE_S, PolicyWorker
from rl_trader.live.preflight.clocks import wall_ms
from rl_trader.live.preflight.finding import Finding, require_none_refused
from rl_trader.live.preflight.preflight import Preflight
from rl_trader.live.pulse import Pulse
from rl_trader.live.reading import UnreadableError, user_events
from rl_trader.live.redaction import Redactor
from rl_trader.live.restarts import Restarts
from rl_trader.live.snapshots import (
    EVENTS,
    SnapshotKeeper,
    check_older,
    check_replayed,
    keep_snapshots,
    restored,
    snapshot_key,
)
from rl_trader.live.streams.bar_series import BarSeries, SeriesNeeds
from rl_trader.live.streams.line_keeper import Backoff
from rl_trader.live.streams.market_feed import MarketFeed
from rl_trader.live.streams.market_news import BarReady, DataRefused, FeedEvent, IntervalChanged
from rl_trader.live.streams.market_stream import MarketData, MarketStream
from rl_trader.live.streams.sockets import Dialer, MachineClock
from rl_trader.live.streams.user_stream import AccountGap, UserEvent, UserItem, UserStream, UserStreamDown
from rl_trader.live.timers import RealTimers
from rl_trader.live.trader import Trader, Watcher
from rl_trader.observed_market import schema_warmup
from rl_trader.trading import charged_fees

TAG_BYTES: Final = 3  # of the client ids of a start: two journals hardly have the same


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSetup:
    """What is deployed, where, and within what bounds."""

    deployment: Deployment
    venue: Venue
    gate: Gate
    credentials: Credentials
    account: str  # a name or number of it, for the journal
    caps: Caps
    journal: Path
    band: Band | None = None  # of the drift from the simulation; None watches none
    arming: Arming | None = None  # None where no money is at stake
    waived: tuple[str, ...] = ()  # permissions that the key may have all the same
    redactor: Redactor = field(default_factory=Redactor)  # of everything that the process says
    snapshot_events: int = EVENTS  # of the journal, from one snapshot of the core's state to the next
    policy_deadline_s: float = DEADLINE_S  # in which a decision must come
    seed: int = 0  # of the pauses between attempts to connect


class Session:
    """A deployment at work; an async context manager.

    Args:
        setup: What is deployed.
        tell: Told what a person should know.
        watchers: Shown every event with the state after it.

    Raises:
        ConfigError: From ``__aenter__``, if the exchange or the account are not as they must be.
    """

    def __init__(self, setup: SessionSetup, tell: Callable[[str], object], watchers: Sequence[Watcher] = ()) -> None:
        self._setup, self._tell, self._watchers = setup, tell, watchers
        self._clock = MachineClock()
        self._pulse = Pulse()
        self._stack = AsyncExitStack()
        self.findings: list[Finding] = []
        self.redactor = setup.redactor
        self.is_user_stream_up = False
        self.trader: Trader | None = None
        self.drift: DriftWatch | None = None
        self._feed: MarketFeed | None = None
        self._is_ending = False
        self._restarts = Restarts(setup.journal)

    async def __aenter__(self) -> Self:
        """Look at exchange and account, open the journal, and know what it says."""
        setup = self._setup
        self._transport = AiohttpTransport(setup.gate)
        self._stack.push_async_callback(self._transport.close)
        self._server_clock = ServerClock(self._clock.monotonic_ms)
        self._rest = Rest(
            setup.venue,
            self._transport,
            self._server_clock,
            redactor=self.redactor,
            credentials=setup.credentials,
        )
        try:
            require_no_ban(setup.journal, wall_ms())
            await self._restarts.wait(wall_ms(), self._clock, self._tell)
            preflight = await self._look()
            self._journal = Journal.open(setup.journal, self._identity(preflight.account_code))
            self._stack.callback(self._journal.close)
            self.findings += (settings := await preflight.set_up())
            require_none_refused(settings)
            self.trader = self._make_trader()
            self._rest.tell_ban = self._note_ban
            await self._stack.enter_async_context(self.trader)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End; the position stays, with the stop that rests at the exchange."""
        if kind is None or issubclass(kind, asyncio.CancelledError):
            self._restarts.end()
        if self._timers is not None:
            self._timers.cancel()
        await self._stack.aclose()

    _timers: RealTimers | None = None

    async def _look(self) -> Preflight:
        setup = self._setup
        preflight = Preflight(self._rest, setup.deployment, setup.caps, wall_ms=wall_ms, waived=setup.waived)
        self.findings = await preflight.look()
        require_none_refused(self.findings)
        return preflight

    def _identity(self, account_code: str) -> JournalIdentity:
        setup = self._setup
        return JournalIdentity(
            mode=setup.venue.name.value,
            account=f"{setup.account} {account_code}".rstrip(),
            checkpoint=setup.deployment.checkpoint_sha256,
        )

    def _make_trader(self) -> Trader:
        setup, deployment = self._setup, self._setup.deployment
        self.series = BarSeries(
            SeriesNeeds(
                terms=deployment.terms,
                interval=deployment.interval,
                num_bars=schema_warmup(deployment.schema) + 1,
                mark_intervals=deployment.series.mark_intervals,
            )
        )
        self.desk = PolicyDesk(
            self.series,
            Observer(deployment),
            Decider(deployment),
            taker_fee=charged_fees(deployment.terms, deployment.trading).taker,
            now_ms=self._server_clock.now_ms,
        )
        self._worker = self._stack.enter_context(PolicyWorker(self.desk, self._take_decision, setup.policy_deadline_s))
        self._timers = RealTimers(self._clock, self._fire)
        calls = Calls(
            self._rest,
            deployment.symbol,
            now_ms=self._server_clock.now_ms,
            recv_window_ms=RECV_WINDOW_MS,
            stop_on_mark=deployment.trading.stop_trigger == "mark",
            is_user_stream_healthy=lambda: self.is_user_stream_up,
        )
        conduct, terms = conduct_of(deployment), deployment.terms
        key = snapshot_key(build_sha256(), conduct, terms)
        self.restored = restored(self._journal, conduct, gate_of(terms), key, self._tell)
        check_replayed(self._journal, self.restored)
        self._written = ReservedJournal(self._journal, self._note_failure)
        self._snapshots = SnapshotKeeper(
            self._written.save_snapshot,
            lambda: self._journal.last_seq,
            from_seq=self.restored.from_seq,
            key=key,
            events=setup.snapshot_events,
        )
        recorder = Recorder(deployment, self.series, self.desk, self._journal)
        if setup.band is not None:
            self.drift = DriftWatch(deployment, setup.band, recorder.known, stop=self._leave_off, tell=self._tell)
        return Trader(
            self.restored.core,
            self._written if self.drift is None else HeardJournal(self._written, self.drift.hear),
            calls,
            self._timers,
            decide=self._worker.ask,
            tell=self._tell,
            session_ms=self._clock.monotonic_ms,
            latched=[stop.seq for stop in self._journal.latched_stops()],
            rebuild=lambda: self._user_stream.rebuild(),
            gap_ms=self._pulse.take_gap_ms,
            record=recorder.rows,
            watchers=self._watchers,
        )

    # At work

    async def run(self) -> None:
        """Trade until it is cancelled."""
        assert self.trader is not None
        self._restarts.work()
        started = Started(t_ms=self._now(), epoch=self._journal.epoch, tag=token_hex(TAG_BYTES), caps=self._setup.caps)
        self._happen([started, *self._armed(), *self._restarts.halt(self._now())])
        chance = Random(self._setup.seed).random
        dialer = Dialer(self._setup.gate, self._setup.venue.streams)
        self._stack.push_async_callback(dialer.close)
        self._feed = MarketFeed(self.series)
        data = MarketData([self._feed], self._rest, self._clock, self._take_market)
        deployment = self._setup.deployment
        streams = [(deployment.symbol, deployment.interval)]
        market = MarketStream(dialer, streams, data.take, self._clock, Backoff(chance))
        self._user_stream = UserStream(dialer, self._rest, self._take_account, self._clock, Backoff(chance))
        assert self._timers is not None
        watched = (self.trader.watch(), self._timers.watch())
        async with asyncio.TaskGroup() as group:
            for work in (
                *watched,
                data.run(),
                market.run(),
                self._user_stream.run(),
                keep_clock(self._rest, self._clock),
                self._worker.run(),
                self._pulse.run(self._note_gap),
                keep_snapshots(self._look_at_snapshots, self._clock),
            ):
                group.create_task(work)
            if self.drift is not None:
                group.create_task(self.drift.run())

    def _armed(self) -> list[Event]:
        arming = self._setup.arming
        if arming is None:
            return []
        return [ArmedUntil(t_ms=self._now(), until_ms=arming.until_ms, how=arming.token.how)]

    def ask_to_stop(self, kind: str, reason: str, by: str) -> None:
        """Enter no more (HALT), or close everything (KILL)."""
        self._happen([StopAsked(t_ms=self._now(), kind=kind, reason=reason, by=by)])

    def _leave_off(self, reason: str) -> None:
        self.ask_to_stop(StopKind.HALT.value, reason, "the watch over the drift")

    def resume(self, reason: str, by: str) -> None:
        """Enter again after a stop, and look at the account at once."""
        self._happen([Resumed(t_ms=self._now(), reason=reason, by=by)])
        self._fire("poll")

    def decide_no_more(self) -> None:
        """Leave every bar from now on without a decision."""
        self._is_ending = True

    def close_position(self) -> None:
        """Close the position at market, unless an order that closes it is on its way; nothing is latched."""
        self._fire("flatten")

    def condition(self) -> Condition:
        """Return what is known beside the core's state."""
        now, budget = self._now(), self._rest.budget
        mark = None if self._feed is None else self._feed.mark
        return Condition(
            now_ms=now,
            clock_error_ms=self._server_clock.error_ms,
            is_user_stream_up=self.is_user_stream_up,
            mark_price=None if mark is None else Decimal(mark.mark),
            weight_used=budget.weight.at(now),
            weight_limit=budget.limits.weight_per_minute,
        )

    async def _take_market(self, news: FeedEvent) -> None:
        if isinstance(news, DataRefused):
            self._tell(f"market data are refused: {news.reason}")
        if isinstance(news, IntervalChanged):
            self._tell(f"funding of {news.symbol} is settled every {news.hours} h now and was every {news.before} h")
        if isinstance(news, BarReady):
            if self._is_ending:
                return
            self.desk.next_funding_ms = news.next_funding_ms
        event = market_event(news, self._now(), self._mark_at)
        if event is None:
            return
        self._happen([event])
        if isinstance(event, BarClosed) and not self._is_deciding:
            self._flush()  # else it waits for the decision's

    @property
    def _is_deciding(self) -> bool:
        return self.trader is not None and self.trader.core.state.deciding_ms is not None

    def _take_decision(self, decided: Decided) -> None:
        self._happen([decided])
        self._flush()

    def _mark_at(self, open_ms: int) -> MarkAt | None:
        if (candle := self.series.mark_close(open_ms)) is not None:
            return MarkAt(candle, open_ms + self._setup.deployment.interval_ms)
        streamed = None if self._feed is None else self._feed.mark
        return None if streamed is None else MarkAt(streamed.mark, streamed.stamp_ms)

    async def _take_account(self, item: UserItem) -> None:
        match item:
            case UserEvent():
                try:
                    self._happen(user_events(item.payload, self._setup.deployment.symbol))
                except UnreadableError as error:
                    self._tell(f"an event of the account could not be read: {error}")
                    self._fire("poll")
            case AccountGap():
                self.is_user_stream_up = True
                self._fire("poll")
            case UserStreamDown():
                self.is_user_stream_up = False

    def _flush(self) -> None:
        assert self.trader is not None
        self._written.flush()
        self.trader.heed_failure()

    def _look_at_snapshots(self) -> None:
        assert self.trader is not None
        self._snapshots.look(self.trader.core.state, self._now())
        self.trader.heed_failure()
        if (damage := check_older(self._journal)) is not None:
            self.ask_to_stop(StopKind.HALT.value, damage, "the journal")

    def _note_failure(self, why: str) -> None:
        assert self.trader is not None
        self._tell(f"the journal is written from its reserve, and everything is closed: {why}")
        self.trader.note_failure(why)

    def _note_gap(self, gap_ms: int) -> None:
        self._happen([Suspended(t_ms=self._now(), gap_ms=gap_ms)])

    def _note_ban(self, until_ms: int) -> None:
        self._happen([banned(until_ms, self._now(), wall_ms())])

    def _fire(self, name: str) -> None:
        self._happen([TimerFired(t_ms=self._now(), name=name)])

    def _happen(self, events: Iterable[Event]) -> None:
        assert self.trader is not None
        for event in events:
            self.trader.happen(event)

    def _now(self) -> int:
        return self._server_clock.now_ms()
