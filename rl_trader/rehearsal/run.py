"""Plays the plan of a seed, and asks every invariant; many seeds on several processes."""

import traceback
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any, Final

from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.state import Conduct
from rl_trader.local_exchange.faults.faults import Faults
from rl_trader.local_exchange.faults.plan import FaultPlan
from rl_trader.local_exchange.market.happenings import BarClosed, Happening
from rl_trader.rehearsal.hazards import Hazards
from rl_trader.rehearsal.invariants import check
from rl_trader.rehearsal.market_line import MarketLine
from rl_trader.rehearsal.minutes import (
    ACCOUNT,
    BAR_MS,
    LEVERAGE,
    MARGIN_TYPE,
    START_MS,
    SYMBOL,
    minute_exchange,
)
from rl_trader.rehearsal.network import Network
from rl_trader.rehearsal.operator import Operator
from rl_trader.rehearsal.plans import CALM, Plan, draw_plan
from rl_trader.rehearsal.policies import CAP, CAPS, STOP_LOSS, TAKE_PROFIT, Limits, decide
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.stage import ADDRESS, Stage
from rl_trader.rehearsal.tally import Breach, Tally
from rl_trader.rehearsal.virtual_clock import VirtualClock
from rl_trader.rehearsal.virtual_loop import run_virtually

BARS: Final = 60  # of a rehearsal, unless said otherwise
FIRST_MS: Final = 1_000  # after the market's beginning the trader begins


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of one seed."""

    seed: int
    breaches: list[Breach]
    looked: Counter[str]  # by invariant
    fired: Counter[str]  # faults, by what they do
    killed: Counter[str]  # by point
    played: Counter[str]  # trades, decisions, starts, orders, requests
    journal_sha: str


class Rehearsal:
    """One run of a plan.

    Args:
        plan: Which.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._assembly = minute_exchange(plan.seed, plan.num_bars)
        venue = self._assembly.venue
        clock = VirtualClock(venue.market_ms())
        self._faults = Faults(FaultPlan.of({"seed": plan.seed, "faults": plan.named_faults()}), venue, clock.sleep)
        self._closes: dict[int, Decimal] = {}
        venue.market.source.listeners.append(self._hear)
        contract = venue.exchange.quotes[SYMBOL].contract
        self._conduct = Conduct(
            symbol=SYMBOL,
            bar_ms=BAR_MS,
            tick_size=contract.tick_size,
            step_size=contract.step_size,
            max_quantity=contract.max_quantity,
            limit_step_size=contract.limit_step_size,
            limit_max_quantity=contract.limit_max_quantity,
            stop_loss=STOP_LOSS,
            take_profit=TAKE_PROFIT if plan.has_take_profit else None,
            poll_ms=plan.poll_ms,
            leverage=LEVERAGE,
            margin_type=MARGIN_TYPE,
        )
        limits = Limits(self._closes, contract.tick_size) if plan.rests_orders else None
        self._decide = partial(decide, plan.seed, limits=limits)
        self._gate = gate_of(contract)
        self._line = MarketLine(venue, SYMBOL, plan.silences, plan.late, plan.revised)
        self._operator = Operator(plan.wishes, plan.resume_after_ms)
        self.stage = Stage(
            self._assembly,
            self._conduct,
            decide=self._decide,
            gate=self._gate,
            hazards=Hazards(venue.market_ms, plan.kills, plan.seed + 1, plan.clock_steps),
            network=Network(self._assembly, clock, self._faults, plan.conditions),
            line=self._line,
            operator=self._operator,
            caps=replace(CAPS, max_daily_loss=plan.max_daily_loss),
        )

    def _hear(self, happening: Happening) -> None:
        if isinstance(happening, BarClosed):
            self._closes[happening.open_time] = self._assembly.venue.exchange.quotes[SYMBOL].last

    async def _play(self) -> Record:
        failure = ""
        try:
            self._assembly.venue.advance(START_MS + FIRST_MS)
            await self.stage.start()
            await self.stage.run_until(self.plan.end_ms)
        except Exception as error:  # whatever it is, it is the trader's failure
            failure = _words(error)
        record = self._record(failure)
        await self.stage.kill()
        return record

    def play(self) -> Record:
        """Play it to its end, and return what is left."""
        return run_virtually(self._play())

    def _record(self, failure: str) -> Record:
        stage, trader = self.stage, self._assembly.venue.trader(ACCOUNT)
        held = trader.books.positions.get(SYMBOL)
        return Record(
            orders=tuple(trader.orders.values()),
            algo_orders=tuple(trader.algo_orders.values()),
            open_order_ids=frozenset(trader.open_orders),
            open_algo_ids=frozenset(trader.open_algo_orders),
            fills=tuple(trader.fills),
            income=tuple(trader.income),
            wallet_balance=trader.books.wallet_balance,
            amount=held.amount if held else Decimal(0),
            entry_price=held.entry_price if held else Decimal(0),
            closes=self._closes,
            listens=stage.listens,
            asked=tuple(stage.network.asked),
            end_ms=self.plan.end_ms,
            faults_end_ms=self.plan.faults_end_ms,
            latency_ms=self.plan.conditions.latency_ms,
            conduct=self._conduct,
            gate=self._gate,
            cap=CAP,
            max_leverage=CAPS.max_leverage,
            decide=self._decide,
            origin=ADDRESS,
            secrets=stage.secrets,
            faulty_ms=self._faulty_ms(),
            max_daily_loss=self.plan.max_daily_loss,
            lines=tuple(stage.journal.lines),
            keys=stage.journal.keys,
            booked=stage.journal.booked,
            states=stage.journal.states,
            stops=stage.journal.stops,
            digests=stage.journal.digests,
            state=stage.trader.core.state,
            is_up=stage.is_up,
            alerts=tuple(stage.alerts),
            failure=failure,
            fired=self._fired(),
            killed=tuple(stage.hazards.killed),
        )

    def _faulty_ms(self) -> list[int]:
        """Return when something has gone wrong between trader and exchange."""
        return [entry.market_ms for entry in self._faults.log.entries] + [
            step.time_ms for step in self.plan.clock_steps
        ]

    def _fired(self) -> Counter[str]:
        """Count what has really gone wrong, by its kind."""
        kinds = {fault["name"]: _kind(fault) for fault in self.plan.named_faults()}
        fired = Counter(kinds[entry.fault] for entry in self._faults.log.entries if not entry.fault.startswith(CALM))
        fired["process: clock jumps"] = len(self.plan.clock_steps)
        return +(fired + self._line.told + self._operator.done)


def _words(error: BaseException) -> str:
    """Return what an error says, and of a group its first one, with the place where it was raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename.rpartition('/')[2]}, {place.name})"


def _kind(fault: dict[str, Any]) -> str:
    """Return what a fault does, in words."""
    on, do = fault["on"], fault["do"]
    place = "call" if "endpoint" in on else "event" if "event" in on else "deed"
    details = [do[name] for name in ("change", "which", "of", "status", "code", "type") if name in do]
    if "carried_out" in do:
        details.append("carried out" if do["carried_out"] else "not carried out")
    return " ".join([f"{place}:", do["action"], *map(str, details)])


def rehearse(seed: int, num_bars: int = BARS) -> Result:
    """Play one seed, and ask every invariant."""
    record = Rehearsal(draw_plan(seed, num_bars)).play()
    tally = Tally()
    breaches = check(record, tally)
    kinds = Counter(type(event).__name__ for event in record.events)
    return Result(
        seed=seed,
        breaches=breaches,
        looked=tally.looked,
        fired=Counter(record.fired),
        killed=Counter(record.killed),
        played=Counter(
            trades=len(record.fills),
            decisions=kinds["Decided"],
            starts=kinds["Started"],
            orders=len(record.sent_orders),
            requests=len(record.asked),
            unknown=sum("UNKNOWN" in (state for _, state in states) for states in record.states.values()),
        ),
        journal_sha=sha256("\n".join(record.lines).encode()).hexdigest(),
    )
