"""The market as everybody sees it: its present and what has happened before it, for all symbols.

Times in milliseconds since 1970 UTC.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.quotes import PublicTrade, Quotes
from rl_trader.local_exchange.market.candles import Candles, Series
from rl_trader.local_exchange.market.history import Window
from rl_trader.local_exchange.market.recording import Recording, decimal
from rl_trader.local_exchange.market.source import Past, Source

Level = tuple[Decimal, Decimal]  # price and amount


class Book(NamedTuple):
    """What can be traded with, the best price first."""

    bids: list[Level]
    asks: list[Level]


class Ticker(NamedTuple):
    """What a symbol did in 24 hours."""

    open_ms: int
    close_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    last_amount: Decimal  # of the newest trade
    volume: Decimal
    quote_volume: Decimal
    trades: int
    first_id: int
    last_id: int

    @property
    @exact
    def change(self) -> Decimal:
        """How far the price has gone, USDT."""
        return self.last - self.open

    @property
    @exact
    def change_percent(self) -> Decimal:
        """How far, in percent of where it was."""
        return 100 * self.change / self.open if self.open else ZERO

    @property
    @exact
    def weighted_price(self) -> Decimal:
        """Mean price of what was traded; the last price if nothing was."""
        return self.quote_volume / self.volume if self.volume else self.last


class Market:
    """All symbols.

    Args:
        exchange: The engine that the source plays to.
        recordings: Of the symbols, at least of their past.
        source: Moves them.
        unlisted_filters: Types of filters that ``exchangeInfo`` leaves out; some clients know only those of their time.
    """

    def __init__(
        self,
        exchange: Exchange,
        recordings: Sequence[Recording],
        source: Source,
        *,
        unlisted_filters: Iterable[str] = (),
    ) -> None:
        self.recordings = {recording.symbol: recording for recording in recordings}
        self.source = source
        self.unlisted_filters = frozenset(unlisted_filters)
        self._exchange = exchange
        self._pasts: dict[str, Past] = {symbol: source.past(symbol) for symbol in self.recordings}

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols, in the order of the recordings."""
        return tuple(self.recordings)

    @property
    def now_ms(self) -> int:
        """How far the market has come."""
        return self.source.now_ms

    def quotes(self, symbol: str) -> Quotes:
        """Return the prices of a symbol."""
        return self._exchange.quotes[symbol]

    def klines(self, symbol: str, series: Series, interval: str, window: Window) -> Candles:
        """Return candles of one of the exchange's intervals up to now, the forming one included."""
        return self._pasts[symbol].klines(series, interval, window, self.source.played_ms(symbol))

    def fundings(self, symbol: str, window: Window) -> list[Settlement]:
        """Return the funding that has been settled."""
        return self._pasts[symbol].fundings(window, self.source.played_ms(symbol))

    def trades(self, symbol: str) -> list[PublicTrade]:
        """Return the trades that are remembered, the oldest first."""
        return list(self.quotes(symbol).tape)

    def book(self, symbol: str) -> Book:
        """Return the book: the level at which the replay fills, and what rests of the accounts.

        The level is as deep as the largest order. There is none where nothing trades.
        """
        bids, asks = self._exchange.resting_levels(symbol)
        quotes = self.quotes(symbol)
        if not quotes.is_trading:
            return Book(bids, asks)
        depth = quotes.contract.limit_max_quantity if quotes.available is None else quotes.available
        if not depth:
            return Book(bids, asks)
        best_bid = max([quotes.bid, *(price for price, _ in bids)])
        ask = max(quotes.ask, best_bid + quotes.contract.tick_size)  # without a spread it gives way
        return Book(sorted(_with_level(bids, quotes.bid, depth), reverse=True), sorted(_with_level(asks, ask, depth)))

    @exact
    def open_interest(self, symbol: str) -> Decimal:
        """Return the amount of all open contracts: each has a long and a short side, the venue's own included."""
        traders = [trader for trader in self._exchange.traders.values() if symbol in trader.books.positions]
        amounts = [trader.position(slot).amount for trader in traders for slot in trader.slots(symbol)]
        long = sum((amount for amount in amounts if amount > 0), ZERO)
        short = -sum((amount for amount in amounts if amount < 0), ZERO)
        return max(long, short)

    @exact
    def ticker(self, symbol: str) -> Ticker:
        """Return what a symbol did in the last 24 hours, counted from a full minute."""
        quotes, recording = self.quotes(symbol), self.recordings[symbol]
        since, day = self._pasts[symbol].day(self.source.played_ms(symbol), self.now_ms)
        newest = quotes.tape[-1] if quotes.tape else None
        last_id = newest.trade_id if newest else 0
        trades = int(day.trades.sum())
        opened, high, low, closed = (decimal(column[0]) if len(column) else quotes.last for column in day[1:5])
        return Ticker(
            open_ms=since,
            close_ms=self.now_ms,
            open=opened,
            high=high,
            low=low,
            last=quotes.last or closed,
            last_amount=newest.amount if newest else ZERO,
            volume=Decimal(int(day.volume.sum())).scaleb(-recording.amount_places),
            quote_volume=Decimal(int(day.quote_volume.sum())).scaleb(-recording.quote_places),
            trades=trades,
            first_id=max(last_id - trades + 1, min(last_id, 1)),
            last_id=last_id,
        )


@exact
def _with_level(levels: list[Level], price: Decimal, amount: Decimal) -> list[Level]:
    """Return levels with one more, which is put together with the one of its price."""
    depth = dict(levels)
    depth[price] = depth.get(price, ZERO) + amount
    return list(depth.items())
