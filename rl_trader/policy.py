"""What decides: a policy sees observations, a rule sees bars; both answer with target positions."""

from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rl_trader.market import MarketData


class Policy(Protocol):
    """Decides from observations."""

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return target positions (num_accounts,) in [-1, 1] for observations (num_accounts, observation size)."""


@runtime_checkable
class RecurrentPolicy(Protocol):
    """Decides from observations, and from what it remembers of those before; it keeps nothing itself."""

    @property
    def memory_size(self) -> int:
        """Return how many numbers it remembers of an account."""
        ...

    def advance(
        self, observations: NDArray[np.float32], memories: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return target positions (num_accounts,) in [-1, 1], and what is remembered at the next bar.

        Args:
            observations: (num_accounts, observation size).
            memories: (num_accounts, memory_size), zeros where nothing is remembered.
        """
        ...


AnyPolicy: TypeAlias = Policy | RecurrentPolicy


class Rule(Protocol):
    """Decides from bars alone: the decision after bar ``t`` may use bars up to ``t``."""

    def targets(self, market: MarketData) -> NDArray[np.float64]:
        """Return the target position (num_bars,) in [-1, 1] that is decided at the close of every bar."""
