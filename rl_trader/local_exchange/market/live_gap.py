"""What has happened of a symbol while nobody listened, played from a snapshot.

Bars that were missed go as a replay plays them: the funding due at the open, the open, the corners of the assumed path,
the funding due within. Of the bar that was open, and of the one that is open now, only what was not met yet is met.
Where the snapshot does not have the rate of a settlement the estimate is taken.

Times in milliseconds since 1970 UTC.
"""

from collections.abc import Callable
from typing import NamedTuple

from rl_trader.local_exchange.books.legs import Point
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.market.candles import Series
from rl_trader.local_exchange.market.live_bar import LiveBar
from rl_trader.local_exchange.market.live_funding import LiveFunding
from rl_trader.local_exchange.market.live_history import LiveHistory
from rl_trader.local_exchange.market.live_news import Kline
from rl_trader.local_exchange.market.live_questions import DERIVED, Snapshot

Reach = Callable[[int], int]
"""Lets the market's time be a moment, if that has not passed already, and returns the time."""


class LiveParts(NamedTuple):
    """What one symbol is made of."""

    quotes: Quotes
    bar: LiveBar
    funding: LiveFunding
    history: LiveHistory
    reach: Reach

    @property
    def next_ms(self) -> int:
        """Open time of the bar that is open, or else of the next one."""
        return self.bar.open_time if self.bar.is_open else self.bar.end_ms


def play_snapshot(parts: LiveParts, snapshot: Snapshot, played_ms: int) -> None:
    """Let everything happen that a snapshot tells and that has not happened yet.

    Args:
        parts: Of the symbol.
        snapshot: From the open bar on, or from the next one.
        played_ms: The last millisecond of the symbol that has happened.
    """
    for series in DERIVED:
        parts.history.put(series, snapshot.klines[series])
    parts.funding.learn(snapshot.fundings)
    marks = {mark.open_time: mark for mark in snapshot.klines[Series.MARK]}
    klines, now_ms = snapshot.klines[Series.LAST], snapshot.now.time_ms
    for number, kline in enumerate(klines):
        mark = marks.get(kline.open_time)
        if number + 1 < len(klines):
            _end(parts, kline, mark)
        elif kline.open_time >= parts.next_ms:
            _go_on(parts, kline, mark, now_ms, is_news=now_ms > played_ms)
    parts.funding.expect(snapshot.now)


def _end(parts: LiveParts, kline: Kline, mark: Kline | None) -> None:
    """Play a bar to its end; of one that is over already only the numbers are corrected."""
    if kline.open_time >= parts.next_ms:
        end_ms = kline.open_time + parts.bar.end_ms - parts.bar.open_time
        _go_on(parts, kline, mark, end_ms - 1, is_news=True)
        close(parts, kline)
    else:
        parts.history.put(Series.LAST, [kline])


def _go_on(parts: LiveParts, kline: Kline, mark: Kline | None, until_ms: int, *, is_news: bool) -> None:
    """Play a bar up to a moment."""
    bar, quotes = parts.bar, parts.quotes
    if not bar.is_open or kline.open_time > bar.open_time:
        _open(parts, kline, mark)
    now_ms = parts.reach(until_ms)
    bar.meet(kline, mark, now_ms)
    if is_news:
        bar.follow(kline.close, mark.close if mark else quotes.mark, now_ms)
    parts.history.put(Series.LAST, [kline])


def _open(parts: LiveParts, kline: Kline, mark: Kline | None) -> None:
    if parts.bar.is_open:  # the answer has a hole where it was
        parts.bar.close(parts.quotes.volume, parts.reach(parts.bar.end_ms - 1))
    now_ms = parts.reach(kline.open_time)
    settle_due(parts, kline.open_time)
    parts.bar.open(kline.open_time, Point(kline.open, mark.open if mark else parts.quotes.mark), now_ms)


def settle_due(parts: LiveParts, until_ms: int) -> None:
    """Settle all funding that is due up to a moment, at the estimate where the rate is not known."""
    while parts.funding.due_ms is not None and parts.funding.due_ms <= until_ms:
        if not parts.funding.is_known:
            parts.funding.estimate()
        parts.funding.settle(parts.reach(parts.funding.due_ms))


def settle_within(parts: LiveParts) -> None:
    """Settle funding that is due within the open bar, and liquidate what that leaves too little margin."""
    now_ms = parts.reach(0)
    settlement = parts.funding.settle(now_ms)
    parts.bar.enforce_margin(settlement.mark_price, now_ms)


def close(parts: LiveParts, kline: Kline) -> None:
    """Let the open bar be over, of which this is the candle, with the funding that is due in it."""
    bar, quotes, funding = parts.bar, parts.quotes, parts.funding
    now_ms = parts.reach(bar.end_ms - 1)
    bar.meet(kline, None, now_ms)
    bar.follow(kline.close, quotes.mark, now_ms)
    parts.history.put(Series.LAST, [kline])
    if funding.due_ms is not None and funding.due_ms < bar.end_ms:
        if not funding.is_known:
            funding.estimate()
        settle_within(parts)
    bar.close(kline.volume, now_ms)
