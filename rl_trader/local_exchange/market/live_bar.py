"""The bar that is open of a symbol that is followed: it lets the engine meet every price that is told of it.

Prices come from trades, from the mark price and from the candle that forms. Of a candle only what lies beyond the
prices that were met already has not been met: it is met in the order of the assumed path, the low before the high if
the candle does not fall (:mod:`rl_trader.local_exchange.books.walk`).

How much is traded in a bar is known at its end only. What an order's share is counted of is the volume of the bar
before, until the open one has more (an assumption).
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

from rl_trader.local_exchange.books.legs import Point
from rl_trader.local_exchange.books.money import ZERO
from rl_trader.local_exchange.market.happenings import BarClosed, BarOpened, Halted, Happening, Moved, Traded
from rl_trader.local_exchange.market.live_news import Kline, TradeNews
from rl_trader.local_exchange.market.playing import Engine


class LiveBar:
    """Plays the bars of one symbol, one after the other.

    Args:
        engine: Told what happens.
        symbol: Which.
        interval_ms: Length of a bar.
        tell: Told what has happened.
    """

    def __init__(self, engine: Engine, symbol: str, interval_ms: int, tell: Callable[[Happening], None]) -> None:
        self._engine = engine
        self._symbol = symbol
        self._interval_ms = interval_ms
        self._tell = tell
        self._quotes = engine.quotes[symbol]
        self._low = self._high = Point(ZERO, ZERO)  # of the prices that were met
        self._volume_before = self._volume = ZERO  # of the last bar, and of this one so far
        self.open_time = 0
        self.is_open = False
        self.is_halted = False

    @property
    def end_ms(self) -> int:
        """When the bar ends, or has ended: the open time of the next one."""
        return self.open_time + self._interval_ms

    def open(self, open_time: int, at: Point, now_ms: int) -> None:
        """Let a bar begin at these prices."""
        self.open_time, self.is_open = open_time, True
        self._low = self._high = at
        self._volume = ZERO
        self._engine.open_bar(self._symbol, last=at.last, mark=at.mark, volume=self._traded(), now_ms=now_ms)
        self._tell(BarOpened(self._symbol, open_time))

    def begin(self, kline: Kline, mark: Decimal, before: Decimal, now_ms: int) -> None:
        """Let the first bar be one of which some has passed already.

        Args:
            kline: What has passed of it.
            mark: Mark price now.
            before: Volume of the bar before.
            now_ms: When this is.
        """
        self._volume_before = before
        self.open(kline.open_time, Point(kline.close, mark), now_ms)
        self._low, self._high = Point(kline.low, mark), Point(kline.high, mark)
        self._note_volume(kline.volume)

    def move(self, to: Point, now_ms: int) -> None:
        """Let the prices go to a point."""
        self._low = Point(*map(min, self._low, to))
        self._high = Point(*map(max, self._high, to))
        self._engine.move(self._symbol, last=to.last, mark=to.mark, now_ms=now_ms)
        self._tell(Moved(self._symbol, now_ms))

    def trade(self, trades: Sequence[TradeNews], mark: Decimal, now_ms: int) -> None:
        """Let the price go to the extremes of what was traded, in their order, and to the last of it.

        Args:
            trades: In their order.
            mark: The mark price at the last of them; on the way there both prices go together.
            now_ms: When this is.
        """
        prices = [trade.price for trade in trades]
        last = len(prices) - 1
        for turn in sorted({prices.index(max(prices)), prices.index(min(prices)), last}):
            self._go(Point(prices[turn], mark if turn == last else self._quotes.mark), now_ms)
        self.write(trades)

    def write(self, trades: Sequence[TradeNews]) -> None:
        """Write on the tape what was traded; that alone moves no price."""
        for news in trades:
            trade = self._quotes.record_trade(news.time_ms, news.price, news.amount, is_buyer_maker=news.is_buyer_maker)
            self._tell(Traded(self._symbol, trade))

    def meet(self, kline: Kline, mark: Kline | None, now_ms: int) -> None:
        """Let the prices go to what of a candle was not met yet.

        Args:
            kline: Of the open bar, as far as it has come.
            mark: Of the mark price, if it is at hand.
            now_ms: When this is.
        """
        self._note_volume(kline.volume)
        now = self._quotes.mark
        low, high = Point(kline.low, mark.low if mark else now), Point(kline.high, mark.high if mark else now)
        for corner in (low, high) if kline.close >= kline.open else (high, low):
            self._go(self._unmet(corner), now_ms)

    def follow(self, last: Decimal, mark: Decimal, now_ms: int) -> None:
        """Let the prices go to a point, if they are not there."""
        self._go(Point(last, mark), now_ms)

    def enforce_margin(self, mark: Decimal, now_ms: int) -> None:
        """Liquidate what a settlement within the bar has left too little margin at this mark price."""
        self._engine.enforce_margin(self._symbol, mark=mark, now_ms=now_ms)

    def close(self, volume: Decimal, now_ms: int) -> None:
        """Let the bar be over."""
        self.is_open = False
        self._volume_before = volume
        self._tell(BarClosed(self._symbol, self.open_time, now_ms))

    def halt(self, now_ms: int) -> None:
        """Let nothing trade until trading is resumed."""
        self.is_halted = True
        quotes = self._quotes
        self._engine.open_bar(self._symbol, last=quotes.last, mark=quotes.mark, volume=ZERO, now_ms=now_ms)
        self._tell(Halted(self._symbol, now_ms))

    def resume(self) -> None:
        """Let trading go on."""
        self.is_halted = False
        self._quotes.volume = self._traded()
        self._quotes.update_id += 1

    def _traded(self) -> Decimal:
        return ZERO if self.is_halted else max(self._volume_before, self._volume)

    def _note_volume(self, volume: Decimal) -> None:
        self._volume = volume
        self._quotes.volume = self._traded()

    def _unmet(self, corner: Point) -> Point:
        """Return a corner as far as it was not met yet, and the present prices elsewhere."""
        present = Point(self._quotes.last, self._quotes.mark)
        sides = zip(corner, self._low, self._high, present, strict=True)
        return Point(*(there if low <= price <= high else price for price, low, high, there in sides))

    def _go(self, to: Point, now_ms: int) -> None:
        if to != (self._quotes.last, self._quotes.mark):
            self.move(to, now_ms)
