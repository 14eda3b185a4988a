"""The closed bars of one symbol as the exchange has told them, and what is missing of them.

A series has the klines of one interval, the candles of the mark price that the run's market is made of, and settled
funding, each keyed by its time and kept in the exchange's own texts. It does not matter in which order or how often
something comes: what is known comes to nothing, and where a bar that is known comes with other numbers the first ones
stay, since they are what was decided upon. Nothing is filled in: a hole is a hole until the exchange has told what
belongs there.

Live trading observes by the code of training: :meth:`BarSeries.tables` gives what
:func:`rl_trader.market.build_market` takes, read from the texts as the downloader reads them.

A mark price in bars finer than the klines, or of their length, must be there for the whole window. Of one in longer
bars only the opens are used, as :mod:`rl_trader.mark_price` uses nothing else: they are known as soon as the longer bar
has begun.

Prices in USDT, volumes in base asset, times in milliseconds since 1970 UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from rl_trader.bars import MS_PER_DAY, MS_PER_HOUR
from rl_trader.contract import ContractTerms
from rl_trader.download.archive import QUOTED_COLUMNS, TRADED_COLUMNS, Kind, Series
from rl_trader.errors import ConfigError, DataError
from rl_trader.funding import funding_holes
from rl_trader.klines import can_resample, interval_ms, utc
from rl_trader.live.streams.market_rows import LAST_MS, SETTLED_COLUMNS, Row, read_candle, read_settlement
from rl_trader.market import SymbolTables

FUNDING_BEFORE_MS: Final = 6 * MS_PER_DAY  # of the first bar: how often it was settled tells what is missing


class Outcome(Enum):
    """What became of a row."""

    ADDED = "added"
    KNOWN = "known"  # it was there already, with the same numbers
    REVISED = "revised"  # it was there already with other numbers, which stay
    OLD = "old"  # it lies before what is kept
    REFUSED = "refused"  # it cannot be what the exchange means


class Verdict(NamedTuple):
    """What became of a row, and why where it was not taken."""

    outcome: Outcome
    time_ms: int = 0  # of the row; 0 where it cannot be read
    reason: str = ""


class Hole(NamedTuple):
    """Rows of a series that are missing: those whose times lie in ``[since_ms, until_ms)``."""

    series: Series
    since_ms: int
    until_ms: int

    def __str__(self) -> str:
        return f"{self.series.folder} from {utc(self.since_ms)} until {utc(self.until_ms)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesNeeds:
    """What has to be there before a bar is decided upon.

    Raises:
        ConfigError: If bars of the interval cannot be followed, or no mark price of an interval goes with them.
    """

    terms: ContractTerms
    interval: str
    num_bars: int  # that an observation is made of: ``observed_market.schema_warmup(schema) + 1``
    mark_intervals: tuple[str, ...]  # of the mark price; none where the run takes the last price for it

    def __post_init__(self) -> None:
        if self.num_bars < 1:
            raise ConfigError(
                f"a series must have at least 1 bar and was to have {self.num_bars}; count the bar itself"
            )
        for name in (self.interval, *self.mark_intervals):
            if interval_ms(name) > MS_PER_DAY:
                raise ConfigError(f"bars that are followed must be of a day at most and are of {name}; choose others")
        for mark in self.mark_intervals:
            if not (can_resample(mark, self.interval) or can_resample(self.interval, mark)):
                raise ConfigError(
                    f"a mark price of {mark} does not go with bars of {self.interval}; choose one of their length, or"
                    " a part or a multiple of it"
                )

    @property
    def symbol(self) -> str:
        """Whose."""
        return self.terms.symbol

    @property
    def bar_ms(self) -> int:
        """Length of a bar."""
        return interval_ms(self.interval)

    def since_ms(self, until_ms: int) -> int:
        """Return when the window begins that ends at a time; a longer mark price has a bar where it opens."""
        since = until_ms - self.num_bars * self.bar_ms
        return min([since, *(since // interval_ms(mark) * interval_ms(mark) for mark in self.mark_intervals)])

    def last_end(self, time_ms: int) -> int:
        """Return when the newest bar ended that is over at a time."""
        return time_ms // self.bar_ms * self.bar_ms


class Track:
    """Rows by their times, those that lie too far behind the newest left out.

    Args:
        interval_ms: Between two times.
        kept_ms: Before the newest.
    """

    def __init__(self, interval_ms: int, kept_ms: int) -> None:
        self._interval_ms = interval_ms
        self._kept_ms = kept_ms
        self._rows: dict[int, Row] = {}
        self._oldest_ms = LAST_MS
        self._newest_ms = 0

    def add(self, time_ms: int, row: Row) -> Verdict:
        """Take a row that has been checked, unless its time has one."""
        if time_ms <= self._newest_ms - self._kept_ms:
            return Verdict(Outcome.OLD, time_ms)
        known = self._rows.get(time_ms)
        if known is not None:
            if _numbers(known) == _numbers(row):
                return Verdict(Outcome.KNOWN, time_ms)
            return Verdict(Outcome.REVISED, time_ms, f"{known} is {row} now")
        self._rows[time_ms] = row
        self._oldest_ms, self._newest_ms = min(self._oldest_ms, time_ms), max(self._newest_ms, time_ms)
        if self._oldest_ms <= self._newest_ms - self._kept_ms:
            self._rows = {time: kept for time, kept in self._rows.items() if time > self._newest_ms - self._kept_ms}
            self._oldest_ms = min(self._rows)
        return Verdict(Outcome.ADDED, time_ms)

    @property
    def newest_ms(self) -> int | None:
        """The newest time; None where there is none."""
        return self._newest_ms if self._rows else None

    def row(self, time_ms: int) -> Row | None:
        """Return the row of a time, if it is there."""
        return self._rows.get(time_ms)

    def times(self) -> list[int]:
        """Return all times, ascending."""
        return sorted(self._rows)

    def rows(self, since_ms: int, until_ms: int) -> list[Row]:
        """Return the rows in ``[since_ms, until_ms)``, ascending."""
        return [self._rows[time] for time in self.times() if since_ms <= time < until_ms]

    def holes(self, since_ms: int, until_ms: int) -> list[tuple[int, int]]:
        """Return the stretches of ``[since_ms, until_ms)`` that have no rows, the earliest first."""
        missing = [time for time in range(since_ms, until_ms, self._interval_ms) if time not in self._rows]
        return _stretches(missing, self._interval_ms)


class BarSeries:
    """Everything of one symbol; see the module.

    Args:
        needs: What has to be there.
    """

    def __init__(self, needs: SeriesNeeds) -> None:
        self.needs = needs
        symbol, bar_ms = needs.symbol, needs.bar_ms
        kept_ms = MS_PER_DAY + 2 * (needs.num_bars * bar_ms + MS_PER_DAY)
        self.kept_ms = kept_ms + FUNDING_BEFORE_MS  # of everything
        self.klines = Series(Kind.KLINES, symbol, needs.interval)
        self.marks = tuple(Series(Kind.MARK_PRICE, symbol, mark) for mark in needs.mark_intervals)
        self.funding = Series(Kind.FUNDING_RATE, symbol)
        self._tracks = {each: Track(interval_ms(str(each.interval)), kept_ms) for each in (self.klines, *self.marks)}
        self._settlements = Track(MS_PER_HOUR, kept_ms + FUNDING_BEFORE_MS)
        self._funding_told_from_ms: int | None = None
        self._missing: tuple[int, tuple[Hole, ...]] | None = None  # by the end of the window; none after a change

    # What comes in

    def add_bar(self, row: Sequence[object]) -> Verdict:
        """Take a kline that is over, in the columns of ``GET /fapi/v1/klines``."""
        return self._add(self.klines, row)

    def add_mark(self, mark: Series, row: Sequence[object]) -> Verdict:
        """Take a candle of the mark price: one that is over, or of longer bars than the klines one that has begun."""
        return self._add(mark, row)

    def add_settlement(self, answer: object) -> Verdict:
        """Take settled funding, an entry of ``GET /fapi/v1/fundingRate``."""
        try:
            hour, row = read_settlement(answer, self.needs.symbol)
        except DataError as error:
            return Verdict(Outcome.REFUSED, 0, str(error))
        return self._noted(self._settlements.add(hour, row))

    def note_funding_told(self, since_ms: int) -> None:
        """Know that the exchange has told of all settlements from a time on, as far as there were any."""
        told = self._funding_told_from_ms
        self._funding_told_from_ms = since_ms if told is None else min(told, since_ms)
        self._missing = None

    def change_terms(self, terms: ContractTerms) -> None:
        """Take other terms of the same contract, by which other settlements may be due."""
        self.needs = replace(self.needs, terms=terms)
        self._missing = None

    def _add(self, series: Series, row: Sequence[object]) -> Verdict:
        try:
            read = read_candle(row, series)
        except DataError as error:
            return Verdict(Outcome.REFUSED, 0, str(error))
        time_ms = int(str(read[0]))
        if self.is_longer(series):  # nothing but the open is used, and known before the end
            read = (time_ms, *[read[1]] * (len(read) - 1))
        return self._noted(self._tracks[series].add(time_ms, read))

    def _noted(self, verdict: Verdict) -> Verdict:
        if verdict.outcome is Outcome.ADDED:
            self._missing = None
        return verdict

    def is_longer(self, series: Series) -> bool:
        """Return whether candles are longer than the bars."""
        return interval_ms(str(series.interval)) > self.needs.bar_ms

    # What is there

    def bar(self, open_time: int) -> dict[str, str] | None:
        """Return a bar by the names of its columns, in the exchange's texts, if it is there."""
        row = self._tracks[self.klines].row(open_time)
        return None if row is None else dict(zip(TRADED_COLUMNS, map(str, row), strict=True))

    def mark_close(self, open_time: int) -> str | None:
        """Return the mark price at a bar's end, by the finest of its candles; None where all are longer than the bars.

        Args:
            open_time: Of the bar.
        """
        lengths = {interval_ms(str(mark.interval)): mark for mark in self.marks if not self.is_longer(mark)}
        if not lengths:
            return None
        row = self._tracks[lengths[min(lengths)]].row(open_time + self.needs.bar_ms - min(lengths))
        return None if row is None else str(row[QUOTED_COLUMNS.index("close")])

    def has_candle(self, series: Series, open_time: int) -> bool:
        """Return whether a candle is there."""
        return self._tracks[series].row(open_time) is not None

    @property
    def newest_settlement(self) -> int | None:
        """Hour of the newest funding that is known to be settled; None where none is."""
        return self._settlements.newest_ms

    def has_settlement(self, hour_ms: int) -> bool:
        """Return whether the funding of an hour is there."""
        return self._settlements.row(hour_ms) is not None

    def missing(self, until_ms: int) -> tuple[Hole, ...]:
        """Return what lacks of the window that ends with the newest bar that is over at a time."""
        end = self.needs.last_end(until_ms)
        if self._missing is None or self._missing[0] != end:
            self._missing = (end, tuple(self._find_missing(self.needs.since_ms(end), end)))
        return self._missing[1]

    def is_ready(self, until_ms: int) -> bool:
        """Return whether nothing lacks of the window that ends with the newest bar that is over at a time."""
        return not self.missing(until_ms)

    def window(self, until_ms: int) -> dict[Series, list[Row]]:
        """Return the rows of the window that ends with the newest bar that is over at a time, as they were told.

        Raises:
            DataError: If something is missing.
        """
        end = self.needs.last_end(until_ms)
        since = self.needs.since_ms(end)
        if missing := self.missing(until_ms):
            raise DataError(
                f"the window of {self.needs.symbol} until {utc(end)} must be whole and lacks {missing[0]}"
                f" ({len(missing)} holes in all); wait until it has been fetched"
            )
        rows = {series: track.rows(since, end) for series, track in self._tracks.items()}
        # A settlement at the end or soon after it tells that none was due since the one before.
        rows[self.funding] = self._settlements.rows(since - FUNDING_BEFORE_MS, end + MS_PER_HOUR)
        return rows

    def tables(self, until_ms: int) -> SymbolTables:
        """Return the window that ends with the newest bar that is over at a time, as the store has recordings.

        Raises:
            DataError: If something is missing.
        """
        window = self.window(until_ms)
        return SymbolTables(
            terms=self.needs.terms,
            klines=self._table(self.klines, window[self.klines], TRADED_COLUMNS),
            mark_prices={str(mark.interval): self._table(mark, window[mark], QUOTED_COLUMNS) for mark in self.marks},
            funding=self._table(self.funding, window[self.funding], SETTLED_COLUMNS),
        )

    def _table(self, series: Series, rows: list[Row], columns: Sequence[str]) -> pd.DataFrame:
        """Return rows, which were checked when they came, in the types that the store keeps; what one lacks is NaN."""
        texts = zip(*rows, strict=True) if rows else [()] * len(columns)
        typed = (
            np.array(column, object).astype(np.int64 if name == series.time_column else np.float64)
            for name, column in zip(columns, texts, strict=True)
        )
        return pd.DataFrame(dict(zip(columns, typed, strict=True)), copy=False)

    def _find_missing(self, since_ms: int, end_ms: int) -> list[Hole]:
        holes = [
            Hole(series, *stretch)
            for series, track in self._tracks.items()
            for stretch in track.holes(since_ms, end_ms)
        ]
        told = self._funding_told_from_ms
        if told is None or told > since_ms - FUNDING_BEFORE_MS:
            return [*holes, Hole(self.funding, since_ms - FUNDING_BEFORE_MS, end_ms)]
        due = self._missing_settlements(since_ms, end_ms)
        return holes + [Hole(self.funding, *stretch) for stretch in _stretches(due, MS_PER_HOUR)]

    def _missing_settlements(self, since_ms: int, end_ms: int) -> list[int]:
        """Return the hours in the window that must be settled and are not known to be, as the market would find them.

        Before and after what is known they lie on the grid of the contract's interval.
        """
        spacing = self.needs.terms.funding_interval_hours * MS_PER_HOUR
        grid = range(-(-since_ms // spacing) * spacing, end_ms, spacing)
        times = self._settlements.times()
        missing = {hour for hour in grid if not times or not times[0] <= hour <= times[-1]}
        for after, before, number in funding_holes(np.array(times, np.int64), spacing):
            steps = (after + (before - after) * n / (number + 1) for n in range(1, number + 1))
            hours = (round(step / MS_PER_HOUR) * MS_PER_HOUR for step in steps)
            missing.update(hour for hour in hours if since_ms <= hour < end_ms)
        return sorted(missing)


def _numbers(row: Row) -> list[float | None]:
    return [None if value is None else float(value) for value in row]


def _stretches(times: list[int], step: int) -> list[tuple[int, int]]:
    """Return ascending times on a grid as half-open stretches of it."""
    edges = [0, *(i for i, (a, b) in enumerate(pairwise(times), 1) if b - a != step), len(times)]
    return [(times[start], times[stop - 1] + step) for start, stop in pairwise(edges) if start < stop]
