"""From a Stable-Baselines3 model to a deployable policy."""

from typing import Any, Final

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from rl_trader.decision import ActionMap
from rl_trader.network import Activation, Layer, NetworkPolicy
from rl_trader.recurrent import LstmLayer, RecurrentNetworkPolicy

ACTIVATIONS: Final[dict[type[nn.Module], Activation]] = {nn.Tanh: "tanh", nn.ReLU: "relu"}


def export_policy(model: BaseAlgorithm, action_map: ActionMap) -> NetworkPolicy | RecurrentNetworkPolicy:
    """Return the network that takes the model's deterministic actions.

    Args:
        model: PPO, DQN or QR-DQN with an ``MlpPolicy``, or recurrent PPO with an ``MlpLstmPolicy``.
        action_map: What its actions mean.
    """
    policy: Any = model.policy
    if isinstance(model, DQN):
        return _network([*policy.q_net.q_net], "argmax", action_map)
    if hasattr(policy, "quantile_net"):
        modules = [*policy.quantile_net.quantile_net]
        return _network(modules, "argmax", action_map, num_quantiles=policy.n_quantiles)
    modules = [*policy.mlp_extractor.policy_net, policy.action_net]
    network = _network(modules, "argmax" if action_map.is_discrete else "mean", action_map)
    return RecurrentNetworkPolicy(_lstm(policy.lstm_actor), network) if hasattr(policy, "lstm_actor") else network


def _lstm(lstm: nn.LSTM) -> tuple[LstmLayer, ...]:
    """Return torch's layers with one bias each: it adds two."""
    layers = []
    for i in range(lstm.num_layers):
        weights = [getattr(lstm, f"{part}_l{i}") for part in ("weight_ih", "weight_hh")]
        bias = getattr(lstm, f"bias_ih_l{i}") + getattr(lstm, f"bias_hh_l{i}")
        layers.append(LstmLayer(*map(_array, (*weights, bias))))
    return tuple(layers)


def _network(modules: list[nn.Module], head: Any, action_map: ActionMap, num_quantiles: int = 1) -> NetworkPolicy:  # noqa: ANN401 - a literal
    layers = [Layer(_array(module.weight), _array(module.bias)) for module in modules if isinstance(module, nn.Linear)]
    layers[-1] = _mean_of_quantiles(layers[-1], num_quantiles)
    activations = [ACTIVATIONS[type(module)] for module in modules if type(module) in ACTIVATIONS]
    return NetworkPolicy(tuple(layers), activations[0] if activations else "tanh", head, action_map)


def _mean_of_quantiles(layer: Layer, num_quantiles: int) -> Layer:
    """Return the layer of the actions' means: a mean of linear outputs, all actions of a quantile together, is one."""
    weight, bias = (
        part.reshape(num_quantiles, -1, *part.shape[1:]).mean(axis=0) for part in (layer.weight, layer.bias)
    )
    return Layer(weight, bias)


def _array(parameter: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return parameter.detach().cpu().numpy().astype(np.float32).copy()
