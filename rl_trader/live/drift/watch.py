"""The watch over a session at work: it compares each bar with the simulation, and ends the entries outside the band.

It hears what is journalled, and compares some time after, when the orders of the bar's decision are on their way. It
cannot fail the trader: what cannot be compared is told, and the comparison begins anew.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from rl_trader.klines import utc
from rl_trader.live.drift.archive import Archive
from rl_trader.live.drift.band import Band
from rl_trader.live.drift.comparison import BarDrift, Comparison
from rl_trader.live.drift.steps import Step, Steps
from rl_trader.live.drift.warming import warm_up
from rl_trader.live.journal.rows import MarketRow, NewEvent
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.streams.bar_series import FUNDING_BEFORE_MS

AFTER_S: Final = 0.25  # a bar's close
KEPT_MS: Final = 2 * FUNDING_BEFORE_MS  # of market data before the window of an observation
MOST_BARS: Final = 2_000  # that are looked back at

_log = logging.getLogger(__name__)


class Journal(Protocol):
    """Where events are written down before anything is done."""

    def append(self, events: list[NewEvent]) -> int:
        """Write events, and return the number of the last."""
        ...


class HeardJournal:
    """A journal whose events are heard once they are written.

    Args:
        journal: Which.
        hear: Is handed them.
    """

    def __init__(self, journal: Journal, hear: Callable[[Sequence[NewEvent]], object]) -> None:
        self._journal, self._hear = journal, hear

    def append(self, events: list[NewEvent]) -> int:
        """Write events, and return the number of the last."""
        number = self._journal.append(events)
        self._hear(events)
        return number


class DriftWatch:
    """Compares one session with the simulation.

    Args:
        deployment: What is deployed.
        band: Outside of which nothing is entered any more.
        known: Market data that are journalled already.
        stop: Ends the entries, with the reason.
        tell: Told what a person should know.
    """

    def __init__(
        self,
        deployment: Deployment,
        band: Band,
        known: Iterable[MarketRow],
        *,
        stop: Callable[[str], object],
        tell: Callable[[str], object],
    ) -> None:
        self._deployment, self._band = deployment, band
        self._stop, self._tell = stop, tell
        self._steps = Steps(deployment.symbol)
        self._archive = Archive(deployment)
        self._archive.add(known)
        warm_up(deployment)
        self._comparison = Comparison(deployment)
        self._waiting: asyncio.Queue[Step] = asyncio.Queue()
        self.bars: deque[BarDrift] = deque(maxlen=MOST_BARS)
        self.num_waiting = 0  # steps that are not compared yet

    def hear(self, events: Sequence[NewEvent]) -> None:
        """Take what has been journalled."""
        for event in events:
            for step in self._steps.take(event.rows):
                self._waiting.put_nowait(step)
                self.num_waiting += 1

    async def run(self) -> None:
        """Compare for ever."""
        while True:
            step = await self._waiting.get()
            await asyncio.sleep(AFTER_S)
            try:
                self._compare(step)
            except Exception as error:  # the policy may be anybody's code
                _log.exception("a bar could not be compared with the simulation")
                self._tell(f"the bar of {utc(step.after.bar_open_ms)} is not compared with the simulation: {error}")
                self._begin_anew()
            finally:
                self.num_waiting -= 1

    def _compare(self, step: Step) -> None:
        deployment = self._deployment
        self._archive.add(self._steps.market)
        self._steps.market.clear()
        self._archive.forget(step.before.bar_open_ms - deployment.num_bars * deployment.interval_ms - KEPT_MS)
        observed = self._archive.around(step.before.bar_open_ms, step.after)
        self.bars.append(self._comparison.take(step, observed))
        why = self._band.why_outside(self.bars, deployment.trading.rebalance_band)
        if why is not None:
            self._stop(f"live trading has left the simulation: {why}")
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Let the simulation stand where the live account is."""
        self._comparison = Comparison(self._deployment)
        self.bars.clear()
