"""From a request to an order: what it is refused for, and what it becomes.

Sources: the API documentation of USD-M futures, "New Order", "Modify Order" and "Error Codes" (read in autumn 2026).
The order of the checks is an assumption: form, filters, post-only, smallest notional, largest position, margin.
"""

import hashlib
import re
from decimal import Decimal
from typing import Final

from rl_trader.local_exchange.books.money import ZERO, denoised, exact
from rl_trader.local_exchange.engine.bookings import tell_order
from rl_trader.local_exchange.engine.filters import (
    check_limit_band,
    check_market_band,
    check_price,
    check_quantity,
)
from rl_trader.local_exchange.engine.matching import best_prices, could_fill_wholly, is_crossing, match
from rl_trader.local_exchange.engine.orders import Order, OrderRequest
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.engine.views import Wanted, amount_wanted, bound_by_orders, order_cost
from rl_trader.local_exchange.engine.words import (
    Execution,
    OrderType,
    PositionSide,
    PriceMatch,
    Side,
    TimeInForce,
)
from rl_trader.local_exchange.refusal_texts import refused

MAX_OPEN_ORDERS: Final = 200  # of a symbol (MAX_NUM_ORDERS of exchangeInfo)
MIN_GTD_MS: Final = 600_000  # how far ahead a good-till date must be
LAST_GTD_MS: Final = 253_402_300_799_000

_CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_LONGEST_ID: Final = 36


@exact
def place(state: State, trader: Trader, request: OrderRequest) -> Order:
    """Accept an order and let it trade.

    Raises:
        RefusedError: If the exchange would refuse it.
    """
    order = checked_order(state, trader, request)
    accept(state, trader, order)
    return order


@exact
def checked_order(state: State, trader: Trader, request: OrderRequest) -> Order:
    """Return the order that a request would become; nothing else is changed.

    Raises:
        RefusedError: If the exchange would refuse it.
    """
    quotes = state.quotes[request.symbol]
    trader.know(quotes)
    if request.type.is_conditional:
        raise refused(-4120)
    check_position_side(trader, request.position_side, reduce_only=request.reduce_only)
    if request.client_order_id is not None:
        check_client_id(request.client_order_id)
        check_is_free(trader, request.symbol, request.client_order_id)
    if request.time_in_force is TimeInForce.GTD:
        check_good_till(state, request.good_till_ms)
    order = new_order(state, trader, request, _price(state, quotes, request))
    check_order(state, trader, order)
    return order


@exact
def check_order(state: State, trader: Trader, order: Order, besides: Order | None = None) -> None:
    """Refuse an order that filters, book, position or margin do not allow.

    Args:
        state: Of the exchange.
        trader: Whose order.
        order: Not accepted yet.
        besides: The open order whose place it would take.

    Raises:
        RefusedError: If the exchange would refuse it.
    """
    quotes, signed = state.quotes[order.symbol], order.signed_remaining
    check_quantity(quotes.contract, order.type, order.quantity)
    if order.type is OrderType.LIMIT:
        check_price(quotes.contract, order.price)
        check_limit_band(quotes, signed, order.price)
        check_time_in_force(state, trader, order)
    else:
        check_market_band(quotes, signed)
    if len(trader.open_orders_of(order.symbol)) - (besides is not None) >= MAX_OPEN_ORDERS:
        raise refused(-2025)
    if order.reduce_only:
        if trader.position(trader.slot_of(order)).amount * order.side.sign >= 0:
            raise refused(-2022)
        return
    if order.closes_hedge:
        _check_closing(trader, order, besides)
        return
    notional_price = order.price if order.type is OrderType.LIMIT else quotes.mark
    if order.quantity * notional_price < quotes.terms.min_notional:
        raise refused(-4164, f"{quotes.terms.min_notional:f}")
    check_largest_position(trader, quotes, order, besides)
    check_margin(state, trader, quotes, order, besides)


@exact
def accept(state: State, trader: Trader, order: Order) -> None:
    """Take an order in, tell so, and let it trade."""
    state.keep_order(trader, order)
    tell_order(state, trader, order, Execution.NEW)
    match(state, trader, order)


def new_order(state: State, trader: Trader, request: OrderRequest, price: Decimal) -> Order:
    """Return a new order of a request, at a price; 0 of a market order."""
    order_id = state.next_order_id
    return Order(
        order_id=order_id,
        client_order_id=request.client_order_id or made_up_id(trader.name, order_id),
        symbol=request.symbol,
        side=request.side,
        type=request.type,
        position_side=request.position_side,
        time_in_force=request.time_in_force,
        quantity=request.quantity or ZERO,
        price=price,
        reduce_only=request.reduce_only,
        close_position=False,
        prevention=request.prevention,
        price_match=request.price_match,
        good_till_ms=request.good_till_ms,
        time_ms=state.now_ms,
        update_ms=state.now_ms,
        orig_type=request.type,
    )


def made_up_id(name: str, number: int) -> str:
    """Return a client id for an order that came without one; the same in every run."""
    return hashlib.sha256(f"{name} {number}".encode()).hexdigest()[:22]


def check_position_side(trader: Trader, position_side: PositionSide, *, reduce_only: bool) -> None:
    """Refuse an order for a position that the account's mode does not have.

    Raises:
        RefusedError: -4061, or -1106 where ``reduceOnly`` is sent in hedge mode.
    """
    if trader.is_hedged == (position_side is PositionSide.BOTH):
        raise refused(-4061)
    if trader.is_hedged and reduce_only:
        raise refused(-1106, "reduceonly")


def check_client_id(client_id: str) -> None:
    """Refuse a client id of another form.

    Raises:
        RefusedError: -4015 if it is too long, else -1130.
    """
    if len(client_id) > _LONGEST_ID:
        raise refused(-4015)
    if not _CLIENT_ID.fullmatch(client_id):
        raise refused(-1130, "newClientOrderId")


def check_is_free(trader: Trader, symbol: str, client_id: str) -> None:
    """Refuse a client order id that an open order has.

    Raises:
        RefusedError: -4116.
    """
    other = trader.order_by_client_id(symbol, client_id)
    if other is not None and other.status.is_open:
        raise refused(-4116)


@exact
def matched_price(state: State, quotes: Quotes, side: Side, price_match: PriceMatch) -> Decimal:
    """Return the price that a price match names; the book has one level, so that only the best ones are there.

    Raises:
        RefusedError: -5041 if the book has no such level.
    """
    if not quotes.is_trading or price_match not in (PriceMatch.OPPONENT, PriceMatch.QUEUE):
        raise refused(-5041)
    best = best_prices(state, quotes.symbol)
    return best.ask if (side is Side.BUY) == (price_match is PriceMatch.OPPONENT) else best.bid


def _price(state: State, quotes: Quotes, request: OrderRequest) -> Decimal:
    if request.type is OrderType.MARKET:
        if request.price_match is not PriceMatch.NONE:
            raise refused(-5038)
        return ZERO
    if request.price_match is not PriceMatch.NONE:
        return matched_price(state, quotes, request.side, request.price_match)
    if request.price is None:
        raise refused(-1102, "price")
    return request.price


def check_time_in_force(state: State, trader: Trader, order: Order) -> None:
    """Refuse a post-only order that would trade, and one that must fill wholly at once and cannot.

    Raises:
        RefusedError: -5022 or -5021.
    """
    if order.time_in_force is TimeInForce.GTX and is_crossing(state, order.side, order.symbol, order.price):
        raise refused(-5022)
    if order.time_in_force is TimeInForce.FOK and not could_fill_wholly(state, trader, order):
        raise refused(-5021)


def check_good_till(state: State, good_till_ms: int) -> None:
    """Refuse a good-till date that is too near or too far.

    Raises:
        RefusedError: -5040.
    """
    if not state.now_ms + MIN_GTD_MS < good_till_ms < LAST_GTD_MS:
        raise refused(-5040)


def _check_closing(trader: Trader, order: Order, besides: Order | None) -> None:
    """Refuse to close more than a position of hedge mode holds, with the other orders that close it."""
    others = (o for o in trader.open_orders_of(order.symbol) if o.closes_hedge and o is not besides)
    bound = sum((o.remaining for o in others if o.position_side is order.position_side), ZERO)
    if abs(trader.position(trader.slot_of(order)).amount) < bound + order.remaining:
        raise refused(-2022)


@exact
def check_largest_position(trader: Trader, quotes: Quotes, order: Order, besides: Order | None) -> None:
    """Refuse an order that could make a position larger than its leverage allows.

    Raises:
        RefusedError: -2027.
    """
    held = trader.position(trader.slot_of(order)).amount
    others = amount_wanted(trader, order.symbol, order.side, order.position_side, besides)
    size = held * order.side.sign + others + order.remaining
    if size * quotes.mark > quotes.terms.max_notional(trader.setting(order.symbol).leverage):
        raise refused(-2027)


@exact
def check_margin(state: State, trader: Trader, quotes: Quotes, order: Order, besides: Order | None) -> None:
    """Refuse an order that would bind more than is available, beside all other open orders.

    What it closes of a position is closed in thought before, at the order's price; nothing is asked of an order that
    closes no more than other open orders leave to be closed.

    Raises:
        RefusedError: -2019.
    """
    is_maker = order.type is OrderType.LIMIT and not is_crossing(state, order.side, order.symbol, order.price)
    price = order.price if order.type is OrderType.LIMIT else quotes.market_price(order.signed_remaining)
    rate = trader.fee_rate(quotes, is_maker=is_maker)
    slot, books, amount = trader.slot_of(order), trader.books, order.remaining
    closable = max(-books.positions[slot].amount * order.side.sign, ZERO)
    if amount <= closable - amount_wanted(trader, order.symbol, order.side, order.position_side, besides):
        return
    closing = min(amount, closable)
    if closing:
        books = books.copy()
        books.fill(slot, order.side.sign * closing, price, rate)
    wanted = Wanted(order.side, order.position_side, amount - closing, price, rate)
    cost = order_cost(trader, books, quotes, wanted, besides) + bound_by_orders(state, trader, besides=order.symbol)
    if denoised(cost - books.available_balance(state.marks)) > 0:
        raise refused(-2019)
