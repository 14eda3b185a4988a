"""Limit orders that rest until a bar's end: taken back there, and by the exchange itself should the trader be gone.

They are post-only. An order is due when its bar is over, when a bar that has closed waits to be decided upon, and when
the trader has been stopped; one that is due is taken back again and again until it is known to be over.
"""

from typing import Final

from rl_trader.live.core.commands import Cancel, Command, Countdown, SetTimer
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import State
from rl_trader.live.core.words import IntentState, Purpose

COUNTDOWN_MS: Final = 120_000  # after which the exchange cancels what rests, unless it hears of the trader
REARM_MS: Final = 30_000
AGAIN_MS: Final = 2_000  # until an order that is due is taken back again

_NOT_THERE: Final = (IntentState.REJECTED, IntentState.ENDED, IntentState.ABSENT, IntentState.UNKNOWN)


def resting(state: State) -> list[Intent]:
    """Return the limit orders that are not known to be over."""
    return [intent for intent in state.working() if intent.price is not None]


def watch(state: State, open_ms: int) -> list[Command]:
    """Have the limit orders of a decision taken back at the end of their bar, by whoever is there then.

    Args:
        state: Of the trader.
        open_ms: Of the bar that was decided upon, before theirs.
    """
    state.has_countdown = True
    left_ms = max(_end_ms(state, open_ms) - state.now_ms, 0)
    return [
        Countdown(COUNTDOWN_MS),
        SetTimer("countdown", REARM_MS),
        SetTimer("resting", left_ms + AGAIN_MS),
    ]


def watch_on(state: State) -> list[Command]:
    """Tell the exchange again that somebody is there, while anything rests."""
    if not resting(state):
        return []
    return [Countdown(COUNTDOWN_MS), SetTimer("countdown", REARM_MS)]


def take_back(state: State) -> list[Command]:
    """Take every limit order back, and look again whether it is over."""
    orders = resting(state)
    if not orders:
        return []
    return [*(Cancel(order.client_id, is_conditional=False) for order in orders), SetTimer("resting", AGAIN_MS)]


def look_at_resting(state: State) -> list[Command]:
    """Take back what is due, once more."""
    return take_back(state) if any(_is_due(state, order) for order in resting(state)) else []


def take_back_rest(state: State, ended: Intent) -> list[Command]:
    """Take an entry back whose reducing leg has ended unfilled; it was to go behind that one."""
    if ended.price is None or _is_due(state, ended):
        return []
    return [
        Cancel(order.client_id, is_conditional=False)
        for order in resting(state)
        if order.decision == ended.decision and order.purpose is Purpose.ENTRY
    ]


def call_off(state: State) -> list[Command]:
    """Call the exchange's countdown off once nothing rests."""
    if not state.has_countdown or resting(state):
        return []
    state.has_countdown = False
    return [Countdown(0)]


def why_not_to_rest(state: State, intent: Intent) -> str | None:
    """Return why a limit order that is about to be sent has become pointless."""
    if _is_due(state, intent):
        return "its bar is over, or nothing is entered any more"
    before = [i for i in state.intents.values() if i.decision == intent.decision and i.purpose is Purpose.EXIT]
    if intent.purpose is Purpose.ENTRY and any(leg.state in _NOT_THERE for leg in before):
        return "the leg before it does not rest"
    return None


def _is_due(state: State, intent: Intent) -> bool:
    is_over = state.now_ms >= _end_ms(state, int(intent.decision))
    return is_over or state.is_stopped or state.held_bar is not None


def _end_ms(state: State, open_ms: int) -> int:
    """Return when the bar after the decided one ends."""
    return open_ms + 2 * state.conduct.bar_ms
