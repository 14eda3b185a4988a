"""Stream names: what each one carries, how often, and on which connections.

Source: the API documentation of USD-M futures, "Websocket Market Streams" and the change log of 2026-03-06, which
gave each kind of stream an address of its own (read in autumn 2026). ``@trade`` and the rate of 0 ms are not
documented; clients use them, and recordings of 2024 show them. That ``@trade`` belongs to ``/public`` is ccxt's
subscription.

Symbols are written in lower case; the exchange accepts other names and sends nothing for them.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from rl_trader.local_exchange.market.intervals import INTERVALS


class Category(StrEnum):
    """The first part of a connection's path."""

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"


class Kind(Enum):
    """What a stream is about."""

    AGG_TRADE = "aggTrade"
    TRADE = "trade"
    MARK_PRICE = "markPrice"
    KLINE = "kline"
    CONTINUOUS_KLINE = "continuousKline"
    MINI_TICKER = "miniTicker"
    TICKER = "ticker"
    BOOK_TICKER = "bookTicker"
    DEPTH = "depth"  # what has changed
    PARTIAL_DEPTH = "depth<levels>"  # the best levels
    FORCE_ORDER = "forceOrder"
    CONTRACT_INFO = "contractInfo"

    @property
    def category(self) -> Category:
        """The connections that carry it."""
        return Category.PUBLIC if self in _PUBLIC else Category.MARKET


_PUBLIC: Final = (Kind.TRADE, Kind.BOOK_TICKER, Kind.DEPTH, Kind.PARTIAL_DEPTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream of market data."""

    name: str
    kind: Kind
    rate_ms: int  # least time between two events; 0 sends every change
    symbol: str = ""  # empty of a stream of all symbols
    interval: str = ""  # of klines
    levels: int = 0  # of a side, of a partial book


_ALL_SYMBOLS: Final = {
    "!markPrice@arr": (Kind.MARK_PRICE, 3000),
    "!markPrice@arr@1s": (Kind.MARK_PRICE, 1000),
    "!miniTicker@arr": (Kind.MINI_TICKER, 1000),
    "!ticker@arr": (Kind.TICKER, 1000),
    "!bookTicker": (Kind.BOOK_TICKER, 5000),
    "!forceOrder@arr": (Kind.FORCE_ORDER, 1000),
    "!contractInfo": (Kind.CONTRACT_INFO, 0),
}
_ONE_SYMBOL: Final = {
    "aggTrade": (Kind.AGG_TRADE, 100),
    "trade": (Kind.TRADE, 0),
    "markPrice": (Kind.MARK_PRICE, 3000),
    "markPrice@1s": (Kind.MARK_PRICE, 1000),
    "miniTicker": (Kind.MINI_TICKER, 2000),
    "ticker": (Kind.TICKER, 2000),
    "bookTicker": (Kind.BOOK_TICKER, 0),
    "forceOrder": (Kind.FORCE_ORDER, 1000),
}
_BOOK_RATES: Final = {"": 250, "@0ms": 0, "@100ms": 100, "@250ms": 250, "@500ms": 500}
_BOOK_LEVELS: Final = (5, 10, 20)
_KLINE_RATE: Final = 250  # ms
_KLINES: Final = ("kline_", Kind.KLINE, "")
_CONTINUOUS_KLINES: Final = ("continuousKline_", Kind.CONTINUOUS_KLINE, "_perpetual")


def parse_stream(name: str) -> Stream | None:
    """Return what a name of market data means, or None if the exchange has no such stream."""
    if name in _ALL_SYMBOLS:
        kind, rate_ms = _ALL_SYMBOLS[name]
        return Stream(name=name, kind=kind, rate_ms=rate_ms)
    head, _, topic = name.partition("@")
    symbol = head.upper()
    if not head or head != head.lower():
        return None
    if topic in _ONE_SYMBOL:
        kind, rate_ms = _ONE_SYMBOL[topic]
        return Stream(name=name, kind=kind, rate_ms=rate_ms, symbol=symbol)
    return _parse_book(name, symbol, topic) or _parse_klines(name, symbol, topic)


def _parse_book(name: str, symbol: str, topic: str) -> Stream | None:
    for suffix, rate_ms in _BOOK_RATES.items():
        if topic == f"depth{suffix}":
            return Stream(name=name, kind=Kind.DEPTH, rate_ms=rate_ms, symbol=symbol)
        for levels in _BOOK_LEVELS:
            if topic == f"depth{levels}{suffix}":
                return Stream(name=name, kind=Kind.PARTIAL_DEPTH, rate_ms=rate_ms, symbol=symbol, levels=levels)
    return None


def _parse_klines(name: str, symbol: str, topic: str) -> Stream | None:
    for prefix, kind, contract in (_KLINES, _CONTINUOUS_KLINES):
        interval = topic.removeprefix(prefix)
        pair = symbol.removesuffix(contract.upper())
        if topic.startswith(prefix) and interval in INTERVALS and f"{pair}{contract.upper()}" == symbol and pair:
            return Stream(name=name, kind=kind, rate_ms=_KLINE_RATE, symbol=pair, interval=interval)
    return None
