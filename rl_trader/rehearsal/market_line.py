"""What the trader is told of the market: bars that are over and prices, while the line is not silent.

Times in milliseconds since 1970 UTC.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from rl_trader.live.core.events import BarClosed, BarRevised, BarSkipped, Event, MarketSeen
from rl_trader.local_exchange.market.happenings import BarClosed as MarketBarClosed
from rl_trader.local_exchange.market.happenings import Happening, Moved
from rl_trader.local_exchange.venue import Venue

STALE_MS: Final = 5_000  # of silence, after which the market counts as stale
AUDIT_MS: Final = 5_000  # after its end a bar is read once more


class Silence(NamedTuple):
    """A time in which nothing comes of the market."""

    since_ms: int
    until_ms: int


class _Bar(NamedTuple):
    due_ms: int
    open_ms: int
    close: Decimal
    mark_close: Decimal


class MarketLine:
    """Listens to a market and tells of one symbol.

    Args:
        venue: Whose market.
        symbol: Which.
        silences: In which nothing comes.
        late: By the bar's open time: how long after its close it is told.
        revised: Open times of bars that are told with other numbers when they are read once more.
    """

    def __init__(
        self,
        venue: Venue,
        symbol: str,
        silences: Sequence[Silence] = (),
        late: Mapping[int, int] | None = None,
        revised: Collection[int] = (),
    ) -> None:
        self.told: Counter[str] = Counter()  # of what goes wrong
        self._revised = {opened: 0 for opened in revised}  # by open time: when it is told; 0 before its end
        self._venue, self._symbol = venue, symbol
        self._silences, self._late = tuple(silences), dict(late or {})
        self._edges = [time for each in silences for time in (each.since_ms + STALE_MS, each.until_ms)]
        self._bars: list[_Bar] = []
        self._last: _Bar | None = None
        self._has_moved = False
        self._is_alive: bool | None = None  # as was told; None is not yet
        venue.market.source.listeners.append(self._hear)

    @property
    def next_ms(self) -> int | None:
        """When there is something to be told next, beside what the market does."""
        now = self._now()
        times = (*self._edges, *(bar.due_ms for bar in self._bars), *self._revised.values())
        return min((time for time in times if time > now), default=None)

    def begin(self) -> None:
        """Begin anew, as a process does: the last bar that is over is told, and whether the market is alive."""
        self._bars = [] if self._last is None else [self._last]
        self._is_alive = None

    def take(self) -> list[Event]:
        """Return what is to be told now."""
        now = self._now()
        silence = next((each for each in self._silences if each.since_ms <= now < each.until_ms), None)
        if silence is not None:
            return self._take_silence(now, silence)
        events: list[Event] = []
        if self._has_moved or not self._is_alive:
            mark = self._venue.exchange.quotes[self._symbol].mark
            events.append(MarketSeen(t_ms=now, is_alive=True, mark_price=mark))
        if self._bars:
            events += self._take_bars(now, was_silent=self._is_alive is False)
        if self._revised:
            events += self._take_revised(now)
        self._is_alive, self._has_moved = True, False
        return events

    def _take_silence(self, now: int, silence: Silence) -> list[Event]:
        if self._is_alive is False or now < silence.since_ms + STALE_MS:
            return []
        self._is_alive = False
        self.told["market: silence"] += 1
        return [MarketSeen(t_ms=now, is_alive=False, mark_price=Decimal(0))]

    def _take_bars(self, now: int, *, was_silent: bool) -> list[Event]:
        due = [bar for bar in self._bars if bar.due_ms <= now]
        self._bars = [bar for bar in self._bars if bar.due_ms > now]
        self.told["market: late bar"] += sum(bar.open_ms in self._late for bar in due)
        if was_silent:
            return [BarSkipped(t_ms=now, open_ms=bar.open_ms, reason="it came late") for bar in due]
        return [BarClosed(t_ms=now, open_ms=b.open_ms, close=b.close, mark_close=b.mark_close) for b in due]

    def _take_revised(self, now: int) -> list[Event]:
        due = [opened for opened, time in self._revised.items() if 0 < time <= now]
        for opened in due:
            del self._revised[opened]
        self.told["market: revised bar"] += len(due)
        return [BarRevised(t_ms=now, open_ms=opened, reason="its volume is another") for opened in due]

    def _hear(self, happening: Happening) -> None:
        if happening.symbol != self._symbol:
            return
        if isinstance(happening, Moved):
            self._has_moved = True
        elif isinstance(happening, MarketBarClosed):
            quotes, opened = self._venue.exchange.quotes[self._symbol], happening.open_time
            self._last = _Bar(self._now() + self._late.get(opened, 0), opened, quotes.last, quotes.mark)
            self._bars.append(self._last)
            if opened in self._revised:
                self._revised[opened] = self._now() + AUDIT_MS

    def _now(self) -> int:
        return self._venue.market_ms()
