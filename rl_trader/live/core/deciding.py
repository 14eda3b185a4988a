"""From a closed bar to orders: the policy is asked, the risk gate has its say, and a flip goes in two legs.

Market orders of a flip go one after the other. Limit orders rest side by side, the reducing one in front, and are taken
back before the next bar is decided upon.
"""

from collections.abc import Callable
from decimal import Decimal

from rl_trader.klines import utc
from rl_trader.live.core.commands import Alert, Command, Decide, Place
from rl_trader.live.core.events import BarClosed, BarRevised, BarSkipped, Decided
from rl_trader.live.core.guarding import is_bare
from rl_trader.live.core.intents import Intent, client_id
from rl_trader.live.core.resting import resting, take_back, watch
from rl_trader.live.core.settings import why_not_set_up, why_not_trading
from rl_trader.live.core.state import DAY_MS, State
from rl_trader.live.core.stopping import halt
from rl_trader.live.core.words import Purpose

MOST_REVISED = 1_000  # one of so many bars may be told again with other numbers

Gate = Callable[[State, Intent], str | None]
"""Says why an order must not go; None lets it go."""


def close_bar(state: State, event: BarClosed) -> list[Command]:
    """Ask the policy, unless there is a reason not to; a bar is decided upon once at most."""
    if event.open_ms <= state.decided_ms:
        return []
    state.decided_ms = event.open_ms
    state.last_price, state.mark_price = event.close, event.mark_close
    state.mark_ms = event.open_ms + state.conduct.bar_ms if event.mark_ms is None else event.mark_ms
    state.note_equity()
    state.note_close()
    if resting(state):
        state.held_bar = event
        return take_back(state)
    return _ask(state, event)


def go_on(state: State) -> list[Command]:
    """Decide upon the bar that is held, once the orders that rested in it are over and their trades are known."""
    event = state.held_bar
    if event is None:
        return []
    is_open = bool(resting(state)) or _why_not_known(state) is not None
    if is_open and not state.is_stopped and not _is_late(state, event, state.now_ms):
        return []
    state.held_bar = None
    return _ask(state, event)


def _is_late(state: State, event: BarClosed, now_ms: int) -> bool:
    return now_ms - (event.open_ms + state.conduct.bar_ms) > state.conduct.late_ms


def _ask(state: State, event: BarClosed) -> list[Command]:
    """Ask the policy, unless there is a reason not to."""
    if (why := _why_not(state, event)) is not None:
        return [Alert(f"no decision on the bar of {utc(event.open_ms)}: {why}")] if not state.is_stopped else []
    state.deciding_ms = event.open_ms
    books = state.books
    wallet_balance, isolated_wallet = state.wallets_at(event.open_ms + state.conduct.bar_ms)
    return [
        Decide(
            event.open_ms,
            wallet_balance,
            books.amount,
            books.entry_price,
            isolated_wallet,
            state.bars_held,
            state.memory_at(event.open_ms),
        )
    ]


def _why_not(state: State, event: BarClosed) -> str | None:
    if state.is_stopped:
        return state.stop_reason
    if not state.is_reconciled:
        return "the account is not reconciled"
    if (why := _why_not_known(state) or why_not_set_up(state) or why_not_trading(state)) is not None:
        return why
    if not state.is_market_alive:
        return "market data are stale"
    if state.unknown():
        return "an order is in an unknown state"
    if state.working() or state.waiting:
        return "an order of the last decision is still working"
    if _is_late(state, event, event.t_ms):
        return "the bar came too late"
    return None


def _why_not_known(state: State) -> str | None:
    """Return why the account may not be what it seems to be."""
    if state.differs_since_ms is not None or state.books.filled != state.books.amount:
        return "the account is not what its bookings sum to"
    if state.num_failures >= state.conduct.most_failures:
        return f"the account could not be read {state.num_failures} times in a row"
    if state.strangers:
        return f"nobody knows yet whose order {min(state.strangers)} is, which has traded"
    for intent in state.intents.values():
        is_new = max(intent.sent_ms, intent.executed_ms) >= state.consistent_ms and not intent.purpose.is_conditional
        if is_new and intent.traded < intent.executed:
            return f"the trades of {intent.client_id} are not known yet"
    return None


def skip_bar(state: State, event: BarSkipped) -> list[Command]:
    """Decide nothing on a bar that cannot be decided upon."""
    if event.open_ms <= state.decided_ms:
        return []
    state.decided_ms = event.open_ms
    state.note_close()
    return [Alert(f"no decision on the bar of {utc(event.open_ms)}: {event.reason}"), *take_back(state)]


def revise_bar(state: State, event: BarRevised) -> list[Command]:
    """Note that a bar was told with other numbers; what was decided stays, and too many of them end the entries."""
    state.revised = {bar: told for bar, told in state.revised.items() if state.now_ms - told < DAY_MS}
    state.revised.setdefault(event.open_ms, state.now_ms)
    commands: list[Command] = [Alert(f"the bar of {utc(event.open_ms)} is told with other numbers: {event.reason}")]
    if len(state.revised) * MOST_REVISED * state.conduct.bar_ms > DAY_MS:
        commands += halt(state, f"{len(state.revised)} bars of the last day were told with other numbers later")
    return commands


def decide(state: State, event: Decided, gate: Gate) -> list[Command]:
    """Turn a decision into orders, if it is the one that was asked for and not too old."""
    if event.open_ms != state.deciding_ms:
        return []
    state.deciding_ms = None
    if event.fault:
        state.holds += 1
        if state.holds >= state.conduct.most_holds:
            return halt(state, f"{state.holds} decisions in a row had no usable action, the last: {event.fault}")
        return [Alert(f"the position is held: {event.fault}")]
    state.holds = 0
    state.memory, state.remembered_ms = event.memory, event.open_ms
    if (why := _why_not_any_more(state, event)) is not None:
        return [Alert(f"the decision on the bar of {utc(event.open_ms)} is void: {why}")]
    lots = state.lots(event.limit_price)
    reduced = lots.slices(event.reduce_amount)
    legs = [_leg(state, event, Purpose.EXIT, amount, number) for number, amount in enumerate(reduced, 1)]
    if opened := lots.whole(event.open_amount):
        legs.append(_leg(state, event, Purpose.ENTRY, opened))
    if not legs:
        return []
    if event.limit_price is not None:
        return _let_rest(state, event, legs, gate)
    state.waiting = legs[1:]
    return send(state, legs[0], gate)


def _why_not_any_more(state: State, event: Decided) -> str | None:
    """Return why a decision is no longer what it was made for."""
    if state.is_stopped:
        return state.stop_reason
    if state.unknown() or state.working():
        return "an order is working"
    held = state.books.amount
    if event.reduce_amount and (held * event.reduce_amount >= 0 or abs(event.reduce_amount) > abs(held)):
        return f"the position is {held} now"
    if event.open_amount * (held + event.reduce_amount) < 0:
        return f"the position is {held} now"
    return None


def _leg(state: State, event: Decided, purpose: Purpose, amount: Decimal, number: int = 1) -> Intent:
    decision, leg = str(event.open_ms), purpose.value if number == 1 else f"{purpose.value} {number}"
    return Intent(
        client_id=client_id(state.epoch, decision, leg, 1, state.tag),
        decision=decision,
        leg=leg,
        attempt=1,
        purpose=purpose,
        amount=amount,
        price=None if event.limit_price is None else state.on_tick(event.limit_price, amount),
    )


def _let_rest(state: State, event: Decided, legs: list[Intent], gate: Gate) -> list[Command]:
    """Let limit orders go side by side; one that may not go keeps back what would stand behind it."""
    commands: list[Command] = []
    for leg in legs:
        commands += send(state, leg, gate)
        if leg.client_id not in state.intents:
            break
    return [*commands, *watch(state, event.open_ms)] if resting(state) else commands


def why_bare(state: State, intent: Intent) -> str | None:
    """Return why an order must not add to a position that has no stop."""
    is_added = intent.purpose.adds_exposure and is_bare(state)
    return f"the position of {state.books.amount} has no stop yet" if is_added else None


def send(state: State, intent: Intent, gate: Gate) -> list[Command]:
    """Let an order go, if the risk gate lets it; what waits behind one that may not go does not go either."""
    if (why := why_bare(state, intent) or gate(state, intent)) is not None:
        state.waiting.clear()
        return [Alert(f"{intent.purpose} of {intent.amount} is refused: {why}")]
    state.keep(intent)
    state.order_times = [time for time in state.order_times if state.now_ms - time < DAY_MS]
    state.order_times.append(state.now_ms)
    return [Place(intent)]


def send_next(state: State, gate: Gate) -> list[Command]:
    """Let the leg go that has waited for the one before it."""
    if not state.waiting or state.is_stopped:
        state.waiting.clear()
        return []
    return send(state, state.waiting.pop(0), gate)
