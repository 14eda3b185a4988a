"""Tests of the kline table's checks, segments and resampling."""

import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader import klines
from rl_trader.errors import ConfigError, DataError
from rl_trader.store import DataStore

MINUTE = 60_000
START = 1_709_280_900_000  # 2024-03-01T08:15Z, a full quarter of an hour
VOLUMES = ("volume", "quote_volume", "trades", "taker_buy_volume")


def make_klines(num_bars: int, interval: str = "15m", start: int = START) -> pd.DataFrame:
    """Return bars that open at 101, 102, ... and close one higher, with a range of 0.5 around both."""
    opens = 101.0 + np.arange(num_bars)
    return pd.DataFrame(
        {
            "open_time": start + np.arange(num_bars, dtype=np.int64) * klines.INTERVAL_MS[interval],
            "open": opens,
            "high": opens + 1.5,
            "low": opens - 0.5,
            "close": opens + 1.0,
            "volume": np.full(num_bars, 2.5),
        }
    )


def with_value(column: str, row: int, value: float) -> pd.DataFrame:
    table = make_klines(5)
    table.loc[row, column] = value
    return table


def test_a_sound_table_passes_with_and_without_volumes_and_with_holes() -> None:
    table = make_klines(5)
    klines.check_klines(table, name="X", interval="15m")
    klines.check_klines(table.drop(columns="volume"), name="X", interval="15m")
    klines.check_klines(table.drop(index=2), name="X", interval="15m")


# Row 3 opens at 08:15 + 3 * 15 minutes = 09:00.
@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("open", math.nan, "a value that is not finite (open nan)"),
        ("high", math.inf, "a value that is not finite (high inf)"),
        ("low", -1.0, "a price that is not positive (low -1.0)"),
        ("low", 0.0, "a price that is not positive (low 0.0)"),
        ("high", 90.0, "a high below the low (high 90.0)"),
        ("open", 106.0, "a high below the open (open 106.0)"),  # the bar's high is 105.5
        ("close", 103.0, "a low above the close (close 103.0)"),  # the bar's low is 103.5
        ("volume", -2.0, "a negative amount (volume -2.0)"),
        ("volume", math.nan, "a volume that is not finite (volume nan)"),
    ],
)
def test_a_faulty_value_is_named_with_its_row_time_and_remedy(column: str, value: float, fault: str) -> None:
    with pytest.raises(DataError) as caught:
        klines.check_klines(with_value(column, 3, value), name="BTC 15m", interval="15m")
    assert str(caught.value) == (
        f"BTC 15m row 3 at 2024-03-01T09:00Z has {fault}; download that span again or remove the row"
    )


def test_of_several_faulty_rows_the_first_is_named() -> None:
    table = with_value("open", 1, math.nan)
    table.loc[3, "open"] = math.nan
    with pytest.raises(DataError, match="row 1 at 2024-03-01T08:30Z"):
        klines.check_klines(table, name="X", interval="15m")


def test_volumes_that_are_not_recorded_pass_but_negative_ones_do_not() -> None:
    table = make_klines(3).assign(taker_buy_volume=[math.nan, 1.0, math.nan])
    klines.check_klines(table, name="X", interval="15m")
    with pytest.raises(DataError, match=r"row 1 .* \(taker_buy_volume -1\.0\)"):
        klines.check_klines(table.assign(taker_buy_volume=-table["taker_buy_volume"]), name="X", interval="15m")


def test_a_premium_index_may_be_negative_where_a_price_may_not() -> None:
    table = make_klines(3).drop(columns="volume")
    table[["open", "high", "low", "close"]] -= 200.0
    klines.check_premium_index(table, name="X", interval="15m")
    with pytest.raises(DataError, match="not positive"):
        klines.check_klines(table, name="X", interval="15m")


def test_duplicate_unsorted_and_off_grid_times_each_have_their_own_sentence() -> None:
    table = make_klines(4)
    duplicate = table.iloc[[0, 1, 1, 2]]
    with pytest.raises(DataError, match=r"row 2 is a second bar at 2024-03-01T08:30Z; remove one"):
        klines.check_klines(duplicate, name="X", interval="15m")
    with pytest.raises(DataError, match=r"row 2 at 2024-03-01T08:30Z comes after .*T08:45Z; sort the table"):
        klines.check_klines(table.iloc[[0, 2, 1, 3]], name="X", interval="15m")
    with pytest.raises(DataError, match=r"row 0 opens at 2024-03-01T08:15Z, where no 30m bar opens"):
        klines.check_klines(table, name="X", interval="30m")


def test_times_in_microseconds_missing_columns_other_types_and_no_rows_are_refused() -> None:
    table = make_klines(4)
    with pytest.raises(DataError, match=r"row 0 has open_time 1709280900000000, which is no time in ms"):
        klines.check_klines(table.assign(open_time=table["open_time"] * 1000), name="X", interval="15m")
    with pytest.raises(DataError, match=r"X has no column high, close, only open_time, open, low, volume"):
        klines.check_klines(table.drop(columns=["high", "close"]), name="X", interval="15m")
    with pytest.raises(DataError, match=r"column low must be float64 and is int64"):
        klines.check_klines(table.astype({"low": np.int64}), name="X", interval="15m")
    with pytest.raises(DataError, match="X has no rows"):
        klines.check_klines(table.iloc[:0], name="X", interval="15m")


def test_a_hole_splits_a_recording_and_is_described() -> None:
    times = make_klines(8)["open_time"].to_numpy()[[0, 1, 5, 6, 7]]
    assert klines.find_segments(times, 15 * MINUTE) == [(0, 2), (2, 5)]
    # Rows 2, 3 and 4 of the eight are gone: after 08:30 comes 08:15 + 5 * 15 minutes = 09:30.
    assert klines.describe_hole(times, 15 * MINUTE, "BTCUSDT 15m") == (
        "BTCUSDT 15m has a hole: 3 bars missing after 2024-03-01T08:30Z, the next one is 2024-03-01T09:30Z; "
        "download that span or choose a period without it"
    )


def test_a_recording_without_a_hole_is_one_segment_and_an_empty_one_none() -> None:
    times = make_klines(8)["open_time"].to_numpy()
    assert klines.find_segments(times, 15 * MINUTE) == [(0, 8)]
    assert klines.describe_hole(times, 15 * MINUTE, "X") is None
    assert klines.find_segments(times[:0], 15 * MINUTE) == []


@given(st.lists(st.integers(1, 4), max_size=30))
def test_segments_cover_every_bar_once_and_hold_no_hole(steps: list[int]) -> None:
    times = np.cumsum([0, *steps]).astype(np.int64) * MINUTE
    segments = klines.find_segments(times, MINUTE)
    assert [row for start, stop in segments for row in range(start, stop)] == list(range(len(times)))
    assert all((np.diff(times[start:stop]) == MINUTE).all() for start, stop in segments)
    assert len(segments) == 1 + sum(step > 1 for step in steps)


def test_resampling_by_hand_drops_the_incomplete_bucket() -> None:
    # 08:15 belongs to the 30-minute bar of 08:00, whose first half is missing; 08:30 + 08:45 make a whole bar.
    table = make_klines(3)
    table["high"] = [110.0, 120.0, 130.0]
    table["low"] = [90.0, 70.0, 80.0]
    result = klines.resample(table, "15m", "30m")
    assert result.to_dict("records") == [
        {"open_time": START + 15 * MINUTE, "open": 102.0, "high": 130.0, "low": 70.0, "close": 104.0, "volume": 5.0}
    ]


def test_a_bar_missing_in_the_middle_drops_its_bucket_only() -> None:
    table = make_klines(12, "5m", START).drop(index=4)  # buckets of 15 minutes: rows 0-2, 3-5, 6-8, 9-11
    result = klines.resample(table, "5m", "15m")
    assert ((result["open_time"] - START) // (15 * MINUTE)).tolist() == [0, 2, 3]


def test_weeks_open_on_mondays() -> None:
    monday = klines.parse_date("2024-03-04")
    table = make_klines(16, "1d", monday - 2 * 86_400_000)  # from Saturday the 2nd
    result = klines.resample(table, "1d", "1w")
    assert [klines.utc(t) for t in result["open_time"]] == ["2024-03-04T00:00Z", "2024-03-11T00:00Z"]
    klines.check_klines(result, name="X", interval="1w")


def test_an_interval_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="15m bars cannot be made from 30m bars"):
        klines.resample(make_klines(3), "30m", "15m")
    with pytest.raises(ConfigError, match="5m bars cannot be made from 3m bars"):
        klines.resample(make_klines(3), "3m", "5m")
    with pytest.raises(ConfigError, match="3d bars cannot be made from 1d bars"):
        klines.resample(make_klines(3), "1d", "3d")


@st.composite
def recordings(draw: st.DrawFn) -> pd.DataFrame:
    """Draw a 5-minute table with random prices, decimal volumes and missing bars."""
    num_bars = draw(st.integers(1, 60))
    is_there = np.array(draw(st.lists(st.booleans(), min_size=num_bars, max_size=num_bars)))
    is_there[0] = True
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    prices = np.round(rng.uniform(1.0, 1e5, (num_bars, 4)), 2)
    table = make_klines(num_bars, "5m", draw(st.integers(0, 11)) * 5 * MINUTE)
    table["open"], table["close"] = prices[:, 0], prices[:, 1]
    table["high"], table["low"] = prices.max(axis=1), prices.min(axis=1)
    for column in VOLUMES:
        table[column] = np.round(rng.exponential(10.0 ** rng.integers(-2, 7), num_bars), 3)
    return table[is_there].reset_index(drop=True)


@given(recordings(), st.sampled_from(["15m", "30m", "1h", "2h"]))
def test_resampling_equals_grouping_by_bucket(table: pd.DataFrame, to_interval: str) -> None:
    length = klines.INTERVAL_MS[to_interval]
    groups = table.groupby(table["open_time"] // length * length)
    expected = groups.agg(open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last"))[
        groups.size() == length // (5 * MINUTE)
    ]
    result = klines.resample(table, "5m", to_interval)
    assert result["open_time"].tolist() == expected.index.tolist()
    for column in ("open", "high", "low", "close"):
        assert result[column].tolist() == expected[column].tolist()
    for column in VOLUMES:  # the float nearest to the true sum, or its neighbour
        sums = np.array([math.fsum(groups.get_group(t)[column]) for t in expected.index])
        assert (np.abs(result[column].to_numpy() - sums) <= np.spacing(sums)).all()


def test_volumes_of_unlike_size_lose_nothing() -> None:
    # Added one after the other, 1e16 + 1.0 + 1.0 gives 1e16, since floats there are 2 apart.
    table = make_klines(3, "5m", START).assign(volume=[1e16, 1.0, 1.0])
    assert klines.resample(table, "5m", "15m")["volume"].tolist() == [1e16 + 2.0]


def test_recorded_minutes_give_the_recorded_half_hours(recorded_data: Path) -> None:
    store = DataStore.open(recorded_data)
    for symbol in store.symbols("1m"):
        made = klines.resample(store.klines(symbol, "1m"), "1m", "30m").set_index("open_time")
        recorded = store.klines(symbol, "30m").set_index("open_time")
        both = made.index.intersection(recorded.index)
        assert len(both) > 1_000  # seven weeks of half hours are 2 352
        prices = ["open", "high", "low", "close"]
        assert made.loc[both, prices].equals(recorded.loc[both, prices])
        # Sums of decimals as floats differ from the recorded decimal in the last bits only.
        np.testing.assert_allclose(made.loc[both, "volume"], recorded.loc[both, "volume"], rtol=1e-12)


def test_times_are_written_to_the_minute_where_that_is_exact() -> None:
    assert klines.utc(START) == "2024-03-01T08:15Z"
    assert klines.utc(START + 5_000) == "2024-03-01T08:15:05Z"
    assert klines.utc(START + 7) == "2024-03-01T08:15:00.007Z"
    assert klines.utc(10**18) == "1000000000000000000 ms"


def test_dates_are_read_as_utc_and_anything_else_is_refused() -> None:
    # 2023-01-01 is 19 358 days after 1970-01-01.
    assert klines.parse_date("2023-01-01") == 19_358 * 86_400_000
    assert klines.parse_date("2023-01-01T08:30Z") == 19_358 * 86_400_000 + 510 * MINUTE
    assert klines.parse_date("2023-01-01T08:30+02:00") == 19_358 * 86_400_000 + 390 * MINUTE
    with pytest.raises(ConfigError, match="'last week' is not a date; write it as 2023-01-01"):
        klines.parse_date("last week")


@given(st.integers(0, 4_102_444_799_999))
def test_a_written_time_reads_back(ms: int) -> None:
    assert klines.parse_date(klines.utc(ms)) == ms


def test_an_unknown_interval_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="interval '7m' is not known; choose one of 1m, 3m, 5m"):
        klines.interval_ms("7m")


@given(st.integers(0, 8), st.lists(st.integers(1, 10**7), min_size=1, max_size=20))
def test_the_inferred_step_is_the_largest_power_of_ten_that_divides_all(decimals: int, units: list[int]) -> None:
    # Every trailing zero that all units share makes the step ten times larger, up to 1.
    shared = next(zeros for zeros in range(8, -1, -1) if all(unit % 10**zeros == 0 for unit in units))
    step = klines.infer_step(np.array(units) / 10**decimals)
    assert step == Decimal(10) ** min(shared - decimals, 0)
