"""For how long a position has been held, counted as training counts it."""

from decimal import Decimal


def bars_held_after(bars_held: int, before: Decimal, amount: Decimal) -> int:
    """Return the number of bars for which a position has been held, at the close after the one where it was counted.

    Args:
        bars_held: At the close before.
        before: Position at the close before.
        amount: Position now.
    """
    return bars_held + 1 if before * amount > 0 else 0
