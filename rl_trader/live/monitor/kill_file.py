"""Kill by file: ``touch KILL`` in the folder of the journal, with nothing but a shell, also while no trader runs.

The file stays until somebody resumes, so that it also stops a trader that is started next.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError

NAME: Final = "KILL"
EVERY_S: Final = 1.0
MOST_READ: Final = 200  # bytes of a reason


def kill_path(journal: Path) -> Path:
    """Return the file that kills the traders of a journal's folder."""
    return journal.parent / NAME


def find_kill(journal: Path) -> str | None:
    """Return the reason in the file, or that there is one; None if there is no such file."""
    path = kill_path(journal)
    if not os.path.lexists(path):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a folder, a link, a file of another user: it is there
        return "there is such a file"
    try:
        text = os.read(descriptor, MOST_READ).decode("utf-8", "replace")
    except OSError:
        text = ""
    finally:
        os.close(descriptor)
    line = "".join(letter for letter in text.strip().partition("\n")[0] if letter.isprintable()).strip()
    return line or "there is such a file"


def leave_kill(journal: Path, reason: str) -> Path:
    """Make the file, for the trader that runs there or is started next, and return its path.

    Raises:
        ConfigError: If it cannot be made.
    """
    path = kill_path(journal)
    try:
        path.write_text(f"{reason}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the file {path} must be written to kill and cannot be ({error.strerror}); see to its folder"
        ) from error
    return path


def clear_kill(journal: Path) -> None:
    """Remove the file.

    Raises:
        ConfigError: If it cannot be removed.
    """
    path = kill_path(journal)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} must be removed to resume and cannot be ({error.strerror}); remove it") from error


async def wait_for_kill(journal: Path) -> str:
    """Wait until there is such a file, and return its reason."""
    while (reason := find_kill(journal)) is None:
        await asyncio.sleep(EVERY_S)
    return reason
