"""Trade a run's checkpoint, and look after its trader: ``python -m scripts.deploy [COMMAND] RUN ...``.

Without a command it trades. A run whose folder has the name of a command is written as a path: ``./status``.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, Protocol, cast

from rl_trader.live.hardening import harden_process
from scripts._cli import run

START: Final = "start"
COMMANDS: Final = ("status", "kill", "resume", "report")  # what else is there besides trading


class Command(Protocol):
    """A module ``scripts._deploy_<command>``."""

    @staticmethod
    def main(words: Sequence[str]) -> int:
        """Do what the words of the command line say, and return the exit code."""
        ...


def main() -> int:
    """Do what the first word says; trade, if it is no command."""
    name = _name()
    command = cast(Command, import_module(f"scripts._deploy_{name}"))
    return command.main(sys.argv[1:] if name == START else sys.argv[2:])


def _name() -> str:
    words = sys.argv[1:]
    return words[0] if words and words[0] in COMMANDS else START


def _harden() -> None:
    """Take from a process that is going to trade what it does not need; first, and for good."""
    if _name() == START:
        harden_process()


if __name__ == "__main__":
    _harden()
    run(main)
