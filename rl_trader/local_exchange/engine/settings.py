"""How an account trades: leverage, margin mode, position mode, margin of a position, fees in BNB.

Source: the API documentation of USD-M futures, "Change Initial Leverage", "Change Margin Type", "Modify Isolated
Position Margin", "Change Position Mode", "Change Multi-Assets Mode" (read in autumn 2026). That lowering the leverage
of a cross position needs the margin to be available is an assumption, as are the codes where several fit.
"""

from decimal import Decimal

from rl_trader.errors import ContractError
from rl_trader.local_exchange.books.money import ZERO, booked, denoised, exact
from rl_trader.local_exchange.books.positions import MarginMode
from rl_trader.local_exchange.books.refusals import OrderError, RefusedError
from rl_trader.local_exchange.engine.bookings import tell_position
from rl_trader.local_exchange.engine.events import LeverageUpdate, MultiAssetsUpdate
from rl_trader.local_exchange.engine.orders import MarginMove
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader, slot_name
from rl_trader.local_exchange.engine.views import available_balance, largest_notional, position_sides
from rl_trader.local_exchange.engine.words import PositionSide, UpdateReason
from rl_trader.local_exchange.refusal_texts import TEXTS, refused


@exact
def set_leverage(state: State, trader: Trader, symbol: str, leverage: int) -> None:
    """Set a symbol's leverage.

    Raises:
        RefusedError: -4028, -4161, -2027 if a position is too large for it or orders could make it so, -2028 if the
            margin is not available.
    """
    quotes = state.quotes[symbol]
    trader.know(quotes)
    setting = trader.setting(symbol)
    try:
        quotes.terms.check_leverage(leverage)
    except ContractError:
        raise refused(-4028, leverage) from None
    held = list(trader.slots(symbol))
    if held and setting.is_isolated and leverage < setting.leverage:
        raise refused(-4161)
    if largest_notional(trader, quotes) > quotes.terms.max_notional(leverage):
        raise refused(-2027)
    trader.set_symbol(quotes.terms, setting.margin_mode, leverage)
    if leverage < setting.leverage and (held or trader.open_orders) and available_balance(state, trader) < 0:
        trader.set_symbol(quotes.terms, setting.margin_mode, setting.leverage)
        raise refused(-2028)
    trader.outbox.append(LeverageUpdate(state.now_ms, symbol, leverage))


@exact
def set_margin_mode(state: State, trader: Trader, symbol: str, margin_mode: MarginMode) -> None:
    """Set whose money stands behind a symbol's positions.

    Raises:
        RefusedError: -4046 if it is so already, -4047 with open orders, -4048 with a position, -4167 in multi-assets
            mode.
    """
    quotes = state.quotes[symbol]
    trader.know(quotes)
    setting = trader.setting(symbol)
    if setting.margin_mode is margin_mode:
        raise refused(-4046)
    if trader.is_multi_assets and margin_mode is MarginMode.ISOLATED:
        raise refused(-4167)
    if trader.open_orders_of(symbol):
        raise refused(-4047)
    if any(trader.slots(symbol)):
        raise refused(-4048)
    trader.set_symbol(quotes.terms, margin_mode, setting.leverage)
    for side in position_sides(trader):
        tell_position(state, trader, UpdateReason.MARGIN_TYPE_CHANGE, symbol, side)


def set_position_mode(trader: Trader, *, is_hedged: bool) -> None:
    """Set whether a symbol has two positions, for all symbols.

    Raises:
        RefusedError: -4059 if it is so already, -4067 with open orders, -4068 with a position.
    """
    if trader.is_hedged == is_hedged:
        raise refused(-4059)
    if trader.open_orders or trader.open_algo_orders:
        raise refused(-4067)
    if trader.held_slots():
        raise refused(-4068)
    trader.is_hedged = is_hedged


def set_multi_assets(state: State, trader: Trader, *, is_multi_assets: bool) -> None:
    """Set whether several assets back the cross positions; this exchange has USDT alone, so that nothing else changes.

    Raises:
        RefusedError: -4171 if it is so already, -4167 with an isolated symbol that has a position or orders.
    """
    if trader.is_multi_assets == is_multi_assets:
        raise refused(-4171)
    symbols = {order.symbol for order in trader.open_orders.values()} | {s.split(":")[0] for s in trader.held_slots()}
    if is_multi_assets and any(trader.is_isolated(symbol) for symbol in symbols):
        raise refused(-4167)
    trader.is_multi_assets = is_multi_assets
    trader.outbox.append(MultiAssetsUpdate(state.now_ms, is_multi_assets))


@exact
def move_margin(state: State, trader: Trader, symbol: str, side: PositionSide, amount: Decimal) -> None:
    """Set more (positive) or less (negative) of the wallet aside for an isolated position.

    Raises:
        RefusedError: -4049, -4050, -4051, -4054 or -4055.
    """
    trader.know(state.quotes[symbol])
    if trader.is_hedged == (side is PositionSide.BOTH):
        raise refused(-4061)
    slot = slot_name(symbol, side)
    is_movable = trader.is_isolated(symbol) and trader.position(slot).amount
    if is_movable and denoised(amount - max(available_balance(state, trader), ZERO)) > 0:
        raise refused(-4050)  # what open orders bind cannot be moved either
    try:
        trader.books.move_margin(slot, amount, state.marks)
    except OrderError:
        raise refused(-4055) from None
    except RefusedError as refusal:
        raise refused(refusal.code) if refusal.code in TEXTS else refusal from None
    trader.margin_moves.append(MarginMove(symbol, side, booked(amount), state.now_ms))
    tell_position(state, trader, UpdateReason.MARGIN_TRANSFER, symbol, side)
