"""Frames per second of training: this project's, stock Stable-Baselines3's on the same accounts, and two limits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Final, cast

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_hash, vector_env
from agents.benchmark.measure import Contest, Run, rate
from agents.benchmark.peers.workers.still_vec_env import StillVecEnv
from agents.config import PPOConfig, TrainConfig
from agents.training.learners import choose_threads, make_model, step_threads
from agents.training.sb3_env import TradingVecEnv

PRODUCTS: Final = 3  # of matrices a layer and sample: forward, and the gradients of weights and inputs
ALL_THREADS: Final = torch.get_num_threads()


@contextmanager
def against_nothing(effort: Effort, config: PPOConfig) -> Iterator[Contest]:
    """Training by PPO beside the same training on an environment that does nothing."""
    yield Contest(
        subject=ppo(effort, config),
        reference=_ppo_on_nothing(effort, config),
        reference_name="the same PPO on an environment that does nothing",
        config=account_hash(),
    )


@contextmanager
def against_stock(effort: Effort, config: PPOConfig, num_threads: int = ALL_THREADS) -> Iterator[Contest]:
    """Training by PPO beside Stable-Baselines3's own PPO on the same accounts, on so many threads of torch."""
    yield Contest(
        subject=ppo(effort, config),
        reference=on_threads(_stock_ppo(effort, config), num_threads),
        reference_name=f"stable_baselines3.PPO on the same accounts, threads: {num_threads}",
        config=account_hash(),
    )


@contextmanager
def against_products(effort: Effort, config: PPOConfig) -> Iterator[Contest]:
    """Training by PPO beside the products of matrices that it cannot do without."""
    yield Contest(
        subject=ppo(effort, config),
        reference=_products(effort, config),
        reference_name="the products of matrices alone, on all threads",
        config=account_hash(),
    )


def ppo(effort: Effort, config: PPOConfig) -> Run:
    """Return frames of this project's training on the measured account."""
    accounts = vector_env(effort, config.num_envs, num_threads=step_threads(config.num_envs))
    train = TrainConfig(ppo=config, env=accounts.config, device=effort.device)
    model = make_model(train, TradingVecEnv(accounts))
    return on_threads(_frames(model, config, effort), choose_threads(train))


def _ppo_on_nothing(effort: Effort, config: PPOConfig) -> Run:
    accounts = vector_env(effort, config.num_envs)
    still = StillVecEnv(config.num_envs, accounts.single_observation_space, accounts.single_action_space)
    train = TrainConfig(ppo=config, env=accounts.config, device=effort.device)
    model = make_model(train, cast(TradingVecEnv, still))
    return on_threads(_frames(model, config, effort), choose_threads(train))


def _stock_ppo(effort: Effort, config: PPOConfig) -> Run:
    accounts = vector_env(effort, config.num_envs, num_threads=step_threads(config.num_envs))
    model = PPO(
        "MlpPolicy",
        TradingVecEnv(accounts),
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        policy_kwargs={"net_arch": list(config.net_arch), "activation_fn": nn.Tanh},
        device=effort.device,
    )
    return _frames(model, config, effort)


def _products(effort: Effort, config: PPOConfig) -> Run:
    """Return frames of the matrix products of one rollout and its update, two networks deep, and nothing else."""
    accounts = vector_env(effort, 2)
    sizes = [*(accounts.single_observation_space.shape or ()), *config.net_arch]
    updates = config.num_envs * config.n_steps // config.batch_size * config.n_epochs
    update = _layer_products(sizes, config.batch_size, effort.device)
    play = _layer_products(sizes, config.num_envs, effort.device)

    def multiply() -> None:
        for _ in range(config.n_steps):
            play(1)
        for _ in range(updates):
            update(PRODUCTS)
        if effort.device != "cpu":
            torch.cuda.synchronize()

    frames = config.num_envs * config.n_steps
    return on_threads(rate(multiply, frames, effort.seconds), ALL_THREADS)


def _layer_products(sizes: list[int], num_rows: int, device: str) -> Callable[[int], None]:
    pairs = [(torch.ones(num_rows, a, device=device), torch.ones(a, b, device=device)) for a, b in pairwise(sizes)]
    outs = [torch.empty(num_rows, weights.shape[1], device=device) for _, weights in pairs]

    def multiply(num_products: int) -> None:
        for _ in range(2 * num_products):  # actor and critic
            for (rows, weights), out in zip(pairs, outs, strict=True):
                torch.mm(rows, weights, out=out)

    return multiply


def ppo_config(*, num_envs: int, n_steps: int, batch_size: int, n_epochs: int, hidden: int) -> PPOConfig:
    """Return the defaults with other sizes, SB3's own networks and losses, and an untaught policy."""
    return replace(
        PPOConfig(activation="tanh", ent_coef=0.0, hold_probability=0.0),
        num_envs=num_envs,
        n_steps=n_steps,
        batch_size=batch_size,
        n_epochs=n_epochs,
        net_arch=(hidden, hidden),
    )


def on_threads(run: Run, num_threads: int) -> Run:
    """Return a run during which torch has so many threads."""

    def on_threads() -> float:
        before = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        try:
            return run()
        finally:
            torch.set_num_threads(before)

    return on_threads


def _frames(model: BaseAlgorithm, config: PPOConfig, effort: Effort) -> Run:
    frames = config.num_envs * config.n_steps * effort.num_rollouts

    def learn() -> None:
        model.learn(frames, reset_num_timesteps=False)

    return rate(learn, frames, effort.training_seconds)
