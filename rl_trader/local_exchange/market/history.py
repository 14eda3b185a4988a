"""What has happened up to a moment: candles, the ticker of a day, settled funding. Nothing later is ever shown.

The moment is what has been played (:class:`rl_trader.local_exchange.market.replay.Replay`): in a replay that goes from
corner to corner, the last corner. Bars before the replay's begin are the past.

Times in milliseconds since 1970 UTC.
"""

from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY
from rl_trader.klines import MS_PER_MINUTE
from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.market.candles import CandleMaker, Candles, Series
from rl_trader.local_exchange.market.recording import Recording

_FOREVER: Final = 2**62


class Window(NamedTuple):
    """Which records are asked for: from ``since_ms`` on ascending, or the latest up to ``until_ms``."""

    limit: int
    since_ms: int | None = None
    until_ms: int | None = None  # included

    def rows(self, times: NDArray[np.int64], now_ms: int) -> tuple[int, int]:
        """Return the half-open range of rows of ascending times that it asks for, at a moment."""
        last = now_ms if self.until_ms is None else min(self.until_ms, now_ms)
        stop = int(np.searchsorted(times, last, side="right"))
        if self.since_ms is None:
            return max(stop - self.limit, 0), stop
        first = min(int(np.searchsorted(times, self.since_ms)), stop)
        return first, min(first + self.limit, stop)


class History:
    """The past of one symbol.

    Args:
        recording: Of the symbol, also of what has not happened yet.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._makers = {series: CandleMaker(recording, series) for series in Series}

    def klines(self, series: Series, interval: str, window: Window, played_ms: int) -> Candles:
        """Return candles of one of the exchange's intervals, the forming one included.

        Args:
            series: What of.
            interval: One of :data:`rl_trader.local_exchange.market.intervals.INTERVALS`.
            window: Of open times.
            played_ms: The last millisecond that has happened.
        """
        maker = self._makers[series]
        first, stop = window.rows(maker.opens(interval), played_ms)
        return maker.candles(interval, first, stop, played_ms + 1)

    def day(self, played_ms: int, now_ms: int) -> tuple[int, Candles]:
        """Return when the 24 hours before a moment began, to the minute, and the one candle of them, if any."""
        since = (now_ms - MS_PER_DAY) // MS_PER_MINUTE * MS_PER_MINUTE
        return since, self._makers[Series.LAST].span(since, played_ms + 1)

    def fundings(self, window: Window, played_ms: int) -> list[Settlement]:
        """Return the funding that has been settled, in ascending order.

        Funding within a bar is settled at the bar's close (:mod:`rl_trader.local_exchange.market.replay`).
        """
        times: NDArray[np.int64] = self.recording.fundings["funding_time"]
        num_settled = int(np.searchsorted(self._settled_at, played_ms, side="right"))
        first, stop = window.rows(times[:num_settled], _FOREVER)
        return [self.recording.settlement(number) for number in range(first, stop)]

    @cached_property
    def _settled_at(self) -> NDArray[np.int64]:
        """When the replay settles each settlement: at a bar's open, or at its close."""
        times, opens = self.recording.fundings["funding_time"], self.recording.open_time
        row = np.maximum(np.searchsorted(opens, times, side="right") - 1, 0)
        return np.where(times == opens[row], times, opens[row] + self.recording.interval_ms - 1)
