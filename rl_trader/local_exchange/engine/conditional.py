"""Conditional orders: they wait for a price, bind nothing until then, and become an order.

Source: the API documentation of USD-M futures, "New Algo Order" (read in autumn 2026). Assumptions, since nothing is
published: a protected order whose prices lie too far apart when it is met expires; an order that closes or only reduces
is not held against filters and price band when it is met.
"""

from decimal import Decimal
from typing import Final

from rl_trader.local_exchange.books.legs import Point
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.engine.bookings import tell_algo
from rl_trader.local_exchange.engine.filters import check_price, check_quantity
from rl_trader.local_exchange.engine.orders import AlgoOrder, AlgoRequest, Order, OrderRequest
from rl_trader.local_exchange.engine.placing import (
    accept,
    check_client_id,
    check_good_till,
    check_order,
    check_position_side,
    check_time_in_force,
    made_up_id,
    matched_price,
    new_order,
)
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader, slot_name
from rl_trader.local_exchange.engine.words import (
    AlgoStatus,
    OrderType,
    PositionSide,
    PriceMatch,
    Side,
    TimeInForce,
    WorkingType,
)
from rl_trader.local_exchange.refusal_texts import refused

MAX_OPEN_ALGO_ORDERS: Final = 200  # of an account, over all symbols
CALLBACK_RATES: Final = (Decimal("0.1"), Decimal(20))  # least and most, in per cent

_STOPS: Final = (OrderType.STOP, OrderType.STOP_MARKET)
_CLOSERS: Final = (OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET)


@exact
def place_algo(state: State, trader: Trader, request: AlgoRequest) -> AlgoOrder:
    """Accept a conditional order.

    Raises:
        RefusedError: If the exchange would refuse it.
    """
    quotes = state.quotes[request.symbol]
    trader.know(quotes)
    if not request.type.is_conditional:
        raise refused(-1116)
    check_position_side(trader, request.position_side, reduce_only=request.reduce_only)
    if request.client_algo_id is not None:
        check_client_id(request.client_algo_id)
        other = trader.algo_order_by_client_id(request.client_algo_id)
        if other is not None and other.algo_id in trader.open_algo_orders:
            raise refused(-4116)
    if len(trader.open_algo_orders) >= MAX_OPEN_ALGO_ORDERS:
        raise refused(-4045)
    _check_size(trader, quotes, request)
    _check_prices(quotes, request)
    if request.time_in_force is TimeInForce.GTD:
        check_good_till(state, request.good_till_ms)
    algo_id = state.next_algo_id
    order = AlgoOrder(
        algo_id=algo_id,
        client_algo_id=request.client_algo_id or made_up_id(trader.name, algo_id),
        request=request,
        time_ms=state.now_ms,
        update_ms=state.now_ms,
    )
    _check_waits(quotes, order)
    state.keep_algo_order(trader, order)
    tell_algo(state, trader, order)
    return order


def _check_size(trader: Trader, quotes: Quotes, request: AlgoRequest) -> None:
    if request.close_position:
        _check_closes(trader, request)
    elif request.quantity is None:
        raise refused(-1102, "quantity")
    else:
        check_quantity(quotes.contract, request.type, request.quantity)


def _check_closes(trader: Trader, request: AlgoRequest) -> None:
    """Refuse to close a position with an order that cannot, or with a second one of its kind."""
    if request.type not in _CLOSERS:
        raise refused(-4136, request.type.value, "true")
    if request.quantity is not None:
        raise refused(-4137)
    if request.reduce_only:
        raise refused(-1106, "reduceonly")
    if request.position_side is not PositionSide.BOTH and not request.position_side.is_closed_by(request.side):
        raise refused(-4061)
    for other in trader.open_algo_orders_of(request.symbol):
        is_same = (other.request.side, other.request.position_side) == (request.side, request.position_side)
        if other.request.close_position and is_same and other.request.type is request.type:
            raise refused(-4130)


def _check_prices(quotes: Quotes, request: AlgoRequest) -> None:
    if request.type is OrderType.TRAILING_STOP_MARKET:
        _check_trailing(quotes, request)
        return
    if request.trigger_price is None:
        raise refused(-1102, "triggerPrice")
    if request.trigger_price <= 0:
        raise refused(-4006)
    check_price(quotes.contract, request.trigger_price)
    if request.type.is_market:
        if request.price_match is not PriceMatch.NONE:
            raise refused(-5038)
        return
    if request.price_match is not PriceMatch.NONE:
        return
    if request.price is None:
        raise refused(-1102, "price")
    check_price(quotes.contract, request.price)


def _check_trailing(quotes: Quotes, request: AlgoRequest) -> None:
    least, most = CALLBACK_RATES
    if request.callback_rate is None:
        raise refused(-1102, "callbackRate")
    if not least <= request.callback_rate <= most:
        raise refused(-1130, "callbackRate")
    if request.activate_price is not None:
        check_price(quotes.contract, request.activate_price)


def _check_waits(quotes: Quotes, order: AlgoOrder) -> None:
    """Refuse an order whose price is met already, and prepare one that trails."""
    request = order.request
    price = working_price(request, Point(quotes.last, quotes.mark))
    if request.type is OrderType.TRAILING_STOP_MARKET:
        order.extreme, order.is_active = price, request.activate_price is None
        if request.activate_price is not None and (price - request.activate_price) * request.side.sign <= 0:
            raise refused(-2021)
        return
    assert request.trigger_price is not None
    if price >= request.trigger_price if is_met_above(request) else price <= request.trigger_price:
        raise refused(-2021)


def working_price(request: AlgoRequest, at: Point) -> Decimal:
    """Return the price that a conditional order waits for."""
    return at.mark if request.working_type is WorkingType.MARK_PRICE else at.last


def is_met_above(request: AlgoRequest) -> bool:
    """Return whether a rising price meets the order: of a stop that buys and of a take-profit that sells."""
    return (request.type in _STOPS) == (request.side is Side.BUY)


def trailing_level(order: AlgoOrder) -> Decimal:
    """Return where an active trailing stop is met now."""
    assert order.request.callback_rate is not None
    return order.extreme * (1 + order.request.side.sign * order.request.callback_rate / 100)


def follow(order: AlgoOrder, price: Decimal) -> None:
    """Let an active trailing stop note a price that is better than every one before."""
    if order.is_active:
        order.extreme = min(order.extreme, price) if order.request.side is Side.BUY else max(order.extreme, price)


@exact
def trigger(state: State, trader: Trader, order: AlgoOrder) -> None:
    """Let a conditional order become an order, at the present prices."""
    trader.open_algo_orders.pop(order.algo_id)
    quotes, request = state.quotes[order.request.symbol], order.request
    order.trigger_ms = state.now_ms
    if request.price_protect and _are_apart(quotes):
        _end(state, trader, order, AlgoStatus.EXPIRED)
        return
    order.status = AlgoStatus.TRIGGERING
    tell_algo(state, trader, order)
    try:
        child = _child(state, trader, order)
    except RefusedError as refusal:
        order.reject_reason = str(refusal)
        _end(state, trader, order, AlgoStatus.REJECTED)
        return
    order.status, order.actual_order_id = AlgoStatus.TRIGGERED, child.order_id
    tell_algo(state, trader, order)
    accept(state, trader, child)


def _are_apart(quotes: Quotes) -> bool:
    protect = Decimal(repr(quotes.contract.trigger_protect))
    return abs(quotes.mark - quotes.last) > protect * quotes.last


def _child(state: State, trader: Trader, order: AlgoOrder) -> Order:
    """Return the order that a conditional one becomes.

    Raises:
        RefusedError: If the exchange would refuse it.
    """
    request, quotes = order.request, state.quotes[order.request.symbol]
    is_reducing = request.close_position or request.reduce_only
    held = trader.position(slot_name(request.symbol, request.position_side)).amount
    if is_reducing and held * request.side.sign >= 0:
        raise refused(-2022)
    price = ZERO
    if not request.type.is_market:
        price = request.price or matched_price(state, quotes, request.side, request.price_match)
    child = new_order(
        state,
        trader,
        OrderRequest(
            symbol=request.symbol,
            side=request.side,
            type=OrderType.MARKET if request.type.is_market else OrderType.LIMIT,
            quantity=abs(held) if request.close_position else request.quantity,
            price=None if request.type.is_market else price,
            position_side=request.position_side,
            time_in_force=request.time_in_force,
            reduce_only=is_reducing,
            client_order_id=order.client_algo_id,
            price_match=request.price_match,
            prevention=request.prevention,
            good_till_ms=request.good_till_ms,
        ),
        price,
    )
    child.orig_type, child.stop_price, child.algo_id = request.type, request.trigger_price or ZERO, order.algo_id
    child.working_type, child.price_protect = request.working_type, request.price_protect
    child.close_position = request.close_position
    if not is_reducing:
        check_order(state, trader, child)
    elif child.type is OrderType.LIMIT:
        check_time_in_force(state, trader, child)
    return child


def cancel_algo(state: State, trader: Trader, order: AlgoOrder) -> None:
    """Take a conditional order back.

    Raises:
        RefusedError: -2011 if it does not wait any more.
    """
    if trader.open_algo_orders.pop(order.algo_id, None) is None:
        raise refused(-2011)
    _end(state, trader, order, AlgoStatus.CANCELED)


def find_algo(trader: Trader, algo_id: int | None, client_algo_id: str | None) -> AlgoOrder:
    """Return a conditional order by its number, or else by its client id.

    Raises:
        RefusedError: -1102 if neither is given, -2013 if there is no such order.
    """
    if algo_id is None and client_algo_id is None:
        raise refused(-1102, "algoId")
    order = trader.algo_orders.get(algo_id) if algo_id is not None else None
    if algo_id is None and client_algo_id is not None:
        order = trader.algo_order_by_client_id(client_algo_id)
    if order is None:
        raise refused(-2013)
    return order


def expire_due_algos(state: State, trader: Trader, symbol: str) -> None:
    """Let conditional orders end whose good-till date has come."""
    for order in trader.open_algo_orders_of(symbol):
        if order.request.time_in_force is TimeInForce.GTD and order.request.good_till_ms <= state.now_ms:
            trader.open_algo_orders.pop(order.algo_id)
            _end(state, trader, order, AlgoStatus.EXPIRED)


def _end(state: State, trader: Trader, order: AlgoOrder, status: AlgoStatus) -> None:
    order.status = status
    tell_algo(state, trader, order)
