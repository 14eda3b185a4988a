"""The order in which what is told of a symbol happens.

Streams of trades, mark prices and candles overtake each other. What is told waits, in the order of arrival, until all
before it is known:

- nothing of the next bar happens before the candle that ends the open bar has come;
- nothing after a settlement happens before its rate is known, and a bar at whose end funding is due is not over before.
  So the funding is settled on what was held then;
- a bar opens with its first trade or candle; where only the mark price is told, with the last price after a while;
- after a lost connection nothing happens before a snapshot is there; what then comes of the time before it is known.

Trades and a mark price of the same millisecond, one told right after the other, happen together: both prices go there
in one straight line.

A trade that comes too late moves no price, since the candles have told of it. It is written on the tape.

Times in milliseconds since 1970 UTC.
"""

from collections import deque
from decimal import Decimal
from typing import Final

from rl_trader.local_exchange.books.legs import Point
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.market.candles import Series
from rl_trader.local_exchange.market.live_gap import LiveParts, close, settle_within
from rl_trader.local_exchange.market.live_history import open_time_of
from rl_trader.local_exchange.market.live_news import Kline, KlineNews, MarkNews, TradeNews
from rl_trader.local_exchange.wire import MONEY_PLACES

OPEN_PATIENCE_MS: Final = 2_000  # of the market, that a bar's first price is waited for
MOST_WAITING: Final = 100_000  # news; of a longer wait the snapshot tells that ends it

PriceNews = TradeNews | MarkNews | KlineNews


class LiveOrder:
    """Lets news wait, and happen.

    Args:
        parts: Of the symbol.
        interval: Of the bars.
    """

    def __init__(self, parts: LiveParts, interval: str) -> None:
        self._parts = parts
        self._interval = interval
        self._bar, self._funding, self._quotes = parts.bar, parts.funding, parts.quotes
        self._waiting: deque[PriceNews] = deque(maxlen=MOST_WAITING)
        self._final: Kline | None = None  # the open bar's last candle, when it has come
        self._covered_ms = self._played_ms = 0  # up to here all is known; the last thing that happened
        self._last_id = -1  # of the trades whose prices were met
        self.marked_ms = 0  # time of the newest mark price that has happened
        self.awaits_snapshot = True
        self.sampled_since_ms: int | None = None  # first bar that is over and has candles made of samples

    @property
    def played_ms(self) -> int:
        """The last millisecond that has happened."""
        last_ms = self._bar.end_ms - 1
        return min(max(self._played_ms, self._bar.open_time), last_ms) if self._bar.is_open else last_ms

    @property
    def is_held(self) -> bool:
        """Whether something waits for the last candle of the open bar."""
        if not self._waiting or not self._bar.is_open or self._final is not None:
            return False
        return self._moment(self._waiting[0]) >= self._bar.end_ms

    @property
    def owed_ms(self) -> int | None:
        """The settlement whose rate is waited for; None if there is none."""
        due_ms = self._funding.due_ms
        if due_ms is None or self._funding.is_known:
            return None
        has_come = bool(self._waiting) and self._moment(self._waiting[0]) >= due_ms
        is_over = self._final is not None and due_ms <= self._bar.end_ms
        return due_ms if has_come or is_over else None

    def add(self, news: PriceNews) -> None:
        """Let something wait that was told."""
        self._waiting.append(news)

    def cover(self, until_ms: int) -> None:
        """Know that everything up to a moment has been played."""
        self._covered_ms = max(self._covered_ms, until_ms)
        self._played_ms = max(self._played_ms, self._covered_ms)
        self._final = None
        self.awaits_snapshot = False
        self.sampled_since_ms = None

    def play(self) -> None:
        """Let everything happen that may."""
        while not self.awaits_snapshot and self._step():
            pass

    def _step(self) -> bool:
        """Let the next thing happen; return whether there was one that may."""
        news = self._waiting[0] if self._waiting else None
        if news is not None and self._is_known(news):
            self._waiting.popleft()
            self._write(news)
            return True
        if not self._bar.is_open:
            return self._open()
        if news is not None and self._moment(news) < self._bar.end_ms:
            return self._play_in_bar(news)
        return self._close()

    def _is_known(self, news: PriceNews) -> bool:
        """Return whether something is of the time before what has happened."""
        if isinstance(news, KlineNews):
            is_over = news.kline.open_time < self._parts.next_ms
            return is_over or (news.time_ms <= self._covered_ms and not news.is_closed)
        return news.time_ms <= self._covered_ms or news.time_ms < self._parts.next_ms

    def _write(self, news: PriceNews) -> None:
        if isinstance(news, TradeNews):
            self._bar.write([news])

    def _moment(self, news: PriceNews) -> int:
        """Return when something has happened: of a candle, in its bar."""
        if not isinstance(news, KlineNews):
            return news.time_ms
        opens = news.kline.open_time
        last_ms = opens + self._bar.end_ms - self._bar.open_time - 1
        return last_ms if news.is_closed else min(max(news.time_ms, opens), last_ms)

    # Within the open bar

    def _play_in_bar(self, news: PriceNews) -> bool:
        moment, due_ms = self._moment(news), self._funding.due_ms
        if due_ms is not None and moment >= due_ms:
            if not self._funding.is_known:
                return False
            settle_within(self._parts)
            return True
        now_ms = self._parts.reach(moment)
        self._played_ms = max(self._played_ms, moment)
        match news:
            case TradeNews():
                self._play_trades(now_ms)
            case MarkNews():
                self._waiting.popleft()
                self._play_mark(news, now_ms)
            case KlineNews():
                self._waiting.popleft()
                self._play_kline(news, now_ms)
        return True

    def _play_mark(self, news: MarkNews, now_ms: int) -> None:
        """Play a mark price; what was traded in the same millisecond happens together with it."""
        self._know(news)
        head = self._waiting[0] if self._waiting else None
        trades = self._take_trades(news.time_ms + 1) if head is not None and self._moment(head) == news.time_ms else []
        if trades:
            self._bar.trade(trades, news.mark, now_ms)
        else:
            self._bar.move(Point(self._quotes.last, news.mark), now_ms)
        self._sample()

    def _play_trades(self, now_ms: int) -> None:
        """Play the trades that wait together, so far as they are of the open bar and before the next settlement."""
        trades = self._take_trades(min(self._bar.end_ms, self._funding.due_ms or self._bar.end_ms))
        self._played_ms = max(self._played_ms, *(trade.time_ms for trade in trades))
        now_ms = max(now_ms, self._parts.reach(self._played_ms))
        news = self._waiting[0] if self._waiting else None
        if isinstance(news, MarkNews) and news.time_ms == trades[-1].time_ms:
            self._waiting.popleft()
            self._know(news)
            self._bar.trade(trades, news.mark, now_ms)
            self._sample()
        else:
            self._bar.trade(trades, self._quotes.mark, now_ms)

    def _take_trades(self, until_ms: int) -> list[TradeNews]:
        """Return the trades before a time that wait together, which do not wait any more."""
        trades: list[TradeNews] = []
        while self._waiting and isinstance(news := self._waiting[0], TradeNews):
            if self._is_known(news) or news.time_ms >= until_ms:
                break
            trades.append(news)
            self._waiting.popleft()
        self._last_id = max([self._last_id, *(trade.last_id for trade in trades)])
        return trades

    def _play_kline(self, news: KlineNews, now_ms: int) -> None:
        if news.is_closed:
            self._final = news.kline
            return
        self._bar.meet(news.kline, None, now_ms)
        if news.last_id > self._last_id:
            self._last_id = news.last_id
            self._bar.follow(news.kline.close, self._quotes.mark, now_ms)
        self._parts.history.put(Series.LAST, [news.kline])

    def _know(self, news: MarkNews) -> None:
        self._funding.expect(news)
        self.marked_ms = max(self.marked_ms, news.time_ms)

    @exact
    def _sample(self) -> None:
        """Let the candles that no stream has know their present value."""
        mark, index = self._quotes.mark, self._quotes.index
        samples = {Series.MARK: mark}
        if index > 0:
            samples |= {Series.INDEX: index, Series.PREMIUM: round(self._quotes.last / index - 1, MONEY_PLACES)}
        self._parts.history.sample(self._bar.open_time, samples)

    # From bar to bar

    def _close(self) -> bool:
        """Let the open bar be over, if its last candle has come and the funding is known that is due until its end."""
        if self._final is None:
            self._final = self._last_candle()
        due_ms, end_ms = self._funding.due_ms, self._bar.end_ms
        is_due = due_ms is not None and due_ms <= end_ms
        if self._final is None or (is_due and not self._funding.is_known):
            return False
        close(self._parts, self._final)
        self._final = None
        if self._funding.due_ms == end_ms:
            self._funding.settle(self._parts.reach(end_ms))
        if self.sampled_since_ms is None:
            self.sampled_since_ms = self._bar.open_time
        return True

    def _last_candle(self) -> Kline | None:
        """Return the last candle of the open bar, which may have come behind news of the next one."""
        for news in self._waiting:
            if isinstance(news, KlineNews) and news.is_closed and news.kline.open_time == self._bar.open_time:
                return news.kline
        return None

    def _open(self) -> bool:
        """Let the next bar open, if its first price has come."""
        opens = self._bar.end_ms
        position = next((at for at, news in enumerate(self._waiting) if self._opens_bar(news, opens)), None)
        if position is None:
            return False
        first = self._waiting[position]
        if open_time_of(self._interval, self._moment(first)) > opens:  # a whole bar was missed
            self.awaits_snapshot = True
            return False
        early = [self._waiting.popleft() for _ in range(position)]
        marks = [news for news in early if isinstance(news, MarkNews)]
        for news in early:
            self._write(news)
        for news in marks:
            self._know(news)
        price = self._price(first)
        at = Point(price, marks[-1].mark if marks else self._quotes.mark)
        self._parts.history.put(Series.LAST, [Kline(opens, price, price, price, price, ZERO, ZERO, 0, ZERO, ZERO)])
        self._bar.open(opens, at, self._parts.reach(opens))
        self._sample()
        return True

    def _price(self, first: PriceNews) -> Decimal:
        """Return what a bar opens at that opens with this."""
        match first:
            case TradeNews():
                return first.price
            case KlineNews():
                return first.kline.open
            case MarkNews():
                return self._quotes.last

    def _opens_bar(self, news: PriceNews, opens: int) -> bool:
        if isinstance(news, MarkNews):
            return news.time_ms >= opens + OPEN_PATIENCE_MS
        return not self._is_known(news)
