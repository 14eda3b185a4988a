"""The journal of a trader that must still get out when the disk fails: what fails once is written from the reserve."""

from collections.abc import Callable, Sequence

from rl_trader.live.journal.chain import DuplicateRowError, JournalError
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.rows import NewEvent


class ReservedJournal:
    """A journal that gives its reserve back by itself.

    Args:
        journal: Is written.
        on_failure: Told why the reserve is in use; once, since there is one reserve.
    """

    def __init__(self, journal: Journal, on_failure: Callable[[str], object]) -> None:
        self._journal = journal
        self._on_failure = on_failure

    def append(self, events: Sequence[NewEvent]) -> int:
        """Write events, and return the number of the last.

        Raises:
            JournalError: If they cannot be written and there is no reserve, or not even with it.
        """
        before = self._journal.last_seq
        try:
            return self._journal.append(events)
        except DuplicateRowError:
            raise
        except JournalError as error:
            self._use_reserve(error)
        if self._journal.last_seq == before:  # else they are durable, though that was not told
            self._journal.append(events)
        return self._journal.last_seq

    def flush(self) -> None:
        """Make durable what waits.

        Raises:
            JournalError: If it cannot be, and there is no reserve, or not even with it.
        """
        try:
            self._journal.flush()
        except JournalError as error:
            self._use_reserve(error)
            self._journal.flush()

    def save_snapshot(self, seq: int, state: str) -> None:
        """Keep the trader's state after an event; where it cannot be written, it is left out.

        Raises:
            JournalError: If what waited cannot be written, and there is no reserve, or not even with it.
        """
        try:
            self._journal.save_snapshot(seq, state)
        except JournalError as error:
            self._use_reserve(error)
            self._journal.flush()

    def _use_reserve(self, error: JournalError) -> None:
        if self._journal.failure is None:  # an event that is none, or a row twice: the disk is well
            raise error
        self._journal.use_reserve()
        self._on_failure(str(error))
