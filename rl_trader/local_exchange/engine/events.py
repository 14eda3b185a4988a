"""What an account is told of by its user data stream, before it is written as JSON.

Each event holds copies, so that what happens later does not change it. Source: the API documentation of USD-M futures,
"User Data Streams" (read in autumn 2026).
"""

from decimal import Decimal
from typing import NamedTuple

from rl_trader.local_exchange.engine.orders import AlgoOrder, Fill, Order
from rl_trader.local_exchange.engine.words import Execution, PositionSide, UpdateReason


class PositionState(NamedTuple):
    """A position at one moment."""

    symbol: str
    side: PositionSide
    amount: Decimal  # base asset, signed
    entry_price: Decimal
    break_even_price: Decimal
    accumulated_realized: Decimal  # USDT, since the account was opened
    unrealized_pnl: Decimal  # USDT
    mark_price: Decimal
    maintenance_margin: Decimal  # USDT
    is_isolated: bool
    isolated_wallet: Decimal  # USDT


class WalletState(NamedTuple):
    """The wallet at one moment."""

    wallet_balance: Decimal  # USDT
    cross_wallet: Decimal  # USDT, what no isolated position has
    change: Decimal  # USDT, but for profit and commission


class OrderUpdate(NamedTuple):
    """ORDER_TRADE_UPDATE."""

    time_ms: int
    order: Order
    execution: Execution
    fill: Fill | None
    bids_notional: Decimal  # USDT of the account's open purchases of the symbol
    asks_notional: Decimal  # and sales


class AccountUpdate(NamedTuple):
    """ACCOUNT_UPDATE."""

    time_ms: int
    reason: UpdateReason
    wallet: WalletState | None  # None if it has not changed
    positions: tuple[PositionState, ...]  # that have changed
    symbol: str | None  # of a funding settlement
    bnb: Decimal | None = None  # what the account has of it, where a fee was taken from that


class AlgoUpdate(NamedTuple):
    """ALGO_UPDATE."""

    time_ms: int
    order: AlgoOrder


class LeverageUpdate(NamedTuple):
    """ACCOUNT_CONFIG_UPDATE of a symbol's leverage."""

    time_ms: int
    symbol: str
    leverage: int


class MultiAssetsUpdate(NamedTuple):
    """ACCOUNT_CONFIG_UPDATE of the multi-assets mode."""

    time_ms: int
    is_multi_assets: bool


class MarginCall(NamedTuple):
    """MARGIN_CALL."""

    time_ms: int
    cross_wallet: Decimal  # USDT
    positions: tuple[PositionState, ...]


UserEvent = OrderUpdate | AccountUpdate | AlgoUpdate | LeverageUpdate | MultiAssetsUpdate | MarginCall
