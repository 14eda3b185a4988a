"""Known bugs, planted in the trader one at a time, to see that the invariants catch them.

Each is one that some program has traded with. A bug is a change of a few names while it is planted; nothing of it is
left behind. It is caught when an invariant that is named beforehand is broken.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from rl_trader.live.core import answering, bookkeeping, deciding, guarding, reconciling, step
from rl_trader.live.core.commands import Cancel, Command, Place, SetTimer
from rl_trader.live.core.events import FillSeen, Queried, Started
from rl_trader.live.core.intents import Intent, client_id
from rl_trader.live.core.risk import Performance
from rl_trader.live.core.state import State
from rl_trader.live.core.words import IntentState
from rl_trader.live.journal.rows import NewEvent
from rl_trader.live.streams.user_stream import KeyKeeper, UserStream
from rl_trader.live.trader import Trader
from rl_trader.local_exchange.market.happenings import Happening, Moved
from rl_trader.rehearsal import market_line, policies
from rl_trader.rehearsal.memory_journal import MemoryJournal
from rl_trader.rehearsal.minutes import BAR_MS
from rl_trader.rehearsal.run import rehearse

MOST_SEEDS: Final = 60  # in which a bug must be caught
WRITTEN_AT_ONCE: Final = 4  # entries of a journal that lags behind

Changes = Sequence[tuple[object, str, Any]]  # of what, which name, and what it is while the bug is planted


class Caught(NamedTuple):
    """What came of a planted bug."""

    bug: str
    wanted: tuple[str, ...]  # invariants, one of which must be broken
    num_seeds: int  # that were played
    seed: int | None = None
    invariant: str = ""  # that was broken; empty if none was
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug."""

    changes: Callable[[], Changes]
    wanted: tuple[str, ...]


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Let the trader have a bug meanwhile."""
    changes = bug.changes()
    before = [(target, name, getattr(target, name)) for target, name, _ in changes]
    try:
        for target, name, value in changes:
            setattr(target, name, value)
        yield
    finally:
        for target, name, value in before:
            setattr(target, name, value)


def catch(name: str, seeds: range = range(MOST_SEEDS)) -> Caught:
    """Play seeds with a bug until an invariant catches it.

    Args:
        name: Of :data:`BUGS`.
        seeds: Which.
    """
    bug = BUGS[name]
    for number, seed in enumerate(seeds, start=1):
        with planted(bug):
            breaches = rehearse(seed).breaches
        for breach in breaches:
            if breach.invariant in bug.wanted:
                return Caught(name, bug.wanted, number, seed, breach.invariant, breach.sentence)
    return Caught(name, bug.wanted, len(seeds))


def catch_all() -> list[Caught]:
    """Plant every bug, one at a time."""
    return [catch(name) for name in BUGS]


# Orders that are sent again


def _send_again() -> Changes:
    """Send an order once more when no answer has come, as clients with retries do."""

    async def place(self: Trader, client_order_id: str) -> None:
        intent = self.core.state.intents[client_order_id]
        if intent.state is not IntentState.PLANNED:
            return
        self.happen(self._calls.sending(intent))
        if self.core.state.intents[client_order_id].state is IntentState.REJECTED:
            return
        answered = await self._calls.place(intent)
        if answered.outcome == "UNKNOWN":
            answered = await self._calls.place(intent)
        self.happen(answered)

    return [(Trader, "_place", place)]


def _ask_once_and_send_again() -> Changes:
    """Take the first "no such order" for a proof, and send the order with the next attempt's client id."""

    def note_query(state: State, event: Queried, gate: deciding.Gate) -> list[Command]:
        intent = state.intents.get(event.client_id)
        if intent is None or not event.is_absent or intent.state is not IntentState.UNKNOWN:
            return []
        state.keep(intent.moved(IntentState.ABSENT))
        if intent.purpose.is_conditional:
            return [SetTimer("guard", 0)]
        attempt = intent.attempt + 1
        again = Intent(
            client_id=client_id(state.epoch, intent.decision, intent.leg, attempt),
            decision=intent.decision,
            leg=intent.leg,
            attempt=attempt,
            purpose=intent.purpose,
            amount=intent.amount,
        )
        state.keep(again)
        return [Place(again)]

    return [(step, "note_query", note_query)]


def _send_before_the_journal() -> Changes:
    """Write the journal a few entries at a time, behind what is done."""
    append = MemoryJournal.append

    def lag(self: MemoryJournal, events: Sequence[NewEvent]) -> int:
        waiting: list[NewEvent] = self.__dict__.setdefault("waiting", [])
        waiting.extend(events)
        if len(waiting) >= WRITTEN_AT_ONCE:
            append(self, waiting)
            waiting.clear()
        return len(self)

    return [(MemoryJournal, "append", lag)]


def _trust_the_first_answer() -> Changes:
    """Believe at once that there is no such order."""

    def note_query(state: State, event: Queried, gate: deciding.Gate) -> list[Command]:
        intent = state.intents.get(event.client_id)
        if intent is None or not event.is_absent or intent.state is not IntentState.UNKNOWN:
            return []
        state.keep(intent.moved(IntentState.ABSENT))
        return []

    return [(step, "note_query", note_query)]


# Money, stops and limits


def _count_twice() -> Changes:
    """Count a trade whenever it is told."""
    book = bookkeeping.book_fill

    def book_fill(state: State, fill: FillSeen) -> Intent | None:
        state.books.trade_ids.discard(fill.trade_id)
        return book(state, fill)

    return [(answering, "book_fill", book_fill)]


def _forget_the_stop() -> Changes:
    """Take the stop back when a fill has moved the entry price, and place no other."""
    guard = guarding.guard

    def careless(state: State) -> list[Command]:
        before, kept = state.guarded, state.stop_id
        held = 1 if state.books.amount > 0 else -1
        if before is None or not state.books.amount or before[0] != held or before[1] == state.books.entry_price:
            return guard(state) if before is None or before[1] != state.books.entry_price else []
        state.guarded, state.stop_id = (held, state.books.entry_price), None
        return [] if kept is None else [Cancel(kept, is_conditional=True)]

    return [(module, "guard", careless) for module in (step, bookkeeping, reconciling)]


def _forget_the_halt() -> Changes:
    """Begin anew without the stop that was latched."""
    begin = reconciling.start

    def start(state: State, event: Started) -> list[Command]:
        state.stop_kind, state.stop_reason = None, ""
        return begin(state, event)

    return [(step, "start", start)]


def _forget_the_loss() -> Changes:
    """Begin anew without the day's loss and the peak."""
    begin = reconciling.start

    def start(state: State, event: Started) -> list[Command]:
        state.performance = Performance()
        return begin(state, event)

    return [(step, "start", start)]


# Bars, streams and turns


def _decide_on_an_open_bar() -> Changes:
    """Take the price of the moment for a bar's close."""
    line = market_line.MarketLine
    hear = line._hear

    def early(self: market_line.MarketLine, happening: Happening) -> None:
        hear(self, happening)
        if isinstance(happening, Moved):
            now = self._venue.market_ms()
            quotes, opened = self._venue.exchange.quotes[self._symbol], now - now % BAR_MS
            self._bars.append(market_line._Bar(now, opened, quotes.last, quotes.mark))

    return [(line, "_hear", early)]


def _keep_a_stale_stream() -> Changes:
    """Stay with a connection whose listen key has expired."""
    return [
        (UserStream, "_expire", lambda _self, _payload: None),
        (UserStream, "rebuild", lambda _self: None),
        (KeyKeeper, "fail", lambda _self, _now_ms, _code: False),
    ]


def _turn_in_one_order() -> Changes:
    """Turn a position by one order of both amounts."""
    zero = Decimal(0)
    return [
        (policies, "legs", lambda held, target: (zero, target - held)),
        (deciding, "_why_not_any_more", lambda _state, _event: None),
    ]


BUGS: Final[Mapping[str, Bug]] = {
    "an order is sent again on a time-out": Bug(_send_again, ("I9 client ids", "I1 one order a leg")),
    "an order is asked for once and sent again": Bug(_ask_once_and_send_again, ("I1 one order a leg",)),
    "an order leaves before the journal has it": Bug(_send_before_the_journal, ("I2 journalled first",)),
    "a trade is counted whenever it is told": Bug(_count_twice, ("C2 same money", "C3 nothing unexplained")),
    "an order counts as absent at the first answer": Bug(_trust_the_first_answer, ("C5 nothing open-ended",)),
    "the stop is forgotten after a further fill": Bug(_forget_the_stop, ("C4 guarded", "C4 never bare")),
    "a halt is forgotten at a restart": Bug(_forget_the_halt, ("I5 only out after a stop",)),
    "the day's loss is forgotten at a restart": Bug(_forget_the_loss, ("I5 the day's loss",)),
    "an open bar is decided upon": Bug(_decide_on_an_open_bar, ("I8 decided once",)),
    "a stale stream of the account is kept": Bug(_keep_a_stale_stream, ("C11 hears",)),
    "a position is turned in one order": Bug(_turn_in_one_order, ("I6 no turn in one order",)),
}
