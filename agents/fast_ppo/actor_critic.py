"""The actor's and the critic's network side by side: forward, and the gradient written out.

An update of small networks spends most of its time in the bookkeeping of automatic differentiation. Both networks are
chains of linear layers and one activation, whose gradient is known. Weights and gradient are one flat vector each, so
that clipping and Adam are a few operations on it, and every worker has a gradient of its own on the same weights.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor, nn

from agents.fast_ppo.heads import Categorical, Gaussian, Head
from rl_trader.errors import ConfigError

Layer = tuple[Tensor, Tensor]  # weight (num_outputs, num_inputs), bias (num_outputs,)


def _relu_backward(gradient: Tensor, output: Tensor) -> Tensor:
    return gradient * (output > 0.0)


ACTIVATIONS: Final[dict[type[nn.Module], tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]]] = {
    nn.Tanh: (torch.tanh_, torch.ops.aten.tanh_backward.default),
    nn.ReLU: (torch.relu_, _relu_backward),
}


class Chain:
    """Linear layers with an activation between them.

    Args:
        layers: Views of the weights.
        gradients: Views of their gradient, likewise; ``backward`` adds to them.
        activation: One of ``ACTIVATIONS``.
    """

    def __init__(self, layers: list[Layer], gradients: list[Layer], activation: type[nn.Module]) -> None:
        self._layers = layers
        self._gradients = gradients
        self._activate, self._activate_backward = ACTIVATIONS[activation]
        self._inputs: list[Tensor] = []  # of each layer, in the newest forward pass

    def forward(self, values: Tensor) -> Tensor:
        """Return the outputs (num_rows, num_outputs) for inputs (num_rows, num_inputs)."""
        self._inputs = [values]
        for weight, bias in self._layers[:-1]:
            values = self._activate(torch.addmm(bias, values, weight.t()))
            self._inputs.append(values)
        weight, bias = self._layers[-1]
        return torch.addmm(bias, values, weight.t())

    def backward(self, gradient: Tensor) -> None:
        """Add to the weights' gradient, given that of the newest outputs (num_rows, num_outputs)."""
        for i in range(len(self._layers) - 1, -1, -1):
            weight_gradient, bias_gradient = self._gradients[i]
            weight_gradient.addmm_(gradient.t(), self._inputs[i])
            bias_gradient += gradient.sum(0)
            if i > 0:
                gradient = self._activate_backward(torch.mm(gradient, self._layers[i][0]), self._inputs[i])


class ActorCritic:
    """The networks of an SB3 ``MlpPolicy`` on a flat vector of weights, with a gradient of their own.

    Args:
        policy: Gives the shapes.
        weights: (num_weights,) in the order of its parameters; shared.

    Raises:
        ConfigError: If the policy is no plain multilayer perceptron.
    """

    def __init__(self, policy: ActorCriticPolicy, weights: Tensor) -> None:
        _check_plain(policy)
        self.weights = weights
        self.gradient = torch.zeros_like(weights)
        self._parameters = list(policy.parameters())
        extractor = policy.mlp_extractor
        activation = _activation([*extractor.policy_net, *extractor.value_net])
        self.actor = self._chain([*extractor.policy_net, policy.action_net], activation)
        self.critic = self._chain([*extractor.value_net, policy.value_net], activation)
        log_std = getattr(policy, "log_std", None)
        self.head: Head = Categorical() if log_std is None else Gaussian(self._views(log_std))

    def _chain(self, modules: list[nn.Module], activation: type[nn.Module]) -> Chain:
        pairs = [(self._views(m.weight), self._views(m.bias)) for m in modules if isinstance(m, nn.Linear)]
        layers = [(weight[0], bias[0]) for weight, bias in pairs]
        return Chain(layers, [(weight[1], bias[1]) for weight, bias in pairs], activation)

    def _views(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return a parameter's place in the weights and in the gradient."""
        begin = 0
        for parameter in self._parameters:
            if parameter is wanted:
                break
            begin += parameter.numel()
        chosen = slice(begin, begin + wanted.numel())
        return self.weights[chosen].view_as(wanted), self.gradient[chosen].view_as(wanted)


def flat_weights(policy: ActorCriticPolicy) -> Tensor:
    """Return a copy of all weights in the order of the policy's parameters."""
    with torch.no_grad():
        return torch.cat([parameter.reshape(-1) for parameter in policy.parameters()])


def put_back(weights: Tensor, policy: ActorCriticPolicy) -> None:
    """Copy flat weights into a policy."""
    begin = 0
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(weights[begin : begin + parameter.numel()].view_as(parameter))
            begin += parameter.numel()


def _check_plain(policy: ActorCriticPolicy) -> None:
    extractor: Any = policy.mlp_extractor
    modules = [*extractor.policy_net, *extractor.value_net]
    is_plain = (
        isinstance(policy.features_extractor, FlattenExtractor)
        and not policy.use_sde
        and not policy.squash_output
        and all(isinstance(module, nn.Linear) or type(module) in ACTIVATIONS for module in modules)
        and len({type(module) for module in modules} - {nn.Linear}) <= 1
    )
    if not is_plain:
        raise ConfigError(
            "the policy must be an MlpPolicy of linear layers with tanh or ReLU between them, without state-dependent"
            f" exploration, and is {type(policy).__name__} of {modules}; use stable_baselines3.PPO for it"
        )


def _activation(modules: list[nn.Module]) -> type[nn.Module]:
    return next((type(module) for module in modules if type(module) in ACTIVATIONS), nn.Tanh)
