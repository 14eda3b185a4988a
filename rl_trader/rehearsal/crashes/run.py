"""One kill: the trader is led to a point, killed, and started again on its journal; then every invariant is asked."""

import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final

from rl_trader.live.core.codec import decode_event
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.step import Core
from rl_trader.live.journal.reader import open_read_only
from rl_trader.rehearsal.crashes.exchange import DiedError, ExchangeSide
from rl_trader.rehearsal.crashes.flows import PLAYS, ask_to_stop, until_next_close
from rl_trader.rehearsal.crashes.journal import recalled
from rl_trader.rehearsal.crashes.points import needs_answers_first
from rl_trader.rehearsal.invariants import check
from rl_trader.rehearsal.minutes import ACCOUNT, BAR_MS, START_MS, SYMBOL, minute_exchange
from rl_trader.rehearsal.policies import CAP, CAPS
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.tally import Breach, Tally

AS_WANTED: Final = "K1 holds what is wanted"

_STOP_LOSS: Final = Decimal("0.02")  # further than the market goes
_NUM_BARS: Final = 20
_NUM_MARKETS: Final = 8
_BARS_AFTER: Final = 3
_DOWN_MS: Final = (0, 1_000, 20_000, 70_000)
_TARGETS: Final = (Decimal("0.1"), Decimal("-0.1"))
_POLL_MS: Final = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One kill to be."""

    flow: str
    point: str
    seed: int  # of the market, the side, the order of what comes, and how long it is down
    ends_by: signal.Signals = signal.SIGKILL


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of a kill."""

    crash: Crash
    is_hit: bool  # whether the process was killed at the point
    breaches: list[Breach]
    looked: Counter[str]  # by invariant
    played: Counter[str]


class Play:
    """One exchange and the trader's processes on it.

    Args:
        crash: What becomes of them.
        folder: Of the journal.
    """

    def __init__(self, crash: Crash, folder: Path) -> None:
        self._chance = Random(f"{crash.flow} {crash.point} {crash.seed}")
        self._crash, self._journal = crash, folder / "journal"
        assembly = minute_exchange(self._chance.randrange(_NUM_MARKETS), _NUM_BARS)
        contract = assembly.venue.exchange.quotes[SYMBOL].contract
        self._conduct = Conduct(
            symbol=SYMBOL,
            bar_ms=BAR_MS,
            tick_size=contract.tick_size,
            step_size=contract.step_size,
            stop_loss=_STOP_LOSS,
            take_profit=None,
            poll_ms=_POLL_MS,
        )
        self._gate = gate_of(contract)
        events_first = self._chance.random() < 1 / 2 and not needs_answers_first(crash.flow, crash.point)
        self.side = ExchangeSide(
            assembly, self._conduct, self._gate, self._journal, events_first=events_first, ends_by=crash.ends_by
        )
        self.is_hit = False
        self.wanted = Decimal(0)
        self.restarted_ms = 0
        self._failure = ""

    def play(self) -> Record:
        """Play it to its end, and return what is left."""
        side = self.side
        try:
            side.venue.advance(START_MS + 1_000)
            self.wanted = PLAYS[self._crash.flow](side, self._chance.choice(_TARGETS), self._crash.point)
            self.is_hit = not side.is_up
            if not side.is_up:
                self._go_on()
            side.stop()
        except DiedError as error:
            self._failure = str(error)
        finally:
            side.end()
        return self.record()

    def _go_on(self) -> None:
        side = self.side
        side.run_until(side.now_ms + self._chance.choice(_DOWN_MS))
        self.restarted_ms = side.now_ms
        side.start()
        if self._crash.flow != "stopping":
            side.target = self.wanted
        elif not side.is_stopped:
            ask_to_stop(side)
        for _ in range(_BARS_AFTER):
            until_next_close(side)

    def record(self) -> Record:
        """Return what is left, once there is no process."""
        side, trader = self.side, self.side.venue.trader(ACCOUNT)
        held = trader.books.positions.get(SYMBOL)
        with open_read_only(self._journal) as reader:
            reader.verify()
            memory = recalled(reader)
            core = Core(State(self._conduct), self._gate)
            for event in reader.events():
                core.step(decode_event(event.kind, event.body))
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
            closes=side.closes,
            listens=side.listened,
            asked=tuple(side.asked),
            end_ms=side.now_ms,
            faults_end_ms=self.restarted_ms,
            latency_ms=0,
            conduct=self._conduct,
            gate=self._gate,
            cap=CAP,
            max_daily_loss=CAPS.max_daily_loss,
            max_leverage=CAPS.max_leverage,
            lines=tuple(memory.lines),
            keys=memory.keys,
            booked=memory.booked,
            states=memory.states,
            stops=memory.stops,
            digests=dict([side.digest] if side.digest else []),
            state=core.state,
            is_up=side.digest is not None,
            alerts=tuple(side.told),
            failure=self._failure,
            killed=(self._crash.point,) if self.is_hit else (),
        )


def _holds(record: Record, wanted: Decimal, tally: Tally) -> Iterator[Breach]:
    tally.name = AS_WANTED
    tally.look()
    if record.amount != wanted:
        yield Breach(AS_WANTED, f"the position is {record.amount} in the end, and {wanted} was wanted")


def crash_once(crash: Crash, folder: Path | None = None) -> Result:
    """Play one kill, and ask every invariant.

    Args:
        crash: Which.
        folder: In which the journal's is made; None is that of the system.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="crash-") as name:
        play = Play(crash, Path(name))
        record = play.play()
    tally = Tally()
    breaches = check(record, tally)
    breaches += _holds(record, play.wanted, tally)
    return Result(
        crash=crash,
        is_hit=play.is_hit,
        breaches=breaches,
        looked=tally.looked,
        played=Counter(
            starts=play.side.num_starts,
            requests=len(record.asked),
            orders=len(record.sent_orders),
            trades=len(record.fills),
            entries=len(record.lines),
        ),
    )
