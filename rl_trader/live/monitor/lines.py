"""What is written where there is no terminal: a line for what happens, and one an hour for how things stand."""

from typing import Final, TextIO

from rl_trader.klines import utc
from rl_trader.live.monitor.view import View
from rl_trader.live.monitor.words import summary, wanted

EVERY_MS: Final = 3_600_000  # between two lines of how things stand

_MS: Final = 1_000


class Lines:
    """Plain lines; a context manager like the table.

    Args:
        out: Where to.
    """

    is_terminal = False

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._decided_ms = 0
        self._phase = ""
        self._told_ms = 0

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def show(self, view: View) -> None:
        """Write what is new in a view."""
        for decision in reversed(view.decisions):
            if decision.open_ms > self._decided_ms:
                self._decided_ms = decision.open_ms
                self.say(f"bar of {utc(decision.open_ms)}: {wanted(decision)}")
        if view.phase != self._phase or view.time_ms - self._told_ms >= EVERY_MS:
            self._phase, self._told_ms = view.phase, view.time_ms
            self.say(f"{utc(view.time_ms // _MS * _MS)} {summary(view)}")

    def say(self, text: str) -> None:
        """Write a line."""
        self._out.write(f"{text}\n")
        self._out.flush()
