"""The stop that rests at the exchange for as long as there is a position.

It closes the whole position at market when the mark price meets it, so that one too many cannot close too much. The
exchange takes one of a kind and side: an old one is taken back before the new one is placed. A position that is bare,
without a stop that the exchange is known to have, is not added to.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from rl_trader.live.core.commands import Alert, Cancel, Command, Place
from rl_trader.live.core.intents import Intent, client_id
from rl_trader.live.core.state import State
from rl_trader.live.core.words import IntentState, Purpose

UNANSWERED_MS: Final = 5_000  # for which an unknown order that closes everything keeps back the next

_CLOSE: tuple[Purpose, ...] = (Purpose.EXIT, Purpose.FLATTEN)


def guard(state: State) -> list[Command]:
    """Let the protective orders be those of the position that is held."""
    books = state.books
    wanted = (1 if books.amount > 0 else -1, books.entry_price) if books.amount else None
    commands: list[Command] = []
    if wanted != state.guarded:
        commands, state.guarded, state.guard_after_ms = _take_back(state), wanted, 0
    if wanted is None or state.now_ms < state.guard_after_ms:
        return commands
    return [*commands, *_place_missing(state)]


def is_bare(state: State) -> bool:
    """Return whether a position that must have a stop has none that the exchange is known to have."""
    if state.conduct.stop_loss is None or not state.books.amount:
        return False
    return state.stop_id is None or state.intents[state.stop_id].state is not IntentState.OPEN


def _is_live(state: State, kept: str | None) -> bool:
    """Return whether a protective order may still work."""
    return kept is not None and not state.intents[kept].state.is_over


def _take_back(state: State) -> list[Command]:
    commands: list[Command] = []
    for kept in (state.stop_id, state.take_profit_id):
        if kept is not None and _is_live(state, kept):
            commands.append(Cancel(kept, is_conditional=True))
    state.stop_id = state.take_profit_id = None
    return commands


def _place_missing(state: State) -> list[Command]:
    commands: list[Command] = []
    conduct, is_long, entry = state.conduct, state.books.amount > 0, state.books.entry_price
    if conduct.stop_loss is not None and not _is_live(state, state.stop_id):
        level = entry * (1 - conduct.stop_loss) if is_long else entry * (1 + conduct.stop_loss)
        stop = _intent(state, Purpose.STOP, _on_tick(level, state.tick_size, is_long=is_long))
        state.stop_id = stop.client_id
        commands.append(Place(stop))
    if conduct.take_profit is not None and not _is_live(state, state.take_profit_id):
        level = entry * (1 + conduct.take_profit) if is_long else entry * (1 - conduct.take_profit)
        take = _intent(state, Purpose.TAKE_PROFIT, _on_tick(level, state.tick_size, is_long=is_long))
        state.take_profit_id = take.client_id
        commands.append(Place(take))
    return commands


def _on_tick(level: Decimal, tick_size: Decimal, *, is_long: bool) -> Decimal:
    """Return a price on a tick: up for a long position and down for a short one, so that a stop is early."""
    rounding = ROUND_CEILING if is_long else ROUND_FLOOR
    return (level / tick_size).quantize(Decimal("1E-12")).to_integral_value(rounding) * tick_size


def _intent(state: State, purpose: Purpose, trigger_price: Decimal) -> Intent:
    number = state.next_guard()
    intent = Intent(
        client_id=client_id(state.epoch, f"guard {number}", purpose.value, 1, state.tag),
        decision=f"guard {number}",
        leg=purpose.value,
        attempt=1,
        purpose=purpose,
        amount=-state.books.amount,
        trigger_price=trigger_price,
    )
    state.keep(intent)
    return intent


def flatten(state: State, why: str) -> list[Command]:
    """Close the position at market; while an order that does so is on its way nothing is added to it.

    A position that is larger than a market order may be is closed in slices, each of which can only reduce.
    """
    parts = state.lots(None).slices(-state.books.amount)
    if not parts or any(_is_closing(state, order) for order in state.working()):
        return []
    orders = [_closing(state, part) for part in parts]
    return [Alert(f"the position of {state.books.amount} is closed: {why}"), *map(Place, orders)]


def _is_closing(state: State, order: Intent) -> bool:
    """Return whether an order may be relied on to close the position, or is to be waited for.

    One of which nobody knows is not: it can only reduce, so that another one beside it cannot turn the position.
    """
    if order.purpose not in _CLOSE or order.price is not None:
        return False
    if order.state is not IntentState.UNKNOWN:
        return True
    return order.purpose is Purpose.FLATTEN and state.now_ms < order.sent_ms + UNANSWERED_MS


def _closing(state: State, amount: Decimal) -> Intent:
    number = state.next_guard()
    intent = Intent(
        client_id=client_id(state.epoch, f"flatten {number}", Purpose.FLATTEN.value, 1, state.tag),
        decision=f"flatten {number}",
        leg=Purpose.FLATTEN.value,
        attempt=1,
        purpose=Purpose.FLATTEN,
        amount=amount,
    )
    state.keep(intent)
    return intent
