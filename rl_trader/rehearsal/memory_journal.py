"""A journal in memory: what the live trader's journal holds, without a disk; it outlives the trader."""

import json
from collections.abc import Iterator, Sequence

from rl_trader.live.codec import decode_event
from rl_trader.live.events import Event
from rl_trader.live.journal_rows import IntentRow, NewEvent


class MemoryJournal:
    """Keeps entries as the lines of text that they are."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.client_ids: set[str] = set()  # of every order that was journalled

    def append(self, events: Sequence[NewEvent]) -> int:
        """Write events, and return the number of the last.

        Raises:
            ValueError: If a client id is journalled twice.
        """
        for event in events:
            for row in event.rows:
                if isinstance(row, IntentRow):
                    if row.client_order_id in self.client_ids:
                        raise ValueError(f"{row.client_order_id} is journalled twice; every order has its own")
                    self.client_ids.add(row.client_order_id)
            line = {"kind": event.kind, "session_ms": event.session_ms, "body": event.body}
            self._lines.append(json.dumps(line, sort_keys=True))
        return len(self._lines)

    def events(self) -> Iterator[Event]:
        """Yield the events, the oldest first."""
        for line in self._lines:
            entry = json.loads(line)
            yield decode_event(entry["kind"], entry["body"])

    @property
    def text(self) -> str:
        """Everything."""
        return "\n".join(self._lines)
