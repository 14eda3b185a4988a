"""What a series lacks, as ranges of time, and the files that hold it."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.download import plan
from rl_trader.download.archive import Kind, Series
from rl_trader.klines import parse_date
from tests.loopback_binance import HOUR, STEP

SERIES = Series(Kind.KLINES, "BTCUSDT", "8h")
FUNDING = Series(Kind.FUNDING_RATE, "BTCUSDT")


def test_missing_bars_are_found_at_the_start_inside_and_at_the_end() -> None:
    # Bars 0 to 9 are wanted; 2, 3, 6 and 8 are there.
    there = np.array([2, 3, 6, 8], dtype=np.int64) * STEP
    missing = plan.missing_ranges(SERIES, there, 0, 10 * STEP)
    assert missing == [
        (0, 2 * STEP),
        (4 * STEP, 6 * STEP),
        (7 * STEP, 8 * STEP),
        (9 * STEP, 10 * STEP),
    ]


def test_a_period_that_begins_off_the_grid_misses_no_bar_before_it() -> None:
    there = np.arange(1, 4, dtype=np.int64) * STEP
    assert plan.missing_ranges(SERIES, there, HOUR, 3 * STEP + HOUR) == []


def test_missing_settlements_follow_the_spacing_of_the_others() -> None:
    # Every 4 hours from 0 to 40, without 20; before 44 nothing more is due, before 45 the one of 44 is.
    hours = np.array([0, 4, 8, 12, 16, 24, 28, 32, 36, 40], dtype=np.int64)
    there = hours * HOUR + 7
    inside = (16 * HOUR + 1, 24 * HOUR)
    assert plan.missing_ranges(FUNDING, there, 0, 44 * HOUR) == [inside]
    assert plan.missing_ranges(FUNDING, there, 0, 45 * HOUR) == [inside, (44 * HOUR, 45 * HOUR)]


ranges = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)).map(lambda r: (r[0], r[0] + r[1])), max_size=6)


@given(ranges, ranges)
def test_subtraction_and_union_are_those_of_the_instants(some: list[plan.Range], others: list[plan.Range]) -> None:
    instants = np.arange(60)
    left = plan.subtract(plan.union(some), plan.union(others))
    expected = plan.contains(some, instants) & ~plan.contains(others, instants)
    assert plan.contains(left, instants).tolist() == expected.tolist()
    assert all(start < stop for start, stop in left)
    joined = plan.union(some)
    assert plan.contains(joined, instants).tolist() == plan.contains(some, instants).tolist()
    assert all(before[1] < after[0] for before, after in itertools.pairwise(joined))


def test_months_and_days_that_are_not_over_are_not_asked_for() -> None:
    now = parse_date("2024-03-15T12:00Z")
    period = [(parse_date("2024-01-31T23:00Z"), parse_date("2024-04-01"))]
    assert [f"{month:%Y-%m}" for month in plan.months_of(period, now)] == ["2024-01", "2024-02"]
    days = [f"{day:%m-%d}" for day in plan.days_of(period, now)]
    # 31 January, the 29 days of February, 14 of March.
    assert (days[0], days[-1], len(days)) == ("01-31", "03-14", 44)
