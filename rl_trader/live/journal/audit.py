"""Walking through a journal: every event with what it booked, and whether all of it is what was written.

What is checked: SQLite's own structure and references, each event's digest and number, each row's place, that double
entries sum to zero, that observations are those of their digests, and that the journal does not end before its tip. A
damaged byte is found, or it is one that holds nothing, or of a snapshot.
"""

import hashlib
import heapq
import sqlite3
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

from rl_trader.live.journal.chain import (
    DamagedJournalError,
    EventHead,
    StoredRow,
    event_digest,
    snapshot_digest,
    state_sha256,
)
from rl_trader.live.journal.rows import ROW_KINDS, DecisionRow, unbalanced
from rl_trader.live.journal.tip import Tip

AT_ONCE: Final = 250  # events of a piece, which take some ten milliseconds

_HEAD: Final = ", ".join(EventHead._fields)


class Tail(NamedTuple):
    """The end of the chain."""

    seq: int  # 0 where there is no event
    digest: bytes


class WholeEvent(NamedTuple):
    """An event as the tables hold it, with what it booked."""

    head: EventHead
    digest: bytes
    rows: list[StoredRow]


class _Placed(NamedTuple):
    seq: int
    place: int
    row: StoredRow


class Stretch(NamedTuple):
    """Part of a chain: the events after one, up to another."""

    after: int = 0
    until: int = 2**63 - 1


def whole_events(connection: sqlite3.Connection, path: Path, part: Stretch | None = None) -> Iterator[WholeEvent]:
    """Yield every event of a part in order, with its rows in order.

    Raises:
        DamagedJournalError: If there are rows of no event, or one is missing among an event's.
        sqlite3.Error: If it cannot be read.
    """
    part = part or Stretch()
    there = tables_of(connection)
    tables = [kind.table for kind in ROW_KINDS if kind.table in there]
    placed = heapq.merge(*(_placed(connection, table, part) for table in tables), key=attrgetter("seq", "place"))
    booked = ((seq, list(rows)) for seq, rows in groupby(placed, key=attrgetter("seq")))
    seq, rows = next(booked, (None, []))
    chosen = f"SELECT {_HEAD}, digest FROM event WHERE seq > ? AND seq <= ? ORDER BY seq"
    for *head, digest in connection.execute(chosen, part):
        event = EventHead(*head)
        if seq is not None and seq < event.seq:
            break
        of_event: list[_Placed] = []
        if seq == event.seq:
            of_event = rows
            seq, rows = next(booked, (None, []))
        if [row.place for row in of_event] != list(range(len(of_event))):
            raise damaged(path, event.seq, "its rows are not numbered from 0 without a gap")
        yield WholeEvent(event, digest, [row.row for row in of_event])
    if seq is not None:
        raise damaged(path, seq, "it booked rows and is missing")


def tables_of(connection: sqlite3.Connection) -> set[str]:
    """Return the names of a journal's tables; one of an older version has fewer."""
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def walk(connection: sqlite3.Connection, path: Path, start: bytes, tip: Tip | None, known: Tail | None = None) -> Tail:
    """Check a journal from end to end and return where its chain ends.

    Args:
        connection: To the journal.
        path: What messages call it.
        start: Where its chain begins.
        tip: Newest event that is known to be durable, if that is known.
        known: Event up to which :func:`walk_before` checks it; None checks all.

    Raises:
        DamagedJournalError: At the first place where it is not what was written.
        sqlite3.Error: If it cannot be read.
    """
    _check_structure(connection, path)
    tail = known or Tail(0, start)
    if tip is not None and tip.seq == 0 and tip.digest != start:
        raise damaged(path, 0, "it begins at another identity than its tip")
    for event in whole_events(connection, path, Stretch(tail.seq)):
        _check_event(event, tail, path)
        tail = Tail(event.head.seq, event.digest)
        if tip is not None and tail.seq == tip.seq and tail.digest != tip.digest:
            raise damaged(path, tail.seq, "it is another event than the one that was noted as durable")
    if tip is not None and tail.seq < tip.seq:
        raise damaged(path, tail.seq + 1, f"it is missing, and event {tip.seq} was noted as durable")
    return tail


def walk_before(connection: sqlite3.Connection, path: Path, start: bytes, known: Tail) -> Iterator[None]:
    """Check a journal up to an event, some events at a time.

    Args:
        connection: To the journal.
        path: What messages call it.
        start: Where its chain begins.
        known: The event, by its digest.

    Raises:
        DamagedJournalError: At the first place where it is not what was written.
        sqlite3.Error: If it cannot be read.
    """
    tail = Tail(0, start)
    while tail.seq < known.seq:
        begin = tail.seq
        for event in whole_events(connection, path, Stretch(begin, min(begin + AT_ONCE, known.seq))):
            _check_event(event, tail, path)
            tail = Tail(event.head.seq, event.digest)
        if tail.seq == begin:
            raise damaged(path, begin + 1, "it is missing")
        yield
    if tail != known and known.seq:
        raise damaged(path, known.seq, "it is another event than the one of the snapshot after it")


def newest_snapshot(connection: sqlite3.Connection, tip: Tip | None) -> Tail | None:
    """Return the event of the newest whole snapshot whose state is kept, if the tip says that it is durable.

    Raises:
        sqlite3.Error: If it cannot be read.
    """
    chosen = "SELECT seq, event.digest FROM snapshot JOIN event USING (seq) WHERE state IS NOT NULL ORDER BY seq DESC"
    for found in connection.execute(chosen).fetchall():
        known = Tail(*found)
        is_durable = tip is not None and (known.seq < tip.seq or tip[1:] == known)
        if is_durable and _snapshot_of(connection, known.seq).is_whole:
            return known
    return None


def check_snapshots(connection: sqlite3.Connection, path: Path) -> None:
    """Check that snapshots belong to their events; they are an aid, without which a journal is whole all the same.

    Raises:
        DamagedJournalError: At the first that does not.
        sqlite3.Error: If it cannot be read.
    """
    for (seq,) in connection.execute("SELECT seq FROM snapshot ORDER BY seq").fetchall():
        if not _snapshot_of(connection, seq).is_whole:
            raise damaged(path, seq, "the snapshot after it is not the one that was taken")


def whole_snapshot(connection: sqlite3.Connection, seq: int) -> str | None:
    """Return the state of the snapshot after an event; None if it is not the one that was taken, or not kept.

    Raises:
        sqlite3.Error: If it cannot be read.
    """
    found = _snapshot_of(connection, seq)
    return found.state if found.is_whole else None


def damaged(path: Path, seq: int, why: str) -> DamagedJournalError:
    """Return the sentence that says where a journal breaks."""
    return DamagedJournalError(
        f"the journal {path} breaks at event {seq}: {why}; restore a copy, or move it aside and begin a new one"
    )


def _placed(connection: sqlite3.Connection, table: str, part: Stretch) -> Iterator[_Placed]:
    cursor = connection.execute(f"SELECT * FROM {table} WHERE seq > ? AND seq <= ? ORDER BY seq, place", part)
    names = [column[0] for column in cursor.description]
    for values in cursor:
        row = dict(zip(names, values, strict=True))
        yield _Placed(row.pop("seq"), row.pop("place"), StoredRow(table, row))


def _check_structure(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise DamagedJournalError(f"the journal {path} is damaged ({found}); restore a copy, or move it aside")
    orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
    if orphan is not None:
        raise DamagedJournalError(
            f"the journal {path} is damaged (row {orphan[1]} of {orphan[0]} refers to nothing); restore a copy"
        )


def _check_event(event: WholeEvent, tail: Tail, path: Path) -> None:
    seq = tail.seq + 1
    if event.head.seq != seq:
        raise damaged(path, seq, f"it is missing, and event {event.head.seq} follows")
    if event_digest(tail.digest, event.head, event.rows) != event.digest:
        raise damaged(path, seq, "its digest is not that of its content and of the events before it")
    key = unbalanced(event.rows)
    if key is not None:
        raise damaged(path, seq, f"the postings of {key} do not sum to zero")
    for row in event.rows:
        if row.table == DecisionRow.table and not _is_observation_whole(row):
            raise damaged(path, seq, "the observation of its decision is not the one of its digest")


def _is_observation_whole(decision: StoredRow) -> bool:
    observation = decision.values["observation"]
    assert isinstance(observation, bytes)  # the table is strict
    return hashlib.sha256(observation).hexdigest() == decision.values["observation_sha256"]


class _Snapshot(NamedTuple):
    state: str | None
    is_whole: bool


def _snapshot_of(connection: sqlite3.Connection, seq: int) -> _Snapshot:
    row = connection.execute(
        "SELECT state, state_sha256, snapshot.digest, event.digest FROM snapshot JOIN event USING (seq) WHERE seq = ?",
        (seq,),
    ).fetchone()
    if row is None:
        return _Snapshot(None, is_whole=False)
    state, sha256, digest, event = row
    is_known = state is None or state_sha256(state) == sha256
    return _Snapshot(state, is_whole=is_known and digest == snapshot_digest(event, sha256))
