"""Fills, income and orders as they are told: each counts once, in whatever order and however often it comes."""

from rl_trader.live.commands import Command
from rl_trader.live.events import AccountSeen, FillSeen, IncomeSeen, OrderSeen
from rl_trader.live.guarding import guard
from rl_trader.live.intents import ZERO
from rl_trader.live.state import DAY_MS, State
from rl_trader.live.words import IntentState

TRANSFER = "TRANSFER"  # the exchange's word for what is deposited or withdrawn

_STATES = {  # the exchange's words, of orders and of conditional ones
    "NEW": IntentState.OPEN,
    "PARTIALLY_FILLED": IntentState.OPEN,
    "TRIGGERING": IntentState.OPEN,
    "TRIGGERED": IntentState.OPEN,
    "FILLED": IntentState.FILLED,
    "FINISHED": IntentState.ENDED,
    "CANCELED": IntentState.ENDED,
    "EXPIRED": IntentState.ENDED,
    "EXPIRED_IN_MATCH": IntentState.ENDED,
    "REJECTED": IntentState.REJECTED,
}


def book_fill(state: State, fill: FillSeen) -> None:
    """Book a trade, unless it is booked."""
    books = state.books
    if fill.trade_id in books.trade_ids:
        return
    state.changes.append(fill)
    books.trade_ids.add(fill.trade_id)
    books.booked += fill.realized - fill.commission
    books.filled += fill.amount
    if state.now_ms // DAY_MS != state.day:
        state.day, state.traded_today = state.now_ms // DAY_MS, ZERO
    state.traded_today += abs(fill.amount) * fill.price


def book_income(state: State, income: IncomeSeen) -> None:
    """Book what is no trade, unless it is booked."""
    key = (income.kind, income.tran_id)
    if key not in state.books.income_ids:
        state.changes.append(income)
        state.books.income_ids.add(key)
        state.books.booked += income.amount
        if income.kind == TRANSFER:
            state.transferred += income.amount


def see_order(state: State, order: OrderSeen) -> None:
    """Note where an order stands: executed amounts only grow, and an end stays an end."""
    intent = state.intents.get(order.client_id)
    found = _STATES.get(order.status)
    if intent is None or found is None:
        return
    executed = max(intent.executed, order.executed)
    order_id = intent.order_id or order.order_id
    if intent.state.is_over:
        state.keep(intent.moved(intent.state, executed=executed, order_id=order_id))
        return
    if intent.state is IntentState.PLANNED:  # told before the sending was noted
        intent = intent.moved(IntentState.SENT)
    state.keep(intent.moved(found, executed=executed, order_id=order_id))


def see_account(state: State, account: AccountSeen) -> list[Command]:
    """Take over what the exchange says of wallet and position, and let the stops follow."""
    books = state.books
    books.wallet_balance = account.wallet_balance
    books.amount, books.entry_price = account.amount, account.entry_price
    books.isolated_wallet = account.isolated_wallet
    state.note_equity()
    return guard(state) if state.is_reconciled else []
