"""What an account looks like at one moment: positions, wallet, and what its open orders bind.

How much margin open orders bind is not published in full: here, as the FAQ "How to Calculate Cost Required to Open a
Position" has it for one order, each order binds its initial margin, its loss against the mark price and its fee for
what it would open, less the margin of what it closes before, and of both sides of a symbol in one-way mode only the
dearer one counts (an assumption).

Money in USDT.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from rl_trader.local_exchange.books.account import Account
from rl_trader.local_exchange.books.checks import opening_cost
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.books.positions import Position
from rl_trader.local_exchange.engine.events import PositionState, WalletState
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader, slot_name
from rl_trader.local_exchange.engine.words import PositionSide, Side


class Wanted(NamedTuple):
    """An order, as far as it binds margin."""

    side: Side
    position_side: PositionSide
    amount: Decimal
    price: Decimal
    fee_rate: Decimal


@exact
def position_state(state: State, trader: Trader, symbol: str, side: PositionSide) -> PositionState:
    """Return a position at the present mark price; it may be flat."""
    slot = slot_name(symbol, side)
    position, mark, books = trader.position(slot), state.marks[slot], trader.books
    cost = trader.costs.get(slot, ZERO)
    return PositionState(
        symbol=symbol,
        side=side,
        amount=position.amount,
        entry_price=position.entry_price,
        break_even_price=cost / position.amount if position.amount else ZERO,
        accumulated_realized=trader.realized.get(slot, ZERO),
        unrealized_pnl=position.unrealized_pnl(mark),
        mark_price=mark,
        maintenance_margin=books.maintenance_margin(slot, mark) if position.amount else ZERO,
        is_isolated=trader.is_isolated(symbol),
        isolated_wallet=position.isolated_wallet,
    )


@exact
def wallet_state(trader: Trader, change: Decimal = ZERO) -> WalletState:
    """Return the wallet, and what changed it but for profit and commission."""
    return WalletState(trader.books.wallet_balance, trader.cross_wallet, change)


def position_sides(trader: Trader) -> tuple[PositionSide, ...]:
    """Return the sides that the account's mode has."""
    return (PositionSide.LONG, PositionSide.SHORT) if trader.is_hedged else (PositionSide.BOTH,)


@exact
def open_notional(trader: Trader, symbol: str, side: Side) -> Decimal:
    """Return the notional of the open orders of one side, at their own prices."""
    orders = trader.open_orders_of(symbol)
    return sum((order.remaining * order.price for order in orders if order.side is side), ZERO)


@exact
def order_cost(
    trader: Trader, books: Account, quotes: Quotes, wanted: Wanted | None = None, besides: Order | None = None
) -> Decimal:
    """Return what a symbol's open orders bind, and one that is wanted with them.

    Args:
        trader: Whose orders.
        books: That hold the positions which orders of the other side close.
        quotes: Of the symbol.
        wanted: Comes last.
        besides: An open order that does not count.
    """
    orders = [_as_wanted(trader, quotes, order) for order in _binding(trader, quotes.symbol, besides)]
    if wanted:
        orders.append(wanted)
    if not orders:
        return ZERO
    return sum((_cost_of(trader, books, quotes, orders, side) for side in position_sides(trader)), ZERO)


@exact
def order_cost_of(trader: Trader, quotes: Quotes, position_side: PositionSide) -> Decimal:
    """Return what a symbol's open orders for one of its positions bind; of every side together it is their cost."""
    orders = [_as_wanted(trader, quotes, order) for order in _binding(trader, quotes.symbol, None)]
    return _cost_of(trader, trader.books, quotes, orders, position_side)


def _cost_of(
    trader: Trader, books: Account, quotes: Quotes, orders: list[Wanted], position_side: PositionSide
) -> Decimal:
    """Return what orders for one position bind: the dearer side; in hedge mode the other one opens nothing."""
    position = books.positions[slot_name(quotes.symbol, position_side)]
    leverage = trader.setting(quotes.symbol).leverage
    freed = _freed_margin(position, quotes.mark, leverage, is_isolated=trader.is_isolated(quotes.symbol))
    buys, sells = (
        _side_cost(
            [order for order in orders if order.side is side and order.position_side is position_side],
            max(-position.amount * side.sign, ZERO),
            freed,
            quotes.mark,
            leverage,
        )
        for side in Side
    )
    return max(buys, sells)


def _binding(trader: Trader, symbol: str, besides: Order | None) -> Iterable[Order]:
    return (o for o in trader.open_orders_of(symbol) if not o.reduce_only and o is not besides)


def amount_wanted(
    trader: Trader, symbol: str, side: Side, position_side: PositionSide, besides: Order | None = None
) -> Decimal:
    """Return what open orders that may open or add would fill of one side."""
    orders = (o for o in _binding(trader, symbol, besides) if o.side is side and o.position_side is position_side)
    return sum((order.remaining for order in orders), ZERO)


@exact
def largest_notional(trader: Trader, quotes: Quotes) -> Decimal:
    """Return the notional at the mark price of the largest position that a symbol has or its open orders could make."""
    sizes = [ZERO]
    for position_side in position_sides(trader):
        held = trader.position(slot_name(quotes.symbol, position_side)).amount
        sizes.append(abs(held))
        for side in Side:
            if not position_side.is_closed_by(side):
                sizes.append(held * side.sign + amount_wanted(trader, quotes.symbol, side, position_side))
    return max(sizes) * quotes.mark


def _as_wanted(trader: Trader, quotes: Quotes, order: Order) -> Wanted:
    rate = trader.fee_rate(quotes, is_maker=True)
    return Wanted(order.side, order.position_side, order.remaining, order.price, rate)


def _freed_margin(position: Position, mark: Decimal, leverage: int, *, is_isolated: bool) -> Decimal:
    """Return how much margin each unit of a position gives free when it is closed."""
    if not is_isolated or not position.amount:
        return mark / leverage
    margin = position.isolated_wallet + min(position.unrealized_pnl(mark), ZERO)
    return max(margin / abs(position.amount), ZERO)


def _side_cost(orders: list[Wanted], covered: Decimal, freed: Decimal, mark: Decimal, leverage: int) -> Decimal:
    """Return what orders of one side bind beyond what only closes the opposite position and is freed by that."""
    cost = ZERO
    for order in orders:
        closing = order.amount if order.position_side.is_closed_by(order.side) else min(order.amount, covered)
        covered -= min(closing, covered)
        if order.position_side is PositionSide.BOTH:
            cost -= closing * freed
        if opening := order.amount - closing:
            cost += opening_cost(order.side.sign * opening, order.price, mark, leverage, order.fee_rate)
    return max(cost, ZERO)


@exact
def bound_by_orders(state: State, trader: Trader, besides: str | None = None) -> Decimal:
    """Return what the open orders of every symbol bind, but for one symbol's."""
    symbols = dict.fromkeys(order.symbol for order in trader.open_orders.values())
    costs = (order_cost(trader, trader.books, state.quotes[symbol]) for symbol in symbols if symbol != besides)
    return sum(costs, ZERO)


@exact
def available_balance(state: State, trader: Trader) -> Decimal:
    """Return what new orders may cost; below zero where more is bound than there is."""
    return trader.books.available_balance(state.marks) - bound_by_orders(state, trader)
