"""torchtrade's futures environments: one account, and a batch of them."""

import os

import pandas as pd
import torch
from serve import Run, rate, serve
from torchtrade.envs import SequentialTradingEnv, SequentialTradingEnvConfig
from torchtrade.envs.offline.vectorized_sequential import (
    VectorizedSequentialTradingEnv,
    VectorizedSequentialTradingEnvConfig,
)
from walk import random_walk

NUM_BARS = 100_000
NUM_STEPS = 32
NUM_SINGLE_STEPS = 200
SETTINGS = {
    "time_frames": "1Hour",
    "window_sizes": 10,
    "execute_on": "1Hour",
    "leverage": 3,
    "transaction_fee": 5e-4,
    "action_levels": [-1.0, -0.5, 0.0, 0.5, 1.0],
    "max_traj_length": 720,
}


def _table() -> pd.DataFrame:
    table = pd.DataFrame(random_walk(NUM_BARS, 0.006))
    table.insert(0, "timestamp", pd.date_range("2019-01-01", periods=NUM_BARS, freq="h"))
    return table


def single_env(seconds: float) -> Run:
    """Return steps of one account."""
    env = SequentialTradingEnv(df=_table(), config=SequentialTradingEnvConfig(**SETTINGS))

    def play() -> None:
        state = env.reset()
        for step in range(NUM_SINGLE_STEPS):
            state["action"] = torch.tensor(step % 5).reshape(state.batch_size)
            newest = env.step(state)["next"]
            state = env.reset() if bool(newest["done"].any()) else newest

    return rate(play, NUM_SINGLE_STEPS, seconds)


def vector_env(num_envs: int, seconds: float) -> Run:
    """Return steps of a batch, reset where an episode ends."""
    config = VectorizedSequentialTradingEnvConfig(num_envs=num_envs, **SETTINGS)
    env = VectorizedSequentialTradingEnv(df=_table(), config=config)
    actions = [torch.randint(0, 5, (num_envs,)) for _ in range(NUM_STEPS)]
    state = env.reset()

    def play() -> None:
        nonlocal state
        for action in actions:
            state["action"] = action
            state = env.step_and_maybe_reset(state)[1]

    return rate(play, NUM_STEPS * num_envs, seconds)


torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
serve({"single_env": single_env, "vector_env": vector_env}, "torchtrade", "torchrl", "torch")
