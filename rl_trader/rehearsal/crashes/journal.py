"""The trader's real journal, with the points at which it is killed; and what a journal says, for the checkers."""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rl_trader.live.core.codec import decode_event
from rl_trader.live.core.events import FillSeen, TimerFired
from rl_trader.live.core.state import State
from rl_trader.live.journal.reader import JournalReader, open_read_only
from rl_trader.live.journal.reserved import ReservedJournal
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
from rl_trader.live.journal.schema import JournalIdentity
from rl_trader.rehearsal.crashes.points import Points
from rl_trader.rehearsal.memory_journal import MemoryJournal

IDENTITY: Final = JournalIdentity(mode="paper", account="main", checkpoint="c0ffee")
RESERVE_BYTES: Final = 65_536

_KINDS: Final = (IntentRow, IntentStateRow, FillRow, IncomeRow, PostingRow, RiskStopRow, ClearedStopRow)
_PARTS: Final = ("", "-wal", ".tip")


class WatchedJournal:
    """Writes a journal, and passes points before, within and after every entry.

    Args:
        journal: Is written.
        points: Of this process.
        state: The trader's.
    """

    def __init__(self, journal: ReservedJournal, points: Points, state: State) -> None:
        self._journal, self._points, self._state = journal, points, state

    def append(self, events: Sequence[NewEvent]) -> int:
        """Write events, one after the other, and return the number of the last."""
        number = 0
        for event in events:
            name = self._name(event)
            self._points.at(f"before the journal has {name}")
            with self._points.commit_of(name):
                number = self._journal.append([event])
            self._points.at(f"after the journal has {name}")
        return number

    def _name(self, entry: NewEvent) -> str:
        event = decode_event(entry.kind, entry.body)
        if isinstance(event, TimerFired):
            return f"{entry.kind} {event.name.partition(' ')[0]}"
        client_id = getattr(event, "client_id", None)
        if client_id is None and isinstance(event, FillSeen):
            intents = self._state.intents.values()
            client_id = next((i.client_id for i in intents if i.order_id == event.order_id), None)
        intent = self._state.intents.get(client_id or "")
        return entry.kind if intent is None else f"{entry.kind} of {intent.purpose}"


def journalled_ids(path: Path) -> set[str]:
    """Return the client ids that a journal would have if its process died now; somebody may be writing it."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="image-") as name:
        copy = Path(name) / path.name
        for part in _PARTS:
            found = path.with_name(f"{path.name}{part}")
            if found.exists():
                shutil.copyfile(found, copy.with_name(f"{copy.name}{part}"))
        with open_read_only(copy) as reader:
            return {row.client_order_id for _, row in reader.rows(IntentRow)}


def recalled(reader: JournalReader) -> MemoryJournal:
    """Return what a journal says, as the checkers look at it."""
    rows: dict[int, list[Row]] = defaultdict(list)
    for kind in _KINDS:
        for seq, row in reader.rows(kind):
            rows[seq].append(row)
    memory = MemoryJournal()
    for event in reader.events():
        body, booked = dict(event.body), tuple(rows[event.seq])
        memory.append(
            [NewEvent(source=event.source, kind=event.kind, session_ms=event.session_ms, body=body, rows=booked)]
        )
    return memory
