"""The kline table: its intervals, its checks, its gap-free stretches and exact resampling.

A kline table is a data frame with one row a bar: ``open_time`` (int64, ms UTC, the bar covers ``[open_time,
open_time + interval)``), ``open, high, low, close`` (float64, USDT; in a premium-index table fractions),
``volume`` (float64, base asset) and, where recorded, ``quote_volume`` (USDT), ``trades`` and
``taker_buy_volume`` (base asset; all float64, NaN where a row has none). Mark-price and premium-index tables
have no volumes.

The store, the downloader and the live feed check every table here before anything else reads it. A check
looks at one column at a time, so that it needs little memory beside the table.
"""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY, MS_PER_HOUR, OHLC
from rl_trader.errors import ConfigError, DataError

MS_PER_MINUTE: Final = 60_000
INTERVAL_MS: Final = {
    "1m": MS_PER_MINUTE,
    "3m": 3 * MS_PER_MINUTE,
    "5m": 5 * MS_PER_MINUTE,
    "15m": 15 * MS_PER_MINUTE,
    "30m": 30 * MS_PER_MINUTE,
    "1h": MS_PER_HOUR,
    "2h": 2 * MS_PER_HOUR,
    "4h": 4 * MS_PER_HOUR,
    "6h": 6 * MS_PER_HOUR,
    "8h": 8 * MS_PER_HOUR,
    "12h": 12 * MS_PER_HOUR,
    "1d": MS_PER_DAY,
    "3d": 3 * MS_PER_DAY,
    "1w": 7 * MS_PER_DAY,
}
VOLUMES: Final = ("volume", "quote_volume", "trades", "taker_buy_volume")

_GRID_OFFSET_MS: Final = {"1w": 4 * MS_PER_DAY}  # weeks open on Mondays; 1970-01-01 was a Thursday
_MAX_DECIMALS: Final = 8  # of any price or quantity that the exchange accepts
_ROUNDING: Final = 1e-12  # of a value: above what floats and their sums round
_LEAST: Final = 1e-9  # below the smallest decimal of _MAX_DECIMALS
_UNANCHORED: Final = "3d"  # the exchange does not say on which days these bars open
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 4_102_444_800_000  # 2100-01-01; a stamp in microseconds lies far beyond


def interval_ms(name: str) -> int:
    """Return the length of a named interval in milliseconds.

    Raises:
        ConfigError: If the exchange has no such interval.
    """
    if name not in INTERVAL_MS:
        raise ConfigError(f"interval {name!r} is not known; choose one of {', '.join(INTERVAL_MS)}")
    return INTERVAL_MS[name]


def utc(ms: int) -> str:
    """Return a time in ms UTC as ISO 8601 with a Z, to the minute where it is a full minute."""
    try:
        moment = _EPOCH + timedelta(milliseconds=int(ms))
    except OverflowError:
        return f"{ms} ms"
    spec = "milliseconds" if ms % 1000 else "minutes" if ms % MS_PER_MINUTE == 0 else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def parse_date(text: str) -> int:
    """Return the ms UTC of an ISO date (``2023-01-01``) or time (``2023-01-01T08:30Z``); no zone means UTC.

    Raises:
        ConfigError: If the text is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a date; write it as 2023-01-01 or 2023-01-01T08:30Z, in UTC") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def check_klines(table: pd.DataFrame, *, name: str, interval: str) -> None:
    """Check a table of last or mark prices: columns, times, and prices that a market can have.

    Holes are no error: they split a recording (:func:`find_segments`).

    Args:
        table: The kline table; its volumes are checked where it has them.
        name: What the message calls the table, for example its path.
        interval: The interval of its bars.

    Raises:
        DataError: Naming the first offending row, what was wrong and what to do.
    """
    check_premium_index(table, name=name, interval=interval)
    _check_rows(table, name, "open", lambda x: x <= 0.0, "a price that is not positive")
    _check_rows(table, name, "low", lambda x: x <= 0.0, "a price that is not positive")
    if "volume" in table:
        _check_rows(table, name, "volume", lambda x: ~np.isfinite(x), "a volume that is not finite")
    for column in (c for c in VOLUMES if c in table):
        _check_rows(table, name, column, lambda x: x < 0.0, "a negative amount")


def check_premium_index(table: pd.DataFrame, *, name: str, interval: str) -> None:
    """Check a table whose values may have either sign: columns, times, finite values, high and low.

    Raises:
        DataError: Naming the first offending row, what was wrong and what to do.
    """
    _check_columns(table, name)
    _check_times(table["open_time"].to_numpy(), name, interval)
    for column in OHLC:
        _check_rows(table, name, column, lambda x: ~np.isfinite(x), "a value that is not finite")
    high, low = table["high"].to_numpy(), table["low"].to_numpy()
    _check_rows(table, name, "high", lambda x: x < low, "a high below the low")
    for column in ("open", "close"):
        _check_rows(table, name, column, lambda x: x > high, f"a high below the {column}")
        _check_rows(table, name, column, lambda x: x < low, f"a low above the {column}")


def find_segments(open_time: NDArray[np.int64], interval_ms: int) -> list[tuple[int, int]]:
    """Return the gap-free stretches of a recording as half-open row ranges ``(start, stop)``.

    Args:
        open_time: Ascending times in ms (num_bars,).
        interval_ms: Length of a bar in ms.
    """
    if len(open_time) == 0:
        return []
    breaks = np.flatnonzero(np.diff(open_time) != interval_ms) + 1
    return list(itertools.pairwise([0, *breaks.tolist(), len(open_time)]))


def describe_hole(open_time: NDArray[np.int64], interval_ms: int, name: str) -> str | None:
    """Return a sentence about the first hole of a recording, or None if it has none.

    Args:
        open_time: Ascending times in ms (num_bars,).
        interval_ms: Length of a bar in ms.
        name: What the sentence calls the recording, for example ``BTCUSDT 30m``.
    """
    segments = find_segments(open_time, interval_ms)
    if len(segments) <= 1:
        return None
    stop = segments[0][1]
    last, following = int(open_time[stop - 1]), int(open_time[stop])
    missing = (following - last) // interval_ms - 1
    bars = "1 bar" if missing == 1 else f"{missing} bars"
    return (
        f"{name} has a hole: {bars} missing after {utc(last)}, the next one is {utc(following)}; "
        "download that span or choose a period without it"
    )


def can_resample(from_interval: str, to_interval: str) -> bool:
    """Return whether bars of one interval can be made from bars of another.

    The wanted interval must be a multiple of the given one. Bars of 3 days are made from nothing else: where
    the exchange lets them begin is not documented.
    """
    fine, coarse = interval_ms(from_interval), interval_ms(to_interval)
    return coarse == fine or (coarse % fine == 0 and to_interval != _UNANCHORED)


def resample(table: pd.DataFrame, from_interval: str, to_interval: str) -> pd.DataFrame:
    """Return the table in a coarser interval, from complete buckets only.

    Open, high, low and close are copied, so they are exact. Volumes are added with the rounding error of
    every addition kept and added at the end: the result is the float nearest to the true sum of the given
    floats, as ``math.fsum`` finds it, or rarely its neighbour. A bucket of which a finer bar is missing is
    dropped.

    Args:
        table: A checked table of bars of ``from_interval``.
        from_interval: The interval of the table.
        to_interval: The wanted interval, a multiple of it.

    Raises:
        ConfigError: If the wanted interval cannot be made from the given one (:func:`can_resample`).
    """
    fine, coarse = interval_ms(from_interval), interval_ms(to_interval)
    if not can_resample(from_interval, to_interval):
        raise ConfigError(f"{to_interval} bars cannot be made from {from_interval} bars; record one that divides them")
    if coarse == fine or len(table) == 0:
        return table
    offset = _GRID_OFFSET_MS.get(to_interval, 0)
    bucket = (table["open_time"].to_numpy() - offset) // coarse
    edges = np.concatenate(([0], np.flatnonzero(np.diff(bucket)) + 1))
    per_bucket = coarse // fine
    is_complete = np.diff(edges, append=len(bucket)) == per_bucket
    start = edges[is_complete]
    columns: dict[str, NDArray[np.generic]] = {"open_time": bucket[start] * coarse + offset}
    columns["open"] = table["open"].to_numpy()[start]
    columns["high"] = np.maximum.reduceat(table["high"].to_numpy(), edges)[is_complete]
    columns["low"] = np.minimum.reduceat(table["low"].to_numpy(), edges)[is_complete]
    columns["close"] = table["close"].to_numpy()[start + per_bucket - 1]
    for column in (c for c in VOLUMES if c in table):
        columns[column] = _exact_sums(table[column].to_numpy(), start, per_bucket)
    return pd.DataFrame(columns, copy=False)


def infer_step(values: NDArray[np.float64]) -> Decimal:
    """Return the largest power of ten, 1 at most, of which all values are multiples.

    Args:
        values: Recorded prices or quantities (any shape), at most eight decimals each.
    """
    for decimals in range(_MAX_DECIMALS):
        scaled = values * 10.0**decimals
        if np.all(np.abs(scaled - np.rint(scaled)) <= _LEAST + _ROUNDING * np.abs(scaled)):
            return Decimal(1).scaleb(-decimals)
    return Decimal(1).scaleb(-_MAX_DECIMALS)


def _exact_sums(values: NDArray[np.float64], start: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    total = np.zeros(len(start))
    error = np.zeros(len(start))
    for i in range(count):
        value = values[start + i]
        bigger = total + value
        part = bigger - total
        error += (total - (bigger - part)) + (value - part)  # what this addition rounded away
        total = bigger
    return total + error


def _check_columns(table: pd.DataFrame, name: str) -> None:
    missing = [column for column in ("open_time", *OHLC) if column not in table]
    if missing:
        raise DataError(
            f"{name} has no column {', '.join(missing)}, only {', '.join(map(str, table.columns))}; download it again"
        )
    for column in ("open_time", *OHLC, *VOLUMES):
        wanted = np.int64 if column == "open_time" else np.float64
        if column in table and table[column].dtype != wanted:
            raise DataError(
                f"{name} column {column} must be {np.dtype(wanted)} and is {table[column].dtype}; convert it"
            )
    if len(table) == 0:
        raise DataError(f"{name} has no rows; download it again")


def _check_times(open_time: NDArray[np.int64], name: str, interval: str) -> None:
    out = (open_time < 0) | (open_time >= _LAST_MS)
    if out.any():
        row = int(np.argmax(out))
        raise DataError(
            f"{name} row {row} has open_time {open_time[row]}, which is no time in ms since 1970; convert it"
        )
    _check_order(open_time, name)
    offset = int(open_time[0]) if interval == _UNANCHORED else _GRID_OFFSET_MS.get(interval, 0)
    beyond_grid = open_time - offset
    beyond_grid %= interval_ms(interval)
    off_grid = beyond_grid != 0
    if off_grid.any():
        row = int(np.argmax(off_grid))
        raise DataError(
            f"{name} row {row} opens at {utc(open_time[row])}, where no {interval} bar opens; "
            "name the interval of the table or download it again"
        )


def _check_order(open_time: NDArray[np.int64], name: str) -> None:
    is_bad = open_time[1:] <= open_time[:-1]
    if not is_bad.any():
        return
    row = int(np.argmax(is_bad)) + 1
    before, here = utc(open_time[row - 1]), utc(open_time[row])
    if before == here:
        raise DataError(f"{name} row {row} is a second bar at {here}; remove one of the two or download it again")
    raise DataError(f"{name} row {row} at {here} comes after the bar at {before}; sort the table by open_time")


def _check_rows(
    table: pd.DataFrame,
    name: str,
    column: str,
    is_bad: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
    fault: str,
) -> None:
    values = table[column].to_numpy()
    bad = is_bad(values)
    if bad.any():
        row = int(np.argmax(bad))
        when = utc(int(table["open_time"].iloc[row]))
        raise DataError(
            f"{name} row {row} at {when} has {fault} ({column} {values[row]}); "
            "download that span again or remove the row"
        )
