"""Parameters of orders and conditional orders, and what they ask for.

Sources: the API documentation of USD-M futures, "New Order", "New Algo Order" and "Error Codes" (read in autumn 2026).
``priceMatch`` beside ``price``, and a price for what fills at market, are refused with -1106 (an assumption, as the
documentation only says that they cannot be sent).
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final

from rl_trader.local_exchange.engine.orders import AlgoRequest, OrderRequest
from rl_trader.local_exchange.engine.words import (
    OrderType,
    PositionSide,
    Prevention,
    PriceMatch,
    Side,
    TimeInForce,
    WorkingType,
)
from rl_trader.local_exchange.protocol.endpoint import Call, Kind, Parameter
from rl_trader.local_exchange.refusal_texts import refused

ACK: Final = "ACK"
RESULT: Final = "RESULT"

_MS_PER_S: Final = 1000


def _choice(
    name: str, words: type[StrEnum], code: int, default: StrEnum | None = None, *, is_required: bool = False
) -> Parameter:
    return Parameter(
        name,
        is_required=is_required,
        default=None if default is None else default.value,
        choices=tuple(word.value for word in words),
        choice_code=code,
    )


SYMBOL: Final = Parameter("symbol", Kind.SYMBOL, is_required=True)
ANY_SYMBOL: Final = Parameter("symbol", Kind.SYMBOL)
SIDE: Final = _choice("side", Side, -1117, is_required=True)
POSITION_SIDE: Final = _choice("positionSide", PositionSide, -4060, PositionSide.BOTH)

_TYPE: Final = _choice("type", OrderType, -1116, is_required=True)
_TIME_IN_FORCE: Final = _choice("timeInForce", TimeInForce, -1115)
_PRICE_MATCH: Final = _choice("priceMatch", PriceMatch, -5037, PriceMatch.NONE)
_PREVENTION: Final = _choice("selfTradePreventionMode", Prevention, -5039, Prevention.EXPIRE_MAKER)
_RESPONSE: Final = Parameter("newOrderRespType", default=ACK, choices=(ACK, RESULT), choice_code=-1136)
_REDUCE_ONLY: Final = Parameter("reduceOnly", Kind.TRUTH)
_QUANTITY: Final = Parameter("quantity", Kind.DECIMAL)
_PRICE: Final = Parameter("price", Kind.DECIMAL)
_GOOD_TILL: Final = Parameter("goodTillDate", Kind.WHOLE)

ORDER_IDS: Final = (
    SYMBOL,
    Parameter("orderId", Kind.WHOLE),
    Parameter("origClientOrderId"),
)
NEW_ORDER: Final = (
    SYMBOL,
    SIDE,
    _TYPE,
    POSITION_SIDE,
    _TIME_IN_FORCE,
    _REDUCE_ONLY,
    _QUANTITY,
    _PRICE,
    Parameter("newClientOrderId"),
    _RESPONSE,
    _PRICE_MATCH,
    _PREVENTION,
    _GOOD_TILL,
)
MODIFY_ORDER: Final = (
    *ORDER_IDS,
    SIDE,
    Parameter("quantity", Kind.DECIMAL, is_required=True),
    _PRICE,  # required, unless there is a price match
    _PRICE_MATCH,
    Parameter("modifyId", Kind.WHOLE, default=0),
    _REDUCE_ONLY,
)
NEW_ALGO_ORDER: Final = (
    Parameter("algoType", is_required=True, choices=("CONDITIONAL",)),
    SYMBOL,
    SIDE,
    _TYPE,
    POSITION_SIDE,
    _TIME_IN_FORCE,
    _QUANTITY,
    _PRICE,
    Parameter("triggerPrice", Kind.DECIMAL),
    _choice("workingType", WorkingType, -1130, WorkingType.CONTRACT_PRICE),
    _PRICE_MATCH,
    Parameter("closePosition", Kind.TRUTH),
    Parameter("priceProtect", Kind.TRUTH),
    _REDUCE_ONLY,
    Parameter("activatePrice", Kind.DECIMAL),
    Parameter("callbackRate", Kind.DECIMAL),
    Parameter("clientAlgoId"),
    _RESPONSE,
    _PREVENTION,
    _GOOD_TILL,
)


def order_request(call: Call) -> OrderRequest:
    """Return the order that is asked for.

    Raises:
        RefusedError: -4120 for a conditional one; -1102 or -1106 for a parameter that its type needs or must not have.
    """
    order_type = OrderType(call.text("type"))
    if order_type.is_conditional:
        raise refused(-4120)
    if order_type is OrderType.MARKET:
        _forbid(call, "timeInForce", "price")
        _require(call, "quantity")
    else:
        _require(call, "timeInForce", "quantity")
        _check_limit_price(call)
    return OrderRequest(
        symbol=call.text("symbol"),
        side=Side(call.text("side")),
        type=order_type,
        quantity=call.maybe_decimal("quantity"),
        price=call.maybe_decimal("price"),
        position_side=PositionSide(call.text("positionSide")),
        time_in_force=_time_in_force(call),
        reduce_only=call.truth("reduceOnly"),
        client_order_id=call.maybe_text("newClientOrderId"),
        price_match=PriceMatch(call.text("priceMatch")),
        prevention=Prevention(call.text("selfTradePreventionMode")),
        good_till_ms=_good_till_ms(call),
    )


def algo_request(call: Call) -> AlgoRequest:
    """Return the conditional order that is asked for.

    Raises:
        RefusedError: -1102 or -1106 for a parameter that its type needs or must not have.
    """
    order_type = OrderType(call.text("type"))
    if order_type.is_conditional and order_type.is_market:
        _forbid(call, "price")
    elif order_type.is_conditional:
        _require(call, "quantity")
        _check_limit_price(call)
    return AlgoRequest(
        symbol=call.text("symbol"),
        side=Side(call.text("side")),
        type=order_type,
        trigger_price=call.maybe_decimal("triggerPrice"),
        quantity=call.maybe_decimal("quantity"),
        price=call.maybe_decimal("price"),
        position_side=PositionSide(call.text("positionSide")),
        working_type=WorkingType(call.text("workingType")),
        close_position=call.truth("closePosition"),
        price_protect=call.truth("priceProtect"),
        reduce_only=call.truth("reduceOnly"),
        activate_price=call.maybe_decimal("activatePrice"),
        callback_rate=call.maybe_decimal("callbackRate"),
        time_in_force=_time_in_force(call),
        price_match=PriceMatch(call.text("priceMatch")),
        prevention=Prevention(call.text("selfTradePreventionMode")),
        good_till_ms=_good_till_ms(call),
        client_algo_id=call.maybe_text("clientAlgoId"),
    )


def limit_price(call: Call) -> Decimal | None:
    """Return the price that is asked for, None where a price match stands in its place.

    Raises:
        RefusedError: -1102 where there is neither, -1106 where there are both.
    """
    _check_limit_price(call)
    return call.maybe_decimal("price")


def _check_limit_price(call: Call) -> None:
    if call.text("priceMatch") == PriceMatch.NONE:
        _require(call, "price")
    else:
        _forbid(call, "price")


def _require(call: Call, *names: str) -> None:
    for name in names:
        if call.arguments[name] is None:
            raise refused(-1102, name)


def _forbid(call: Call, *names: str) -> None:
    for name in names:
        if call.arguments[name] is not None:
            raise refused(-1106, name)


def _time_in_force(call: Call) -> TimeInForce:
    text = call.maybe_text("timeInForce")
    return TimeInForce.GTC if text is None else TimeInForce(text)


def _good_till_ms(call: Call) -> int:
    """Return the good-till date of a GTD order, of which only the seconds count; 0 of any other."""
    if _time_in_force(call) is not TimeInForce.GTD:
        return 0
    _require(call, "goodTillDate")
    return call.whole("goodTillDate") // _MS_PER_S * _MS_PER_S
