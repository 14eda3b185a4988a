"""Market data as a session has seen it, made into the market of the environment by the code of training."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY, MS_PER_HOUR
from rl_trader.contract_terms import ContractTerms
from rl_trader.download.archive import QUOTED_COLUMNS, TRADED_COLUMNS, Kind, Series, tidy
from rl_trader.live.journal.rows import AccountRow, MarketRow
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.policy.observer import write_countdown
from rl_trader.live.streams.bar_series import FUNDING_BEFORE_MS
from rl_trader.live.streams.funding_interval import terms_between
from rl_trader.live.streams.market_rows import SETTLED_COLUMNS
from rl_trader.market import SymbolTables, build_market
from rl_trader.observed_market import ObservedMarket, observe_market

_COLUMNS: Final = {
    Kind.KLINES: TRADED_COLUMNS,
    Kind.MARK_PRICE: QUOTED_COLUMNS,
    Kind.FUNDING_RATE: SETTLED_COLUMNS,
}
_MARKS_MS: Final = MS_PER_DAY  # before a stretch: the longest candle of the mark price


class Archive:
    """Keeps what was seen of one deployment's symbol.

    Args:
        deployment: Which.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        symbol = deployment.symbol
        self._klines = Series(Kind.KLINES, symbol, deployment.interval)
        self._marks = [Series(Kind.MARK_PRICE, symbol, name) for name in deployment.series.mark_intervals]
        self._funding = Series(Kind.FUNDING_RATE, symbol)
        every = (self._klines, *self._marks, self._funding)
        self._rows: dict[str, dict[int, list[object]]] = {series.folder: {} for series in every}

    def add(self, rows: Iterable[MarketRow]) -> None:
        """Keep rows; those of series that the deployment does not see are left out."""
        for row in rows:
            if row.series in self._rows:
                self._rows[row.series][row.time_ms] = [row.time_ms, *json.loads(row.body)]

    def forget(self, before_ms: int) -> None:
        """Keep nothing that lies before a time."""
        for rows in self._rows.values():
            for time_ms in [time for time in rows if time < before_ms]:
                del rows[time_ms]

    def stretches(self) -> list[tuple[int, int]]:
        """Return the stretches of bars without a hole, by the open times of their first and last bars."""
        times = np.array(sorted(self._rows[self._klines.folder]), np.int64)
        if not len(times):
            return []
        edges = np.flatnonzero(np.diff(times) != self._deployment.interval_ms) + 1
        bounds = [0, *edges.tolist(), len(times)]
        return [(int(times[start]), int(times[stop - 1])) for start, stop in pairwise(bounds)]

    def around(self, before_ms: int, after: AccountRow) -> ObservedMarket | None:
        """Return the market of the two bars of a step with the window before them; None where one of them is missing.

        Args:
            before_ms: Open time of the first.
            after: At the close of the second.
        """
        first_ms = before_ms - (self._deployment.num_bars - 1) * self._deployment.interval_ms
        is_whole = any(first <= first_ms and after.bar_open_ms <= last for first, last in self.stretches())
        return self.observed(first_ms, after.bar_open_ms, after.next_funding_ms) if is_whole else None

    def observed(self, first_ms: int, last_ms: int, next_funding_ms: int | None) -> ObservedMarket:
        """Return the market of a stretch of bars, with the features of training.

        Args:
            first_ms: Open time of its first bar; it has the warm-up of the observation at least.
            last_ms: Open time of its last bar.
            next_funding_ms: When funding is settled after it, as it was announced; None is by the terms' interval.

        Raises:
            DataError: If something of it is missing or damaged.
        """
        deployment, end_ms = self._deployment, last_ms + self._deployment.interval_ms
        klines = self._table(self._klines, first_ms, end_ms)
        if not deployment.series.has_taker_buys:
            klines = klines.drop(columns="taker_buy_volume", errors="ignore")
        marks = {str(mark.interval): self._table(mark, first_ms - _MARKS_MS, end_ms) for mark in self._marks}
        funding = self._table(self._funding, first_ms - FUNDING_BEFORE_MS, end_ms + MS_PER_HOUR)
        tables = SymbolTables(
            terms=self._terms(next_funding_ms),
            klines=klines,
            mark_prices={name: table for name, table in marks.items() if len(table)},
            funding=funding,
        )
        played_from_ms = first_ms + deployment.num_bars * deployment.interval_ms
        market = build_market([tables], deployment.interval, deployment.assumptions, played_from_ms)
        write_countdown(market, funding, next_funding_ms)
        return observe_market(market, deployment.schema, scaling=deployment.checkpoint.scaling)

    def _terms(self, next_funding_ms: int | None) -> ContractTerms:
        """Return the terms by which funding was settled before a settlement that was announced."""
        terms = self._deployment.terms
        settled = [hour for hour in self._rows[self._funding.folder] if hour < (next_funding_ms or 0)]
        return terms_between(terms, max(settled), next_funding_ms) if settled and next_funding_ms else terms

    def _table(self, series: Series, since_ms: int, until_ms: int) -> pd.DataFrame:
        rows = self._rows[series.folder]
        chosen = [rows[time] for time in sorted(rows) if since_ms <= time < until_ms]
        table = pd.DataFrame(chosen, columns=list(_COLUMNS[series.kind]), dtype=object)
        return tidy(table, series, f"the journal's {series}")


def open_times(observed: ObservedMarket) -> NDArray[np.int64]:
    """Return the open times of a market's bars, (num_bars,) ms UTC."""
    times: NDArray[np.int64] = observed.market.bars["open_time"]
    return times
