"""The account as the exchange says it is, against the account as it follows from what was told.

One routine for the start, for a lost stream, for a resumption and for the timer. What the exchange says is taken over
in any case; a difference that nothing explains ends the entries until a person has looked.
"""

from decimal import Decimal

from rl_trader.live.core.answering import SKEW_MS, doubt, look_for_missing, see, see_fill, settle_absent
from rl_trader.live.core.bookkeeping import book_income
from rl_trader.live.core.commands import Alert, Cancel, Command, ReadAccount, RebuildStream, SetTimer
from rl_trader.live.core.deciding import Gate
from rl_trader.live.core.events import Snapshot, SnapshotFailed, Started, Suspended
from rl_trader.live.core.fencing import fence_ms
from rl_trader.live.core.guarding import flatten, guard
from rl_trader.live.core.intents import epoch_of, instance_name
from rl_trader.live.core.owning import ask_for_strangers, is_of_other_instance, stop_beside, why_foreign
from rl_trader.live.core.resting import take_back
from rl_trader.live.core.settings import read_settings, read_symbol
from rl_trader.live.core.state import State
from rl_trader.live.core.stopping import halt
from rl_trader.live.core.tombstones import remember
from rl_trader.live.core.words import IntentState, StopKind

UNIT = Decimal("1E-8")  # USDT
SETTLED_MS = 60_000  # after which a trade is taken to be listed together with all before it
BELIEVED_MS = 10_000  # for which a difference must last
AGAIN_MS = 2_000  # until a difference is looked at again
UNTOLD_MS = 10_000  # after which the account's events must have told of a trade


def start(state: State, event: Started) -> list[Command]:
    """Begin, or begin again: what was being sent may have arrived, and everything else is to be read."""
    state.epoch, state.tag, state.started_ms = event.epoch, event.tag, event.t_ms
    state.instances.append(instance_name(event.epoch, event.tag))
    state.caps = event.caps or state.caps
    state.is_reconciled, state.is_reading, state.reads_again = False, True, False
    state.differs_since_ms = None
    state.waiting.clear()
    state.deciding_ms = state.held_bar = None
    commands: list[Command] = []
    for intent in list(state.intents.values()):
        if intent.state in (IntentState.PLANNED, IntentState.SENT):
            fenced = intent if intent.fence_ms else intent.moved(intent.state, fence_ms=fence_ms(event.t_ms))
            commands += doubt(state, fenced, "the process ended while it was being sent")
        elif intent.state is IntentState.UNKNOWN:
            commands.append(SetTimer(f"query {intent.client_id}", 0))
    commands += [*take_back(state), ReadAccount("the start"), SetTimer("poll", state.conduct.poll_ms)]
    return [*commands, *remember(state), *read_settings(state), *read_symbol(state, "the start")]


def suspend(state: State, event: Suspended) -> list[Command]:
    """Drop what was decided before the process stood still, and enter nothing before the account is read."""
    state.suspended_ms, state.is_reconciled = event.t_ms, False
    state.deciding_ms = state.held_bar = None
    state.waiting.clear()
    commands: list[Command] = [Alert(f"the process stood still for {event.gap_ms / 1_000:.1f} s; the account is read")]
    if state.is_reading:
        state.reads_again = True
        return commands
    state.is_reading = True
    return [*commands, ReadAccount("the process stood still")]


def fail(state: State, event: SnapshotFailed) -> list[Command]:
    """Try again with the next poll; without a reconciled account nothing is decided."""
    state.is_reading = False
    state.num_failures += 1
    return [Alert(f"the account could not be read: {event.reason}"), *_read_again(state)]


def _read_again(state: State) -> list[Command]:
    """Read the account once more, if that was wanted while it was being read."""
    if not state.reads_again or state.is_reading:
        return []
    state.is_reading, state.reads_again = True, False
    return [ReadAccount("once more")]


def reconcile(state: State, event: Snapshot, gate: Gate) -> list[Command]:
    """Take a reading of the account over."""
    state.is_reading, state.num_failures = False, 0
    commands = _read_again(state) + _doubt_stream(state, event)
    if not state.books.is_open:
        _open_ledger(state, event)
    for fill in event.fills:
        commands += see_fill(state, fill, gate)
    for income in event.income:
        book_income(state, income)
    commands += _take_over_orders(state, event, gate)
    commands += settle_absent(state, event, gate)
    commands += _compare(state, event)
    _take_over_account(state, event)
    _note_read(state, event)
    state.is_reconciled = event.t_ms >= state.suspended_ms
    state.note_equity()
    commands += _foreign_orders(state, event)
    commands += [*look_for_missing(state, event), *ask_for_strangers(state)]
    if state.stop_kind is StopKind.KILL and state.books.amount:
        return [*commands, *flatten(state, "killed")]
    return [*commands, *_orphans(state, event), *guard(state)]


def _note_read(state: State, event: Snapshot) -> None:
    """Note up to where trades and income were read; what is younger is read once more, since it may come late."""
    books = state.books
    settled = [fill.trade_id for fill in event.fills if fill.t_ms <= event.t_ms - SETTLED_MS]
    books.last_trade_id = max([books.last_trade_id, *settled])
    books.income_since_ms = event.t_ms


def _open_ledger(state: State, event: Snapshot) -> None:
    """Begin the ledger with what the exchange says; what it lists is in that already."""
    books = state.books
    books.is_open, books.opened_ms = True, event.t_ms
    books.opening_balance, books.filled = event.wallet_balance, event.amount
    books.trade_ids = {fill.trade_id for fill in event.fills}
    books.income_ids = {(income.kind, income.tran_id) for income in event.income}


def _take_over_orders(state: State, event: Snapshot, gate: Gate) -> list[Command]:
    commands: list[Command] = []
    for order in (*event.open_orders, *event.open_stops, *event.listed):
        commands += see(state, order, gate)
    return commands


def _compare(state: State, event: Snapshot) -> list[Command]:
    """End the entries where position or wallet are not what they follow to be, and begin the ledger anew there."""
    books = state.books
    if books.filled != event.amount:
        difference = f"the position is {event.amount} and its trades sum to {books.filled}"
    elif abs(books.ledger_balance - event.wallet_balance) >= UNIT:
        difference = f"the wallet is {event.wallet_balance} and its bookings sum to {books.ledger_balance}"
    else:
        state.differs_since_ms, state.consistent_ms = None, event.t_ms
        return []
    if state.differs_since_ms is None:
        state.differs_since_ms = state.now_ms
    is_old = state.now_ms - state.differs_since_ms >= BELIEVED_MS
    if not is_old or state.unknown() or not event.is_user_stream_healthy:  # may be explained by what is on its way
        return [Alert(f"{difference}; it is read again"), SetTimer("poll", AGAIN_MS)]
    books.filled = event.amount
    books.opening_balance += event.wallet_balance - books.ledger_balance
    state.differs_since_ms = None
    return halt(state, difference)


def _doubt_stream(state: State, event: Snapshot) -> list[Command]:
    """Have the stream of the account's events made anew if it should have told of a trade by now, and has not."""
    if not state.is_reconciled or not event.is_user_stream_healthy:
        state.untold.clear()
        return []
    books, since = state.books, event.t_ms - UNTOLD_MS
    news = [fill for fill in event.fills if fill.trade_id not in books.trade_ids and fill.t_ms >= books.opened_ms]
    state.untold |= {fill.trade_id: fill.t_ms for fill in news}
    untold = [trade_id for trade_id, traded_ms in state.untold.items() if traded_ms < since]
    if not untold:
        return []
    state.untold.clear()
    return [RebuildStream(f"trade {untold[0]} was not told")]


def _take_over_account(state: State, event: Snapshot) -> None:
    books = state.books
    books.wallet_balance, books.isolated_wallet = event.wallet_balance, event.isolated_wallet
    books.amount, books.entry_price = event.amount, event.entry_price
    books.liquidation_price = event.liquidation_price
    books.told_ms = max(books.told_ms, event.t_ms - SKEW_MS)


def _foreign_orders(state: State, event: Snapshot) -> list[Command]:
    """Stop beside orders that are nobody's here: a person's, or a second instance's."""
    for order in (*event.open_orders, *event.open_stops):
        if why_foreign(state, order.client_id) is not None:
            return stop_beside(state, order.client_id)
    return []


def _orphans(state: State, event: Snapshot) -> list[Command]:
    """Take back what rests of an older start, or protects nothing; of another instance only if a person has looked."""
    commands: list[Command] = []
    for orders, is_conditional in ((event.open_orders, False), (event.open_stops, True)):
        for order in orders:
            if is_of_other_instance(state, order.client_id):
                continue
            epoch = epoch_of(order.client_id)
            intent = state.intents.get(order.client_id)
            is_wanted = order.client_id in (state.stop_id, state.take_profit_id) and state.books.amount
            if is_conditional and not is_wanted and epoch is not None:
                commands.append(Cancel(order.client_id, is_conditional=True))
            elif not is_conditional and epoch is not None:
                is_known = intent is not None and not intent.state.is_over and epoch == state.epoch
                commands += [] if is_known else [Cancel(order.client_id, is_conditional=False)]
    return commands
