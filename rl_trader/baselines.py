"""The rules that an agent is measured against, and agents that trade at random.

Every rule sees closes up to the bar of its decision, within one gap-free segment; it is flat while its windows reach
beyond the segment's begin. All trade in the same kernel, with the same fees, stops and exposure limit as the agent: a
rule that is stopped out opens again at the next bar, and holding short is rebalanced when the exposure leaves the band.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.market import MarketData
from rl_trader.policy import Rule

PIECE: Final = 65_536  # bars
DRAWN_BARS: Final = 512  # of random agents that are drawn at a time
LONGEST_WARMUP: Final = 200  # bars that the slowest baseline needs before it decides


@dataclass(frozen=True, slots=True)
class Hold:
    """Hold one target position."""

    target: float  # fraction of max_exposure

    def targets(self, market: MarketData) -> NDArray[np.float64]:
        """Return the target position for every bar, (num_bars,)."""
        return np.full(len(market.bars), self.target)


@dataclass(frozen=True, slots=True)
class Crossover:
    """Long while the fast moving average of the closes is above the slow one, short below, flat where equal."""

    fast_bars: int
    slow_bars: int

    def targets(self, market: MarketData) -> NDArray[np.float64]:
        """Return the target position for every bar, (num_bars,)."""
        out = np.zeros(len(market.bars))
        for begin, end in _stretches(market, self.slow_bars - 1):
            close = market.bars["close"][begin - self.slow_bars + 1 : end]
            sums = np.concatenate([[0.0], np.cumsum(close - close[0])])
            fast, slow = (
                (sums[self.slow_bars :] - sums[self.slow_bars - n : len(sums) - n]) / n
                for n in (self.fast_bars, self.slow_bars)
            )
            out[begin:end] = np.sign(fast - slow)
        return out


@dataclass(frozen=True, slots=True)
class Momentum:
    """Long after a rise over the last bars, short after a fall, flat where the price is the same."""

    num_bars: int = 48

    def targets(self, market: MarketData) -> NDArray[np.float64]:
        """Return the target position for every bar, (num_bars,)."""
        out = np.zeros(len(market.bars))
        for begin, end in _stretches(market, self.num_bars):
            close = market.bars["close"][begin - self.num_bars : end]
            out[begin:end] = np.sign(close[self.num_bars :] - close[: -self.num_bars])
        return out


def _stretches(market: MarketData, warmup: int) -> Iterator[tuple[int, int]]:
    """Yield the rows ``[begin, end)`` of every segment after its warm-up, in pieces that need little memory."""
    for segment in market.segments:
        for begin in range(segment.start + warmup, segment.stop, PIECE):
            yield begin, min(begin + PIECE, segment.stop)


BASELINES: Final = MappingProxyType[str, Rule](
    {
        "flat": Hold(0.0),
        "buy_and_hold": Hold(1.0),
        "short_and_hold": Hold(-1.0),
        "crossover_20_50": Crossover(20, 50),
        "crossover_50_200": Crossover(50, LONGEST_WARMUP),
        "momentum_48": Momentum(48),
    }
)


def mean_jump(levels: Sequence[float]) -> float:
    """Return the mean absolute change of a random agent's target when it moves.

    Args:
        levels: Target positions between which it moves; empty for all of [-1, 1].
    """
    if not levels:
        return 2.0 / 3.0  # of two independent uniform draws from [-1, 1]
    table = np.asarray(levels, np.float64)
    # A move goes to any other level with equal probability, so that all levels are held equally often.
    return float(np.abs(table[:, None] - table).sum()) / (len(table) * (len(table) - 1))


def random_targets(
    num_bars: int, turnover_per_bar: float, seed: int | np.random.SeedSequence, num_agents: int, levels: Sequence[float]
) -> Iterator[NDArray[np.float64]]:
    """Yield the target positions (num_agents,) of independent random agents for one bar after another.

    In every bar an agent moves with the same probability, to any other level alike. The probability makes the expected
    absolute change of the target equal to ``turnover_per_bar``; what even a move in every bar does not reach is not
    reached. Agents begin flat, or where no level is 0, at a random one.

    Args:
        num_bars: Number of bars.
        turnover_per_bar: Mean absolute change of the target in a bar, as a fraction of ``max_exposure``.
        seed: Of the generator.
        num_agents: Number of agents.
        levels: Target positions; empty for all of [-1, 1].
    """
    rng = np.random.default_rng(seed)
    probability = turnover_per_bar / mean_jump(levels)
    table = np.asarray(levels, np.float64)
    flat = np.flatnonzero(table == 0.0)
    at = np.full(num_agents, flat[0]) if len(flat) else rng.integers(max(len(table), 1), size=num_agents)
    targets = np.zeros(num_agents)
    for begin in range(0, num_bars, DRAWN_BARS):
        shape = (min(DRAWN_BARS, num_bars - begin), num_agents)
        moves = rng.random(shape) < probability
        if levels:
            steps = np.cumsum(moves * rng.integers(1, len(table), shape), axis=0)
            places = (at + steps) % len(table)
            at = places[-1]
            yield from table[places]
            continue
        drawn = np.concatenate([targets[None], rng.uniform(-1.0, 1.0, shape)])
        newest = np.maximum.accumulate(np.where(moves, np.arange(1, shape[0] + 1)[:, None], 0), axis=0)
        chosen = np.take_along_axis(drawn, newest, axis=0)
        targets = chosen[-1]
        yield from chosen
