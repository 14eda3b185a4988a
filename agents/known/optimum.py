"""How much of a market's known optimum a policy reaches, exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_trader.checkpoint import Checkpoint
from rl_trader.config import EMBEDDED_ENV
from rl_trader.embedded import SYMBOL, solve_embedded
from rl_trader.known_answers.rows import ROWS
from rl_trader.optimum import Optimum, Score, evaluate
from rl_trader.policy import AnyPolicy
from rl_trader.remembering import Remembering, memory_size
from rl_trader.scaling import Scaling, scale
from rl_trader.trading import charged_fees


@dataclass(frozen=True, slots=True)
class OptimumShare:
    """What a policy earns in the long run in a market whose optimum is known, beside the best policy."""

    score: Score
    best: Score

    @property
    def percent(self) -> float | None:
        """Return the reward in percent of the best, flat being 0; None where being flat is best."""
        return share_of(self.score.growth_per_bar, self.best.growth_per_bar)

    def __str__(self) -> str:
        growth, best = self.score.growth_per_bar, self.best.growth_per_bar
        turnover = f"turnover {self.score.turnover_per_bar:.3f} of {self.best.turnover_per_bar:.3f}"
        if self.percent is None:
            return f"the optimum is to stay flat; the policy earns {growth:.3e} a bar ({turnover})"
        return f"{self.percent:.1f} % of the optimum ({growth:.3e} of {best:.3e} a bar, {turnover})"


def share_of(growth: float, best: float) -> float | None:
    """Return a growth in percent of the best one; None where that is 0."""
    return 100.0 * growth / best if best > 0.0 else None


def known_optimum(checkpoint: Checkpoint) -> Optimum | None:
    """Return the optimum of the market that a policy was trained on.

    None if it is not known, or the policy does not decide from just the state and its position: the optimum is that of
    the market's own environment.
    """
    if len(checkpoint.symbols) != 1 or memory_size(checkpoint.policy):
        return None
    symbol, trading = checkpoint.symbols[0], checkpoint.env.trading
    if symbol == SYMBOL:
        own = EMBEDDED_ENV.trading
        has_own_limits = trading.max_exposure == own.max_exposure and trading.rebalance_band == own.rebalance_band
        has_own_orders = trading.limit_distance is None and set(trading.levels) == set(own.levels)
        if checkpoint.schema != EMBEDDED_ENV.schema or not (has_own_limits and has_own_orders):
            return None
        return solve_embedded(charged_fees(checkpoint.terms[0], trading).taker)
    market = ROWS.get(symbol)
    if market is None or not market.is_visible:
        return None
    own_env = market.env_config()
    if (checkpoint.schema, trading, checkpoint.env.reward) != (own_env.schema, own_env.trading, own_env.reward):
        return None
    return market.solve()


def policy_table(policy: AnyPolicy, optimum: Optimum, scaling: Scaling, max_exposure: float) -> NDArray[np.float64]:
    """Return the exposures (num_states, num_exposures) that a policy wants on the grid of a market's solution.

    Args:
        policy: Sees the signal and the exposure; remembers nothing.
        optimum: Whose grid is read.
        scaling: Of the signal.
        max_exposure: Notional over margin balance at action 1.
    """
    signal, exposures = optimum.problem.chain.signal, optimum.problem.rules.exposures
    shown, row = np.unique(signal, return_inverse=True)
    states = scale(shown.astype(np.float32)[:, None], scaling)
    observations = np.empty((shown.size, exposures.size, 2), np.float32)
    observations[..., 0] = states
    observations[..., 1] = exposures[None, :] / max_exposure
    rows = observations.reshape(-1, 2)
    targets = Remembering(policy, len(rows)).targets(rows).reshape(shown.size, exposures.size)
    table: NDArray[np.float64] = targets[row] * max_exposure
    return table


def optimum_share(checkpoint: Checkpoint) -> OptimumShare | None:
    """Return the exact share of the optimum, or None where ``known_optimum`` has none.

    The policy's decisions on the solver's grid of (signal, exposure) are valued under the distribution that they lead
    to: no random number is drawn.
    """
    optimum = known_optimum(checkpoint)
    if optimum is None:
        return None
    table = policy_table(checkpoint.policy, optimum, checkpoint.scaling, checkpoint.env.trading.max_exposure)
    return OptimumShare(evaluate(optimum.problem, table), optimum.score)
