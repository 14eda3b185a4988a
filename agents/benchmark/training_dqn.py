"""Updates per second of DQN beside stock Stable-Baselines3's, with as many updates a frame."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_hash, vector_env
from agents.benchmark.measure import Contest, Run, rate
from agents.benchmark.training import on_threads
from agents.config import DQNConfig, TrainConfig
from agents.training.learners import choose_threads, make_model, step_threads
from agents.training.sb3_env import TradingVecEnv

LEARNING_STARTS: Final = 2_000
BUFFER: Final = 200_000


def dqn_config(*, num_envs: int, train_freq: int, gradient_steps: int, batch_size: int) -> DQNConfig:
    """Return the defaults with other sizes."""
    return replace(
        DQNConfig(),
        num_envs=num_envs,
        train_freq=train_freq,
        gradient_steps=gradient_steps,
        batch_size=batch_size,
        buffer_size=BUFFER,
        learning_starts=LEARNING_STARTS,
        n_steps=1,
    )


@contextmanager
def against_stock(effort: Effort, config: DQNConfig, num_threads: int) -> Iterator[Contest]:
    """Updates/s of this project's DQN beside stable_baselines3.DQN on so many threads of torch."""
    yield Contest(
        subject=dqn(effort, config),
        reference=on_threads(_updates(_stock(effort, config), config, effort), num_threads),
        reference_name=f"stable_baselines3.DQN on the same accounts, {num_threads} threads",
        config=account_hash(),
    )


def dqn(effort: Effort, config: DQNConfig) -> Run:
    """Return updates/s of this project's DQN on the measured account."""
    accounts = _accounts(effort, config)
    train = TrainConfig(algo="dqn", dqn=config, env=accounts.env.config, device=effort.device)
    return on_threads(_updates(make_model(train, accounts), config, effort), choose_threads(train))


def _accounts(effort: Effort, config: DQNConfig) -> TradingVecEnv:
    return TradingVecEnv(vector_env(effort, config.num_envs, num_threads=step_threads(config.num_envs)))


def _stock(effort: Effort, config: DQNConfig) -> DQN:
    return DQN(
        "MlpPolicy",
        _accounts(effort, config),
        learning_rate=config.learning_rate,
        buffer_size=config.buffer_size,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        train_freq=config.train_freq,
        gradient_steps=config.gradient_steps,
        gamma=config.discount,
        target_update_interval=config.target_update_interval * config.num_envs,
        exploration_fraction=config.exploration_fraction,
        exploration_final_eps=config.exploration_final_eps,
        max_grad_norm=config.max_grad_norm,
        policy_kwargs={"net_arch": list(config.net_arch), "activation_fn": nn.ReLU},
        device=effort.device,
    )


def _updates(model: BaseAlgorithm, config: DQNConfig, effort: Effort) -> Run:
    """Return updates of a run that begins once the buffer holds what learning starts with."""
    model.learn(LEARNING_STARTS)
    rounds = 50 * effort.num_rollouts
    frames = rounds * config.train_freq * config.num_envs

    def learn() -> None:
        model.learn(frames, reset_num_timesteps=False)

    return rate(learn, rounds * config.gradient_steps, effort.training_seconds)
