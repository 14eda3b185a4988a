"""Feeds: each watches what one stream is about, and says what is new whenever it is asked.

Source of the rates: the API documentation of USD-M futures, "Websocket Market Streams" (read in autumn 2026), in the
market's time. A rate divides time into slots with at most one event each; where time jumps farther than that, every
jump has an event.

A feed knows nothing of subscribers. It begins with what is there when it is made, and tells what comes after.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.engine.quotes import PublicTrade, Quotes
from rl_trader.local_exchange.market.market import Book, Market
from rl_trader.local_exchange.streams.books import BookWatch
from rl_trader.local_exchange.streams.market_messages import (
    Payload,
    agg_trade_message,
    book_ticker_message,
    depth_message,
    mark_price_message,
    trade_message,
)

ForceOrderMessage = Callable[[Order, ContractTerms, int], Payload]


class Moment(NamedTuple):
    """How far the market is."""

    symbol: str  # that has gone on; empty where all may have
    now_ms: int
    played_ms: int  # the last millisecond of the symbol that has happened
    over_ms: int  # the last one with everything that belongs to it, such as a bar's funding at its end


class News(NamedTuple):
    """An event of a stream."""

    payload: object  # an object, or a list of objects
    is_superseded: bool = False  # by the next event of the stream


class Feed(Protocol):
    """What one stream is about."""

    def news(self, moment: Moment) -> Iterable[News]:
        """Return what is new since it was asked before."""
        ...


class Pace:
    """Slots of time with one event of each symbol.

    Args:
        rate_ms: Length of a slot; 0 lets everything through.
    """

    def __init__(self, rate_ms: int) -> None:
        self._rate_ms = rate_ms
        self._slots: dict[str, int] = {}  # of the last event of each symbol

    def allows(self, symbol: str, now_ms: int) -> bool:
        """Return whether this slot has had no event of a symbol yet."""
        return not self._rate_ms or now_ms // self._rate_ms > self._slots.get(symbol, -1)

    def note(self, symbol: str, now_ms: int) -> None:
        """Let this slot have had its event of a symbol."""
        if self._rate_ms:
            self._slots[symbol] = now_ms // self._rate_ms

    def due(self, symbols: Iterable[str], moment: Moment) -> list[str]:
        """Return the symbols that have gone on and have had no event in this slot."""
        return [s for s in symbols if moment.symbol in ("", s) and self.allows(s, moment.now_ms)]


class TradeFeed:
    """Every public trade of a symbol."""

    def __init__(self, quotes: Quotes) -> None:
        self._quotes = quotes
        self._last_id = quotes.tape[-1].trade_id if quotes.tape else 0

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the trades since."""
        for trade in self.new_trades():
            yield News(trade_message(trade, self._quotes.contract))

    def new_trades(self) -> list[PublicTrade]:
        """Return the trades since, the oldest first."""
        trades = []
        for trade in reversed(self._quotes.tape):
            if trade.trade_id <= self._last_id:
                break
            trades.append(trade)
        if trades:
            self._last_id = trades[0].trade_id
        return trades[::-1]


class AggTradeFeed:
    """Every public trade of a symbol, in bundles."""

    def __init__(self, quotes: Quotes, rate_ms: int) -> None:
        self._quotes = quotes
        self._trades = TradeFeed(quotes)
        self._pace = Pace(rate_ms)

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the trades since, if a bundle is due."""
        symbol, now_ms = self._quotes.symbol, moment.now_ms
        if not self._pace.allows(symbol, now_ms):
            return
        for trade in self._trades.new_trades():
            self._pace.note(symbol, now_ms)
            yield News(agg_trade_message(trade, self._quotes.contract, now_ms))


class MarkPriceFeed:
    """The mark price of symbols, at every slot."""

    def __init__(self, market: Market, symbols: Sequence[str], rate_ms: int) -> None:
        self._market, self._symbols = market, symbols
        self._pace = Pace(rate_ms)

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the mark prices that are due, once there are any."""
        for symbol in self._pace.due(self._symbols, moment):
            quotes = self._market.quotes(symbol)
            if quotes.mark > 0:
                self._pace.note(symbol, moment.now_ms)
                yield News(mark_price_message(quotes, moment.now_ms), is_superseded=True)


class BookTickerFeed:
    """The best bid and ask of symbols, whenever they have changed."""

    def __init__(self, market: Market, symbols: Sequence[str], rate_ms: int) -> None:
        self._market, self._symbols = market, symbols
        self._pace = Pace(rate_ms)
        self._seen = {symbol: (market.quotes(symbol).update_id, _best(market.book(symbol))) for symbol in symbols}

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the symbols whose best levels are others than before."""
        for symbol in self._pace.due(self._symbols, moment):
            quotes, (seen_id, seen) = self._market.quotes(symbol), self._seen[symbol]
            if quotes.update_id == seen_id:
                continue
            book = self._market.book(symbol)
            self._seen[symbol] = quotes.update_id, _best(book)
            if _best(book) != seen:
                self._pace.note(symbol, moment.now_ms)
                yield News(book_ticker_message(book, quotes, moment.now_ms), is_superseded=len(self._symbols) == 1)


class Together:
    """A feed of several symbols whose events of one moment come in one list.

    Args:
        feed: Of the symbols.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the list, if there is anything in it."""
        payloads = [news.payload for news in self._feed.news(moment)]
        if payloads:
            yield News(payloads)


class DepthFeed:
    """What has changed in a book."""

    def __init__(self, market: Market, symbol: str, rate_ms: int) -> None:
        self._contract = market.quotes(symbol).contract
        self._watch = BookWatch(market, symbol)
        self._pace = Pace(rate_ms)

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the changes, if there are any and they are due."""
        symbol = self._contract.symbol
        if self._pace.allows(symbol, moment.now_ms) and (changes := self._watch.differences()):
            self._pace.note(symbol, moment.now_ms)
            yield News(depth_message(changes, self._contract, moment.now_ms))


class PartialDepthFeed:
    """The best levels of a book, whenever one has changed."""

    def __init__(self, market: Market, symbol: str, levels: int, rate_ms: int) -> None:
        self._contract = market.quotes(symbol).contract
        self._watch = BookWatch(market, symbol, levels)
        self._pace = Pace(rate_ms)

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the levels, if they have changed and are due."""
        symbol = self._contract.symbol
        if self._pace.allows(symbol, moment.now_ms) and (changes := self._watch.whole()):
            self._pace.note(symbol, moment.now_ms)
            yield News(depth_message(changes, self._contract, moment.now_ms), is_superseded=True)


class ForceOrderFeed:
    """The latest liquidation of each symbol in every slot."""

    def __init__(self, exchange: Exchange, symbols: Sequence[str], rate_ms: int, message: ForceOrderMessage) -> None:
        self._exchange, self._symbols = exchange, symbols
        self._pace = Pace(rate_ms)
        self._message = message
        self._told = {symbol: self._latest(symbol) for symbol in symbols}

    def news(self, moment: Moment) -> Iterator[News]:
        """Yield the latest liquidations, if there were any since and they are due."""
        for symbol in self._pace.due(self._symbols, moment):
            order = self._latest(symbol)
            if order is not None and order is not self._told[symbol]:
                self._told[symbol] = order
                self._pace.note(symbol, moment.now_ms)
                yield News(self._message(order, self._exchange.quotes[symbol].contract, moment.now_ms))

    def _latest(self, symbol: str) -> Order | None:
        """Return the latest liquidation of a symbol."""
        return next((order for order in reversed(self._exchange.state.force_orders) if order.symbol == symbol), None)


def _best(book: Book) -> Book:
    return Book(book.bids[:1], book.asks[:1])
