"""What has been seen of the trader since it was started, as far as its state does not keep it: event by event.

A record watches (:data:`rl_trader.live.trader.Watcher`): it changes nothing, and a fault of its own is counted and
goes no further.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rl_trader.live.core.events import Answered, BarClosed, Decided, Event, Sending
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import Change, Cleared, Latched, State
from rl_trader.live.monitor.curve import Curve
from rl_trader.live.monitor.view import AlertView, DecisionView, OrderView

MOST_DECISIONS: Final = 50
MOST_ORDERS: Final = 50
MOST_ALERTS: Final = 50

_log = logging.getLogger(__name__)


class Record:
    """What has been seen.

    Args:
        bar_ms: Length of a bar.
        machine_ms: This machine's clock, in milliseconds with a fraction.
        hide: Takes out of a text what must not be seen.
    """

    def __init__(self, bar_ms: int, machine_ms: Callable[[], float], hide: Callable[[str], str]) -> None:
        self._bar_ms = bar_ms
        self._machine_ms = machine_ms
        self.hide = hide
        self._begun: dict[str, float] = {}  # when an order was journalled, on the machine's clock
        self._orders: dict[str, OrderView] = {}  # by client id, oldest first
        self.curve = Curve()
        self.decisions: deque[DecisionView] = deque(maxlen=MOST_DECISIONS)  # newest first
        self.alerts: deque[AlertView] = deque(maxlen=MOST_ALERTS)  # newest first
        self.stopped_ms: int | None = None  # when what stops the trader has happened
        self.num_faults = 0

    def watch(self, event: Event, state: State) -> None:
        """Take note of an event and of the state after it."""
        try:
            self._note(event, state)
        except Exception:  # whatever a person cannot see, the trader goes on
            self.note_fault("an event could not be noted for those who watch")

    def note_fault(self, text: str) -> None:
        """Count something that could not be shown; called where it was caught."""
        self.num_faults += 1
        _log.warning(text, exc_info=True)

    def note_alert(self, t_ms: int, text: str) -> None:
        """Take note of what a person is told."""
        self.alerts.appendleft(AlertView(t_ms=t_ms, text=self.hide(text)))

    def order(self, intent: Intent) -> OrderView:
        """Return an order as it was watched; one that is too long ago, as it stands."""
        return self._orders.get(intent.client_id) or self._view(intent, intent.sent_ms)

    def last_orders(self) -> tuple[OrderView, ...]:
        """Return the orders, newest first."""
        return tuple(reversed(self._orders.values()))

    def _note(self, event: Event, state: State) -> None:
        for change in state.changes:
            self._note_change(change, event.t_ms)
        match event:
            case Sending():
                self._note_sending(event, state)
            case Answered():
                self._note_answer(event)
            case Decided():
                self._note_decision(event)
        if isinstance(event, BarClosed) and state.is_reconciled:  # else the mark price may be an old one
            self.curve.add(state.now_ms, float(state.books.equity(state.mark_price)))

    def _note_change(self, change: Change, t_ms: int) -> None:
        match change:
            case Intent():
                self._note_order(change, t_ms)
            case Latched():
                self.stopped_ms = t_ms
            case Cleared():
                self.stopped_ms = None

    def _note_order(self, intent: Intent, t_ms: int) -> None:
        known = self._orders.get(intent.client_id)
        if known is None:
            self._begun[intent.client_id] = self._machine_ms()
            known = self._view(intent, t_ms)
        now = self._view(intent, known.t_ms)
        self._orders[intent.client_id] = replace(now, latency_ms=known.latency_ms, after_close_ms=known.after_close_ms)
        while len(self._orders) > MOST_ORDERS:
            oldest = next(iter(self._orders))
            del self._orders[oldest]
            self._begun.pop(oldest, None)

    def _note_sending(self, event: Sending, state: State) -> None:
        decided = state.intents[event.client_id].decision
        if decided.isdecimal() and event.client_id in self._orders:  # the bar's open time
            after_close_ms = event.t_ms - (int(decided) + self._bar_ms)
            if after_close_ms >= 0:  # an exchange that replays faster than its clock goes tells nothing
                self._change(event.client_id, after_close_ms=after_close_ms)

    def _note_answer(self, event: Answered) -> None:
        begun = self._begun.pop(event.client_id, None)
        if begun is not None and event.client_id in self._orders:
            self._change(event.client_id, latency_ms=round(self._machine_ms() - begun, 1))

    def _change(self, client_id: str, **changes: float) -> None:
        self._orders[client_id] = replace(self._orders[client_id], **changes)  # type: ignore[arg-type]

    def _note_decision(self, event: Decided) -> None:
        decision = DecisionView(
            t_ms=event.t_ms,
            open_ms=event.open_ms,
            action=event.action,
            target=event.target,
            reduce_amount=event.reduce_amount,
            open_amount=event.open_amount,
            fault=self.hide(event.fault),
        )
        self.decisions.appendleft(decision)

    def _view(self, intent: Intent, t_ms: int) -> OrderView:
        """Return an order as it stands, which was journalled at a time."""
        return OrderView(
            client_id=intent.client_id,
            t_ms=t_ms,
            purpose=intent.purpose.value,
            side=intent.side,
            amount=intent.amount,
            trigger_price=intent.trigger_price,
            state=intent.state.value,
            executed=intent.executed,
            reason=self.hide(intent.reason),
        )
