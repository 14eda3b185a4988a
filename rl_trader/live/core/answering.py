"""What comes back for an order: taken, refused, or nobody knows.

An order of which nobody knows is never sent again. It is looked for by its client id, soon and then less often, and
counts as absent only when the exchange can no longer accept it, has said several times over half a minute that there is
no such order, and its reading of the account, taken after that, shows neither the order, also not among all orders of
its time, nor a trade that may be its. Even then it is asked for again for a day (:mod:`tombstones`).
A limit order that rests shows in no trade: before it counts as absent, the exchange has cancelled all that rests.
An order that was taken and has not traded is forgotten by the exchange after three days; by the same proof it is over.
"""

from rl_trader.live.core.bookkeeping import book_fill, see_order
from rl_trader.live.core.commands import (
    Alert,
    CancelAll,
    Command,
    Query,
    QueryNumber,
    ReadAccount,
    ReadSymbol,
    RebuildStream,
    SetTimer,
    Sought,
)
from rl_trader.live.core.deciding import Gate, send_next, why_bare
from rl_trader.live.core.events import Answered, FillSeen, OrderSeen, Queried, Sending, Snapshot
from rl_trader.live.core.guarding import UNANSWERED_MS, flatten
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.owning import note_order, note_trade
from rl_trader.live.core.resting import take_back_rest, why_not_to_rest
from rl_trader.live.core.settings import why_not_set_up, why_not_trading
from rl_trader.live.core.state import DAY_MS, State
from rl_trader.live.core.stopping import halt
from rl_trader.live.core.tombstones import bury
from rl_trader.live.core.words import IntentState, Purpose

QUERIES_MS = (500, 1_000, 2_000, 4_000, 8_000)  # after which an unknown order is asked for; then every last one
LEAST_QUERIES = 3  # that say there is no such order
LEAST_SEARCH_MS = 30_000  # for so long at least
TOLD_MS = 1_000  # after which the trades of an order that was answered must have been told
SKEW_MS = 1_000  # by which our idea of the exchange's clock may be ahead
FORGOTTEN_MS = 259_200_000  # after which the exchange knows an order no more that has ended without a trade
LEAST_REPEATS = 2  # times that the exchange does not know an open order before it is believed

_MET_ALREADY = -2021  # a stop whose price is met
_NOTHING_TO_REDUCE = -2022
_WOULD_TAKE = -5022  # a post-only order whose price the market has passed: nothing is traded in its bar
_ONE_ALREADY = -4130  # an order that closes the position
_MARGIN = (-2018, -2019, -2027)  # the balance is not what it was thought to be
_FILTERS = (  # the symbol's status or one of its filters is not
    *(-1013, -1111, -4003, -4004, -4005, -4013, -4014, -4016, -4023, -4024, -4029, -4030),
    *(-4131, -4140, -4164, -4183, -4184),
)


def note_sending(state: State, event: Sending) -> list[Command]:
    """Note that an order is on its way; an entry is withdrawn where it has waited for too long, or may no longer go."""
    intent = state.intents[event.client_id]
    if intent.state is not IntentState.PLANNED:
        return []
    if (why := _why_withdrawn(state, intent)) is not None:
        state.keep(intent.moved(IntentState.REJECTED, reason=why))
        state.waiting.clear()
        return [Alert(f"{intent.purpose} of {intent.amount} is withdrawn: {why}")]
    state.keep(intent.moved(IntentState.SENT, sent_ms=event.t_ms, fence_ms=event.fence_ms))
    return []


def _why_withdrawn(state: State, intent: Intent) -> str | None:
    if intent.price is not None and (why := why_not_to_rest(state, intent)) is not None:
        return why
    if not intent.purpose.adds_exposure:
        return None
    if state.is_stopped:
        return state.stop_reason
    why_not_set = why_not_set_up(state) or why_not_trading(state)
    if (why := _why_not_certain(state) or why_bare(state, intent) or why_not_set) is not None:
        return why
    if state.now_ms - (int(intent.decision) + state.conduct.bar_ms) > state.conduct.late_ms:
        return "its decision is too old"
    return None


def _why_not_certain(state: State) -> str | None:
    if not state.is_reconciled:
        return "the account is not reconciled"
    if not state.is_market_alive:
        return "market data are stale"
    return "an order is in an unknown state" if state.unknown() else None


def answer(state: State, event: Answered, gate: Gate) -> list[Command]:
    """Take over what the exchange answered."""
    intent = state.intents[event.client_id]
    if intent.state.is_over:  # the events of the account were faster
        return _after_end(state, intent, gate)
    if event.outcome == "UNKNOWN":
        return doubt(state, intent, event.reason)
    if event.outcome == "REJECTED":
        state.keep(intent.moved(IntentState.REJECTED, reason=event.reason))
        return _after_rejection(state, intent, event)
    if intent.purpose is Purpose.ENTRY:
        state.refusals = 0
    seen = OrderSeen(
        t_ms=event.t_ms,
        client_id=event.client_id,
        order_id=event.order_id,
        status=event.status or "NEW",
        executed=event.executed,
    )
    commands = see(state, seen, gate)
    after = state.intents[event.client_id]
    if after.traded < after.executed:
        commands.append(SetTimer(f"told {after.client_id}", TOLD_MS))
    return commands


def ask_for_trades(state: State, intent: Intent) -> list[Command]:
    """Read the account if an order has traded, by its answer, and the events have not told of it."""
    if intent.traded >= intent.executed or state.is_reading:
        return []
    state.is_reading = True
    why = f"{intent.client_id} has traded and no event has told"
    return [RebuildStream(why), ReadAccount(why)]


def see(state: State, event: OrderSeen, gate: Gate) -> list[Command]:
    """Note where an order stands, and do what had to wait for it."""
    before = state.intents.get(event.client_id)
    was_strange = event.order_id in state.strangers
    see_order(state, event)
    after = state.intents.get(event.client_id)
    if before is None:
        return note_order(state, event, was_strange=was_strange)
    is_absent = before.state is IntentState.ABSENT or event.client_id in state.tombstones
    if is_absent and _is_effective(before, event):
        state.tombstones.pop(event.client_id, None)
        return halt(state, f"{event.client_id} counted as never accepted, and the exchange has it")
    if after is None or before.state.is_over or not after.state.is_over:
        return []
    return _after_end(state, after, gate)


def _is_effective(intent: Intent, event: OrderSeen) -> bool:
    """Return whether an order, but for those that close at most, has traded or may do so."""
    is_live = event.status in ("NEW", "PARTIALLY_FILLED", "FILLED")
    return not intent.purpose.is_conditional and (is_live or bool(event.executed))


def see_fill(state: State, event: FillSeen, gate: Gate) -> list[Command]:
    """Book a trade, and do what had to wait for the order that it fills."""
    was_booked = event.trade_id in state.books.trade_ids
    filled = book_fill(state, event)
    if filled is not None:
        return _after_end(state, filled, gate)
    is_news = not was_booked and event.trade_id in state.books.trade_ids
    return note_trade(state, event) if is_news and event.client_id not in state.intents else []


def doubt(state: State, intent: Intent, reason: str) -> list[Command]:
    """Begin to look for an order."""
    if intent.state is IntentState.UNKNOWN:
        return []
    state.keep(intent.moved(IntentState.UNKNOWN, reason=reason))
    timers = [SetTimer(f"query {intent.client_id}", QUERIES_MS[0])]
    if intent.purpose is Purpose.FLATTEN:
        timers.append(SetTimer("flatten", UNANSWERED_MS))
    return [Alert(f"nobody knows whether {intent.client_id} was taken: {reason}"), *timers]


def ask(state: State, intent: Intent) -> list[Command]:
    """Ask for an order again, if it is still unknown, and read the account once it can be told that it is absent."""
    if intent.state is not IntentState.UNKNOWN:
        return []
    wait = QUERIES_MS[min(intent.num_queries + 1, len(QUERIES_MS) - 1)]
    commands: list[Command] = [Query(intent.client_id, intent.purpose.is_conditional)]
    commands += [QueryNumber(order_id) for order_id in _may_be_its(state, intent)]
    if _may_rest(state, intent) and state.now_ms > intent.fence_ms:
        commands.append(CancelAll())
    if may_be_absent(state, intent) and not state.is_reading:
        commands.append(ReadAccount(f"whether {intent.client_id} is absent"))
        state.is_reading = True
    return [*commands, SetTimer(f"query {intent.client_id}", wait)]


def _may_rest(state: State, intent: Intent) -> bool:
    """Return whether an order may rest at an exchange that does not find it."""
    return intent.price is not None and state.all_cancelled_ms <= intent.fence_ms


def _may_be_its(state: State, intent: Intent) -> list[int]:
    """Return the numbers of orders that have traded, of which nobody knows whose they are, and that may be this one."""
    return [
        order_id
        for order_id, (traded_ms, amount) in state.strangers.items()
        if traded_ms >= intent.sent_ms - SKEW_MS and amount * intent.amount > 0
    ]


def note_query(state: State, event: Queried, gate: Gate) -> list[Command]:
    """Count that the exchange said there is no such order.

    One that was open is doubted then; a protective one is over, open or unknown: the exchange takes no second one.
    """
    intent = state.intents.get(event.client_id)
    if intent is None or not event.is_absent or intent.state not in (IntentState.UNKNOWN, IntentState.OPEN):
        return []
    intent = intent.moved(intent.state, num_queries=intent.num_queries + 1)
    state.keep(intent)
    if intent.num_queries < LEAST_REPEATS:
        return []
    if intent.purpose.is_conditional:
        is_unknown = intent.state is IntentState.UNKNOWN
        state.keep(intent.moved(IntentState.ABSENT if is_unknown else IntentState.ENDED))
        return _after_end(state, intent, gate)
    if intent.state is IntentState.UNKNOWN:
        return []
    return doubt(state, intent, "the exchange does not know it any more")


def look_for_missing(state: State, snapshot: Snapshot) -> list[Command]:
    """Ask for orders that are open as far as is known, and that a reading of the account does not list."""
    listed = {order.client_id for order in (*snapshot.open_orders, *snapshot.open_stops)}
    return [
        Query(intent.client_id, intent.purpose.is_conditional)
        for intent in state.intents.values()
        if intent.state is IntentState.OPEN and intent.client_id not in listed
    ]


def may_be_absent(state: State, intent: Intent) -> bool:
    """Return whether a reading of the account that begins now can prove that an order was never accepted, or is over.

    Of an order that has a number nothing can: it was accepted, and is found sooner or later, unless it is so old that
    the exchange forgets it.
    """
    begun = intent.sent_ms or state.started_ms  # one of another start that was never noted as sent is doubted then
    is_forgotten = intent.traded == intent.executed and state.now_ms - begun > FORGOTTEN_MS
    return (
        (intent.order_id is None or is_forgotten)
        and state.now_ms > intent.fence_ms
        and not _may_rest(state, intent)
        and intent.num_queries >= LEAST_QUERIES
        and state.now_ms - begun >= LEAST_SEARCH_MS
    )


def sought(state: State) -> list[Sought]:
    """Return the unknown orders that a reading of the account is to look for among all orders of their time."""
    found = []
    for intent in state.unknown():
        if not intent.purpose.is_conditional and may_be_absent(state, intent):
            since_ms = (intent.sent_ms or intent.planned_ms) - SKEW_MS
            until_ms = min(intent.fence_ms + SKEW_MS, since_ms + DAY_MS)  # days off are longer than may be asked for
            found.append(Sought(intent.client_id, since_ms, until_ms))
    return found


def settle_absent(state: State, snapshot: Snapshot, gate: Gate) -> list[Command]:
    """Let unknown orders be absent that a reading of the account proves to be so."""
    commands: list[Command] = []
    seen = {order.client_id for order in (*snapshot.open_orders, *snapshot.open_stops)}
    seen |= {fill.client_id for fill in snapshot.fills if fill.client_id}
    is_explained = state.books.filled == snapshot.amount
    for intent in state.unknown():
        if intent.client_id in seen or not is_explained or not snapshot.is_user_stream_healthy:
            continue
        if intent.price is not None and snapshot.t_ms < state.all_cancelled_ms:
            continue
        if not intent.purpose.is_conditional and intent.client_id not in snapshot.searched:
            continue
        if may_be_absent(state, intent) and not _may_be_its(state, intent):
            commands += [_settled(state, intent), *bury(state, intent), *_after_end(state, intent, gate)]
    return commands


def _settled(state: State, intent: Intent) -> Command:
    """Let an order be over that neither trades nor rests; one that rested may have been taken back meanwhile."""
    if intent.order_id is not None:
        state.keep(intent.moved(IntentState.ENDED))
        return Alert(
            f"{intent.client_id} is over: the exchange knows it no more, and everything is explained without it"
        )
    if intent.price is None:
        state.keep(intent.moved(IntentState.ABSENT))
        return Alert(f"{intent.client_id} was never accepted")
    state.keep(intent.moved(IntentState.ENDED))
    return Alert(f"{intent.client_id} was never accepted, or has ended without a trade")


def _after_end(state: State, intent: Intent, gate: Gate) -> list[Command]:
    """Do what had to wait until an order was over."""
    intent = state.intents[intent.client_id]
    if intent.purpose is Purpose.EXIT:
        if intent.state is IntentState.FILLED:
            return send_next(state, gate)
        state.waiting.clear()
        return take_back_rest(state, intent)
    if intent.purpose is Purpose.FLATTEN and intent.state is not IntentState.FILLED:
        return [SetTimer("flatten", QUERIES_MS[1])]
    if intent.purpose is Purpose.STOP and intent.client_id == state.stop_id:
        return [SetTimer("guard", QUERIES_MS[0])]
    return []


def _guard_later(state: State, intent: Intent, event: Answered) -> list[Command]:
    """Try to place a protective order again, each time later; one that is there already is found by a reading."""
    wait = QUERIES_MS[min(state.num_unguarded + 1, len(QUERIES_MS) - 1)]
    state.num_unguarded += 1
    state.guard_after_ms = state.now_ms + wait
    commands: list[Command] = [Alert(f"the {intent.purpose} is refused: {event.reason}"), SetTimer("guard", wait)]
    if event.code == _ONE_ALREADY and not state.is_reading:
        state.is_reading = True
        commands.append(ReadAccount("the exchange says that there is one already"))
    return commands


def _look_again(state: State, event: Answered) -> list[Command]:
    """Read what a refusal says to be otherwise than it was thought to be."""
    if event.code in _FILTERS:
        return [ReadSymbol(f"an order was refused: {event.reason}")]
    if event.code not in (_NOTHING_TO_REDUCE, *_MARGIN) or state.is_reading:
        return []
    state.is_reading = True
    return [ReadAccount(f"the exchange says: {event.reason}")]


def _after_rejection(state: State, intent: Intent, event: Answered) -> list[Command]:
    state.waiting.clear()
    commands = _look_again(state, event)
    if intent.purpose.is_conditional:
        if event.code == _MET_ALREADY:
            return flatten(state, f"the price of its {intent.purpose} is met already")
        return [*commands, *_guard_later(state, intent, event)]
    commands.append(Alert(f"{intent.purpose} of {intent.amount} is refused: {event.reason}"))
    if intent.purpose is Purpose.FLATTEN:
        commands.append(SetTimer("flatten", QUERIES_MS[1]))
    if intent.purpose is Purpose.ENTRY and event.code != _WOULD_TAKE:
        state.refusals += 1
        if state.refusals >= state.conduct.most_refusals:
            commands += halt(state, f"{state.refusals} entries in a row were refused, the last: {event.reason}")
    return commands
