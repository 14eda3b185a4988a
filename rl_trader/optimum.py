"""The exact optimum of a market with a small known state, and the exact value of any policy in it.

The market is a Markov chain of signal states. The account is its exposure, the signed notional over the margin
balance, on a grid. At the close of a bar the agent sees (signal, exposure) and names a target exposure; funding that is
due then is settled on the exposure held, the order pays fee and impact as the replay books them, and the position
earns the next bar's return, which moves the exposure as well. The criterion is the long-run mean reward of a bar.

All of this is the replay's account (``rl_trader.replay``) but for rounding to ticks and steps and for liquidation.
Expectations are sums over the chain's outcomes, the solution is relative value iteration, the value of a policy is its
mean reward under the distribution that it reaches from flat. Both take small steps, which has the same solution and
converges for periodic chains too. No random number is drawn.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rl_trader.chains import SignalChain, locate
from rl_trader.kernels import kernel
from rl_trader.position_rules import PositionRules

MAX_ITERATIONS: Final = 50_000
STEP: Final = 0.9  # part of an iteration that is taken
GAIN_TOLERANCE: Final = 1e-5  # of the largest reward of a bar
MASS_TOLERANCE: Final = 1e-8  # probability

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


class Score(NamedTuple):
    """What a policy does in the long run."""

    growth_per_bar: float  # mean reward of a bar
    turnover_per_bar: float  # mean absolute change of exposure by orders of a bar
    mean_exposure: float  # mean absolute exposure after the orders


@dataclass(frozen=True, slots=True)
class DecisionProblem:
    """A market and what an account may do in it."""

    chain: SignalChain
    rules: PositionRules

    def move(self) -> "Moves":
        """Return where returns take every exposure, and what it earns, by signal state."""
        held, returns = self.rules.exposures, self.chain.price_return[:, :, None]
        gross = 1.0 + held * returns
        low, share = locate(held, held * (1.0 + returns) / gross)
        reward = np.zeros((self.chain.grid.size, held.size))
        if self.rules.reward == "log_return":
            reward = (np.log(gross) * self.chain.probability[:, :, None]).sum(axis=1)
        return Moves(low, share, reward)


class Moves(NamedTuple):
    """What a bar does to the exposure that is held in it."""

    low: Whole  # (num_states, num_outcomes, num_exposures) row of the exposure grid below the next exposure
    share: Floats  # likewise: how far it lies towards the row above
    reward: Floats  # (num_states, num_exposures) expected reward of holding; of simple returns it is the trades'


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best policy of a problem and what it earns."""

    problem: DecisionProblem
    targets: Floats
    """(num_states, num_exposures): the next target exposure, by signal state and present exposure."""
    score: Score

    def target(self, state: ArrayLike, exposure: ArrayLike) -> Floats:
        """Return the best target for a signal state and an exposure, values on their grids; arrays broadcast.

        Levels are those of the nearest grid point; where any exposure may be wanted, the table is interpolated.
        """
        rules, grid = self.problem.rules, self.problem.chain.grid
        row, row_share = locate(grid, np.asarray(state, np.float64))
        column, column_share = locate(rules.exposures, np.asarray(exposure, np.float64))
        if rules.levels:
            return self.targets[row + (row_share >= 0.5), column + (column_share >= 0.5)]  # noqa: PLR2004 - the nearer
        below = self._between(row, column, column_share)
        above = self._between(np.minimum(row + 1, grid.size - 1), column, column_share)
        return below + row_share * (above - below)

    def _between(self, row: Whole, column: Whole, share: Floats) -> Floats:
        low, high = self.targets[row, column], self.targets[row, column + 1]
        between: Floats = low + share * (high - low)
        return between


def solve(problem: DecisionProblem) -> Optimum:
    """Return the policy of the highest mean reward per bar.

    Raises:
        AssertionError: If the chain has more than one closed class.
    """
    chain, rules, moves = problem.chain, problem.rules, problem.move()
    trades = rules.trades(rules.choices[None, None, :], rules.exposures[None, :, None], chain.funding_classes)
    low, share = locate(rules.exposures, trades.exposure)
    immediate = rules.immediate(trades, chain)
    tolerance = GAIN_TOLERANCE * max(float(np.abs(immediate).max()), float(np.abs(moves.reward).max()))
    value = np.zeros((chain.grid.size, rules.exposures.size))
    choice = np.zeros(value.shape, np.int64)
    for _ in range(MAX_ITERATIONS):
        held = _held_value(value, chain.probability, chain.next_low, chain.next_share, moves)
        spread = _improve(value, choice, held, immediate, chain.funding_class, low, share)
        if spread <= tolerance:
            targets = rules.choices[choice]
            return Optimum(problem, targets, evaluate(problem, targets))
    raise AssertionError("relative value iteration did not converge: the chain has more than one closed class")


@kernel
def _held_value(value: Floats, probability: Floats, next_low: Whole, next_share: Floats, moves: Moves) -> Floats:
    """Return (num_states, num_exposures): reward and value of holding an exposure through the next bar."""
    held = moves.reward.copy()
    last = value.shape[0] - 1
    following = np.empty(value.shape[1])
    for s in range(held.shape[0]):
        for k in range(probability.shape[1]):
            chance, share = probability[s, k], next_share[s, k]
            if chance == 0.0:
                continue
            below, above = value[next_low[s, k]], value[min(next_low[s, k] + 1, last)]
            for e in range(following.size):
                following[e] = chance * (below[e] + share * (above[e] - below[e]))
            low, up = moves.low[s, k], moves.share[s, k]
            for e in range(following.size):
                i = low[e]
                held[s, e] += following[i] + up[e] * (following[i + 1] - following[i])
    return held


@kernel
def _improve(
    value: Floats,
    choice: Whole,
    held: Floats,
    immediate: Floats,
    funding_class: Whole,
    low: Whole,
    share: Floats,
) -> float:
    """Move the value towards that of the best choices, note them, and return the spread of the gains."""
    smallest, largest = np.inf, -np.inf
    for s in range(value.shape[0]):
        c = funding_class[s]
        for e in range(value.shape[1]):
            best, chosen = -np.inf, 0
            for a in range(low.shape[2]):
                i = low[c, e, a]
                worth = immediate[s, e, a] + held[s, i] + share[c, e, a] * (held[s, i + 1] - held[s, i])
                if worth > best:
                    best, chosen = worth, a
            gain = best - value[s, e]
            smallest, largest = min(smallest, gain), max(largest, gain)
            choice[s, e] = chosen
            value[s, e] += STEP * gain
    first = value[0, 0]
    value -= first
    return largest - smallest


def evaluate(problem: DecisionProblem, targets: NDArray[np.floating]) -> Score:
    """Return the long-run value of any policy that starts flat.

    Args:
        problem: The market.
        targets: (num_states, num_exposures) target exposure, by signal state and present exposure.
    """
    chain, rules, moves = problem.chain, problem.rules, problem.move()
    wanted = np.asarray(targets, np.float64)
    trades = rules.trades(wanted, rules.exposures[None, :], chain.funding_rate[:, None])
    low, share = locate(rules.exposures, trades.exposure)
    mass = np.zeros(wanted.shape)
    mass[:, int(np.argmin(np.abs(rules.exposures)))] = chain.stationary
    for _ in range(MAX_ITERATIONS):
        following = _flow(mass, low, share, chain.probability, chain.next_low, chain.next_share, moves)
        change = float(np.abs(following - mass).sum())
        mass += STEP * (following - mass)
        if change < MASS_TOLERANCE:
            break
    rows = np.arange(chain.grid.size)[:, None]
    earned = moves.reward[rows, low] + share * (moves.reward[rows, low + 1] - moves.reward[rows, low])
    rewards = rules.immediate_of(trades, chain.mean_return[:, None]) + earned
    mass /= mass.sum()
    return Score(
        growth_per_bar=float((mass * rewards).sum()),
        turnover_per_bar=float((mass * trades.turnover).sum()),
        mean_exposure=float((mass * np.abs(trades.exposure)).sum()),
    )


@kernel
def _flow(
    mass: Floats,
    low: Whole,
    share: Floats,
    probability: Floats,
    next_low: Whole,
    next_share: Floats,
    moves: Moves,
) -> Floats:
    """Return where the probability (num_states, num_exposures) lies one bar later."""
    following = np.zeros_like(mass)
    held, moved = np.zeros(mass.shape[1]), np.zeros(mass.shape[1])
    last = mass.shape[0] - 1
    for s in range(mass.shape[0]):
        held[:] = 0.0
        for e in range(mass.shape[1]):
            held[low[s, e]] += mass[s, e] * (1.0 - share[s, e])
            held[low[s, e] + 1] += mass[s, e] * share[s, e]
        for k in range(probability.shape[1]):
            chance, upper, at = probability[s, k], next_share[s, k], next_low[s, k]
            if chance == 0.0:
                continue
            moved[:] = 0.0
            for e in range(held.size):
                if held[e] != 0.0:
                    i, up = moves.low[s, k, e], moves.share[s, k, e]
                    moved[i] += held[e] * (1.0 - up)
                    moved[i + 1] += held[e] * up
            above = min(at + 1, last)
            for e in range(held.size):
                following[at, e] += chance * (1.0 - upper) * moved[e]
                following[above, e] += chance * upper * moved[e]
    return following
