"""What one bar brings to an account: its prices, the funding due in it, the order, and how orders fill.

Prices in USDT per unit of the base asset, amounts and volume in base asset (amounts signed, positive is bought), times
in milliseconds since 1970 UTC, rates and slippage as fractions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from rl_trader.errors import ConfigError, DataError
from rl_trader.local_exchange.books.money import ZERO, exact, is_number, is_positive
from rl_trader.local_exchange.books.refusals import OrderError


@dataclass(frozen=True, slots=True, kw_only=True)
class BookBar:
    """One kline of last and mark price.

    Raises:
        DataError: If a price is not positive, a high or low not the highest or lowest, or the volume negative.
    """

    open_time: int
    open: Decimal  # last price
    high: Decimal
    low: Decimal
    close: Decimal
    mark_open: Decimal  # mark price
    mark_high: Decimal
    mark_low: Decimal
    mark_close: Decimal
    volume: Decimal  # base asset; 0 means that nothing traded and nothing fills

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise DataError(f"the bar at {self.open_time} {fault}; correct the data")

    def _faults(self) -> Iterator[str]:
        if not (is_number(self.volume) and self.volume >= 0):
            yield f"must have a volume from 0 and has {self.volume}"
        last = (self.low, self.open, self.close, self.high)
        mark = (self.mark_low, self.mark_open, self.mark_close, self.mark_high)
        for name, (low, first, end, high) in (("last", last), ("mark", mark)):
            is_sound = is_positive(low) and is_positive(high) and first.is_finite() and end.is_finite()
            if not (is_sound and low <= first <= high and low <= end <= high):
                yield f"must have {name} prices above 0, between low and high, and has {low}, {first}, {end}, {high}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One settlement of funding.

    Raises:
        DataError: If the rate is no number or the mark price not positive.
    """

    time_ms: int
    rate: Decimal  # positive: longs pay shorts
    mark_price: Decimal

    def __post_init__(self) -> None:
        if not (is_number(self.rate) and is_positive(self.mark_price)):
            raise DataError(
                f"the funding at {self.time_ms} must have a rate and a positive mark price and has {self.rate} and "
                f"{self.mark_price}; correct the data"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is sent for a bar: a leg that only reduces, then one that opens or adds. A flip has both.

    Raises:
        OrderError: If an amount is no number, the legs have different sides, or the limit price is not positive.
    """

    reduce_amount: Decimal = ZERO  # against the position
    open_amount: Decimal = ZERO
    limit_price: Decimal | None = None  # of both legs, post-only; a market order has none

    def __post_init__(self) -> None:
        are_numbers = is_number(self.reduce_amount) and is_number(self.open_amount)
        if not (are_numbers and self.reduce_amount * self.open_amount >= 0):
            raise OrderError(
                f"an order's legs must be amounts of one side and are {self.reduce_amount} and {self.open_amount}; "
                "correct them"
            )
        if self.limit_price is not None and not is_positive(self.limit_price):
            raise OrderError(f"an order's limit_price must be positive and is {self.limit_price}; correct it")

    @property
    @exact
    def amount(self) -> Decimal:
        """Both legs together."""
        return self.reduce_amount + self.open_amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How market orders fill, and which protective orders rest beside a position.

    Raises:
        ConfigError: If a number is negative, or a stop not positive.
    """

    half_spread: Decimal  # of the price
    sqrt_impact: Decimal  # of the price, times the square root of the order's share of the bar's volume
    linear_impact: Decimal  # of the price, times that share
    slippage_scale: Decimal  # what the three are multiplied by
    stop_loss: Decimal | None = None  # of the entry price, against the position
    take_profit: Decimal | None = None  # of the entry price, with the position
    stop_on_mark: bool = True  # whether both trigger on the mark price; else on the last price

    def __post_init__(self) -> None:
        for name in ("half_spread", "sqrt_impact", "linear_impact", "slippage_scale"):
            value = getattr(self, name)
            if not (is_number(value) and value >= 0):
                raise ConfigError(f"{name} must be a number from 0 and is {value}; choose one")
        for name in ("stop_loss", "take_profit"):
            value = getattr(self, name)
            if not (value is None or is_positive(value)):
                raise ConfigError(f"{name} must be a positive fraction of the entry price and is {value}; choose one")


NO_ORDER: Final = Order()
