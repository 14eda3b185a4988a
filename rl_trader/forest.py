"""A forest of regression trees that decides: it predicts the next bars' return and trades where that pays the costs.

Trees are arrays, one row a node, children after their parent; a leaf has no feature. Nothing is unpickled, and
scikit-learn, which grew them, is not needed.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.decision import ActionMap
from rl_trader.errors import CheckpointError
from rl_trader.kernels import kernel

LEAF: Final = -1
ARRAYS: Final[Mapping[str, type[np.generic]]] = {
    "forest.roots": np.int32,  # (num_trees,) rows of the trees' first nodes
    "forest.feature": np.int32,  # (num_nodes,) entry of the observation that is asked; LEAF ends the tree
    "forest.threshold": np.float64,  # (num_nodes,) a value up to it goes left
    "forest.left": np.int32,  # (num_nodes,) row of the child
    "forest.right": np.int32,
    "forest.value": np.float64,  # (num_nodes,) log return that is predicted at a leaf
}


@kernel
def _predict(
    observation: NDArray[np.float32],
    roots: NDArray[np.int32],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    value: NDArray[np.float64],
) -> float:
    """Return the mean of the trees' predictions."""
    total = 0.0
    for tree in range(roots.shape[0]):
        node = roots[tree]
        while feature[node] >= 0:
            node = left[node] if observation[feature[node]] <= threshold[node] else right[node]
        total += value[node]
    return float(total / roots.shape[0])


class ForestPolicy:
    """Long where the predicted return is above a hurdle, short where it is below its negative, else flat."""

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], observation_size: int, hurdle: float, action_map: ActionMap
    ) -> None:
        """Check the trees and keep them.

        Args:
            arrays: Those of ``ARRAYS``.
            observation_size: Entries of an observation.
            hurdle: Log return, not negative.
            action_map: Discrete actions must have short, flat and long.

        Raises:
            CheckpointError: If an array is missing, of another type or length, or a tree could be walked for ever.
        """
        trees = _checked(arrays, observation_size)
        if not (isinstance(hurdle, float) and 0.0 <= hurdle < np.inf):
            raise CheckpointError(f"a forest's hurdle must be a number from 0, found {hurdle!r}; it is damaged")
        if action_map.is_discrete and not {-1.0, 0.0, 1.0} <= set(action_map.levels):
            raise CheckpointError(
                f"a forest needs the levels -1, 0 and 1, found {action_map.levels}; train it with them"
            )
        self.arrays = trees
        self.observation_size = observation_size
        self.hurdle = hurdle
        self.action_map = action_map
        self._trees = tuple(trees.values())

    def predicted(self, observation: NDArray[np.float32]) -> float:
        """Return the predicted log return for one observation (observation_size,)."""
        return float(_predict(np.ascontiguousarray(observation), *self._trees))

    def target(self, observation: NDArray[np.float32]) -> float:
        """Return the target position -1, 0 or 1 for one observation (observation_size,)."""
        predicted = self.predicted(observation)
        return float(predicted > self.hurdle) - float(predicted < -self.hurdle)

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return target positions (num_rows,) for observations (num_rows, observation_size), row by row."""
        return np.array([self.target(row) for row in observations], np.float64)


def _checked(arrays: Mapping[str, NDArray[Any]], observation_size: int) -> dict[str, NDArray[Any]]:
    found = {}
    for name, kind in ARRAYS.items():
        array = arrays.get(name)
        if array is None or array.ndim != 1 or array.dtype != kind or not len(array):
            raise CheckpointError(f"a forest needs {name}, a row of {kind.__name__}; the checkpoint is damaged")
        found[name] = np.ascontiguousarray(array)
    roots, feature, *others = found.values()
    num_nodes = len(feature)
    threshold, left, right, value = others
    if any(len(array) != num_nodes for array in others) or not _are_within(roots, 0, num_nodes):
        raise CheckpointError("a forest's arrays must be of one length and its roots among them; it is damaged")
    inner = np.flatnonzero(feature != LEAF)
    # Children come after their parent, so that every walk ends.
    are_ordered = all(
        (child[inner] > inner).all() and _are_within(child[inner], 0, num_nodes) for child in (left, right)
    )
    if not are_ordered or not _are_within(feature[inner], 0, observation_size):
        raise CheckpointError("a forest's nodes must name later nodes and entries of the observation; it is damaged")
    if not (np.isfinite(threshold).all() and np.isfinite(value).all()):
        raise CheckpointError("a forest's thresholds and values must be finite; the checkpoint is damaged")
    return found


def _are_within(values: NDArray[Any], low: int, high: int) -> bool:
    return bool(((values >= low) & (values < high)).all())
