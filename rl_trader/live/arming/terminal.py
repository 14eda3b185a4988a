"""The person at the terminal: what arms the trader is typed, and never comes from a file or a pipe."""

import sys

from rl_trader.errors import ConfigError


def check_terminal() -> None:
    """Refuse to arm where nobody can type.

    Raises:
        ConfigError: If standard input is no terminal.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(
            "to trade for real a person must type at a terminal, and standard input is none; start it in a terminal"
        )


def ask_person(prompt: str) -> str:
    """Show a text, and return the line that is typed; nothing where the input ends.

    Raises:
        ConfigError: If standard input is no terminal.
    """
    check_terminal()
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline()
