"""What every script shares: one sentence and exit code 2 for an error the user can mend, 130 for Ctrl-C."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from rl_trader.errors import ConfigError, RlTraderError

if TYPE_CHECKING:
    from rich.console import Console

EXIT_USER_ERROR: Final = 2
PIPE_WIDTH: Final = 160  # columns
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it


class Parser(argparse.ArgumentParser):
    """An argument parser whose own errors are sentences like all others, and which takes no option by its beginning."""

    def __init__(self, *, prog: str, description: str | None) -> None:
        """Prepare the parser of a script named ``prog``."""
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise a ConfigError instead of printing the usage."""
        raise ConfigError(f"{message.rstrip('.')}; `python -m {self.prog} --help` lists what there is")


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a script's main function and leave the process with its exit code (0 for None)."""
    try:
        code = main() or 0
        sys.stdout.flush()
    except RlTraderError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader went away, as in `... | head`: nothing to say, and nothing more to write at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def tell(line: str) -> None:
    """Say how far a long command is, beside what it prints as its result."""
    print(line, file=sys.stderr, flush=True)


def interrupted() -> int:
    """Say what goes on after Ctrl-C, and return the exit code."""
    tell("interrupted; the same command goes on")
    return EXIT_INTERRUPTED


def wide_console() -> "Console":
    """Return a console for tables: as wide as the terminal, or wide enough where there is none."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


def default_data_dir() -> Path:
    """Return the folder of market data: ``$RL_TRADER_DATA``, or ``data`` in the working directory."""
    return Path(os.environ.get("RL_TRADER_DATA") or "data")
