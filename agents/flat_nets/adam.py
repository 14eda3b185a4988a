"""Adam on one flat vector, with its memory in the state of torch's optimiser, so that SB3 saves and loads it."""

import math

import torch
from torch import Tensor


class FlatAdam:
    """The steps of ``torch.optim.Adam`` on all parameters at once.

    Args:
        optimizer: Its state is copied here, and put back by ``store``.
        size: Of all parameters together.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, size: int) -> None:
        self._group = group = optimizer.param_groups[0]
        self._optimizer = optimizer
        self._parameters = [parameter for each in optimizer.param_groups for parameter in each["params"]]
        self._epsilon = group["eps"]
        self._decay_1, self._decay_2 = group["betas"]
        device = self._parameters[0].device
        self._mean, self._square = torch.zeros(size, device=device), torch.zeros(size, device=device)
        self._scale = torch.zeros(size, device=device)
        self._num_steps = 0
        self._load()

    def _load(self) -> None:
        states = [self._optimizer.state[parameter] for parameter in self._parameters]
        if all(states):
            torch.cat([state["exp_avg"].reshape(-1) for state in states], out=self._mean)
            torch.cat([state["exp_avg_sq"].reshape(-1) for state in states], out=self._square)
            self._num_steps = int(states[0]["step"])

    def step(self, weights: Tensor, gradient: Tensor) -> None:
        """Move the weights against a gradient, at the optimiser's learning rate."""
        self._num_steps += 1
        self._mean.lerp_(gradient, 1.0 - self._decay_1)
        self._square.mul_(self._decay_2).addcmul_(gradient, gradient, value=1.0 - self._decay_2)
        correction_1 = 1.0 - self._decay_1**self._num_steps
        correction_2 = math.sqrt(1.0 - self._decay_2**self._num_steps)
        torch.sqrt(self._square, out=self._scale).div_(correction_2).add_(self._epsilon)
        weights.addcdiv_(self._mean, self._scale, value=-self._group["lr"] / correction_1)

    def store(self) -> None:
        """Put the memory back into the optimiser's state."""
        begin = 0
        for parameter in self._parameters:
            chosen = slice(begin, begin + parameter.numel())
            self._optimizer.state[parameter] = {
                "step": torch.tensor(float(self._num_steps)),
                "exp_avg": self._mean[chosen].view_as(parameter).clone(),
                "exp_avg_sq": self._square[chosen].view_as(parameter).clone(),
            }
            begin += parameter.numel()
