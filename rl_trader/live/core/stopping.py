"""No more entries, or out: latched until a person clears it."""

from rl_trader.live.core.commands import Alert, Cancel, Command
from rl_trader.live.core.events import Resumed, StopAsked
from rl_trader.live.core.guarding import flatten
from rl_trader.live.core.resting import take_back
from rl_trader.live.core.risk import why_day_lost
from rl_trader.live.core.state import Cleared, State
from rl_trader.live.core.words import StopKind


def halt(state: State, reason: str) -> list[Command]:
    """Enter no more until a person clears it; what is there stays, with its stop."""
    if state.is_stopped:
        return []
    state.latch(StopKind.HALT, reason)
    return [Alert(f"halted: {reason}"), *take_back(state)]


def watch_loss(state: State) -> list[Command]:
    """Stop once the day's loss is as large as it may be: until a person resumes, and until the next day in any case."""
    day = state.performance.day
    if state.caps is None or day < 0 or state.lost_day == day:
        return []
    if (why := why_day_lost(state.caps, state.performance)) is None:
        return []
    state.lost_day = day
    return halt(state, why)


def stop(state: State, event: StopAsked) -> list[Command]:
    """Do what somebody asks for; a kill ends what is working and closes the position."""
    if event.kind != StopKind.KILL:
        return halt(state, f"{event.reason} (by {event.by})")
    if state.stop_kind is StopKind.KILL:
        return []
    state.latch(StopKind.KILL, f"{event.reason} (by {event.by})")
    state.deciding_ms = None
    commands: list[Command] = [Alert(f"killed: {state.stop_reason}")]
    commands += [Cancel(order.client_id, is_conditional=False) for order in state.working() if order.price is None]
    return [*commands, *take_back(state), *flatten(state, "killed")]


def resume(state: State, event: Resumed) -> list[Command]:
    """Enter again; the counts that ended it begin anew."""
    state.stop_kind, state.stop_reason = None, ""
    state.changes.append(Cleared(reason=event.reason, by=event.by))
    state.holds = state.refusals = 0
    state.looked_at, state.foreign = state.foreign, []
    return [Alert(f"resumed: {event.reason} (by {event.by})")]
