"""PPO's loss of one minibatch: its gradient, and the figures that SB3 logs.

A minibatch is worked on in chunks whose activations stay in a processor's cache, and a large one in several shares,
each with a gradient of its own, by as many threads as there may be. The sums are taken in a fixed order, so that one
number of shares gives the same bits, whatever the number of threads.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from agents.fast_ppo.actor_critic import ActorCritic

CHUNK: Final = 65_536  # activations of a layer that are worked on at a time
WORTH_A_SHARE: Final = 1_024  # rows of a minibatch, which repay a thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """How the loss is put together."""

    clip_range: float
    entropy: float  # weight of the entropy bonus
    value: float  # weight of the value loss


class Batch(NamedTuple):
    """Rows of a rollout, (num_rows, ...) each."""

    observations: Tensor
    actions: Tensor
    log_probs: Tensor  # when they were taken
    advantages: Tensor
    returns: Tensor

    def part(self, rows: slice) -> "Batch":
        """Return some of the rows."""
        return Batch(*(array[rows] for array in self))


class Figures(NamedTuple):
    """Means over a minibatch, without the weights; tensors of one number."""

    policy: Tensor
    value: Tensor
    entropy: Tensor  # negative, as SB3 logs it
    clipped: Tensor  # share of the ratios
    kl: Tensor  # approximate divergence from the policy that has played


class LossGradient:
    """Adds up the gradient of minibatches.

    Args:
        policy: Gives the shapes.
        weights: Flat; where the gradient is taken.
        num_shares: Of large minibatches.
        num_threads: That work on the shares; torch's own should be one where there are more.
    """

    def __init__(self, policy: ActorCriticPolicy, weights: Tensor, num_shares: int, num_threads: int) -> None:
        self._nets = [ActorCritic(policy, weights) for _ in range(num_shares)]
        self._num_threads = num_threads
        widest = max((layer.shape[0] for layer in policy.parameters() if layer.dim() > 1), default=1)
        self._chunk_rows = CHUNK // widest if weights.device.type == "cpu" else 1 << 62
        self._threads = ThreadPoolExecutor(num_threads - 1) if num_threads > 1 else None

    @property
    def nets(self) -> ActorCritic:
        """The networks."""
        return self._nets[0]

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown()

    def take(self, batch: Batch, weighting: Weighting) -> tuple[Tensor, Figures]:
        """Return the gradient (num_weights,), valid until the next call, and the figures."""
        num_rows = len(batch.returns)
        num_shares = max(1, min(len(self._nets), num_rows // WORTH_A_SHARE))
        borders = [num_rows * i // num_shares for i in range(num_shares + 1)]
        shares = [batch.part(slice(*border)) for border in pairwise(borders)]

        def work(thread: int) -> list[Tensor]:
            numbers = range(thread, num_shares, self._num_threads)
            return [self._work(self._nets[i], shares[i], weighting, num_rows) for i in numbers]

        helping = range(1, min(self._num_threads, num_shares))
        others = [self._threads.submit(work, i) for i in helping if self._threads is not None]
        done = [work(0), *(other.result() for other in others)]
        sums, gradient = done[0][0], self._nets[0].gradient
        for i in range(1, num_shares):
            sums += done[i % self._num_threads][i // self._num_threads]
            gradient += self._nets[i].gradient
        return gradient, Figures(*(sums / num_rows))

    def _work(self, nets: ActorCritic, share: Batch, weighting: Weighting, num_rows: int) -> Tensor:
        with torch.inference_mode():
            nets.gradient.zero_()
            sums = torch.zeros(len(Figures._fields), device=nets.gradient.device)
            for begin in range(0, len(share.returns), self._chunk_rows):
                sums += _add(nets, share.part(slice(begin, begin + self._chunk_rows)), weighting, num_rows)
            return sums


def _add(nets: ActorCritic, batch: Batch, weighting: Weighting, num_rows: int) -> Tensor:
    """Add the gradient of some rows of a minibatch of ``num_rows``, and return the sums of its figures."""
    judged = nets.head.judge(nets.actor.forward(batch.observations), batch.actions)
    log_ratio = judged.log_prob - batch.log_probs
    ratio = log_ratio.exp()
    gains = batch.advantages * ratio
    clipped_gains = batch.advantages * ratio.clamp(1.0 - weighting.clip_range, 1.0 + weighting.clip_range)
    missed = nets.critic.forward(batch.observations).squeeze(1) - batch.returns
    by_log_prob = torch.where(gains <= clipped_gains, gains, 0.0) / -num_rows
    nets.actor.backward(nets.head.backward(by_log_prob, -weighting.entropy / num_rows))
    nets.critic.backward((missed * (2.0 * weighting.value / num_rows)).unsqueeze(1))
    distance = ratio - 1.0
    return torch.stack(
        (
            -torch.minimum(gains, clipped_gains).sum(),
            missed.dot(missed),
            -judged.entropy.sum(),
            (distance.abs() > weighting.clip_range).sum(dtype=ratio.dtype),
            (distance - log_ratio).sum(),
        )
    )
