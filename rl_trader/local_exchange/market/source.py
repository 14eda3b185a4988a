"""What the market is made of: something that moves it, and knows what has happened before.

Two things move a market: a replay of recordings (:mod:`rl_trader.local_exchange.market.replay`), and another exchange
that is followed (:mod:`rl_trader.local_exchange.market.live`). What is built on the market knows neither.

Times in milliseconds since 1970 UTC.
"""

from typing import Protocol

from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.market.candles import Candles, Series
from rl_trader.local_exchange.market.happenings import Listener
from rl_trader.local_exchange.market.history import Window


class Source(Protocol):
    """What moves the market."""

    @property
    def listeners(self) -> list[Listener]:
        """Who is told what happens; anybody may be added."""

    @property
    def now_ms(self) -> int:
        """How far the market has come."""

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen any more."""

    def played_ms(self, symbol: str) -> int:
        """Return the last millisecond of a symbol that has happened."""

    def past(self, symbol: str) -> "Past":
        """Return what has happened of a symbol; it grows as the market goes on."""

    def advance(self, to_ms: int) -> None:
        """Let happen what is due up to and including a moment."""

    def to_next_open(self) -> bool:
        """Let the market go on to the next instant at which a bar opens, if it is there to be reached.

        Returns:
            Whether a bar has opened.
        """


class Past(Protocol):
    """What has happened of one symbol."""

    def klines(self, series: Series, interval: str, window: Window, played_ms: int) -> Candles:
        """Return candles of one of the exchange's intervals, the forming one included."""

    def day(self, played_ms: int, now_ms: int) -> tuple[int, Candles]:
        """Return when the 24 hours before a moment began, to the minute, and the one candle of them, if any."""

    def fundings(self, window: Window, played_ms: int) -> list[Settlement]:
        """Return the funding that has been settled, in ascending order."""
