"""Orders as the API writes them; each endpoint has fields of its own.

Sources: the API documentation of USD-M futures, the samples of "New Order", "Modify Order", "Query Order", "All Orders"
and "User's Force Orders" (read in autumn 2026). Since July 2026 only queries tell what was paid: the answers to new,
changed and cancelled orders have no ``avgPrice`` and no ``cumQuote``. What concerns trailing stops is only there where
the order came from one.
"""

from dataclasses import replace
from decimal import Decimal

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.engine.orders import AlgoRequest, Order
from rl_trader.local_exchange.engine.words import OrderType, Status
from rl_trader.local_exchange.protocol.endpoint import Call
from rl_trader.local_exchange.wire import MONEY_PLACES, amount_text, fixed, places, price_text

Answer = dict[str, object]


def contract_of(call: Call, symbol: str) -> ContractTerms:
    """Return the terms that a symbol's numbers are written by."""
    return call.venue.exchange.quotes[symbol].contract


@exact
def quote_text(value: Decimal, contract: ContractTerms) -> str:
    """Return a price times an amount, with the places of both; a finer one has more, eight at most."""
    least = places(contract.tick_size) + places(contract.limit_step_size)
    return fixed(value, min(max(least, places(value.normalize())), MONEY_PLACES))


def plain_text(value: Decimal) -> str:
    """Return a number without zeros at its end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def callback_text(rate: Decimal | None) -> str:
    """Return a callback rate in per cent, as ``1.0``; nothing where there is none."""
    return "" if rate is None else fixed(rate, max(1, places(rate.normalize())))


def acknowledged(order: Order) -> Order:
    """Return an order as it was when it was accepted, before it met anything."""
    return replace(order, status=Status.NEW, executed=ZERO, quote=ZERO, update_ms=order.time_ms)


def placed_order(call: Call, order: Order) -> Answer:
    """Return what a new or a cancelled order is answered with."""
    return _order(call, order) | {"cumQty": amount_text(order.executed, contract_of(call, order.symbol))}


def modified_order(call: Call, order: Order) -> Answer:
    """Return what a changed order is answered with."""
    return placed_order(call, order) | {"pair": order.symbol, "modifyId": order.modify_id}


@exact
def tested_order(call: Call, order: Order) -> Answer:
    """Return what an order is answered with that was only tried."""
    return placed_order(call, order) | _paid(call, order)


@exact
def queried_order(call: Call, order: Order) -> Answer:
    """Return an order that was asked for."""
    return _order(call, order) | _paid(call, order) | {"time": order.time_ms}


def listed_order(call: Call, order: Order) -> Answer:
    """Return an order of the list of all orders."""
    contract = contract_of(call, order.symbol)
    return queried_order(call, order) | {"pair": order.symbol, "cumBase": amount_text(order.executed, contract)}


def forced_order(call: Call, order: Order) -> Answer:
    """Return a liquidation or a deleveraging of the account's own."""
    left_out = ("priceProtect", "priceMatch", "selfTradePreventionMode", "goodTillDate")
    return {name: value for name, value in listed_order(call, order).items() if name not in left_out}


def _order(call: Call, order: Order) -> Answer:
    contract = contract_of(call, order.symbol)
    answer: Answer = {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status.value,
        "clientOrderId": order.client_order_id,
        "price": price_text(order.price, contract),
        "origQty": amount_text(order.quantity, contract),
        "executedQty": amount_text(order.executed, contract),
        "timeInForce": order.time_in_force.value,
        "type": order.type.value,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side.value,
        "positionSide": order.position_side.value,
        "stopPrice": price_text(order.stop_price, contract),
        "workingType": order.working_type.value,
        "priceProtect": order.price_protect,
        "origType": order.orig_type.value,
        "priceMatch": order.price_match.value,
        "selfTradePreventionMode": order.prevention.value,
        "goodTillDate": order.good_till_ms,
        "updateTime": order.update_ms,
    }
    if order.algo_id is not None and order.orig_type is OrderType.TRAILING_STOP_MARKET:
        answer |= _trailing(call.trader.algo_orders[order.algo_id].request, contract)
    return answer


def _trailing(request: AlgoRequest, contract: ContractTerms) -> Answer:
    activate_price = ZERO if request.activate_price is None else request.activate_price
    return {"activatePrice": price_text(activate_price, contract), "priceRate": callback_text(request.callback_rate)}


def _paid(call: Call, order: Order) -> Answer:
    contract = contract_of(call, order.symbol)
    return {"avgPrice": price_text(order.average_price, contract), "cumQuote": quote_text(order.quote, contract)}
