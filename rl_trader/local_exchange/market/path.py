"""The assumed path of a bar's prices in time, for many bars at once.

Last and mark price go in straight lines through four corners: open, low, high, close if the bar does not fall, else
open, high, low, close, as the books walk (:mod:`rl_trader.local_exchange.books.walk`). The open is at the bar's first
millisecond, the turns after a third and two thirds of it, the close at its last.

Prices in USDT per unit of the base asset, offsets in milliseconds since the bar's open time.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MARK_OHLC, OHLC
from rl_trader.local_exchange.wire import MONEY_PLACES

NUM_CORNERS: Final = 4


def corner_offsets(interval_ms: int) -> tuple[int, int, int, int]:
    """Return when the path is at its corners."""
    return (0, interval_ms // 3, 2 * interval_ms // 3, interval_ms - 1)


def leg_bounds(interval_ms: int) -> tuple[int, int, int, int]:
    """Return where the three legs begin and end; the millisecond of a corner belongs to the leg that ends there."""
    _, first, second, last = corner_offsets(interval_ms)
    return (0, first + 1, second + 1, last + 1)


def last_corners(bars: NDArray[np.void]) -> NDArray[np.float64]:
    """Return the corners of the last price (num_bars, 4)."""
    return _corners(bars, OHLC)


def mark_corners(bars: NDArray[np.void]) -> NDArray[np.float64]:
    """Return the corners of the mark price (num_bars, 4), which turns where the last price turns."""
    return _corners(bars, MARK_OHLC)


def premium_corners(bars: NDArray[np.void]) -> NDArray[np.float64]:
    """Return the corners of the premium index (num_bars, 4), of eight digits: last price over index price, less one.

    The index price is not recorded; the mark price stands for it.
    """
    premium: NDArray[np.float64] = np.round(last_corners(bars) / mark_corners(bars) - 1.0, MONEY_PLACES)
    return premium


def prices_at(
    corners: NDArray[np.float64], offsets: NDArray[np.int64], interval_ms: int, digits: int
) -> NDArray[np.float64]:
    """Return the prices at offsets of each bar, rounded to digits after the point, in the shape of the offsets.

    Args:
        corners: (num_bars, 4).
        offsets: (num_bars,) or (num_times, num_bars), from 0 to below ``interval_ms``.
        interval_ms: Length of a bar.
        digits: Of the prices.
    """
    times = _corner_times(interval_ms)
    leg = times[1:-1].searchsorted(offsets)
    row = np.arange(offsets.shape[-1])
    begin, end = corners[row, leg], corners[row, leg + 1]
    begins = times[leg]
    fraction = (offsets - begins) / (times[leg + 1] - begins)
    scale = 10.0**digits
    rounded: NDArray[np.float64] = np.rint((begin + (end - begin) * fraction) * scale) / scale
    return rounded


def extremes(
    corners: NDArray[np.float64],
    ends: Sequence[NDArray[np.float64]],
    since: NDArray[np.int64],
    until: NDArray[np.int64],
    interval_ms: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the highest and lowest prices (num_bars,) in a part of each bar.

    Args:
        corners: (num_bars, 4).
        ends: The prices (num_bars,) at the begin and at the end of the part.
        since: First offset (num_bars,) of the part.
        until: The offset (num_bars,) that follows it.
        interval_ms: Length of a bar.
    """
    times = _corner_times(interval_ms)
    is_inside = (since[:, None] <= times) & (times < until[:, None])
    highest = np.where(is_inside, corners, -np.inf).max(axis=1)
    lowest = np.where(is_inside, corners, np.inf).min(axis=1)
    return np.maximum(np.maximum(*ends), highest), np.minimum(np.minimum(*ends), lowest)


@cache
def _corner_times(interval_ms: int) -> NDArray[np.int64]:
    return np.array(corner_offsets(interval_ms), np.int64)


def _corners(bars: NDArray[np.void], names: tuple[str, ...]) -> NDArray[np.float64]:
    opened, high, low, close = (bars[name] for name in names)
    rises = bars["close"] >= bars["open"]
    corners = np.empty((len(bars), NUM_CORNERS))
    corners[:, 0], corners[:, 3] = opened, close
    corners[:, 1], corners[:, 2] = np.where(rises, low, high), np.where(rises, high, low)
    return corners
