"""The stationary bootstrap of a mean: intervals that hold for returns that depend on the days before.

Blocks of random length are drawn from the series as from a ring (Politis and Romano 1994, "The stationary bootstrap").
Their mean length is chosen from the series' own autocorrelation (Politis and White 2004, "Automatic block-length
selection for the dependent bootstrap", with the correction of Patton, Politis and White 2009).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LEVEL: Final = 0.95
NUM_RESAMPLES: Final = 1_000
MIN_DAYS: Final = 10  # fewer say nothing about their own dependence
NUM_SMALL: Final = 5  # autocorrelations in a row that must be insignificant, at least
SIGNIFICANT: Final = 2.0  # times sqrt(log10(n) / n), beyond which an autocorrelation counts


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and where the true value lies with a probability of ``level``."""

    estimate: float
    low: float
    high: float
    level: float = LEVEL

    @property
    def excludes_zero(self) -> bool:
        """Return whether 0 lies outside."""
        return self.low > 0.0 or self.high < 0.0

    def scaled(self, factor: float) -> "Interval":
        """Return it in another unit.

        Args:
            factor: Positive.
        """
        return Interval(self.estimate * factor, self.low * factor, self.high * factor, self.level)

    def to_json(self) -> dict[str, float]:
        """Return plain numbers."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "level": self.level}


def autocovariances(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the autocovariances (num_values,) of a series at the lags 0, 1, 2 and so on, each over ``num_values``."""
    centred = values - values.mean()
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    return np.fft.irfft(spectrum * spectrum.conj(), size)[: len(values)] / len(values)


def block_length(values: NDArray[np.float64]) -> float:
    """Return the mean block length in values, from 1 on, that suits the stationary bootstrap of a series' mean."""
    num = len(values)
    covariances = autocovariances(values)
    if num < MIN_DAYS or covariances[0] <= 0.0:
        return 1.0
    window = min(2 * max(_last_significant_lag(covariances / covariances[0]), 1), num - 1)
    lags = np.arange(1, window + 1)
    # The flat-top lag window: 1 up to half of it, then falling to 0.
    weighted = np.minimum(1.0, 2.0 * (1.0 - lags / window)) * covariances[1 : window + 1]
    spectrum = covariances[0] + 2.0 * float(weighted.sum())
    slope = 2.0 * float((lags * weighted).sum())
    if spectrum <= 0.0:
        return 1.0
    length = (slope**2 / spectrum**2 * num) ** (1.0 / 3.0)
    return float(min(max(length, 1.0), math.ceil(min(3.0 * math.sqrt(num), num / 3.0))))


def _last_significant_lag(correlations: NDArray[np.float64]) -> int:
    """Return the lag after which so many autocorrelations in a row are insignificant that all may be."""
    num = len(correlations)
    in_a_row = max(NUM_SMALL, int(math.sqrt(math.log10(num))))
    longest = math.ceil(math.sqrt(num)) + in_a_row
    limit = SIGNIFICANT * math.sqrt(math.log10(num) / num)
    is_significant = np.abs(correlations[1 : longest + 1]) >= limit
    for lag in range(len(is_significant) - in_a_row + 1):
        if not is_significant[lag : lag + in_a_row].any():
            return lag
    return int(np.flatnonzero(is_significant)[-1]) + 1 if is_significant.any() else 1


def resampled_rows(
    num_values: int, mean_length: float, num_resamples: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the rows (num_resamples, num_values) of stationary resamples.

    Args:
        num_values: Of the series.
        mean_length: Of the blocks, from 1 on.
        num_resamples: Number of resamples.
        rng: Random generator.
    """
    shape = (num_resamples, num_values)
    begins = rng.random(shape) < 1.0 / mean_length
    begins[:, 0] = True
    column = np.arange(num_values)
    begun = np.maximum.accumulate(np.where(begins, column, 0), axis=1)
    starts = rng.integers(num_values, size=shape)
    rows: NDArray[np.int64] = (np.take_along_axis(starts, begun, axis=1) + column - begun) % num_values
    return rows


def mean_interval(values: NDArray[np.float64], seed: int = 0, num_resamples: int = NUM_RESAMPLES) -> Interval:
    """Return the mean of a series and the studentised bootstrap interval of the true one.

    Every resample's error is divided by the resample's own standard error (Davison and Hinkley 1997, section 5.2; its
    form for the stationary bootstrap is Politis and Romano's equation for the variance of a resampled mean).

    Args:
        values: (num_values,), at least two.
        seed: Of the resamples.
        num_resamples: Number of resamples.
    """
    mean = float(values.mean())
    if np.ptp(values) == 0.0:
        return Interval(mean, mean, mean)
    length = block_length(values)
    rows = resampled_rows(len(values), length, num_resamples, np.random.default_rng(seed))
    samples = values[rows]
    means = samples.mean(axis=1)
    error = float(_standard_errors(values[None], length)[0])
    errors = _standard_errors(samples, length)
    # A resample of one value has no error of its own, and stands for none.
    ratios = (means - mean)[errors > 0.0] / errors[errors > 0.0]
    low, high = np.quantile(ratios, ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0))
    return Interval(mean, mean - float(high) * error, mean - float(low) * error)


def _standard_errors(samples: NDArray[np.float64], mean_length: float) -> NDArray[np.float64]:
    """Return the standard error of every row's mean (num_rows,) under stationary resampling of that row."""
    num = samples.shape[1]
    lags = np.arange(num)
    kept = 1.0 - 1.0 / mean_length  # probability that a block goes on
    weights = (1.0 - lags / num) * kept**lags + lags / num * kept ** (num - lags)
    weights[0] = 0.5  # all lags count twice
    # The weighted sum of autocovariances is one of the spectrum: a single transform of every row is enough.
    size = 1 << (2 * num - 1).bit_length()
    padded = np.zeros(size)
    padded[:num] = 2.0 * weights
    of_spectrum = np.fft.rfft(padded).real * np.where(np.arange(size // 2 + 1) % (size // 2) == 0, 1.0, 2.0) / size
    centred = samples - samples.mean(axis=1, keepdims=True)
    variances: NDArray[np.float64] = np.abs(np.fft.rfft(centred, size, axis=1)) ** 2 @ of_spectrum / num**2
    return np.sqrt(np.maximum(variances, 0.0))


def ratio_interval(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64], seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """Return the ratio of two series' sums and its interval, by the interval of the linearised ratio's mean.

    Args:
        numerator: (num_values,).
        denominator: (num_values,), with a positive sum.
        seed: Of the resamples.
        num_resamples: Number of resamples.
    """
    ratio = float(numerator.sum() / denominator.sum())
    linear = (numerator - ratio * denominator) / denominator.mean()
    around = mean_interval(linear, seed, num_resamples)
    return Interval(ratio, ratio + around.low, ratio + around.high)
