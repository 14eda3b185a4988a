"""One symbol that is followed: what is told of it, what is missing, and how old it is.

What is told happens in an order of its own (:mod:`rl_trader.local_exchange.market.live_order`). What is missing is
named by :meth:`LiveSymbol.needs`, and somebody has to ask for it. Prices that are too old halt the symbol: nothing is
traded at them. After a lost connection everything that has happened meanwhile is played from a snapshot, along the
assumed path of its bars, so that stops and liquidations of that time happen.

Times in milliseconds since 1970 UTC; the clock is the machine's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple

from rl_trader.errors import DataError
from rl_trader.klines import utc
from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.books.money import ZERO
from rl_trader.local_exchange.market.candles import Series
from rl_trader.local_exchange.market.happenings import Happening
from rl_trader.local_exchange.market.live_bar import LiveBar
from rl_trader.local_exchange.market.live_freshness import Freshness, Lasting
from rl_trader.local_exchange.market.live_funding import LiveFunding
from rl_trader.local_exchange.market.live_gap import LiveParts, Reach, play_snapshot
from rl_trader.local_exchange.market.live_history import LiveHistory
from rl_trader.local_exchange.market.live_news import BookNews, Kline, KlineNews, News
from rl_trader.local_exchange.market.live_order import LiveOrder
from rl_trader.local_exchange.market.live_questions import Snapshot
from rl_trader.local_exchange.market.live_terms import Beginning
from rl_trader.local_exchange.market.playing import Engine

RATE_PATIENCE_MS: Final = 5_000  # that a settled rate is waited for
CLOSE_PATIENCE_MS: Final = 3_000  # that a bar's last candle is waited for
DOUBT_MS: Final = 15_000  # that the last price may lie outside the followed exchange's book


class Missing(Enum):
    """What has to be asked for."""

    SNAPSHOT = "everything from a bar on"
    RATE = "the rate of a settlement"
    DERIVED = "candles of mark price, index price and premium from a bar on"


class Need(NamedTuple):
    """What is missing of a symbol."""

    missing: Missing
    symbol: str
    since_ms: int


class LiveSymbol:
    """Follows one symbol.

    Args:
        engine: Told what happens.
        beginning: From where on.
        stale_after_ms: Age of prices at which nothing is traded any more.
        tell: Told what has happened.
        reach: The market's time.
    """

    def __init__(
        self,
        engine: Engine,
        beginning: Beginning,
        stale_after_ms: int,
        tell: Callable[[Happening], None],
        reach: Reach,
    ) -> None:
        recording = beginning.recording
        self._beginning, self._symbol, self._interval = beginning, recording.symbol, recording.interval
        self._quotes = engine.quotes[recording.symbol]
        self.history = LiveHistory(recording)
        self._bar = LiveBar(engine, recording.symbol, recording.interval_ms, tell)
        self._funding = LiveFunding(engine, recording.symbol, self.history, tell)
        self._parts = LiveParts(self._quotes, self._bar, self._funding, self.history, reach)
        self._order = LiveOrder(self._parts, recording.interval)
        self._freshness = Freshness(beginning.snapshot.now.time_ms, stale_after_ms)
        self._book = BookNews(recording.symbol, 0, ZERO, ZERO)
        self._held, self._owed, self._doubted = Lasting(), Lasting(), Lasting()

    @property
    def played_ms(self) -> int:
        """The last millisecond that has happened."""
        return self._order.played_ms

    @property
    def is_halted(self) -> bool:
        """Whether nothing is traded because the prices are too old."""
        return self._bar.is_halted

    def begin(self) -> None:
        """Let the bar open in which following begins, at its latest prices."""
        snapshot = self._beginning.snapshot
        for series in Series:
            self.history.put(series, snapshot.klines[series])
        self._funding.begin(snapshot.fundings, snapshot.now.time_ms)
        self._funding.expect(snapshot.now)
        *before, forming = snapshot.klines[Series.LAST]
        volume = before[-1].volume if before else ZERO
        self._bar.begin(forming, snapshot.now.mark, volume, self._parts.reach(snapshot.now.time_ms))
        self._order.cover(snapshot.now.time_ms)
        self._order.awaits_snapshot = True

    def receive(self, news: News) -> None:
        """Take what a stream tells; it happens when all before it is known."""
        if isinstance(news, BookNews):
            self._book = news
            return
        if not isinstance(news, KlineNews) or news.interval == self._interval:
            self._order.add(news)

    def lose(self) -> None:
        """Know that news may have been lost: nothing happens until a snapshot is there."""
        self._order.awaits_snapshot = True

    def catch_up(self, snapshot: Snapshot, clock_ms: int) -> None:
        """Take a snapshot, and let happen what it tells of the time that was missed.

        Raises:
            DataError: If it is of the time before the open bar, as an answer that was kept somewhere may be.
        """
        if snapshot.now.time_ms < self._bar.open_time:
            raise DataError(
                f"a snapshot of {self._symbol} must not be older than the bar of {utc(self._bar.open_time)} and is of "
                f"{utc(snapshot.now.time_ms)}; another one is asked for"
            )
        self._freshness.note_answer(snapshot.now.time_ms, clock_ms)
        self._resume_if_fresh(clock_ms)
        play_snapshot(self._parts, snapshot, self._order.played_ms)
        self._order.cover(snapshot.now.time_ms)
        self._held, self._owed, self._doubted = Lasting(), Lasting(), Lasting()

    def learn_rates(self, settlements: Iterable[Settlement]) -> None:
        """Take rates that were settled."""
        self._funding.learn(settlements)

    def amend(self, klines: Mapping[Series, list[Kline]]) -> None:
        """Take candles in the place of those that were made of samples."""
        for series, candles in klines.items():
            self.history.put(series, [candle for candle in candles if candle.open_time <= self._bar.open_time])
        self._order.sampled_since_ms = None

    def advance(self, clock_ms: int) -> None:
        """Let everything happen that is known; what was waited for too long is estimated, and prices grow old."""
        self._play(clock_ms)
        if self._owed.is_longer(RATE_PATIENCE_MS, clock_ms):
            self._funding.estimate()
            self._play(clock_ms)
        self._resume_if_fresh(clock_ms)
        if not self._bar.is_halted and self._freshness.is_stale(clock_ms):
            self._bar.halt(self._parts.reach(0))

    def needs(self, clock_ms: int) -> Iterator[Need]:
        """Yield what has to be asked for."""
        is_late = self._held.is_longer(CLOSE_PATIENCE_MS, clock_ms) or self._doubted.is_longer(DOUBT_MS, clock_ms)
        if self._order.awaits_snapshot or is_late:
            yield Need(Missing.SNAPSHOT, self._symbol, self._parts.next_ms)
            return
        if self._order.owed_ms is not None:
            yield Need(Missing.RATE, self._symbol, self._order.owed_ms)
        if self._order.sampled_since_ms is not None:
            yield Need(Missing.DERIVED, self._symbol, self._order.sampled_since_ms)

    def _resume_if_fresh(self, clock_ms: int) -> None:
        if self._bar.is_halted and not self._freshness.is_stale(clock_ms):
            self._bar.resume()

    def _play(self, clock_ms: int) -> None:
        before_ms = self._order.marked_ms
        self._order.play()
        if self._order.marked_ms > before_ms:
            self._freshness.note(self._order.marked_ms, clock_ms)
        is_live = not self._order.awaits_snapshot
        self._held.note(is_live and self._order.is_held, clock_ms)
        self._owed.note(is_live and self._order.owed_ms is not None, clock_ms)
        self._doubted.note(is_live and not self._is_in_book(), clock_ms)

    def _is_in_book(self) -> bool:
        """Return whether the last price lies in the followed exchange's spread; elsewhere trades may be missing."""
        bid, ask = self._book.bid, self._book.ask
        return not (bid > 0 and ask > 0) or bid <= self._quotes.last <= ask
