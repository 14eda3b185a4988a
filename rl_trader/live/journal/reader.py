"""Reading a journal: the events for a replay, the rows, the snapshots, the whole as text.

A damaged journal, or a copy, is opened by :func:`open_read_only` and cannot be changed through what it returns. Reading
shows what is committed.
"""

import json
import sqlite3
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from rl_trader.live.journal.audit import (
    WholeEvent,
    check_snapshots,
    tables_of,
    walk,
    whole_events,
    whole_snapshot,
)
from rl_trader.live.journal.chain import EventHead, JournalError, Stored, genesis
from rl_trader.live.journal.file import connect_reading, os_errors, sqlite_errors
from rl_trader.live.journal.rows import AccountRow, DecisionRow, LatchedStop, MarketRow, R, StoredEvent, row_from
from rl_trader.live.journal.schema import STEPS, check_version, read_meta

_PAGE: Final = 1_000  # events that are read at once


class StoredSnapshot(NamedTuple):
    """The trader's state after an event."""

    seq: int
    state: str | None  # as it was given; None if that cannot be told any more


class JournalReader:
    """A journal that is read.

    Args:
        path: The file.
        connection: To it; closed with the reader.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def identity(self) -> dict[str, str]:
        """Return whose journal it is."""
        with sqlite_errors(self.path, "read"):
            text, _ = read_meta(self._connection, self.path)
        found: dict[str, str] = json.loads(text)
        return found

    def events(self, after_seq: int = 0) -> Iterator[StoredEvent]:
        """Yield the events after one, in order; events that are committed meanwhile are among them."""
        names = ", ".join(EventHead._fields)
        while page := self._rows(
            f"SELECT {names}, digest FROM event WHERE seq > ? ORDER BY seq LIMIT {_PAGE}", (after_seq,)
        ):
            for *head, digest in page:
                event = EventHead(*head)
                after_seq = event.seq
                with sqlite_errors(self.path, "read"):
                    body = json.loads(event.body)
                yield StoredEvent(**{**event._asdict(), "body": body}, digest=digest)

    def newest(self, kind: str) -> StoredEvent | None:
        """Return the newest event of a kind; None if there is none."""
        for (seq,) in self._rows("SELECT max(seq) FROM event WHERE kind = ?", (kind,)):
            return None if seq is None else next(self.events(seq - 1))
        return None

    def rows(self, kind: type[R]) -> Iterator[tuple[int, R]]:
        """Yield the rows of a kind in the order in which they were booked, each with its event's number.

        A journal of a version that did not know the kind has none.
        """
        with sqlite_errors(self.path, "read"):
            if kind.table not in tables_of(self._connection):
                return
            cursor = self._connection.execute(f"SELECT * FROM {kind.table} ORDER BY seq, place")
            names = [column[0] for column in cursor.description]
            found = cursor.fetchall()
        for values in found:
            row = dict(zip(names, values, strict=True))
            with sqlite_errors(self.path, "read"):
                booked = row_from(kind, row)
            yield row["seq"], booked

    def newest_bar(self, kind: type[AccountRow | DecisionRow], symbol: str) -> int:
        """Return the open time of the newest bar that has a row of a kind; 0 if none has."""
        found = self._rows(f"SELECT max(bar_open_ms) FROM {kind.table} WHERE symbol = ?", (symbol,))
        return int(found[0][0] or 0)

    def market_since(self, symbol: str, since_ms: int) -> Iterator[MarketRow]:
        """Yield the market data of a symbol from a time on, in no order."""
        wanted = "SELECT series, time_ms, body FROM market WHERE symbol = ? AND time_ms >= ?"
        for series, time_ms, body in self._rows(wanted, (symbol, since_ms)):
            yield MarketRow(symbol=symbol, series=series, time_ms=time_ms, body=body)

    def intent_state(self, client_order_id: str) -> str | None:
        """Return the newest state of an intent; None if it was never journalled."""
        newest = self._rows(
            "SELECT state FROM intent_state WHERE client_order_id = ? ORDER BY seq DESC, place DESC LIMIT 1",
            (client_order_id,),
        )
        first = self._rows("SELECT state FROM intent WHERE client_order_id = ?", (client_order_id,))
        return next((str(state) for (state,) in chain(newest, first)), None)

    def latched_stops(self) -> list[LatchedStop]:
        """Return the stops that nobody has cleared, oldest first."""
        found = self._rows(
            "SELECT seq, kind, reason, by FROM risk_stop"
            " WHERE seq NOT IN (SELECT stop_seq FROM cleared_stop) ORDER BY seq"
        )
        return [LatchedStop(*row) for row in found]

    def snapshots(self) -> Iterator[StoredSnapshot]:
        """Yield the snapshots whose state is kept, the newest first; of a damaged one the state is None."""
        found = self._rows("SELECT seq FROM snapshot WHERE state IS NOT NULL ORDER BY seq DESC")
        for (seq,) in found:
            with sqlite_errors(self.path, "read"):
                yield StoredSnapshot(seq, whole_snapshot(self._connection, seq))

    def verify(self) -> None:
        """Walk through the whole chain, and look at the snapshots.

        Raises:
            DamagedJournalError: Says where it breaks.
            JournalError: If it cannot be read.
        """
        with sqlite_errors(self.path, "read"):
            identity, _ = read_meta(self._connection, self.path)
            walk(self._connection, self.path, genesis(json.loads(identity)), None)
            check_snapshots(self._connection, self.path)

    def dump(self) -> str:
        """Return everything that it says as text, one thing a line; equal texts are equal journals."""
        return "".join(f"{json.dumps(line, sort_keys=True)}\n" for line in self._lines())

    def copy_to(self, target: Path) -> None:
        """Write a copy for readers, which appears whole or not at all.

        Raises:
            JournalError: If there is such a file already, or it cannot be written.
        """
        if target.exists():
            raise JournalError(f"the copy {target} must be a new file and exists; give another path")
        draft = target.with_name(f"{target.name}.new")
        with os_errors(self.path, "copied"), sqlite_errors(self.path, "copied"):
            draft.unlink(missing_ok=True)
            try:
                self._connection.execute("VACUUM INTO ?", (str(draft),))
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it; doing so twice is harmless."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rows(self, question: str, values: tuple[Stored, ...] = ()) -> list[tuple[Any, ...]]:
        with sqlite_errors(self.path, "read"):
            return self._connection.execute(question, values).fetchall()

    def _lines(self) -> Iterator[object]:
        with sqlite_errors(self.path, "read"):
            identity, epoch = read_meta(self._connection, self.path)
            yield {"identity": json.loads(identity), "epoch": epoch}
            yield from map(_event_line, whole_events(self._connection, self.path))
            for seq, state, sha256 in self._rows("SELECT seq, state, state_sha256 FROM snapshot ORDER BY seq"):
                yield {"snapshot": seq, "state": state, "sha256": sha256.hex()}


def open_read_only(path: Path) -> JournalReader:
    """Open a journal, or a copy, for reading; whether it is whole is for its ``verify`` to say.

    Raises:
        ConfigError: If a trader has it open.
        JournalError: If it cannot be read, is no journal or is of a newer version.
    """
    connection = connect_reading(path)
    try:
        with sqlite_errors(path, "read"):
            check_version(connection, path, STEPS)
    except BaseException:
        connection.close()
        raise
    return JournalReader(path, connection)


def _event_line(event: WholeEvent) -> object:
    rows = [
        [row.table, {name: v.hex() if isinstance(v, bytes) else v for name, v in row.values.items()}]
        for row in event.rows
    ]
    return {"event": [*event.head], "digest": event.digest.hex(), "rows": rows}
