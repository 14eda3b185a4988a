"""A chain of linear layers and one activation: forward, and the gradient written out.

An update of small networks spends most of its time in the bookkeeping of automatic differentiation. The gradient of
such a chain is known. Weights and gradient are one flat vector each, so that clipping and Adam are a few operations on
it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import torch
from torch import Tensor, nn

Layer = tuple[Tensor, Tensor]  # weight (num_outputs, num_inputs), bias (num_outputs,)


def _relu_backward(gradient: Tensor, output: Tensor) -> Tensor:
    result: Tensor = torch.ops.aten.threshold_backward.default(gradient, output, 0.0)
    return result


ACTIVATIONS: Final[dict[type[nn.Module], tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]]] = {
    nn.Tanh: (torch.tanh_, torch.ops.aten.tanh_backward.default),
    nn.ReLU: (torch.relu_, _relu_backward),
}


class Chain:
    """Linear layers with an activation between them.

    Args:
        layers: Views of the weights.
        gradients: Views of their gradient, likewise; ``backward`` adds to them. Empty where it is never asked for.
        activation: One of ``ACTIVATIONS``.
    """

    def __init__(self, layers: list[Layer], gradients: list[Layer], activation: type[nn.Module]) -> None:
        self._layers = layers
        self._transposed = [(weight.t(), bias) for weight, bias in layers]
        self._gradients = gradients
        self._activate, self._activate_backward = ACTIVATIONS[activation]
        self._inputs: list[Tensor] = []  # of each layer, in the newest forward pass

    def forward(self, values: Tensor) -> Tensor:
        """Return the outputs (num_rows, num_outputs) for inputs (num_rows, num_inputs)."""
        self._inputs = [values]
        for weight, bias in self._transposed[:-1]:
            values = self._activate(torch.addmm(bias, values, weight))
            self._inputs.append(values)
        weight, bias = self._transposed[-1]
        return torch.addmm(bias, values, weight)

    def backward(self, gradient: Tensor) -> None:
        """Add to the weights' gradient, given that of the newest outputs (num_rows, num_outputs)."""
        for i in range(len(self._layers) - 1, -1, -1):
            weight_gradient, bias_gradient = self._gradients[i]
            weight_gradient.addmm_(gradient.t(), self._inputs[i])
            bias_gradient += gradient.sum(0)
            if i > 0:
                gradient = self._activate_backward(torch.mm(gradient, self._layers[i][0]), self._inputs[i])


def is_chain(modules: Sequence[nn.Module]) -> bool:
    """Return whether modules are linear layers with one kind of ``ACTIVATIONS`` between them."""
    return (
        all(isinstance(module, nn.Linear) or type(module) in ACTIVATIONS for module in modules)
        and len({type(module) for module in modules} - {nn.Linear}) <= 1
    )


def activation_of(modules: Iterable[nn.Module]) -> type[nn.Module]:
    """Return the activation among modules; tanh, of which nothing will be seen, where there is none."""
    return next((type(module) for module in modules if type(module) in ACTIVATIONS), nn.Tanh)


def flat_weights(module: nn.Module) -> Tensor:
    """Return a copy of all weights in the order of the module's parameters."""
    with torch.no_grad():
        return torch.cat([parameter.reshape(-1) for parameter in module.parameters()])


def put_back(weights: Tensor, module: nn.Module) -> None:
    """Copy flat weights into a module."""
    with torch.no_grad():
        for parameter, part in zip(module.parameters(), split_like(weights, module), strict=True):
            parameter.copy_(part)


def split_like(vector: Tensor, module: nn.Module) -> list[Tensor]:
    """Return views of a vector with the shapes of a module's parameters, in their order."""
    parts: list[Tensor] = []
    begin = 0
    for parameter in module.parameters():
        parts.append(vector[begin : begin + parameter.numel()].view_as(parameter))
        begin += parameter.numel()
    return parts
