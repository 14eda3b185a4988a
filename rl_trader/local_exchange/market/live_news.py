"""What another exchange says of its market, read from its streams and its answers.

Source: the API documentation of USD-M futures, "Websocket Market Streams" and "Market Data Endpoints" (read in autumn
2026): ``aggTrade``, ``markPriceUpdate``, ``kline`` and ``bookTicker`` events, single or wrapped with the name of their
stream, and rows of klines.

Prices in USDT per unit of the base asset, amounts in base asset, times in milliseconds since 1970 UTC, rates as
fractions. Every number is the decimal that was sent.
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from rl_trader.errors import DataError
from rl_trader.local_exchange.books.money import ZERO, is_number

NUM_COLUMNS: Final = 12  # of a row of klines


class Kline(NamedTuple):
    """A candle; volumes are 0 where it is of no traded price."""

    open_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal  # USDT
    trades: int
    taker_buy_volume: Decimal
    taker_buy_quote: Decimal  # USDT


class TradeNews(NamedTuple):
    """The public has traded."""

    symbol: str
    time_ms: int
    price: Decimal
    amount: Decimal
    is_buyer_maker: bool
    last_id: int  # of the trades that it is made of


class MarkNews(NamedTuple):
    """Mark price and funding."""

    symbol: str
    time_ms: int
    mark: Decimal
    index_price: Decimal
    rate: Decimal  # estimate of the next settlement's
    next_funding_ms: int


class KlineNews(NamedTuple):
    """A candle that forms, or that is over."""

    symbol: str
    time_ms: int
    interval: str
    kline: Kline
    last_id: int  # of its trades; below 0 where it has none
    is_closed: bool


class BookNews(NamedTuple):
    """The best prices; 0 where a side is empty."""

    symbol: str
    time_ms: int
    bid: Decimal
    ask: Decimal


News = TradeNews | MarkNews | KlineNews | BookNews


def parse_news(text: str) -> News | None:
    """Return what a frame says, or None if it is no event of these kinds.

    Raises:
        DataError: If it is no JSON object, or a field of such an event is missing or wrong.
    """
    try:
        frame = json.loads(text)
    except ValueError:
        frame = None
    if not isinstance(frame, dict):
        raise DataError(f"a frame must be a JSON object and is {text[:80]!r}; check the address that is followed")
    data = frame.get("data", frame)
    if not isinstance(data, dict):
        return None
    read = _READERS.get(str(data.get("e")))
    return read(Fields(data, f"an event {data['e']} of {data.get('s')}")) if read else None


def read_premium_index(answer: object) -> MarkNews:
    """Return the answer of ``GET /fapi/v1/premiumIndex`` about one symbol.

    Raises:
        DataError: If it is none.
    """
    fields = Fields.of(answer, "the premiumIndex")
    return MarkNews(
        symbol=fields.text("symbol"),
        time_ms=fields.whole("time"),
        mark=fields.positive("markPrice"),
        index_price=fields.number("indexPrice"),
        rate=fields.number("lastFundingRate"),
        next_funding_ms=fields.whole("nextFundingTime"),
    )


def read_kline(row: object, what: str) -> Kline:
    """Return a row of klines, whose values may have either sign.

    Args:
        row: Of the exchange's twelve columns.
        what: What a message calls the klines.

    Raises:
        DataError: If it is none.
    """
    if not isinstance(row, list) or len(row) != NUM_COLUMNS:
        raise DataError(f"a row of {what} must have {NUM_COLUMNS} columns and is {row!r}; check the address")
    return _kline(Fields(dict(zip("tohlcvTqnVQB", row, strict=True)), f"a row of {what}"))


class Fields:
    """Reads the fields of one JSON object.

    Args:
        data: The object.
        where: What a message calls it.

    Raises:
        DataError: From each method, if the field is missing or of another kind.
    """

    def __init__(self, data: Mapping[str, object], where: str) -> None:
        self._data = data
        self._where = where

    @classmethod
    def of(cls, answer: object, where: str) -> "Fields":
        """Return the reader of an answer, which must be an object."""
        if not isinstance(answer, Mapping):
            raise DataError(f"{where} must be an object and is {answer!r}; check the address that is followed")
        return cls(answer, where)

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self._data.get(name)
        if not isinstance(value, str) or not value:
            raise self._fault(name, "a text")
        return value

    def is_empty(self, name: str) -> bool:
        """Return whether a field is an empty text, as the exchange writes what it does not know."""
        return self._data.get(name) == ""

    def whole(self, name: str) -> int:
        """Return a whole number."""
        value = self._data.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._fault(name, "a whole number")
        return value

    def truth(self, name: str) -> bool:
        """Return true or false."""
        value = self._data.get(name)
        if not isinstance(value, bool):
            raise self._fault(name, "true or false")
        return value

    def number(self, name: str) -> Decimal:
        """Return a number that is written as a text."""
        value = self._data.get(name)
        try:
            number = Decimal(value) if isinstance(value, str) else None
        except InvalidOperation:
            number = None
        if number is None or not is_number(number):
            raise self._fault(name, "the text of a number")
        return number

    def positive(self, name: str) -> Decimal:
        """Return a positive number that is written as a text."""
        value = self.number(name)
        if value <= ZERO:
            raise self._fault(name, "the text of a positive number")
        return value

    def child(self, name: str) -> "Fields":
        """Return the reader of an object inside this one."""
        value = self._data.get(name)
        if not isinstance(value, Mapping):
            raise self._fault(name, "an object")
        return Fields(value, f"{name} of {self._where}")

    def _fault(self, name: str, wanted: str) -> DataError:
        return DataError(
            f"{name} of {self._where} must be {wanted} and is {self._data.get(name)!r}; "
            "check the address that is followed"
        )


def _trade(fields: Fields) -> TradeNews:
    return TradeNews(
        symbol=fields.text("s"),
        time_ms=fields.whole("T"),
        price=fields.positive("p"),
        amount=fields.positive("q"),
        is_buyer_maker=fields.truth("m"),
        last_id=fields.whole("l"),
    )


def _mark(fields: Fields) -> MarkNews:
    return MarkNews(
        symbol=fields.text("s"),
        time_ms=fields.whole("E"),
        mark=fields.positive("p"),
        index_price=fields.number("i"),
        rate=fields.number("r"),
        next_funding_ms=fields.whole("T"),
    )


def _kline_news(fields: Fields) -> KlineNews:
    candle = fields.child("k")
    for name in "ohlc":
        candle.positive(name)
    return KlineNews(
        symbol=fields.text("s"),
        time_ms=fields.whole("E"),
        interval=candle.text("i"),
        kline=_kline(candle),
        last_id=candle.whole("L"),
        is_closed=candle.truth("x"),
    )


def _kline(fields: Fields) -> Kline:
    return Kline(
        open_time=fields.whole("t"),
        open=fields.number("o"),
        high=fields.number("h"),
        low=fields.number("l"),
        close=fields.number("c"),
        volume=fields.number("v"),
        quote_volume=fields.number("q"),
        trades=fields.whole("n"),
        taker_buy_volume=fields.number("V"),
        taker_buy_quote=fields.number("Q"),
    )


def _book(fields: Fields) -> BookNews:
    return BookNews(symbol=fields.text("s"), time_ms=fields.whole("E"), bid=fields.number("b"), ask=fields.number("a"))


_READERS: Final[dict[str, Callable[[Fields], News]]] = {
    "aggTrade": _trade,
    "markPriceUpdate": _mark,
    "kline": _kline_news,
    "bookTicker": _book,
}
