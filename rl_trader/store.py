"""The data folder: one Parquet file a symbol and series.

::

    klines_<interval>/<SYMBOL>.parquet          last prices and volumes
    mark_price_<interval>/<SYMBOL>.parquet      mark prices
    premium_index_<interval>/<SYMBOL>.parquet   premium index, a fraction of either sign
    funding_rate/<SYMBOL>.parquet               settled funding rates
    contracts/<SYMBOL>.json                     the exchange's answers about the contract
    reference/leverage_brackets.json            leverage brackets of every symbol, where recorded

Columns and units: :mod:`rl_trader.klines` and :mod:`rl_trader.funding`. Every table is checked when it is
read and before it is written. A file is read one column at a time, so that a long recording needs no more
memory than its table and one column; it is written beside the old one and then put in its place, so that a
kill leaves the old one.
"""

import difflib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rl_trader.bars import OHLC
from rl_trader.errors import ConfigError, DataError
from rl_trader.funding import OPTIONAL_COLUMNS, check_funding
from rl_trader.klines import (
    INTERVAL_MS,
    VOLUMES,
    can_resample,
    check_klines,
    check_premium_index,
    interval_ms,
    resample,
)

KLINES: Final = "klines"
MARK_PRICE: Final = "mark_price"
PREMIUM_INDEX: Final = "premium_index"
FUNDING_RATE: Final = "funding_rate"

_COLUMNS: Final = {  # of each series: those it must have, those it may have
    KLINES: (("open_time", *OHLC, "volume"), VOLUMES[1:]),
    MARK_PRICE: (("open_time", *OHLC), ()),
    PREMIUM_INDEX: (("open_time", *OHLC), ()),
    FUNDING_RATE: (("funding_time", "funding_rate"), OPTIONAL_COLUMNS),
}
_TIMES: Final = ("open_time", "funding_time")
_NUM_NEAR: Final = 5  # symbols that a message about an unknown one proposes


class DataStore:
    """A data folder; see the module for its layout.

    Args:
        root: The folder; it need not exist before something is written.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    @classmethod
    def open(cls, path: Path | str) -> "DataStore":
        """Return the store of a folder that has market data.

        Raises:
            DataError: If the folder is missing or has none.
        """
        store = cls(path)
        if not store.root.is_dir():
            raise DataError(f"data folder {path} does not exist; run scripts.download or name another folder")
        if not any(store._recorded(series) for series in _COLUMNS):
            raise DataError(
                f"data folder {path} has no market data (no folder such as klines_30m with Parquet files); "
                "run scripts.download or name another folder"
            )
        return store

    def klines(self, symbol: str, interval: str) -> pd.DataFrame:
        """Return the last prices and volumes of a symbol, checked.

        Where the interval is not recorded, its bars are made from the coarsest recorded one that divides it.

        Raises:
            DataError: If the symbol or interval is not recorded or the file is damaged.
            ConfigError: If the exchange has no such interval.
        """
        return self._table(KLINES, symbol, interval)

    def mark_price(self, symbol: str, interval: str) -> pd.DataFrame:
        """Return the mark prices of a symbol, checked; like :meth:`klines`, without volumes."""
        return self._table(MARK_PRICE, symbol, interval)

    def premium_index(self, symbol: str, interval: str) -> pd.DataFrame:
        """Return the premium index of a symbol, checked; like :meth:`klines`, without volumes."""
        return self._table(PREMIUM_INDEX, symbol, interval)

    def funding(self, symbol: str) -> pd.DataFrame | None:
        """Return the settled funding rates of a symbol, checked and at full hours; None if not recorded."""
        path = self._path(FUNDING_RATE, symbol)
        if not path.exists():
            return None
        return check_funding(_read(path, FUNDING_RATE), name=str(path))

    def intervals(self, symbol: str) -> list[str]:
        """Return the intervals in which klines of a symbol are recorded, finest first."""
        return self._intervals(KLINES, symbol)

    def mark_price_intervals(self, symbol: str) -> list[str]:
        """Return the intervals in which mark prices of a symbol are recorded, finest first."""
        return self._intervals(MARK_PRICE, symbol)

    def symbols(self, interval: str) -> list[str]:
        """Return the symbols whose klines of an interval are recorded or can be made from finer ones."""
        interval_ms(interval)
        recorded = self._recorded(KLINES)
        return sorted({s for fine in recorded if can_resample(fine, interval) for s in recorded[fine]})

    def contract_terms_path(self, symbol: str) -> Path:
        """Return where the exchange's answers about a symbol's contract lie, recorded or not."""
        return self.root / "contracts" / f"{_checked(symbol)}.json"

    @staticmethod
    def sha256(path: Path) -> str:
        """Return the SHA-256 of a file in hexadecimal, for a run's data manifest."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write(self, kind: str, symbol: str, table: pd.DataFrame) -> Path:
        """Merge a table into a symbol's file by time, replace the file at once, and return its path.

        Rows of the table replace recorded rows of the same time. Equal content gives equal bytes, so that a
        repeated call changes nothing.

        Args:
            kind: A folder's name, such as ``klines_30m``, ``mark_price_8h`` or ``funding_rate``.
            symbol: The exchange's symbol.
            table: The rows to add, in any order; columns that the kind does not have are left out.

        Raises:
            DataError: If the table or the recorded file is faulty, or the disk refuses; the old file stays.
        """
        series, interval = _split_kind(kind)
        path = self._path(kind, symbol)
        name = f"new rows of {kind} {symbol}"
        merged = _check(_canonical(table, series, name), series, interval, name)
        if path.exists():
            merged = _check(_merge(_read(path, series), merged, series, path), series, interval, str(path))
        _replace_file(path, merged)
        return path

    def _path(self, kind: str, symbol: str) -> Path:
        return self.root / kind / f"{_checked(symbol)}.parquet"

    def _recorded(self, series: str) -> dict[str, list[str]]:
        """Return the recorded symbols by interval, finest first; funding has the one interval ``""``."""
        names = {interval: f"{series}_{interval}" for interval in INTERVAL_MS}
        if series == FUNDING_RATE:
            names = {"": FUNDING_RATE}
        found = {
            interval: sorted(path.stem for path in (self.root / name).glob("[!.]*.parquet"))
            for interval, name in names.items()
        }
        return {interval: symbols for interval, symbols in found.items() if symbols}

    def _intervals(self, series: str, symbol: str) -> list[str]:
        return [interval for interval, symbols in self._recorded(series).items() if symbol in symbols]

    def _table(self, series: str, symbol: str, interval: str) -> pd.DataFrame:
        interval_ms(interval)
        source = self._source(series, symbol, interval)
        path = self._path(f"{series}_{source}", symbol)
        table = _check(_read(path, series), series, source, str(path))
        result = resample(table, source, interval)
        if len(result) == 0:
            raise DataError(f"{path} has no complete {interval} bar in its {source} bars; download a longer period")
        return result

    def _source(self, series: str, symbol: str, interval: str) -> str:
        """Return the recorded interval that the wanted one is made of: itself, or the coarsest that divides it."""
        recorded = self._intervals(series, symbol)
        usable = [name for name in recorded if can_resample(name, interval)]
        if usable:
            return usable[-1]
        if recorded:
            raise DataError(
                f"{symbol} has no {series} of {interval} in {self.root}, only of {', '.join(recorded)}; "
                "choose one of these or download it with scripts.download"
            )
        symbols = sorted({s for found in self._recorded(series).values() for s in found})
        near = difflib.get_close_matches(symbol, symbols, n=_NUM_NEAR) or symbols
        raise DataError(
            f"{symbol} has no {series} in {self.root}; choose a recorded symbol "
            f"({', '.join(near) or 'there is none'}) or run scripts.download {symbol}"
        )


def _checked(symbol: str) -> str:
    if not symbol.replace("_", "").isalnum():
        raise DataError(f"{symbol!r} is no symbol; write it as the exchange does, for example BTCUSDT")
    return symbol


def _split_kind(kind: str) -> tuple[str, str]:
    series, _, interval = kind.rpartition("_")
    if kind == FUNDING_RATE:
        return FUNDING_RATE, ""
    if series not in _COLUMNS or interval not in INTERVAL_MS:
        raise ConfigError(f"{kind!r} is no folder of market data; name one such as klines_30m or {FUNDING_RATE}")
    return series, interval


def _check(table: pd.DataFrame, series: str, interval: str, name: str) -> pd.DataFrame:
    if series == FUNDING_RATE:
        return check_funding(table, name=name)
    if series == PREMIUM_INDEX:
        check_premium_index(table, name=name, interval=interval)
    else:
        check_klines(table, name=name, interval=interval)
    return table


def _wanted_columns(series: str, present: Iterable[str], name: str) -> list[str]:
    required, optional = _COLUMNS[series]
    there = list(present)
    missing = [column for column in required if column not in there]
    if missing:
        raise DataError(
            f"{name} has no column {', '.join(missing)}, only {', '.join(map(str, there))}; download it again"
        )
    return [*required, *(column for column in optional if column in there)]


def _read(path: Path, series: str) -> pd.DataFrame:
    columns: dict[str, NDArray[np.generic]] = {}
    try:
        with pq.ParquetFile(path) as file:
            for name in _wanted_columns(series, file.schema_arrow.names, str(path)):
                columns[name] = _read_column(file, name, path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} is not a readable Parquet file ({reason}); remove it and download it again") from error
    if len(next(iter(columns.values()))) == 0:
        raise DataError(f"{path} has no rows; download it again")
    return pd.DataFrame(columns, copy=False)


def _read_column(file: pq.ParquetFile, name: str, path: Path) -> NDArray[np.generic]:
    kind = file.schema_arrow.field(name).type
    is_time = name in _TIMES
    if is_time and kind != pa.int64():
        raise DataError(f"{path} column {name} must be int64 milliseconds and is {kind}; convert it")
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise DataError(f"{path} column {name} must be a number and is {kind}; download it again")
    values = np.empty(file.metadata.num_rows, np.int64 if is_time else np.float64)
    start = 0
    for group in range(file.num_row_groups):
        piece = file.read_row_group(group, columns=[name], use_threads=False).column(0)
        if is_time and piece.null_count:
            raise DataError(f"{path} column {name} must have no nulls and has some; download it again")
        values[start : start + len(piece)] = piece.to_numpy()
        start += len(piece)
    pa.default_memory_pool().release_unused()  # else the pool keeps a decoded copy of the column
    return values


def _merge(old: pd.DataFrame, new: pd.DataFrame, series: str, path: Path) -> pd.DataFrame:
    time = _COLUMNS[series][0][0]
    if series == FUNDING_RATE:  # its stamps differ by milliseconds from source to source
        old = check_funding(old, name=str(path))
    is_kept = ~np.isin(old[time].to_numpy(), new[time].to_numpy())
    return _canonical(pd.concat([old[is_kept], new]), series, str(path)) if is_kept.any() else new


def _canonical(table: pd.DataFrame, series: str, name: str) -> pd.DataFrame:
    """Return the series' own columns, in order, numbers as float64, by ascending time."""
    time, *rest = _wanted_columns(series, map(str, table.columns), name)
    if table[time].dtype != np.int64:
        raise DataError(f"{name} column {time} must be int64 milliseconds and is {table[time].dtype}; convert it")
    order = np.argsort(table[time].to_numpy(), kind="stable")
    columns: dict[str, NDArray[np.generic]] = {time: table[time].to_numpy()[order]}
    for column in rest:
        try:
            columns[column] = table[column].to_numpy(dtype=np.float64, na_value=np.nan)[order]
        except (TypeError, ValueError) as error:
            raise DataError(f"{name} column {column} must be numeric ({error}); convert it") from error
    return pd.DataFrame(columns, copy=False)


def _replace_file(path: Path, table: pd.DataFrame) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    arrow = pa.table({name: pa.array(table[name].to_numpy()) for name in table.columns})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            pq.write_table(arrow, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}); free space there or name another folder") from error
    finally:
        beside.unlink(missing_ok=True)
