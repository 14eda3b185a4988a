"""Several policies that decide as one: the mean of their targets, smaller where they disagree.

With the members' targets t in [-1, 1], the ensemble's is

    mean(t) * (1 - shrink * variance(t))

where the variance is that of the members alone (0 where all want the same, at most 1). With discrete actions the level
nearest to it is taken, of two that are equally near the one nearer to flat. Members may remember: the ensemble's memory
is theirs, one after the other.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rl_trader.decision import ActionMap
from rl_trader.errors import CheckpointError
from rl_trader.forest import ForestPolicy
from rl_trader.network import NetworkPolicy
from rl_trader.numeric import is_number
from rl_trader.recurrent import RecurrentNetworkPolicy
from rl_trader.remembering import advance, memory_size

MemberPolicy: TypeAlias = NetworkPolicy | ForestPolicy | RecurrentNetworkPolicy

FEWEST_MEMBERS: Final = 2
SHRINK: Final = 1.0


def agreed_target(targets: Sequence[float], shrink: float) -> float:
    """Return the target of members with targets in [-1, 1]: their mean, less what their disagreement takes."""
    mean = math.fsum(targets) / len(targets)
    variance = math.fsum((target - mean) ** 2 for target in targets) / len(targets)
    return mean * (1.0 - shrink * variance)


def nearest_level(target: float, levels: Sequence[float]) -> float:
    """Return the level nearest to a target; of two that are equally near, the one nearer to 0."""
    return min(levels, key=lambda level: (abs(level - target), abs(level), level))


class EnsemblePolicy:
    """Members that decide together."""

    def __init__(self, members: Sequence[MemberPolicy], shrink: float, action_map: ActionMap) -> None:
        """Check the members and keep them.

        Args:
            members: Two or more, of one observation and one set of actions.
            shrink: Part of the position that the largest disagreement takes, from 0 to 1.
            action_map: The members'.

        Raises:
            CheckpointError: If they do not make an ensemble.
        """
        if len(members) < FEWEST_MEMBERS:
            raise CheckpointError(f"an ensemble needs {FEWEST_MEMBERS} members or more, found {len(members)}")
        if not (is_number(shrink) and 0.0 <= shrink <= 1.0):
            raise CheckpointError(f"an ensemble's shrink must be a fraction from 0 to 1, found {shrink!r}")
        self.members = tuple(members)
        self.shrink = float(shrink)
        self.action_map = action_map
        self._bounds = [0, *itertools.accumulate(memory_size(member) for member in members)]

    @property
    def memory_size(self) -> int:
        """Return how many numbers all members remember of an account."""
        return self._bounds[-1]

    def advance(
        self, observations: NDArray[np.float32], memories: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return target positions (num_rows,) and what is remembered (num_rows, memory_size)."""
        remembered = np.zeros_like(memories)
        wanted = np.zeros((len(self.members), len(observations)))
        for i, (member, part) in enumerate(zip(self.members, itertools.pairwise(self._bounds), strict=True)):
            wanted[i], remembered[:, slice(*part)] = advance(member, observations, memories[:, slice(*part)])
        return np.array([self._agree(targets) for targets in wanted.T.tolist()], np.float64), remembered

    def _agree(self, targets: list[float]) -> float:
        target = agreed_target(targets, self.shrink)
        return nearest_level(target, self.action_map.levels) if self.action_map.is_discrete else target
