"""Decides what of a market is known, what is asked for, and what is told to the trader: without a socket or a clock.

Frames of the streams and answers of REST come in, each with the local time in milliseconds on a clock that goes on
evenly. Out come events, and with :meth:`MarketFeed.wants` the calls that are to be made.

The exchange's time is told by its own stamps alone. What lies before the newest stamp is over there for certain,
whatever clocks are off by, so that only bars are asked for that cannot change any more. Between stamps the local clock
goes on.

A bar is decided upon once, if its whole window is there before it is late, or else never: for every bar there is one
:class:`BarReady` or one :class:`BarLate`, in their order, from the bar on that is open when following begins.

Streams are subscribed to first, then REST tells what happened before. What the streams tell meanwhile need not wait for
it: bars are known by their open times. The mark price has no candles on the streams: they are asked for when a bar is
over. Every bar is asked for again some time after its end, to be held against what was decided upon.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from rl_trader.bars import MS_PER_HOUR
from rl_trader.download.archive import Series
from rl_trader.klines import interval_ms
from rl_trader.live.streams.bar_series import BarSeries, Hole, Outcome, Verdict
from rl_trader.live.streams.funding_interval import FUNDING_INFO, is_settled_by, terms_told
from rl_trader.live.streams.market_news import (
    CALLS,
    MOST_ROWS,
    TIME,
    Alive,
    BarLate,
    BarReady,
    BarRevised,
    Call,
    DataRefused,
    FeedEvent,
    IntervalChanged,
    KlineNews,
    MarkNews,
    News,
    Settled,
    Stale,
    Unreadable,
)
from rl_trader.live.streams.market_rows import LAST_MS, is_stamp
from rl_trader.live.streams.stamps import Lag, StampClock

_EARLY_MS: Final = 1_000  # that a bar which is said to be over may be told before its last millisecond
_GIVE_UP_MS: Final = 600_000  # after its time a settlement is asked for no more that no bar waits for
_TOLD: Final = 4  # announcements of settlements that are remembered
_SHOWN: Final = 3  # holes that a reason names
_DOUBLINGS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLimits:
    """How long is waited for what, in milliseconds."""

    stale_ms: int = 4_500  # without a fresh mark price, which comes every second; looked at ten times a second
    fetch_ms: int = 2_000  # after its end a bar that the stream has not told is asked for
    marks_ms: int = 500  # after the end of a bar its mark price is asked for: an assumption of when it is final
    late_ms: int = 20_000  # after its end a bar is decided upon no more
    audits_ms: tuple[int, ...] = (5_000, MS_PER_HOUR)  # after its end a bar is held against what REST says then
    first_retry_ms: int = 250  # twice as long each time
    most_retry_ms: int = 30_000


class _Asking:
    """Whether something is being asked for, and when it may be again."""

    def __init__(self, limits: FeedLimits) -> None:
        self._limits = limits
        self._is_in_flight = False
        self._not_before_ms = 0
        self.attempts = 0  # in a row that brought nothing

    def may_begin(self, now_ms: int) -> bool:
        return not self._is_in_flight and now_ms >= self._not_before_ms

    def begin(self) -> None:
        self._is_in_flight = True

    def end(self, now_ms: int, *, has_brought: bool) -> None:
        self._is_in_flight = False
        if has_brought:
            self.hurry()
            return
        pause_ms = self._limits.first_retry_ms * 2 ** min(self.attempts, _DOUBLINGS)
        self._not_before_ms = now_ms + min(pause_ms, self._limits.most_retry_ms)
        self.attempts += 1

    def hurry(self) -> None:
        self.attempts = self._not_before_ms = 0


class MarketFeed:
    """Follows one symbol.

    Args:
        series: Where its bars are kept.
        limits: How long is waited.
    """

    def __init__(self, series: BarSeries, limits: FeedLimits | None = None) -> None:
        self.series = series
        self.mark: MarkNews | None = None  # the newest
        self.is_alive = False
        self._limits = limits or FeedLimits()
        self._needs = series.needs
        self._clock = StampClock(2 * self._needs.bar_ms + self._limits.late_ms)
        self._lag = Lag()
        self._unsure: MarkNews | None = None  # whose stamp is not believed yet
        self._heard_ms = 0  # local time at which the newest mark price came, or would have without its lag
        self._next_open: int | None = None  # of the first bar that is not judged
        self._told_after_ms: int | None = None  # bars that end later are told by the stream; None: no bar is
        self._announced: deque[tuple[int, int]] = deque(maxlen=_TOLD)  # since when which settlement is the next one
        self._audits: list[tuple[int, Call]] = []  # by the exchange's time when they are due
        self._funding_pages: tuple[int, int] | None = None  # begin of what is asked for in pages, and of the next page
        self._every = (series.klines, *series.marks, series.funding)
        self._asking = {each: _Asking(self._limits) for each in self._every}
        self._asking_time, self._auditing = _Asking(self._limits), _Asking(self._limits)
        self._asking_interval = _Asking(self._limits)
        self._is_time_wanted = True  # whatever stamps have come

    # What comes in

    def connect(self, now_ms: int) -> list[FeedEvent]:
        """Know that the streams are subscribed to: what happened before is asked for at once."""
        self._told_after_ms = LAST_MS if (now := self._clock.estimate(now_ms)) is None else now
        self._is_time_wanted = True
        for asking in (*self._asking.values(), self._asking_time):
            asking.hurry()
        return self.tick(now_ms)

    def disconnect(self, now_ms: int) -> list[FeedEvent]:
        """Know that the streams tell nothing any more."""
        self._told_after_ms = None
        return self.tick(now_ms)

    def receive(self, news: News, now_ms: int) -> list[FeedEvent]:
        """Take what a stream tells; of other symbols and intervals nothing."""
        events: list[FeedEvent] = []
        match news:
            case Unreadable():
                events = [DataRefused(self._needs.symbol, news.reason)]
            case MarkNews() if news.symbol == self._needs.symbol:
                self._note_mark(news, now_ms)
            case KlineNews() if (news.symbol, news.interval) == (self._needs.symbol, self._needs.interval):
                events = self._note_kline(news, now_ms)
        return events + self.tick(now_ms)

    def answer(self, call: Call, data: object, now_ms: int) -> list[FeedEvent]:
        """Take the data of an answer."""
        if call.name == FUNDING_INFO:
            return self._take_interval(data, now_ms) + self.tick(now_ms)
        if call.series is None:
            stamp = data.get("serverTime") if isinstance(data, Mapping) else None
            is_news = is_stamp(stamp) and self._clock.confirm(stamp, now_ms)
            self._asking_time.end(now_ms, has_brought=is_news)
            return self.tick(now_ms)
        if not isinstance(data, list):
            refused = DataRefused(
                self._needs.symbol, f"the answer to {call.name} must be a list and is none; ask again"
            )
            return [refused, *self.fail(call, now_ms)]
        verdicts = [self._take(call, row) for row in data]
        has_brought = any(verdict.outcome is Outcome.ADDED for verdict in verdicts)
        if call.series == self.series.funding:
            has_brought |= self._note_funding_page(call, data)
        if call.is_audit:
            self._audits.remove(next(audit for audit in self._audits if audit[1] == call))
        self._asking_of(call).end(now_ms, has_brought=has_brought or call.is_audit)
        return self._told(call.series, verdicts) + self.tick(now_ms)

    def fail(self, call: Call, now_ms: int) -> list[FeedEvent]:
        """Know that a call was not answered: it is made again later."""
        self._is_time_wanted |= call.name == TIME
        self._asking_of(call).end(now_ms, has_brought=False)
        return self.tick(now_ms)

    def tick(self, now_ms: int) -> list[FeedEvent]:
        """Let time pass."""
        events: list[FeedEvent] = []
        newest = self._clock.newest_ms
        if newest is None:
            return events
        if self._unsure is not None and self._unsure.stamp_ms <= newest:
            self._note_mark(self._unsure, now_ms)
        if self._told_after_ms == LAST_MS:
            self._told_after_ms = newest
        is_fresh = self.mark is not None and now_ms - self._heard_ms <= self._limits.stale_ms
        if is_fresh and not self.is_alive:
            assert self.mark is not None
            events.append(Alive(self._needs.symbol, self.mark.mark))
        elif self.is_alive and not is_fresh:
            events.append(Stale(self._needs.symbol))
        self.is_alive = is_fresh
        return events + self._judge(now_ms, newest)

    # The streams

    def _note_mark(self, news: MarkNews, now_ms: int) -> None:
        """Take a mark price, unless a newer one is known; one that is late is as old as it is late."""
        if self.mark is not None and news.stamp_ms <= self.mark.stamp_ms:
            return
        if not self._clock.note(news.stamp_ms, now_ms):
            self._unsure = news
            return
        self._unsure = None
        self.mark = news
        self._heard_ms = max(self._heard_ms, now_ms - self._lag.note(news.stamp_ms, now_ms))
        if not self._announced or self._announced[-1][1] != news.next_funding_ms:
            self._announced.append((news.stamp_ms, news.next_funding_ms))

    def _note_kline(self, news: KlineNews, now_ms: int) -> list[FeedEvent]:
        if not self._clock.note(news.stamp_ms, now_ms) or not news.is_closed:
            return []
        series, end_ms = self.series.klines, news.stamp_ms + _EARLY_MS
        if not is_stamp(news.row[0]) or news.row[0] + self._needs.bar_ms > end_ms:
            reason = f"a candle that is over must have ended before the time of its frame, {news.stamp_ms}, and is"
            return [DataRefused(self._needs.symbol, f"{reason} {news.row}; it is asked for again")]
        verdict = self.series.add_bar(news.row)
        if verdict.time_ms:
            self._clock.note(verdict.time_ms + self._needs.bar_ms, now_ms)
        return self._told(series, [verdict])

    # The answers

    def _take(self, call: Call, row: object) -> Verdict:
        assert call.series is not None
        if call.series == self.series.funding:
            return self.series.add_settlement(row)
        if not isinstance(row, list) or not row or not is_stamp(row[0]) or not call.since_ms <= row[0] < call.until_ms:
            reason = f"a row of {call.name} must be one of those that were asked for and is {row!s:.200}; ask again"
            return Verdict(Outcome.REFUSED, 0, reason)
        return self.series.add_bar(row) if call.series == self.series.klines else self.series.add_mark(call.series, row)

    def _take_interval(self, data: object, now_ms: int) -> list[FeedEvent]:
        """Let funding be due by the interval that the exchange tells."""
        before, told = self.series.needs.terms, terms_told(self.series.needs.terms, data)
        is_news = told is not None and told != before
        self._asking_interval.end(now_ms, has_brought=is_news)
        if told is None or not is_news:
            return []
        self.series.change_terms(told)
        return [IntervalChanged(self._needs.symbol, told.funding_interval_hours, before.funding_interval_hours)]

    def _is_interval_doubted(self) -> bool:
        """Return whether what is announced does not follow what was settled by the interval of the terms."""
        settled = self.series.newest_settlement
        if self.mark is None or settled is None or settled >= self.mark.next_funding_ms:
            return False
        if any(settled < due <= since for (_, due), (since, _) in pairwise(self._announced)):  # not known yet
            return False
        return not is_settled_by(self.series.needs.terms, settled, self.mark.next_funding_ms)

    def _note_funding_page(self, call: Call, rows: list[object]) -> bool:
        """Remember how far funding was told, and return whether there is more of it."""
        first = self._funding_pages[0] if self._funding_pages is not None else call.since_ms
        times = [row.get("fundingTime") for row in rows if isinstance(row, Mapping)]
        stamps = [stamp for stamp in times if is_stamp(stamp)]
        if len(rows) >= MOST_ROWS and stamps and call.since_ms < max(stamps) < call.until_ms - 1:
            self._funding_pages = first, max(stamps) + 1
            return True
        self._funding_pages = None
        self.series.note_funding_told(first)
        return False

    def _told(self, series: Series, verdicts: Iterable[Verdict]) -> list[FeedEvent]:
        """Return the events of what became of rows; of those that were refused the first tells of all."""
        events: list[FeedEvent] = []
        refused = [verdict.reason for verdict in verdicts if verdict.outcome is Outcome.REFUSED]
        for verdict in verdicts:
            if verdict.outcome is Outcome.REVISED:
                events.append(BarRevised(series, verdict.time_ms, verdict.reason))
            is_news = self._next_open is not None and verdict.time_ms >= self._next_open
            if series == self.series.funding and verdict.outcome is Outcome.ADDED and is_news:
                events.append(Settled(self._needs.symbol, verdict.time_ms))
        if refused:
            more = f" ({len(refused)} rows in all)" if len(refused) > 1 else ""
            events.append(DataRefused(self._needs.symbol, refused[0] + more))
        return events

    # Bars

    def _judge(self, now_ms: int, newest_ms: int) -> list[FeedEvent]:
        """Return what is to be said of bars that have ended."""
        if self._next_open is None:
            self._next_open = self._needs.last_end(newest_ms)
        events: list[FeedEvent] = []
        estimate = self._clock.estimate(now_ms) or newest_ms
        while True:
            open_time, end_ms = self._next_open, self._next_open + self._needs.bar_ms
            is_late = estimate > end_ms + self._limits.late_ms
            if not is_late and not (end_ms <= newest_ms and self.series.is_ready(end_ms)):
                return events
            events.append(self._late(open_time, end_ms) if is_late else self._ready(open_time, end_ms))
            self._next_open = end_ms
            self._audits += [
                (end_ms + after_ms, call) for after_ms in self._limits.audits_ms for call in self._audit(open_time)
            ]

    def _ready(self, open_time: int, end_ms: int) -> BarReady:
        bar = self.series.bar(open_time)
        assert bar is not None
        told = [due for since, due in self._announced if since < end_ms]
        return BarReady(self._needs.symbol, open_time, bar, told[-1] if told and told[-1] >= end_ms else None)

    def _late(self, open_time: int, end_ms: int) -> BarLate:
        missing = self.series.missing(end_ms)
        reason = ", ".join(str(hole) for hole in missing[:_SHOWN])
        return BarLate(self._needs.symbol, open_time, f"missing {reason}" if missing else "everything came too late")

    def _audit(self, open_time: int) -> list[Call]:
        """Return the calls that tell a bar again."""
        calls = []
        for series in (self.series.klines, *self.series.marks):
            if not self.series.is_longer(series):
                end_ms = open_time + self._needs.bar_ms
                calls.append(Call(CALLS[series.kind], series, open_time, end_ms, is_audit=True))
        return calls

    # What is asked for

    def wants(self, now_ms: int) -> list[Call]:
        """Return the calls that are to be made now; each is to be answered, or to fail."""
        newest, estimate = self._clock.newest_ms, self._clock.estimate(now_ms)
        calls: list[Call] = []
        is_unsure = newest is None or estimate is None or estimate - newest > self._limits.stale_ms
        if is_unsure or self._is_time_wanted:
            calls += self._begun(self._asking_time, Call(TIME), now_ms)
            self._is_time_wanted &= not calls
        if newest is None or estimate is None:
            return calls
        holes = self._holes(newest, estimate)
        for series in self._every:
            own = [hole for hole in holes if hole.series == series]
            if own:
                asking = self._asking[series]
                calls += self._begun(asking, self._call(own[asking.attempts % len(own)]), now_ms)
        if self._is_interval_doubted():
            calls += self._begun(self._asking_interval, Call(FUNDING_INFO), now_ms)
        due = [call for due_ms, call in self._audits if due_ms <= estimate]
        return calls + (self._begun(self._auditing, due[0], now_ms) if due else [])

    def _holes(self, newest_ms: int, estimate: int) -> list[Hole]:
        """Return what is missing and to be asked for by now."""
        end_ms = self._needs.last_end(newest_ms)
        is_told = self._told_after_ms is not None and end_ms > self._told_after_ms
        waits = {each: self._limits.marks_ms for each in self.series.marks if not self.series.is_longer(each)}
        waits[self.series.klines] = self._limits.fetch_ms if is_told else 0
        holes = []
        for hole in self.series.missing(newest_ms):
            is_waited_for = estimate < end_ms + waits.get(hole.series, 0)
            until = min(hole.until_ms, end_ms - self._needs.bar_ms) if is_waited_for else hole.until_ms
            if hole.since_ms < until:
                holes.append(hole._replace(until_ms=until))
        return [*holes, *self._holes_to_come(newest_ms)]

    def _holes_to_come(self, newest_ms: int) -> Iterator[Hole]:
        """Yield what is known already and no bar waits for yet: settlements, and the opens of longer candles."""
        for _, due in self._announced:
            if due <= newest_ms < due + _GIVE_UP_MS and not self.series.has_settlement(due):
                yield Hole(self.series.funding, due, due + 1)
        for mark in filter(self.series.is_longer, self.series.marks):
            length = interval_ms(str(mark.interval))
            opened = newest_ms // length * length
            if not self.series.has_candle(mark, opened):
                yield Hole(mark, opened, opened + length)

    def _call(self, hole: Hole) -> Call:
        series, since, until = hole
        if series == self.series.funding:
            if self._funding_pages is not None and since <= self._funding_pages[1] < until:
                since = self._funding_pages[1]
        else:
            until = min(until, since + MOST_ROWS * interval_ms(str(series.interval)))
        return Call(CALLS[series.kind], series, since, until)

    def _asking_of(self, call: Call) -> _Asking:
        if call.is_audit:
            return self._auditing
        if call.name == FUNDING_INFO:
            return self._asking_interval
        return self._asking_time if call.series is None else self._asking[call.series]

    @staticmethod
    def _begun(asking: _Asking, call: Call, now_ms: int) -> list[Call]:
        if not asking.may_begin(now_ms):
            return []
        asking.begin()
        return [call]
