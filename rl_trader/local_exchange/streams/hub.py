"""The hub: who has subscribed to what, and what they are told.

It listens to the replay, looks at the engine and takes what waits in the accounts' outboxes. Nothing is published that
nobody has subscribed to; each event is encoded once. What an account is told comes before what the market shows of it.

The replay tells the hub by itself what it does. Everybody else who has changed anything, or let time pass, calls
:meth:`Hub.flush` afterwards; :meth:`Hub.tick` lets listen keys expire.
"""

from collections.abc import Callable, Iterable
from typing import Final

from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.market.happenings import (
    BarClosed,
    BarOpened,
    FundingSettled,
    Happening,
    Moved,
    Traded,
)
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.streams.feed_kinds import Sources, make_feed
from rl_trader.local_exchange.streams.feeds import Feed, Moment
from rl_trader.local_exchange.streams.listen_keys import ListenKeys
from rl_trader.local_exchange.streams.message import Message, Subscriber, account_message, market_message
from rl_trader.local_exchange.streams.names import Kind, parse_stream
from rl_trader.local_exchange.streams.user_messages import listen_key_expired, user_messages

EVERY_KIND: Final = frozenset(Kind)
OF_TRADES: Final = frozenset(
    {Kind.TRADE, Kind.AGG_TRADE, Kind.KLINE, Kind.CONTINUOUS_KLINE, Kind.TICKER, Kind.MINI_TICKER}
)

_KINDS_OF: Final[dict[type[Happening], frozenset[Kind]]] = {  # what each happening may change; others everything
    BarOpened: EVERY_KIND - OF_TRADES,
    Moved: EVERY_KIND - OF_TRADES,
    Traded: OF_TRADES,
    FundingSettled: frozenset(),  # the bar's open or close follows at the same instant
}


class Subscription:
    """What somebody without a connection has subscribed to.

    Args:
        streams: Where.
        names: Of streams, or listen keys.
        receive: Called with every message.
    """

    def __init__(self, streams: "Hub", names: Iterable[str], receive: Callable[[Message], None]) -> None:
        self._streams, self._names, self._receive = streams, tuple(dict.fromkeys(names)), receive
        for name in self._names:
            streams.add(name, self)

    def receive(self, message: Message) -> None:
        """Hand a message on."""
        self._receive(message)

    def close(self) -> None:
        """Subscribe to nothing any more."""
        names, self._names = self._names, ()
        for name in names:
            self._streams.remove(name, self)


class Hub:
    """Publishes.

    Args:
        exchange: Whose accounts are told what happens to them.
        market: What everybody is told of.
        seed: Of the listen keys.
    """

    def __init__(self, exchange: Exchange, market: Market, seed: str) -> None:
        self.listen_keys = ListenKeys(seed)
        self._exchange, self._market = exchange, market
        self._contracts = {symbol: quotes.contract for symbol, quotes in exchange.quotes.items()}
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._feeds: dict[str, dict[str, tuple[Kind, Feed]]] = {}  # by symbol, "" of all together, and by name
        for symbol in ("", *market.symbols):
            self._feeds[symbol] = {}
        self._bar_ends: dict[str, int] = {}  # last millisecond of the bars that are open
        market.source.listeners.append(self.listen)

    # Subscriptions

    def subscribe(self, names: Iterable[str], receive: Callable[[Message], None]) -> Subscription:
        """Let a function be told of streams, and of accounts by their listen keys, until the subscription is closed."""
        return Subscription(self, names, receive)

    def add(self, name: str, subscriber: Subscriber) -> None:
        """Let somebody be told of a stream, or of the account with a listen key; other names stay silent."""
        subscribers = self._subscribers.setdefault(name, [])
        subscribers.append(subscriber)
        stream = parse_stream(name)
        if len(subscribers) > 1 or stream is None or stream.symbol not in self._feeds:
            return
        feed = make_feed(stream, Sources(self._exchange, self._market, self._moment(stream.symbol)))
        if feed is not None:
            self._feeds[stream.symbol][name] = stream.kind, feed

    def remove(self, name: str, subscriber: Subscriber) -> None:
        """Let somebody no longer be told."""
        subscribers = self._subscribers[name]
        subscribers.remove(subscriber)
        if not subscribers:
            del self._subscribers[name]
            for feeds in self._feeds.values():
                feeds.pop(name, None)

    # What happens

    def listen(self, happening: Happening) -> None:
        """Publish what the replay has done; the hub is one of its listeners."""
        symbol = happening.symbol
        if isinstance(happening, BarOpened):
            length = self._market.recordings[symbol].interval_ms
            self._bar_ends[symbol] = happening.time_ms + length - 1
        elif isinstance(happening, BarClosed):
            self._bar_ends.pop(symbol, None)
        self.drain_user_events()
        kinds = _KINDS_OF.get(type(happening), EVERY_KIND)
        self._publish(symbol, kinds, symbol)
        self._publish("", kinds, symbol)

    def flush(self) -> None:
        """Publish what has happened since, through an order or because time has passed."""
        self.drain_user_events()
        for symbol, feeds in self._feeds.items():
            if feeds:
                self._publish(symbol, EVERY_KIND, symbol)

    def drain_user_events(self) -> None:
        """Tell accounts what waits in their outboxes; what nobody listens to is gone."""
        for name, trader in self._exchange.traders.items():
            while trader.outbox:
                event = trader.outbox.popleft()
                listen_key = self.listen_keys.key_of(name)
                if listen_key in self._subscribers:
                    for payload in user_messages(event, self._contracts):
                        self._tell(account_message(listen_key, payload))

    def tick(self, session_ms: int) -> None:
        """Let the session's time pass: listen keys expire, which is the last that is heard of them."""
        for listen_key in self.listen_keys.take_expired(session_ms):
            self._tell(account_message(listen_key, listen_key_expired(listen_key, session_ms)))

    def _publish(self, of: str, kinds: frozenset[Kind], symbol: str) -> None:
        """Publish streams of a symbol, or of all symbols, about a symbol that has gone on, or about all."""
        if not self._feeds[of]:
            return
        feeds = [(name, feed) for name, (kind, feed) in self._feeds[of].items() if kind in kinds]
        if not feeds:
            return
        moment = self._moment(symbol)
        for name, feed in feeds:
            for payload, is_superseded in feed.news(moment):
                self._tell(market_message(name, payload, is_superseded=is_superseded))

    def _tell(self, message: Message) -> None:
        for subscriber in tuple(self._subscribers.get(message.stream, ())):
            subscriber.receive(message)

    def _moment(self, symbol: str) -> Moment:
        """Return how far a symbol is; the end of a bar is not over before the replay has closed it."""
        now = max(self._market.now_ms, self._exchange.now_ms)
        played = self._market.source.played_ms(symbol) if symbol else now
        return Moment(symbol, now, played, played - (played == self._bar_ends.get(symbol)))
