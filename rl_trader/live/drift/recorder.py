"""What a session keeps for whoever plays its bars again: market data as seen, the account at each close, observations.

It is journalled with the event that it belongs to, before anything is done. Market data come once each, in the
exchange's own texts: with a bar's close all of its window that is not in the journal yet, so that a session that begins
after some days off leaves a whole window, too.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Final

from rl_trader.download.archive import Series
from rl_trader.live.core.events import BarClosed, Decided, Event
from rl_trader.live.core.state import State
from rl_trader.live.journal.reader import JournalReader
from rl_trader.live.journal.rows import AccountRow, DecisionRow, MarketRow, Row
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.policy_desk import PolicyDesk
from rl_trader.live.streams.bar_series import BarSeries

NO_OBSERVATION: Final = b""  # where the policy could not be asked


class Recorder:
    """Keeps what one session sees.

    Args:
        deployment: What is deployed.
        series: The closed bars.
        desk: Asks the policy.
        journal: What is kept already.
    """

    def __init__(self, deployment: Deployment, series: BarSeries, desk: PolicyDesk, journal: JournalReader) -> None:
        self._deployment, self._series, self._desk = deployment, series, desk
        symbol = deployment.symbol
        self._closed_ms = journal.newest_bar(AccountRow, symbol)
        self._decided_ms = journal.newest_bar(DecisionRow, symbol)
        self.known = list(journal.market_since(symbol, self._closed_ms - series.kept_ms))
        """Market data that are kept already, as far as a window can reach back to them."""
        self._kept = {(row.series, row.time_ms) for row in self.known}

    def rows(self, event: Event, state: State) -> list[Row]:
        """Return what is kept with an event.

        Args:
            event: Which.
            state: After it.
        """
        match event:
            case BarClosed() if event.open_ms > self._closed_ms:
                self._closed_ms = event.open_ms
                return [self._account_row(event, state), *self._market_rows(event.open_ms)]
            case Decided() if event.open_ms > self._decided_ms:
                self._decided_ms = event.open_ms
                return [self._decision_row(event)]
        return []

    def _account_row(self, event: BarClosed, state: State) -> AccountRow:
        books = state.books
        wallet_balance, isolated_wallet = state.wallets_at(event.open_ms + state.conduct.bar_ms)
        return AccountRow(
            symbol=self._deployment.symbol,
            bar_open_ms=event.open_ms,
            wallet_balance=wallet_balance,
            amount=books.amount,
            entry_price=books.entry_price,
            isolated_wallet=isolated_wallet,
            bars_held=state.bars_held,
            mark_close=event.mark_close,
            next_funding_ms=self._desk.next_funding_ms,
        )

    def _decision_row(self, event: Decided) -> DecisionRow:
        seen = self._desk.observation
        was_asked = seen is not None and seen.open_ms == event.open_ms
        observation = seen.values.tobytes() if seen is not None and was_asked else NO_OBSERVATION
        return DecisionRow(
            symbol=self._deployment.symbol,
            bar_open_ms=event.open_ms,
            model_sha256=self._deployment.checkpoint_sha256,
            observation=observation,
            observation_sha256=hashlib.sha256(observation).hexdigest(),
            action="hold" if event.fault else event.action,
            target=event.target,
            memory=self._desk.memory or None if was_asked else None,
        )

    def _market_rows(self, open_ms: int) -> Iterator[MarketRow]:
        end_ms = open_ms + self._series.needs.bar_ms
        kept: set[tuple[str, int]] = set()
        window = self._series.window(end_ms) if self._series.is_ready(end_ms) else {}
        for series, rows in window.items():
            for time_ms, *values in rows:
                key = (series.folder, int(str(time_ms)))
                kept.add(key)
                if key not in self._kept:
                    yield self._market_row(series, key[1], values)
        self._kept = kept

    def _market_row(self, series: Series, time_ms: int, values: Sequence[int | str | None]) -> MarketRow:
        return MarketRow(symbol=self._deployment.symbol, series=series.folder, time_ms=time_ms, body=json.dumps(values))
