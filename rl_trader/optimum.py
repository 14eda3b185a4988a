"""The exact optimum of a market with a small known state, and the exact value of any policy in it.

The market is a Markov chain of signal states; the account is one of a few positions. At the close of a bar
the agent sees (state, position) and chooses the next position; it pays the cost of the change and earns that
position's reward over the next bar. The criterion is the long-run mean reward of a bar.

The grid is Tauchen's (1986), the solution is relative value iteration, the value of a policy is its mean
reward under the stationary distribution. Both iterate the lazy chain (half a step, half at rest), which has
the same solution and converges for periodic chains too. Neither draws a random number.
"""

import math
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_ITERATIONS: Final = 200_000
GAIN_TOLERANCE: Final = 1e-12  # reward of a bar
MASS_TOLERANCE: Final = 1e-13  # probability


@dataclass(frozen=True, slots=True)
class DecisionProblem:
    """States of the signal, positions of the account, and what moving and holding give."""

    grid: NDArray[np.float64]
    """(num_states,) values of the signal, evenly spaced, ascending."""
    transition: NDArray[np.float64]
    """(num_states, num_states) probability of the next state; rows sum to 1."""
    positions: NDArray[np.float64]
    """(num_positions,) signed exposures, ascending."""
    reward: NDArray[np.float64]
    """(num_states, num_positions) expected reward of holding a position over the next bar."""
    cost: NDArray[np.float64]
    """(num_positions, num_positions) of going from one position (row) to another (column)."""

    def nearest(self, signal: ArrayLike, position: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the row of the nearest state and of the nearest position."""
        step = self.grid[1] - self.grid[0]
        state = np.rint((np.asarray(signal, np.float64) - self.grid[0]) / step).clip(0, self.grid.size - 1)
        distance = np.abs(np.asarray(position, np.float64)[..., None] - self.positions)
        return state.astype(np.intp), np.argmin(distance, axis=-1)


@dataclass(frozen=True, slots=True)
class Score:
    """What a policy earns in the long run."""

    growth_per_bar: float  # mean reward of a bar
    turnover_per_bar: float  # mean absolute change of exposure of a bar


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best policy of a problem and what it earns."""

    problem: DecisionProblem
    policy: NDArray[np.int64]
    """(num_states, num_positions): row of the next position, by state and present position."""
    growth_per_bar: float
    turnover_per_bar: float

    def target(self, signal: ArrayLike, position: ArrayLike) -> NDArray[np.float64]:
        """Return the best target exposure for a signal and the present exposure; arrays broadcast."""
        state, held = self.problem.nearest(signal, position)
        return self.problem.positions[self.policy[state, held]]


def autoregressive_chain(
    phi: float, sigma: float, *, num_states: int = 301, width: float = 5.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return grid and transition matrix of ``x' = phi * x + sigma * noise`` with standard normal noise.

    A state stands for the cell half a step to both sides; the outermost reach to infinity.

    Args:
        phi: Persistence, in (-1, 1).
        sigma: Standard deviation of a step.
        num_states: Odd, so that 0 is a state.
        width: Reach of the grid to both sides, in stationary standard deviations.
    """
    reach = width * sigma / math.sqrt(1.0 - phi * phi)
    grid = np.linspace(-reach, reach, num_states)
    borders = 0.5 * (grid[1:] + grid[:-1])
    scores = (borders[None, :] - phi * grid[:, None]) / (sigma * math.sqrt(2.0))
    below = 0.5 + 0.5 * np.array([math.erf(score) for score in scores.ravel()]).reshape(scores.shape)
    transition = np.diff(below, axis=1, prepend=0.0, append=1.0)
    return grid, transition


def solve(problem: DecisionProblem) -> Optimum:
    """Return the policy of the highest mean reward per bar, by relative value iteration."""
    immediate = problem.reward[:, None, :] - problem.cost[None, :, :]  # (state, position, next position)
    value = np.zeros_like(problem.reward)
    for _ in range(MAX_ITERATIONS):
        action_value = immediate + (problem.transition @ value)[:, None, :]
        gain = action_value.max(axis=2) - value
        value = value + 0.5 * gain
        value -= value[0, 0]
        if np.ptp(gain) < GAIN_TOLERANCE:
            policy = action_value.argmax(axis=2)
            score = evaluate(problem, policy)
            return Optimum(problem, policy, score.growth_per_bar, score.turnover_per_bar)
    raise AssertionError("relative value iteration did not converge: the chain has more than one closed class")


def evaluate(problem: DecisionProblem, policy: NDArray[np.integer]) -> Score:
    """Return the long-run value of any policy that starts flat.

    Args:
        problem: The market.
        policy: (num_states, num_positions) row of the next position, by state and present position.
    """
    num_positions = problem.positions.size
    choices = np.stack([policy == j for j in range(num_positions)])  # (next position, state, position)
    mass = np.zeros_like(problem.reward)
    mass[:, int(np.argmin(np.abs(problem.positions)))] = 1.0 / problem.grid.size
    for _ in range(MAX_ITERATIONS):
        moved = (choices * mass).sum(axis=2).T
        following = 0.5 * mass + 0.5 * (problem.transition.T @ moved)
        change = float(np.abs(following - mass).sum())
        mass = following
        if change < MASS_TOLERANCE:
            break
    held = np.arange(num_positions)[None, :]
    rewards = np.take_along_axis(problem.reward, policy, axis=1) - problem.cost[held, policy]
    turnover = np.abs(problem.positions[policy] - problem.positions[held])
    return Score(
        growth_per_bar=cast(float, (mass * rewards).sum().item()),
        turnover_per_bar=cast(float, (mass * turnover).sum().item()),
    )
