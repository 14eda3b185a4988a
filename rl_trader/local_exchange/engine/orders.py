"""Orders, conditional orders and fills.

Prices in USDT per unit of the base asset, amounts in base asset and positive beside a side, money in USDT, times in
milliseconds since 1970 UTC.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.engine.words import (
    AlgoStatus,
    ExpiryReason,
    OrderType,
    PositionSide,
    Prevention,
    PriceMatch,
    Side,
    Status,
    TimeInForce,
    WorkingType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What somebody asks for."""

    symbol: str
    side: Side
    type: OrderType  # LIMIT or MARKET
    quantity: Decimal | None = None  # None only where everything is closed
    price: Decimal | None = None  # of a limit order without price match
    position_side: PositionSide = PositionSide.BOTH
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = False
    client_order_id: str | None = None  # None lets the exchange choose
    price_match: PriceMatch = PriceMatch.NONE
    prevention: Prevention = Prevention.EXPIRE_MAKER
    good_till_ms: int = 0  # of GTD


@dataclass(slots=True, kw_only=True)
class Order:
    """An order that the exchange has accepted."""

    order_id: int
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    position_side: PositionSide
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal  # 0 of a market order
    reduce_only: bool
    close_position: bool
    prevention: Prevention
    price_match: PriceMatch
    good_till_ms: int
    time_ms: int
    update_ms: int
    orig_type: OrderType  # of the conditional order that it came from, else its own
    stop_price: Decimal = ZERO  # that order's trigger price
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    price_protect: bool = False
    algo_id: int | None = None
    is_forced: bool = False  # by liquidation or deleveraging
    status: Status = Status.NEW
    executed: Decimal = ZERO
    quote: Decimal = ZERO  # USDT that were traded for it
    expiry_reason: ExpiryReason = ExpiryReason.NONE
    modify_id: int = 0
    num_amendments: int = 0
    queue_number: int = 0  # of two orders at one price the lower one is filled first

    @property
    def remaining(self) -> Decimal:
        """What is not filled yet."""
        return self.quantity - self.executed

    @property
    @exact
    def average_price(self) -> Decimal:
        """Of its fills; 0 without any."""
        return self.quote / self.executed if self.executed else ZERO

    @property
    def signed_remaining(self) -> Decimal:
        """What is not filled yet, negative of a sale."""
        return self.side.sign * self.remaining

    @property
    def closes_hedge(self) -> bool:
        """Whether it closes one of the two positions of hedge mode."""
        return self.position_side.is_closed_by(self.side)

    @property
    def only_reduces(self) -> bool:
        """Whether it may open nothing: in hedge mode every order that closes is of that kind."""
        return self.reduce_only or self.closes_hedge


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgoRequest:
    """What somebody asks for, once a price is met."""

    symbol: str
    side: Side
    type: OrderType  # a conditional one
    trigger_price: Decimal | None = None  # None only of a trailing stop
    quantity: Decimal | None = None  # None where the position is closed
    price: Decimal | None = None  # of STOP and TAKE_PROFIT without price match
    position_side: PositionSide = PositionSide.BOTH
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    close_position: bool = False
    price_protect: bool = False
    reduce_only: bool = False
    activate_price: Decimal | None = None  # of a trailing stop; None is the price now
    callback_rate: Decimal | None = None  # of a trailing stop, in per cent
    time_in_force: TimeInForce = TimeInForce.GTC
    price_match: PriceMatch = PriceMatch.NONE
    prevention: Prevention = Prevention.EXPIRE_MAKER
    good_till_ms: int = 0
    client_algo_id: str | None = None


@dataclass(slots=True, kw_only=True)
class AlgoOrder:
    """A conditional order that the exchange has accepted."""

    algo_id: int
    client_algo_id: str
    request: AlgoRequest
    time_ms: int
    update_ms: int
    trigger_ms: int = 0
    status: AlgoStatus = AlgoStatus.NEW
    actual_order_id: int | None = None  # of the order that it has become
    actual_price: Decimal = ZERO  # average of that order's fills
    actual_quantity: Decimal = ZERO  # of that order's fills
    is_active: bool = True  # False of a trailing stop before its activation price
    extreme: Decimal = ZERO  # of the price that it follows, what was best for a trailing stop since it is active
    reject_reason: str = ""


class Fill(NamedTuple):
    """One trade of an account."""

    trade_id: int
    order_id: int
    symbol: str
    side: Side
    position_side: PositionSide
    price: Decimal
    amount: Decimal
    realized: Decimal  # USDT, without the commission
    commission: Decimal  # positive where it was paid
    is_maker: bool
    time_ms: int
    commission_asset: str = "USDT"


class Amendment(NamedTuple):
    """One change of an open order."""

    amendment_id: int
    order_id: int
    symbol: str
    client_order_id: str
    time_ms: int
    price_before: Decimal
    price_after: Decimal
    quantity_before: Decimal
    quantity_after: Decimal
    num_amendments: int  # of the order, with this one
    modify_id: int


class MarginMove(NamedTuple):
    """One change of an isolated position's margin that the account asked for."""

    symbol: str
    position_side: PositionSide
    amount: Decimal  # USDT, negative where it was taken away
    time_ms: int


class Income(NamedTuple):
    """One booking of a wallet, as ``GET /fapi/v1/income`` has it."""

    tran_id: int
    symbol: str  # empty of a transfer
    type: str
    amount: Decimal  # USDT, signed
    time_ms: int
    trade_id: int | None  # that it belongs to
    before_rounding: Decimal  # USDT; the amount before it was rounded to 1e-8
    asset: str = "USDT"
