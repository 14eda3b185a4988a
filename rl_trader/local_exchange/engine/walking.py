"""Prices that move, and what they meet: liquidations, conditional orders, resting orders.

Last and mark price go together in a straight line. What is met at one point happens in this order, the worst first:
liquidations, stops, take-profits, resting orders by price and queue; without trades in the bar only liquidations. A
resting order fills at its own price when the last price passes it, whole, but for what it opens and the account cannot
pay for any more (assumptions; :mod:`rl_trader.local_exchange.books.walk` has the same of one account and symbol).
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, Final

from rl_trader.local_exchange.books.legs import Hit, Point, Trigger, first_hit
from rl_trader.local_exchange.books.money import denoised, exact
from rl_trader.local_exchange.engine.bookings import end_order
from rl_trader.local_exchange.engine.changing import expire_due
from rl_trader.local_exchange.engine.conditional import (
    expire_due_algos,
    follow,
    is_met_above,
    trailing_level,
    trigger,
    working_price,
)
from rl_trader.local_exchange.engine.events import MarginCall
from rl_trader.local_exchange.engine.forced import (
    is_bankrupt,
    is_short_of_margin,
    liquidate_position,
    safe_range,
)
from rl_trader.local_exchange.engine.matching import fill_order, fillable, payable
from rl_trader.local_exchange.engine.orders import AlgoOrder, Order
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader, slot_name
from rl_trader.local_exchange.engine.views import position_state
from rl_trader.local_exchange.engine.words import (
    ExpiryReason,
    OrderType,
    PositionSide,
    Side,
    Status,
    WorkingType,
)

MARGIN_CALL_RATIO: Final = Decimal("0.8")  # of maintenance margin to margin; an assumption

Act = Callable[[Hit[Any]], None]


@exact
def jump(state: State, symbol: str, to: Point) -> None:
    """Let the prices be elsewhere at once, as at a bar's open; who is bankrupt there is liquidated."""
    state.set_prices(symbol, to)
    for trader in _concerned(state, symbol):
        _expire_due(state, trader, symbol)
    _follow(_concerned(state, symbol), symbol, to)
    for trader in _concerned(state, symbol):
        for side in PositionSide:
            slot = slot_name(symbol, side)
            if trader.position(slot).amount and is_bankrupt(state, trader, slot):
                liquidate_position(state, trader, symbol, side, to.mark)


@exact
def walk(state: State, symbol: str, to: Point) -> None:
    """Let the prices go to a point, and happen what they meet on the way."""
    quotes = state.quotes[symbol]
    traders = _concerned(state, symbol)
    at = Point(quotes.last, quotes.mark)
    while traders and (hit := first_hit(_triggers(state, traders, symbol), at, to)):
        at = hit.at
        state.set_prices(symbol, at)
        _follow(traders, symbol, at)
        hit.trigger.act(hit)
    state.set_prices(symbol, to)
    _follow(traders, symbol, to)
    for trader in traders:
        _expire_due(state, trader, symbol)
        _call_for_margin(state, trader, symbol)


@exact
def enforce_margin(state: State, symbol: str, mark: Decimal) -> None:
    """Liquidate, at a mark price, what a settlement has left no more margin than it needs."""
    before = Point(state.quotes[symbol].last, state.quotes[symbol].mark)
    state.set_prices(symbol, Point(before.last, mark))
    for trader in _concerned(state, symbol):
        for side in PositionSide:
            slot = slot_name(symbol, side)
            if trader.position(slot).amount and is_short_of_margin(state, trader, slot):
                liquidate_position(state, trader, symbol, side, mark)
    state.set_prices(symbol, before)


def _expire_due(state: State, trader: Trader, symbol: str) -> None:
    expire_due(state, trader, symbol)
    expire_due_algos(state, trader, symbol)


def _concerned(state: State, symbol: str) -> list[Trader]:
    """Return the accounts that hold or want anything of a symbol."""
    return [
        trader
        for trader in state.traders.values()
        if symbol in trader.books.positions
        and (any(trader.slots(symbol)) or trader.open_orders or trader.open_algo_orders)
    ]


def _triggers(state: State, traders: list[Trader], symbol: str) -> Iterator[Trigger[Act]]:
    """Yield what can be met now, the worst first."""
    for trader in traders:
        yield from _liquidations(state, trader, symbol)
    quotes = state.quotes[symbol]
    if not quotes.volume:
        return
    waiting = [(trader, order) for trader in traders for order in trader.open_algo_orders_of(symbol)]
    waiting.sort(key=lambda entry: _precedence(entry[1]))
    for trader, algo in waiting:
        yield from _conditional(state, trader, algo)
    if quotes.available == 0:
        return
    resting = [(trader, order) for trader in traders for order in trader.open_orders_of(symbol)]
    resting.sort(key=lambda entry: (_distance(entry[1], quotes.last), entry[1].queue_number))
    for trader, order in resting:
        act = partial(_fill_resting, state, trader, order)
        yield Trigger(act, order.price, order.side is Side.SELL, is_on_mark=False, is_beyond=True)


def _distance(order: Order, last: Decimal) -> Decimal:
    """Return how far the last price must go to meet a resting order; below zero where it is beyond it already."""
    return (last - order.price) * order.side.sign


def _precedence(order: AlgoOrder) -> tuple[bool, int]:
    return order.request.type in (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_MARKET), order.algo_id


def _liquidations(state: State, trader: Trader, symbol: str) -> Iterator[Trigger[Act]]:
    """Yield where positions are liquidated; of two that share a price the larger loser there first."""
    found: list[tuple[Decimal, PositionSide, Decimal, bool]] = []
    for side in PositionSide:
        position = trader.position(slot_name(symbol, side))
        if not position.amount:
            continue
        safe = safe_range(state, trader, symbol, side)
        for level, is_above in ((safe.low, False), (safe.high, True)):
            if level.is_finite():
                found.append((position.unrealized_pnl(level), side, level, is_above))
    found.sort(key=lambda entry: entry[0])
    for _, side, level, is_above in found:
        act = partial(_liquidate, state, trader, symbol, side, level)
        yield Trigger(act, denoised(level), is_above, is_on_mark=True)


def _liquidate(state: State, trader: Trader, symbol: str, side: PositionSide, level: Decimal, hit: Hit[Act]) -> None:
    liquidate_position(state, trader, symbol, side, hit.at.mark if hit.is_at_start else level)


def _conditional(state: State, trader: Trader, order: AlgoOrder) -> Iterator[Trigger[Act]]:
    request = order.request
    is_on_mark = request.working_type is WorkingType.MARK_PRICE
    if request.type is not OrderType.TRAILING_STOP_MARKET:
        assert request.trigger_price is not None
        act = partial(_trigger, state, trader, order)
        yield Trigger(act, request.trigger_price, is_met_above(request), is_on_mark)
        return
    if not order.is_active:
        assert request.activate_price is not None
        yield Trigger(partial(_activate, order), request.activate_price, request.side is Side.SELL, is_on_mark)
    else:
        level = denoised(trailing_level(order))
        yield Trigger(partial(_trigger, state, trader, order), level, request.side is Side.BUY, is_on_mark)


def _trigger(state: State, trader: Trader, order: AlgoOrder, _hit: Hit[Act]) -> None:
    trigger(state, trader, order)


def _activate(order: AlgoOrder, hit: Hit[Act]) -> None:
    order.is_active, order.extreme = True, working_price(order.request, hit.at)


def _follow(traders: list[Trader], symbol: str, at: Point) -> None:
    for trader in traders:
        for order in trader.open_algo_orders_of(symbol):
            if order.request.type is OrderType.TRAILING_STOP_MARKET:
                follow(order, working_price(order.request, at))


def _fill_resting(state: State, trader: Trader, order: Order, _hit: Hit[Act]) -> None:
    """Fill a resting order; what it would open and the account cannot pay for expires."""
    quotes, amount = state.quotes[order.symbol], fillable(trader, order)
    if quotes.available is not None:
        amount = min(amount, quotes.available)
    paid = payable(state, trader, order, amount)
    if paid:
        if quotes.available is not None:
            quotes.available -= paid
        fill_order(state, trader, order, paid, order.price, is_maker=True)
        quotes.update_id += 1
    if paid < amount and order.status.is_open:
        end_order(state, trader, order, Status.EXPIRED, ExpiryReason.NOT_FILLED_WHOLLY)


def _call_for_margin(state: State, trader: Trader, symbol: str) -> None:
    """Warn, once until it is better, of a position that is near its liquidation."""
    called = []
    for side in PositionSide:
        slot = slot_name(symbol, side)
        if not trader.position(slot).amount:
            trader.called.discard(slot)
            continue
        needed = trader.books.maintenance_margin(slot, state.marks[slot])
        if needed < MARGIN_CALL_RATIO * trader.books.position_margin(slot, state.marks):
            trader.called.discard(slot)
        elif slot not in trader.called:
            trader.called.add(slot)
            called.append(position_state(state, trader, symbol, side))
    if called:
        trader.outbox.append(MarginCall(state.now_ms, trader.cross_wallet, tuple(called)))
