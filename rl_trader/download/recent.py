"""The newest market data and the contract terms, over Binance's USD-M REST interface through ccxt.

The archive is a day or more behind; what it lacks is asked here. Only ccxt's endpoint methods are used
(``fapiPublicGetKlines`` and the like), which give Binance's own answers, so that a row is the same number
to the bit whether it came from an archive file or from here.

Leverage brackets and the account's commission rates are answered only to a key: ``BINANCE_API_KEY`` and
``BINANCE_API_SECRET`` in the environment, of a key that may only read.

Endpoints as documented on developers.binance.com (read 2026-10). Times in ms UTC, ranges half-open.
"""

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self

import pandas as pd

from rl_trader.bars import MS_PER_HOUR
from rl_trader.download.archive import KLINE_COLUMNS, Kind, Series, tidy
from rl_trader.errors import DownloadError

REST_URL: Final = "https://fapi.binance.com"
PAGE_ROWS: Final = 1000  # of fundingRate at most, and the most of klines at weight 5
NUM_ATTEMPTS: Final = 3
BACKOFF_S: Final = 0.5

_INVALID_SYMBOL: Final = -1121
_EMPTY = pd.DataFrame()
_log = logging.getLogger(__name__)


class UnknownSymbolError(DownloadError):
    """The exchange does not list the symbol (any more)."""


class RefusedError(DownloadError):
    """The exchange answered, and refused."""


class RestClient:
    """Reads market data and contract terms from one REST address; an async context manager.

    Args:
        base_url: Scheme, host and port, without ``/fapi``.
        backoff_s: Seconds before the second attempt; twice as long before each further one.
    """

    def __init__(self, base_url: str = REST_URL, backoff_s: float = BACKOFF_S) -> None:
        self.base_url = base_url.rstrip("/")
        self.has_key = bool(os.environ.get("BINANCE_API_KEY") and os.environ.get("BINANCE_API_SECRET"))
        self._backoff_s = backoff_s
        self._connected: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connected is not None:
            await self._connected.close()

    @property
    def _exchange(self) -> Any:  # noqa: ANN401 (ccxt has no types)
        if self._connected is None:
            self._connected = self._connect()
        return self._connected

    def _connect(self) -> Any:  # noqa: ANN401
        import ccxt.async_support as ccxt  # seconds of import, and only the newest part needs it

        credentials = {}
        if self.has_key:
            credentials = {
                "apiKey": os.environ["BINANCE_API_KEY"],
                "secret": os.environ["BINANCE_API_SECRET"],
            }
        exchange = ccxt.binanceusdm(credentials)
        exchange.aiohttp_trust_env = True
        addresses = exchange.urls["api"]
        for name, address in addresses.items():
            if isinstance(address, str) and address.startswith(REST_URL):
                addresses[name] = self.base_url + address.removeprefix(REST_URL)
        return exchange

    async def rows(self, series: Series, since: int, until: int) -> pd.DataFrame:
        """Return the finished rows of a series in ``[since, until)``, as the store keeps them.

        Raises:
            UnknownSymbolError: If the exchange does not list the symbol.
            DownloadError: If it does not answer, or refuses.
        """
        pages: list[pd.DataFrame] = []
        start = since
        while start < until:
            page = await self._page(series, start, until)
            if len(page):
                pages.append(page)
            if len(page) < PAGE_ROWS:
                break
            start = int(page[series.time_column].iloc[-1]) + 1
        return await self._finished(pd.concat(pages, ignore_index=True), series) if pages else _EMPTY

    async def _page(self, series: Series, since: int, until: int) -> pd.DataFrame:
        question = {"symbol": series.symbol, "startTime": since, "endTime": until - 1, "limit": PAGE_ROWS}
        if series.interval is not None:
            question["interval"] = series.interval
        endpoints = {
            Kind.KLINES: self._exchange.fapiPublicGetKlines,
            Kind.MARK_PRICE: self._exchange.fapiPublicGetMarkPriceKlines,
            Kind.PREMIUM_INDEX: self._exchange.fapiPublicGetPremiumIndexKlines,
            Kind.FUNDING_RATE: self._exchange.fapiPublicGetFundingRate,
        }
        answer = await self._ask(lambda: endpoints[series.kind](question))
        form = dict if series.kind is Kind.FUNDING_RATE else list
        self._require(isinstance(answer, list) and all(isinstance(row, form) for row in answer), str(series))
        if series.kind is not Kind.FUNDING_RATE:
            self._require(all(len(row) == len(KLINE_COLUMNS) for row in answer), str(series))
            return pd.DataFrame(answer, columns=list(KLINE_COLUMNS), dtype=object)
        names = {"fundingTime": "funding_time", "fundingRate": "funding_rate", "markPrice": "mark_price"}
        rows = pd.DataFrame(answer, columns=list(names), dtype=object).rename(columns=names)
        return rows.assign(mark_price=rows["mark_price"].mask(rows["mark_price"] == "", None))

    async def _finished(self, rows: pd.DataFrame, series: Series) -> pd.DataFrame:
        """Leave out the bar that is still open by the exchange's clock, and keep the columns of the store."""
        name = f"the answer about {series} of {self.base_url}"
        if series.interval is not None and int(rows["close_time"].iloc[-1]) > now_ms() - MS_PER_HOUR:
            server_time = int((await self._ask(self._exchange.fapiPublicGetTime))["serverTime"])
            rows = rows[rows["close_time"].astype("int64") < min(server_time, now_ms())]
        return tidy(rows, series, name)

    async def exchange_info(self) -> dict[str, dict[str, Any]]:
        """Return the entries of ``exchangeInfo`` by symbol."""
        answer = await self._ask(self._exchange.fapiPublicGetExchangeInfo)
        return self._by_symbol(answer.get("symbols") if isinstance(answer, dict) else None, "exchangeInfo")

    async def funding_info(self) -> dict[str, dict[str, Any]]:
        """Return the entries of ``fundingInfo`` by symbol: only symbols whose cap or interval is adjusted."""
        answer = await self._ask(self._exchange.fapiPublicGetFundingInfo)
        return self._by_symbol(answer, "fundingInfo")

    async def leverage_brackets(self, symbol: str) -> dict[str, Any]:
        """Return the symbol's notional brackets; needs a key."""
        answer = await self._ask(lambda: self._exchange.fapiPrivateGetLeverageBracket({"symbol": symbol}))
        entries = self._by_symbol(answer if isinstance(answer, list) else [answer], "leverageBracket")
        self._require(symbol in entries, f"the leverageBracket of {symbol}")
        return entries[symbol]

    async def commission_rate(self, symbol: str) -> dict[str, Any]:
        """Return the account's fees for the symbol; needs a key."""
        answer = await self._ask(lambda: self._exchange.fapiPrivateGetCommissionRate({"symbol": symbol}))
        self._require(isinstance(answer, dict) and "takerCommissionRate" in answer, "commissionRate")
        return dict(answer)

    def _by_symbol(self, entries: object, what: str) -> dict[str, dict[str, Any]]:
        found: list[Any] = entries if isinstance(entries, list) else [None]
        self._require(all(isinstance(entry, dict) and "symbol" in entry for entry in found), what)
        return {entry["symbol"]: entry for entry in found}

    def _require(self, is_met: bool, what: str) -> None:
        if not is_met:
            raise RefusedError(f"{self.base_url} gave no answer about {what} in the exchange's form")

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 (JSON)
        import ccxt

        reason = ""
        for attempt in range(NUM_ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._backoff_s * 2 ** (attempt - 1))
            try:
                return await question()
            except ccxt.BaseError as error:
                code, message = _refusal(str(error))
                if code == _INVALID_SYMBOL:
                    raise UnknownSymbolError(f"{self.base_url} does not list the symbol") from None
                if not isinstance(error, ccxt.NetworkError):
                    raise RefusedError(f"{self.base_url} refused: {message or type(error).__name__}") from None
                # The text of other errors can hold a signed address, which belongs in no message.
                reason = message or type(error).__name__
                _log.info("attempt %d at %s failed: %s", attempt + 1, self.base_url, reason)
        raise DownloadError(f"{self.base_url} does not answer ({reason})")


def _refusal(text: str) -> tuple[int | None, str]:
    """Return Binance's error code and message from the text of a ccxt error, if it has them."""
    match = re.search(r"\{.*\}", text)
    try:
        answer = json.loads(match.group()) if match else {}
        return int(answer["code"]), f"{answer['code']} {answer.get('msg', '')}".strip()
    except (ValueError, KeyError, TypeError):
        return None, ""


def now_ms() -> int:
    """Return this machine's time in ms UTC."""
    return time.time_ns() // 1_000_000
