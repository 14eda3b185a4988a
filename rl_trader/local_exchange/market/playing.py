"""One symbol of the replay: where it stands in its recording, and its next instant.

Times in milliseconds since 1970 UTC.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

import numpy as np

from rl_trader.local_exchange.books.inputs import BookBar, Settlement
from rl_trader.local_exchange.books.legs import Point
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.books.walk import path
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.market.amounts import traded_units, volume_units
from rl_trader.local_exchange.market.happenings import (
    BarClosed,
    BarOpened,
    FundingSettled,
    Halted,
    Happening,
    Moved,
    Traded,
)
from rl_trader.local_exchange.market.path import (
    NUM_CORNERS,
    corner_offsets,
    last_corners,
    leg_bounds,
    mark_corners,
    prices_at,
)
from rl_trader.local_exchange.market.recording import Recording, decimal
from rl_trader.local_exchange.wire import MONEY_PLACES


class Engine(Protocol):
    """What the replay needs of the exchange's engine."""

    @property
    def quotes(self) -> Mapping[str, Quotes]:
        """Prices by symbol."""

    def open_bar(self, symbol: str, *, last: Decimal, mark: Decimal, volume: Decimal, now_ms: int) -> object:
        """Let a bar open."""

    def move(self, symbol: str, *, last: Decimal, mark: Decimal, now_ms: int) -> object:
        """Let both prices go in a straight line to where they stand now."""

    def settle_funding(self, symbol: str, *, rate: Decimal, mark: Decimal, time_ms: int) -> object:
        """Settle funding on all positions."""

    def enforce_margin(self, symbol: str, *, mark: Decimal, now_ms: int) -> object:
        """Liquidate what a settlement within a bar has left too little margin at this mark price."""


class SymbolPlayer:
    """Plays the bars of one recording.

    Args:
        engine: Told what happens.
        recording: Of the symbol.
        rows: Half-open range of the bars that are played.
        tell: Told what has happened.
    """

    def __init__(
        self, engine: Engine, recording: Recording, rows: tuple[int, int], tell: Callable[[Happening], None]
    ) -> None:
        self._engine = engine
        self._recording = recording
        self._row, self._stop = rows
        self._tell = tell
        self._quotes = engine.quotes[recording.symbol]
        self._offsets = corner_offsets(recording.interval_ms)
        self._open_ms = self._open_time(self._row)  # of that bar
        self._corner = 0  # the next one of the bar's path
        self._is_halting = False  # whether the next instant is the begin of a hole
        self._bar: BookBar | None = None  # that is open
        self._path: tuple[Point, ...] = ()  # of it
        self._units = self._done = 0  # of its volume, and how many of them are traded
        self.played_ms = self._open_ms - 1  # the last millisecond that has happened
        self._know_past_funding()

    @property
    def next_ms(self) -> int | None:
        """The next instant; None when all is played."""
        if self._row >= self._stop:
            return None
        if self._is_halting:
            return self._open_time(self._row - 1) + self._recording.interval_ms
        return self._open_ms + self._offsets[self._corner]

    @property
    def opens_next(self) -> bool:
        """Whether a bar opens at the next instant."""
        return self._corner == 0 and not self._is_halting and self._row < self._stop

    def step(self) -> None:
        """Play the next instant."""
        now = self.next_ms
        assert now is not None
        self._quotes.next_funding_ms = self._recording.next_funding_ms(now)
        if self._is_halting:
            self._halt(now)
        elif self._corner == 0:
            self._open(now)
        else:
            self._go_to_corner(now)
        if now >= self._quotes.next_funding_ms:
            self._quotes.next_funding_ms = self._recording.next_funding_ms(now)

    def go_to(self, now_ms: int) -> None:
        """Let the prices go on within the open bar to where its path is at a moment before the next instant."""
        if self._bar is None or now_ms <= self.played_ms:
            return
        bars = self._recording.bars[self._row : self._row + 1]
        offset = np.array([now_ms - self._bar.open_time])
        length = self._recording.interval_ms
        last = prices_at(last_corners(bars), offset, length, self._recording.price_digits)
        mark = prices_at(mark_corners(bars), offset, length, MONEY_PLACES)
        self._move(decimal(last[0]), decimal(mark[0]), now_ms)

    def _open_time(self, row: int) -> int:
        return int(self._recording.open_time[row])

    def _open(self, now: int) -> None:
        bar = self._bar = self._recording.bar(self._row)
        self._path = path(bar)
        for settlement in self._recording.settlements(self._row):
            if settlement.time_ms == now:
                self._settle(settlement, now)
        self._engine.open_bar(self._recording.symbol, last=bar.open, mark=bar.mark_open, volume=bar.volume, now_ms=now)
        self._units, self._done = int(volume_units(self._recording, np.array([self._row]))[0]), 0
        self._corner = 1
        self._after_move(now)
        self._tell(BarOpened(self._recording.symbol, now))
        self._trade(now)

    def _go_to_corner(self, now: int) -> None:
        point = self._path[self._corner]
        self._move(point.last, point.mark, now)
        self._corner += 1
        if self._corner == NUM_CORNERS:
            self._close(now)

    def _move(self, last: Decimal, mark: Decimal, now: int) -> None:
        self._engine.move(self._recording.symbol, last=last, mark=mark, now_ms=now)
        self._after_move(now)
        self._tell(Moved(self._recording.symbol, now))
        self._trade(now)

    def _after_move(self, now: int) -> None:
        self.played_ms = now
        self._quotes.index = self._quotes.mark

    def _close(self, now: int) -> None:
        assert self._bar is not None
        open_time = self._bar.open_time
        for settlement in self._recording.settlements(self._row):
            if settlement.time_ms != open_time:
                self._settle(settlement, now)
                self._engine.enforce_margin(self._recording.symbol, mark=settlement.mark_price, now_ms=now)
        self._bar = None
        self._corner = 0
        self._row += 1
        if self._row < self._stop:
            self._open_ms = self._open_time(self._row)
            self._is_halting = self._open_ms > now + 1
        self._tell(BarClosed(self._recording.symbol, open_time, now))

    def _halt(self, now: int) -> None:
        quotes = self._quotes
        self._engine.open_bar(self._recording.symbol, last=quotes.last, mark=quotes.mark, volume=ZERO, now_ms=now)
        self._is_halting = False
        self._tell(Halted(self._recording.symbol, now))

    def _settle(self, settlement: Settlement, now: int) -> None:
        self._engine.settle_funding(
            self._recording.symbol, rate=settlement.rate, mark=settlement.mark_price, time_ms=now
        )
        self._quotes.funding_rate = self._quotes.last_funding_rate = settlement.rate
        self._tell(FundingSettled(self._recording.symbol, settlement, now))

    def _know_past_funding(self) -> None:
        """Let the quotes say what funding is known before the first bar opens."""
        recording, quotes, opens = self._recording, self._quotes, self.played_ms + 1
        number = int(np.searchsorted(recording.fundings["funding_time"], opens))
        if number:
            quotes.funding_rate = quotes.last_funding_rate = recording.settlement(number - 1).rate
        quotes.next_funding_ms = recording.next_funding_ms(self.played_ms)

    def _trade(self, now: int) -> None:
        """Write on the tape what of the bar's volume has been traded since the last trade."""
        assert self._bar is not None
        length = self._recording.interval_ms
        elapsed = now - self._bar.open_time + 1
        done = traded_units(self._units, elapsed, length)
        amount = _amount(done - self._done, self._recording.amount_places)
        self._done = done
        if amount:
            trade = self._quotes.record_trade(now, self._quotes.last, amount, is_buyer_maker=not self._rises(elapsed))
            self._tell(Traded(self._recording.symbol, trade))

    def _rises(self, elapsed: int) -> bool:
        """Return whether the leg of the path rises that the last elapsed millisecond belongs to."""
        leg = sum(elapsed > bound for bound in leg_bounds(self._recording.interval_ms)[1:-1])
        return self._path[leg + 1].last > self._path[leg].last


@exact
def _amount(units: int, digits: int) -> Decimal:
    return Decimal(units).scaleb(-digits)
