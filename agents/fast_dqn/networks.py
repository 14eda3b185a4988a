"""DQN's two networks on a flat vector each: greedy actions, and gradient steps written out."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from agents.flat_nets.adam import FlatAdam
from agents.flat_nets.chain import Chain, activation_of, flat_weights, is_chain, split_like
from rl_trader.errors import ConfigError

NORM_TINY: Final = 1e-6  # added to the gradient's norm, as in torch
FEW_ROWS: Final = 64  # up to which NumPy is faster than torch
IN_PLACE: Final[dict[type[nn.Module], Callable[[NDArray[np.float32]], object]]] = {
    nn.Tanh: lambda values: np.tanh(values, out=values),
    nn.ReLU: lambda values: np.maximum(values, np.float32(0.0), out=values),
}


class QNetworks:
    """The networks of an SB3 ``DQNPolicy``, whose parameters become views of the flat weights.

    Args:
        policy: Shares its weights from now on; its optimiser's memory is kept here and put back by ``store``.

    Raises:
        ConfigError: If the policy is no plain multilayer perceptron, or its optimiser no plain Adam.
    """

    def __init__(self, policy: DQNPolicy) -> None:
        _check_plain(policy)
        self._optimizer = policy.optimizer
        self._activation = activation_of(policy.q_net.q_net)
        self.weights, layers = _adopt(policy.q_net)
        self.target_weights, target_layers = _adopt(policy.q_net_target)
        self._gradient = torch.zeros_like(self.weights)
        gradients = split_like(self._gradient, policy.q_net)
        self._online = Chain(layers, list(zip(gradients[::2], gradients[1::2], strict=True)), self._activation)
        self._target = Chain(target_layers, [], self._activation)
        on_cpu = layers if self.weights.device.type == "cpu" else []
        self._arrays = [(weight.numpy().T, bias.numpy()) for weight, bias in on_cpu]
        self.load_memory()

    def load_memory(self) -> None:
        """Take over the memory of the policy's optimiser."""
        self._adam = FlatAdam(self._optimizer, self.weights.numel())

    def store_memory(self) -> None:
        """Put the memory back into the policy's optimiser."""
        self._adam.store()

    def best_actions(self, observations: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the actions (num_rows,) of highest value for observations (num_rows, num_inputs)."""
        if self._arrays and len(observations) <= FEW_ROWS:
            return np.asarray(self._values(observations).argmax(axis=1))
        with torch.inference_mode():
            rows = torch.from_numpy(observations).to(self.weights.device)
            return np.asarray(self._online.forward(rows).argmax(1).cpu().numpy())

    def _values(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        activate = IN_PLACE[self._activation]
        for i, (weight, bias) in enumerate(self._arrays):
            if i > 0:
                activate(values)
            values = np.dot(values, weight)
            values += bias
        return values

    def move_target(self, tau: float) -> None:
        """Move the target network towards the other one, all the way if ``tau`` is 1."""
        self.target_weights.mul_(1.0 - tau).add_(self.weights, alpha=tau)

    def learn(self, seen: ReplayBufferSamples, batch_size: int, max_grad_norm: float) -> Tensor:
        """Take a gradient step on each batch of transitions; return the losses (num_batches,) before each.

        The target network stands still in between: it is asked about all batches at once.
        """
        assert isinstance(seen.discounts, Tensor)
        with torch.inference_mode():
            best = self._target.forward(seen.next_observations).amax(1, keepdim=True)
            goals = best.mul_(1.0 - seen.dones).mul_(seen.discounts).add_(seen.rewards)
            missed = torch.empty_like(goals)
            columns = (seen.observations, seen.actions, goals, missed)
            batches = [column.view(-1, batch_size, column.shape[1]).unbind(0) for column in columns]
            for observations, actions, goal, out in zip(*batches, strict=True):
                self._step(observations, actions, goal, out, max_grad_norm)
            bounded = missed.clamp(-1.0, 1.0)
            return (bounded * (missed - 0.5 * bounded)).view(-1, batch_size).mean(1)

    def _step(self, observations: Tensor, actions: Tensor, goals: Tensor, missed: Tensor, max_grad_norm: float) -> None:
        """Step against the gradient of the mean Huber loss; ``missed`` (num_rows, 1) is filled with values - goals."""
        values = self._online.forward(observations)
        torch.sub(values.gather(1, actions), goals, out=missed)
        by_action = missed.clamp(-1.0, 1.0).div_(len(goals))
        self._gradient.zero_()
        self._online.backward(torch.zeros_like(values).scatter_(1, actions, by_action))
        norm = float(torch.linalg.vector_norm(self._gradient))
        if not norm + NORM_TINY <= max_grad_norm:
            self._gradient.mul_(max_grad_norm / (norm + NORM_TINY))
        self._adam.step(self.weights, self._gradient)


def _adopt(network: Any) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:  # noqa: ANN401 - SB3's QNetwork
    """Return a network's weights as one vector, of which its parameters become views, and its layers."""
    weights = flat_weights(network)
    parts = split_like(weights, network)
    for parameter, part in zip(network.parameters(), parts, strict=True):
        parameter.data = part
    return weights, list(zip(parts[::2], parts[1::2], strict=True))


def _check_plain(policy: DQNPolicy) -> None:
    modules = [*policy.q_net.q_net]
    group = policy.optimizer.param_groups[0]
    is_plain = isinstance(policy.q_net.features_extractor, FlattenExtractor) and is_chain(modules)
    is_adam = type(policy.optimizer) is torch.optim.Adam and not (group["weight_decay"] or group["amsgrad"])
    if not (is_plain and is_adam):
        raise ConfigError(
            "the policy must be an MlpPolicy of linear layers with tanh or ReLU between them, trained by plain Adam,"
            f" and is {type(policy).__name__} of {modules} and {type(policy.optimizer).__name__}; use"
            " stable_baselines3.DQN for it"
        )
