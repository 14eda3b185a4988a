"""The API's words for orders: each member's value is what the API writes.

Source: the API documentation of USD-M futures, "Common Definition" and "New Order" (read in autumn 2026).
"""

from enum import IntEnum, StrEnum


class Side(StrEnum):
    """Whether an order buys or sells."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """1 for a purchase, -1 for a sale."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The other one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class PositionSide(StrEnum):
    """Which position an order is for: the only one, or in hedge mode the long or the short one."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"

    def is_closed_by(self, side: Side) -> bool:
        """Whether an order of that side can only close it: a sale of the long one, a purchase of the short one."""
        return (self, side) in ((PositionSide.LONG, Side.SELL), (PositionSide.SHORT, Side.BUY))


class OrderType(StrEnum):
    """How an order is carried out."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"

    @property
    def is_conditional(self) -> bool:
        """Whether it waits for a price before it is an order."""
        return self not in (OrderType.LIMIT, OrderType.MARKET)

    @property
    def is_market(self) -> bool:
        """Whether it fills at any price once it is an order."""
        return self not in (OrderType.LIMIT, OrderType.STOP, OrderType.TAKE_PROFIT)


class TimeInForce(StrEnum):
    """How long an order rests."""

    GTC = "GTC"  # until cancelled
    IOC = "IOC"  # what does not fill at once expires
    FOK = "FOK"  # all at once or not at all
    GTX = "GTX"  # only if it rests: post-only
    GTD = "GTD"  # until a date


class Status(StrEnum):
    """Where an order stands."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def is_open(self) -> bool:
        """Whether more may come of it."""
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


class AlgoStatus(StrEnum):
    """Where a conditional order stands."""

    NEW = "NEW"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


class Execution(StrEnum):
    """Why an order update is sent."""

    NEW = "NEW"
    CANCELED = "CANCELED"
    CALCULATED = "CALCULATED"  # liquidation or auto-deleveraging
    EXPIRED = "EXPIRED"
    TRADE = "TRADE"
    AMENDMENT = "AMENDMENT"


class ExpiryReason(IntEnum):
    """Why an order expired, by the numbers of ORDER_TRADE_UPDATE's field ``er``."""

    NONE = 0
    SELF_TRADE = 1
    NOT_FILLED_AT_ONCE = 2
    NOTHING_TO_REDUCE = 4
    LIQUIDATION = 5
    NOT_FILLED_WHOLLY = 9


class Prevention(StrEnum):
    """Whose order expires where an account would trade with itself."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class PriceMatch(StrEnum):
    """Which price of the book a limit order takes as its own."""

    NONE = "NONE"
    OPPONENT = "OPPONENT"
    OPPONENT_5 = "OPPONENT_5"
    QUEUE = "QUEUE"
    QUEUE_5 = "QUEUE_5"
    QUEUE_10 = "QUEUE_10"
    QUEUE_20 = "QUEUE_20"


class WorkingType(StrEnum):
    """Which price a conditional order waits for."""

    MARK_PRICE = "MARK_PRICE"
    CONTRACT_PRICE = "CONTRACT_PRICE"


class UpdateReason(StrEnum):
    """Why an account update is sent."""

    DEPOSIT = "DEPOSIT"
    ORDER = "ORDER"
    FUNDING_FEE = "FUNDING_FEE"
    INSURANCE_CLEAR = "INSURANCE_CLEAR"
    MARGIN_TRANSFER = "MARGIN_TRANSFER"
    MARGIN_TYPE_CHANGE = "MARGIN_TYPE_CHANGE"
