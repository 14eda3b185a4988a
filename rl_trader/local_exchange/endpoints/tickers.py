"""Tickers: ``ticker/24hr``, ``ticker/price``, ``ticker/bookTicker``, and ``openInterest``.

Sources: the API documentation of USD-M futures, "24hr Ticker Price Change Statistics" and its like (read in autumn
2026), and answers of September 2026. Where the book is empty, its prices and amounts are 0.
"""

from typing import Final

from rl_trader.local_exchange.books.money import ZERO
from rl_trader.local_exchange.endpoints.each_symbol import of_each, weight_of_each
from rl_trader.local_exchange.market.market import Level
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter
from rl_trader.local_exchange.wire import amount_text, fixed, price_text

_PERCENT_PLACES: Final = 3
_NO_LEVEL: Final[Level] = (ZERO, ZERO)


def day_ticker(call: Call) -> object:
    """Answer ``GET /fapi/v1/ticker/24hr``."""
    return of_each(call, day_ticker_of)


def price_ticker(call: Call) -> object:
    """Answer ``GET /fapi/v2/ticker/price``, and the older one of v1."""
    return of_each(call, price_ticker_of)


def book_ticker(call: Call) -> object:
    """Answer ``GET /fapi/v1/ticker/bookTicker``."""
    return of_each(call, book_ticker_of)


def open_interest(call: Call) -> dict[str, object]:
    """Answer ``GET /fapi/v1/openInterest``."""
    symbol, market = call.text("symbol"), call.venue.market
    contract = market.quotes(symbol).contract
    return {
        "symbol": symbol,
        "openInterest": amount_text(market.open_interest(symbol), contract),
        "time": call.venue.market_ms(),
    }


def day_ticker_of(call: Call, symbol: str) -> dict[str, object]:
    """Return the 24-hour ticker of a symbol."""
    market = call.venue.market
    contract, recording = market.quotes(symbol).contract, market.recordings[symbol]
    ticker = market.ticker(symbol)
    return {
        "symbol": symbol,
        "priceChange": price_text(ticker.change, contract),
        "priceChangePercent": fixed(ticker.change_percent, _PERCENT_PLACES),
        "weightedAvgPrice": fixed(ticker.weighted_price, recording.price_places),
        "lastPrice": price_text(ticker.last, contract),
        "lastQty": amount_text(ticker.last_amount, contract),
        "openPrice": price_text(ticker.open, contract),
        "highPrice": price_text(ticker.high, contract),
        "lowPrice": price_text(ticker.low, contract),
        "volume": amount_text(ticker.volume, contract),
        "quoteVolume": fixed(ticker.quote_volume, recording.price_places),
        "openTime": ticker.open_ms,
        "closeTime": ticker.close_ms,
        "firstId": ticker.first_id,
        "lastId": ticker.last_id,
        "count": ticker.trades,
    }


def price_ticker_of(call: Call, symbol: str) -> dict[str, object]:
    """Return the last price of a symbol."""
    quotes = call.venue.market.quotes(symbol)
    return {"symbol": symbol, "price": price_text(quotes.last, quotes.contract), "time": call.venue.market_ms()}


def book_ticker_of(call: Call, symbol: str) -> dict[str, object]:
    """Return the best levels of a symbol's book."""
    market = call.venue.market
    quotes, book = market.quotes(symbol), market.book(symbol)
    bid, ask = book.bids[0] if book.bids else _NO_LEVEL, book.asks[0] if book.asks else _NO_LEVEL
    return {
        "symbol": symbol,
        "bidPrice": price_text(bid[0], quotes.contract),
        "bidQty": amount_text(bid[1], quotes.contract),
        "askPrice": price_text(ask[0], quotes.contract),
        "askQty": amount_text(ask[1], quotes.contract),
        "time": call.venue.market_ms(),
        "lastUpdateId": quotes.update_id,
    }


_SYMBOL: Final = (Parameter("symbol", Kind.SYMBOL),)
_PRICE_WEIGHT: Final = weight_of_each(1, 2)
_BOOK_WEIGHT: Final = weight_of_each(2, 5)

TICKER_ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/fapi/v1/ticker/24hr",
        answer=day_ticker,
        weight=weight_of_each(1, 40),
        parameters=_SYMBOL,
    ),
    Endpoint(method="GET", path="/fapi/v1/ticker/price", answer=price_ticker, weight=_PRICE_WEIGHT, parameters=_SYMBOL),
    Endpoint(method="GET", path="/fapi/v2/ticker/price", answer=price_ticker, weight=_PRICE_WEIGHT, parameters=_SYMBOL),
    Endpoint(
        method="GET",
        path="/fapi/v1/ticker/bookTicker",
        answer=book_ticker,
        weight=_BOOK_WEIGHT,
        parameters=_SYMBOL,
    ),
    Endpoint(
        method="GET",
        path="/fapi/v1/openInterest",
        answer=open_interest,
        parameters=(Parameter("symbol", Kind.SYMBOL, is_required=True),),
    ),
)
TICKER_METHODS: Final = (  # of the WebSocket API
    Endpoint(method="", path="ticker.price", answer=price_ticker, weight=_PRICE_WEIGHT, parameters=_SYMBOL),
    Endpoint(method="", path="ticker.book", answer=book_ticker, weight=_BOOK_WEIGHT, parameters=_SYMBOL),
)
