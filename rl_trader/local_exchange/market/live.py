"""A market that follows another exchange: it happens here what is told of there.

Whoever listens to the followed exchange hands on what its streams say (:meth:`LiveMarket.receive`), lets the clock go
on (:meth:`LiveMarket.advance`) and asks for what is missing (:meth:`LiveMarket.needs`). Nothing here knows of sockets,
so that the same news at the same times of the clock always let the same happen.

The engine fills as it does in a replay: market orders at the last price moved by the slippage, resting orders when a
price passes them. The followed exchange's own book is neither traded with nor shown.

Times in milliseconds since 1970 UTC. The market's time is the followed exchange's; the clock is the machine's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.market.candles import Series
from rl_trader.local_exchange.market.happenings import Happening, Listener
from rl_trader.local_exchange.market.live_history import LiveHistory
from rl_trader.local_exchange.market.live_news import Kline, News
from rl_trader.local_exchange.market.live_questions import Snapshot
from rl_trader.local_exchange.market.live_symbol import LiveSymbol, Need
from rl_trader.local_exchange.market.live_terms import Beginning
from rl_trader.local_exchange.market.playing import Engine

STALE_AFTER_MS: Final = 10_000  # age of prices; the mark price is told every second


class LiveMarket:
    """Follows symbols of another exchange.

    Args:
        engine: Told what happens; its ``quotes`` have every symbol.
        beginnings: From where on the symbols are followed.
        stale_after_ms: Age of prices at which nothing is traded any more.
    """

    def __init__(self, engine: Engine, beginnings: Sequence[Beginning], stale_after_ms: int = STALE_AFTER_MS) -> None:
        self.listeners: list[Listener] = []
        self.now_ms = min(beginning.snapshot.now.time_ms for beginning in beginnings)
        self._has_begun = False
        self._symbols = {
            beginning.recording.symbol: LiveSymbol(engine, beginning, stale_after_ms, self._tell, self._reach)
            for beginning in beginnings
        }

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen any more: never."""
        return False

    @property
    def halted(self) -> tuple[str, ...]:
        """The symbols that nothing is traded of because their prices are too old."""
        return tuple(symbol for symbol, followed in self._symbols.items() if followed.is_halted)

    def played_ms(self, symbol: str) -> int:
        """Return the last millisecond of a symbol that has happened."""
        return self._symbols[symbol].played_ms

    def past(self, symbol: str) -> LiveHistory:
        """Return what has happened of a symbol; it grows."""
        return self._symbols[symbol].history

    def to_next_open(self) -> bool:
        """Let the bars open in which following begins; return False afterwards, as the others cannot be reached."""
        if self._has_begun:
            return False
        self._has_begun = True
        for followed in self._symbols.values():
            followed.begin()
        return True

    def advance(self, to_ms: int) -> None:
        """Let happen what is known when the clock has come to a time."""
        for followed in self._symbols.values():
            followed.advance(to_ms)

    # The followed exchange

    def receive(self, news: News) -> None:
        """Take what a stream tells; it happens with :meth:`advance`."""
        followed = self._symbols.get(news.symbol)
        if followed is not None:
            followed.receive(news)

    def lose(self) -> None:
        """Know that streams were lost: nothing happens until a snapshot of each symbol is there."""
        for followed in self._symbols.values():
            followed.lose()

    def needs(self, clock_ms: int) -> Iterator[Need]:
        """Yield what has to be asked for."""
        for followed in self._symbols.values():
            yield from followed.needs(clock_ms)

    def catch_up(self, symbol: str, snapshot: Snapshot, clock_ms: int) -> None:
        """Take the answer to a need of a snapshot.

        Raises:
            DataError: If it is older than what has happened.
        """
        self._symbols[symbol].catch_up(snapshot, clock_ms)

    def learn_rates(self, symbol: str, settlements: Iterable[Settlement]) -> None:
        """Take the answer to a need of a settled rate."""
        self._symbols[symbol].learn_rates(settlements)

    def amend(self, symbol: str, klines: Mapping[Series, list[Kline]]) -> None:
        """Take the answer to a need of derived candles."""
        self._symbols[symbol].amend(klines)

    def _reach(self, time_ms: int) -> int:
        self.now_ms = max(self.now_ms, time_ms)
        return self.now_ms

    def _tell(self, happening: Happening) -> None:
        for listener in self.listeners:
            listener(happening)
