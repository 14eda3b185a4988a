"""Many bars in one call, where what is decided does not depend on what happens: the kernel of ``replay``, in a loop."""

import numpy as np
from numpy.typing import NDArray

from rl_trader.kernels import kernel
from rl_trader.ledger import Brackets
from rl_trader.replay import step_accounts


@kernel
def play_targets(
    targets: NDArray[np.float64],
    has_ended: NDArray[np.bool_],
    states: NDArray[np.void],
    outcomes: NDArray[np.void],
    observations: NDArray[np.float32],
    column: int,
    shift: int,
    newest: NDArray[np.int64],
    bars: NDArray[np.void],
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    fundings: NDArray[np.void],
    settings_row: NDArray[np.void],
    terms_table: NDArray[np.void],
    brackets: Brackets,
) -> None:
    """Play one bar after another; an account that was liquidated or ruined stays out of the market.

    Args:
        targets: (num_bars, num_accounts) target positions, fractions of ``max_exposure`` in [-1, 1].
        has_ended: (num_accounts,), read and written.
        states: (num_accounts,) of ``STATE_DTYPE``; read and written.
        outcomes: (num_bars, num_accounts) of ``OUTCOME_DTYPE``, written.
        observations: As all that follow, what ``replay.step_accounts`` takes.
        column: Where every window begins.
        shift: Bars that are new to an account that has played on.
        newest: (num_accounts,), read and written.
        bars: (num_bars,) of ``BAR_DTYPE``.
        features: (num_bars, num_features), scaled.
        columns: Which entries of the account part are observed.
        fundings: (num_settlements,) of ``FUNDING_DTYPE``.
        settings_row: (1,) of ``SETTINGS_DTYPE``.
        terms_table: (num_symbols,) of ``TERMS_DTYPE``.
        brackets: (num_rows, 4).
    """
    decided = np.zeros(targets.shape[1])
    for n in range(targets.shape[0]):
        for i in range(targets.shape[1]):
            decided[i] = 0.0 if has_ended[i] else targets[n, i]
        step_accounts(
            decided,
            states,
            outcomes[n],
            observations,
            column,
            shift,
            newest,
            bars,
            features,
            columns,
            fundings,
            settings_row,
            terms_table,
            brackets,
            None,
        )
        for i in range(targets.shape[1]):
            has_ended[i] |= outcomes[n, i].terminated
