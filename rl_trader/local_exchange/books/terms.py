"""What the exchange demands of a symbol, as decimals.

The sources are those of :mod:`rl_trader.contract`; the maintenance margin follows the FAQ "Leverage and Margin" of
Binance futures (read in autumn 2026): bracket n covers the notionals above its floor and up to its cap, the last one
also everything beyond.

Prices in USDT per unit of the base asset, amounts in base asset, notionals and margins in USDT, rates as fractions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rl_trader.errors import ContractError
from rl_trader.local_exchange.books.money import denoised, exact, is_positive

if TYPE_CHECKING:  # it brings the data store along, which the books do not need
    from rl_trader.contract import ContractTerms

_CENT: Final = Decimal("0.01")  # USDT; what the exchange's rounding may move a maintenance amount
_ADVICE: Final = "read the terms again with scripts.download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """One leverage bracket: the notionals above its floor and up to its cap."""

    floor: Decimal  # USDT, excluded
    cap: Decimal  # USDT, included
    rate: Decimal  # maintenance margin = notional * rate - amount
    amount: Decimal  # USDT
    initial_leverage: int  # the highest leverage that may carry such a notional


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolTerms:
    """Filters, fees and brackets of one symbol.

    Raises:
        ContractError: If a number is out of range or the brackets contradict each other.
    """

    symbol: str
    tick_size: Decimal  # USDT; fill prices are multiples of it
    min_price: Decimal  # USDT, of a limit order
    max_price: Decimal  # USDT, of a limit order
    step_size: Decimal  # base asset; a liquidation leaves multiples of it
    min_notional: Decimal  # USDT, of an order that does not only reduce
    taker_fee: Decimal  # of the notional
    maker_fee: Decimal  # of the notional
    liquidation_fee: Decimal  # of the liquidated notional
    multiplier_up: Decimal  # buy price at most this times the mark price
    multiplier_down: Decimal  # sell price at least this times the mark price
    market_take_bound: Decimal  # of the mark price; how far from it a market order may fill
    brackets: tuple[Bracket, ...]  # by ascending notional

    @exact
    def __post_init__(self) -> None:
        for name in (
            "tick_size",
            "min_price",
            "max_price",
            "step_size",
            "min_notional",
            "multiplier_up",
            "multiplier_down",
            "market_take_bound",
        ):
            self._require(is_positive(getattr(self, name)), name, "positive")
        for name in ("taker_fee", "maker_fee", "liquidation_fee"):
            rate = getattr(self, name)
            self._require(rate.is_finite() and 0 <= rate < 1, name, "a fraction from 0 to below 1")
        for fault in _faults(self.brackets):
            raise ContractError(f"{self.symbol} {fault}; {_ADVICE}")

    def _require(self, is_met: bool, name: str, wanted: str) -> None:
        if not is_met:
            raise ContractError(f"{self.symbol} {name} must be {wanted} and is {getattr(self, name)}; {_ADVICE}")

    @classmethod
    def of(cls, terms: "ContractTerms") -> "SymbolTerms":
        """Return contract terms as decimals; a float becomes the number that it is printed as."""
        return cls(
            symbol=terms.symbol,
            tick_size=terms.tick_size,
            min_price=terms.min_price,
            max_price=terms.max_price,
            step_size=terms.step_size,
            min_notional=_decimal(terms.min_notional),
            taker_fee=_decimal(terms.taker_fee),
            maker_fee=_decimal(terms.maker_fee),
            liquidation_fee=_decimal(terms.liquidation_fee),
            multiplier_up=_decimal(terms.multiplier_up),
            multiplier_down=_decimal(terms.multiplier_down),
            market_take_bound=_decimal(terms.market_take_bound),
            brackets=tuple(
                Bracket(
                    floor=_decimal(bracket.notional_floor),
                    cap=_decimal(bracket.notional_cap),
                    rate=_decimal(bracket.maint_margin_rate),
                    amount=_decimal(bracket.maint_amount),
                    initial_leverage=bracket.initial_leverage,
                )
                for bracket in terms.brackets
            ),
        )

    def check_leverage(self, leverage: float) -> None:
        """Refuse a leverage that cannot be set.

        Raises:
            ContractError: If it is no whole number from 1 to the first bracket's leverage.
        """
        largest = self.brackets[0].initial_leverage
        if not (1 <= leverage <= largest and leverage == int(leverage)):
            raise ContractError(
                f"leverage of {self.symbol} must be a whole number from 1 to {largest} and is {leverage}; "
                "choose one in that range"
            )

    def max_notional(self, leverage: int) -> Decimal:
        """Return the largest notional that a position may have at this leverage: the last cap that allows it."""
        self.check_leverage(leverage)
        return max(bracket.cap for bracket in self.brackets if bracket.initial_leverage >= leverage)

    def bracket(self, notional: Decimal) -> Bracket:
        """Return the bracket of a notional; beyond every cap the last one."""
        for bracket in self.brackets:
            if notional <= bracket.cap:
                return bracket
        return self.brackets[-1]

    @exact
    def maintenance_margin(self, notional: Decimal) -> Decimal:
        """Return what a position of this notional needs at the least."""
        bracket = self.bracket(notional)
        return notional * bracket.rate - bracket.amount

    @exact
    def tick_at_or_above(self, price: Decimal) -> Decimal:
        """Return the lowest price on a tick that is not below this one."""
        return denoised(price / self.tick_size).to_integral_value(ROUND_CEILING) * self.tick_size

    @exact
    def tick_at_or_below(self, price: Decimal) -> Decimal:
        """Return the highest price on a tick that is not above this one."""
        return denoised(price / self.tick_size).to_integral_value(ROUND_FLOOR) * self.tick_size


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def _faults(brackets: tuple[Bracket, ...]) -> Iterator[str]:
    if not brackets:
        yield "must have a leverage bracket and has none"
        return
    if brackets[0].floor != 0 or brackets[0].amount != 0:
        yield f"bracket 1 must have floor and amount 0 and has {brackets[0].floor} and {brackets[0].amount}"
    for number, bracket in enumerate(brackets, start=1):
        for fault in _bracket_faults(bracket):
            yield f"bracket {number} {fault}"
    for number, (lower, upper) in enumerate(pairwise(brackets), start=2):
        for fault in _step_faults(lower, upper):
            yield f"bracket {number} {fault}"


def _bracket_faults(bracket: Bracket) -> Iterator[str]:
    if not (is_positive(bracket.cap) and bracket.floor.is_finite() and bracket.floor < bracket.cap):
        yield f"must have a finite cap above its floor {bracket.floor} and has {bracket.cap}"
    if not (bracket.rate.is_finite() and 0 < bracket.rate < 1):
        yield f"must have a rate between 0 and 1 and has {bracket.rate}"
    if not (bracket.amount.is_finite() and bracket.amount >= 0):
        yield f"must have an amount that is not negative and has {bracket.amount}"
    if bracket.initial_leverage < 1:
        yield f"must have an initial_leverage of at least 1 and has {bracket.initial_leverage}"


def _step_faults(lower: Bracket, upper: Bracket) -> Iterator[str]:
    """Yield where a bracket does not go on from the last; its amount may be a cent off what its rate implies."""
    amount = lower.amount + upper.floor * (upper.rate - lower.rate)
    if upper.floor != lower.cap:
        yield f"must begin where the last one ends, at {lower.cap}, and begins at {upper.floor}"
    if upper.initial_leverage >= lower.initial_leverage:
        yield f"must have a leverage below {lower.initial_leverage} and has {upper.initial_leverage}"
    if upper.rate <= lower.rate:
        yield f"must have a rate above {lower.rate} and has {upper.rate}"
    if abs(upper.amount - amount) > _CENT:
        yield f"must have the amount {amount} that its rate implies and has {upper.amount}"
