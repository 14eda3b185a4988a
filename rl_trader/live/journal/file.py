"""The files of a journal: how they are made, opened, relieved and moved aside.

Beside the journal ``NAME`` lie ``NAME-wal`` (SQLite's write-ahead log: part of the journal), ``NAME.tip``,
``NAME.lock`` and ``NAME.ballast``, a file of no content whose space is given back when the disk is full, so that there
is room to write down an exit and a halt.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.live.journal.chain import DamagedJournalError, JournalError
from rl_trader.live.journal.instance_lock import InstanceLock
from rl_trader.live.journal.schema import APPLICATION_ID, STEPS, JournalIdentity, check_sqlite, migrate, write_identity
from rl_trader.live.journal.tip import tip_path

BALLAST_BYTES: Final = 64 * 2**20

_MODE: Final = 0o600
# SQLite's answer to each, for the one connection that writes: what is committed survives a power loss, and there is
# no second connection. The first must come first, so that no memory is shared.
_WRITING: Final[Mapping[str, tuple[str, str | int]]] = {
    "locking_mode": ("EXCLUSIVE", "exclusive"),
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("FULL", 2),
    "fullfsync": ("ON", 1),
    "foreign_keys": ("ON", 1),
    "trusted_schema": ("OFF", 0),
    "cell_size_check": ("ON", 1),
}
_READING: Final[Mapping[str, tuple[str, str | int]]] = {
    "trusted_schema": ("OFF", 0),
    "cell_size_check": ("ON", 1),
}
_BUSY: Final = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})
_DAMAGE: Final = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT"})


def connect_writing(path: Path) -> sqlite3.Connection:
    """Open a journal for the one process that writes it.

    Raises:
        ConfigError: If another process has it open.
        JournalError: If it cannot be opened, or SQLite does not keep the settings.
    """
    return _connect(path, "rw", _WRITING)


def connect_reading(path: Path) -> sqlite3.Connection:
    """Open a journal, or a copy of one, without the means to change it.

    Raises:
        ConfigError: If another process is writing it.
        JournalError: If it cannot be opened.
    """
    return _connect(path, "ro", _READING)


def check_settings(connection: sqlite3.Connection, settings: Mapping[str, tuple[str, str | int]], path: Path) -> None:
    """Refuse a connection that does not keep its settings.

    Raises:
        JournalError: If one reads back otherwise.
    """
    for name, (_, wanted) in settings.items():
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != wanted:
            raise JournalError(
                f"the journal {path} needs SQLite's {name} to be {wanted} and it is {found}; put it on a local disk"
            )


def create(path: Path, identity: JournalIdentity) -> None:
    """Make an empty journal; it appears whole or not at all.

    Raises:
        DamagedJournalError: If parts of an earlier journal lie there.
        sqlite3.Error: If it cannot be written.
        OSError: Likewise.
    """
    for part in (tip_path(path), _beside(path, "-wal")):
        if part.exists():
            raise DamagedJournalError(
                f"the journal {path} is missing while {part} is there; restore it, or move it aside"
            )
    draft = _beside(path, ".new")
    for leftover in (draft, _beside(draft, "-journal")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE))
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        migrate(connection, STEPS)
        connection.execute("BEGIN IMMEDIATE")
        write_identity(connection, identity, 0)
        connection.execute("COMMIT")
    finally:
        connection.close()
    draft.replace(path)
    sync_folder(path)


def keep_ballast(path: Path, size: int) -> None:
    """Take the space that is given back when the disk is full, unless it is taken.

    Raises:
        JournalError: If there is not that much.
    """
    ballast = ballast_path(path)
    if ballast.exists() and ballast.stat().st_size == size:
        return
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        ballast.unlink()
        raise JournalError(
            f"the journal {path} needs {size} bytes in reserve and they cannot be had ({error.strerror}); make room"
        ) from error
    finally:
        os.close(descriptor)


def free_ballast(path: Path) -> None:
    """Give the reserved space back.

    Raises:
        JournalError: If it was given back before.
    """
    try:
        ballast_path(path).unlink()
    except FileNotFoundError:
        raise JournalError(
            f"the journal {path} has no reserve left; make room on the disk and start the trader again"
        ) from None


def ballast_path(journal: Path) -> Path:
    """Return the reserve's file of a journal."""
    return _beside(journal, ".ballast")


def move_aside(path: Path) -> Path:
    """Move a journal out of the way, with all that belongs to it, and return where it is now.

    Nothing of it is changed: it can be read there. A new one can then be opened under the old name.

    Raises:
        ConfigError: If a process has it open.
        JournalError: If it cannot be moved.
    """
    with InstanceLock.acquire(path), os_errors(path, "moved aside"):
        number = 1
        while any(part.exists() for part in _parts(_beside(path, f".damaged-{number}"))):
            number += 1
        target = _beside(path, f".damaged-{number}")
        # The log goes first: left alone beside a new journal, SQLite would take it for that one's.
        for part, moved in zip(_parts(path), _parts(target), strict=True):
            if part.exists():
                part.rename(moved)
        sync_folder(path)
    return target


def sync_folder(path: Path) -> None:
    """Make what was made, renamed or removed beside a journal survive a power loss."""
    descriptor = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def os_errors(path: Path, done: str) -> Iterator[None]:
    """Say in a sentence what the operating system did not let be done with a journal."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise JournalError(f"the journal {path} cannot be {done} ({reason}); see to its disk and folder") from error


@contextmanager
def sqlite_errors(path: Path, done: str) -> Iterator[None]:
    """Say in a sentence what SQLite did not let be done with a journal, or that what it gave has no meaning.

    Raises:
        ConfigError: If another process has it open.
        DamagedJournalError: If what it holds cannot be.
        JournalError: Otherwise.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path, done) from error
    except (ValueError, ArithmeticError, TypeError) as error:  # no UTF-8, no JSON, no number, no text
        raise _damaged(error, path) from error


def translated(error: sqlite3.Error, path: Path, done: str) -> ConfigError | JournalError:
    """Return the sentence for what SQLite says."""
    name = getattr(error, "sqlite_errorname", "")
    kind = "_".join(name.split("_")[:2])
    if kind in _BUSY:
        return ConfigError(f"the journal {path} is open in another process; stop that one, or read a copy of it")
    if kind in _DAMAGE or (not name and not isinstance(error, sqlite3.ProgrammingError)):  # text that is no UTF-8
        return _damaged(error, path)
    said = f"{error}, {name}" if name else str(error)
    return JournalError(f"the journal {path} cannot be {done} ({said}); see to its disk and folder")


def _damaged(error: Exception, path: Path) -> DamagedJournalError:
    return DamagedJournalError(f"the journal {path} is damaged ({error}); restore a copy, or move it aside")


def _connect(path: Path, mode: str, settings: Mapping[str, tuple[str, str | int]]) -> sqlite3.Connection:
    check_sqlite(sqlite3.sqlite_version_info)
    with sqlite_errors(path, "opened"):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", timeout=0, isolation_level=None, uri=True
        )
        try:
            for name, (value, _) in settings.items():
                connection.execute(f"PRAGMA {name} = {value}")
            check_settings(connection, settings, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _parts(journal: Path) -> tuple[Path, ...]:
    return tuple(_beside(journal, end) for end in ("-wal", "-shm", ".tip", ""))


def _beside(path: Path, end: str) -> Path:
    return path.with_name(f"{path.name}{end}")
