"""One series from monthly files, daily files and REST in turn, each asked for what is still missing."""

import asyncio
import datetime as dt
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY
from rl_trader.download import archive, plan
from rl_trader.download.archive import Series
from rl_trader.download.client import ArchiveClient, all_of
from rl_trader.download.plan import Range
from rl_trader.download.progress import Progress
from rl_trader.download.provenance import Provenance
from rl_trader.download.recent import RestClient, UnknownSymbolError, now_ms
from rl_trader.errors import DataError, DownloadError
from rl_trader.klines import utc
from rl_trader.store import DataStore

SETTLED_AFTER_MS: Final = 2 * MS_PER_DAY
"""A row that no source has after this time is a hole; before, it may still come."""


LATE_DAYS: Final = 31
"""Days before the first month with a file that are asked for all the same; their month's file may be late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a download did to one series."""

    series: Series
    num_new: int
    """Rows added."""
    num_rows: int
    """Rows of the range that are there now."""
    missing: list[Range]
    """Ranges in ms UTC of which the store has no row."""
    is_known: bool
    """Whether any source knows the symbol."""


@dataclass(slots=True)
class SeriesDownload:
    """The download of one series; ``run`` is called once."""

    series: Series
    since: int  # ms UTC
    until: int  # ms UTC
    store: DataStore
    archive: ArchiveClient
    rest: RestClient
    progress: Progress
    _times: NDArray[np.int64] = field(init=False)
    _known: Provenance = field(init=False)
    _tables: list[pd.DataFrame] = field(init=False, default_factory=list)
    _num_files: int = field(init=False, default=0)

    async def run(self) -> Outcome:
        """Fetch what the store lacks, write it, and say what there is then."""
        self._times = _stored_times(self.store.root, self.series)
        self._known = Provenance.read(self.store.root, self.series)
        is_known = True
        if self._missing():
            await self._fetch_months()
            await self._fetch_days()
            try:
                is_known = await self._fetch_newest()
            finally:
                self._write()
            self._write_down_holes()
        inside = (self._times >= self.since) & (self._times < self.until)
        return Outcome(
            series=self.series,
            num_new=sum(map(len, self._tables)),
            num_rows=int(inside.sum()),
            missing=plan.missing_ranges(self.series, self._times, self.since, self.until),
            is_known=is_known or len(self._times) > 0,
        )

    @property
    def _kept(self) -> Path:
        return self.store.root / ".download" / self.series.folder / self.series.symbol

    def _missing(self) -> list[Range]:
        ranges = plan.missing_ranges(self.series, self._times, self.since, self.until)
        return plan.subtract(ranges, self._known.holes)

    async def _fetch_months(self) -> None:
        months = plan.months_of(self._missing(), now_ms())
        await self._fetch_files([archive.monthly_path(self.series, month) for month in months])

    async def _fetch_days(self) -> None:
        if not self.series.has_daily_files:
            return
        days = plan.days_of(self._missing(), now_ms())
        # The archive of a symbol begins with the file of a month; long before the first one is nothing.
        first = self._first_month()
        days = [day for day in days if first is None or day >= first - dt.timedelta(days=LATE_DAYS)]
        await self._fetch_files([archive.daily_path(self.series, day) for day in days])

    def _first_month(self) -> dt.date | None:
        stamps = [name.removesuffix(".zip").split("-")[-2:] for name in self._known.files]
        months = [dt.date(int(year), int(month), 1) for year, month in stamps if len(year) == len("2023")]
        return min(months, default=None)

    async def _fetch_files(self, paths: list[str]) -> None:
        self.progress.plan(len(paths))
        found = await all_of(self._fetch_file(path) for path in paths)
        for name, content in found:
            if content is not None:
                self._add(await asyncio.to_thread(self._parse, content, name))
                self._known.files[name] = archive.sha256(content)
                self._num_files += 1

    async def _fetch_file(self, path: str) -> tuple[str, bytes | None]:
        name = path.rpartition("/")[2]
        content = await self.archive.fetch_verified(path, self._kept / name)
        self.progress.advance(str(self.series))
        return name, content

    def _parse(self, content: bytes, name: str) -> pd.DataFrame:
        try:
            return archive.parse_zip(content, self.series, name)
        except DownloadError:
            (self._kept / name).unlink(missing_ok=True)  # it shall be fetched anew next time
            raise

    async def _fetch_newest(self) -> bool:
        """Ask the exchange for the rest; return whether the symbol is known to anyone."""
        missing = self._missing()
        self.progress.plan(len(missing))
        for start, stop in missing:
            try:
                rows = await self.rest.rows(self.series, start, stop)
            except UnknownSymbolError:
                # Delisted symbols remain in the archive only.
                self.progress.advance(str(self.series), len(missing))
                return self._num_files > 0
            except DownloadError as error:
                raise DownloadError(
                    f"{self.series} lacks {utc(start)} to {utc(stop)}, which the archive does not have, and "
                    f"{error}; run the same command again or pass --rest-url, what was fetched is kept"
                ) from error
            if len(rows):
                self._add(rows)
            self.progress.advance(str(self.series))
        return True

    def _add(self, table: pd.DataFrame) -> None:
        """Take the rows that are missing; a row that is there is never changed."""
        table = table.drop_duplicates(self.series.time_column)
        fresh = table[plan.contains(self._missing(), self._grid_times(table))]
        if len(fresh):
            self._tables.append(fresh)
            stamps = fresh[self.series.time_column].to_numpy()
            self._times = np.sort(np.concatenate((self._times, stamps)), kind="stable")

    def _grid_times(self, table: pd.DataFrame) -> NDArray[np.int64]:
        times: NDArray[np.int64] = table[self.series.time_column].to_numpy(np.int64)
        return times if self.series.has_daily_files else plan.settlement_hours(times)

    def _write(self) -> None:
        try:
            if self._tables:
                table = pd.concat(self._tables, ignore_index=True)
                self.store.write(self.series.folder, self.series.symbol, table)
                self._known.write(self.store.root, self.series)
        finally:
            shutil.rmtree(self._kept, ignore_errors=True)

    def _write_down_holes(self) -> None:
        settled = (self.since, min(self.until, now_ms() - SETTLED_AFTER_MS))
        holes = [(start, min(stop, settled[1])) for start, stop in self._missing() if start < settled[1]]
        if holes and self._num_files + len(self._times) > 0:
            self._known.holes = plan.union([*self._known.holes, *holes])
            self._known.write(self.store.root, self.series)


def _stored_times(root: Path, series: Series) -> NDArray[np.int64]:
    path = root / series.folder / f"{series.symbol}.parquet"
    if not path.exists():
        return np.empty(0, dtype=np.int64)
    try:
        times = pd.read_parquet(path, columns=[series.time_column])[series.time_column]
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({error}); delete it and run the download again") from error
    return times.to_numpy(np.int64)
