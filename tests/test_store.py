"""Tests of the data folder: what is found, what is refused, and how files are merged and replaced."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rl_trader.errors import ConfigError, DataError
from rl_trader.store import DataStore

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01T00:00Z, a Monday


def make_klines(num_bars: int, length: int = HOUR, start: int = START, price: float = 50.0) -> pd.DataFrame:
    opens = price + np.arange(num_bars)
    return pd.DataFrame(
        {
            "open_time": start + np.arange(num_bars, dtype=np.int64) * length,
            "open": opens,
            "high": opens + 2.0,
            "low": opens - 3.0,
            "close": opens + 1.0,
            "volume": np.full(num_bars, 1.5),
        }
    )


def make_funding(num_rows: int, rate: float = 1e-4) -> pd.DataFrame:
    times = START + np.arange(num_rows, dtype=np.int64) * 8 * HOUR
    return pd.DataFrame({"funding_time": times, "funding_rate": np.full(num_rows, rate)})


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    """Return a folder of hourly and 4-hourly klines, 8-hourly marks and funding of two symbols."""
    store = DataStore(tmp_path)
    store.write("klines_1h", "BTCUSDT", make_klines(50))
    store.write("klines_4h", "BTCUSDT", make_klines(12, 4 * HOUR))
    store.write("klines_4h", "ETHUSDT", make_klines(12, 4 * HOUR))
    store.write("mark_price_8h", "BTCUSDT", make_klines(6, 8 * HOUR))
    store.write("funding_rate", "BTCUSDT", make_funding(6))
    return DataStore.open(tmp_path)


def test_what_is_written_reads_back(store: DataStore) -> None:
    pd.testing.assert_frame_equal(store.klines("BTCUSDT", "1h"), make_klines(50))
    marks = make_klines(6, 8 * HOUR).drop(columns="volume")
    pd.testing.assert_frame_equal(store.mark_price("BTCUSDT", "8h"), marks)
    funding = store.funding("BTCUSDT")
    assert funding is not None
    pd.testing.assert_frame_equal(funding, make_funding(6))
    assert store.funding("ETHUSDT") is None


def test_a_premium_index_may_be_negative(store: DataStore) -> None:
    table = make_klines(4, price=-60.0).drop(columns="volume")
    store.write("premium_index_1h", "BTCUSDT", table)
    pd.testing.assert_frame_equal(store.premium_index("BTCUSDT", "1h"), table)


def test_what_is_there_is_listed_finest_first(store: DataStore) -> None:
    assert store.intervals("BTCUSDT") == ["1h", "4h"]
    assert store.intervals("ETHUSDT") == ["4h"]
    assert store.mark_price_intervals("BTCUSDT") == ["8h"]
    assert store.mark_price_intervals("ETHUSDT") == []
    assert store.symbols("1h") == ["BTCUSDT"]
    assert store.symbols("8h") == ["BTCUSDT", "ETHUSDT"]
    assert store.symbols("30m") == []


def test_an_interval_that_is_not_recorded_is_made_from_the_coarsest_that_divides_it(store: DataStore) -> None:
    # The 12 bars of 4 h make 6 of 8 h; the 50 bars of 1 h, which 8 h are also a multiple of, lie at other prices.
    eight = store.klines("BTCUSDT", "8h")
    assert eight["open_time"].tolist() == [START + i * 8 * HOUR for i in range(6)]
    assert eight["open"].tolist() == [50.0, 52.0, 54.0, 56.0, 58.0, 60.0]
    # 2 h divide by 1 h only: 25 bars, the first from 50 over 51 to a close of 52.
    two = store.klines("BTCUSDT", "2h")
    assert len(two) == 25
    assert two.iloc[0].tolist() == [START, 50.0, 53.0, 47.0, 52.0, 3.0]


def test_a_folder_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data folder .*nowhere does not exist; run scripts.download"):
        DataStore.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"has no market data \(no folder such as klines_30m"):
        DataStore.open(tmp_path)
    (tmp_path / "klines_30m").mkdir()
    with pytest.raises(DataError, match="has no market data"):
        DataStore.open(tmp_path)


def test_an_unknown_symbol_is_answered_with_its_like_or_with_all(store: DataStore) -> None:
    with pytest.raises(DataError, match=r"BTCUSD has no klines in .*; choose a recorded symbol \(BTCUSDT"):
        store.klines("BTCUSD", "1h")
    with pytest.raises(DataError, match=r"X has no klines in .*\(BTCUSDT, ETHUSDT\) or run scripts.download X"):
        store.klines("X", "1h")
    with pytest.raises(DataError, match=r"ETHUSDT has no mark_price in .*\(BTCUSDT\)"):
        store.mark_price("ETHUSDT", "8h")
    with pytest.raises(DataError, match=r"has no premium_index in .*\(there is none\)"):
        store.premium_index("BTCUSDT", "1h")


def test_an_unrecorded_interval_is_answered_with_the_recorded_ones(store: DataStore) -> None:
    with pytest.raises(DataError, match=r"BTCUSDT has no klines of 30m in .*, only of 1h, 4h; choose one"):
        store.klines("BTCUSDT", "30m")
    with pytest.raises(ConfigError, match="interval '45m' is not known"):
        store.klines("BTCUSDT", "45m")
    with pytest.raises(DataError, match=r"has no complete 1w bar in its 4h bars"):
        store.klines("BTCUSDT", "1w")


def test_a_damaged_file_is_named(store: DataStore) -> None:
    path = store.root / "klines_1h" / "BTCUSDT.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"BTCUSDT.parquet is not a readable Parquet file \(.*\); remove it"):
        store.klines("BTCUSDT", "1h")


@pytest.mark.parametrize(
    ("column", "values", "fault"),
    [
        ("open_time", pa.array([1.0, 2.0]), "column open_time must be int64 milliseconds and is double"),
        ("open_time", pa.array([1, None], pa.int64()), "column open_time must have no nulls"),
        ("close", pa.array(["1", "2"]), "column close must be a number and is string"),
    ],
)
def test_a_column_of_another_type_is_refused(store: DataStore, column: str, values: pa.Array, fault: str) -> None:
    path = store.root / "klines_1h" / "BTCUSDT.parquet"
    table = pq.read_table(path).slice(0, 2)
    pq.write_table(table.set_column(table.schema.names.index(column), column, values), path)
    with pytest.raises(DataError, match=fault):
        store.klines("BTCUSDT", "1h")


def test_a_file_without_rows_or_without_volume_is_refused(store: DataStore) -> None:
    path = store.root / "klines_1h" / "BTCUSDT.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 0), path)
    with pytest.raises(DataError, match="has no rows"):
        store.klines("BTCUSDT", "1h")
    pq.write_table(table.drop_columns(["volume"]), path)
    with pytest.raises(DataError, match="has no column volume, only open_time, open, high, low, close"):
        store.klines("BTCUSDT", "1h")


def test_a_recorded_fault_is_named_with_its_file(store: DataStore) -> None:
    path = store.root / "klines_1h" / "BTCUSDT.parquet"
    table = pq.read_table(path).to_pandas()
    table.loc[7, "low"] = -5.0
    table.to_parquet(path)
    with pytest.raises(DataError, match=r"BTCUSDT.parquet row 7 at 2024-01-01T07:00Z has a price that is not positive"):
        store.klines("BTCUSDT", "1h")


def test_columns_of_other_sources_are_read_as_the_schema_says(store: DataStore) -> None:
    table = make_klines(2).assign(close_time=0, trades=pd.array([7, None], dtype="Int64"), quote_volume=2)
    table.to_parquet(store.root / "klines_1h" / "ADAUSDT.parquet")
    read = store.klines("ADAUSDT", "1h")
    assert list(read.columns) == [*make_klines(1).columns, "quote_volume", "trades"]
    assert read["trades"].tolist()[0] == 7.0
    assert np.isnan(read["trades"].tolist()[1])
    assert read["quote_volume"].dtype == np.float64


def test_new_rows_win_and_others_stay(store: DataStore) -> None:
    # Rows 48 to 52: 48 and 49 replace, 50 to 52 are added.
    added = make_klines(5, start=START + 48 * HOUR, price=900.0)
    store.write("klines_1h", "BTCUSDT", added)
    merged = store.klines("BTCUSDT", "1h")
    pd.testing.assert_frame_equal(merged.iloc[:48], make_klines(48))
    pd.testing.assert_frame_equal(merged.iloc[48:].reset_index(drop=True), added)


def test_rows_come_in_any_order_and_earlier_ones_go_before(store: DataStore) -> None:
    earlier = make_klines(3, start=START - 3 * HOUR)
    store.write("klines_1h", "BTCUSDT", earlier.iloc[::-1])
    pd.testing.assert_frame_equal(store.klines("BTCUSDT", "1h").iloc[:3], earlier)


def test_a_column_that_only_the_new_rows_have_is_empty_in_the_others(store: DataStore) -> None:
    added = make_klines(1, start=START + 50 * HOUR).assign(taker_buy_volume=0.7)
    store.write("klines_1h", "BTCUSDT", added)
    column = store.klines("BTCUSDT", "1h")["taker_buy_volume"]
    assert column.isna().tolist() == [True] * 50 + [False]
    assert column.iloc[-1] == 0.7


def test_writing_the_same_rows_again_changes_no_byte(store: DataStore) -> None:
    path = store.root / "klines_1h" / "BTCUSDT.parquet"
    before = path.read_bytes()
    store.write("klines_1h", "BTCUSDT", make_klines(50))
    store.write("klines_1h", "BTCUSDT", make_klines(20, start=START + 5 * HOUR, price=55.0))
    assert path.read_bytes() == before


def test_the_way_of_the_rows_into_the_file_does_not_show_in_its_bytes(store: DataStore, tmp_path: Path) -> None:
    other = DataStore(tmp_path / "other")
    for part in (make_klines(50).iloc[30:], make_klines(50).iloc[:30]):
        path = other.write("klines_1h", "BTCUSDT", part)
    assert store.sha256(path) == store.sha256(store.root / "klines_1h" / "BTCUSDT.parquet")


def test_funding_stamps_of_two_sources_meet_at_their_hour(store: DataStore) -> None:
    late = make_funding(6, rate=2e-4)
    late["funding_time"] += 5
    store.write("funding_rate", "BTCUSDT", late)
    funding = store.funding("BTCUSDT")
    assert funding is not None
    pd.testing.assert_frame_equal(funding, make_funding(6, rate=2e-4))


def test_faulty_rows_are_refused_and_the_old_file_stays(store: DataStore) -> None:
    path = store.root / "klines_1h" / "BTCUSDT.parquet"
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"new rows of klines_1h BTCUSDT row 1 .* not positive"):
        store.write("klines_1h", "BTCUSDT", make_klines(3, price=2.0).assign(low=[1.0, -1.0, 1.0]))
    with pytest.raises(DataError, match="row 1 is a second bar"):
        store.write("klines_1h", "BTCUSDT", make_klines(3).iloc[[0, 0, 1]])
    with pytest.raises(DataError, match=r"column open_time must be int64 milliseconds and is float64"):
        store.write("klines_1h", "BTCUSDT", make_klines(3).astype({"open_time": np.float64}))
    with pytest.raises(DataError, match=r"column close must be numeric"):
        store.write("klines_1h", "BTCUSDT", make_klines(3).assign(close="dear"))
    assert path.read_bytes() == before


def test_rows_that_replace_a_faulty_span_mend_the_file(store: DataStore) -> None:
    path = store.root / "klines_1h" / "BTCUSDT.parquet"
    table = pq.read_table(path).to_pandas()
    table.loc[7, "low"] = -5.0
    table.to_parquet(path)
    store.write("klines_1h", "BTCUSDT", make_klines(50).iloc[5:10])
    pd.testing.assert_frame_equal(store.klines("BTCUSDT", "1h"), make_klines(50))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    store: DataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.root / "klines_1h"
    before = (folder / "BTCUSDT.parquet").read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DataError, match=r"cannot be written \(.*No space left on device\); free space"):
        store.write("klines_1h", "BTCUSDT", make_klines(60))
    assert [path.name for path in folder.iterdir()] == ["BTCUSDT.parquet"]
    assert (folder / "BTCUSDT.parquet").read_bytes() == before


def test_what_a_kill_leaves_beside_a_file_is_no_symbol(store: DataStore) -> None:
    (store.root / "klines_1h" / ".BTCUSDT.parquet.77.tmp").write_bytes(b"half")
    assert store.symbols("1h") == ["BTCUSDT"]


def test_folders_and_symbols_that_cannot_be_are_refused(store: DataStore) -> None:
    with pytest.raises(ConfigError, match="'candles_1h' is no folder of market data; name one such as klines_30m"):
        store.write("candles_1h", "BTCUSDT", make_klines(3))
    with pytest.raises(ConfigError, match="'klines_7m' is no folder of market data"):
        store.write("klines_7m", "BTCUSDT", make_klines(3))
    with pytest.raises(DataError, match=r"'\.\./BTCUSDT' is no symbol"):
        store.write("klines_1h", "../BTCUSDT", make_klines(3))
    with pytest.raises(DataError, match="is no symbol"):
        store.contract_terms_path("../BTCUSDT")


def test_the_hash_of_a_file_is_sha256_and_contract_files_have_their_folder(store: DataStore) -> None:
    path = store.root / "klines_1h" / "BTCUSDT.parquet"
    assert store.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert store.contract_terms_path("BTCUSDT") == store.root / "contracts" / "BTCUSDT.json"


def test_every_recorded_file_passes_the_checks(recorded_data: Path) -> None:
    store = DataStore.open(recorded_data)
    # The rows that the description of the recorded data names.
    assert len(store.klines("BTCUSDT", "30m")) == 43_776
    assert len(store.mark_price("BTCUSDT", "1h")) == 13_848
    num_read = 0
    for symbol in store.symbols("4h"):
        num_read += sum(len(store.klines(symbol, interval)) for interval in store.intervals(symbol))
        num_read += sum(len(store.mark_price(symbol, name)) for name in store.mark_price_intervals(symbol))
        funding = store.funding(symbol)
        num_read += 0 if funding is None else len(funding)
    files = [path for kind in ("klines", "mark", "funding") for path in recorded_data.glob(f"{kind}*_*/*.parquet")]
    assert num_read == sum(pq.read_metadata(path).num_rows for path in files)
