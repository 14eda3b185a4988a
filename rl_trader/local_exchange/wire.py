"""Numbers as the exchange writes them: decimal strings, with the places that each field has.

A price has the places of the tick as the exchange writes it (``0.10`` has two), an amount those of the step, money,
mark prices and rates eight (answers of ``fapi.binance.com`` of September 2026). Recordings of the past can be finer
than today's tick or step: such a number keeps its places rather than losing them.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Final

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.books.money import exact

MONEY_PLACES: Final = 8  # of money, mark prices and rates


def places(unit: Decimal) -> int:
    """Return how many digits a unit is written with after the point."""
    return max(-int(unit.as_tuple().exponent), 0)


@exact
def fixed(value: Decimal, digits: int) -> str:
    """Return a number with this many digits after the point, halves to even, without a negative zero."""
    return f"{value.quantize(_unit(digits), ROUND_HALF_EVEN) + 0:f}"


@cache
def _unit(digits: int) -> Decimal:
    return Decimal(1).scaleb(-digits)


def price_text(price: Decimal, contract: ContractTerms) -> str:
    """Return a price with the places of the tick; one that lies between ticks has more, eight at most."""
    return _unrounded(price, places(contract.tick_size))


def amount_text(amount: Decimal, contract: ContractTerms) -> str:
    """Return an amount of the base asset with the places of the step; a finer one has more, eight at most."""
    return _unrounded(amount, places(contract.limit_step_size))


def money_text(money: Decimal) -> str:
    """Return an amount of USDT, rounded to eight places."""
    return fixed(money, MONEY_PLACES)


def mark_text(price: Decimal) -> str:
    """Return a mark or index price, rounded to eight places."""
    return fixed(price, MONEY_PLACES)


def rate_text(rate: Decimal) -> str:
    """Return a funding rate, rounded to eight places."""
    return fixed(rate, MONEY_PLACES)


def units_text(units: int, digits: int) -> str:
    """Return a whole number of units of ``10 ** -digits``."""
    if not digits:
        return str(units)
    whole, rest = divmod(abs(units), 10**digits)
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{rest:0{digits}d}"


@exact
def _unrounded(value: Decimal, least: int) -> str:
    return fixed(value, max(least, min(places(value.normalize()), MONEY_PLACES)))
