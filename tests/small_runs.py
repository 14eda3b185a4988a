"""Training runs of a few seconds on the embedded market, and what they leave in their folders."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from agents.config import DQNConfig, MarketConfig, PPOConfig, TrainConfig
from agents.presets import DEMO
from agents.run_folder import RunFolder
from agents.training.run import new_run
from rl_trader.checkpoint import Checkpoint
from rl_trader.config import EpisodeConfig
from rl_trader.policies import policy_arrays

TOTAL: Final = 768  # bars; PPO updates every 64 of them, DQN every 16
MARKET: Final = MarketConfig(
    symbols=("EMBEDDED",),
    train=("2020-01-01", "2020-02-01"),
    validation=("2020-02-01", "2020-02-04"),
    test=("2020-02-04", "2020-02-07"),
)
# Short episodes and drawn fees, so that generators matter to what comes after an interruption.
EPISODE: Final = EpisodeConfig(episode_bars=24, fee_scale=(0.5, 1.5))
PPO: Final = PPOConfig(
    total_timesteps=TOTAL,
    num_envs=4,
    n_steps=16,
    batch_size=32,
    n_epochs=2,
    learning_rate=3e-3,
    net_arch=(8, 8),
    gamma=0.99,
    gae_lambda=0.95,
    ent_coef=0.0,
    activation="tanh",
    hold_probability=0.0,  # such short trainings would still hold, and never trade
    lstm_hidden_size=6,
)
# The buffer holds 100 bars of each account and is full before the end.
DQN: Final = DQNConfig(
    total_timesteps=TOTAL,
    num_envs=4,
    learning_rate=3e-3,
    buffer_size=400,
    learning_starts=64,
    batch_size=32,
    n_steps=3,
    cut_returns=True,
    gradient_steps=2,
    target_update_interval=20,
    net_arch=(8,),
)


def small_config(
    runs: Path, name: str, algo: Literal["ppo", "dqn", "recurrent"] = "ppo", **changes: Any
) -> TrainConfig:
    """Return the configuration of a run of ``TOTAL`` bars with three evaluations."""
    config = replace(
        DEMO, algo=algo, device="cpu", runs=runs, name=name, evaluations=3, market=MARKET, ppo=PPO, dqn=DQN
    )
    return replace(config, env=replace(config.env, episode=EPISODE), **changes)


def train(config: TrainConfig) -> RunFolder:
    """Train to the end."""
    run = new_run(config, "demo")
    run.learn(lambda _done, _total: None)
    return run.folder


def weights(checkpoint: Checkpoint) -> bytes:
    """Return the bits of a policy."""
    return b"".join(array.tobytes() for array in policy_arrays(checkpoint.policy).values())


def manifest(folder: RunFolder, which: str) -> Any:
    """Return the manifest of a checkpoint as it lies on the disk."""
    return json.loads((folder.path / "checkpoints" / folder.index()[which] / "manifest.json").read_text())


def training_state(folder: RunFolder) -> tuple[dict[str, bytes], Any]:
    """Return the bits of the arrays, and the other values, from which a training goes on."""
    with np.load(folder.resume_folder / "arrays.npz") as arrays:
        bits = {name: arrays[name].tobytes() for name in arrays.files}
    return bits, json.loads((folder.resume_folder / "state.json").read_text())
