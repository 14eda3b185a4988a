"""Where the observations of many accounts lie, and the kernel that writes one: no bar that lies there already."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.decision import MarketState, account_part
from rl_trader.intrinsics import copy_rows
from rl_trader.kernels import inlined
from rl_trader.ledger import Account, Brackets, Terms
from rl_trader.observation import ObservationSchema
from rl_trader.state import Settings

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


@inlined
def write_observation(
    observations: NDArray[np.float32],
    column: int,
    shift: int,
    newest: NDArray[np.int64],
    i: int,
    account: Account,
    t: int,
    bars_held: int,
    taker_fee: float,
    bars: NDArray[np.void],
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    settings: Settings,
    terms: Terms,
    brackets: Brackets,
) -> None:
    """Write account ``i``'s observation: the feature rows of the window, oldest first, then the account part.

    Of a window that has moved on by ``shift`` bars since it was written, and whose account has too, the rows that lie
    there already are left.
    """
    width = features.shape[1]
    end = column + settings.window * width
    if t - newest[i] == shift and shift < settings.window:
        copy_rows(features, t - shift + 1, shift, observations, i, end - shift * width)
    else:
        copy_rows(features, t - settings.window + 1, settings.window, observations, i, column)
    newest[i] = t
    bar = bars[t]
    market = MarketState(bar.mark_close, float(bar.hours_to_funding), float(bar.last_funding_rate))
    part = account_part(account, market, bars_held, taker_fee, settings.max_exposure, terms, brackets)
    for j in range(columns.shape[0]):
        observations[i, end + j] = part[columns[j]]
