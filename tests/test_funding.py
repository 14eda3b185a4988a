"""Tests of the funding table's checks and holes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rl_trader.errors import DataError
from rl_trader.funding import check_funding, funding_holes
from rl_trader.klines import utc
from rl_trader.store import DataStore

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01T00:00Z


def make_funding(hours: list[float]) -> pd.DataFrame:
    """Return settlements at the given hours after 2024-01-01."""
    stamps = [START + round(hour * HOUR) for hour in hours]
    return pd.DataFrame(
        {"funding_time": np.array(stamps, dtype=np.int64), "funding_rate": np.linspace(-1e-4, 3e-4, len(hours))}
    )


def test_stamps_up_to_a_minute_off_are_rounded_to_their_hour() -> None:
    table = make_funding([0, 8, 16])
    table["funding_time"] += np.array([31, -60_000, 60_000])
    checked = check_funding(table, name="X")
    assert checked["funding_time"].tolist() == [START, START + 8 * HOUR, START + 16 * HOUR]
    assert checked["funding_rate"].tolist() == table["funding_rate"].tolist()


def test_a_stamp_more_than_a_minute_off_is_refused_with_its_time() -> None:
    table = make_funding([0, 8, 16])
    table["funding_time"] += np.array([0, 60_001, 0])
    with pytest.raises(DataError, match=r"BTC row 1 is stamped 2024-01-01T08:01:00\.001Z, more than a minute off"):
        check_funding(table, name="BTC")


@pytest.mark.parametrize(
    ("offset", "stamp"),
    [(-60_001, "2024-01-01T07:58:59.999Z"), (30 * 60_000, "2024-01-01T08:30Z"), (-30 * 60_000, "2024-01-01T07:30Z")],
)
def test_a_stamp_between_two_hours_belongs_to_neither(offset: int, stamp: str) -> None:
    table = make_funding([0, 8, 16])
    table["funding_time"] += np.array([0, offset, 0])
    with pytest.raises(DataError, match=f"X row 1 is stamped {stamp}, more than a minute off a full hour; remove"):
        check_funding(table, name="X")


@pytest.mark.parametrize("hours", [[0, 16, 8], [0, 8, 8]])
def test_settlements_out_of_order_or_twice_in_an_hour_are_refused(hours: list[float]) -> None:
    with pytest.raises(DataError, match=r"row 2 at 2024-01-01T08:00Z does not come after the row before it"):
        check_funding(make_funding(hours), name="X")


def test_stamps_that_round_to_the_same_hour_are_refused() -> None:
    table = make_funding([0, 8, 8])
    table["funding_time"] += np.array([0, -30_000, 30_000])
    with pytest.raises(DataError, match=r"row 2 at 2024-01-01T08:00Z does not come after the row before it"):
        check_funding(table, name="X")


@pytest.mark.parametrize("price", [0.0, -5.0, np.inf, -np.inf, "much"])
def test_a_recorded_mark_price_that_is_not_positive_is_refused(price: Any) -> None:
    table = make_funding([0, 8, 16]).assign(mark_price=[np.nan, 40_000.0, price])
    with pytest.raises(DataError, match=rf"X row 2 at 2024-01-01T16:00Z has the mark_price {price}, which is not pos"):
        check_funding(table, name="X")
    assert len(check_funding(table[:2], name="X")) == 2


@pytest.mark.parametrize("rate", [np.nan, np.inf, 1.0, -1.0])
def test_a_rate_that_is_no_fraction_is_refused(rate: float) -> None:
    table = make_funding([0, 8, 16])
    table.loc[2, "funding_rate"] = rate
    with pytest.raises(DataError, match=r"row 2 at 2024-01-01T16:00Z has the funding_rate"):
        check_funding(table, name="X")


def test_a_missing_column_and_another_type_are_refused() -> None:
    table = make_funding([0, 8])
    with pytest.raises(DataError, match="column funding_rate must be float64 and is missing"):
        check_funding(table.drop(columns="funding_rate"), name="X")
    with pytest.raises(DataError, match="column funding_time must be int64 and is float64"):
        check_funding(table.astype({"funding_time": np.float64}), name="X")


def holes_in_hours(hours: list[float]) -> list[tuple[int, int, int]]:
    return [
        ((after - START) // HOUR, (before - START) // HOUR, missing)
        for after, before, missing in funding_holes(make_funding(hours)["funding_time"].to_numpy())
    ]


def test_missing_settlements_are_counted_by_the_interval_around_them() -> None:
    assert holes_in_hours([0, 8, 16, 24, 32]) == []
    assert holes_in_hours([0, 8, 16, 40, 48]) == [(16, 40, 2)]
    assert holes_in_hours([0, 4, 8, 16, 20, 24]) == [(8, 16, 1)]
    assert holes_in_hours([0, 8, 24, 40, 48, 56]) == [(8, 24, 1), (24, 40, 1)]


def test_a_change_of_the_interval_is_no_hole() -> None:
    from_8_to_4 = [*range(0, 80, 8), *range(80, 120, 4)]
    from_1_to_8 = [*range(0, 30), *range(30, 100, 8)]
    assert holes_in_hours([float(hour) for hour in from_8_to_4]) == []
    assert holes_in_hours([float(hour) for hour in from_1_to_8]) == []


def test_two_settlements_further_apart_than_the_longest_interval_have_a_hole() -> None:
    assert holes_in_hours([0, 24]) == [(0, 24, 2)]
    assert holes_in_hours([0]) == []


def test_the_known_holes_of_the_recorded_rates_are_found(recorded_data: Path) -> None:
    store = DataStore.open(recorded_data)
    found = {}
    for symbol in ("BNBUSDT", "BTCUSDT", "ETHUSDT", "LTCUSDT"):
        table = store.funding(symbol)
        assert table is not None
        found[symbol] = [(utc(a), utc(b), missing) for a, b, missing in funding_holes(table["funding_time"].to_numpy())]
    # 2024-12-04 00:00 to 2025-03-06 16:00 are 92 days and 16 hours, 2 224 hours: 278 intervals, 277 missing.
    # 2024-05-14 00:00 to 2025-03-06 16:00 are 296 days and 16 hours, 7 120 hours: 890 intervals, 889 missing.
    assert found == {
        "BNBUSDT": [("2024-12-04T00:00Z", "2025-03-06T16:00Z", 277)],
        "BTCUSDT": [],
        "ETHUSDT": [],
        "LTCUSDT": [("2024-05-14T00:00Z", "2025-03-06T16:00Z", 889)],
    }
