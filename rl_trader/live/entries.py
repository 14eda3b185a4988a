"""From a step of the core to an entry of the journal: the event, and what it has changed, as rows.

Trades and income are booked by double entry: what the wallet gains, its source gives.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from rl_trader.live.core.codec import encode
from rl_trader.live.core.events import USDT, Event, FillSeen, IncomeSeen
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import Change, Cleared, Latched, State
from rl_trader.live.core.words import IntentState, Purpose
from rl_trader.live.journal.rows import (
    ClearedStopRow,
    FillRow,
    IncomeRow,
    IntentRow,
    IntentStateRow,
    NewEvent,
    PostingRow,
    RiskStopRow,
    Row,
)

ORDER_TYPES: Final = {Purpose.STOP: "STOP_MARKET", Purpose.TAKE_PROFIT: "TAKE_PROFIT_MARKET"}


def entry(event: Event, state: State, session_ms: int, latched: Sequence[int]) -> NewEvent:
    """Return the journal's entry of a step that has just been taken.

    Args:
        event: Which was taken.
        state: After it.
        session_ms: On this process's clock.
        latched: Numbers of the events that came with stops which nobody has cleared.
    """
    rows: list[Row] = []
    for change in state.changes:
        rows += _rows(change, event, state, latched)
    return NewEvent(
        source="core",
        kind=type(event).__name__,
        session_ms=session_ms,
        exchange_ms=event.t_ms,
        body=encode(event),
        rows=tuple(rows),
    )


def _rows(change: Change, event: Event, state: State, latched: Sequence[int]) -> list[Row]:
    match change:
        case Intent():
            is_new = change.state is IntentState.PLANNED
            return [_intent_row(change, state)] if is_new else [_state_row(change)]
        case FillSeen():
            return _fill_rows(change, event, state)
        case IncomeSeen():
            return _income_rows(change, state)
        case Latched():
            return [RiskStopRow(kind=change.kind.value, reason=change.reason, by="trader")]
        case Cleared():
            return [ClearedStopRow(stop_seq=number, by=change.by, reason=change.reason) for number in latched]


def _intent_row(intent: Intent, state: State) -> IntentRow:
    is_conditional = intent.purpose.is_conditional
    return IntentRow(
        client_order_id=intent.client_id,
        symbol=state.conduct.symbol,
        decision=intent.decision,
        leg=intent.leg,
        attempt=intent.attempt,
        purpose=intent.purpose.value,
        side=intent.side,
        order_type=ORDER_TYPES.get(intent.purpose, "MARKET" if intent.price is None else "LIMIT"),
        quantity=None if is_conditional else abs(intent.amount),
        price=intent.price,
        trigger_price=intent.trigger_price,
        reduce_only=not intent.purpose.adds_exposure,
        algo=is_conditional,
        state=intent.state.value,
    )


def _state_row(intent: Intent) -> IntentStateRow:
    return IntentStateRow(
        client_order_id=intent.client_id,
        state=intent.state.value,
        order_id=intent.order_id,
        executed=intent.executed,
        sent_ms=intent.sent_ms or None,
        fence_ms=intent.fence_ms or None,
        reason=intent.reason,
    )


def _fill_rows(fill: FillSeen, event: Event, state: State) -> list[Row]:
    row = FillRow(
        symbol=state.conduct.symbol,
        trade_id=fill.trade_id,
        order_id=fill.order_id,
        client_order_id=fill.client_id,
        side="BUY" if fill.amount > 0 else "SELL",
        quantity=abs(fill.amount),
        price=fill.price,
        commission=fill.commission,
        commission_asset=fill.commission_asset,
        realized_pnl=fill.realized,
        time_ms=fill.t_ms,
        source=type(event).__name__,
    )
    key = f"trade:{state.conduct.symbol}:{fill.trade_id}"
    legs = (
        ("wallet", fill.realized - fill.fee),
        ("realized_pnl", -fill.realized),
        ("commission", fill.fee),
    )
    return [row, *_postings(key, legs, fill.t_ms), *_other_fee(key, fill)]


def _other_fee(key: str, fill: FillSeen) -> list[Row]:
    """Return the postings of a fee that was paid in another asset than the wallet's."""
    if fill.commission_asset == USDT:
        return []
    legs = (("wallet", -fill.commission), ("commission", fill.commission))
    return _postings(f"{key}:fee", legs, fill.t_ms, fill.commission_asset)


def _income_rows(income: IncomeSeen, state: State) -> list[Row]:
    row = IncomeRow(
        income_type=income.kind,
        tran_id=income.tran_id,
        symbol=state.conduct.symbol,
        asset=USDT,
        amount=income.amount,
        time_ms=income.t_ms,
    )
    key = f"income:{income.kind}:{income.tran_id}"
    legs = (("wallet", income.amount), (income.kind.lower(), -income.amount))
    return [row, *_postings(key, legs, income.t_ms)]


def _postings(key: str, legs: tuple[tuple[str, Decimal], ...], time_ms: int, asset: str = USDT) -> list[Row]:
    return [
        PostingRow(key=key, leg=number, account=account, asset=asset, amount=amount, time_ms=time_ms)
        for number, (account, amount) in enumerate(legs)
    ]
