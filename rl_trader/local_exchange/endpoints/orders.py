"""Orders: placed, tried, changed, cancelled and asked for.

Sources: the API documentation of USD-M futures, "New Order", "Test Order", "Modify Order", "Cancel Order", "Query
Order", "All Orders", "Auto-Cancel All Open Orders" (read in autumn 2026). The default answer, ACK, is the order as it
was accepted, even where it filled at once; RESULT is what became of it. That RESULT says so of orders which may rest
as well is an assumption.
"""

from collections.abc import Callable
from typing import Final

from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.endpoints.each_symbol import weight_of_each
from rl_trader.local_exchange.endpoints.order_answers import (
    Answer,
    acknowledged,
    listed_order,
    modified_order,
    placed_order,
    queried_order,
    tested_order,
)
from rl_trader.local_exchange.endpoints.order_parameters import (
    ACK,
    ANY_SYMBOL,
    MODIFY_ORDER,
    NEW_ORDER,
    ORDER_IDS,
    SYMBOL,
    limit_price,
    order_request,
)
from rl_trader.local_exchange.endpoints.windows import MS_PER_DAY, QUARTER_MS, TIMES, limit, numbered
from rl_trader.local_exchange.engine.changing import cancel, cancel_all, find_order, modify
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.engine.placing import checked_order, matched_price, place
from rl_trader.local_exchange.engine.words import OrderType, PriceMatch, Side, Status
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter, Security, Weight
from rl_trader.local_exchange.refusal_texts import refused

UNFILLED_KEPT_MS: Final = 3 * MS_PER_DAY  # how long an order without a fill is remembered once it has ended
ONE_ORDER: Final = (1, 1)  # of the budgets of 10 seconds and of a minute
ALL_CANCELLED: Final = "The operation of cancel all open order is done."

_DONE: Final = 200
_NO_SUCH_ORDER: Final = -2013
_ENDED_UNFILLED: Final = (Status.CANCELED, Status.EXPIRED, Status.EXPIRED_IN_MATCH)


def place_order(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/order`` and ``order.place``."""
    order = place(call.venue.exchange.state, call.trader, order_request(call))
    return placed_order(call, acknowledged(order) if call.text("newOrderRespType") == ACK else order)


def test_order(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/order/test``: what a new order would be accepted as or refused for."""
    return tested_order(call, checked_order(call.venue.exchange.state, call.trader, order_request(call)))


@exact
def modify_order(call: Call) -> Answer:
    """Answer ``PUT /fapi/v1/order`` and ``order.modify``.

    Raises:
        RefusedError: -5047 where ``reduceOnly`` is sent of an order that is not; -4164 where it is not sent of one that
            is, and that would be too small otherwise; and what the engine refuses.
    """
    order, state = known_order(call), call.venue.exchange.state
    quotes, side = state.quotes[order.symbol], Side(call.text("side"))
    if order.status.is_open and order.type is not OrderType.LIMIT:
        raise refused(-5025)
    price, quantity = limit_price(call), call.decimal("quantity")
    if price is None:
        price = matched_price(state, quotes, side, PriceMatch(call.text("priceMatch")))
    if call.truth("reduceOnly"):
        if not order.reduce_only:
            raise refused(-5047)
    elif order.reduce_only and order.executed < quantity and quantity * price < quotes.terms.min_notional:
        raise refused(-4164, f"{quotes.terms.min_notional:f}")
    modify(state, call.trader, order, side, quantity, price, call.whole("modifyId"))
    return modified_order(call, order)


def cancel_order(call: Call) -> Answer:
    """Answer ``DELETE /fapi/v1/order`` and ``order.cancel``.

    Raises:
        RefusedError: -2011 for an order that is not open or that there never was.
    """
    try:
        order = known_order(call)
    except RefusedError as refusal:
        raise refused(-2011) if refusal.code == _NO_SUCH_ORDER else refusal from None
    cancel(call.venue.exchange.state, call.trader, order)
    return placed_order(call, order)


def cancel_open_orders(call: Call) -> Answer:
    """Answer ``DELETE /fapi/v1/allOpenOrders``; conditional orders stay."""
    cancel_all(call.venue.exchange.state, call.trader, call.text("symbol"))
    return {"code": _DONE, "msg": ALL_CANCELLED}


def set_countdown(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/countdownCancelAll``."""
    symbol, countdown_ms = call.text("symbol"), call.whole("countdownTime")
    call.venue.set_countdown(call.trader, symbol, countdown_ms)
    return {"symbol": symbol, "countdownTime": str(countdown_ms)}


def query_order(call: Call) -> Answer:
    """Answer ``GET /fapi/v1/order`` and ``order.status``."""
    return queried_order(call, known_order(call))


def query_open_order(call: Call) -> Answer:
    """Answer ``GET /fapi/v1/openOrder``.

    Raises:
        RefusedError: -2013 for an order that is not open.
    """
    order = known_order(call)
    if not order.status.is_open:
        raise refused(_NO_SUCH_ORDER)
    return queried_order(call, order)


def open_orders(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/openOrders``: the oldest first."""
    symbol = call.maybe_text("symbol")
    orders = call.trader.open_orders.values()
    return [queried_order(call, order) for order in orders if symbol is None or order.symbol == symbol]


def all_orders(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/allOrders``."""
    symbol = call.maybe_text("symbol")
    orders = [
        order
        for order in call.trader.orders.values()
        if (symbol is None or order.symbol == symbol) and _is_remembered(call, order)
    ]
    found = numbered(call, "orderId", orders, lambda order: order.order_id, lambda order: order.time_ms)
    return [listed_order(call, order) for order in found]


def known_order(call: Call) -> Order:
    """Return the order that ``orderId`` or else ``origClientOrderId`` names.

    Raises:
        RefusedError: -1102 if neither is sent, -2013 if there is no such order or it is forgotten.
    """
    order = find_order(
        call.trader, call.text("symbol"), call.maybe_whole("orderId"), call.maybe_text("origClientOrderId")
    )
    if not _is_remembered(call, order):
        raise refused(_NO_SUCH_ORDER)
    return order


def _is_remembered(call: Call, order: Order) -> bool:
    if order.status.is_open:
        return True
    is_unfilled = order.status in _ENDED_UNFILLED and not order.executed
    return call.venue.market_ms() - order.time_ms <= (UNFILLED_KEPT_MS if is_unfilled else QUARTER_MS)


def _trade(
    method: str,
    path: str,
    answer: Callable[[Call], object],
    weight: Weight,
    parameters: tuple[Parameter, ...],
    order_count: tuple[int, int] = (0, 0),
) -> Endpoint:
    return Endpoint(
        method=method,
        path=path,
        answer=answer,
        security=Security.TRADE,
        weight=weight,
        order_count=order_count,
        parameters=parameters,
    )


def _query(path: str, answer: Callable[[Call], object], weight: Weight, *parameters: Parameter) -> Endpoint:
    return Endpoint(
        method="GET" if path.startswith("/") else "",
        path=path,
        answer=answer,
        security=Security.USER_DATA,
        weight=weight,
        parameters=parameters,
    )


_ALL_ORDERS: Final = (ANY_SYMBOL, Parameter("orderId", Kind.WHOLE), *TIMES, limit(500, 1000))
_COUNTDOWN: Final = (SYMBOL, Parameter("countdownTime", Kind.WHOLE, is_required=True, least=0))

ORDER_ENDPOINTS: Final = (
    _trade("POST", "/fapi/v1/order", place_order, 0, NEW_ORDER, ONE_ORDER),
    _trade("POST", "/fapi/v1/order/test", test_order, 0, NEW_ORDER),
    _trade("PUT", "/fapi/v1/order", modify_order, 0, MODIFY_ORDER, ONE_ORDER),
    _trade("DELETE", "/fapi/v1/order", cancel_order, 1, ORDER_IDS),
    _trade("DELETE", "/fapi/v1/allOpenOrders", cancel_open_orders, 1, (SYMBOL,)),
    _trade("POST", "/fapi/v1/countdownCancelAll", set_countdown, 10, _COUNTDOWN),
    _query("/fapi/v1/order", query_order, 1, *ORDER_IDS),
    _query("/fapi/v1/openOrder", query_open_order, 1, *ORDER_IDS),
    _query("/fapi/v1/openOrders", open_orders, weight_of_each(1, 40), ANY_SYMBOL),
    _query("/fapi/v1/allOrders", all_orders, 5, *_ALL_ORDERS),
)
ORDER_METHODS: Final = (  # of the WebSocket API
    _trade("", "order.place", place_order, 0, NEW_ORDER, ONE_ORDER),
    _trade("", "order.modify", modify_order, 0, MODIFY_ORDER, ONE_ORDER),
    _trade("", "order.cancel", cancel_order, 1, ORDER_IDS),
    _query("order.status", query_order, 1, *ORDER_IDS),
)
