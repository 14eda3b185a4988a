"""Orders that are changed or taken back.

Source: the API documentation of USD-M futures, "Modify Order", "Cancel Order", "Cancel All Open Orders" (read in
autumn 2026): only limit orders can be modified; a modified order goes to the end of the queue; one that is modified to
no more than is filled is cancelled, and so is a post-only one that would trade.
"""

from copy import copy
from decimal import Decimal
from typing import Final

from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.engine.bookings import end_order, tell_order
from rl_trader.local_exchange.engine.matching import match
from rl_trader.local_exchange.engine.orders import Amendment, Order
from rl_trader.local_exchange.engine.placing import check_order
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.engine.words import Execution, OrderType, Side, Status, TimeInForce
from rl_trader.local_exchange.refusal_texts import refused

MAX_AMENDMENTS: Final = 10_000  # of one order (maxMoveOrderLimit of exchangeInfo)

_WOULD_TRADE: Final = -5022


def find_order(trader: Trader, symbol: str, order_id: int | None, client_order_id: str | None) -> Order:
    """Return an order by its number, or else by its client order id.

    Raises:
        RefusedError: -1102 if neither is given, -2013 if there is no such order.
    """
    if order_id is None and client_order_id is None:
        raise refused(-1102, "orderId")
    order = trader.orders.get(order_id) if order_id is not None else None
    if order_id is None and client_order_id is not None:
        order = trader.order_by_client_id(symbol, client_order_id)
    if order is None or order.symbol != symbol:
        raise refused(-2013)
    return order


def cancel(state: State, trader: Trader, order: Order) -> None:
    """Take an open order back.

    Raises:
        RefusedError: -2011 if it is not open any more.
    """
    if not order.status.is_open:
        raise refused(-2011)
    end_order(state, trader, order, Status.CANCELED)


def cancel_all(state: State, trader: Trader, symbol: str) -> None:
    """Take back every open order of a symbol."""
    for order in trader.open_orders_of(symbol):
        cancel(state, trader, order)


@exact
def modify(
    state: State, trader: Trader, order: Order, side: Side, quantity: Decimal, price: Decimal, modify_id: int = 0
) -> None:
    """Give an open limit order another quantity and price.

    Args:
        state: Of the exchange.
        trader: Whose order.
        order: Which.
        side: As the order has it.
        quantity: In all, with what is filled.
        price: New or old.
        modify_id: What the caller calls the change.

    Raises:
        RefusedError: If the exchange would refuse it (-2013, -5025, -5026, -5027, and what a new order is refused for).
    """
    if not order.status.is_open:
        raise refused(-2013)
    if order.type is not OrderType.LIMIT or side is not order.side:
        raise refused(-5025) if order.type is not OrderType.LIMIT else refused(-1117)
    if (quantity, price) == (order.quantity, order.price):
        raise refused(-5027)
    if order.num_amendments >= MAX_AMENDMENTS:
        raise refused(-5026)
    if quantity <= order.executed:
        cancel(state, trader, order)
        return
    changed = copy(order)
    changed.quantity, changed.price = quantity, price
    try:
        check_order(state, trader, changed, besides=order)
    except RefusedError as refusal:
        if refusal.code == _WOULD_TRADE and order.time_in_force is TimeInForce.GTX:
            cancel(state, trader, order)
            return
        raise
    _note_amendment(state, trader, order, changed, modify_id)
    order.quantity, order.price, order.modify_id = quantity, price, modify_id
    order.num_amendments += 1
    order.update_ms = state.now_ms
    tell_order(state, trader, order, Execution.AMENDMENT)
    match(state, trader, order)


def _note_amendment(state: State, trader: Trader, order: Order, changed: Order, modify_id: int) -> None:
    trader.amendments.append(
        Amendment(
            amendment_id=len(trader.amendments) + 1,
            order_id=order.order_id,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            time_ms=state.now_ms,
            price_before=order.price,
            price_after=changed.price,
            quantity_before=order.quantity,
            quantity_after=changed.quantity,
            num_amendments=order.num_amendments + 1,
            modify_id=modify_id,
        )
    )


def expire_due(state: State, trader: Trader, symbol: str) -> None:
    """Let orders end whose good-till date has come."""
    for order in trader.open_orders_of(symbol):
        if order.time_in_force is TimeInForce.GTD and order.good_till_ms <= state.now_ms:
            end_order(state, trader, order, Status.EXPIRED)
