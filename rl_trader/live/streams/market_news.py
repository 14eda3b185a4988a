"""What the market's streams tell, what is asked for over REST, and what the trader is told of it.

Prices in USDT as texts of the exchange, times in milliseconds since 1970 UTC.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from rl_trader.download.archive import Kind, Series
from rl_trader.klines import interval_ms

TIME: Final = "time"  # names of calls, as in rl_trader.live.exchange.endpoints
CALLS: Final[Mapping[Kind, str]] = {
    Kind.KLINES: "klines",
    Kind.MARK_PRICE: "mark_klines",
    Kind.FUNDING_RATE: "funding_rates",
}
MOST_ROWS: Final = 1_000  # of one call: more of them weigh twice as much

_EARLY_MS: Final = 60_000  # a settlement may be stamped before its hour, or after


# What comes in


class KlineNews(NamedTuple):
    """A candle that forms, or that is over."""

    symbol: str
    stamp_ms: int
    interval: str
    is_closed: bool
    row: tuple[object, ...]  # in the columns of ``GET /fapi/v1/klines``


class MarkNews(NamedTuple):
    """The mark price of a moment, and when funding is settled next."""

    symbol: str
    stamp_ms: int
    mark: str
    rate: str  # estimate of the next settlement's
    next_funding_ms: int


class Unreadable(NamedTuple):
    """A frame that lacks what it must have."""

    reason: str


News = KlineNews | MarkNews | Unreadable


# What is asked for


class Call(NamedTuple):
    """A question over REST: the time, or the rows of a series in ``[since_ms, until_ms)``."""

    name: str
    series: Series | None = None
    since_ms: int = 0
    until_ms: int = 0
    is_audit: bool = False  # of what is there already

    @property
    def params(self) -> dict[str, str | int]:
        """Its parameters."""
        if self.series is None:
            return {}
        symbol: dict[str, str | int] = {"symbol": self.series.symbol}
        if self.series.interval is None:
            since, until = self.span
            return symbol | {"startTime": since, "endTime": until - 1, "limit": MOST_ROWS}
        rows = -(-(self.until_ms - self.since_ms) // interval_ms(self.series.interval))
        span = {"startTime": self.since_ms, "endTime": self.until_ms - 1, "limit": rows}
        return symbol | {"interval": self.series.interval} | span

    @property
    def span(self) -> tuple[int, int]:
        """From when until before when the answer may have rows; settlements are not stamped to the millisecond."""
        if self.name == CALLS[Kind.FUNDING_RATE]:
            return self.since_ms - _EARLY_MS, self.until_ms + _EARLY_MS
        return self.since_ms, self.until_ms


# What comes out


class BarReady(NamedTuple):
    """A bar is over, and everything is there to decide on it."""

    symbol: str
    open_time: int
    bar: Mapping[str, str]  # its columns in the exchange's texts
    next_funding_ms: int | None  # as announced before its end; None where it was not


class BarLate(NamedTuple):
    """A bar is over for too long: nothing is decided on it."""

    symbol: str
    open_time: int
    reason: str


class BarRevised(NamedTuple):
    """A row that is known was told with other numbers; the first ones stay."""

    series: Series
    time_ms: int
    reason: str


class DataRefused(NamedTuple):
    """The exchange told something that cannot be."""

    symbol: str
    reason: str


class Settled(NamedTuple):
    """Funding was settled, after following had begun."""

    symbol: str
    hour_ms: int


class IntervalChanged(NamedTuple):
    """The exchange settles funding at another interval from now on."""

    symbol: str
    hours: int
    before: int


class Stale(NamedTuple):
    """No fresh mark price has come for too long."""

    symbol: str


class Alive(NamedTuple):
    """Mark prices come, or come again."""

    symbol: str
    mark: str


FeedEvent = BarReady | BarLate | BarRevised | DataRefused | Settled | IntervalChanged | Stale | Alive
