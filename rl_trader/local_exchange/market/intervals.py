"""The exchange's kline intervals: where their candles open and end.

Candles lie on the UTC calendar: weeks open on Mondays, months on their first day. That candles of three days are
counted from 1970-01-01 is inferred.

Times in milliseconds since 1970 UTC.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY
from rl_trader.klines import INTERVAL_MS

MONTH: Final = "1M"
INTERVALS: Final = (*INTERVAL_MS, MONTH)

_MONDAY: Final = 4 * MS_PER_DAY  # the first one
_WEEK: Final = "1w"


def opening_times(interval: str, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the open times of the candles that contain some times, of the same shape."""
    if interval == MONTH:
        return _milliseconds(_months(times))
    length, offset = INTERVAL_MS[interval], _offset(interval)
    return (times - offset) // length * length + offset


def ending_times(interval: str, opens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when the candles with some open times end: the open times of those that follow."""
    if interval == MONTH:
        return _milliseconds(_months(opens) + 1)
    return opens + INTERVAL_MS[interval]


def candle_opens(interval: str, first_ms: int, last_ms: int) -> NDArray[np.int64]:
    """Return the open times of all candles from the one that contains a time to the one that contains another."""
    if interval == MONTH:
        first, last = _months(np.array([first_ms, last_ms], np.int64))
        return _milliseconds(np.arange(first, last + 1))
    first_open, last_open = opening_times(interval, np.array([first_ms, last_ms], np.int64)).tolist()
    length = INTERVAL_MS[interval]
    return np.arange(first_open, last_open + length, length, dtype=np.int64)


def _offset(interval: str) -> int:
    return _MONDAY if interval == _WEEK else 0


def _months(times: NDArray[np.int64]) -> NDArray[np.datetime64]:
    return times.astype("datetime64[ms]").astype("datetime64[M]")


def _milliseconds(months: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return months.astype("datetime64[ms]").astype(np.int64)
