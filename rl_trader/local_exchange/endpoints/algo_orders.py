"""Conditional orders: placed, cancelled and asked for.

Sources: the API documentation of USD-M futures, "New Algo Order", "Cancel Algo Order", "Query Algo Order", "Query All
Algo Orders", "Current All Algo Open Orders" (read in autumn 2026). The samples' iceberg quantity is null.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.endpoints.each_symbol import weight_of_each
from rl_trader.local_exchange.endpoints.order_answers import Answer, callback_text, contract_of
from rl_trader.local_exchange.endpoints.order_parameters import ANY_SYMBOL, NEW_ALGO_ORDER, SYMBOL, algo_request
from rl_trader.local_exchange.endpoints.orders import ALL_CANCELLED, ONE_ORDER, UNFILLED_KEPT_MS
from rl_trader.local_exchange.endpoints.windows import QUARTER_MS, TIMES, limit, numbered
from rl_trader.local_exchange.engine.conditional import cancel_algo, find_algo, place_algo
from rl_trader.local_exchange.engine.orders import AlgoOrder
from rl_trader.local_exchange.engine.words import AlgoStatus, OrderType
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter, Security, Weight
from rl_trader.local_exchange.refusal_texts import refused
from rl_trader.local_exchange.wire import amount_text, price_text

CONDITIONAL: Final = "CONDITIONAL"

_DONE: Final = 200
_NO_SUCH_ORDER: Final = -2013
_ENDED_UNFILLED: Final = (AlgoStatus.CANCELED, AlgoStatus.EXPIRED)


def place_algo_order(call: Call) -> Answer:
    """Answer ``POST /fapi/v1/algoOrder`` and ``algoOrder.place``."""
    order = place_algo(call.venue.exchange.state, call.trader, algo_request(call))
    answer = _algo_order(contract_of(call, order.request.symbol), order)
    return {"activatePrice": "", "callbackRate": ""} | answer


def cancel_algo_order(call: Call) -> Answer:
    """Answer ``DELETE /fapi/v1/algoOrder`` and ``algoOrder.cancel``.

    Raises:
        RefusedError: -2011 for an order that does not wait or that there never was.
    """
    try:
        order = _known_algo(call)
    except RefusedError as refusal:
        raise refused(-2011) if refusal.code == _NO_SUCH_ORDER else refusal from None
    cancel_algo(call.venue.exchange.state, call.trader, order)
    return {
        "algoId": order.algo_id,
        "clientAlgoId": order.client_algo_id,
        "code": str(_DONE),  # a text here, a number where all are cancelled
        "msg": "success",
    }


def cancel_open_algo_orders(call: Call) -> Answer:
    """Answer ``DELETE /fapi/v1/algoOpenOrders``."""
    for order in call.trader.open_algo_orders_of(call.text("symbol")):
        cancel_algo(call.venue.exchange.state, call.trader, order)
    return {"code": _DONE, "msg": ALL_CANCELLED}


@exact
def query_algo_order(call: Call) -> Answer:
    """Answer ``GET /fapi/v1/algoOrder``."""
    order = _known_algo(call)
    contract = contract_of(call, order.request.symbol)
    return _queried(contract, order) | {
        "actualType": (OrderType.MARKET if order.request.type.is_market else OrderType.LIMIT).value,
        "actualQty": amount_text(order.actual_quantity, contract),
    }


def open_algo_orders(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/openAlgoOrders``: the oldest first."""
    symbol, algo_id = call.maybe_text("symbol"), call.maybe_whole("algoId")
    return [
        _listed(call, order)
        for order in call.trader.open_algo_orders.values()
        if symbol in (None, order.request.symbol) and algo_id in (None, order.algo_id)
    ]


def all_algo_orders(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/allAlgoOrders``."""
    symbol = call.text("symbol")
    orders = [
        order
        for order in call.trader.algo_orders.values()
        if order.request.symbol == symbol and _is_remembered(call, order)
    ]
    found = numbered(call, "algoId", orders, lambda order: order.algo_id, lambda order: order.time_ms)
    return [_listed(call, order) for order in found]


def _known_algo(call: Call) -> AlgoOrder:
    order = find_algo(call.trader, call.maybe_whole("algoId"), call.maybe_text("clientAlgoId"))
    if not _is_remembered(call, order):
        raise refused(_NO_SUCH_ORDER)
    return order


def _is_remembered(call: Call, order: AlgoOrder) -> bool:
    if order.algo_id in call.trader.open_algo_orders:
        return True
    is_unfilled = order.status in _ENDED_UNFILLED and not order.actual_quantity
    return call.venue.market_ms() - order.time_ms <= (UNFILLED_KEPT_MS if is_unfilled else QUARTER_MS)


def _algo_order(contract: ContractTerms, order: AlgoOrder) -> Answer:
    request = order.request

    def price(value: Decimal | None) -> str:
        return price_text(ZERO if value is None else value, contract)

    answer: Answer = {
        "algoId": order.algo_id,
        "clientAlgoId": order.client_algo_id,
        "algoType": CONDITIONAL,
        "orderType": request.type.value,
        "symbol": request.symbol,
        "side": request.side.value,
        "positionSide": request.position_side.value,
        "timeInForce": request.time_in_force.value,
        "quantity": amount_text(ZERO if request.quantity is None else request.quantity, contract),
        "algoStatus": order.status.value,
        "triggerPrice": price(request.trigger_price),
        "price": price(request.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": request.prevention.value,
        "workingType": request.working_type.value,
        "priceMatch": request.price_match.value,
        "closePosition": request.close_position,
        "priceProtect": request.price_protect,
        "reduceOnly": request.reduce_only,
        "createTime": order.time_ms,
        "updateTime": order.update_ms,
        "triggerTime": order.trigger_ms,
        "goodTillDate": request.good_till_ms,
    }
    if request.type is OrderType.TRAILING_STOP_MARKET:
        answer |= {"activatePrice": price(request.activate_price), "callbackRate": callback_text(request.callback_rate)}
    return answer


def _queried(contract: ContractTerms, order: AlgoOrder) -> Answer:
    return _algo_order(contract, order) | {
        "actualOrderId": "" if order.actual_order_id is None else str(order.actual_order_id),
        "actualPrice": price_text(order.actual_price, contract),
        "tpOrderType": "",
    }


@exact
def _listed(call: Call, order: AlgoOrder) -> Answer:
    contract = contract_of(call, order.request.symbol)
    nothing = price_text(ZERO, contract)  # an order with a take-profit and a stop of its own is another service
    parts = dict.fromkeys(("tpTriggerPrice", "tpPrice", "slTriggerPrice", "slPrice"), nothing)
    return _queried(contract, order) | parts


def _endpoint(
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
        security=Security.USER_DATA if method == "GET" else Security.TRADE,
        weight=weight,
        order_count=order_count,
        parameters=parameters,
    )


_IDS: Final = (Parameter("algoId", Kind.WHOLE), Parameter("clientAlgoId"))
_TYPE: Final = Parameter("algoType", choices=(CONDITIONAL,))
_ALL: Final = (SYMBOL, _IDS[0], *TIMES, limit(500, 1000))

ALGO_ENDPOINTS: Final = (
    _endpoint("POST", "/fapi/v1/algoOrder", place_algo_order, 0, NEW_ALGO_ORDER, ONE_ORDER),
    _endpoint("DELETE", "/fapi/v1/algoOrder", cancel_algo_order, 1, _IDS),
    _endpoint("DELETE", "/fapi/v1/algoOpenOrders", cancel_open_algo_orders, 1, (SYMBOL,)),
    _endpoint("GET", "/fapi/v1/algoOrder", query_algo_order, 1, _IDS),
    _endpoint("GET", "/fapi/v1/openAlgoOrders", open_algo_orders, weight_of_each(1, 40), (_TYPE, ANY_SYMBOL, _IDS[0])),
    _endpoint("GET", "/fapi/v1/allAlgoOrders", all_algo_orders, 5, _ALL),
)
ALGO_METHODS: Final = (  # of the WebSocket API
    _endpoint("", "algoOrder.place", place_algo_order, 0, NEW_ALGO_ORDER, ONE_ORDER),
    _endpoint("", "algoOrder.cancel", cancel_algo_order, 1, _IDS),
)
