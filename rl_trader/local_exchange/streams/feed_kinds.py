"""Which feed tells of which stream."""

from collections.abc import Callable
from typing import Final, NamedTuple

from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.streams.candle_feeds import KlineFeed, TickerFeed
from rl_trader.local_exchange.streams.feeds import (
    AggTradeFeed,
    BookTickerFeed,
    DepthFeed,
    Feed,
    ForceOrderFeed,
    MarkPriceFeed,
    Moment,
    PartialDepthFeed,
    Together,
    TradeFeed,
)
from rl_trader.local_exchange.streams.market_messages import (
    any_force_order_message,
    continuous_kline_message,
    force_order_message,
    kline_message,
    mini_ticker_message,
    ticker_message,
)
from rl_trader.local_exchange.streams.names import Kind, Stream


class Sources(NamedTuple):
    """What feeds are made of."""

    exchange: Exchange
    market: Market
    moment: Moment  # from when on


Maker = Callable[[Stream, Sources], Feed]

_OF_ONE_SYMBOL: Final[dict[Kind, Maker]] = {
    Kind.TRADE: lambda stream, of: TradeFeed(of.market.quotes(stream.symbol)),
    Kind.AGG_TRADE: lambda stream, of: AggTradeFeed(of.market.quotes(stream.symbol), stream.rate_ms),
    Kind.MARK_PRICE: lambda stream, of: MarkPriceFeed(of.market, [stream.symbol], stream.rate_ms),
    Kind.BOOK_TICKER: lambda stream, of: BookTickerFeed(of.market, [stream.symbol], stream.rate_ms),
    Kind.DEPTH: lambda stream, of: DepthFeed(of.market, stream.symbol, stream.rate_ms),
    Kind.PARTIAL_DEPTH: lambda stream, of: PartialDepthFeed(of.market, stream.symbol, stream.levels, stream.rate_ms),
    Kind.FORCE_ORDER: lambda stream, of: ForceOrderFeed(
        of.exchange, [stream.symbol], stream.rate_ms, force_order_message
    ),
    Kind.TICKER: lambda stream, of: TickerFeed(of.market, [stream.symbol], stream.rate_ms, ticker_message),
    Kind.MINI_TICKER: lambda stream, of: TickerFeed(of.market, [stream.symbol], stream.rate_ms, mini_ticker_message),
    Kind.KLINE: lambda stream, of: KlineFeed(of.market, stream, kline_message, of.moment),
    Kind.CONTINUOUS_KLINE: lambda stream, of: KlineFeed(of.market, stream, continuous_kline_message, of.moment),
}
_OF_ALL_SYMBOLS: Final[dict[Kind, Maker]] = {
    Kind.MARK_PRICE: lambda stream, of: Together(MarkPriceFeed(of.market, of.market.symbols, stream.rate_ms)),
    Kind.BOOK_TICKER: lambda stream, of: BookTickerFeed(of.market, of.market.symbols, stream.rate_ms),
    Kind.FORCE_ORDER: lambda stream, of: ForceOrderFeed(
        of.exchange, of.market.symbols, stream.rate_ms, any_force_order_message
    ),
    Kind.TICKER: lambda stream, of: Together(TickerFeed(of.market, of.market.symbols, stream.rate_ms, ticker_message)),
    Kind.MINI_TICKER: lambda stream, of: Together(
        TickerFeed(of.market, of.market.symbols, stream.rate_ms, mini_ticker_message)
    ),
}


def make_feed(stream: Stream, sources: Sources) -> Feed | None:
    """Return the feed of a stream, or None of one that never has an event.

    Contracts do not change in a replay, so that ``!contractInfo`` stays silent.
    """
    maker = (_OF_ONE_SYMBOL if stream.symbol else _OF_ALL_SYMBOLS).get(stream.kind)
    return maker(stream, sources) if maker else None
