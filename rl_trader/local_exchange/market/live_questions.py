"""What is asked of another exchange over REST to follow it, and how its answers are read.

Only public market data is asked for, without a key. Source: the API documentation of USD-M futures, "Market Data
Endpoints" (read in autumn 2026): klines of at most 1500 rows, weight 10; ``fundingRate`` of at most 1000.

Times in milliseconds since 1970 UTC.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from rl_trader.bars import MS_PER_DAY
from rl_trader.errors import DataError
from rl_trader.klines import interval_ms
from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.market.candles import Series
from rl_trader.local_exchange.market.live_funding import settlement_hour
from rl_trader.local_exchange.market.live_history import open_time_of
from rl_trader.local_exchange.market.live_news import Fields, Kline, MarkNews, read_kline, read_premium_index

MOST_KLINES: Final = 1500  # of one answer
MOST_FUNDINGS: Final = 1000

_MORE_KLINES: Final = 5  # asked for than are expected, as time goes on meanwhile
_FUNDING_MS: Final = 30 * MS_PER_DAY  # of the past whose funding is known at least

EXCHANGE_INFO: Final = "exchangeInfo"
FUNDING_INFO: Final = "fundingInfo"
FUNDING_RATE: Final = "fundingRate"
PREMIUM_INDEX: Final = "premiumIndex"

_KLINES: Final = {
    Series.LAST: ("klines", "symbol"),
    Series.MARK: ("markPriceKlines", "symbol"),
    Series.INDEX: ("indexPriceKlines", "pair"),
    Series.PREMIUM: ("premiumIndexKlines", "symbol"),
}
DERIVED: Final = (Series.MARK, Series.INDEX, Series.PREMIUM)  # that no stream has candles of
ENDPOINTS: Final = frozenset(
    {EXCHANGE_INFO, FUNDING_INFO, FUNDING_RATE, PREMIUM_INDEX, *(name for name, _ in _KLINES.values())}
)


Parameters = Mapping[str, str | int]


class Question(NamedTuple):
    """A request: ``GET /fapi/v1/<endpoint>``."""

    endpoint: str  # one of ENDPOINTS
    parameters: Parameters


Ask = Callable[[Question], Awaitable[object]]
"""Returns the JSON that a question is answered with; raises a DataError or a DownloadError if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is known of a symbol at a moment."""

    now: MarkNews  # asked for before everything else
    klines: Mapping[Series, list[Kline]]  # ascending; the last of each may still form
    fundings: list[Settlement]  # ascending, at full hours


async def ask_snapshot(ask: Ask, symbol: str, interval: str, since_ms: int) -> Snapshot:
    """Return what has happened of a symbol since a time.

    Args:
        ask: Answers questions.
        symbol: Which.
        interval: Of the klines.
        since_ms: Open time of the first kline; funding is asked for from then on, too.

    Raises:
        DataError: If an answer has another form than the exchange's.
    """
    now = read_premium_index(await ask(Question(PREMIUM_INDEX, {"symbol": symbol})))
    span = (since_ms, now.time_ms)
    klines = {series: await ask_klines(ask, series, symbol, interval, span) for series in Series}
    return Snapshot(now=now, klines=klines, fundings=await ask_fundings(ask, symbol, since_ms))


async def ask_begin(ask: Ask, symbol: str, interval: str, num_bars: int) -> Snapshot:
    """Return the last bars of a symbol: the forming one and as many before it, and the funding of a month at least.

    Raises:
        DataError: If an answer has another form than the exchange's, or there is no bar.
    """
    now = read_premium_index(await ask(Question(PREMIUM_INDEX, {"symbol": symbol})))
    since_ms = open_time_of(interval, now.time_ms) - num_bars * interval_ms(interval)
    span = (since_ms, now.time_ms)
    klines = {series: await ask_klines(ask, series, symbol, interval, span) for series in Series}
    if not klines[Series.LAST]:
        raise DataError(f"{symbol} must have klines of {interval} to be followed and has none; choose another symbol")
    since_ms = min(since_ms, now.time_ms - _FUNDING_MS)
    return Snapshot(now=now, klines=klines, fundings=await ask_fundings(ask, symbol, since_ms))


async def ask_klines(ask: Ask, series: Series, symbol: str, interval: str, span: tuple[int, int]) -> list[Kline]:
    """Return the candles of a symbol from one on, the forming one included.

    Args:
        ask: Answers questions.
        series: What of.
        symbol: Which.
        interval: Of the candles.
        span: Open time of the first one, and about now: a question weighs by how many candles it allows.

    Raises:
        DataError: If an answer has another form than the exchange's.
    """
    endpoint, name = _KLINES[series]
    limit = min((span[1] - span[0]) // interval_ms(interval) + _MORE_KLINES, MOST_KLINES)
    klines: list[Kline] = []
    page_ms: int | None = span[0]
    while page_ms is not None:
        wanted: Parameters = {name: symbol, "interval": interval, "startTime": page_ms, "limit": limit}
        rows = _rows(await ask(Question(endpoint, wanted)), endpoint)
        klines += [_checked(read_kline(row, endpoint), series, symbol) for row in rows]
        page_ms = klines[-1].open_time + 1 if len(rows) == limit else None
    times = [kline.open_time for kline in klines]
    if times != sorted(set(times)):
        raise DataError(f"{endpoint} of {symbol} must ascend in time and do not; check the address that is followed")
    return klines


async def ask_fundings(ask: Ask, symbol: str, since_ms: int) -> list[Settlement]:
    """Return the settlements from a time on; those of the years for which no mark price is kept are left out."""
    fundings: list[Settlement] = []
    page_ms: int | None = since_ms
    while page_ms is not None:
        wanted: Parameters = {"symbol": symbol, "startTime": page_ms, "limit": MOST_FUNDINGS}
        answer = _rows(await ask(Question(FUNDING_RATE, wanted)), FUNDING_RATE)
        rows = [Fields.of(row, "a row of fundingRate") for row in answer]
        fundings += [settlement for row in rows if (settlement := _settlement(row)) is not None]
        page_ms = rows[-1].whole("fundingTime") + 1 if len(rows) == MOST_FUNDINGS else None
    return fundings


def _settlement(row: Fields) -> Settlement | None:
    if row.is_empty("markPrice"):
        return None
    return Settlement(
        time_ms=settlement_hour(row.whole("fundingTime")),
        rate=row.number("fundingRate"),
        mark_price=row.positive("markPrice"),
    )


def _rows(answer: object, endpoint: str) -> list[object]:
    if not isinstance(answer, list):
        raise DataError(f"{endpoint} must be a list and is {str(answer)[:80]}; check the address that is followed")
    return answer


def _checked(kline: Kline, series: Series, symbol: str) -> Kline:
    """Return a candle whose prices can be those of a market."""
    low, high = min(kline.open, kline.close), max(kline.open, kline.close)
    is_price = series is Series.PREMIUM or kline.low > 0
    if kline.low > low or kline.high < high or not is_price or kline.volume < 0:
        raise DataError(f"a kline of {symbol} must be one of prices and is {kline}; check the address that is followed")
    return kline
