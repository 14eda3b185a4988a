"""The built-in features as row kernels, and the one driver that fills a feature matrix with them.

A row kernel walks its own window: it reads rows ``t - window + 1`` to ``t`` of the bars and nothing else, so
that its bits depend neither on where row ``t`` stands in the table nor on the number of threads. Sums start
at the oldest row.

The driver knows the built-ins by number (:class:`FeatureKind`) and not by function, because a kernel that
takes functions cannot be kept in the disk cache. Every division is guarded: positive prices give finite
values.
"""

import math
from collections.abc import Callable
from enum import IntEnum
from types import FunctionType
from typing import Final, TypeAlias, cast

import numba
import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY
from rl_trader.kernels import kernel, parallel_kernel

Bars: TypeAlias = np.recarray[tuple[int], np.dtype[np.record]]  # of BAR_DTYPE
RowKernel: TypeAlias = Callable[[Bars, int, int], float]
FillMatrix: TypeAlias = Callable[
    [
        Bars,
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.float64],
        NDArray[np.int64],
        int,
        NDArray[np.float32],
    ],
    None,
]

CHUNK_ROWS: Final = 1024  # rows that one thread takes at a time
MS_PER_WEEK: Final = 7 * MS_PER_DAY
MS_FROM_MONDAY: Final = 3 * MS_PER_DAY  # 1970-01-01 was a Thursday
LOG_2: Final = math.log(2.0)


class FeatureKind(IntEnum):
    """Number of a row kernel in the driver; ``OWN`` and ``SIGNAL`` are filled outside it."""

    OWN = -2
    SIGNAL = -1
    LOG_RETURN = 0
    MOVING_AVERAGE_GAP = 1
    CHANNEL_POSITION = 2
    TREND_STRENGTH = 3
    RELATIVE_STRENGTH = 4
    LOG_CLOSE_OVER = 5
    REALISED_VOLATILITY = 6
    PARKINSON_VOLATILITY = 7
    GARMAN_KLASS_VOLATILITY = 8
    BAR_RANGE = 9
    CLOSE_LOCATION = 10
    VOLUME_RATIO = 11
    TAKER_IMBALANCE = 12
    MARK_PREMIUM = 13
    LAST_FUNDING_RATE = 14
    HOUR_SIN = 15
    HOUR_COS = 16
    WEEKDAY_SIN = 17
    WEEKDAY_COS = 18


@kernel
def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient, or 0 where the denominator is 0."""
    if denominator == 0.0:
        return 0.0
    return numerator / denominator


@kernel
def log_ratio(numerator: float, denominator: float) -> float:
    """Return the logarithm of the quotient, or 0 where one of the two is not positive."""
    if numerator <= 0.0 or denominator <= 0.0:
        return 0.0
    return math.log(numerator / denominator)


@kernel
def log_return(bars: Bars, t: int, window: int) -> float:
    """Return the log return from the close of the window's first bar to that of its last."""
    return log_ratio(bars[t].close, bars[t - window + 1].close)


@kernel
def moving_average_gap(bars: Bars, t: int, window: int) -> float:
    """Return the close over the window's mean close, less 1."""
    total = 0.0
    for i in range(t - window + 1, t + 1):
        total += bars[i].close
    return ratio(bars[t].close, total / window) - 1.0


@kernel
def channel_position(bars: Bars, t: int, window: int) -> float:
    """Return where the close stands between the window's lowest low (-1) and highest high (1)."""
    low = bars[t].low
    high = bars[t].high
    for i in range(t - window + 1, t):
        low = min(low, bars[i].low)
        high = max(high, bars[i].high)
    return ratio(2.0 * bars[t].close - high - low, high - low)


@kernel
def trend_strength(bars: Bars, t: int, window: int) -> float:
    """Return the correlation of close and time over the window, from -1 to 1; 0 where the price is flat.

    It is the t-statistic of the regression's slope in bounded form: ``t = r * sqrt((n - 2) / (1 - r**2))``.
    """
    middle = 0.5 * (window - 1)
    sum_y = 0.0
    sum_xy = 0.0
    sum_yy = 0.0
    for i in range(window):
        y = bars[t - window + 1 + i].close - bars[t].close
        sum_y += y
        sum_xy += (i - middle) * y
        sum_yy += y * y
    variance = (sum_yy - sum_y * sum_y / window) * window * (window * window - 1.0) / 12.0
    if variance <= 0.0:
        return 0.0
    return max(-1.0, min(1.0, sum_xy / math.sqrt(variance)))


@kernel
def relative_strength(bars: Bars, t: int, window: int) -> float:
    """Return the net move over the sum of all moves between closes, from -1 to 1; 0 where the price is flat.

    It is the relative strength index with simple averages (Cutler's form) on another scale: ``rsi / 50 - 1``.
    """
    path = 0.0
    for i in range(t - window + 2, t + 1):
        path += abs(bars[i].close - bars[i - 1].close)
    return ratio(bars[t].close - bars[t - window + 1].close, path)


@kernel
def realised_volatility(bars: Bars, t: int, window: int) -> float:
    """Return the root mean square of the simple returns between the window's closes."""
    total = 0.0
    for i in range(t - window + 2, t + 1):
        simple_return = ratio(bars[i].close, bars[i - 1].close) - 1.0
        total += simple_return * simple_return
    return math.sqrt(total / (window - 1))


@kernel
def parkinson_volatility(bars: Bars, t: int, window: int) -> float:
    """Return Parkinson's (1980) estimate of a bar's volatility from highs and lows."""
    total = 0.0
    for i in range(t - window + 1, t + 1):
        log_range = log_ratio(bars[i].high, bars[i].low)
        total += log_range * log_range
    return math.sqrt(total / (4.0 * LOG_2 * window))


@kernel
def garman_klass_volatility(bars: Bars, t: int, window: int) -> float:
    """Return Garman and Klass's (1980) estimate of a bar's volatility from open, high, low and close."""
    total = 0.0
    for i in range(t - window + 1, t + 1):
        log_range = log_ratio(bars[i].high, bars[i].low)
        log_body = log_ratio(bars[i].close, bars[i].open)
        total += 0.5 * log_range * log_range - (2.0 * LOG_2 - 1.0) * log_body * log_body
    return math.sqrt(max(0.0, total / window))


@kernel
def volume_ratio(bars: Bars, t: int, window: int) -> float:
    """Return ``log((1 + r) / 2)`` of ``r``, volume over its mean: 0 at the mean, ``-log(2)`` at no volume."""
    total = 0.0
    for i in range(t - window + 1, t + 1):
        total += float(bars[i].volume)
    return math.log1p(ratio(float(bars[t].volume), total / window)) - LOG_2


@kernel
def taker_imbalance(bars: Bars, t: int, window: int) -> float:
    """Return taker buys less taker sells over their sum, from -1 to 1.

    A bar whose taker volume is not recorded counts as no volume; a window without any gives 0.
    """
    difference = 0.0
    total = 0.0
    for i in range(t - window + 1, t + 1):
        taker_buy_volume = float(bars[i].taker_buy_volume)
        if not math.isnan(taker_buy_volume):
            difference += 2.0 * taker_buy_volume - float(bars[i].volume)
            total += float(bars[i].volume)
    return ratio(difference, total)


@kernel
def _phase(open_time: int, period_ms: int) -> float:
    return 2.0 * math.pi * (open_time % period_ms) / period_ms


@kernel
def _clock_value(bars: Bars, t: int, kind: int) -> float:
    open_time = bars[t].open_time
    if kind == FeatureKind.HOUR_SIN:
        return math.sin(_phase(open_time, MS_PER_DAY))
    if kind == FeatureKind.HOUR_COS:
        return math.cos(_phase(open_time, MS_PER_DAY))
    if kind == FeatureKind.WEEKDAY_SIN:
        return math.sin(_phase(open_time + MS_FROM_MONDAY, MS_PER_WEEK))
    return math.cos(_phase(open_time + MS_FROM_MONDAY, MS_PER_WEEK))


@kernel
def _bar_value(bars: Bars, t: int, kind: int, parameter: float) -> float:
    bar = bars[t]
    if kind == FeatureKind.BAR_RANGE:
        return ratio(bar.high - bar.low, bar.close)
    if kind == FeatureKind.CLOSE_LOCATION:
        return ratio(2.0 * bar.close - bar.high - bar.low, bar.high - bar.low)
    if kind == FeatureKind.MARK_PREMIUM:
        return ratio(bar.mark_close, bar.close) - 1.0
    if kind == FeatureKind.LAST_FUNDING_RATE:
        return float(bar.last_funding_rate)
    if kind == FeatureKind.LOG_CLOSE_OVER:
        return log_ratio(bar.close, parameter)
    return _clock_value(bars, t, kind)


@kernel
def _dispersion_value(bars: Bars, t: int, window: int, kind: int, parameter: float) -> float:
    if kind == FeatureKind.REALISED_VOLATILITY:
        return realised_volatility(bars, t, window)
    if kind == FeatureKind.PARKINSON_VOLATILITY:
        return parkinson_volatility(bars, t, window)
    if kind == FeatureKind.GARMAN_KLASS_VOLATILITY:
        return garman_klass_volatility(bars, t, window)
    if kind == FeatureKind.VOLUME_RATIO:
        return volume_ratio(bars, t, window)
    if kind == FeatureKind.TAKER_IMBALANCE:
        return taker_imbalance(bars, t, window)
    return _bar_value(bars, t, kind, parameter)


@kernel
def row_value(bars: Bars, t: int, window: int, kind: int, parameter: float) -> float:
    """Return the built-in feature ``kind`` of row ``t``; the chain goes on in the functions above."""
    if kind == FeatureKind.LOG_RETURN:
        return log_return(bars, t, window)
    if kind == FeatureKind.MOVING_AVERAGE_GAP:
        return moving_average_gap(bars, t, window)
    if kind == FeatureKind.CHANNEL_POSITION:
        return channel_position(bars, t, window)
    if kind == FeatureKind.TREND_STRENGTH:
        return trend_strength(bars, t, window)
    if kind == FeatureKind.RELATIVE_STRENGTH:
        return relative_strength(bars, t, window)
    return _dispersion_value(bars, t, window, kind, parameter)


@kernel
def segment_start(bars: Bars, t: int, earliest: int) -> int:
    """Return the first row of the segment that row ``t`` is in, walking back to ``earliest`` at most."""
    start = t
    while start > earliest and bars[start - 1].segment == bars[t].segment:
        start -= 1
    return start


def _fill_matrix(
    bars: Bars,
    kinds: NDArray[np.int64],
    windows: NDArray[np.int64],
    parameters: NDArray[np.float64],
    columns: NDArray[np.int64],
    first: int,
    out: NDArray[np.float32],
) -> None:
    longest = windows.max()
    num_chunks = (bars.size - first + CHUNK_ROWS - 1) // CHUNK_ROWS
    for chunk in numba.prange(num_chunks):
        begin = first + chunk * CHUNK_ROWS
        start = segment_start(bars, begin, max(0, begin - longest + 1))
        for t in range(begin, min(begin + CHUNK_ROWS, bars.size)):
            if t > begin and bars[t].segment != bars[t - 1].segment:
                start = t
            for j in range(kinds.size):
                value = np.nan
                if t - windows[j] + 1 >= start:
                    value = row_value(bars, t, windows[j], kinds[j], parameters[j])
                out[t - first, columns[j]] = value


def _renamed(function: FillMatrix, name: str) -> FillMatrix:
    """Return a copy under another name: numba's disk cache tells functions apart by their name alone."""
    source = cast(FunctionType, function)
    copy = FunctionType(source.__code__, source.__globals__, name)
    copy.__qualname__ = name
    copy.__module__ = source.__module__
    return copy


fill_matrix = kernel(_renamed(_fill_matrix, "fill_matrix"))
"""Fill the columns of the built-in features, rows ``first`` on.

``kinds``, ``windows``, ``parameters`` and ``columns`` are (num_builtins,), ``out`` is (num_rows - first,
num_features).
"""

fill_matrix_parallel = parallel_kernel(_renamed(_fill_matrix, "fill_matrix_parallel"))
"""The same function on all threads."""
