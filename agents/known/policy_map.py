"""What a policy wants at every signal and exposure, drawn beside what would be best."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agents.known.optimum import known_optimum, policy_table
from agents.training.figures import DOTS_PER_INCH, INK, POSITIONS, picture
from rl_trader.checkpoint import Checkpoint
from rl_trader.errors import CheckpointError
from rl_trader.optimum import Optimum

SIZE: Final = (9.0, 4.2)  # inches


def draw_policy_map(checkpoint: Checkpoint, path: Path) -> bool:
    """Write the picture of a policy's map beside the best one, and return whether there is one to draw.

    There is none where the policy sees more than the solver's state.

    Raises:
        CheckpointError: If the file cannot be written.
    """
    optimum = known_optimum(checkpoint)
    if optimum is None:
        return False
    table = policy_table(checkpoint.policy, optimum, checkpoint.scaling, checkpoint.env.trading.max_exposure)
    try:
        path.write_bytes(picture(policy_map(checkpoint.symbols[0], table, optimum)))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error}; free space") from error
    return True


def policy_map(name: str, table: NDArray[np.float64], optimum: Optimum) -> Figure:
    """Return the figure of a table (num_states, num_exposures) of target exposures and of the best one."""
    figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    axes: Any = figure.subplots(1, 2, sharey=True)
    limit = float(np.abs(optimum.problem.rules.choices).max())
    signal, order = np.unique(optimum.problem.chain.signal, return_index=True)
    for panel, title, targets in zip(axes, ("learned", "best"), (table, optimum.targets), strict=True):
        mesh = _draw(panel, signal, optimum.problem.rules.exposures, targets[order], limit)
        panel.set_title(f"{name}, {title}", color=INK, fontsize=11)
    axes[0].set_ylabel("exposure held")
    figure.colorbar(mesh, ax=axes, label="target exposure")
    return figure


def _draw(
    panel: Axes, signal: NDArray[np.float64], exposures: NDArray[np.float64], targets: NDArray[np.float64], limit: float
) -> Any:  # noqa: ANN401 - matplotlib's mesh
    mesh = panel.pcolormesh(
        _edges(signal), _edges(exposures), targets.T, cmap=POSITIONS, vmin=-limit, vmax=limit, rasterized=True
    )
    panel.set_xlabel("signal")
    panel.tick_params(colors=INK, labelsize=9)
    return mesh


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the borders of cells around points, half way to their neighbours."""
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2.0 * centres[0] - middle[0]], middle, [2.0 * centres[-1] - middle[-1]]])
