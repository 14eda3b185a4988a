"""A trained recurrent policy as a NumPy forward pass: LSTM layers below a multilayer perceptron.

The memory of an account is hidden and cell state of one layer after the other. As in ``rl_trader.network`` accounts are
taken one at a time, so that a decision has the same bits whatever else is decided in the same call.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.errors import CheckpointError
from rl_trader.network import NetworkPolicy

Floats = NDArray[np.float32]

GATES: Final = 4  # input, forget, cell, output: the order of the rows
HALF: Final = np.float32(0.5)


@dataclass(frozen=True, slots=True)
class LstmLayer:
    """A layer of LSTM units."""

    input_weight: Floats  # (4 * num_units, num_inputs)
    hidden_weight: Floats  # (4 * num_units, num_units)
    bias: Floats  # (4 * num_units,)

    @property
    def num_units(self) -> int:
        """Return the number of units."""
        return int(self.hidden_weight.shape[1])

    def step(self, inputs: Floats, hidden: Floats, cell: Floats) -> tuple[Floats, Floats]:
        """Return hidden and cell state (num_units,) after an input (num_inputs,)."""
        gates = self.input_weight @ inputs + self.hidden_weight @ hidden + self.bias
        entered, kept, candidate, shown = gates.reshape(GATES, -1)
        cell = _sigmoid(kept) * cell + _sigmoid(entered) * np.tanh(candidate)
        return _sigmoid(shown) * np.tanh(cell), cell


def _sigmoid(values: Floats) -> Floats:
    shifted: Floats = HALF + HALF * np.tanh(HALF * values)  # never overflows
    return shifted


class RecurrentNetworkPolicy:
    """LSTM layers whose last hidden state a network decides on."""

    def __init__(self, lstm: tuple[LstmLayer, ...], network: NetworkPolicy) -> None:
        """Check the shapes and keep the layers.

        Raises:
            CheckpointError: If layers and network do not fit together, or a weight is not finite.
        """
        if not lstm:
            raise CheckpointError("a recurrent policy needs a recurrent layer; the checkpoint is damaged")
        widths = [layer.input_weight.shape[1] for layer in lstm[1:]] + [network.observation_size]
        for layer, width in zip(lstm, widths, strict=True):
            if layer.num_units != width:
                raise CheckpointError(
                    f"layers must fit together, found {layer.num_units} units before {width} inputs; the checkpoint is"
                    " damaged"
                )
            if not all(np.isfinite(part).all() for part in (layer.input_weight, layer.hidden_weight, layer.bias)):
                raise CheckpointError("weights must be finite, found one that is not; the checkpoint is damaged")
        self.lstm = lstm
        self.network = network
        sizes = [size for layer in lstm for size in (layer.num_units, layer.num_units)]
        self._bounds = [0, *itertools.accumulate(sizes)]

    @property
    def observation_size(self) -> int:
        """Return the number of entries of an observation."""
        return int(self.lstm[0].input_weight.shape[1])

    @property
    def memory_size(self) -> int:
        """Return how many numbers are remembered of an account."""
        return self._bounds[-1]

    def advance(self, observations: Floats, memories: Floats) -> tuple[NDArray[np.float64], Floats]:
        """Return target positions (num_rows,) and what is remembered (num_rows, memory_size), row by row."""
        targets, remembered = np.zeros(len(observations)), np.zeros_like(memories)
        for i, row in enumerate(observations):
            shown = self._remember(np.ascontiguousarray(row), memories[i], remembered[i])
            targets[i] = self.network.target(shown)
        return targets, remembered

    def _remember(self, observation: Floats, memory: Floats, out: Floats) -> Floats:
        """Write what is remembered of one account into ``out``, and return the last layer's hidden state."""
        values = observation
        parts = [slice(*pair) for pair in itertools.pairwise(self._bounds)]
        for layer, hidden, cell in zip(self.lstm, parts[::2], parts[1::2], strict=True):
            out[hidden], out[cell] = layer.step(values, memory[hidden], memory[cell])
            values = out[hidden]
        return values


def lstm_from_arrays(arrays: Mapping[str, Floats]) -> tuple[LstmLayer, ...]:
    """Return the layers of arrays named ``lstm_0.input_weight``, ``lstm_0.hidden_weight``, ``lstm_0.bias`` and so on.

    Raises:
        CheckpointError: If one is missing, or of another type or shape.
    """
    layers: list[LstmLayer] = []
    while f"lstm_{len(layers)}.bias" in arrays:
        name = f"lstm_{len(layers)}"
        found = [arrays.get(f"{name}.{part}") for part in ("input_weight", "hidden_weight", "bias")]
        parts = [np.ascontiguousarray(part) for part in found if part is not None and part.dtype == np.float32]
        if [part.ndim for part in parts] != [2, 2, 1] or not _fit(*parts):
            raise CheckpointError(
                f"{name} needs float32 weights of inputs and units with {GATES} rows a unit, and a bias of these rows;"
                " the checkpoint is damaged"
            )
        layers.append(LstmLayer(*parts))
    return tuple(layers)


def _fit(input_weight: Floats, hidden_weight: Floats, bias: Floats) -> bool:
    num_units = hidden_weight.shape[1]
    rows = {len(input_weight), len(hidden_weight), len(bias)}
    return num_units > 0 and rows == {GATES * num_units}


def lstm_arrays(lstm: tuple[LstmLayer, ...]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of layers by the names under which :func:`lstm_from_arrays` finds them."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for i, layer in enumerate(lstm):
        arrays |= {
            f"lstm_{i}.input_weight": layer.input_weight,
            f"lstm_{i}.hidden_weight": layer.hidden_weight,
            f"lstm_{i}.bias": layer.bias,
        }
    return arrays
