"""Binance's public archive of USD-M futures: where its files lie and what is in them.

Every file is a zip of one CSV, with a line ``<sha256>  <file name>`` beside it under the same name and
``.CHECKSUM``::

    data/futures/um/monthly/klines/BTCUSDT/30m/BTCUSDT-30m-2023-01.zip
    data/futures/um/daily/markPriceKlines/BTCUSDT/30m/BTCUSDT-30m-2023-02-01.zip
    data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2023-01.zip

Older files have no header row, newer ones have one, and a month's file can differ from a day's; times are
milliseconds, in some newer files microseconds. Both are told from the content. Funding rates come by the
month only.

Source: README and issues of github.com/binance/binance-public-data (read 2026-10). Prices in USDT, volumes
in the base asset, quote volumes in USDT, times in milliseconds since 1970 UTC, rates as fractions.
"""

import datetime as dt
import hashlib
import io
import zipfile
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv

from rl_trader.errors import DownloadError

ARCHIVE_URL: Final = "https://data.binance.vision"

KLINE_COLUMNS: Final = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
"""Columns of a row of klines, in the archive's files as in the REST answers."""

FUNDING_COLUMNS: Final = ("funding_time", "funding_interval_hours", "funding_rate")
"""Columns of the funding files, whose headers say calc_time, funding_interval_hours, last_funding_rate."""

TRADED_COLUMNS: Final = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_volume",
)
QUOTED_COLUMNS: Final = ("open_time", "open", "high", "low", "close")

_OLDEST_MICROSECONDS: Final = 10**14
"""As milliseconds this is the year 5138, as microseconds 1973: larger stamps are microseconds."""


class Kind(Enum):
    """A kind of market data: the name of its folder in the archive, and of its folder in the store."""

    KLINES = ("klines", "klines")
    MARK_PRICE = ("markPriceKlines", "mark_price")
    PREMIUM_INDEX = ("premiumIndexKlines", "premium_index")
    FUNDING_RATE = ("fundingRate", "funding_rate")

    @property
    def archive_folder(self) -> str:
        """Return the archive's word for it, which is also the REST endpoint's."""
        return self.value[0]

    @property
    def store_folder(self) -> str:
        """Return the store's word for it, without the interval."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Series:
    """One table of the store: a kind of data of one symbol, at one interval (none for funding rates)."""

    kind: Kind
    symbol: str
    interval: str | None = None

    @property
    def folder(self) -> str:
        """Return the name of its folder in the store."""
        return self.kind.store_folder if self.interval is None else f"{self.kind.store_folder}_{self.interval}"

    @property
    def time_column(self) -> str:
        """Return the column that orders its rows."""
        return "funding_time" if self.kind is Kind.FUNDING_RATE else "open_time"

    @property
    def has_daily_files(self) -> bool:
        """Return whether the archive has it by the day."""
        return self.kind is not Kind.FUNDING_RATE

    def __str__(self) -> str:
        return f"{self.symbol} {self.folder}"


def monthly_path(series: Series, month: dt.date) -> str:
    """Return the path below the archive's address of the file of a month, given any of its days."""
    return _path(series, "monthly", f"{month:%Y-%m}")


def daily_path(series: Series, day: dt.date) -> str:
    """Return the path below the archive's address of the file of a day."""
    return _path(series, "daily", f"{day:%Y-%m-%d}")


def _path(series: Series, period: str, stamp: str) -> str:
    kind, symbol, interval = series.kind.archive_folder, series.symbol, series.interval
    root = f"data/futures/um/{period}/{kind}/{symbol}"
    if interval is None:
        return f"{root}/{symbol}-{kind}-{stamp}.zip"
    return f"{root}/{interval}/{symbol}-{interval}-{stamp}.zip"


def expected_sha256(checksum: bytes, path: str) -> str:
    """Return the hash that a ``.CHECKSUM`` file states for the file of that path, in lower case."""
    words = checksum.decode("ascii", errors="replace").split()
    hash_length = 2 * hashlib.sha256().digest_size
    if not words or len(words[0]) != hash_length:
        raise DownloadError(
            f"expected a line '<sha256>  <file name>' in {path}.CHECKSUM, found {checksum[:40]!r}; "
            "try again later or pass another --archive-url"
        )
    return words[0].lower()


def sha256(content: bytes) -> str:
    """Return the hash of a file's content in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def parse_zip(content: bytes, series: Series, name: str) -> pd.DataFrame:
    """Return the rows of an archive file as the store keeps them, in the file's order.

    Raises:
        DownloadError: If it is not a zip of one CSV with the columns of the series.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (member,) = archive.namelist()
            text = archive.read(member)
    except (zipfile.BadZipFile, ValueError) as error:
        raise DownloadError(
            f"expected a zip of one CSV in {name}, found {error}; try again later or pass another --archive-url"
        ) from error
    return parse_csv(text, series, name)


def parse_csv(text: bytes, series: Series, name: str) -> pd.DataFrame:
    """Return the rows of a CSV of the archive, with or without a header row, as the store keeps them.

    Args:
        text: The file's content.
        series: What it holds; decides which columns are expected and which are kept.
        name: What to call the file in an error.
    """
    is_funding = series.kind is Kind.FUNDING_RATE
    columns = FUNDING_COLUMNS if is_funding else KLINE_COLUMNS
    first_line = text.partition(b"\n")[0].decode("utf-8", errors="replace").strip()
    if not first_line:
        return tidy(pd.DataFrame(columns=list(columns)), series, name)
    num_columns = len(first_line.split(","))
    if num_columns != len(columns):
        raise DownloadError(
            f"expected {len(columns)} columns ({', '.join(columns)}) in {name}, found {num_columns}; "
            "try again later or pass another --archive-url"
        )
    has_header = not _is_number(first_line.split(",")[0])
    try:
        # This parser reads a number to the same bits as float() reads it from a REST answer.
        table = arrow_csv.read_csv(
            io.BytesIO(text),
            read_options=arrow_csv.ReadOptions(
                column_names=list(columns), skip_rows=int(has_header), use_threads=False
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.float64()), include_columns=kept_columns(series)
            ),
        )
    except pa.ArrowInvalid as error:
        raise DownloadError(
            f"expected only numbers in {name}, found {error}; try again later or pass another --archive-url"
        ) from error
    return tidy(table.to_pandas(), series, name)


def kept_columns(series: Series) -> list[str]:
    """Return the columns of the archive's files that the store keeps."""
    if series.kind is Kind.FUNDING_RATE:
        return list(FUNDING_COLUMNS)
    return list(TRADED_COLUMNS if series.kind is Kind.KLINES else QUOTED_COLUMNS)


def tidy(table: pd.DataFrame, series: Series, name: str) -> pd.DataFrame:
    """Return the columns that the store keeps, as its types, from those of the archive or a REST answer.

    Raises:
        DownloadError: If a cell is not a number.
    """
    possible = [*kept_columns(series), *(["mark_price"] if series.kind is Kind.FUNDING_RATE else [])]
    kept = [column for column in possible if column in table]
    try:
        tidied = table[kept].astype("float64").astype({series.time_column: "int64"})
    except (ValueError, TypeError, OverflowError) as error:
        raise DownloadError(
            f"expected only numbers in {name}, found {error}; try again later or pass another --archive-url"
        ) from error
    times = tidied[series.time_column].to_numpy()
    tidied[series.time_column] = np.where(times >= _OLDEST_MICROSECONDS, times // 1000, times)
    return tidied


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
