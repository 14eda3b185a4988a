"""The archive's files: where they lie and what is in them."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from rl_trader.download import archive
from rl_trader.download.archive import Kind, Series
from rl_trader.errors import DownloadError
from tests.loopback_binance import FUNDING_HEADER, HEADER, HOUR, csv, klines, zipped

KLINES = Series(Kind.KLINES, "BTCUSDT", "1h")
MARK = Series(Kind.MARK_PRICE, "BTCUSDT", "8h")
FUNDING = Series(Kind.FUNDING_RATE, "BTCUSDT")
START = 1_704_067_200_000  # 2024-01-01T00:00Z
ROWS = klines(START, START + 3 * HOUR, HOUR)


def test_a_file_lies_under_its_period_kind_symbol_and_interval() -> None:
    # The layout is that of binance-public-data's README; funding files have no interval.
    day = dt.date(2024, 3, 7)
    root = "data/futures/um"
    assert archive.monthly_path(KLINES, day) == f"{root}/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-03.zip"
    assert archive.daily_path(MARK, day) == f"{root}/daily/markPriceKlines/BTCUSDT/8h/BTCUSDT-8h-2024-03-07.zip"
    assert archive.monthly_path(FUNDING, day) == f"{root}/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-03.zip"


def test_each_kind_has_its_folder_in_the_store() -> None:
    premium = Series(Kind.PREMIUM_INDEX, "BTCUSDT", "30m")
    assert [s.folder for s in (KLINES, MARK, premium, FUNDING)] == [
        "klines_1h",
        "mark_price_8h",
        "premium_index_30m",
        "funding_rate",
    ]


def test_a_file_with_a_header_row_reads_like_one_without() -> None:
    without = archive.parse_csv(csv(ROWS).encode(), KLINES, "a")
    with_header = archive.parse_csv(csv(ROWS, HEADER).encode(), KLINES, "b")
    assert without.equals(with_header)
    assert without["open_time"].tolist() == [START, START + HOUR, START + 2 * HOUR]
    assert list(without.columns) == [
        "open_time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trades",
        "taker_buy_volume",
    ]


def test_microseconds_become_milliseconds() -> None:
    rows = [[row[0] * 1000 + 999, *row[1:]] for row in ROWS]
    table = archive.parse_csv(csv(rows).encode(), KLINES, "a")
    assert table["open_time"].tolist() == [START, START + HOUR, START + 2 * HOUR]


def test_a_number_has_the_bits_that_float_gives_it() -> None:
    # Binance sends numbers as text; a REST answer is read by float(), and the two must not differ in the last bit.
    words = ["16541.77000001", "0.30000000000000004", "123456.78901234567", "9.87654321e-05"]
    rows = [[START + i * HOUR, word, *ROWS[0][2:]] for i, word in enumerate(words)]
    table = archive.parse_csv(csv(rows).encode(), KLINES, "a")
    assert table["open"].tolist() == [float(word) for word in words]


def test_mark_prices_are_kept_without_their_empty_volumes() -> None:
    table = archive.parse_csv(csv(ROWS).encode(), MARK, "a")
    assert list(table.columns) == ["open_time", "open", "high", "low", "close"]


def test_funding_rates_are_read_with_their_intervals() -> None:
    text = f"{FUNDING_HEADER}{START + 7},8,0.00010000\n{START + 8 * HOUR},4,-0.00012345\n"
    table = archive.parse_csv(text.encode(), FUNDING, "a")
    assert table["funding_time"].tolist() == [START + 7, START + 8 * HOUR]
    assert table["funding_rate"].tolist() == [0.0001, -0.00012345]
    assert table["funding_interval_hours"].tolist() == [8.0, 4.0]


def test_a_zip_is_read_through_its_one_csv() -> None:
    table = archive.parse_zip(zipped("a.zip", csv(ROWS)), KLINES, "a.zip")
    assert table["close"].tolist() == [float(row[4]) for row in ROWS]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no zip", "expected a zip of one CSV in a.zip"),
        (zipped("a.zip", "1,2,3\n"), "expected 12 columns .* found 3"),
        (zipped("a.zip", csv([[START, "x", *ROWS[0][2:]]])), "expected only numbers in a.zip, found .*'x'"),
        (zipped("a.zip", csv([["", *ROWS[0][1:]]], csv(ROWS))), "expected only numbers in a.zip"),
    ],
)
def test_what_is_no_kline_file_is_refused_in_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(DownloadError, match=sentence):
        archive.parse_zip(content, KLINES, "a.zip")


def test_a_file_without_content_has_no_rows() -> None:
    assert len(archive.parse_csv(b"", KLINES, "a")) == 0
    assert len(archive.parse_csv(HEADER.encode(), KLINES, "a")) == 0


def test_the_checksum_is_the_first_word_of_its_line() -> None:
    # sha256 of b"abc" as in FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert archive.sha256(b"abc") == expected
    assert archive.expected_sha256(f"{expected.upper()}  a.zip\n".encode(), "a.zip") == expected
    with pytest.raises(DownloadError, match=r"expected a line '<sha256>  <file name>' in a\.zip\.CHECKSUM"):
        archive.expected_sha256(b"<html>", "a.zip")


def test_recorded_files_of_12_columns_are_read(recorded_data: Path) -> None:
    name = "BTCUSDT-1h-2023-01.csv"
    text = (recorded_data / "spot_klines_1h_csv" / name).read_bytes()
    table = archive.parse_csv(text, KLINES, name)
    # 31 days of 24 hours without a hole; the first row as it stands in the file.
    assert len(table) == 744
    assert set(np.diff(table["open_time"])) == {HOUR}
    assert table.iloc[0].tolist() == [
        1672531200000,
        16541.77,
        16545.7,
        16508.39,
        16529.67,
        4364.8357,
        72146293.5867229,
        149854,
        2179.94772,
    ]
