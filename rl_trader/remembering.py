"""What policies remember of the accounts that they play, from one bar to the next.

The memory of an account is a row of numbers that the policy is given with an observation and gives back. It is zeros
where an episode begins: at the first bar, after a hole of the recording, and in live trading after a bar on which the
policy did not decide.
"""

import numpy as np
from numpy.typing import NDArray

from rl_trader.policy import AnyPolicy, RecurrentPolicy


def memory_size(policy: AnyPolicy) -> int:
    """Return how many numbers a policy remembers of an account; 0 for one that decides from observations alone."""
    return policy.memory_size if isinstance(policy, RecurrentPolicy) else 0


def advance(
    policy: AnyPolicy, observations: NDArray[np.float32], memories: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return target positions (num_accounts,), and what is remembered at the next bar.

    Args:
        policy: Whatever decides.
        observations: (num_accounts, observation size).
        memories: (num_accounts, memory size).
    """
    if isinstance(policy, RecurrentPolicy):
        return policy.advance(observations, memories)
    return policy.targets(observations), memories


class Remembering:
    """A policy with what it remembers of some accounts."""

    def __init__(self, policy: AnyPolicy, num_accounts: int) -> None:
        self._policy = policy
        self.memories = np.zeros((num_accounts, memory_size(policy)), np.float32)

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the target positions (num_accounts,) at the next bar, and remember what was observed."""
        targets, self.memories = advance(self._policy, observations, self.memories)
        return targets

    def forget(self, which: NDArray[np.bool_] | None = None) -> None:
        """Let the episodes of accounts begin.

        Args:
            which: (num_accounts,); None is all of them.
        """
        self.memories = self.memories.copy()
        self.memories[slice(None) if which is None else which] = 0.0


def decide_in_turn(policy: AnyPolicy, observations: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the target positions (num_rows,) of one account that observes one row after the other."""
    account = Remembering(policy, 1)
    return np.array([account.targets(row[np.newaxis])[0] for row in observations], np.float64)
