"""Frames per second of training, beside the same training on an environment that costs nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_hash, vector_env
from agents.benchmark.measure import Contest, Run, rate
from agents.config import PPOConfig, TrainConfig
from agents.learners import make_model, step_threads
from agents.sb3_env import TradingVecEnv


class IdleVecEnv(VecEnv):
    """Hands back one ready array of observations, rewards of zero, and no episode that ends."""

    def __init__(self, num_envs: int, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.render_mode = None
        super().__init__(num_envs, observation_space, action_space)
        shape = (num_envs, *(observation_space.shape or ()))
        self._observations = np.random.default_rng(0).standard_normal(shape, np.float32)
        self._rewards = np.zeros(num_envs)
        self._dones = np.zeros(num_envs, np.bool_)
        self._infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]

    def reset(self) -> VecEnvObs:
        """Return the array."""
        return self._observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Do nothing."""

    def step_wait(self) -> VecEnvStepReturn:
        """Return the array."""
        return self._observations, self._rewards, self._dones, self._infos

    def close(self) -> None:
        """Do nothing."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute, once for every account."""
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:  # noqa: ANN401 - as in SB3
        """Set an attribute."""
        setattr(self, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ANN401 - as in SB3
        indices: VecEnvIndices = None,
        **method_kwargs: Any,  # noqa: ANN401 - as in SB3
    ) -> list[Any]:
        """Call a method and return its result for every account."""
        return [getattr(self, method_name)(*method_args, **method_kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Return that no account is wrapped."""
        return [False] * self.num_envs


@contextmanager
def ppo(effort: Effort, config: PPOConfig) -> Iterator[Contest]:
    """Training by PPO beside the same training on an environment that does nothing."""
    accounts = vector_env(effort, config.num_envs, num_threads=step_threads(config.num_envs))
    env = TradingVecEnv(accounts)
    idle = IdleVecEnv(config.num_envs, env.observation_space, env.action_space)
    train = TrainConfig(ppo=config, env=accounts.config, device="cpu")
    yield Contest(
        subject=_frames(make_model(train, env), config, effort.num_rollouts),
        reference=_frames(make_model(train, cast(TradingVecEnv, idle)), config, effort.num_rollouts),
        reference_name="the same PPO on an environment that does nothing",
        config=account_hash(),
    )


def ppo_config(*, num_envs: int, n_steps: int, batch_size: int, n_epochs: int, hidden: int) -> PPOConfig:
    """Return the defaults with other sizes."""
    return replace(
        PPOConfig(),
        num_envs=num_envs,
        n_steps=n_steps,
        batch_size=batch_size,
        n_epochs=n_epochs,
        net_arch=(hidden, hidden),
    )


def _frames(model: BaseAlgorithm, config: PPOConfig, num_rollouts: int) -> Run:
    frames = config.num_envs * config.n_steps * num_rollouts

    def learn() -> None:
        model.learn(frames, reset_num_timesteps=False)

    return rate(learn, frames, 0.0)
