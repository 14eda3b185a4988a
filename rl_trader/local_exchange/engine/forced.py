"""Liquidations, and the deleveraging of others where the insurance fund cannot pay.

The books say how much of a position goes and what it costs
(:mod:`rl_trader.local_exchange.books.liquidation`). Here the orders of the account are cancelled before (FAQ
"Liquidation Protocols"), and it is told by an order whose client id begins with ``autoclose-``. In hedge mode both
positions of a symbol in cross margin share one liquidation price. Assumptions: the larger loser goes first there, and
who is deleveraged is found by profit over margin times leverage, as the FAQ "What Is Auto-Deleveraging" ranks (both
read in autumn 2026).

Prices in USDT per unit of the base asset, money in USDT.
"""

from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple

from rl_trader.local_exchange.books.liquidation import (
    INFINITE,
    bankruptcy_price,
    liquidate,
    solve_liquidation_price,
)
from rl_trader.local_exchange.books.money import ZERO, booked, denoised, exact
from rl_trader.local_exchange.books.positions import Position
from rl_trader.local_exchange.books.terms import Bracket
from rl_trader.local_exchange.engine.bookings import (
    CLEARED,
    book_trade,
    end_order,
    note_trade,
    settle_with_fund,
    tell_order,
    tell_trade,
    tell_wallet,
)
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader, slot_name
from rl_trader.local_exchange.engine.words import (
    Execution,
    ExpiryReason,
    OrderType,
    PositionSide,
    Prevention,
    PriceMatch,
    Side,
    Status,
    TimeInForce,
    UpdateReason,
)

_FORCED_IDS: Final = 1_000_000  # that differ at one instant


class SafeRange(NamedTuple):
    """The mark prices between which both positions of a symbol have enough margin."""

    low: Decimal
    high: Decimal


@exact
def safe_range(state: State, trader: Trader, symbol: str, side: PositionSide) -> SafeRange:
    """Return the mark prices between which a position is not liquidated; infinite where there is no such price."""
    slot = slot_name(symbol, side)
    position, books = trader.position(slot), trader.books
    terms = trader.setting(symbol).terms
    other = _other_leg(trader, symbol, side)
    collateral = books.collateral(slot, state.marks)
    if other is None:
        level = solve_liquidation_price(position, collateral, terms.brackets)
        return SafeRange(level, INFINITE) if position.amount > 0 else SafeRange(-INFINITE, level)
    mark = state.marks[slot]
    collateral += terms.maintenance_margin(other.notional(mark)) - other.unrealized_pnl(mark)
    return solve_safe_range((position, other), collateral, terms.brackets) or SafeRange(mark, mark)


@exact
def shown_liquidation_price(state: State, trader: Trader, symbol: str, side: PositionSide) -> Decimal:
    """Return the one price that is shown of a position: where a long one ends below, a short one above, else 0."""
    position = trader.position(slot_name(symbol, side))
    if not position.amount:
        return ZERO
    safe = safe_range(state, trader, symbol, side)
    first, second = (safe.low, safe.high) if position.amount > 0 else (safe.high, safe.low)
    shown = first if first.is_finite() and first > 0 else second
    return shown if shown.is_finite() and shown > 0 else ZERO


def _other_leg(trader: Trader, symbol: str, side: PositionSide) -> Position | None:
    """Return the other position of hedge mode, if both share the cross wallet."""
    if side is PositionSide.BOTH or trader.is_isolated(symbol):
        return None
    other = PositionSide.SHORT if side is PositionSide.LONG else PositionSide.LONG
    position = trader.position(slot_name(symbol, other))
    return position if position.amount else None


@exact
def solve_safe_range(
    positions: tuple[Position, ...], collateral: Decimal, brackets: tuple[Bracket, ...]
) -> SafeRange | None:
    """Return where the margin of positions at one mark price exceeds their maintenance margin, None if nowhere.

    The excess is linear between the prices at which a position changes its bracket, and concave but for the steps that
    rounded maintenance amounts make there; where such a step takes it below zero, that is the price.
    """
    edges = sorted({ZERO, *(b.cap / abs(p.amount) for p in positions for b in brackets[:-1])})
    low: Decimal | None = None
    high = INFINITE
    for start, end in pairwise([*edges, INFINITE]):
        value, slope = _excess(positions, collateral, brackets, start)
        root = start - value / slope if slope else INFINITE
        if value > 0 and low is None:
            low = start if start else -INFINITE
        if slope > 0 and low is None and root < end:
            low = root
        if low is not None and slope < 0 and root < end:
            return SafeRange(low, max(root, start))
    return None if low is None else SafeRange(low, high)


def _excess(
    positions: tuple[Position, ...], collateral: Decimal, brackets: tuple[Bracket, ...], price: Decimal
) -> tuple[Decimal, Decimal]:
    """Return the excess of margin at a mark price, and how it changes just above it."""
    value, slope = collateral, ZERO
    for position in positions:
        size = abs(position.amount)
        bracket = next((b for b in brackets if denoised(size * price) < b.cap), brackets[-1])
        value += position.unrealized_pnl(price) - size * price * bracket.rate + bracket.amount
        slope += position.amount - size * bracket.rate
    return value, slope


@exact
def is_bankrupt(state: State, trader: Trader, slot: str) -> bool:
    """Return whether a position has lost more than stands behind it."""
    return denoised(trader.books.position_margin(slot, state.marks)) < 0


@exact
def is_short_of_margin(state: State, trader: Trader, slot: str) -> bool:
    """Return whether a position has no more margin than it needs."""
    books, marks = trader.books, state.marks
    return denoised(books.position_margin(slot, marks) - books.maintenance_margin(slot, marks[slot])) <= 0


@exact
def liquidate_position(state: State, trader: Trader, symbol: str, side: PositionSide, mark: Decimal) -> None:
    """Take away as much of a position as its margin demands, at a mark price."""
    slot = slot_name(symbol, side)
    _cancel_orders(state, trader, symbol)
    held = trader.position(slot).amount
    bankruptcy = bankruptcy_price(trader.books, slot)
    lines = liquidate(trader.books, slot, mark, state.marks)
    signed = trader.position(slot).amount - held
    order = _forced_order(state, trader, symbol, side, signed, mark, "autoclose-")
    quotes = state.quotes[symbol]
    public = quotes.record_trade(state.now_ms, mark, abs(signed), is_buyer_maker=signed < 0)
    fill = note_trade(
        state,
        trader,
        order,
        lines,
        amount=abs(signed),
        price=mark,
        trade_id=public.trade_id,
        is_maker=False,
        held=held,
    )
    state.note_force_order(order)
    tell_trade(state, trader, order, fill, Execution.CALCULATED)
    if change := sum((line.amount for line in lines if line.kind in CLEARED), ZERO):
        tell_wallet(state, trader, UpdateReason.INSURANCE_CLEAR, change, None)
    if settle_with_fund(state, lines):
        _deleverage(state, trader, symbol, signed, abs(bankruptcy - mark), bankruptcy)


def _cancel_orders(state: State, trader: Trader, symbol: str) -> None:
    """Cancel what could use up margin: in isolated margin the symbol's orders, in cross margin every one."""
    for order in list(trader.open_orders.values()):
        if order.symbol == symbol or not trader.is_isolated(symbol):
            end_order(state, trader, order, Status.EXPIRED, ExpiryReason.LIQUIDATION)


def _forced_order(
    state: State, trader: Trader, symbol: str, side: PositionSide, signed: Decimal, price: Decimal, prefix: str
) -> Order:
    """Return the order that a forced trade is told by, kept and not open."""
    order_id = state.next_order_id
    order = Order(
        order_id=order_id,
        client_order_id=f"{prefix}{state.now_ms}{order_id % _FORCED_IDS:06d}",  # of the exchange's own form
        symbol=symbol,
        side=Side.BUY if signed > 0 else Side.SELL,
        type=OrderType.LIMIT,
        position_side=side,
        time_in_force=TimeInForce.IOC,
        quantity=abs(signed),
        price=price,
        reduce_only=True,
        close_position=False,
        prevention=Prevention.NONE,
        price_match=PriceMatch.NONE,
        good_till_ms=0,
        time_ms=state.now_ms,
        update_ms=state.now_ms,
        orig_type=OrderType.LIMIT,
        is_forced=True,
    )
    state.keep_order(trader, order)
    tell_order(state, trader, order, Execution.NEW)
    return order


def _deleverage(state: State, loser: Trader, symbol: str, signed: Decimal, gap: Decimal, price: Decimal) -> None:
    """Let the positions on the other side be closed at the bankruptcy price, which pays the fund back.

    Args:
        state: Of the exchange.
        loser: Who was liquidated.
        symbol: Which.
        signed: What was traded in the liquidation.
        gap: USDT of each unit between bankruptcy price and the price of the liquidation.
        price: The bankruptcy price.
    """
    needed = abs(signed)
    for trader, side in ranked_winners(state, symbol, is_long=signed > 0):
        if trader is loser or not needed:
            continue
        slot = slot_name(symbol, side)
        held = trader.position(slot).amount
        amount = min(needed, abs(held))
        needed -= amount
        closing = (-amount).copy_sign(-held)
        order = _forced_order(state, trader, symbol, side, closing, price, "adl_autoclose_")
        public = state.quotes[symbol].record_trade(state.now_ms, price, amount, is_buyer_maker=closing < 0)
        fill = book_trade(state, trader, order, amount, price, public.trade_id, is_maker=False, rate=ZERO)
        tell_trade(state, trader, order, fill, Execution.CALCULATED)
        state.insure(-booked(amount * gap))


@exact
def ranked_winners(state: State, symbol: str, *, is_long: bool) -> list[tuple[Trader, PositionSide]]:
    """Return whose positions of one side of a symbol are deleveraged first."""
    found = [
        (_rank(state, trader, slot_name(symbol, side)), trader, side)
        for trader in state.traders.values()
        if symbol in trader.books.positions
        for side in PositionSide
        if (trader.position(slot_name(symbol, side)).amount > 0) == is_long
        and trader.position(slot_name(symbol, side)).amount
    ]
    found.sort(key=lambda entry: -entry[0])
    return [(trader, side) for _, trader, side in found]


def _rank(state: State, trader: Trader, slot: str) -> Decimal:
    """Return profit over margin, times leverage; a loss over leverage."""
    position, mark = trader.position(slot), state.marks[slot]
    profit, margin = position.unrealized_pnl(mark), trader.books.position_margin(slot, state.marks)
    if margin <= 0:
        return -INFINITE
    leverage = position.notional(mark) / margin
    return profit / margin * leverage if profit > 0 else profit / margin / leverage
