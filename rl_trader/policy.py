"""What decides: a policy sees observations, a rule sees bars; both answer with target positions."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rl_trader.market import MarketData


class Policy(Protocol):
    """Decides from observations."""

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return target positions (num_accounts,) in [-1, 1] for observations (num_accounts, observation size)."""


class Rule(Protocol):
    """Decides from bars alone: the decision after bar ``t`` may use bars up to ``t``."""

    def targets(self, market: MarketData) -> NDArray[np.float64]:
        """Return the target position (num_bars,) in [-1, 1] that is decided at the close of every bar."""
