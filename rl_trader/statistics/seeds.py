"""Several seeds as one figure: the interquartile mean and its stratified bootstrap interval.

Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice". Seeds are resampled within
their fold. A few seeds vary less among each other than their population does, so that plain percentiles are too narrow;
they are widened as Hesterberg 2015, "What teachers should know about the bootstrap", section 3.1, proposes.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rl_trader.statistics.bootstrap import LEVEL, NUM_RESAMPLES, Interval


def interquartile_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the middle half along the last axis; a quarter is rounded down on either side."""
    num = values.shape[-1]
    cut = num // 4
    middle: NDArray[np.float64] = np.sort(values, axis=-1)[..., cut : num - cut].mean(axis=-1)
    return middle


def seeds_interval(
    folds: Sequence[NDArray[np.float64]], seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> Interval | None:
    """Return the interquartile mean of all runs and its interval; None where no fold has two seeds.

    Args:
        folds: One array (num_seeds,) of scores a fold.
        seed: Of the resamples.
        num_resamples: Number of resamples.
    """
    freedom = sum(len(scores) - 1 for scores in folds)
    if freedom < 1:
        return None
    rng = np.random.default_rng(seed)
    samples = [scores[rng.integers(len(scores), size=(num_resamples, len(scores)))] for scores in folds]
    means = interquartile_mean(np.concatenate(samples, axis=1))
    outside = _widened_tail(len(np.concatenate(list(folds))), freedom)
    low, high = np.quantile(means, (outside, 1.0 - outside))
    return Interval(float(interquartile_mean(np.concatenate(list(folds)))), float(low), float(high))


def paths_interval(
    folds: Sequence[NDArray[np.float64]], seed: int = 0, num_resamples: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the interquartile mean of the seeds' growth day by day, and the ends of its interval.

    Args:
        folds: One array (num_seeds, num_days) of daily log returns a fold, all of as many seeds.
        seed: Of the resamples.
        num_resamples: Number of resamples.

    Returns:
        Three arrays (num_days of all folds,) of cumulated log returns.
    """
    rng = np.random.default_rng(seed)
    num_seeds = len(folds[0])
    drawn = [rng.integers(num_seeds, size=(num_resamples, num_seeds)) for _ in folds]
    samples = np.concatenate([fold[rows] for fold, rows in zip(folds, drawn, strict=True)], axis=2)
    means = interquartile_mean(np.cumsum(samples, axis=2).swapaxes(1, 2))
    middle = interquartile_mean(np.cumsum(np.concatenate(folds, axis=1), axis=1).T)
    if num_seeds == 1:
        return middle, middle, middle
    outside = _widened_tail(num_seeds, num_seeds - 1)
    low, high = np.quantile(means, (outside, 1.0 - outside), axis=0)
    return middle, low, high


def _widened_tail(num: int, freedom: int) -> float:
    """Return the probability on either side at which percentiles of the resamples are taken."""
    quantile = student_quantile((1.0 + LEVEL) / 2.0, freedom)
    return NormalDist().cdf(-quantile * math.sqrt(num / freedom))


def student_quantile(probability: float, freedom: int) -> float:
    """Return a quantile of Student's t distribution, found by bisection on its series.

    Args:
        probability: In (0.5, 1).
        freedom: Degrees of freedom.
    """
    low, high = 0.0, 1e4
    while high - low > 1e-9 * (1.0 + low):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _student_cdf(middle, freedom) < probability else (low, middle)
    return low


def _student_cdf(value: float, freedom: int) -> float:
    """Return Student's t distribution at a positive value (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(value / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if freedom % 2 else 1.0
    total = 0.0
    for k in range(freedom % 2 + 2, freedom + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    area = 2.0 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
    return 0.5 + area / 2.0
