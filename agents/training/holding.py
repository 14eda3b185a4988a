"""A policy's start: it is taught to keep the position that it finds, before it is trained.

An untrained policy trades at random in every bar. Its first lesson is that trading costs, and where the fee is high
against what a bar earns it learns to stand aside before it has seen that holding pays. A policy that keeps its position
sees from the beginning, through the random first positions of training, what holding each of them is worth.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from agents.training.sb3_env import TradingVecEnv
from rl_trader.errors import ConfigError

EXPOSURE: Final = "exposure"  # the account feature that a target is to be equal to
OBSERVATIONS: Final = 8_192  # at least, of accounts that trade at random
BARS: Final = 16  # at least, of each of them
STEPS: Final = 400
SAMPLES: Final = 2_048  # of a gradient step
LEARNING_RATE: Final = 3e-3


def teach_holding(policy: ActorCriticPolicy, env: TradingVecEnv, probability: float, seed: int) -> None:
    """Teach a policy to target the position that it holds; its value network stays as it is.

    The environment is left as before its first reset, and no shared random generator is used.

    Args:
        policy: Untrained; a chain of layers each for policy and value.
        env: What it will be trained in.
        probability: Of the level nearest to the position, where targets are levels; the others share the rest. A
            continuous target is taught as the position itself, and spread as it was.
        seed: Of the environment and of what is drawn here.

    Raises:
        ConfigError: If the observation does not have the exposure.
    """
    column = _exposure_column(env)
    observations = _observations(env, seed)
    exposures = observations[:, column]
    levels = np.asarray(env.env.config.trading.levels)
    inputs = torch.as_tensor(observations, device=policy.device)
    targets = torch.as_tensor(
        _level_chances(exposures, levels, probability) if len(levels) else exposures[:, None], device=policy.device
    )
    _fit(policy, inputs, targets, seed)


def _exposure_column(env: TradingVecEnv) -> int:
    names = env.env.config.schema.names()
    if EXPOSURE not in names:
        raise ConfigError(
            f"ppo.hold_probability needs the account feature {EXPOSURE!r}; name it in env.account_features, or set"
            " ppo.hold_probability to 0"
        )
    return names.index(EXPOSURE)


def _observations(env: TradingVecEnv, seed: int) -> NDArray[np.float32]:
    """Return what accounts see that trade at random, (num_observations, observation size)."""
    rng = np.random.default_rng(seed)
    levels = env.env.config.trading.levels
    env.seed(seed)
    seen = [np.array(env.reset())]
    for _ in range(max(OBSERVATIONS // env.num_envs, BARS) - 1):
        actions = rng.integers(len(levels), size=env.num_envs) if levels else rng.uniform(-1.0, 1.0, (env.num_envs, 1))
        seen.append(np.array(env.step(actions)[0]))
    env.seed(seed)
    return np.concatenate(seen).astype(np.float32)


def _level_chances(
    exposures: NDArray[np.float32], levels: NDArray[np.float64], probability: float
) -> NDArray[np.float32]:
    """Return how likely each level is to be targeted, (num_observations, num_levels)."""
    nearest = np.abs(exposures[:, None] - levels).argmin(axis=1)
    others = (1.0 - probability) / max(len(levels) - 1, 1)
    chances = np.full((len(exposures), len(levels)), others, np.float32)
    chances[np.arange(len(exposures)), nearest] = probability
    return chances


def _fit(policy: ActorCriticPolicy, inputs: torch.Tensor, targets: torch.Tensor, seed: int) -> None:
    actor: list[nn.Module] = [policy.mlp_extractor.policy_net, policy.action_net]
    optimizer = torch.optim.Adam([weight for part in actor for weight in part.parameters()], lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        rows = torch.randint(len(inputs), (SAMPLES,), generator=generator).to(inputs.device)
        distribution = policy.get_distribution(inputs[rows])
        if isinstance(distribution, CategoricalDistribution):
            loss = -(targets[rows] * distribution.distribution.logits).sum(dim=1).mean()
        else:
            loss = (distribution.mode() - targets[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
