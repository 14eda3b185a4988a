"""What the replay tells those who listen: streams, and tests."""

from collections.abc import Callable
from typing import NamedTuple

from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.engine.quotes import PublicTrade


class BarOpened(NamedTuple):
    """A bar has opened; its prices are in the quotes."""

    symbol: str
    time_ms: int


class Moved(NamedTuple):
    """The prices have gone on within a bar."""

    symbol: str
    time_ms: int


class Traded(NamedTuple):
    """The public has traded."""

    symbol: str
    trade: PublicTrade


class FundingSettled(NamedTuple):
    """Funding has been settled."""

    symbol: str
    settlement: Settlement
    time_ms: int  # when it was played; later than it was due if that was within a bar


class BarClosed(NamedTuple):
    """A bar is over, with the funding that was due in it."""

    symbol: str
    open_time: int
    time_ms: int


class Halted(NamedTuple):
    """A hole of the recording begins: nothing trades until the next bar opens."""

    symbol: str
    time_ms: int


Happening = BarOpened | Moved | Traded | FundingSettled | BarClosed | Halted
Listener = Callable[[Happening], None]
