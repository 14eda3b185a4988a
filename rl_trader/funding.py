"""The funding table: settled rates and their times.

A funding table is a data frame with one row a settlement: ``funding_time`` (int64, ms UTC) and
``funding_rate`` (float64, a fraction: 0.0001 is 0.01 %; positive means that longs pay shorts) and, where
recorded, ``funding_interval_hours`` and ``mark_price`` (float64, NaN where a row has none). The exchange
stamps a settlement up to some tens of milliseconds after the full hour; the true time is the hour.
"""

from collections import Counter
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_HOUR
from rl_trader.errors import DataError
from rl_trader.klines import utc

OPTIONAL_COLUMNS: Final = ("funding_interval_hours", "mark_price")

_MAX_OFFSET_MS: Final = 60_000  # the exchange allows itself up to about one minute
_LONGEST_INTERVAL_MS: Final = 8 * MS_PER_HOUR
_NEIGHBOURS: Final = 5  # settlements on either side whose spacing decides what the interval was


def check_funding(table: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Return the funding table with its times rounded to the full hour, after checking it.

    Args:
        table: The table as recorded.
        name: What the message calls the table, for example its path.

    Raises:
        DataError: If a column is missing or of another type, a stamp lies more than a minute off a full hour,
            two settlements share an hour or are out of order, a rate is not a fraction below 1, or a mark price is
            recorded and not positive.
    """
    _check_columns(table, name)
    stamp = table["funding_time"].to_numpy()
    hour = (stamp + MS_PER_HOUR // 2) // MS_PER_HOUR * MS_PER_HOUR
    off = np.abs(stamp - hour) > _MAX_OFFSET_MS
    if off.any():
        row = int(np.argmax(off))
        raise DataError(
            f"{name} row {row} is stamped {utc(stamp[row])}, more than a minute off a full hour; "
            "remove the row or download it again"
        )
    early = np.diff(hour) <= 0
    if early.any():
        row = int(np.argmax(early)) + 1
        raise DataError(
            f"{name} row {row} at {utc(hour[row])} does not come after the row before it, at "
            f"{utc(hour[row - 1])}; sort the table by funding_time and remove duplicates"
        )
    rate = table["funding_rate"].to_numpy()
    bad = ~(np.abs(rate) < 1.0)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{name} row {row} at {utc(hour[row])} has the funding_rate {rate[row]}, which is not a fraction "
            "below 1; download it again"
        )
    _check_mark_prices(table, hour, name)
    return table.assign(funding_time=hour)


def funding_holes(time: NDArray[np.int64], interval_ms: int | None = None) -> list[tuple[int, int, int]]:
    """Return the holes between settlements as ``(after_ms, before_ms, missing)``.

    ``after_ms`` and ``before_ms`` are the settlements on either side of the hole, ``missing`` the number in
    it. The exchange changes a symbol's funding interval at times (8 h to 4 h, say), and that is no hole: a
    spacing is one if it is longer than the most frequent spacing of the settlements around it, or than the
    longest interval, 8 hours. The last ones are none that are all of the contract's own interval: it has been
    changed to that.

    Args:
        time: (num_settlements,) their hours, ms UTC, ascending.
        interval_ms: Of the contract, today; None where that is not known.
    """
    gaps = np.diff(time)
    if len(gaps) == 0:
        return []
    holes = []
    shortest = min(int(gaps.min()), _LONGEST_INTERVAL_MS)
    others = np.flatnonzero(gaps != interval_ms)
    num_before = int(others[-1]) + 1 if len(others) else 0  # the contract's interval
    for i in np.flatnonzero(gaps[:num_before] > shortest).tolist():
        around = Counter(gaps[max(i - _NEIGHBOURS, 0) : i + _NEIGHBOURS + 1].tolist())
        most = max(around.values())
        prevailing = max(gap for gap, count in around.items() if count == most)
        expected = min(prevailing, _LONGEST_INTERVAL_MS)
        if gaps[i] > expected:
            missing = max(round(int(gaps[i]) / expected) - 1, 1)
            holes.append((int(time[i]), int(time[i + 1]), missing))
    return holes


def _check_mark_prices(table: pd.DataFrame, hour: NDArray[np.int64], name: str) -> None:
    if "mark_price" not in table:
        return
    price = pd.to_numeric(table["mark_price"], errors="coerce").to_numpy(np.float64)
    bad = ~((price > 0.0) & (price < np.inf)) & table["mark_price"].notna().to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{name} row {row} at {utc(hour[row])} has the mark_price {table['mark_price'].iloc[row]}, which is not "
            "positive; download it again"
        )


def _check_columns(table: pd.DataFrame, name: str) -> None:
    for column, wanted in (("funding_time", np.int64), ("funding_rate", np.float64)):
        if column not in table or table[column].dtype != wanted:
            found = f"is {table[column].dtype}" if column in table else "is missing"
            raise DataError(f"{name} column {column} must be {np.dtype(wanted)} and {found}; download it again")
