"""Tasks for a process pool; their module is imported by every worker and therefore imports little."""

import os
import signal
from pathlib import Path

from rl_trader.errors import ConfigError
from rl_trader.processors import own_processors


def lose_the_process_once(folder: Path) -> int:
    """End this process by force where it was not ended before, else return its id."""
    try:
        (folder / "lost").touch(exist_ok=False)
    except FileExistsError:
        return os.getpid()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def lose_the_process(_task: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(task: int) -> int:
    if task == 2:
        raise ConfigError("task 2 cannot be played; leave it")
    return task


def count_processors(_task: int) -> int:
    return own_processors()
