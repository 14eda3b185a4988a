"""Funding of a symbol that is followed: when it is due, at what rate it is settled, and the settlement.

The settled rate is in the followed exchange's ``fundingRate`` some time after the settlement only; the running estimate
that ``markPriceUpdate`` has at that time stands for it where it cannot be had, and a warning is logged.

Times in milliseconds since 1970 UTC, rates as fractions.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from rl_trader.bars import MS_PER_HOUR
from rl_trader.klines import utc
from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.market.happenings import FundingSettled, Happening
from rl_trader.local_exchange.market.live_history import LiveHistory
from rl_trader.local_exchange.market.live_news import MarkNews
from rl_trader.local_exchange.market.playing import Engine

_SURELY_DUE_MS: Final = 60_000  # before a settlement; what then names a later one does not call it off

_log = logging.getLogger(__name__)


class LiveFunding:
    """Settles the funding of one symbol.

    Args:
        engine: Told of settlements.
        symbol: Which.
        history: Keeps them.
        tell: Told what has happened.
    """

    def __init__(self, engine: Engine, symbol: str, history: LiveHistory, tell: Callable[[Happening], None]) -> None:
        self._engine = engine
        self._symbol = symbol
        self._history = history
        self._tell = tell
        self._quotes = engine.quotes[symbol]
        self._known: dict[int, Settlement] = {}  # by time, those that are not settled yet
        self._settled_ms = 0  # up to here everything is settled
        self.due_ms: int | None = None  # the next one, as far as it is known

    @property
    def is_known(self) -> bool:
        """Whether the rate of the next settlement is known."""
        return self.due_ms in self._known

    def begin(self, settlements: Iterable[Settlement], now_ms: int) -> None:
        """Know what was settled before following begins, in ascending order; what else was due by then is over."""
        for settlement in settlements:
            self._keep(settlement)
        self._settled_ms = max(self._settled_ms, now_ms)

    def expect(self, news: MarkNews) -> None:
        """Know when funding is settled next, and at what rate it would be now."""
        self._quotes.index, self._quotes.funding_rate = news.index_price, news.rate
        self._quotes.next_funding_ms = news.next_funding_ms
        due, told = self.due_ms, news.next_funding_ms
        if told > self._settled_ms and (due is None or told < due or news.time_ms < due - _SURELY_DUE_MS):
            self.due_ms = told

    def learn(self, settlements: Iterable[Settlement]) -> None:
        """Know rates that were settled, also those that are known already."""
        for settlement in settlements:
            if settlement.time_ms > self._settled_ms:
                self._known[settlement.time_ms] = settlement
        if self._known and (self.due_ms is None or min(self._known) < self.due_ms):
            self.due_ms = min(self._known)

    def estimate(self) -> None:
        """Take the running estimate for the rate of the settlement that is due."""
        assert self.due_ms is not None
        rate, mark = self._quotes.funding_rate, self._quotes.mark
        self._known[self.due_ms] = Settlement(time_ms=self.due_ms, rate=rate, mark_price=mark)
        _log.warning(
            "the settled funding rate of %s at %s was not answered; the estimate of that time is taken: %s",
            self._symbol,
            utc(self.due_ms),
            rate,
        )

    def settle(self, now_ms: int) -> Settlement:
        """Settle what is due, whose rate must be known."""
        assert self.due_ms is not None
        settlement = self._known.pop(self.due_ms)
        self._engine.settle_funding(self._symbol, rate=settlement.rate, mark=settlement.mark_price, time_ms=now_ms)
        self._keep(settlement)
        self.due_ms = min(self._known, default=None)
        self._tell(FundingSettled(self._symbol, settlement, now_ms))
        return settlement

    def _keep(self, settlement: Settlement) -> None:
        self._settled_ms = settlement.time_ms
        self._quotes.last_funding_rate = settlement.rate
        self._history.add_funding(settlement)


def settlement_hour(stamp_ms: int) -> int:
    """Return the full hour of a settlement, which the exchange stamps some milliseconds late."""
    return (stamp_ms + MS_PER_HOUR // 2) // MS_PER_HOUR * MS_PER_HOUR
