"""Amounts of money as the exchange books them: whole units of 1e-8 USDT, and their sums.

Whatever enters a wallet is rounded here, once. Halves go to even (assumption). Money is in USDT.
"""

from typing import Final

import numpy as np

from rl_trader.kernels import kernel

UNITS_PER_USDT: Final = 1e8  # the exchange books in units of 1e-8
HALF: Final = 0.5
BINARY_ERROR: Final = 3.0 * 2.0**-53  # of a number: what a few binary fractions may miss
SURE_SUM: Final = 1e7  # USDT; below, the product of a sum with 1e8 misses no unit
MOST_DOUBT: Final = 0.1  # units of a booking; beyond, binary fractions no longer tell a half


@kernel
def _booked(cash: float, size: float) -> float:
    """Return an amount rounded to 1e-8 USDT, halves to even, where binary fractions of ``size`` made it up.

    What lies within their error of half a unit is half a unit: decimal prices and amounts meet it often.
    """
    units = cash * UNITS_PER_USDT
    nearest = np.rint(units)
    doubt = min(BINARY_ERROR * size * UNITS_PER_USDT, MOST_DOUBT)
    if abs(units - nearest) >= HALF - doubt:
        nearest = 2.0 * np.rint(0.5 * units)
    return float(nearest / UNITS_PER_USDT)


@kernel
def booked(cash: float) -> float:
    """Return an amount of money rounded to the exchange's unit of 1e-8 USDT, halves to even (assumption)."""
    return _booked(cash, abs(cash))


@kernel
def booked_profit(profit: float, notional: float) -> float:
    """Return a profit as ``booked`` does: the difference of two notionals (USDT), neither larger than ``notional``."""
    return _booked(profit, notional)


@kernel
def units_of(cash: float) -> float:
    """Return the number of units of 1e-8 USDT that is nearest to an amount.

    That of an amount that was booked is exact below 2**26 USDT (67 million), beyond which binary fractions lie farther
    apart than a unit. Whole USDT are counted apart from the rest: the product of both with 1e8 would miss a unit from
    20 million on.
    """
    whole = np.floor(cash)
    return float(whole * UNITS_PER_USDT + np.rint((cash - whole) * UNITS_PER_USDT))


@kernel
def in_whole_units(cash: float) -> float:
    """Return an amount rounded to whole units of 1e-8 USDT, where no binary error can have moved it to a half."""
    return units_of(cash) / UNITS_PER_USDT


@kernel
def sum_of_bookings(first: float, second: float) -> float:
    """Return the sum of two amounts that were booked, in whole units as they are."""
    if abs(first) + abs(second) < SURE_SUM:
        return float(np.rint((first + second) * UNITS_PER_USDT) / UNITS_PER_USDT)
    return (units_of(first) + units_of(second)) / UNITS_PER_USDT
