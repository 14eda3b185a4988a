"""A client's market data: closed klines, mark-price candles and settled funding, from the answers of REST alone."""

import json
from typing import Final
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.download.archive import KLINE_COLUMNS, QUOTED_COLUMNS, Kind, Series
from rl_trader.errors import DataError
from rl_trader.klines import interval_ms, utc
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.policy.observer import Needed
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.market import SymbolTables

PAGE_ROWS: Final = 1000

_PATHS: Final = {
    Kind.KLINES: "/fapi/v1/klines",
    Kind.MARK_PRICE: "/fapi/v1/markPriceKlines",
    Kind.FUNDING_RATE: "/fapi/v1/fundingRate",
}
_COLUMNS: Final = {
    Kind.KLINES: (*QUOTED_COLUMNS, "volume", "taker_buy_volume"),
    Kind.MARK_PRICE: QUOTED_COLUMNS,
    Kind.FUNDING_RATE: ("funding_time", "funding_rate", "mark_price"),
}
_FUNDING_NAMES: Final = {"funding_time": "fundingTime", "funding_rate": "fundingRate", "mark_price": "markPrice"}

Columns = dict[str, NDArray[np.generic]]  # each (num_rows,)


class ApiMarket:
    """The trailing tables of a deployment's symbol; ``float`` reads their numbers, as it does for the downloader.

    Args:
        transport: Carries the questions.
        deployment: Says which series.
    """

    def __init__(self, transport: MemoryTransport, deployment: Deployment) -> None:
        self._transport = transport
        self._deployment = deployment
        symbol = deployment.symbol
        self._klines = Series(Kind.KLINES, symbol, deployment.interval)
        self._marks = {name: Series(Kind.MARK_PRICE, symbol, name) for name in deployment.series.mark_intervals}
        self._funding = Series(Kind.FUNDING_RATE, symbol)
        self._known: dict[Series, Columns] = {}

    def tables(self, needed: Needed, now_ms: int) -> SymbolTables:
        """Return what is needed, up to now.

        Args:
            needed: From when on.
            now_ms: The last millisecond of the newest bar.

        Raises:
            DataError: If the exchange refuses to answer.
        """
        klines = self._newest(self._klines, needed.klines_ms, now_ms)
        marks = {name: self._newest(series, needed.marks_ms, now_ms) for name, series in self._marks.items()}
        funding = self._newest(self._funding, needed.funding_ms, now_ms)
        return SymbolTables(
            terms=self._deployment.terms, klines=klines, mark_prices=marks, funding=funding if len(funding) else None
        )

    def next_funding_ms(self) -> int:
        """Return when funding is settled next, as the exchange announces it.

        Raises:
            DataError: If it refuses to answer.
        """
        answer = self._ask("/fapi/v1/premiumIndex", {"symbol": self._deployment.symbol})
        assert isinstance(answer, dict)
        return int(answer["nextFundingTime"])

    def _newest(self, series: Series, since_ms: int, now_ms: int) -> pd.DataFrame:
        """Return a series' rows from a time on, of which those that were not known are asked for."""
        time, known = series.time_column, self._known.get(series)
        pages = [] if known is None else [known]
        start = since_ms if known is None or not len(known[time]) else int(known[time][-1]) + 1
        while start <= now_ms:
            page, is_last = self._page(series, start, now_ms)
            pages.append(page)
            if is_last:
                break
            start = int(page[time][-1]) + 1
        times = np.concatenate([page[time] for page in pages])
        first = int(np.searchsorted(times, since_ms))
        table = {name: np.concatenate([page[name] for page in pages])[first:] for name in _COLUMNS[series.kind]}
        self._known[series] = table
        return pd.DataFrame(table)

    def _page(self, series: Series, since_ms: int, now_ms: int) -> tuple[Columns, bool]:
        """Return rows from a time on, and whether there are no more."""
        question: dict[str, object] = {
            "symbol": series.symbol,
            "startTime": since_ms,
            "endTime": now_ms,
            "limit": PAGE_ROWS,
        }
        if series.interval is not None:
            question["interval"] = series.interval
        answer = self._ask(_PATHS[series.kind], question)
        assert isinstance(answer, list)
        is_last = len(answer) < PAGE_ROWS
        if series.interval is None:
            named = [{name: row[word] for name, word in _FUNDING_NAMES.items()} for row in answer]
        else:
            named = [dict(zip(KLINE_COLUMNS, row, strict=True)) for row in answer]
            if interval_ms(series.interval) <= self._deployment.interval_ms:  # of a coarser one only the open is read
                named = [row for row in named if row["close_time"] <= now_ms]
        time = series.time_column
        columns: Columns = {
            name: np.array([float(row[name]) for row in named]) for name in _COLUMNS[series.kind] if name != time
        }
        return {time: np.array([row[time] for row in named], np.int64), **columns}, is_last

    def _ask(self, path: str, question: dict[str, object]) -> object:
        response = self._transport.request("GET", f"{path}?{urlencode(question)}")
        answer: object = json.loads(response.body)
        if response.status != 200:  # noqa: PLR2004
            since = question.get("startTime")
            when = f" from {utc(int(since))} on" if isinstance(since, int) else ""
            raise DataError(f"{path}{when} must be answered, the exchange says {answer}; check the symbol")
        return answer
