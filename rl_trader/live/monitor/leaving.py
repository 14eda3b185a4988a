"""The end of a trader: what becomes of the position.

``hold`` leaves it, with the stop that rests at the exchange, and is refused where there is no such stop. ``flatten``
closes it by an order that can only reduce, and waits until nothing is held and nothing is on its way. Whoever asks a
second time is not refused anything: the trader ends at once.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from rl_trader.live.core.state import State
from rl_trader.live.core.words import Purpose
from rl_trader.live.monitor.viewing import has_verified_stop, is_flat, is_protecting
from rl_trader.live.session import Session

STOP_WAIT_S: Final = 5.0  # for a stop that is being placed, or taken back
LOOK_S: Final = 0.1
REMIND_S: Final = 10.0  # between two sentences while the position is being closed

_CLOSING: Final = (Purpose.EXIT, Purpose.FLATTEN)


class OnExit(StrEnum):
    """What becomes of the position."""

    HOLD = "hold"
    FLATTEN = "flatten"


async def leave(session: Session, policy: OnExit, tell: Callable[[str], object]) -> bool:
    """Do what is to be done before the end; False if the trader must not end yet.

    Args:
        session: At work; it must go on while this waits.
        policy: What becomes of the position.
        tell: Told what happens.
    """
    assert session.trader is not None
    state = session.trader.core.state
    if policy is OnExit.FLATTEN:
        session.decide_no_more()
        await _flatten(session, state, tell)
        return True
    return await _hold(state, tell)


async def _hold(state: State, tell: Callable[[str], object]) -> bool:
    await _wait_for(lambda: has_verified_stop(state))
    if not has_verified_stop(state):
        tell(
            f"the position of {state.books.amount} must have a stop at the exchange to be left alone and has none; the"
            " trader goes on: press Ctrl-C once more to leave it so, or start with --on-exit flatten"
        )
        return False
    if state.books.amount:
        stop = state.intents[str(state.stop_id)]
        tell(f"ended; the position of {state.books.amount} stays, with its stop at {stop.trigger_price}")
    else:
        tell("ended; no position is held")
    return True


async def _wait_for(is_so: Callable[[], bool]) -> None:
    """Wait a little for what is about to be."""
    waited_s = 0.0
    while not is_so() and waited_s < STOP_WAIT_S:
        await asyncio.sleep(LOOK_S)
        waited_s += LOOK_S


async def _flatten(session: Session, state: State, tell: Callable[[str], object]) -> None:
    tell(f"closing the position of {state.books.amount} before the end; Ctrl-C once more ends at once")
    waited_s = 0.0
    while not is_flat(state):
        is_closing = any(intent.purpose in _CLOSING for intent in state.working())
        if state.is_reconciled and state.books.amount and not is_closing:
            session.close_position()
        await asyncio.sleep(LOOK_S)
        waited_s += LOOK_S
        if waited_s >= REMIND_S:
            waited_s = 0.0
            tell(f"the position is still {state.books.amount}; Ctrl-C once more ends at once")
    await _wait_for(lambda: not any(is_protecting(intent) for intent in state.intents.values()))
    tell("ended; no position is held")
