"""A journal of many calm days: a trader without a position that is asked every minute and holds.

The core takes every event, and the journal gets what the trader would write: readings of the account by the timer, bars
with what is kept of them, and decisions. Bars are a minute long, as the shortest that are traded.
"""

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

from agents.benchmark.market import SYMBOL
from rl_trader.live.conducting import conduct_of
from rl_trader.live.core.events import BarClosed, Decided, Event, MarketSeen, Snapshot, TimerFired
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.state import State
from rl_trader.live.entries import entry
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.journal.rows import AccountRow, DecisionRow, MarketRow, NewEvent, Row
from rl_trader.live.journal.schema import JournalIdentity
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.snapshots import restored

MINUTE_MS: Final = 60_000
MINUTES_A_DAY: Final = 1_440

_POLLS: Final = 4  # a minute
_MINUTES_AT_ONCE: Final = 160  # so that the disk is not waited for 14,400 times; divides a day
_PRICE: Final = Decimal(100)
_ZERO: Final = Decimal(0)
_OBSERVATION: Final = bytes(1_024)
_SHA: Final = hashlib.sha256(_OBSERVATION).hexdigest()


def lengthen(path: Path, deployment: Deployment, num_days: int) -> int:
    """Append calm days to the journal of a trader without a position, and return how many events it has then.

    Args:
        path: Of the journal; its trader has ended.
        deployment: What it trades.
        num_days: How many.
    """
    with open_read_only(path) as reader:
        identity = JournalIdentity(**reader.identity())
    with Journal.open(path, identity) as journal:
        core = restored(journal, conduct_of(deployment), gate_of(deployment.terms), "none").core
        since_ms = core.state.now_ms
        entries: list[NewEvent] = []
        for minute in range(1, num_days * MINUTES_A_DAY + 1):
            for event in _events(core.state, since_ms + minute * MINUTE_MS):
                core.step(event)
                entries.append(_entry(event, core.state, minute))
            if minute % _MINUTES_AT_ONCE == 0:
                journal.append(entries)
                entries = []
        return journal.last_seq


def _events(state: State, now_ms: int) -> Iterator[Event]:
    books, open_ms = state.books, now_ms - state.conduct.bar_ms
    for poll in range(_POLLS):
        t_ms = now_ms - MINUTE_MS + (poll + 1) * MINUTE_MS // _POLLS
        yield TimerFired(t_ms=t_ms, name="poll")
        yield Snapshot(
            t_ms=t_ms,
            wallet_balance=books.wallet_balance,
            amount=_ZERO,
            entry_price=_ZERO,
            isolated_wallet=_ZERO,
            fills=(),
            income=(),
            open_orders=(),
            open_stops=(),
            is_user_stream_healthy=True,
        )
    yield MarketSeen(t_ms=now_ms, is_alive=True, mark_price=_PRICE)
    yield BarClosed(t_ms=now_ms, open_ms=open_ms, close=_PRICE, mark_close=_PRICE)
    yield Decided(
        t_ms=now_ms,
        open_ms=open_ms,
        observation_sha=_SHA,
        action="hold",
        target=_ZERO,
        reduce_amount=_ZERO,
        open_amount=_ZERO,
        fault="",
    )


def _entry(event: Event, state: State, minute: int) -> NewEvent:
    written = entry(event, state, minute * MINUTE_MS, [])
    return NewEvent(
        source=written.source,
        kind=written.kind,
        session_ms=written.session_ms,
        exchange_ms=written.exchange_ms,
        body=written.body,
        rows=(*written.rows, *_kept(event, state)),
    )


def _kept(event: Event, state: State) -> Iterator[Row]:
    """Yield what the trader would keep of a bar."""
    if isinstance(event, BarClosed):
        yield AccountRow(
            symbol=SYMBOL,
            bar_open_ms=event.open_ms,
            wallet_balance=state.books.wallet_balance,
            amount=_ZERO,
            entry_price=_ZERO,
            isolated_wallet=_ZERO,
            bars_held=0,
            mark_close=_PRICE,
            next_funding_ms=None,
        )
        body = json.dumps(["100.0", "100.1", "99.9", "100.0", "1234.567", 60, "123456.7"])
        yield MarketRow(symbol=SYMBOL, series="klines_1m", time_ms=event.open_ms, body=body)
    if isinstance(event, Decided):
        yield DecisionRow(
            symbol=SYMBOL,
            bar_open_ms=event.open_ms,
            model_sha256="0" * 64,
            observation=_OBSERVATION,
            observation_sha256=_SHA,
            action="hold",
            target=_ZERO,
        )
