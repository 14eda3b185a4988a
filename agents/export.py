"""From a Stable-Baselines3 model to a deployable policy."""

from typing import Any, Final

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from rl_trader.decision import ActionMap
from rl_trader.network import Activation, Layer, NetworkPolicy

ACTIVATIONS: Final[dict[type[nn.Module], Activation]] = {nn.Tanh: "tanh", nn.ReLU: "relu"}


def export_policy(model: BaseAlgorithm, action_map: ActionMap) -> NetworkPolicy:
    """Return the network that takes the model's deterministic actions.

    Args:
        model: PPO or DQN with an ``MlpPolicy``.
        action_map: What its actions mean.
    """
    policy: Any = model.policy
    if isinstance(model, DQN):
        return _network([*policy.q_net.q_net], "argmax", action_map)
    modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    return _network(modules, "argmax" if action_map.is_discrete else "mean", action_map)


def _network(modules: list[nn.Module], head: Any, action_map: ActionMap) -> NetworkPolicy:  # noqa: ANN401 - a literal
    layers = tuple(
        Layer(_array(module.weight), _array(module.bias)) for module in modules if isinstance(module, nn.Linear)
    )
    activations = [ACTIVATIONS[type(module)] for module in modules if type(module) in ACTIVATIONS]
    return NetworkPolicy(layers, activations[0] if activations else "tanh", head, action_map)


def _array(parameter: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return parameter.detach().cpu().numpy().astype(np.float32).copy()
