"""The Sharpe ratio as an estimate: its error, how probable skill is after so many trials, how long a record it needs.

Ratios are per observation (here: per day), never annualised, unless a name says so. ``Phi`` is the normal distribution.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
EULER: Final = 0.5772156649015329  # Euler-Mascheroni constant
NORMAL_KURTOSIS: Final = 3.0
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class SharpeRatio:
    """The moments of a series of returns that decide how sure its Sharpe ratio is."""

    ratio: float  # mean over standard deviation, per observation
    num: int  # of observations
    skew: float = 0.0
    kurtosis: float = NORMAL_KURTOSIS  # 3 is normal

    @property
    def standard_error(self) -> float:
        """Return the ratio's standard error for returns of this skew and kurtosis.

        Lo 2002, "The statistics of Sharpe ratios", has the normal case; Mertens 2002 and Bailey and Lopez de Prado
        2012, "The Sharpe ratio efficient frontier", the general one.
        """
        return math.sqrt(self._variance_factor / (self.num - 1))

    @property
    def normal_standard_error(self) -> float:
        """Return the standard error for independent normal returns: sqrt((1 + SR^2 / 2) / num), Lo 2002."""
        return math.sqrt((1.0 + self.ratio**2 / 2.0) / self.num)

    @property
    def _variance_factor(self) -> float:
        factor = 1.0 - self.skew * self.ratio + (self.kurtosis - 1.0) / 4.0 * self.ratio**2
        return max(factor, 0.0)  # sample moments obey kurtosis >= 1 + skew^2, which keeps it from falling below

    def probability_above(self, threshold: float) -> float:
        """Return the probabilistic Sharpe ratio: how sure the true ratio is above a threshold.

        Bailey and Lopez de Prado 2012.

        Args:
            threshold: Sharpe ratio per observation.
        """
        error = self.standard_error
        if error == 0.0:
            return 0.5 * (1.0 + math.copysign(1.0, self.ratio - threshold))
        return _NORMAL.cdf((self.ratio - threshold) / error)

    def deflated(self, num_trials: int, deviation: float) -> float:
        """Return the deflated Sharpe ratio: how sure the true ratio is above what the best of so many trials shows.

        Args:
            num_trials: Configurations that were tried, this one among them; one is no deflation.
            deviation: Standard deviation of their Sharpe ratios, per observation.
        """
        return self.probability_above(expected_best(num_trials, deviation))

    def min_length(self, threshold: float = 0.0, confidence: float = CONFIDENCE) -> float | None:
        """Return how many observations of this kind make sure that the true ratio is above a threshold.

        The minimum track record length of Bailey and Lopez de Prado 2012.

        Args:
            threshold: Sharpe ratio per observation.
            confidence: Probability that the claim is right.

        Returns:
            A number of observations, or None where the ratio is not above the threshold.
        """
        if self.ratio <= threshold:
            return None
        return 1.0 + self._variance_factor * (_NORMAL.inv_cdf(confidence) / (self.ratio - threshold)) ** 2


def sharpe_ratio(returns: NDArray[np.float64]) -> SharpeRatio | None:
    """Return the Sharpe ratio of simple returns (num,) with its moments; None where they do not vary."""
    num = len(returns)
    deviation = float(returns.std(ddof=1)) if num > 1 else 0.0
    mean = float(returns.mean()) if num else 0.0
    if deviation <= 1e-12 * abs(mean) or deviation == 0.0:  # rounding alone
        return None
    centred = (returns - mean) / float(returns.std())
    return SharpeRatio(mean / deviation, num, float((centred**3).mean()), float((centred**4).mean()))


def expected_best(num_trials: int, deviation: float) -> float:
    """Return the Sharpe ratio that the best of several trials without skill is expected to show.

    Bailey and Lopez de Prado 2014, "The deflated Sharpe ratio".

    Args:
        num_trials: Independent trials; 0 and 1 are no choice, and 0 is expected.
        deviation: Standard deviation of their Sharpe ratios.
    """
    if num_trials <= 1:
        return 0.0
    lower = _NORMAL.inv_cdf(1.0 - 1.0 / num_trials)
    upper = _NORMAL.inv_cdf(1.0 - 1.0 / (num_trials * math.e))
    return deviation * ((1.0 - EULER) * lower + EULER * upper)
