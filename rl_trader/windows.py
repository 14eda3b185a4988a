"""Where the observations of many accounts lie, so that a step need not write bars that the step before has written."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.observation import ObservationSchema

NOWHERE: Final = -1
WINDOWS_AHEAD: Final = 2  # memory before a window slides back to the begin, in windows


class Observations:
    """Observations (num_accounts, observation size) float32, in ``array``.

    Where they are written again every ``every`` bars and the window is longer than that, each account has room ahead of
    its window. ``advance`` moves all windows by ``every`` bars: of an account that has played as many bars since, only
    these are written, behind those that lie there already, and the account part behind them. All others are written
    whole: those that begin anew, and every account when the room is used up, which is in one step for all. The rows of
    ``array`` are apart in memory then (it is not C-contiguous), and what is written into them by others would be shown
    again.

    Args:
        num_accounts: Number of accounts.
        schema: What is observed.
        every: Bars from one writing to the next; None writes every window whole.
    """

    def __init__(self, num_accounts: int, schema: ObservationSchema, *, every: int | None = None) -> None:
        slides = every is not None and every < schema.window
        self.shift = every if every is not None and slides else schema.window
        """Bars that are new to an account that has played on."""
        room = schema.window * WINDOWS_AHEAD // self.shift * self.shift if slides else 0
        self._size = schema.size
        self._num_features = len(schema.features)
        self._last = room * self._num_features
        self.memory = np.zeros((num_accounts, schema.size + self._last), np.float32)
        self.column = 0
        """Of ``memory``, where all windows begin."""
        self.newest = np.full(num_accounts, NOWHERE, np.int64)
        """Bar that each account's window ends with; ``NOWHERE`` where the next writing is to be whole."""
        self.array = self._view()
        self.written = self.written_of()
        """What the kernels of ``replay`` take: memory, column, shift and newest."""

    def advance(self) -> None:
        """Move the windows on before they are written anew, or back to the begin of the memory."""
        if not self._last:
            return
        if self.column == self._last:
            self.column = 0
            self.newest[:] = NOWHERE
        else:
            self.column += self.shift * self._num_features
        self.array = self._view()
        self.written = self.written_of()

    def written_of(self, which: slice = slice(None)) -> tuple[NDArray[np.float32], int, int, NDArray[np.int64]]:
        """Return what ``written`` is, of some accounts."""
        return self.memory[which], self.column, self.shift, self.newest[which]

    def _view(self) -> NDArray[np.float32]:
        return self.memory[:, self.column : self.column + self._size]
