"""Puts together what a person sees, out of the core's state, the session's condition and what was watched."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from rl_trader.live.condition import Condition
from rl_trader.live.core.intents import ZERO, Intent
from rl_trader.live.core.risk import Performance
from rl_trader.live.core.state import State
from rl_trader.live.core.words import IntentState, StopKind
from rl_trader.live.monitor.margin_figures import MarginFigures
from rl_trader.live.monitor.record import Record
from rl_trader.live.monitor.view import AccountView, HealthView, StopView, View
from rl_trader.live.session import SessionSetup

NUM_ORDERS: Final = 20  # of the last ones that are shown

_CENT: Final = Decimal("0.00000001")  # USDT, of the exchange's books


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the process knows of itself."""

    started_ms: int
    loop_lag_ms: float


class Viewer:
    """Makes the views of one session.

    Args:
        setup: What is deployed.
        record: Of what was watched.
    """

    def __init__(self, setup: SessionSetup, record: Record) -> None:
        self._setup = setup
        self._record = record
        self._margin = MarginFigures(setup.deployment)

    def view(self, state: State, condition: Condition, measured: Measured) -> View:
        """Return what is to be seen now."""
        deployment, record = self._setup.deployment, self._record
        points = record.curve.points()
        return View(
            run=deployment.name,
            mode=self._setup.venue.name.value,
            symbol=deployment.symbol,
            interval=deployment.interval,
            epoch=state.epoch,
            started_ms=measured.started_ms,
            time_ms=condition.now_ms,
            phase=_phase(state, condition),
            armed_until_ms=state.armed_until_ms,
            account=self._account(state, condition),
            decisions=tuple(record.decisions),
            open_orders=tuple(record.order(intent) for intent in state.working()),
            open_stops=tuple(record.order(i) for i in state.intents.values() if is_protecting(i)),
            last_orders=record.last_orders()[:NUM_ORDERS],
            health=_health(state, condition, measured, record.num_faults),
            stop=self._stop(state),
            curve_ms=tuple(point.t_ms for point in points),
            curve_equity=tuple(point.equity for point in points),
            alerts=tuple(record.alerts),
        )

    def _account(self, state: State, condition: Condition) -> AccountView | None:
        books = state.books
        mark = condition.mark_price or state.mark_price
        if not books.is_open or not mark:
            return None
        equity, margin = books.equity(mark), self._margin.of(books, float(mark))
        performance = performance_at(state, mark, condition.now_ms)
        return AccountView(
            equity=equity.quantize(_CENT),
            wallet_balance=books.wallet_balance,
            amount=books.amount,
            entry_price=books.entry_price,
            mark_price=mark,
            unrealized_pnl=(equity - books.wallet_balance).quantize(_CENT),
            exposure=float(books.amount * mark / equity) if equity > 0 else 0.0,
            margin_ratio=margin.ratio,
            liquidation_price=margin.liquidation_price,
            day_pnl=performance.day_pnl.quantize(_CENT),
            drawdown=float(performance.drawdown) if performance.day >= 0 else 0.0,
        )

    def _stop(self, state: State) -> StopView | None:
        if state.stop_kind is None:
            return None
        reason = self._record.hide(state.stop_reason)
        return StopView(kind=state.stop_kind.value, reason=reason, since_ms=self._record.stopped_ms)


def performance_at(state: State, mark_price: Decimal, now_ms: int) -> Performance:
    """Return profit of the day and of all time at a mark price, as the gate counts them.

    They are the ledger's: a wallet tells what was moved in or out before its booking does. While trades of the position
    are not told, they stay what they were.
    """
    books, done = state.books, state.performance
    if done.day < 0 or not state.is_reconciled or books.filled != books.amount:
        return done
    return done.noted(now_ms, books.ledger_equity(mark_price), state.transferred)


def _phase(state: State, condition: Condition) -> str:
    if state.stop_kind is not None:
        return "KILLED" if state.stop_kind is StopKind.KILL else "HALTED"
    is_ready = state.is_reconciled and state.is_market_alive and condition.is_user_stream_up and not state.unknown()
    return "TRADING" if is_ready else "WAITING"


def _health(state: State, condition: Condition, measured: Measured, num_faults: int) -> HealthView:
    consistent_ms = state.consistent_ms
    return HealthView(
        is_market_alive=state.is_market_alive,
        is_user_stream_up=condition.is_user_stream_up,
        is_reconciled=state.is_reconciled,
        reconciled_age_ms=max(condition.now_ms - consistent_ms, 0) if consistent_ms else None,
        failed_readings=state.num_failures,
        unknown_orders=len(state.unknown()),
        clock_error_ms=condition.clock_error_ms,
        weight_used=condition.weight_used,
        weight_limit=condition.weight_limit,
        loop_lag_ms=measured.loop_lag_ms,
        monitor_faults=num_faults,
    )


def is_protecting(intent: Intent) -> bool:
    """Return whether an order is a protective one that is not over."""
    return intent.purpose.is_conditional and not intent.state.is_over


def has_verified_stop(state: State) -> bool:
    """Return whether the exchange is known to have the stop of the position that is held, or there is no position."""
    if not state.books.amount:
        return True
    stop = state.intents.get(state.stop_id or "")
    return state.is_reconciled and stop is not None and stop.state is IntentState.OPEN


def is_flat(state: State) -> bool:
    """Return whether nothing is held and nothing can come of what was sent."""
    return state.is_reconciled and state.books.amount == ZERO and not state.working() and not state.waiting
