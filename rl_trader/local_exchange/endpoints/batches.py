"""Several orders in one request; each is answered as if it came alone, with what it is refused for in its place.

Sources: the API documentation of USD-M futures, "Place Multiple Orders", "Modify Multiple Orders" and "Cancel Multiple
Orders" (read in autumn 2026). Codes of a list of a wrong length are assumptions, apart from -4082.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.endpoints.order_parameters import MODIFY_ORDER, NEW_ORDER, ORDER_IDS, SYMBOL
from rl_trader.local_exchange.endpoints.orders import cancel_order, modify_order, place_order
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter, Security
from rl_trader.local_exchange.protocol.json_text import as_texts
from rl_trader.local_exchange.protocol.parameters import read_arguments
from rl_trader.local_exchange.protocol.statuses import error_body
from rl_trader.local_exchange.refusal_texts import refused

MOST_ORDERS: Final = 5  # of a batch that is placed or changed
MOST_CANCELLED: Final = 10
ORDER_COUNT: Final = (5, 1)  # of the budgets of 10 seconds and of a minute, however many there are
WEIGHT: Final = 5

Answerer = Callable[[Call], dict[str, object]]


def place_orders(call: Call) -> list[dict[str, object]]:
    """Answer ``POST /fapi/v1/batchOrders``."""
    return _answers(call, place_order, NEW_ORDER, _batch(call))


def modify_orders(call: Call) -> list[dict[str, object]]:
    """Answer ``PUT /fapi/v1/batchOrders``."""
    return _answers(call, modify_order, MODIFY_ORDER, _batch(call))


def cancel_orders(call: Call) -> list[dict[str, object]]:
    """Answer ``DELETE /fapi/v1/batchOrders``: by numbers, or else by client order ids."""
    name = "origClientOrderIdList" if call.arguments["orderIdList"] is None else "orderIdList"
    ids, parameter = call.arguments[name], name.removesuffix("List")
    if ids is None:
        raise refused(-1102, "orderIdList")
    if not (isinstance(ids, list) and 0 < len(ids) <= MOST_CANCELLED):
        raise refused(-1130, name)
    symbol = call.text("symbol")
    return _answers(call, cancel_order, ORDER_IDS, [{"symbol": symbol, parameter: each} for each in ids])


def _batch(call: Call) -> list[object]:
    orders = call.arguments["batchOrders"]
    if not isinstance(orders, list):
        raise refused(-1102, "batchOrders")
    if not 0 < len(orders) <= MOST_ORDERS:
        raise refused(-4082, len(orders))
    return orders


def _answers(
    call: Call, answer: Answerer, parameters: tuple[Parameter, ...], each: Iterable[object]
) -> list[dict[str, object]]:
    return [_answer(call, answer, parameters, sent) for sent in each]


def _answer(call: Call, answer: Answerer, parameters: tuple[Parameter, ...], sent: object) -> dict[str, object]:
    """Return what one order is answered with, or what it is refused for."""
    try:
        if not isinstance(sent, dict):
            raise refused(-1102, "symbol")
        texts = as_texts(sent)
        arguments = read_arguments(parameters, texts, call.venue.exchange.quotes)
        return answer(replace(call, arguments=arguments, sent=frozenset(texts)))
    except RefusedError as refusal:
        return error_body(refusal)


def _endpoint(method: str, answer: Callable[[Call], object]) -> Endpoint:
    return Endpoint(
        method=method,
        path="/fapi/v1/batchOrders",
        answer=answer,
        security=Security.TRADE,
        weight=WEIGHT,
        order_count=ORDER_COUNT,
        parameters=(Parameter("batchOrders", Kind.JSON, is_required=True),),
    )


BATCH_ENDPOINTS: Final = (
    _endpoint("POST", place_orders),
    _endpoint("PUT", modify_orders),
    Endpoint(
        method="DELETE",
        path="/fapi/v1/batchOrders",
        answer=cancel_orders,
        security=Security.TRADE,
        parameters=(SYMBOL, Parameter("orderIdList", Kind.JSON), Parameter("origClientOrderIdList", Kind.JSON)),
    ),
)
