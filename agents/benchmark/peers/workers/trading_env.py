"""Gym-Trading-Env: a spot account with fees and interest; alone, and trained on by Stable-Baselines3's defaults."""

from typing import Any

import gym_trading_env  # noqa: F401 - registers the environments
import gymnasium
import numpy as np
import pandas as pd
from serve import Run, rate, serve
from walk import random_walk

NUM_BARS = 100_000
NUM_FEATURES = 20
NUM_STEPS = 2_000
POSITIONS = [-1.0, -0.5, 0.0, 0.5, 1.0]
FRAMES_PER_ENV = 1_024  # of a rollout, and of one run


def _table() -> pd.DataFrame:
    table = pd.DataFrame(random_walk(NUM_BARS, 0.006))
    table.index = pd.to_datetime(np.arange(NUM_BARS) * 3_600_000, unit="ms")
    close = np.log(table["close"])
    for lag in range(1, NUM_FEATURES + 1):
        table[f"feature_{lag}"] = close.diff(lag).fillna(0.0)
    return table


def _make(table: pd.DataFrame) -> Any:  # noqa: ANN401 - gymnasium's generic environment
    return gymnasium.make(
        "TradingEnv",
        df=table,
        positions=POSITIONS,
        trading_fees=5e-4,
        borrow_interest_rate=1e-6,
        max_episode_duration=720,
        verbose=0,
    )


def single_env(seconds: float) -> Run:
    """Return steps of one environment."""
    env = _make(_table())
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(NUM_STEPS)]
    env.reset(seed=0)

    def play() -> None:
        for action in actions:
            _, _, terminated, truncated, *_ = env.step(action)
            if terminated or truncated:
                env.reset()

    return rate(play, NUM_STEPS, seconds)


def ppo(num_envs: int, in_processes: bool) -> Run:
    """Return frames of PPO as its users run it: the defaults of Stable-Baselines3 but for the rollout's length."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    table = _table()
    makers = [lambda: _make(table)] * num_envs
    env = SubprocVecEnv(makers, start_method="fork") if in_processes else DummyVecEnv(makers)
    model = PPO("MlpPolicy", env, n_steps=FRAMES_PER_ENV, device="cpu")
    frames = FRAMES_PER_ENV * num_envs
    return rate(lambda: model.learn(frames, reset_num_timesteps=False), frames, 0.0)


if __name__ == "__main__":
    serve({"single_env": single_env, "ppo": ppo}, "gym-trading-env", "stable-baselines3")
