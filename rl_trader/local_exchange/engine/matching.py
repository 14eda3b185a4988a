"""What an order trades with: resting orders that are better than the book's level, then the level itself.

The level is unlimited (:class:`~rl_trader.local_exchange.engine.quotes.Quotes`), unless ``available`` is set. Among
resting orders the better price goes first, then the older order. Where an account would trade with itself, the mode of
the order that comes decides whose order expires (FAQ "Self-Trade Prevention", read in autumn 2026).
"""

from decimal import Decimal
from typing import NamedTuple

from rl_trader.local_exchange.books.checks import cost_refusal
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.engine.bookings import book_trade, end_order, tell_trade
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.engine.words import (
    ExpiryReason,
    OrderType,
    Prevention,
    Side,
    Status,
    TimeInForce,
)


class BestPrices(NamedTuple):
    """The best prices to sell and to buy at."""

    bid: Decimal
    ask: Decimal


class Rival(NamedTuple):
    """A resting order that another one meets."""

    trader: Trader
    order: Order


@exact
def match(state: State, trader: Trader, order: Order) -> None:
    """Let a new order trade with what is there; what is left of it rests or expires."""
    quotes = state.quotes[order.symbol]
    while order.status.is_open and (amount := fillable(trader, order)):
        rival = best_rival(state, order)
        if rival is None:
            if not _take_level(state, trader, order, quotes, amount):
                break
        elif rival.trader is trader and order.prevention is not Prevention.NONE:
            _prevent(state, trader, order, rival.order)
        else:
            _trade(state, trader, order, rival, amount)
    if order.status.is_open:
        _leave(state, trader, order)


def fillable(trader: Trader, order: Order) -> Decimal:
    """Return what of an order may fill now: of one that only reduces, no more than there is to reduce."""
    if not order.only_reduces:
        return order.remaining
    held = trader.position(trader.slot_of(order)).amount
    return min(order.remaining, max(-held * order.side.sign, ZERO))


@exact
def payable(state: State, trader: Trader, order: Order, amount: Decimal) -> Decimal:
    """Return how much of an amount a resting order may fill: what it closes, and what it opens if that can be paid."""
    slot, books, sign = trader.slot_of(order), trader.books, order.side.sign
    rate = trader.fee_rate(state.quotes[order.symbol], is_maker=True)
    closing = min(amount, max(-trader.position(slot).amount * sign, ZERO))
    if closing == amount:
        return amount
    if closing:
        books = books.copy()
        books.fill(slot, sign * closing, order.price, rate)
    opening = sign * (amount - closing)
    refusal = cost_refusal(books, slot, opening, price=order.price, fee_rate=rate, marks=state.marks)
    return closing if refusal else amount


@exact
def is_crossing(state: State, side: Side, symbol: str, price: Decimal) -> bool:
    """Return whether a limit order at this price would trade at once."""
    if not state.quotes[symbol].is_trading:
        return False
    best = best_prices(state, symbol)
    return price >= best.ask if side is Side.BUY else price <= best.bid


@exact
def best_prices(state: State, symbol: str) -> BestPrices:
    """Return the best prices of the book, with what rests of all accounts."""
    bids, asks = resting_levels(state, symbol)
    quotes = state.quotes[symbol]
    return BestPrices(max([quotes.bid, *bids]), min([quotes.ask, *asks]))


def resting_levels(state: State, symbol: str) -> tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]:
    """Return what rests of all accounts, price to amount, of purchases and of sales."""
    levels: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
    for trader in state.traders.values():
        for order in trader.open_orders.values():
            if order.symbol == symbol:
                side = levels[order.side is Side.SELL]
                side[order.price] = side.get(order.price, ZERO) + order.remaining
    return levels


@exact
def could_fill_wholly(state: State, trader: Trader, order: Order) -> bool:
    """Return whether a limit order would fill at once and wholly, without what its account would trade with itself."""
    quotes = state.quotes[order.symbol]
    others = (rival for rival in _rivals(state, order) if rival.trader is not trader)
    found = sum((fillable(rival.trader, rival.order) for rival in others), ZERO)
    if quotes.is_trading and _accepts(order, quotes.ask if order.side is Side.BUY else quotes.bid):
        if quotes.available is None:
            return True
        found += quotes.available
    return found >= order.remaining


def best_rival(state: State, order: Order) -> Rival | None:
    """Return the resting order that is to be met first, None if the level is as good as any."""
    rivals = _rivals(state, order)
    sign = order.side.sign
    return min(rivals, key=lambda rival: (rival.order.price * sign, rival.order.queue_number), default=None)


def _rivals(state: State, order: Order) -> list[Rival]:
    quotes = state.quotes[order.symbol]
    if not quotes.is_trading:
        return []
    level = quotes.ask if order.side is Side.BUY else quotes.bid
    return [
        Rival(trader, other)
        for trader in state.traders.values()
        for other in trader.open_orders.values()
        if other.symbol == order.symbol
        and other.side is not order.side
        and other is not order
        and _accepts(order, other.price)
        and (level - other.price) * order.side.sign > 0
        and fillable(trader, other)
    ]


def _accepts(order: Order, price: Decimal) -> bool:
    return order.type is OrderType.MARKET or (order.price - price) * order.side.sign >= 0


def _take_level(state: State, trader: Trader, order: Order, quotes: Quotes, amount: Decimal) -> bool:
    """Fill an order at the book's level, and return whether it did."""
    if not quotes.is_trading or not _accepts(order, quotes.ask if order.side is Side.BUY else quotes.bid):
        return False
    if quotes.available is not None:
        amount = min(amount, quotes.available)
        if not amount:
            return False
        quotes.available -= amount
    price = quotes.market_price(order.side.sign * amount)
    if order.type is OrderType.LIMIT:
        price = min(price, order.price) if order.side is Side.BUY else max(price, order.price)
    fill_order(state, trader, order, amount, price, is_maker=False)
    return True


@exact
def fill_order(state: State, trader: Trader, order: Order, amount: Decimal, price: Decimal, *, is_maker: bool) -> None:
    """Fill an order against the world."""
    quotes = state.quotes[order.symbol]
    is_buyer_maker = is_maker == (order.side is Side.BUY)
    public = quotes.record_trade(state.now_ms, price, amount, is_buyer_maker=is_buyer_maker)
    fill = book_trade(state, trader, order, amount, price, public.trade_id, is_maker=is_maker)
    tell_trade(state, trader, order, fill)


def _trade(state: State, trader: Trader, order: Order, rival: Rival, amount: Decimal) -> None:
    """Let two orders trade with each other at the resting one's price; one that cannot be paid any more expires."""
    resting, price = rival.order, rival.order.price
    amount = payable(state, rival.trader, resting, min(amount, fillable(rival.trader, resting)))
    if not amount:
        end_order(state, rival.trader, resting, Status.EXPIRED, ExpiryReason.NOT_FILLED_WHOLLY)
        return
    quotes = state.quotes[order.symbol]
    public = quotes.record_trade(state.now_ms, price, amount, is_buyer_maker=order.side is Side.SELL)
    taken = book_trade(state, trader, order, amount, price, public.trade_id, is_maker=False)
    made = book_trade(state, rival.trader, resting, amount, price, public.trade_id, is_maker=True)
    tell_trade(state, rival.trader, resting, made)
    tell_trade(state, trader, order, taken)
    quotes.update_id += 1


def _prevent(state: State, trader: Trader, order: Order, resting: Order) -> None:
    if order.prevention is not Prevention.EXPIRE_TAKER:
        end_order(state, trader, resting, Status.EXPIRED_IN_MATCH, ExpiryReason.SELF_TRADE)
    if order.prevention is not Prevention.EXPIRE_MAKER:
        end_order(state, trader, order, Status.EXPIRED_IN_MATCH, ExpiryReason.SELF_TRADE)


def _leave(state: State, trader: Trader, order: Order) -> None:
    """Let what is left of an order rest, or expire."""
    if order.type is OrderType.MARKET:
        is_reduced = order.only_reduces and not fillable(trader, order)
        reason = ExpiryReason.NOTHING_TO_REDUCE if is_reduced else ExpiryReason.NOT_FILLED_WHOLLY
        end_order(state, trader, order, Status.EXPIRED, reason)
    elif order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        end_order(state, trader, order, Status.EXPIRED, ExpiryReason.NOT_FILLED_AT_ONCE)
    else:
        order.queue_number = state.next_queue_number()
        state.quotes[order.symbol].update_id += 1
