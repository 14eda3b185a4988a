"""A position for which no stop can be placed, whatever the reason: it is closed, and nothing is entered any more."""

from typing import Final

from rl_trader.live.core.commands import Command, SetTimer
from rl_trader.live.core.guarding import flatten, is_bare
from rl_trader.live.core.state import State
from rl_trader.live.core.stopping import halt

BARE_MS: Final = 15_000  # for which a stop is tried to be placed; after a ban anew
AGAIN_MS: Final = 2_000  # until it is looked at whether the position is closed


def watch_bare(state: State) -> list[Command]:
    """Note since when the position is without a stop, and have it looked at in time."""
    if not state.is_reconciled or not is_bare(state):
        state.bare_since_ms = None
        return []
    if state.bare_since_ms is not None:
        return []
    state.bare_since_ms = state.now_ms
    return [SetTimer("bare", BARE_MS)]


def close_bare(state: State) -> list[Command]:
    """Close a position that has been without a stop for too long."""
    if state.bare_since_ms is None:
        return []
    left_ms = max(state.bare_since_ms, state.banned_until_ms) + BARE_MS - state.now_ms
    if left_ms > 0:
        return [SetTimer("bare", left_ms)]
    why = f"for {BARE_MS // 1000} s no stop could be placed"
    return [*halt(state, why), *flatten(state, why), SetTimer("bare", AGAIN_MS)]
