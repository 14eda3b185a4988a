"""Trades and the end of orders: what they book, and whom they tell."""

from copy import copy
from decimal import Decimal
from typing import Final

from rl_trader.local_exchange.books.income import IncomeKind, IncomeLine
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.engine.events import AccountUpdate, AlgoUpdate, OrderUpdate, WalletState
from rl_trader.local_exchange.engine.orders import AlgoOrder, Fill, Order
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import BNB, USDT, Trader
from rl_trader.local_exchange.engine.views import open_notional, position_state, wallet_state
from rl_trader.local_exchange.engine.words import (
    AlgoStatus,
    Execution,
    ExpiryReason,
    PositionSide,
    Side,
    Status,
    UpdateReason,
)

CLEARED: Final = (IncomeKind.LIQUIDATION_FEE, IncomeKind.INSURANCE)  # between an account and the insurance fund


def tell_order(state: State, trader: Trader, order: Order, execution: Execution, fill: Fill | None = None) -> None:
    """Send an order update."""
    bids, asks = open_notional(trader, order.symbol, Side.BUY), open_notional(trader, order.symbol, Side.SELL)
    trader.outbox.append(OrderUpdate(state.now_ms, copy(order), execution, fill, bids, asks))


def tell_algo(state: State, trader: Trader, order: AlgoOrder) -> None:
    """Send an update of a conditional order."""
    order.update_ms = state.now_ms
    trader.outbox.append(AlgoUpdate(state.now_ms, copy(order)))


def tell_position(
    state: State,
    trader: Trader,
    reason: UpdateReason,
    symbol: str,
    side: PositionSide,
    change: Decimal = ZERO,
    bnb: Decimal | None = None,
) -> None:
    """Send an account update with the wallet and one position, and with the BNB where they have changed."""
    wallet = wallet_state(trader, change)
    positions = (position_state(state, trader, symbol, side),)
    trader.outbox.append(AccountUpdate(state.now_ms, reason, wallet, positions, None, bnb))


def tell_wallet(state: State, trader: Trader, reason: UpdateReason, change: Decimal, symbol: str | None) -> None:
    """Send an account update with the wallet alone."""
    wallet: WalletState = wallet_state(trader, change)
    trader.outbox.append(AccountUpdate(state.now_ms, reason, wallet, (), symbol))


@exact
def book_trade(
    state: State,
    trader: Trader,
    order: Order,
    amount: Decimal,
    price: Decimal,
    trade_id: int,
    *,
    is_maker: bool,
    rate: Decimal | None = None,
) -> Fill:
    """Fill an order, in part or wholly.

    Args:
        state: Of the exchange.
        trader: Whose order.
        order: Open; changed.
        amount: Base asset, positive.
        price: At which.
        trade_id: Number of the trade.
        is_maker: Whether the order rested.
        rate: Of the fee; None is the account's.
    """
    quotes, slot = state.quotes[order.symbol], trader.slot_of(order)
    held, signed = trader.position(slot).amount, order.side.sign * amount
    paid = None
    if rate is None:
        rate = trader.fee_rate(quotes, is_maker=is_maker)
        paid = trader.pay_in_bnb(amount * price * rate)
        if paid is None and trader.bnb is not None:  # not enough of it
            rate = trader.listed_rate(quotes, is_maker=is_maker)
    lines = trader.books.fill(slot, signed, price, rate if paid is None else ZERO)
    if paid is not None:
        lines = tuple(line for line in lines if line.kind is not IncomeKind.COMMISSION)
    lines += trader.books.cover_shortfall(slot)
    settle_with_fund(state, lines)
    return note_trade(
        state,
        trader,
        order,
        lines,
        amount=amount,
        price=price,
        trade_id=trade_id,
        is_maker=is_maker,
        held=held,
        paid=paid,
    )


def note_trade(
    state: State,
    trader: Trader,
    order: Order,
    lines: tuple[IncomeLine, ...],
    *,
    amount: Decimal,
    price: Decimal,
    trade_id: int,
    is_maker: bool,
    held: Decimal,
    paid: Decimal | None = None,
) -> Fill:
    """Note on an order, and tell, a trade that the books have booked.

    Args:
        state: Of the exchange.
        trader: Whose order.
        order: Changed.
        lines: That the books have booked.
        amount: Base asset, positive.
        price: At which.
        trade_id: Number of the trade.
        is_maker: Whether the order rested.
        held: Position before it.
        paid: Fee in BNB; None where the books have it.
    """
    slot = trader.slot_of(order)
    realized = sum((line.amount for line in lines if line.kind is IncomeKind.REALIZED_PNL), ZERO)
    commission = -sum((line.amount for line in lines if line.kind is IncomeKind.COMMISSION), ZERO)
    _note_cost(trader, slot, held, order.side.sign * amount, price, commission)
    trader.realized[slot] = trader.realized.get(slot, ZERO) + realized
    trader.updated_ms[slot] = state.now_ms
    fill = Fill(
        trade_id=trade_id,
        order_id=order.order_id,
        symbol=order.symbol,
        side=order.side,
        position_side=order.position_side,
        price=price,
        amount=amount,
        realized=realized,
        commission=commission if paid is None else paid,
        is_maker=is_maker,
        time_ms=state.now_ms,
        commission_asset=USDT if paid is None else BNB,
    )
    trader.fills.append(fill)
    trader.note_income(lines, order.symbol, state.now_ms, trade_id)
    if paid is not None:
        trader.note_bnb(paid, order.symbol, state.now_ms, trade_id)
    order.executed += amount
    order.quote += amount * price
    order.update_ms = state.now_ms
    order.status = Status.PARTIALLY_FILLED if order.remaining else Status.FILLED
    if not order.remaining:
        trader.open_orders.pop(order.order_id, None)
    return fill


def settle_with_fund(state: State, lines: tuple[IncomeLine, ...]) -> Decimal:
    """Let the insurance fund have the liquidation fees of bookings and pay its part, and return what it has not."""
    return state.insure(sum((line.amount for line in lines if line.kind in CLEARED), ZERO))


def tell_trade(state: State, trader: Trader, order: Order, fill: Fill, execution: Execution = Execution.TRADE) -> None:
    """Send what a trade has changed, and end what it has left nothing to do for."""
    bnb = trader.bnb.balance if trader.bnb is not None and fill.commission_asset == BNB else None
    tell_position(state, trader, UpdateReason.ORDER, order.symbol, order.position_side, bnb=bnb)
    tell_order(state, trader, order, execution, fill)
    if not order.status.is_open:
        _finish_algo(state, trader, order)
    _expire_idle_reductions(state, trader, order.symbol, order.position_side)


def _note_cost(trader: Trader, slot: str, held: Decimal, signed: Decimal, price: Decimal, commission: Decimal) -> None:
    """Keep what the open position has cost with its fees: its break-even price times its amount."""
    left = held + signed
    if not left:
        trader.costs.pop(slot, None)
    elif held * left < 0:  # through zero: the fee of the part that opens
        trader.costs[slot] = left * price + commission * abs(left / signed)
    else:
        trader.costs[slot] = trader.costs.get(slot, ZERO) + signed * price + commission


def _expire_idle_reductions(state: State, trader: Trader, symbol: str, position_side: PositionSide) -> None:
    """Let orders expire that only reduce and have no position left to reduce."""
    for order in trader.open_orders_of(symbol):
        if not order.only_reduces or order.position_side is not position_side:
            continue
        if trader.position(trader.slot_of(order)).amount * order.side.sign >= 0:
            end_order(state, trader, order, Status.EXPIRED, ExpiryReason.NOTHING_TO_REDUCE)


def end_order(
    state: State, trader: Trader, order: Order, status: Status, reason: ExpiryReason = ExpiryReason.NONE
) -> None:
    """End an open order that is not filled."""
    order.status, order.expiry_reason, order.update_ms = status, reason, state.now_ms
    trader.open_orders.pop(order.order_id, None)
    state.quotes[order.symbol].update_id += 1
    execution = Execution.CANCELED if status is Status.CANCELED else Execution.EXPIRED
    tell_order(state, trader, order, execution)
    _finish_algo(state, trader, order)


def _finish_algo(state: State, trader: Trader, order: Order) -> None:
    """Note on the conditional order that an order came from how it has ended."""
    if order.algo_id is None:
        return
    algo = trader.algo_orders[order.algo_id]
    algo.status = AlgoStatus.FINISHED
    algo.actual_price, algo.actual_quantity = order.average_price, order.executed
    tell_algo(state, trader, algo)
