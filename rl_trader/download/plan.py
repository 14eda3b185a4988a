"""What a series still lacks, as half-open ranges of time, and which files of the archive hold it.

All times are milliseconds since 1970 UTC. Ranges ``(from, to)`` are half-open, ascending and do not overlap.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY, MS_PER_HOUR
from rl_trader.download.archive import Series
from rl_trader.funding import funding_holes
from rl_trader.klines import interval_ms

Range = tuple[int, int]

LONGEST_FUNDING_INTERVAL_MS: Final = 8 * MS_PER_HOUR
"""No USD-M contract settles less often: two settlements further apart have another one between them."""

_EPOCH: Final = dt.date(1970, 1, 1)


def missing_ranges(series: Series, times: NDArray[np.int64], since: int, until: int) -> list[Range]:
    """Return the parts of ``[since, until)`` of which no row is there.

    A bar is missing where the grid of the others has one. Settlements are missing where two are further
    apart than their neighbours, and at the end where another one of the newest spacing is due.

    Args:
        series: What the rows are.
        times: Ascending times of the rows there are, inside the range or not (num_rows,).
        since: Start of the range.
        until: End of the range.
    """
    if series.interval is None:
        return _missing_settlements(times, since, until)
    step = interval_ms(series.interval)
    if len(times) == 0:
        return [(since, until)]
    anchor = int(times[0])
    first = since + (anchor - since) % step  # the first bar of the grid that opens in the range
    inside = times[(times >= first) & (times < until)]
    end = until + (anchor - until) % step
    edges = np.concatenate(([first - step], inside, [end]))
    return [(int(edges[i]) + step, int(edges[i + 1])) for i in np.flatnonzero(np.diff(edges) > step)]


def _missing_settlements(times: NDArray[np.int64], since: int, until: int) -> list[Range]:
    hours = settlement_hours(times)
    inside = hours[(hours >= since) & (hours < until)]
    if len(inside) == 0:
        return [(since, until)]
    holes = funding_holes(inside)
    ranges = [(after + 1, before) for after, before, _ in holes]
    first, last = int(inside[0]), int(inside[-1])
    if first - since >= LONGEST_FUNDING_INTERVAL_MS:
        ranges.insert(0, (since, first))
    newest_step = int(np.diff(inside)[-1]) if len(inside) > 1 else LONGEST_FUNDING_INTERVAL_MS
    due = last + min(newest_step, LONGEST_FUNDING_INTERVAL_MS)
    if due < until:
        ranges.append((due, until))
    return ranges


def settlement_hours(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the full hours of settlements from their real stamps, which are some milliseconds late."""
    return (times + MS_PER_HOUR // 2) // MS_PER_HOUR * MS_PER_HOUR


def subtract(ranges: Iterable[Range], holes: Iterable[Range]) -> list[Range]:
    """Return the parts of the ranges that lie in no hole."""
    left = sorted(ranges)
    for hole_from, hole_to in holes:
        cut = []
        for start, stop in left:
            cut += [(start, min(stop, hole_from)), (max(start, hole_to), stop)]
        left = [(start, stop) for start, stop in cut if start < stop]
    return sorted(left)


def union(ranges: Iterable[Range]) -> list[Range]:
    """Return the same instants as ranges that neither overlap nor touch."""
    joined: list[Range] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


def contains(ranges: Iterable[Range], times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each time whether it lies in one of the ranges (num_rows,)."""
    inside = np.zeros(len(times), dtype=np.bool_)
    for start, stop in ranges:
        inside |= (times >= start) & (times < stop)
    return inside


def days_of(ranges: Iterable[Range], now: int) -> list[dt.date]:
    """Return the days that touch one of the ranges and are over."""
    days: set[int] = set()
    for start, stop in ranges:
        days.update(range(start // MS_PER_DAY, min(stop - 1, now - MS_PER_DAY) // MS_PER_DAY + 1))
    return [_EPOCH + dt.timedelta(days=day) for day in sorted(days)]


def months_of(ranges: Iterable[Range], now: int) -> list[dt.date]:
    """Return the first days of the months that touch one of the ranges and are over."""
    this_month = (_EPOCH + dt.timedelta(milliseconds=now)).replace(day=1)
    months = {day.replace(day=1) for day in days_of(ranges, now)}
    return sorted(month for month in months if month < this_month)
