"""Fills, income and orders as they are told: each counts once, in whatever order and however often it comes."""

from dataclasses import replace

from rl_trader.live.core.commands import Command
from rl_trader.live.core.events import AccountSeen, FillSeen, IncomeSeen, OrderSeen
from rl_trader.live.core.guarding import guard
from rl_trader.live.core.intents import ZERO, Intent
from rl_trader.live.core.state import DAY_MS, State
from rl_trader.live.core.words import IntentState, Purpose

TRANSFERS = (  # the exchange's words for what is moved in or out
    "TRANSFER",
    "INTERNAL_TRANSFER",
    "CROSS_COLLATERAL_TRANSFER",
    "COIN_SWAP_DEPOSIT",
    "COIN_SWAP_WITHDRAW",
    "STRATEGY_UMFUTURES_TRANSFER",
)
FUNDING = "FUNDING_FEE"  # of income, and of events of the account

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


def book_fill(state: State, fill: FillSeen) -> Intent | None:
    """Book a trade, unless it is booked, or from before the ledger has begun; return the order that it fills, if any.

    Filled is an order whose last part was traded now, and not one that was known to be.
    """
    books = state.books
    if not books.is_open or fill.trade_id in books.trade_ids or fill.t_ms < books.opened_ms:
        return None
    state.changes.append(fill)
    books.trade_ids.add(fill.trade_id)
    books.booked += fill.realized - fill.fee
    books.filled += fill.amount
    if state.now_ms // DAY_MS != state.day:
        state.day, state.traded_today = state.now_ms // DAY_MS, ZERO
    state.traded_today += abs(fill.amount) * fill.price
    return _note_trade(state, fill)


def _note_trade(state: State, fill: FillSeen) -> Intent | None:
    """Note that a trade of an order was told; the exchange's lists of trades know its number alone."""
    known = state.intents.get(fill.client_id or "")
    if known is None:
        orders = (i for i in state.intents.values() if not i.purpose.is_conditional)  # whose numbers are others
        known = next((i for i in orders if i.order_id == fill.order_id), None)
    if known is None and fill.client_id is None:  # of one that is on its way, or unknown, or nobody's here
        _, before = state.strangers.get(fill.order_id, (0, ZERO))
        state.strangers[fill.order_id] = fill.t_ms, before + fill.amount
    if known is None or known.state is IntentState.PLANNED:
        return None
    after = _with_trade(known, fill)
    state.keep(after)
    return after if after.state is not known.state else None


def _with_trade(intent: Intent, fill: FillSeen) -> Intent:
    """Return an order with one more trade, which gives it a number; one that has traded all of its amount is filled."""
    traded = intent.traded + abs(fill.amount)
    if intent.purpose.is_conditional:
        return intent.moved(intent.state, traded=traded)
    is_filled = not intent.state.is_over and traded >= abs(intent.amount)
    return intent.moved(
        IntentState.FILLED if is_filled else intent.state,
        traded=traded,
        executed=max(intent.executed, traded),
        order_id=intent.order_id or fill.order_id,
    )


def book_income(state: State, income: IncomeSeen) -> None:
    """Book what is no trade, unless it is booked, or from before the ledger has begun."""
    books, key = state.books, (income.kind, income.tran_id)
    if not books.is_open or key in books.income_ids or income.t_ms < books.opened_ms:
        return
    state.changes.append(income)
    books.income_ids.add(key)
    books.booked += income.amount
    if income.kind in TRANSFERS:
        state.transferred += income.amount
    if income.kind == FUNDING:
        state.note_funding(income.t_ms, income.amount)


def see_order(state: State, order: OrderSeen) -> None:
    """Note where an order stands: executed amounts only grow, and an end that was told stays the end."""
    intent = state.intents.get(order.client_id)
    found = _STATES.get(order.status)
    _, strange = state.strangers.pop(order.order_id or 0, (0, ZERO))
    if intent is None or found is None:
        return
    if strange:
        intent = replace(intent, traded=intent.traded + abs(strange))
    executed = max(intent.executed, order.executed)
    if executed > intent.executed:
        intent = replace(intent, executed_ms=state.now_ms)
    order_id = intent.order_id or order.order_id
    if intent.state.is_over:
        is_shown_wrong = intent.state is IntentState.ABSENT and found.is_over
        state.keep(intent.moved(found if is_shown_wrong else intent.state, executed=executed, order_id=order_id))
        return
    if intent.state is IntentState.PLANNED:  # told before the sending was noted
        intent = intent.moved(IntentState.SENT)
    if intent.purpose is Purpose.STOP and found is IntentState.OPEN:
        state.num_unguarded = 0
    state.keep(intent.moved(found, executed=executed, order_id=order_id, num_queries=0))


def see_account(state: State, account: AccountSeen) -> list[Command]:
    """Take over what the exchange says of wallet and position, and let the stops follow; what is old says nothing."""
    books = state.books
    state.num_told += 1
    if account.t_ms < books.told_ms:
        return []
    books.told_ms = account.t_ms
    if account.reason == FUNDING:
        state.note_funding(account.t_ms, account.wallet_balance - books.wallet_balance)
    books.wallet_balance = account.wallet_balance
    if (account.amount, account.entry_price) != (books.amount, books.entry_price):
        books.liquidation_price = ZERO
    books.amount, books.entry_price = account.amount, account.entry_price
    books.isolated_wallet = account.isolated_wallet
    state.note_equity()
    return guard(state) if state.is_reconciled else []
