"""Orders that count as never accepted are asked for again, for a day: an exchange may have forgotten one for a while.

One that is found all the same ends the entries (:func:`rl_trader.live.core.answering.see`).
"""

from typing import Final

from rl_trader.live.core.commands import Command, Query, SetTimer
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import MINUTE_MS, State

AGAIN_MS: Final = (MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 60 * MINUTE_MS, 24 * 60 * MINUTE_MS)
"""After which it is asked for, from when on it counts as never accepted."""


def bury(state: State, intent: Intent) -> list[Command]:
    """Have an order asked for again that counts as never accepted from now on, unless it protects alone."""
    if intent.purpose.is_conditional:
        return []
    state.tombstones = {key: since for key, since in state.tombstones.items() if state.now_ms - since < AGAIN_MS[-1]}
    state.tombstones[intent.client_id] = state.now_ms
    return _next(state, intent.client_id)


def look_again(state: State, intent: Intent) -> list[Command]:
    """Ask for a buried order, and have it asked for again later."""
    client_id = intent.client_id
    if client_id not in state.tombstones:
        return []
    commands = _next(state, client_id)
    if not commands:
        del state.tombstones[client_id]
    return [Query(client_id, is_conditional=False), *commands]


def remember(state: State) -> list[Command]:
    """Go on after a start; what was due meanwhile is asked for at once."""
    return [SetTimer(f"tombstone {client_id}", _wait_ms(state, client_id) or 0) for client_id in state.tombstones]


def _next(state: State, client_id: str) -> list[Command]:
    wait_ms = _wait_ms(state, client_id)
    return [] if wait_ms is None else [SetTimer(f"tombstone {client_id}", wait_ms)]


def _wait_ms(state: State, client_id: str) -> int | None:
    """Return the time until an order is due again; None if it is no more."""
    age_ms = state.now_ms - state.tombstones[client_id]
    return next((again_ms - age_ms for again_ms in AGAIN_MS if again_ms > age_ms), None)
