"""A trained policy as a NumPy forward pass: no torch, nothing unpickled.

Observations are taken one row at a time, so that a decision has the same bits in evaluation, back-test and live
trading, whatever else is decided in the same call.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rl_trader.decision import ActionMap
from rl_trader.errors import CheckpointError

Activation = Literal["tanh", "relu"]
Head = Literal["argmax", "mean"]


def _relu(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(values, np.float32(0.0))


ACTIVATIONS: Final[dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]] = {"tanh": np.tanh, "relu": _relu}
HEADS: Final = ("argmax", "mean")


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer."""

    weight: NDArray[np.float32]  # (num_outputs, num_inputs)
    bias: NDArray[np.float32]  # (num_outputs,)


class NetworkPolicy:
    """A multilayer perceptron that decides: the best-valued action, or the mean of a continuous one."""

    def __init__(self, layers: tuple[Layer, ...], activation: Activation, head: Head, action_map: ActionMap) -> None:
        """Check the shapes and keep the layers.

        Raises:
            CheckpointError: If layers, activation, head and actions do not fit together, or a weight is not finite.
        """
        if activation not in ACTIVATIONS or head not in HEADS:
            raise CheckpointError(f"a network needs a known activation and head, found {activation!r} and {head!r}")
        for before, after in itertools.pairwise(layers):
            if after.weight.shape[1] != before.weight.shape[0]:
                raise CheckpointError(
                    f"layers must fit together, found {before.weight.shape[0]} outputs before {after.weight.shape[1]}"
                    " inputs; the checkpoint is damaged"
                )
        if not all(np.isfinite(layer.weight).all() and np.isfinite(layer.bias).all() for layer in layers):
            raise CheckpointError("weights must be finite, found one that is not; the checkpoint is damaged")
        num_outputs = len(action_map.levels) if head == "argmax" else 1
        if not layers or layers[-1].bias.shape != (num_outputs,) or (head == "argmax") != action_map.is_discrete:
            raise CheckpointError(
                f"the last layer must have {num_outputs} outputs for the actions {action_map.levels or 'in [-1, 1]'};"
                " the checkpoint is damaged"
            )
        self.layers = layers
        self.activation = activation
        self.head = head
        self.action_map = action_map
        self._activate = ACTIVATIONS[activation]
        self._levels = np.array(action_map.levels, np.float64)

    @property
    def observation_size(self) -> int:
        """Return the number of entries of an observation."""
        return int(self.layers[0].weight.shape[1])

    def outputs(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the last layer's outputs for one observation (observation_size,)."""
        values = observation
        for layer in self.layers[:-1]:
            values = self._activate(layer.weight @ values + layer.bias)
        last = self.layers[-1]
        return last.weight @ values + last.bias

    def target(self, observation: NDArray[np.float32]) -> float:
        """Return the target position in [-1, 1] for one observation (observation_size,).

        Raises:
            CheckpointError: If a continuous target is not a number.
        """
        outputs = self.outputs(observation)
        if self.head == "argmax":
            return float(self._levels[outputs.argmax()])
        mean = float(outputs[0])
        if np.isnan(mean):
            raise CheckpointError("the policy decides on NaN for an observation; the observation is not finite")
        return min(max(mean, -1.0), 1.0)

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return target positions (num_rows,) for observations (num_rows, observation_size), row by row."""
        return np.array([self.target(row) for row in observations], np.float64)


def layers_from_arrays(arrays: Mapping[str, NDArray[np.float32]]) -> tuple[Layer, ...]:
    """Return the layers of arrays named ``layer_0.weight``, ``layer_0.bias``, ``layer_1.weight`` and so on.

    Raises:
        CheckpointError: If one is missing, or of another type or number of dimensions.
    """
    layers: list[Layer] = []
    while f"layer_{len(layers)}.weight" in arrays:
        name = f"layer_{len(layers)}"
        weight, bias = arrays[f"{name}.weight"], arrays.get(f"{name}.bias")
        if bias is None or weight.ndim != 2 or bias.shape != weight.shape[:1] or weight.dtype != np.float32:  # noqa: PLR2004
            raise CheckpointError(f"{name} needs a float32 matrix and a bias of its rows; the checkpoint is damaged")
        layers.append(Layer(np.ascontiguousarray(weight), np.ascontiguousarray(bias)))
    return tuple(layers)
