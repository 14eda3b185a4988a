"""The replay: it walks recordings in time and tells the engine what happens.

A bar goes as the books play it (:mod:`rl_trader.local_exchange.books.bar`):

1. At its open time the funding due at that instant is settled, then the bar opens.
2. Last and mark price go in straight lines to the other three corners of the path, after a third of the bar's time,
   after two thirds, and at its last millisecond.
3. There the funding due within the bar is settled, in order; each time, positions that it has left too little margin
   are liquidated.

Several symbols go by time, at the same instant in the order of the recordings. Where bars are missing nothing trades:
the symbol is told to open a bar without volume at its last prices.

What the public trades is made up of the bar's volume: at the open, and at the end of every stretch that the price has
gone, what is traded by then (:mod:`rl_trader.local_exchange.market.amounts`); bought where the price has risen, else
sold. The index price is not recorded: the mark price stands for it. Neither is the running estimate of the next
funding rate: the last settled rate stands for it.

Times in milliseconds since 1970 UTC.
"""

from collections.abc import Sequence

import numpy as np

from rl_trader.errors import DataError
from rl_trader.klines import utc
from rl_trader.local_exchange.market.happenings import Happening, Listener
from rl_trader.local_exchange.market.history import History
from rl_trader.local_exchange.market.playing import Engine as Engine
from rl_trader.local_exchange.market.playing import SymbolPlayer
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.market import Period


class Replay:
    """Plays recordings from corner to corner of the path; between them prices stand still.

    Args:
        exchange: The engine, whose ``quotes`` have every symbol.
        recordings: Of the symbols, in the order in which they are played at the same instant.
        start_ms: The first bar that is played opens then or later; None is the begin of the recordings.
        end_ms: The last bar that is played opens before; None is the end of the recordings.

    Raises:
        DataError: If no bar of a recording opens in that time.
    """

    def __init__(
        self,
        exchange: Engine,
        recordings: Sequence[Recording],
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> None:
        self.listeners: list[Listener] = []
        self._players = {
            recording.symbol: SymbolPlayer(exchange, recording, _rows(recording, start_ms, end_ms), self._tell)
            for recording in recordings
        }
        self._pasts = {recording.symbol: History(recording) for recording in recordings}
        self.now_ms = min(player.played_ms for player in self._players.values())

    @property
    def next_ms(self) -> int | None:
        """The next instant at which something happens; None when all is played."""
        return min((time for player in self._players.values() if (time := player.next_ms) is not None), default=None)

    @property
    def is_over(self) -> bool:
        """Whether all is played."""
        return self.next_ms is None

    def played_ms(self, symbol: str) -> int:
        """Return the last millisecond of a symbol that has happened; prices have stood still since."""
        return self._players[symbol].played_ms

    def past(self, symbol: str) -> History:
        """Return what has happened of a symbol, as far as it has been played."""
        return self._pasts[symbol]

    def step(self) -> bool:
        """Play the next instant, of all symbols that have one then; return whether there was any."""
        now = self.next_ms
        if now is None:
            return False
        self.now_ms = now
        for player in self._players.values():
            if player.next_ms == now:
                player.step()
        return True

    def advance(self, to_ms: int) -> None:
        """Play everything up to and including a moment; nothing happens if it has passed already."""
        while (time := self.next_ms) is not None and time <= to_ms:
            self.step()
        self.now_ms = max(self.now_ms, to_ms)

    def to_next_open(self) -> bool:
        """Play up to and including the next instant at which a bar opens, so that orders fill at its open.

        Returns:
            Whether a bar has opened; False when the recordings have been played to their end.
        """
        while not self.is_over:
            opens = any(player.opens_next and player.next_ms == self.next_ms for player in self._players.values())
            self.step()
            if opens:
                return True
        return False

    def _tell(self, happening: Happening) -> None:
        for listener in self.listeners:
            listener(happening)


class SmoothReplay(Replay):
    """Plays recordings for clients that watch in real time: prices also go on between the corners of the path.

    A leg that is walked in parts is rounded at every part, the last price to the recording's decimals and the mark
    price to eight, so that a fill within it may differ by such a unit from the one of :class:`Replay`.
    """

    def advance(self, to_ms: int) -> None:
        """Play everything up to and including a moment, where the prices are on their way to the next corner."""
        super().advance(to_ms)
        for player in self._players.values():
            player.go_to(self.now_ms)


def _rows(recording: Recording, start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
    times = recording.open_time
    first = 0 if start_ms is None else int(np.searchsorted(times, start_ms))
    stop = len(times) if end_ms is None else int(np.searchsorted(times, end_ms))
    if first >= stop:
        raise DataError(
            f"{recording.symbol} {recording.interval} is recorded from {utc(int(times[0]))} to {utc(recording.end_ms)},"
            f" where no bar opens in the period {Period(start_ms, end_ms)}; choose another period"
        )
    return first, stop
