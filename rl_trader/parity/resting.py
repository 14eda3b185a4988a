"""Bars in which limit orders rest, over the API: the client hears of fills at the corners of the bar's path."""

from collections.abc import Callable
from typing import Final

from rl_trader import state
from rl_trader.differential.witnesses import KernelBar
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.parity.api_trader import ApiTrader

CORNERS: Final = 3  # of a path after its open, the last at the bar's last millisecond

_STOPS: Final = state.STOPPED | state.TOOK_PROFIT


class RestingBar:
    """Lives through bars in which orders may rest.

    Args:
        advance: Lets the market go on to a moment.
        trader: Whose orders; over the API.
        account: The same account, as the exchange has it.
        bar_ms: Length of a bar.
    """

    def __init__(self, advance: Callable[[int], object], trader: ApiTrader, account: Trader, bar_ms: int) -> None:
        self._advance, self._trader, self._account, self._bar_ms = advance, trader, account, bar_ms
        self._num_stops = 0

    def live_through(self, open_ms: int) -> None:
        """Let a bar go by: at every corner the stops follow, and at its last millisecond what rests is taken back."""
        for corner in range(1, CORNERS + 1):
            self._advance(open_ms + min(-(-self._bar_ms * corner // CORNERS), self._bar_ms - 1))
            self._trader.guard()
        self._trader.take_back()

    def has_raced(self, played: KernelBar) -> bool:
        """Return whether a resting order was filled in the bar just played, and a stop was met on either side."""
        triggered = sum(order.algo_id is not None for order in self._account.orders.values())
        is_news, self._num_stops = triggered > self._num_stops, triggered
        return bool(played.events & state.FILLED) and (is_news or bool(played.events & _STOPS))
