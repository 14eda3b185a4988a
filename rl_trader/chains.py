"""Signals as Markov chains: at every state the outcomes of the coming bar, with return and next state.

Normal noise is a sum over Gauss-Hermite nodes, or over even steps where a policy may change abruptly with what the
noise moves: between few nodes such a change would be missed. A next state that is no state of the grid is shared
between the two around it, in proportion; that adds a sixth of the squared step to its variance, which is taken off the
noise before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.kernels import kernel

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

NODES: Final = 9  # of one normal number
EVEN_NODES: Final = 37
EVEN_REACH: Final = 4.5  # of even nodes to both sides, in standard deviations
SHARED_VARIANCE: Final = 1.0 / 6.0  # of the squared step of a grid, by sharing uniformly placed points
WIDTH: Final = 5.0  # reach of a grid to both sides, in stationary standard deviations
STEPS_A_SHOCK: Final = 6.0  # of the grid, in the standard deviation of a shock
SQUARINGS: Final = 14  # of a transition matrix: bars after which it has forgotten where it began, as a power of two


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalChain:
    """The states of a signal at a bar's close, and what may come in the next bar."""

    grid: Floats
    """(num_states,) a value for every state, ascending."""
    probability: Floats
    """(num_states, num_outcomes) of every outcome; rows sum to 1."""
    price_return: Floats
    """(num_states, num_outcomes) simple return of the price over the bar."""
    next_low: Whole
    """(num_states, num_outcomes) row of the next state."""
    next_share: Floats
    """(num_states, num_outcomes) part that goes to the row above it."""
    signal: Floats
    """(num_states,) what the market's signal column shows."""
    funding_rate: Floats
    """(num_states,) rate that is settled at the bar's opening instant, before the order; 0 for none."""

    @property
    def mean_return(self) -> Floats:
        """Return the expected simple return of the bar, (num_states,)."""
        mean: Floats = (self.probability * self.price_return).sum(axis=1)
        return mean

    @property
    def stationary(self) -> Floats:
        """Return how often the chain is in a state in the long run, (num_states,)."""
        size = self.grid.size
        rows = np.arange(size)[:, None]
        step = np.zeros((size, size))
        np.add.at(step, (rows, self.next_low), self.probability * (1.0 - self.next_share))
        np.add.at(step, (rows, np.minimum(self.next_low + 1, size - 1)), self.probability * self.next_share)
        step = 0.5 * (step + np.eye(size))  # half at rest: also what repeats itself settles
        for _ in range(SQUARINGS):
            step = step @ step
        often: Floats = step.mean(axis=0)
        often /= often.sum()
        return often

    @property
    def funding_classes(self) -> Floats:
        """Return the different funding rates, (num_classes, 1, 1)."""
        return np.unique(self.funding_rate)[:, None, None]

    @property
    def funding_class(self) -> Whole:
        """Return which of the different funding rates a state has, (num_states,)."""
        return np.unique(self.funding_rate, return_inverse=True)[1].astype(np.int64)


def locate(grid: Floats, values: NDArray[np.floating]) -> tuple[Whole, Floats]:
    """Return the row of the grid below every value and how far it lies towards the next; cut at the grid's ends.

    A grid of one value has row 0 and share 0.
    """
    if grid.size == 1:
        return np.zeros(np.shape(values), np.int64), np.zeros(np.shape(values))
    row = (np.searchsorted(grid, values, side="right") - 1).clip(0, grid.size - 2)
    share = (values - grid[row]) / (grid[row + 1] - grid[row])
    return np.asarray(row, np.int64), np.clip(share, 0.0, 1.0)


def normal_nodes(num_nodes: int = NODES) -> tuple[Floats, Floats]:
    """Return nodes and weights whose weighted sum is the expectation over a standard normal number."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
    return nodes, weights / weights.sum()


def even_nodes() -> tuple[Floats, Floats]:
    """Return the same with nodes in even steps."""
    nodes = np.linspace(-EVEN_REACH, EVEN_REACH, EVEN_NODES)
    weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()


def _flat(probability: Floats, *arrays: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """Return arrays over (num_states, a, b) as (num_states, a * b)."""
    return [np.broadcast_to(array, probability.shape).reshape(probability.shape[0], -1) for array in arrays]


def telegraph_chain(mu: float, flip: float, sigma: float) -> SignalChain:
    """Return a sign s that flips with a probability; the bar returns ``mu * s`` and normal noise.

    Args:
        mu: Mean of the simple return in the direction of the sign.
        flip: Probability of a flip, of a bar.
        sigma: Standard deviation of the simple return.
    """
    nodes, weights = normal_nodes()
    sign = np.array([-1.0, 1.0])
    probability = np.multiply.outer(np.ones(2), np.multiply.outer([1.0 - flip, flip], weights))
    following = np.array([[0, 1], [1, 0]])[:, :, None]
    returns = mu * sign[:, None, None] + sigma * nodes
    p, r, low = _flat(probability, probability, returns, following)
    return _chain(sign, p, r, low.astype(np.int64), np.zeros(p.shape))


def funding_chain(rate: float, flip: float, sigma: float, bars: int) -> SignalChain:
    """Return the sign of the coming settlement with the bars that are left to it; the price is noise.

    The sign is drawn anew after every settlement. The state of the settlement's own instant (0 bars left) still shows
    its sign: the exchange settles before an order that is decided then can fill.

    Args:
        rate: Size of the funding rate.
        flip: Probability that the next settlement has the other sign.
        sigma: Standard deviation of the simple return.
        bars: Bars from one settlement to the next.
    """
    nodes, weights = normal_nodes()
    state = np.arange(2 * bars)
    side, left = state // bars, state % bars
    probability = np.multiply.outer(np.where(left[:, None] > 0, [1.0, 0.0], [1.0 - flip, flip]), weights)
    following = np.stack([side * bars + (left - 1) % bars, (1 - side) * bars + (left - 1) % bars], axis=1)
    p, r, low = _flat(probability, probability, sigma * nodes, following[:, :, None])
    sign = np.where(side > 0, 1.0, -1.0)
    chain = _chain(state.astype(np.float64), p, r, low.astype(np.int64), np.zeros(p.shape))
    due = np.where(left == 0, rate * sign, 0.0)
    return _with(chain, signal=sign, funding_rate=due)


def autoregressive_chain(
    phi: float,
    sigma: float,
    price_return: Callable[[Floats, Floats], Floats],
    *,
    noise: float = 0.0,
) -> SignalChain:
    """Return ``x' = phi * x + sigma * shock`` with a return that may depend on both, and noise of its own.

    Args:
        phi: Persistence, in (-1, 1).
        sigma: Standard deviation of a shock.
        price_return: Of x (num_states, 1) and x' (num_states, num_nodes), without the noise.
        noise: Standard deviation of the return's own noise; 0 for none.
    """
    step = sigma / STEPS_A_SHOCK
    reach = int(np.ceil(WIDTH * sigma / np.sqrt(1.0 - phi * phi) / step))
    grid: Floats = step * np.arange(-reach, reach + 1, dtype=np.float64)
    num_states = grid.size
    nodes, weights = normal_nodes() if noise > 0.0 else even_nodes()
    shocks = sigma * nodes
    mean = phi * grid[:, None]
    shared = np.sqrt(max(sigma * sigma - SHARED_VARIANCE * step * step, 0.0)) * nodes
    low, share = locate(grid, mean + shared)
    own_nodes, own_weights = normal_nodes(NODES if noise > 0.0 else 1)
    probability = np.multiply.outer(np.ones(num_states), np.multiply.outer(weights, own_weights))
    returns = price_return(grid[:, None], mean + shocks)[:, :, None] + noise * own_nodes
    p, r, rows, shares = _flat(probability, probability, returns, low[:, :, None], share[:, :, None])
    return _chain(grid, p, r, rows.astype(np.int64), shares)


@kernel
def autoregress(start: float, phi: float, shocks: Floats) -> Floats:
    """Return ``x`` (num_shocks + 1,) with ``x[t + 1] = phi * x[t] + shocks[t]`` from a start on."""
    path = np.empty(shocks.size + 1)
    path[0] = start
    for t in range(shocks.size):
        path[t + 1] = phi * path[t] + shocks[t]
    return path


def log_price_return(before: Floats, after: Floats) -> Floats:
    """Return the simple return between two log prices."""
    moved: Floats = np.expm1(after - before)
    return moved


def coin_chain(up: float, size: float) -> SignalChain:
    """Return one state whose bar returns ``size`` with probability ``up``, else ``-size``."""
    probability = np.array([[up, 1.0 - up]])
    returns = np.array([[size, -size]])
    return _chain(np.zeros(1), probability, returns, np.zeros((1, 2), np.int64), np.zeros((1, 2)))


def updated_belief(belief: Floats, returned: Floats, mu: float, flip: float, sigma: float) -> Floats:
    """Return the probability that the hidden sign is positive after a bar, by Bayes' rule and a possible flip."""
    odds = 2.0 * mu * np.asarray(returned) / (sigma * sigma)  # log ratio of the two normal densities
    posterior = belief / (belief + (1.0 - belief) * np.exp(-odds))
    after: Floats = flip + (1.0 - 2.0 * flip) * posterior
    return after


def belief_chain(mu: float, flip: float, sigma: float, *, num_states: int = 121) -> SignalChain:
    """Return the belief about a hidden telegraph sign, which the returns alone move (Bayes filter).

    Args:
        mu: Mean of the simple return in the direction of the hidden sign.
        flip: Probability of a flip, of a bar.
        sigma: Standard deviation of the simple return.
        num_states: Of the grid, dense near certainty.
    """
    edge = np.log((1.0 - flip) / flip)  # the belief never passes 1 - flip
    grid = 1.0 / (1.0 + np.exp(-np.linspace(-edge, edge, num_states)))
    nodes, weights = even_nodes()
    chance = np.stack([1.0 - grid, grid], axis=1)[:, :, None]
    returns = mu * np.array([-1.0, 1.0])[:, None] + sigma * nodes
    probability = chance * weights
    following = updated_belief(grid[:, None, None], returns[None], mu, flip, sigma)
    low, share = locate(grid, following)
    p, r, rows, shares = _flat(probability, probability, returns, low, share)
    return _chain(grid, p, r, rows.astype(np.int64), shares)


def _chain(
    grid: Floats, probability: NDArray[np.generic], returns: NDArray[np.generic], low: Whole, share: NDArray[np.generic]
) -> SignalChain:
    return SignalChain(
        grid=grid,
        probability=np.ascontiguousarray(probability, np.float64),
        price_return=np.ascontiguousarray(returns, np.float64),
        next_low=np.ascontiguousarray(low),
        next_share=np.ascontiguousarray(share, np.float64),
        signal=grid,
        funding_rate=np.zeros(grid.size),
    )


def _with(chain: SignalChain, *, signal: Floats, funding_rate: Floats) -> SignalChain:
    return SignalChain(
        grid=chain.grid,
        probability=chain.probability,
        price_return=chain.price_return,
        next_low=chain.next_low,
        next_share=chain.next_share,
        signal=signal,
        funding_rate=funding_rate,
    )
