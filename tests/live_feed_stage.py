"""A feed without sockets: a test says when streams tell what, and answers what the feed asks."""

from collections.abc import Callable
from typing import Any

from rl_trader.bars import MS_PER_HOUR
from rl_trader.contract import load_terms
from rl_trader.download.archive import KLINE_COLUMNS, Kind
from rl_trader.klines import interval_ms
from rl_trader.live.streams.bar_series import BarSeries, SeriesNeeds
from rl_trader.live.streams.funding_interval import FUNDING_INFO
from rl_trader.live.streams.market_feed import FeedLimits, MarketFeed
from rl_trader.live.streams.market_news import BarLate, BarReady, Call, FeedEvent, KlineNews, MarkNews

START = 1_704_067_200_000  # 2024-01-01T00:00Z
BAR = 1_800_000
LOCAL = 5_000  # local time at START
CLOSES = "50010.5"


def candle(open_time: int, length: int = BAR) -> list[Any]:
    """Return a candle as REST has it."""
    fields = dict.fromkeys(KLINE_COLUMNS, "0") | {
        "open_time": open_time,
        "open": "50000.1",
        "high": "50100",
        "low": "49900",
        "close": CLOSES,
        "volume": "100.5",
        "close_time": open_time + length - 1,
    }
    return list(fields.values())


def changed(row: list[Any], changes: dict[str, Any]) -> list[Any]:
    """Return a candle with other columns."""
    return list((dict(zip(KLINE_COLUMNS, row, strict=True)) | changes).values())


class FeedStage:
    """A feed of BTCUSDT whose local clock is exact; the first bar that ends opens at START.

    Args:
        marks: Intervals of the mark price.
        num_bars: Of the window.
        limits: Of the feed.
        interval: Of the bars.
    """

    def __init__(
        self,
        marks: tuple[str, ...] = ("30m",),
        num_bars: int = 3,
        limits: FeedLimits | None = None,
        interval: str = "30m",
    ) -> None:
        terms = load_terms("BTCUSDT")
        needs = SeriesNeeds(terms=terms, interval=interval, num_bars=num_bars, mark_intervals=marks)
        self.length = interval_ms(interval)
        self.interval = interval
        self.feed = MarketFeed(BarSeries(needs), limits)
        self.time = START  # at the exchange
        self.events: list[FeedEvent] = []
        self.calls: list[Call] = []  # that were wanted, in order
        self.refuses: Callable[[Call], bool] = lambda call: False  # calls that fail
        self.hours = 8  # of the interval of funding that the exchange tells
        self.settles: Callable[[int], bool] = lambda hour: hour % (8 * MS_PER_HOUR) == 0
        self.missing: set[int] = set()  # open times of candles that REST does not have
        self.changes: dict[int, dict[str, Any]] = {}  # of candles, by their open times

    @property
    def now(self) -> int:
        """The local time."""
        return self.time - START + LOCAL

    def note(self, events: list[FeedEvent]) -> list[FeedEvent]:
        """Keep events."""
        self.events += events
        return events

    def go(self, time: int) -> list[FeedEvent]:
        """Let time pass."""
        self.time = time
        return self.note(self.feed.tick(self.now))

    def mark(self, stamp: int | None = None, due: int | None = None, price: str = "50005.5") -> list[FeedEvent]:
        """Let the stream tell the mark price."""
        stamp = self.time if stamp is None else stamp
        eight = 8 * MS_PER_HOUR
        due = -(-(stamp + 1) // eight) * eight if due is None else due
        return self.note(self.feed.receive(MarkNews("BTCUSDT", stamp, price, "0.0001", due), self.now))

    def close(self, open_time: int, /, stamp: int | None = None, **changes: Any) -> list[FeedEvent]:
        """Let the stream tell a candle that is over."""
        stamp = open_time + self.length if stamp is None else stamp
        row = tuple(changed(candle(open_time, self.length), changes))
        return self.note(self.feed.receive(KlineNews("BTCUSDT", stamp, self.interval, True, row), self.now))

    def wants(self) -> list[Call]:
        """Return what is asked for now."""
        calls = self.feed.wants(self.now)
        self.calls += calls
        return calls

    def truth(self, call: Call) -> Any:
        """Return what the exchange answers."""
        if call.name == FUNDING_INFO:
            return [{"symbol": "BTCUSDT", "fundingIntervalHours": self.hours}]
        if call.series is None:
            return {"serverTime": self.time}
        params = call.params
        since, until = int(params["startTime"]), int(params["endTime"])
        if call.series.kind is Kind.FUNDING_RATE:
            hours = range(-(-since // MS_PER_HOUR) * MS_PER_HOUR, min(until, self.time) + 1, MS_PER_HOUR)
            told = {"symbol": "BTCUSDT", "fundingRate": "0.0001", "markPrice": "50000"}
            rows = [told | {"fundingTime": hour} for hour in hours if self.settles(hour) and hour not in self.missing]
            return rows[: int(params["limit"])]
        length = interval_ms(str(params["interval"]))
        opens = range(-(-since // length) * length, min(until, self.time) + 1, length)
        candles = [
            changed(candle(time, length), self.changes.get(time, {})) for time in opens if time not in self.missing
        ]
        return candles[: int(params["limit"])]

    def serve(self, rounds: int = 10) -> list[FeedEvent]:
        """Answer what is asked for until nothing is."""
        events: list[FeedEvent] = []
        for _ in range(rounds):
            calls = self.wants()
            if not calls:
                break
            for call in calls:
                if self.refuses(call):
                    events += self.note(self.feed.fail(call, self.now))
                else:
                    events += self.note(self.feed.answer(call, self.truth(call), self.now))
        return events

    def begin(self, before_end_ms: int = 2_000, number: int = 0) -> None:
        """Connect shortly before the end of a bar and fetch what was before; then forget what was said and asked."""
        self.time = START + (number + 1) * self.length - before_end_ms - 2
        self.note(self.feed.connect(self.now))
        for _ in range(3):  # the second stamp confirms the first one
            self.mark()
            self.go(self.time + 1)
        self.serve()
        assert self.feed.series.is_ready(self.time)
        self.events.clear()
        self.calls.clear()

    def judged(self) -> list[tuple[str, int]]:
        """Return what was said of bars, with their numbers from START on."""
        said = [event for event in self.events if isinstance(event, BarReady | BarLate)]
        return [(type(event).__name__, (event.open_time - START) // self.length) for event in said]
