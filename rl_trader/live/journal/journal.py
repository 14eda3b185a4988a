"""The live trader's journal: every event and every order as it is meant, written down before anything is sent.

One SQLite file of one account, mode and checkpoint, written by one process. An append is one transaction, synced to
the disk before it returns whenever it books what may not wait; other events wait for :meth:`Journal.flush` or for the
next append that books such, which writes them first. What fails leaves nothing behind, and after a failure of the disk
nothing is taken any more, until the reserve is given back.

Its clock is its callers': it reads none. The same calls give the same journal, byte for byte of :meth:`Journal.dump`.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from rl_trader.errors import RlTraderError
from rl_trader.live.journal.audit import Tail, newest_snapshot, walk, walk_before
from rl_trader.live.journal.chain import (
    DamagedJournalError,
    DuplicateRowError,
    EventHead,
    JournalError,
    StoredRow,
    canonical,
    event_digest,
    genesis,
    snapshot_digest,
    state_sha256,
)
from rl_trader.live.journal.file import (
    BALLAST_BYTES,
    connect_reading,
    connect_writing,
    create,
    free_ballast,
    keep_ballast,
    os_errors,
    sqlite_errors,
    sync_folder,
    translated,
)
from rl_trader.live.journal.instance_lock import InstanceLock
from rl_trader.live.journal.reader import JournalReader
from rl_trader.live.journal.rows import NewEvent, stored, stored_text, stored_whole, unbalanced
from rl_trader.live.journal.schema import (
    STEPS,
    JournalIdentity,
    check_identity,
    check_version,
    migrate,
    read_meta,
    write_identity,
)
from rl_trader.live.journal.tip import Tip, TipFile, read_tip, tip_path

GROUP: Final = 256  # events that wait at most
KEPT_STATES: Final = 4  # snapshots whose state is kept; of older ones its digest is

_DUPLICATES: Final = frozenset({"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_ROWID"})
_INSERT_EVENT: Final = f"INSERT INTO event ({', '.join(EventHead._fields)}, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


class _Staged(NamedTuple):
    head: EventHead
    digest: bytes
    rows: tuple[StoredRow, ...]


class _Opened(NamedTuple):
    """What an open journal holds on to."""

    lock: InstanceLock
    connection: sqlite3.Connection
    tip: TipFile
    epoch: int
    tail: Tail


class Journal(JournalReader):
    """The journal, for the one process that writes it; made by :meth:`open`."""

    def __init__(self, path: Path, opened: _Opened) -> None:
        super().__init__(path, opened.connection)
        self.epoch = opened.epoch
        """How often the journal has been opened, this time included."""
        self.checked_from = 0
        """The event after which :meth:`open` has begun to check."""
        self.older: Iterator[None] = iter(())
        """Checks the events up to the snapshot from which :meth:`open` has begun to; some a step.

        Raises JournalError where they are not what was written, or cannot be read.
        """
        self._lock = opened.lock
        self._tip = opened.tip
        self._durable = opened.tail
        self._waiting: list[_Staged] = []
        self._failure: RlTraderError | None = None

    @classmethod
    def open(cls, path: Path, identity: JournalIdentity, *, reserve_bytes: int = BALLAST_BYTES) -> "Journal":
        """Open a journal, or begin one where there is none, and walk through it before anything is written.

        What is before its newest snapshot is left for :attr:`older`: who begins with the snapshot does not need it.

        Args:
            path: The file.
            identity: Whose it must be.
            reserve_bytes: Space that is kept for :meth:`use_reserve`.

        Raises:
            ConfigError: If another process has it open, or it is of another account, mode or checkpoint.
            DamagedJournalError: If it is not what was written. It is left as it is: read it by
                :func:`~rl_trader.live.journal.reader.open_read_only`, or move it out of the way by
                :func:`~rl_trader.live.journal.file.move_aside`.
            JournalError: If it is of a newer version, or cannot be written.
        """
        lock = InstanceLock.acquire(path)
        try:
            with os_errors(path, "opened"), sqlite_errors(path, "opened"):
                if not path.exists():
                    create(path, identity)
                known, tail = _inspected(path, identity)
                keep_ballast(path, reserve_bytes)
                journal = cls(path, _begun(path, identity, lock, tail))
                journal.checked_from = known.seq
                journal.older = journal._walk_before(genesis(identity.as_json()), known)
                return journal
        except BaseException:
            lock.release()
            raise

    def _walk_before(self, start: bytes, known: Tail) -> Iterator[None]:
        with sqlite_errors(self.path, "read"):
            yield from walk_before(self._connection, self.path, start, known)

    @property
    def last_seq(self) -> int:
        """Number of the newest event, whether it is committed or waits; 0 where there is none."""
        return self._end.seq

    @property
    def failure(self) -> str | None:
        """Why nothing is taken any more; None while all is well."""
        return None if self._failure is None else str(self._failure)

    def append(self, events: Sequence[NewEvent]) -> int:
        """Journal events with what they book, all or none, and return the number of the last.

        If any of them books a row that may not wait, all of them, and all that wait, are durable when this returns.

        Raises:
            DuplicateRowError: If a row that can be only once is there already; the journal goes on.
            JournalError: If an event is none, which changes nothing; or if it could not be written, after which
                nothing is taken until :meth:`use_reserve`.
        """
        self._check_usable()
        staged = self._staged(events)
        is_urgent = any(not row.may_wait for event in events for row in event.rows)
        if is_urgent or len(self._waiting) + len(staged) >= GROUP:
            self._commit([*self._waiting, *staged])
        else:
            self._waiting += staged
        return self.last_seq

    def flush(self) -> None:
        """Make what waits durable.

        Raises:
            JournalError: If it could not be written.
        """
        self._check_usable()
        self._commit(self._waiting)

    def save_snapshot(self, seq: int, state_json: str) -> None:
        """Keep the trader's state after an event, so that a replay can begin there.

        Raises:
            DuplicateRowError: If there is a snapshot after that event.
            JournalError: If there is no such event, or it could not be written.
        """
        self.flush()
        state = stored_text(state_json, "a snapshot's state")
        found = self._rows("SELECT digest FROM event WHERE seq = ?", (seq,))
        if not found:
            raise JournalError(f"a snapshot must be of an event from 1 to {self.last_seq} and was of {seq}")
        sha256 = state_sha256(state)
        with self._transaction():
            self._connection.execute(
                "INSERT INTO snapshot (seq, state, state_sha256, digest) VALUES (?, ?, ?, ?)",
                (seq, state, sha256, snapshot_digest(found[0][0], sha256)),
            )
            self._connection.execute(
                "UPDATE snapshot SET state = NULL WHERE state IS NOT NULL AND seq NOT IN"
                " (SELECT seq FROM snapshot ORDER BY seq DESC LIMIT ?)",
                (KEPT_STATES,),
            )

    def use_reserve(self) -> None:
        """Give the reserved space back after a failure and take events again: a halt, and an exit.

        What waited still waits. If the failed append became durable after all, its events are counted as such.

        Raises:
            JournalError: If nothing has failed, the reserve is used up or cannot be removed, or the journal cannot be
                read.
        """
        if self._failure is None:
            raise JournalError(f"the reserve of the journal {self.path} is for a failure and there was none; keep it")
        with os_errors(self.path, "relieved of its reserve"):
            free_ballast(self.path)
        self._roll_back()
        if self._connection.in_transaction:
            raise JournalError(f"the journal {self.path} cannot be rolled back; end the trader and see to its disk")
        for newest in self._rows("SELECT seq, digest FROM event ORDER BY seq DESC LIMIT 1"):
            self._durable = Tail(*newest)
        self._waiting = [event for event in self._waiting if event.head.seq > self._durable.seq]
        self._failure = None

    def close(self) -> None:
        """Make durable what waits, unless something failed, and let go of the journal; twice is harmless.

        Raises:
            JournalError: If what waited could not be written; it is closed all the same.
        """
        if not self._lock.is_held:
            return
        with ExitStack() as stack, os_errors(self.path, "closed"):
            stack.callback(self._lock.release)
            stack.callback(super().close)
            stack.callback(self._tip.close)
            if self._failure is None:
                self.flush()

    @property
    def _end(self) -> Tail:
        if self._waiting:
            return Tail(self._waiting[-1].head.seq, self._waiting[-1].digest)
        return self._durable

    def _check_usable(self) -> None:
        if not self._lock.is_held:
            raise JournalError(f"the journal {self.path} is closed; open it again")
        if self._failure is not None:
            raise JournalError(f"nothing is journalled since a failure: {self._failure}")

    def _staged(self, events: Sequence[NewEvent]) -> list[_Staged]:
        staged: list[_Staged] = []
        end = self._end
        for event in events:
            head = _head(event, end.seq + 1, self.epoch)
            rows = tuple(stored(row) for row in event.rows)
            key = unbalanced(rows)
            if key is not None:
                raise JournalError(f"the postings of {key} must have two legs or more that sum to zero; none were made")
            end = Tail(head.seq, event_digest(end.digest, head, rows))
            staged.append(_Staged(head, end.digest, rows))
        return staged

    def _commit(self, staged: Sequence[_Staged]) -> None:
        if not staged:
            return
        with self._transaction():
            self._connection.executemany(_INSERT_EVENT, ((*event.head, event.digest) for event in staged))
            for event in staged:
                for place, row in enumerate(event.rows):
                    self._connection.execute(_insert(row), (*row.values.values(), event.head.seq, place))
        self._durable = Tail(staged[-1].head.seq, staged[-1].digest)
        self._waiting = []
        try:
            self._tip.write(Tip(self.epoch, *self._durable))
        except OSError as error:
            self._failure = JournalError(f"the tip of the journal {self.path} cannot be written ({error.strerror})")
            raise JournalError(f"{self._failure}; see to its disk") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done within, or nothing of it."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            self._roll_back()
            raise _refused(error, self.path) from error
        except sqlite3.Error as error:
            self._failure = translated(error, self.path, "written")
            self._roll_back()
            raise self._failure from error
        except BaseException:
            self._failure = JournalError(f"writing the journal {self.path} was interrupted")
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with suppress(
                sqlite3.Error
            ):  # a disk that does not write does not roll back either; it is rolled back at the next opening
                self._connection.execute("ROLLBACK")


def _inspected(path: Path, identity: JournalIdentity) -> tuple[Tail, Tail]:
    """Walk through a journal without the means to change it, and return from where on, and where it ends."""
    if not os.access(path, os.R_OK | os.W_OK):
        raise JournalError(
            f"the journal {path} must be read and written by this user and may not be; see to its rights"
        )
    if path.stat().st_size == 0:
        raise DamagedJournalError(f"the journal {path} is empty and never was; restore a copy, or move it aside")
    with closing(connect_reading(path)) as connection:
        check_version(connection, path, STEPS)
        found, epoch = read_meta(connection, path)
        check_identity(found, identity, path)
        tip = read_tip(path)
        start = genesis(identity.as_json())
        known = newest_snapshot(connection, tip) or Tail(0, start)
        tail = walk(connection, path, start, tip, known)
    if tail.seq and tip is None:
        raise DamagedJournalError(f"the journal {path} has lost its file {tip_path(path)} or is a copy; read it only")
    if tip is not None and tip.epoch > epoch:
        raise DamagedJournalError(
            f"the journal {path} was opened {tip.epoch} times and knows of {epoch}; restore a copy, or move it aside"
        )
    return known, tail


def _begun(path: Path, identity: JournalIdentity, lock: InstanceLock, tail: Tail) -> _Opened:
    """Open an inspected journal for writing, as its next epoch."""
    connection = connect_writing(path)
    try:
        migrate(connection, STEPS)
        connection.execute("BEGIN IMMEDIATE")
        epoch = read_meta(connection, path)[1] + 1
        write_identity(connection, identity, epoch)
        connection.execute("COMMIT")
        tip = TipFile(tip_path(path))
        tip.begin(Tip(epoch, *tail))
        sync_folder(path)
    except BaseException:
        connection.close()
        raise
    return _Opened(lock, connection, tip, epoch, tail)


def _head(event: NewEvent, seq: int, epoch: int) -> EventHead:
    cause = event.cause_seq
    if cause is not None and not 1 <= stored_whole(cause, "the cause of an event") < seq:
        raise JournalError(
            f"the cause of event {seq} must be an event before it and was {cause}; nothing was journalled"
        )
    return EventHead(
        seq=seq,
        epoch=epoch,
        exchange_ms=None if event.exchange_ms is None else stored_whole(event.exchange_ms, "exchange_ms of an event"),
        session_ms=stored_whole(event.session_ms, "session_ms of an event"),
        source=stored_text(event.source, "source of an event"),
        kind=stored_text(event.kind, "kind of an event"),
        cause_seq=cause,
        body=canonical(event.body),
    )


def _insert(row: StoredRow) -> str:
    marks = ", ".join("?" * (len(row.values) + 2))
    return f"INSERT INTO {row.table} ({', '.join(row.values)}, seq, place) VALUES ({marks})"


def _refused(error: sqlite3.IntegrityError, path: Path) -> JournalError:
    kind = DuplicateRowError if error.sqlite_errorname in _DUPLICATES else JournalError
    return kind(
        f"the journal {path} does not take a row twice, or one that refers to nothing ({error}); see to its maker"
    )
