"""How much of the embedded market's optimum a policy reaches."""

from dataclasses import dataclass

import numpy as np

from rl_trader.checkpoint import Checkpoint
from rl_trader.config import EMBEDDED_ENV
from rl_trader.embedded import SYMBOL, evaluate_policy, solve_embedded
from rl_trader.scaling import scale
from rl_trader.trading import charged_fees


@dataclass(frozen=True, slots=True)
class OptimumShare:
    """What a policy earns in the embedded market in the long run, beside the best policy."""

    growth_per_bar: float  # log growth of the margin balance
    turnover_per_bar: float  # change of exposure
    best_growth_per_bar: float
    best_turnover_per_bar: float

    @property
    def percent(self) -> float:
        """Return the growth in percent of the best; flat is 0."""
        return 100.0 * self.growth_per_bar / self.best_growth_per_bar


def optimum_share(checkpoint: Checkpoint) -> OptimumShare | None:
    """Return the exact share of the optimum, or None if the policy does not see just the state and its position.

    None as well if a target of 1 is not an exposure of 1, since the optimum is that of exposures -1, 0 and 1, or if
    orders rest, since the optimum is that of orders that fill.

    The policy's decisions on the solver's grid of (state, position) are valued under their stationary distribution: no
    random number is drawn.
    """
    if checkpoint.symbols != (SYMBOL,) or checkpoint.schema != EMBEDDED_ENV.schema:
        return None
    trading = checkpoint.env.trading
    if trading.max_exposure != EMBEDDED_ENV.trading.max_exposure or trading.limit_distance is not None:
        return None
    fee = charged_fees(checkpoint.terms[0], trading).taker
    best = solve_embedded(fee)
    grid, positions = best.problem.grid, best.problem.positions
    states = scale(grid.astype(np.float32)[:, None], checkpoint.scaling)
    observations = np.empty((grid.size, positions.size, 2), np.float32)
    observations[..., 0] = states
    observations[..., 1] = positions[None, :]
    targets = checkpoint.policy.targets(observations.reshape(-1, 2)).reshape(grid.size, positions.size)
    table = np.abs(targets[..., None] - positions).argmin(axis=-1)
    score = evaluate_policy(table, fee)
    return OptimumShare(score.growth_per_bar, score.turnover_per_bar, best.growth_per_bar, best.turnover_per_bar)
