"""What the actor's outputs mean: a choice of levels, or a normal distribution; samples, and gradients written out.

Log-probabilities and entropies in nats, one a row. The formulas are those of ``torch.distributions`` without its
objects.
"""

import math
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

HALF_LOG_TWO_PI: Final = 0.5 * math.log(2.0 * math.pi)


class Judged(NamedTuple):
    """What a head says of actions that were taken."""

    log_prob: Tensor  # (num_rows,)
    entropy: Tensor  # (num_rows,)


class Head(Protocol):
    """A distribution of actions, given the actor's outputs (num_rows, num_outputs)."""

    def sample(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return actions (num_rows, num_actions) and their log-probabilities (num_rows,)."""
        ...

    def judge(self, outputs: Tensor, actions: Tensor) -> Judged:
        """Return log-probability and entropy of actions (num_rows, num_actions)."""
        ...

    def backward(self, by_log_prob: Tensor, by_entropy: float) -> Tensor:
        """Return the outputs' gradient, given that of what the newest ``judge`` said.

        Args:
            by_log_prob: (num_rows,)
            by_entropy: The same for every row.
        """
        ...


class Categorical:
    """A choice of levels; the outputs are logits."""

    def sample(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return actions and their log-probabilities; drawn by the Gumbel trick."""
        log_probs = torch.log_softmax(outputs, 1)
        actions = (log_probs - torch.empty_like(log_probs).exponential_().log_()).argmax(1, keepdim=True)
        return actions, log_probs.gather(1, actions).squeeze(1)

    def judge(self, outputs: Tensor, actions: Tensor) -> Judged:
        """Return log-probability and entropy of actions (num_rows, 1)."""
        self._actions = actions
        self._log_probs = torch.log_softmax(outputs, 1)
        self._probs = self._log_probs.exp()
        self._entropy = -(self._probs * self._log_probs).sum(1)
        return Judged(self._log_probs.gather(1, actions).squeeze(1), self._entropy)

    def backward(self, by_log_prob: Tensor, by_entropy: float) -> Tensor:
        """Return the logits' gradient."""
        per_row = by_log_prob.unsqueeze(1)
        gradient = self._probs * -per_row
        gradient.scatter_add_(1, self._actions, per_row)
        if by_entropy != 0.0:
            gradient -= by_entropy * self._probs * (self._log_probs + self._entropy.unsqueeze(1))
        return gradient


class Gaussian:
    """Independent normal distributions; the outputs are their means.

    Args:
        log_std: Views of the weights and of their gradient, (num_actions,) each.
    """

    def __init__(self, log_std: tuple[Tensor, Tensor]) -> None:
        self._log_std, self._log_std_gradient = log_std

    def sample(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return actions and their log-probabilities."""
        noise = torch.randn_like(outputs)
        actions = outputs + noise * self._log_std.exp()
        return actions, self._log_prob(noise)

    def judge(self, outputs: Tensor, actions: Tensor) -> Judged:
        """Return log-probability and entropy of actions."""
        self._inverse_std = (-self._log_std).exp()
        self._distance = (actions - outputs) * self._inverse_std
        entropy = (self._log_std + (0.5 + HALF_LOG_TWO_PI)).sum()
        return Judged(self._log_prob(self._distance), entropy.expand(len(outputs)))

    def _log_prob(self, distance: Tensor) -> Tensor:
        return (-0.5 * distance.square() - self._log_std - HALF_LOG_TWO_PI).sum(1)

    def backward(self, by_log_prob: Tensor, by_entropy: float) -> Tensor:
        """Return the means' gradient, and add to that of the logarithm of the standard deviations."""
        per_row = by_log_prob.unsqueeze(1)
        self._log_std_gradient += (per_row * (self._distance.square() - 1.0)).sum(0) + by_entropy * len(by_log_prob)
        return per_row * self._distance * self._inverse_std
