"""Do the statistics keep their word? Coverage and false positives, counted on series whose truth is known."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.baselines import random_targets
from rl_trader.statistics.bootstrap import LEVEL, mean_interval, resampled_rows
from rl_trader.statistics.overfitting import backtest_overfitting
from rl_trader.statistics.seeds import seeds_interval
from rl_trader.statistics.sharpe import CONFIDENCE, sharpe_ratio

NUM_DAYS: Final = 180
BARS_PER_DAY: Final = 6
TURNOVER: Final = 0.2  # mean absolute change of a random agent's target in a bar
LEVELS: Final = (-1.0, 0.0, 1.0)
NUM_SEEDS: Final = 5
NUM_FOLDS: Final = 3
TRIALS: Final = (1, 10, 50)
NUM_CONFIGURATIONS: Final = 16
NUM_ERRORS: Final = 3.0  # standard errors of a counted rate that chance alone may move it
SLACK: Final = 0.02  # that an approximate interval may miss its nominal rate by
RESAMPLES: Final = 400
BURN_IN: Final = 200  # values before a series is taken for stationary

Draw = Callable[[int, np.random.Generator], float]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened that should happen at a nominal rate."""

    name: str
    nominal: float
    rate: float
    num_draws: int
    limit: float  # that a rate of errors must not exceed: nominal, slack, and three standard errors of counting
    is_bounded: bool  # whether the limit is asked for; else the rate is only shown

    @property
    def is_kept(self) -> bool:
        """Return whether the rate is not above its limit, or none is asked for."""
        return not self.is_bounded or self.rate <= self.limit

    def to_json(self) -> dict[str, object]:
        """Return the figures and whether the limit is kept."""
        return {**asdict(self), "is_kept": self.is_kept}


def normal_returns(num: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return independent normal values (num,) of mean 0."""
    return rng.normal(size=num)


def heavy_tailed_returns(num: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return independent values (num,) of Student's t distribution with 4 degrees of freedom."""
    return rng.standard_t(4, num)


def autocorrelated_returns(num: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return an autoregression (num,) with coefficient 0.2."""
    noise = rng.normal(size=num + BURN_IN)
    for i in range(1, len(noise)):
        noise[i] += 0.2 * noise[i - 1]
    return noise[BURN_IN:]


def clustered_returns(num: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a GARCH(1, 1) process (num,) of persistence 0.95: calm and wild days come in clusters."""
    noise = rng.normal(size=num + BURN_IN)
    variance = 1.0
    for i in range(len(noise)):
        noise[i] *= math.sqrt(variance)
        variance = 0.05 + 0.1 * noise[i] ** 2 + 0.85 * variance
    return noise[BURN_IN:]


SERIES: Final = {
    "normal": normal_returns,
    "heavy-tailed": heavy_tailed_returns,
    "autocorrelated": autocorrelated_returns,
    "clustered": clustered_returns,
}


def calibrate(num_draws: int, seed: int = 0) -> Iterator[Rate]:
    """Yield the rate of every claim.

    Args:
        num_draws: Of each.
        seed: Of the draws.
    """
    miss = 1.0 - LEVEL
    for name, series in SERIES.items():
        yield _rate(f"the interval of a mean misses it, {name} days", miss, _misses_mean(series), num_draws, seed)
    yield _rate("a random policy is told from being flat", miss, _random_policy_told_from_flat, num_draws, seed)
    yield _rate("a random policy is told from another", miss, _random_policy_told_from_another, num_draws, seed)
    yield _rate("the seeds' interval misses the true score", miss, _seeds_miss, num_draws, seed)
    for num_trials in TRIALS:
        name = f"the best of {num_trials} without skill passes the deflated Sharpe ratio"
        yield _rate(name, 1.0 - CONFIDENCE, _passes_deflation(num_trials, is_deflated=True), num_draws, seed)
    name = f"the same without deflation, best of {TRIALS[-1]}"
    yield _rate(name, 1.0, _passes_deflation(TRIALS[-1], is_deflated=False), num_draws, seed)
    yield _rate("the best of equals is below the median outside (PBO)", 0.5, _overfitting, num_draws, seed)


def _rate(name: str, nominal: float, draw: Draw, num_draws: int, seed: int) -> Rate:
    rng = np.random.default_rng((seed, *name.encode()))
    return counted_rate(name, nominal, np.array([draw(n, rng) for n in range(num_draws)]))


def counted_rate(name: str, nominal: float, values: NDArray[np.float64]) -> Rate:
    """Return how often something happened.

    Args:
        name: Of what happened.
        nominal: How often it should; a rate of 1 is only shown.
        values: (num_draws,) 1 where it did, 0 where not, between them in part.
    """
    error = max(float(values.std()), math.sqrt(nominal * (1.0 - nominal))) / math.sqrt(len(values))
    limit = nominal + SLACK + NUM_ERRORS * error
    return Rate(name, nominal, float(values.mean()), len(values), limit, is_bounded=nominal < 1.0)


def _misses_mean(series: Callable[[int, np.random.Generator], NDArray[np.float64]]) -> Draw:
    def draw(number: int, rng: np.random.Generator) -> float:
        return float(mean_interval(series(NUM_DAYS, rng), number, RESAMPLES).excludes_zero)

    return draw


def _random_policy_told_from_flat(number: int, rng: np.random.Generator) -> float:
    own, _ = _random_policies(rng)
    return float(mean_interval(own, number, RESAMPLES).excludes_zero)


def _random_policy_told_from_another(number: int, rng: np.random.Generator) -> float:
    own, other = _random_policies(rng)
    return float(mean_interval(own - other, number, RESAMPLES).excludes_zero)


def _random_policies(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the daily returns (2, num_days) of two agents that move at random, on one resampled market.

    The market is a recording of heavy tails and clusters, of which every draw sees a stationary resample.
    """
    num_bars = NUM_DAYS * BARS_PER_DAY
    recording = _recording()
    rows = resampled_rows(num_bars, 20.0, 1, rng)[0]
    returns = recording[rows]
    seed = int(rng.integers(1 << 31))
    targets = np.stack(list(random_targets(num_bars, TURNOVER, seed, 2, LEVELS)))
    daily: NDArray[np.float64] = (targets.T * returns).reshape(2, NUM_DAYS, BARS_PER_DAY).sum(axis=2)
    return daily


@cache
def _recording() -> NDArray[np.float64]:
    rng = np.random.default_rng(7)
    returns = clustered_returns(NUM_DAYS * BARS_PER_DAY, rng) * rng.standard_t(6, NUM_DAYS * BARS_PER_DAY)
    centred: NDArray[np.float64] = returns - returns.mean()
    return centred


def _seeds_miss(number: int, rng: np.random.Generator) -> float:
    folds = [rng.normal(size=NUM_SEEDS) for _ in range(NUM_FOLDS)]
    interval = seeds_interval(folds, number, RESAMPLES)
    assert interval is not None
    return float(interval.excludes_zero)


def _passes_deflation(num_trials: int, *, is_deflated: bool) -> Draw:
    def draw(_number: int, rng: np.random.Generator) -> float:
        ratios = [sharpe_ratio(heavy_tailed_returns(NUM_DAYS, rng)) for _ in range(num_trials)]
        found = [ratio for ratio in ratios if ratio is not None]
        best = max(found, key=lambda ratio: ratio.ratio)
        deviation = float(np.std([ratio.ratio for ratio in found], ddof=1)) if num_trials > 1 else 0.0
        return float(best.deflated(num_trials if is_deflated else 1, deviation) > CONFIDENCE)

    return draw


def _overfitting(_number: int, rng: np.random.Generator) -> float:
    found = backtest_overfitting(rng.normal(size=(NUM_DAYS, NUM_CONFIGURATIONS)), 8)
    assert found is not None
    return found.probability
