"""Where the rows of a table came from, and which of its holes are the exchange's own.

Beside the tables the store has ``sources/<folder>/<SYMBOL>.json``: the archive files that were read with
their hashes (Binance replaces files now and then), and the ranges in which neither archive nor REST has a
row. A hole that is written down is not asked for again.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rl_trader.download.archive import Series
from rl_trader.download.plan import Range
from rl_trader.errors import DataError
from rl_trader.klines import parse_date, utc


@dataclass(kw_only=True, slots=True)
class Provenance:
    """The archive files that a series was read from, and its known holes."""

    files: dict[str, str] = field(default_factory=dict)
    """File name -> sha256."""
    holes: list[Range] = field(default_factory=list)
    """Ranges in ms UTC without a row anywhere."""

    @classmethod
    def read(cls, root: Path, series: Series) -> Self:
        """Return what is written down for a series, or an empty record."""
        path = _path(root, series)
        if not path.exists():
            return cls()
        try:
            record = json.loads(path.read_text())
            holes = [(parse_date(start), parse_date(stop)) for start, stop in record["holes"]]
            return cls(files=dict(record["files"]), holes=holes)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"cannot read {path} ({error!r}); delete it and run the download again") from error

    def write(self, root: Path, series: Series) -> None:
        """Write it down, if that changes anything."""
        record = {"files": self.files, "holes": [[utc(start), utc(stop)] for start, stop in self.holes]}
        write_if_new(_path(root, series), json.dumps(record, indent=2, sort_keys=True) + "\n")


def _path(root: Path, series: Series) -> Path:
    return root / "sources" / series.folder / f"{series.symbol}.json"


def write_if_new(path: Path, text: str) -> None:
    """Write a text file whole or not at all; leave it alone if it has that content."""
    if path.exists() and path.read_text() == text:
        return
    write_whole(path, text.encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it, so that a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
