"""The probability of backtest overfitting, by combinatorially symmetric cross-validation.

Bailey, Borwein, Lopez de Prado and Zhu 2014, "The probability of backtest overfitting". The days are cut into equal
blocks. For every way to take half of them, the configuration that is best on that half is ranked on the other. Where
choosing works, it ranks high there; where it does not, it ranks anywhere, and is below the median half of the time.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

NUM_BLOCKS: Final = 16
MIN_CONFIGURATIONS: Final = 8  # fewer give ranks too coarse to mean anything
MIN_BLOCK_DAYS: Final = 2


@dataclass(frozen=True, slots=True)
class Overfitting:
    """How the configuration that is best in one half of the days does in the other."""

    probability: float  # fraction of the halvings in which it is below the median; ties count half
    num_halvings: int
    num_configurations: int
    logits: NDArray[np.float64]  # (num_halvings,) of its relative rank; below 0 is below the median

    def to_json(self) -> dict[str, float | int]:
        """Return the figures, without the single halvings."""
        return {
            "probability": self.probability,
            "num_halvings": self.num_halvings,
            "num_configurations": self.num_configurations,
        }


def backtest_overfitting(returns: NDArray[np.float64], num_blocks: int = NUM_BLOCKS) -> Overfitting | None:
    """Return the probability of overfitting when the best Sharpe ratio is chosen; None where there is too little.

    Args:
        returns: (num_days, num_configurations) simple returns of the same days.
        num_blocks: Even number of blocks.
    """
    num_days, num_configurations = returns.shape
    size = num_days // num_blocks
    if num_configurations < MIN_CONFIGURATIONS or size < MIN_BLOCK_DAYS:
        return None
    blocks = returns[: size * num_blocks].reshape(num_blocks, size, num_configurations)
    sums, squares = blocks.sum(axis=1), (blocks**2).sum(axis=1)
    chosen = np.array(list(combinations(range(num_blocks), num_blocks // 2)))
    is_inside = np.zeros((len(chosen), num_blocks))
    is_inside[np.arange(len(chosen))[:, None], chosen] = 1.0
    num = size * num_blocks // 2
    inside = _sharpe_ratios(is_inside @ sums, is_inside @ squares, num)
    outside = _sharpe_ratios((1.0 - is_inside) @ sums, (1.0 - is_inside) @ squares, num)
    best = inside.argmax(axis=1)
    of_best = outside[np.arange(len(best)), best][:, None]
    ranks = (outside < of_best).sum(axis=1) + 0.5 * ((outside == of_best).sum(axis=1) + 1.0)
    share = ranks / (num_configurations + 1.0)
    below = (share < 0.5) + 0.5 * (share == 0.5)  # noqa: PLR2004 - the median
    return Overfitting(float(below.mean()), len(chosen), num_configurations, np.log(share / (1.0 - share)))


def _sharpe_ratios(sums: NDArray[np.float64], squares: NDArray[np.float64], num: int) -> NDArray[np.float64]:
    """Return mean over standard deviation, 0 where nothing varies."""
    mean = sums / num
    variance = squares / num - mean**2
    ratios: NDArray[np.float64] = np.divide(
        mean, np.sqrt(np.maximum(variance, 0.0)), out=np.zeros_like(mean), where=variance > 0.0
    )
    return ratios
