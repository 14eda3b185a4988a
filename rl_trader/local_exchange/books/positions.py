"""What an account holds of a symbol, and how it trades it.

Prices in USDT per unit of the base asset, amounts in base asset and signed (positive is long), money in USDT.
Entry price and unrealised profit follow the FAQ of Binance futures (read in autumn 2026): what adds to a position
averages its entry price, what reduces it leaves it.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Final, NamedTuple

from rl_trader.errors import ConfigError, DataError
from rl_trader.local_exchange.books.money import ZERO, booked, is_number, is_positive
from rl_trader.local_exchange.books.terms import SymbolTerms

Marks = Mapping[str, Decimal]


class MarginMode(Enum):
    """Whose money stands behind a position."""

    ISOLATED = "isolated"  # the part of the wallet that was set aside for it
    CROSS = "cross"  # whatever of the wallet is not set aside, shared with the other cross positions

    @classmethod
    def of(cls, name: "MarginMode | str") -> "MarginMode":
        """Return the margin mode of that name.

        Raises:
            ConfigError: If there is none.
        """
        try:
            return cls(name)
        except ValueError:
            raise ConfigError(f"margin_mode must be isolated or cross and is {name}; choose one") from None


class SymbolSetting(NamedTuple):
    """How an account trades a symbol."""

    terms: SymbolTerms
    margin_mode: MarginMode
    leverage: int

    @property
    def is_isolated(self) -> bool:
        """Whether its positions have a part of the wallet for themselves."""
        return self.margin_mode is MarginMode.ISOLATED


class Position(NamedTuple):
    """A position of one symbol; all zero where there is none. Its methods compute in the caller's context."""

    amount: Decimal  # base asset, signed
    entry_price: Decimal  # exact weighted average
    isolated_wallet: Decimal  # USDT of the wallet that are set aside for it; 0 in cross margin

    @property
    def is_sound(self) -> bool:
        """Whether it is nothing, or something with an entry price, in numbers that the books can compute with."""
        if self.amount == 0:
            return self == FLAT
        return is_number(self.amount) and is_positive(self.entry_price) and is_number(self.isolated_wallet)

    def unrealized_pnl(self, mark_price: Decimal) -> Decimal:
        """Return what closing at the mark price would realise."""
        return self.amount * (mark_price - self.entry_price)

    def notional(self, mark_price: Decimal) -> Decimal:
        """Return its size in USDT at the mark price."""
        return abs(self.amount) * mark_price

    def added(self, amount: Decimal, price: Decimal, margin: Decimal) -> "Position":
        """Return the position with more of the same side, bought or sold at a price and given margin."""
        total = self.amount + amount
        entry_price = price
        if self.amount:
            entry_price = (self.amount * self.entry_price + amount * price) / total
        return Position(total, entry_price, self.isolated_wallet + margin)

    def reduced(self, amount: Decimal) -> "Position":
        """Return what a trade against the position leaves of it; its isolated wallet shrinks in proportion."""
        left = self.amount + amount
        return Position(left, self.entry_price, booked(self.isolated_wallet * left / self.amount)) if left else FLAT


FLAT: Final = Position(ZERO, ZERO, ZERO)


def checked_mark(symbol: str, mark_price: Decimal | None) -> Decimal:
    """Return the mark price.

    Raises:
        DataError: If it is missing or not positive.
    """
    if mark_price is None or not is_positive(mark_price):
        raise DataError(f"a positive mark price of {symbol} is needed and {mark_price} is given; pass it")
    return mark_price
