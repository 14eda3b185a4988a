"""What the commands about a trader share: which one is meant, and who asks."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts._cli import Parser

if TYPE_CHECKING:
    from rl_trader.live.journal.rows import LatchedStop

LOOK_S: Final = 0.5  # between two looks while something is waited for


def parser_of(command: str, description: str | None) -> Parser:
    """Return a parser with what says which trader is meant."""
    parser = Parser(prog=f"scripts.deploy {command}", description=description)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--journal", type=Path, help="which, if the folder has several")
    return parser


def asker() -> str:
    """Return who asks, for the journal."""
    try:
        return f"{getpass.getuser()}, by command"
    except (OSError, KeyError):  # a user without a name
        return "a command"


def latched_text(stops: "list[LatchedStop]") -> str:
    """Return the newest latched stop in words; empty if there is none."""
    return f"{stops[-1].kind} is latched: {stops[-1].reason}" if stops else ""
