"""Decimal arithmetic of the books: one context, one rounding of bookings, one removal of noise.

Everything is computed with 60 digits. A booking (what enters a wallet) is rounded once to 1e-8 USDT, halves to even;
nothing else is rounded, apart from prices to the tick and amounts to the step. Only quotients that do not end lose
anything, in their last digits; :func:`denoised` drops those digits before a rounding or a comparison that they could
tip over: a third of a price, times three, is the price.

Binance's amounts have 8 decimals (``GET /fapi/v3/account``, ``/fapi/v1/income``); that halves go to even is an
assumption.
"""

from collections.abc import Callable
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    InvalidOperation,
    Overflow,
    getcontext,
    setcontext,
)
from functools import wraps
from typing import Final, ParamSpec, TypeVar

UNIT: Final = Decimal("1E-8")  # USDT; what every booking is a multiple of
ZERO: Final = Decimal(0)
LARGEST: Final = Decimal("1E+14")  # prices, amounts and balances are below it, so that no product runs out of digits
CONTEXT: Final = Context(
    prec=60,
    rounding=ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    capitals=1,
    clamp=0,
    flags=[],
    traps=[InvalidOperation, DivisionByZero, Overflow, FloatOperation],
)

_NOISE: Final = Decimal("1E-30")  # far below any unit of the exchange, far above the error of 60 digits

P = ParamSpec("P")
R = TypeVar("R")


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function compute in the books' context, whatever its caller's is, and restore the caller's."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        outside = getcontext()
        if outside is CONTEXT:
            return function(*args, **kwargs)
        setcontext(CONTEXT)
        try:
            return function(*args, **kwargs)
        finally:
            setcontext(outside)

    return run


@exact
def denoised(value: Decimal) -> Decimal:
    """Return the number without what unending quotients left in its last digits (rounded to 1e-30)."""
    return value.quantize(_NOISE)


@exact
def booked(value: Decimal) -> Decimal:
    """Return the number as it enters a wallet: rounded to 1e-8, halves to even, without a negative zero."""
    return +value.quantize(_NOISE).quantize(UNIT)


def is_number(value: Decimal) -> bool:
    """Return whether the books can compute with it: finite and below 1e14 in size."""
    return value.is_finite() and -LARGEST < value < LARGEST


def is_positive(value: Decimal) -> bool:
    """Return whether it is above zero and the books can compute with it."""
    return value.is_finite() and ZERO < value < LARGEST
