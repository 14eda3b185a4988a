"""Runs that an earlier version has written are read by this one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from gymnasium import spaces

from agents.config import DQNConfig, MarketConfig, PPOConfig, TrainConfig
from agents.fast_dqn.buffer import RingReplayBuffer
from agents.trials import configuration_hash
from rl_trader.serialise import from_json, to_chosen, to_json

# What the folders of the first runs hold. Fields may join the configuration, but no run must be asked for them.
FIRST = {
    "market": "symbols interval train validation test mirror assumptions",
    "ppo": "total_timesteps num_envs n_steps batch_size n_epochs learning_rate gamma gae_lambda clip_range ent_coef"
    " vf_coef max_grad_norm log_std_init net_arch activation",
    "dqn": "total_timesteps num_envs learning_rate buffer_size learning_starts batch_size gamma n_steps train_freq"
    " gradient_steps target_update_interval exploration_fraction exploration_final_eps max_grad_norm n_quantiles"
    " net_arch",
}


def test_a_configuration_without_the_fields_that_joined_later_has_their_defaults() -> None:
    whole = to_json(TrainConfig(runs=Path("runs"), name="run"))
    assert isinstance(whole["ppo"], dict)
    younger = {
        section: set(vars_of) - set(FIRST[section].split())
        for section, vars_of in whole.items()
        if section in FIRST and isinstance(vars_of, dict)
    }
    assert "cut_returns" in younger["dqn"]
    for section, names in younger.items():
        for name in names:
            del whole[section][name]
    config = from_json(TrainConfig, json.loads(json.dumps(whole)), "config.json")
    assert config.market == MarketConfig()
    assert config.ppo == PPOConfig()
    assert config.dqn == DQNConfig()


def test_a_field_that_joined_silently_changes_no_hash_at_its_default() -> None:
    config = TrainConfig(algo="dqn", runs=Path("runs"), name="run")
    cut = replace(config, dqn=replace(config.dqn, cut_returns=True))
    assert "cut_returns" not in to_chosen(config)["dqn"]
    assert to_chosen(cut)["dqn"]["cut_returns"] is True
    assert to_chosen(config) | {"dqn": None} == to_chosen(cut) | {"dqn": None}
    assert configuration_hash(config) != configuration_hash(cut)


def test_a_replay_buffer_without_cuts_is_one_of_which_nothing_was_cut() -> None:
    buffers = [RingReplayBuffer(40, spaces.Box(-9.0, 9.0, (2,), np.float32), spaces.Discrete(3)) for _ in range(2)]
    rng = np.random.default_rng(0)
    for _ in range(30):
        seen, following = rng.normal(size=(2, 1, 2)).astype(np.float32)
        buffers[0].add(seen, following, np.array([1]), rng.normal(size=1), np.array([False]), [{}])
    state = buffers[0].state()
    assert not state.pop("is_cut").any()
    buffers[1].set_state(state)
    assert {name: array.tobytes() for name, array in buffers[1].state().items()} == {
        name: array.tobytes() for name, array in buffers[0].state().items()
    }
