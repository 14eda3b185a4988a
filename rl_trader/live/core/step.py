"""The trader's core: an event comes in, the state changes, commands come out.

It has no clock, no chance and no input or output: the same events give the same state and the same commands, so that
the journal of the events is the trader's memory.
"""

from collections.abc import Callable, Mapping
from typing import Final

from rl_trader.klines import utc
from rl_trader.live.core.answering import answer, ask, ask_for_trades, note_query, note_sending, see, see_fill
from rl_trader.live.core.baring import close_bare, watch_bare
from rl_trader.live.core.bookkeeping import book_income, see_account
from rl_trader.live.core.commands import Alert, Command, ReadAccount, SetTimer
from rl_trader.live.core.deciding import Gate, close_bar, decide, go_on, revise_bar, skip_bar
from rl_trader.live.core.events import (
    AccountSeen,
    AllCancelled,
    Answered,
    ArmedUntil,
    Banned,
    BarClosed,
    BarRevised,
    BarSkipped,
    Decided,
    Event,
    FillSeen,
    IncomeSeen,
    MarketSeen,
    OrderSeen,
    Queried,
    Resumed,
    Sending,
    SettingsSeen,
    Snapshot,
    SnapshotFailed,
    Started,
    StopAsked,
    Suspended,
    SymbolSeen,
    TimerFired,
)
from rl_trader.live.core.guarding import flatten, guard
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.reconciling import fail, reconcile, start, suspend
from rl_trader.live.core.resting import call_off, look_at_resting, watch_on
from rl_trader.live.core.settings import read_settings, read_symbol, see_settings, see_symbol
from rl_trader.live.core.state import State
from rl_trader.live.core.stopping import resume, stop, watch_loss
from rl_trader.live.core.tombstones import look_again
from rl_trader.live.core.words import StopKind


class Core:
    """The core with its state.

    Args:
        state: Where it stands; changed by every step.
        gate: Says which orders must not go.
    """

    def __init__(self, state: State, gate: Gate) -> None:
        self.state = state
        self._gate = gate

    def step(self, event: Event) -> list[Command]:
        """Let an event happen, and return what is to be done."""
        state = self.state
        state.now_ms = max(state.now_ms, event.t_ms)
        state.changes.clear()
        commands = [*self._take(event), *watch_loss(state)]
        return [*commands, *go_on(state), *call_off(state), *watch_bare(state)]

    def _take(self, event: Event) -> list[Command]:  # noqa: C901 - one line an event
        state, gate = self.state, self._gate
        match event:
            case Started():
                return start(state, event)
            case Snapshot():
                return reconcile(state, event, gate)
            case SnapshotFailed():
                return fail(state, event)
            case Suspended():
                return suspend(state, event)
            case FillSeen():
                state.num_told += 1
                state.untold.pop(event.trade_id, None)
                commands = see_fill(state, event, gate)
                state.note_equity()
                return commands
            case IncomeSeen():
                book_income(state, event)
                state.note_equity()
                return []
            case OrderSeen():
                return see(state, event, gate)
            case AccountSeen():
                return see_account(state, event)
            case Sending():
                return note_sending(state, event)
            case Answered():
                return answer(state, event, gate)
            case AllCancelled():
                state.all_cancelled_ms = event.t_ms
                return []
            case Queried():
                return note_query(state, event, gate)
            case BarClosed():
                return close_bar(state, event)
            case BarSkipped():
                return skip_bar(state, event)
            case BarRevised():
                return revise_bar(state, event)
            case SettingsSeen():
                return see_settings(state, event)
            case SymbolSeen():
                return see_symbol(state, event)
            case Banned():
                state.banned_until_ms = max(state.banned_until_ms, event.until_ms)
                return [Alert(f"the exchange has banned this address until {utc(event.until_ms)}")]
            case Decided():
                return decide(state, event, gate)
            case TimerFired():
                return _fire(state, event)
            case MarketSeen():
                return _see_market(state, event)
            case StopAsked():
                return stop(state, event)
            case Resumed():
                return resume(state, event)
            case ArmedUntil():
                state.armed_until_ms = event.until_ms
                return []


def _fire(state: State, event: TimerFired) -> list[Command]:
    name, _, client_id = event.name.partition(" ")
    if name in _TIMERS_OF_ORDERS:
        intent = state.intents.get(client_id)
        return [] if intent is None else _TIMERS_OF_ORDERS[name](state, intent)
    return _TIMERS[name](state) if name in _TIMERS else []


def _poll(state: State) -> list[Command]:
    """Read the account again and again: what no event tells is found by that."""
    commands: list[Command] = [SetTimer("poll", state.conduct.poll_ms)]
    if state.is_reading:
        state.reads_again = True  # what has happened since it was begun may not be in it
    else:
        state.is_reading = True
        commands.append(ReadAccount("the timer"))
    return commands


def _see_market(state: State, event: MarketSeen) -> list[Command]:
    state.is_market_alive = event.is_alive
    if event.mark_price:
        state.mark_price, state.mark_ms = event.mark_price, event.t_ms
    state.note_equity()
    if state.stop_kind is StopKind.KILL and event.is_alive:
        return flatten(state, state.stop_reason)
    return []


def _guard(state: State) -> list[Command]:
    return guard(state) if state.is_reconciled else []


def _flatten(state: State) -> list[Command]:
    return flatten(state, state.stop_reason or "an order to close it has ended")


def _read_symbol(state: State) -> list[Command]:
    return read_symbol(state, "the timer")


_TIMERS: Final[Mapping[str, Callable[[State], list[Command]]]] = {
    "poll": _poll,
    "settings": read_settings,
    "symbol": _read_symbol,
    "resting": look_at_resting,
    "countdown": watch_on,
    "guard": _guard,
    "bare": close_bare,
    "flatten": _flatten,
}
_TIMERS_OF_ORDERS: Final[Mapping[str, Callable[[State, Intent], list[Command]]]] = {
    "query": ask,
    "told": ask_for_trades,
    "tombstone": look_again,
}
