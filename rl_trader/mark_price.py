"""Mark price of every bar, from mark-price candles of the same, a finer or a coarser interval.

Coarser marks: mark = last x (mark / last at the newest mark *open* that has passed), open, high, low and close alike; a
coarse mark candle's own high, low and close are known only after it closes and are never used. Live trading computes
the same from the same candles.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bars import MARK_OHLC, OHLC
from rl_trader.errors import DataError
from rl_trader.klines import can_resample, check_klines, interval_ms, resample, utc

MARK_SCALE: Final = 1e8  # mark prices have 8 decimals


def align_mark_price(
    bars: NDArray[np.void],
    tables: Mapping[str, pd.DataFrame],
    interval: str,
    name: str,
    *,
    last_is_assumed: bool,
    needed_from: int,
) -> list[str]:
    """Write the mark price of every bar and return the assumptions that were made, as sentences.

    Args:
        bars: (num_bars,) of ``BAR_DTYPE`` with times and last prices; the mark prices are written.
        tables: Recorded mark-price candles by interval.
        interval: Of the bars.
        name: Of the market, for messages.
        last_is_assumed: Use the last price where no mark price is recorded, instead of raising.
        needed_from: Bars that open before (ms UTC) are warm-up: they show the last price where they have no mark.

    Raises:
        DataError: If a table is damaged or a bar has no mark price.
    """
    has_mark = np.zeros(len(bars), np.bool_)
    for column in MARK_OHLC:
        bars[column] = 0.0
    for mark_interval in sorted(tables, key=lambda key: _preference(key, interval)):
        if has_mark.all():
            break
        table = tables[mark_interval]
        check_klines(table, name=f"{name} mark price {mark_interval}", interval=mark_interval)
        if interval_ms(mark_interval) <= interval_ms(interval):
            has_mark |= _write_candles(bars, table, mark_interval, interval, ~has_mark)
        else:
            has_mark |= _write_ratio(bars, table, interval_ms(mark_interval), ~has_mark)
    return _fill_missing(bars, ~has_mark, name, last_is_assumed=last_is_assumed, needed_from=needed_from)


def _fill_missing(
    bars: NDArray[np.void], missing: NDArray[np.bool_], name: str, *, last_is_assumed: bool, needed_from: int
) -> list[str]:
    """Write the last price where no mark price is recorded, and say so, or refuse it where it is needed."""
    for mark, last in zip(MARK_OHLC, OHLC, strict=True):
        bars[mark][missing] = bars[last][missing]
    is_needed = bars["open_time"] >= needed_from
    in_play, in_warmup = missing & is_needed, int((missing & ~is_needed).sum())
    notes = []
    if in_play.any():
        where = f"{name} mark price is not recorded in {int(in_play.sum())} of {int(is_needed.sum())} bars"
        if not last_is_assumed:
            first = utc(int(bars["open_time"][in_play][0]))
            raise DataError(
                f"{where}, the first {first}; download it, choose a period that has it, or set"
                " market.assumptions.missing_mark to last"
            )
        notes.append(f"{where}: the last price is assumed there")
    if in_warmup:
        notes.append(f"{name} mark price is not recorded in {in_warmup} bars of the warm-up, which show the last price")
    return notes


def _preference(mark_interval: str, interval: str) -> tuple[bool, int]:
    """Order candles of the same interval first, then finer ones from coarse to fine, then coarser ones."""
    length = interval_ms(mark_interval)
    is_coarser = length > interval_ms(interval)
    return is_coarser, length if is_coarser else -length


def _write_candles(
    bars: NDArray[np.void], table: pd.DataFrame, mark_interval: str, interval: str, wanted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    if mark_interval != interval:
        if not can_resample(mark_interval, interval):
            return np.zeros(len(bars), np.bool_)
        table = resample(table, mark_interval, interval)
    if not len(table):
        return np.zeros(len(bars), np.bool_)
    times = table["open_time"].to_numpy(np.int64)
    row = np.minimum(np.searchsorted(times, bars["open_time"]), len(times) - 1)
    found: NDArray[np.bool_] = wanted & (times[row] == bars["open_time"])
    for mark, column in zip(MARK_OHLC, OHLC, strict=True):
        bars[mark][found] = table[column].to_numpy(np.float64)[row[found]]
    return found


def _write_ratio(
    bars: NDArray[np.void], table: pd.DataFrame, mark_ms: int, wanted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    times = table["open_time"].to_numpy(np.int64)
    opens = table["open"].to_numpy(np.float64)
    at = np.searchsorted(bars["open_time"], times)
    at_bar = np.minimum(at, len(bars) - 1)
    is_usable = bars["open_time"][at_bar] == times  # the last price at the mark's open is a bar's open
    times, at_bar = times[is_usable], at_bar[is_usable]
    ratio = opens[is_usable] / bars["open"][at_bar]
    if not len(times):
        return np.zeros(len(bars), np.bool_)
    row = np.searchsorted(times, bars["open_time"], side="right") - 1
    found = wanted & (row >= 0)
    found &= bars["open_time"] - times[np.maximum(row, 0)] < mark_ms
    for mark, last in zip(MARK_OHLC, OHLC, strict=True):
        bars[mark][found] = np.rint(bars[last][found] * ratio[row[found]] * MARK_SCALE) / MARK_SCALE
    return found
