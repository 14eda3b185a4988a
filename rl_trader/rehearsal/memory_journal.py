"""A journal in memory: what the live trader's journal holds, without a disk; it outlives the trader."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from rl_trader.live.core.codec import decode_event
from rl_trader.live.core.events import Event
from rl_trader.live.journal.rows import (
    ClearedStopRow,
    FillRow,
    IncomeRow,
    IntentRow,
    IntentStateRow,
    NewEvent,
    PostingRow,
    RiskStopRow,
    Row,
)
from rl_trader.rehearsal.hazards import Hazards

DIGEST_EVERY: Final = 100  # events

_WRITE: Final = json.JSONEncoder(sort_keys=True).encode


class MemoryJournal:
    """Keeps entries as the lines of text that they are, and the natural keys of their rows.

    Args:
        hazards: Of the process that writes.
    """

    def __init__(self, hazards: Hazards | None = None) -> None:
        self._hazards = hazards
        self.lines: list[str] = []  # one an event
        self.client_ids: set[str] = set()  # of every order that was journalled
        self.keys: Counter[tuple[object, ...]] = Counter()  # natural keys of rows
        self.booked: dict[str, Decimal] = {}  # by account of the double entries
        self.states: dict[str, list[tuple[int, str]]] = {}  # by client id: how far it was, with the entry's number
        self.stops: list[tuple[int, str | None]] = []  # what was latched, or None cleared, with the entry's number
        self.digests: dict[int, str] = {}  # of the state, by the number of the last event
        self.digest: Callable[[], str] | None = None  # of the state now

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.lines)

    def append(self, events: Sequence[NewEvent]) -> int:
        """Write events, and return the number of the last.

        Raises:
            ValueError: If a client id is journalled twice.
        """
        for event in events:
            if self._hazards is not None:
                self._hazards.at(f"before the journal has {event.kind}")
            for row in event.rows:
                self._keep(row, len(self.lines) + 1)
            line = {"kind": event.kind, "session_ms": event.session_ms, "body": event.body}
            self.lines.append(_WRITE(line))
            if self.digest is not None and len(self.lines) % DIGEST_EVERY == 0:
                self.digests[len(self.lines)] = self.digest()
            if self._hazards is not None:
                self._hazards.at(f"after the journal has {event.kind}")
        return len(self.lines)

    def _keep(self, row: Row, number: int) -> None:
        if isinstance(row, IntentRow):
            if row.client_order_id in self.client_ids:
                raise ValueError(f"{row.client_order_id} is journalled twice; every order has its own")
            self.client_ids.add(row.client_order_id)
            self.states[row.client_order_id] = [(number, row.state)]
            self.keys["intent", row.decision, row.leg, row.attempt] += 1
        elif isinstance(row, FillRow):
            self.keys["fill", row.symbol, row.trade_id] += 1
        elif isinstance(row, IncomeRow):
            self.keys["income", row.income_type, row.tran_id] += 1
        elif isinstance(row, PostingRow):
            self.keys["posting", row.key, row.leg] += 1
            self.booked[row.account] = self.booked.get(row.account, Decimal(0)) + row.amount
        elif isinstance(row, IntentStateRow):
            self.states.setdefault(row.client_order_id, []).append((number, row.state))
        elif isinstance(row, RiskStopRow | ClearedStopRow):
            self.stops.append((number, row.kind if isinstance(row, RiskStopRow) else None))

    def events(self) -> Iterator[Event]:
        """Yield the events, the oldest first."""
        for line in self.lines:
            entry = json.loads(line)
            yield decode_event(entry["kind"], entry["body"])

    @property
    def latched(self) -> list[int]:
        """The numbers of the events with stops that nobody has cleared."""
        numbers: list[int] = []
        for number, kind in self.stops:
            numbers = [] if kind is None else [*numbers, number]
        return numbers

    @property
    def text(self) -> str:
        """Everything."""
        return "\n".join(self.lines)
