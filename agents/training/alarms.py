"""Named alarms: what a training does that nobody wants, each in one sentence.

A policy that always does the same has learned nothing that a rule does not know; a loss or a weight that is not finite
ends the training.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rl_trader.backtest import BacktestResult

SAME_SHARE: Final = 0.98  # fraction of the bars


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that must be seen."""

    name: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"


def policy_alarms(results: Sequence[BacktestResult], rebalance_band: float) -> list[Alarm]:
    """Return an alarm for every rule that a policy equals in at least 98 % of the bars.

    Two targets that differ by less than the rebalance band count as the same, since no order lies between them. Bars
    after an account's end do not count.

    Args:
        results: Of the policy, one a symbol.
        rebalance_band: Fraction of max_exposure.
    """
    targets = np.concatenate([result.targets[~result.has_ended] for result in results])
    is_flat = _same(targets, 0.0, rebalance_band)
    rules = (
        ("flat", "it keeps out of the market", is_flat),
        ("always long", "it never closes or turns", (targets > 0.0) & ~is_flat),
        ("always short", "it never closes or turns", (targets < 0.0) & ~is_flat),
        ("buy and hold", "that rule needs no agent", _same(targets, 1.0, rebalance_band)),
    )
    return [
        Alarm(name, f"the policy is {name} in {share:.1%} of the bars of the validation period; {meaning}")
        for name, meaning, is_same in rules
        if (share := float(is_same.mean())) >= SAME_SHARE
    ]


def _same(targets: NDArray[np.float64], target: float, band: float) -> NDArray[np.bool_]:
    distance = np.abs(targets - target)
    return np.asarray((distance == 0.0) | (distance < band))


def loss_alarm(logged: Mapping[str, Any], num_timesteps: int) -> Alarm | None:
    """Return an alarm if a loss among Stable-Baselines3's logged values is not finite.

    Args:
        logged: Values by TensorBoard tag.
        num_timesteps: Bars played so far.
    """
    for tag, value in logged.items():
        if "loss" in tag and not math.isfinite(value):
            return Alarm("loss is not finite", f"{tag} is {value} after {num_timesteps:,} bars")
    return None


def weight_alarm(policy: nn.Module, num_timesteps: int) -> Alarm | None:
    """Return an alarm if a weight of the policy is not finite."""
    for name, weights in policy.named_parameters():
        if not torch.isfinite(weights).all():
            return Alarm(
                "weights are not finite", f"{name} has values that are not finite after {num_timesteps:,} bars"
            )
    return None
