"""What must be true again once nothing goes wrong any more.

Every checker is a function of the record alone: it yields a sentence for what is broken, and counts what it looks at.
"""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Final

from rl_trader.live.core.events import Decided
from rl_trader.live.core.words import IntentState
from rl_trader.rehearsal.deeds import COARSE_TICK
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.stage import digest
from rl_trader.rehearsal.tally import Tally

UNIT: Final = Decimal("1E-8")  # USDT
SETTLED_MS: Final = 120_000  # after the last fault
BARE_MS: Final = 2_000
BARE_WAYS: Final = 10  # to the exchange and back, in which what is done before a stop is placed is done
LIVELY_MS: Final = 240_000  # at the end, in which a decision must have been taken

_ZERO: Final = Decimal(0)


def lives_on(record: Record, tally: Tally) -> Iterator[str]:
    """The trader has died of nothing but kills, and is there in the end."""
    tally.look()
    if record.failure:
        yield f"the trader has died of {record.failure}"
    elif not record.is_up:
        yield "the trader is not there in the end"


def same_account(record: Record, tally: Tally) -> Iterator[str]:
    """Position, open orders and stops are the exchange's."""
    tally.look()
    books, intents = record.state.books, record.state.intents
    if (books.amount, books.wallet_balance) != (record.amount, record.wallet_balance):
        yield (
            f"the trader holds {books.amount} and {books.wallet_balance} USDT by its own books, and {record.amount} "
            f"and {record.wallet_balance} by the exchange's"
        )
    if record.amount and abs(books.entry_price - record.entry_price) > UNIT:
        yield f"the trader's entry price is {books.entry_price}, and the exchange's {record.entry_price}"
    theirs = {order.client_order_id for order in record.orders if order.order_id in record.open_order_ids}
    theirs |= {algo.client_algo_id for algo in record.algo_orders if algo.algo_id in record.open_algo_ids}
    ours = {intent.client_id for intent in intents.values() if not intent.state.is_over}
    for client_id in sorted(ours ^ theirs):
        where = "the trader's alone" if client_id in ours else "the exchange's"
        yield f"open order {client_id} is {where}"


def same_money(record: Record, tally: Tally) -> Iterator[str]:
    """The ledger is the wallet, and every kind of booking sums to the exchange's own."""
    tally.look()
    books = record.state.books
    if abs(books.ledger_balance - record.wallet_balance) > UNIT:
        yield f"the ledger has {books.ledger_balance} and the wallet {record.wallet_balance}"
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for income in record.income:
        if income.time_ms >= books.opened_ms:  # what was before is in the ledger's opening balance
            sums[income.type.lower()] += income.amount
    for account in sorted(set(sums) | set(record.booked) - {"wallet"}):
        booked = record.booked.get(account, _ZERO) * (-1)
        tally.look()
        if abs(booked - sums.get(account, _ZERO)) > UNIT:
            yield f"{account} is {booked} in the ledger and {sums.get(account, _ZERO)} at the exchange"
    if total := sum(record.booked.values(), _ZERO):
        yield f"the double entries sum to {total} and not to zero"


def nothing_unexplained(record: Record, tally: Tally) -> Iterator[str]:
    """The ledger never had to begin anew: every difference was explained by what was told."""
    tally.look()
    for text in record.alerts:
        if text.startswith("halted: the position is") or text.startswith("halted: the wallet is"):
            yield f"a difference was never explained ({text})"


def guarded(record: Record, tally: Tally) -> Iterator[str]:
    """A position has its stop at the exchange, one and on its side; without a position there is none."""
    tally.look()
    live = [algo for algo in record.algo_orders if algo.algo_id in record.open_algo_ids]
    if not record.amount:
        yield from (f"there is no position, and stop {algo.client_algo_id} is left" for algo in live)
        return
    stops = [algo for algo in live if "STOP" in algo.request.type.value]
    if len(stops) != 1:
        yield f"the position of {record.amount} has {len(stops)} stops at the exchange"
    for stop in stops:
        if stop.request.side.sign * record.amount > 0 or not stop.request.close_position:
            yield f"stop {stop.client_algo_id} does not close the position of {record.amount}"
        assert record.conduct.stop_loss is not None
        level = record.entry_price * (1 - record.conduct.stop_loss.copy_sign(record.amount))
        if abs((stop.request.trigger_price or _ZERO) - level) > 2 * COARSE_TICK:
            yield f"stop {stop.client_algo_id} waits for {stop.request.trigger_price}, and {level} is wanted"


def never_bare(record: Record, tally: Tally) -> Iterator[str]:
    """Once nothing goes wrong, no position is without a stop for longer than it takes to place one."""
    stops = [
        (
            algo.time_ms,
            record.end_ms if algo.algo_id in record.open_algo_ids else algo.update_ms,
            algo.request.side.sign,
        )
        for algo in record.algo_orders
        if "STOP" in algo.request.type.value
    ]
    since = record.faults_end_ms + SETTLED_MS
    for begin, end, amount in _held(record):
        begin = max(begin, since)
        if begin >= end:
            continue
        tally.look()
        for bare_ms, until_ms in _uncovered(begin, end, [s for s in stops if s[2] * amount < 0]):
            if until_ms - bare_ms > BARE_MS + BARE_WAYS * record.latency_ms:
                yield f"the position of {amount} had no stop from {bare_ms} to {until_ms}"


def _held(record: Record) -> Iterator[tuple[int, int, Decimal]]:
    """Yield from when to when the exchange's position was one that is not 0."""
    changes = [(fill.time_ms, fill.side.sign * fill.amount) for fill in record.fills]
    amount = _ZERO
    for (begin, change), (end, _) in pairwise([*changes, (record.end_ms, _ZERO)]):
        amount += change
        if amount:
            yield begin, end, amount


def _uncovered(begin: int, end: int, stops: list[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a time in which no stop was there."""
    for since, until, _ in sorted(stops):
        if until <= begin or since >= end:
            continue
        if since > begin:
            yield begin, since
        begin = max(begin, until)
    if begin < end:
        yield begin, end


def nothing_open_ended(record: Record, tally: Tally) -> Iterator[str]:
    """No order is planned, on its way or unknown; an absent one was never at the exchange."""
    had = {order.client_order_id for order in record.orders}
    for intent in record.state.intents.values():
        tally.look()
        if intent.state in (IntentState.PLANNED, IntentState.SENT, IntentState.UNKNOWN):
            yield f"order {intent.client_id} is {intent.state} in the end ({intent.reason})"
        is_absent = intent.state is IntentState.ABSENT and not intent.purpose.is_conditional
        if is_absent and intent.client_id in had:
            yield f"order {intent.client_id} counts as absent, and the exchange has had it"


def replayed(record: Record, tally: Tally) -> Iterator[str]:
    """The journal alone leads to the same state, at its end and at every digest on the way."""
    digests = record.replayed_digests()
    for number, found in record.digests.items():
        tally.look()
        if digests.get(number) != found:
            yield f"entry {number} of the journal leads to another state than the trader had"
    tally.look()
    if record.is_up and record.lines and digests[len(record.lines)] != digest(record.state):
        yield "the journal leads to another state than the trader has in the end"


def hears(record: Record, tally: Tally) -> Iterator[str]:
    """The account's events come on a connection with its valid listen key."""
    tally.look()
    if not record.listens:
        yield "no connection of the trader's carries the account's listen key in the end"


def decides_again(record: Record, tally: Tally) -> Iterator[str]:
    """A decision is taken again soon after the last fault, unless there is a stop, which has a reason."""
    state = record.state
    if state.is_stopped:
        tally.look()
        if not state.stop_reason:
            yield f"there is a {state.stop_kind} without a reason"
        return
    since = record.end_ms - LIVELY_MS
    tally.look()
    if not any(isinstance(event, Decided) and event.t_ms > since for event in record.events):
        yield f"nothing was decided since {since}, although nothing goes wrong since {record.faults_end_ms}"
