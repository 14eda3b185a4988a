"""The actor's and the critic's network side by side, on one flat vector of weights.

Every worker has a gradient of its own on the same weights.
"""

from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor, nn

from agents.fast_ppo.heads import Categorical, Gaussian, Head
from agents.flat_nets.chain import Chain, activation_of, is_chain
from rl_trader.errors import ConfigError


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
        activation = activation_of([*extractor.policy_net, *extractor.value_net])
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


def _check_plain(policy: ActorCriticPolicy) -> None:
    extractor: Any = policy.mlp_extractor
    modules = [*extractor.policy_net, *extractor.value_net]
    is_plain = (
        isinstance(policy.features_extractor, FlattenExtractor)
        and not policy.use_sde
        and not policy.squash_output
        and is_chain(modules)
    )
    if not is_plain:
        raise ConfigError(
            "the policy must be an MlpPolicy of linear layers with tanh or ReLU between them, without state-dependent"
            f" exploration, and is {type(policy).__name__} of {modules}; use stable_baselines3.PPO for it"
        )
