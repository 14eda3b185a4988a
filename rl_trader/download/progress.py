"""Counting what is planned and done, for a progress bar."""

from collections.abc import Callable

Report = Callable[[int, int, str], None]
"""Called with the pieces done, the pieces known so far, and the name of the series that moved."""


class Progress:
    """Adds up the pieces (files, requests) of all series; more come to light on the way."""

    def __init__(self, report: Report | None = None) -> None:
        self._report = report
        self._num_done = 0
        self._num_planned = 0

    def plan(self, num_pieces: int) -> None:
        """Add pieces that have to be done."""
        self._num_planned += num_pieces

    def advance(self, name: str, num_pieces: int = 1) -> None:
        """Note that pieces of a series are done."""
        self._num_done += num_pieces
        if self._report is not None:
            self._report(self._num_done, self._num_planned, name)
