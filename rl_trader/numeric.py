"""What counts as a number where a user or a file can give anything."""

import math
from numbers import Real
from typing import Final, TypeGuard

_MOST_SHOWN: Final = 500  # characters


def is_real(value: object) -> TypeGuard[float]:
    """Return whether a value is a real number, NaN and infinity included; None, text and booleans are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a real number that a float can hold, neither NaN nor infinite."""
    try:
        return is_real(value) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def is_whole(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number without a fraction."""
    return is_number(value) and value == int(value)


def shown(value: object) -> str:
    """Return a value as a message shows it: as it is written in code, but no longer than a few lines."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a whole number of thousands of digits"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
