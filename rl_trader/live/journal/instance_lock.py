"""One trader per journal: an advisory lock on a file beside it, held for as long as the process lives.

The kernel releases it when the process ends, however it ends, so a lock left behind by a crash locks nobody out. The
file itself is never removed: removing it would let a third process lock another file of the same name. A child made by
``fork`` shares the lock; workers are started by ``spawn``.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from rl_trader.errors import ConfigError

_MODE: Final = 0o600


class InstanceLock:
    """The right to be the only trader on a journal."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, journal: Path) -> "InstanceLock":
        """Take the lock of a journal, at once or not at all.

        Raises:
            ConfigError: If another process holds it, or the lock file cannot be made.
        """
        path = lock_path(journal)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise ConfigError(
                f"the lock file {path} cannot be opened ({error.strerror}); let the trader's user write to its folder"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = _is_file_at(path, descriptor)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise ConfigError(
                f"the journal {journal} must have one trader and process {holder} holds {path} ({error.strerror});"
                " stop that one or give this one another journal"
            ) from error
        if not is_ours:
            os.close(descriptor)
            raise ConfigError(f"the lock file {path} must stay where it is and was removed or replaced; start again")
        with suppress(OSError):  # on a full disk the lock holds without the number
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(path, descriptor)

    @property
    def is_held(self) -> bool:
        """Whether it has not been released yet."""
        return self._descriptor is not None

    def release(self) -> None:
        """Give the lock up; the file stays. Doing so twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "InstanceLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_path(journal: Path) -> Path:
    """Return the lock file of a journal."""
    return journal.with_name(f"{journal.name}.lock")


def _is_file_at(path: Path, descriptor: int) -> bool:
    """Return whether the opened file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    written = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return written or "of an unknown number"
