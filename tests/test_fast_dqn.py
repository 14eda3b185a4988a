"""FastDQN against stable_baselines3.DQN: the same transitions, the same updates, the same training."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from agents.fast_dqn import networks
from agents.fast_dqn.buffer import RingReplayBuffer
from agents.fast_dqn.dqn import FastDQN
from agents.training.sb3_env import TradingVecEnv
from envs.embedded import embedded_market_data
from envs.vector_env import TradingVectorEnv
from rl_trader.config import EMBEDDED_ENV, EpisodeConfig
from rl_trader.errors import ConfigError

NUM_ENVS = 4
NETS: dict[str, Any] = {"net_arch": [16, 8], "activation_fn": nn.ReLU}
SETTINGS: dict[str, Any] = {
    "learning_rate": lambda left: 1e-3 + 1e-3 * left,
    "buffer_size": 240,  # 60 bars of every account: it is full soon and goes round several times
    "learning_starts": 40,
    "batch_size": 32,
    "train_freq": 4,
    "gradient_steps": 3,
    "target_update_interval": 40,
    "exploration_fraction": 0.5,
    "seed": 4,
}
Transition = tuple[Any, Any, Any, Any, Any, Any]  # of SB3's add


def environment(num_envs: int = NUM_ENVS) -> TradingVecEnv:
    config = replace(EMBEDDED_ENV, episode=EpisodeConfig(episode_bars=17))
    return TradingVecEnv(TradingVectorEnv(num_envs, embedded_market_data(900, 3), config, copy=False))


def pair(num_envs: int = NUM_ENVS, **settings: Any) -> tuple[DQN, FastDQN]:
    """Return SB3's and ours with the same weights, silent."""
    models: list[Any] = []
    for kind in (DQN, FastDQN):
        kwargs = {"policy_kwargs": NETS, **SETTINGS, **settings}
        model = kind("MlpPolicy", environment(num_envs), device="cpu", **kwargs)
        model.set_logger(configure(None, []))
        models.append(model)
    return models[0], models[1]


class Recorder(BaseCallback):
    """Keeps what is done."""

    def __init__(self, last_step: int = 1 << 60) -> None:
        super().__init__()
        self.actions: list[list[int]] = []
        self._last_step = last_step

    def _on_step(self) -> bool:
        self.actions.append(self.locals["actions"].tolist())
        return self.num_timesteps < self._last_step


def assert_close(ours: DQN, theirs: DQN) -> None:
    for mine, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_steps": 3, "tau": 0.3, "max_grad_norm": 0.05},
        {"num_envs": 1, "target_update_interval": 7, "learning_rate": 1e-3},
        {"num_envs": 1, "train_freq": (2, "episode"), "gradient_steps": -1},
        {"policy_kwargs": {"net_arch": [12], "activation_fn": nn.Tanh}, "gamma": 0.9},
    ],
)
def test_a_training_is_that_of_sb3_but_for_rounding(settings: dict[str, Any], tmp_path: Path) -> None:
    theirs, ours = pair(**settings)
    recorders, logs = [Recorder(), Recorder()], [tmp_path / "theirs", tmp_path / "ours"]
    for model, recorder, log in zip((theirs, ours), recorders, logs, strict=True):
        model.set_logger(configure(str(log), ["json"]))
        model.set_random_seed(4)  # SB3 draws from generators that all models share
        model.learn(800, callback=recorder, log_interval=3)
        model.logger.close()
    assert ours.num_timesteps == theirs.num_timesteps >= 800
    assert ours._n_updates == theirs._n_updates > 100
    assert recorders[0].actions == recorders[1].actions
    assert len({action for row in recorders[0].actions for action in row}) > 1
    assert_close(ours, theirs)
    wanted, logged = (logged_in(log) for log in logs)
    assert len(logged) == len(wanted) > 10
    for mine, other in zip(logged, wanted, strict=True):
        assert mine == pytest.approx(other, rel=1e-3, abs=1e-5)
    assert {"rollout/ep_rew_mean", "train/loss", "train/learning_rate"} <= logged[-1].keys()


def logged_in(folder: Path) -> list[dict[str, float]]:
    """Return what SB3 has logged, without times."""
    lines = (folder / "progress.json").read_text().splitlines()
    timed = ("time/fps", "time/time_elapsed")
    return [{name: value for name, value in json.loads(line).items() if name not in timed} for line in lines]


def test_many_updates_on_a_buffer_that_stands_still_are_those_of_sb3_but_for_rounding() -> None:
    theirs, ours = pair(learning_starts=10_000, max_grad_norm=0.1)
    for model in (theirs, ours):
        model.set_random_seed(4)
        model.learn(400)
        np.random.seed(8)  # noqa: NPY002 - SB3 draws its batches from it
        for _ in range(60):
            model.train(gradient_steps=5, batch_size=64)
            model.policy.q_net_target.load_state_dict(model.policy.q_net.state_dict())
    assert_close(ours, theirs)
    began = pair()[1].policy.q_net.parameters()
    for now, before in zip(ours.policy.q_net.parameters(), began, strict=True):
        assert float((now - before).detach().abs().max()) > 1e-3  # so that being close says something
    ours.get_parameters()  # puts the optimiser's memory back
    wanted, found = (model.policy.optimizer.state_dict()["state"] for model in (theirs, ours))
    for key, state in wanted.items():
        assert int(found[key]["step"]) == int(state["step"]) == 300
        for name in ("exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(found[key][name], state[name], rtol=1e-2, atol=1e-6)


# The buffer


def transitions(num: int, seed: int, num_envs: int = 3) -> list[Transition]:
    """Return what random accounts would give: some episodes are terminated, some cut off, and once all begin anew."""
    rng = np.random.default_rng(seed)
    made: list[Transition] = []
    seen = rng.normal(size=(num_envs, 5)).astype(np.float32)
    for step in range(num):
        ends = rng.random(num_envs) < 0.15
        cut_off = ends & (rng.random(num_envs) < 0.5)
        following = rng.normal(size=(num_envs, 5)).astype(np.float32)
        infos = [{"TimeLimit.truncated": bool(cut)} if end else {} for cut, end in zip(cut_off, ends, strict=True)]
        made.append((seen, following, rng.integers(3, size=num_envs), rng.normal(size=num_envs), ends, infos))
        fresh = rng.normal(size=(num_envs, 5)).astype(np.float32)
        begins = ends | (step == 20)  # without an end: as when a training is gone on with from a reset
        seen = np.where(begins[:, None], fresh, following)
    return made


def buffers(size: int, n_steps: int, num_envs: int = 3) -> tuple[ReplayBuffer, RingReplayBuffer]:
    observed, done = spaces.Box(-9.0, 9.0, (5,), np.float32), spaces.Discrete(3)
    common: dict[str, Any] = {"device": "cpu", "n_envs": num_envs}
    ring = RingReplayBuffer(size, observed, done, n_steps=n_steps, gamma=0.9, **common)
    if n_steps == 1:
        return ReplayBuffer(size, observed, done, **common), ring
    return NStepReplayBuffer(size, observed, done, n_steps=n_steps, gamma=0.9, **common), ring


def assert_same(found: ReplayBufferSamples, wanted: ReplayBufferSamples) -> None:
    for name in ("observations", "actions", "next_observations", "dones"):
        assert torch.equal(getattr(found, name), getattr(wanted, name)), name
    torch.testing.assert_close(found.rewards, wanted.rewards)
    assert found.discounts is not None
    if wanted.discounts is None:
        torch.testing.assert_close(found.discounts, torch.full_like(found.discounts, 0.9))
    else:
        torch.testing.assert_close(found.discounts, wanted.discounts)


@pytest.mark.parametrize("n_steps", [1, 4])
@pytest.mark.parametrize("size", [3, 27, 75, 3_000])  # of which a lap is 1, 9, 25 and 1,000 bars
def test_a_ring_gives_the_transitions_of_sb3s_buffer(size: int, n_steps: int) -> None:
    theirs, ours = buffers(size, n_steps)
    for i, transition in enumerate(transitions(130, seed=3)):
        theirs.add(*transition)
        ours.add(*transition)
        if i % 9 == 0:
            np.random.seed(i)  # noqa: NPY002
            wanted = [theirs.sample(40) for _ in range(2)]
            np.random.seed(i)  # noqa: NPY002
            drawn = ours.draw(2, 40)
            for k, one in enumerate(wanted):
                rows = slice(40 * k, 40 * (k + 1))
                assert_same(ReplayBufferSamples(*(column[rows] for column in drawn if column is not None)), one)
            np.random.seed(i)  # noqa: NPY002
            assert_same(ours.sample(40), wanted[0])


@pytest.mark.parametrize("size", [27, 75, 3_000])
def test_a_return_ends_before_a_bar_that_was_cut(size: int) -> None:
    played = transitions(130, seed=3)
    is_cut = np.random.default_rng(4).random(130) < 0.3
    _, ours = buffers(size, 4)
    for transition, cut in zip(played, is_cut, strict=True):
        ours.add(*transition)
        if cut:
            ours.cut()
    oldest = max(130 - size // 3, 0)
    first = {row.tobytes(): (i, k) for i in range(oldest, 130) for k, row in enumerate(played[i][0])}
    drawn = ours.draw(1, 500)
    lengths = set()
    for row in range(500):
        i, k = first[drawn.observations[row].numpy().tobytes()]
        last, total = i, float(played[i][3][k])
        while last - i < 3 and last < 129 and not played[last][4][k] and not is_cut[last + 1]:
            last += 1
            total += 0.9 ** (last - i) * float(played[last][3][k])
        lengths.add(last - i + 1)
        assert isinstance(drawn.discounts, torch.Tensor)
        assert float(drawn.rewards[row]) == pytest.approx(total, abs=1e-5)
        assert float(drawn.discounts[row]) == pytest.approx(0.9 ** (last - i + 1))
        assert drawn.next_observations[row].numpy().tobytes() == played[last][1][k].tobytes()
        was_cut_off = bool(played[last][5][k].get("TimeLimit.truncated", False))
        assert bool(drawn.dones[row]) == (bool(played[last][4][k]) and not was_cut_off)
    assert lengths == {1, 2, 3, 4}


def test_returns_are_cut_where_all_accounts_act_at_random() -> None:
    whole, cut = (
        FastDQN("MlpPolicy", environment(), policy_kwargs=NETS, device="cpu", n_steps=3, cut_returns=cuts, **SETTINGS)
        for cuts in (False, True)
    )
    for model in (whole, cut):
        model.set_random_seed(4)
        model.learn(240)  # the buffer is just full; the first 40 are random, half of them after
    assert not whole._ring.state()["is_cut"].any()
    is_cut = cut._ring.state()["is_cut"]
    assert is_cut[:10].all()
    assert 0.05 < is_cut[10:].mean() < 0.8


def test_a_ring_keeps_an_observation_once_and_few_apart() -> None:
    theirs, ours = buffers(3_000, 1)
    for transition in transitions(5_000, seed=1):
        ours.add(*transition)
    twice = theirs.observations.nbytes + theirs.next_observations.nbytes
    state = ours.state()
    # An episode in seven bars ends, 450 in the buffer; as many again have room.
    assert state["ring"].nbytes == 1_001 * 3 * 5 * 4
    assert state["ring"].nbytes + state["apart"].nbytes < 0.9 * twice
    assert (state["links"] >= 0).sum() == pytest.approx(450, rel=0.2)


@pytest.mark.parametrize("num_added", [7, 60])
def test_a_ring_that_was_put_back_goes_on_as_the_other(num_added: int) -> None:
    _, ours = buffers(75, 2)
    _, again = buffers(75, 2)
    played = transitions(90, seed=2)
    for i, transition in enumerate(played[:num_added]):
        ours.add(*transition)
        if i % 3 == 0:
            ours.cut()
    again.set_state(copy.deepcopy(ours.state()))
    for buffer in (ours, again):
        for transition in played[num_added:]:
            buffer.add(*transition)
            buffer.cut()
    assert {name: array.tobytes() for name, array in ours.state().items()} == {
        name: array.tobytes() for name, array in again.state().items()
    }
    again.reset()
    assert again.size() == 0
    again.add(*played[0])
    found = {tuple(row) for row in again.sample(90).next_observations.tolist()}
    assert found == {tuple(row) for row in played[0][1].tolist()}


# Files


def test_a_model_that_was_saved_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    _, model = pair(n_steps=2)
    model.learn(400)
    model.save(tmp_path / "model.zip")
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    loaded = FastDQN.load(tmp_path / "model.zip", device="cpu")
    loaded.load_replay_buffer(tmp_path / "buffer.pkl")
    loaded.set_logger(configure(None, []))
    for each in (model, loaded):
        np.random.seed(1)  # noqa: NPY002
        each.train(7, 32)
        each._networks.move_target(0.5)
    for one, other in zip(model.policy.parameters(), loaded.policy.parameters(), strict=True):
        assert one.detach().numpy().tobytes() == other.detach().numpy().tobytes()
    stock = DQN.load(tmp_path / "model.zip", device="cpu")  # SB3 reads it as its own
    assert type(stock.replay_buffer) is NStepReplayBuffer
    assert set(stock.policy.optimizer.state_dict()["state"]) == set(range(6))


def test_few_accounts_are_asked_in_numpy_and_many_in_torch_with_the_same_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, model = pair()
    model.learn(400)
    shape = model.observation_space.shape or ()
    rows = np.random.default_rng(0).normal(size=(50, *shape)).astype(np.float32)
    wanted, _ = model.predict(rows, deterministic=True)
    few = model._networks.best_actions(rows)
    monkeypatch.setattr(networks, "FEW_ROWS", 0)
    many = model._networks.best_actions(rows)
    assert few.tolist() == many.tolist() == wanted.tolist()
    assert len(set(few.tolist())) > 1


def test_a_callback_ends_a_training() -> None:
    theirs, ours = pair()
    for model in (theirs, ours):
        model.learn(1_000, callback=Recorder(last_step=200))
    assert ours.num_timesteps == theirs.num_timesteps == 200
    assert ours._n_updates == theirs._n_updates


@pytest.mark.parametrize(
    "settings",
    [
        {"policy_kwargs": {"net_arch": [8], "activation_fn": nn.ELU}},
        {"policy_kwargs": {"optimizer_class": torch.optim.SGD}},
        {"policy_kwargs": {"optimizer_kwargs": {"weight_decay": 0.1}}},
        {"optimize_memory_usage": True},
        {"replay_buffer_class": RingReplayBuffer},
    ],
)
def test_what_is_not_written_out_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"use\s+stable_baselines3\.DQN"):
        FastDQN("MlpPolicy", environment(), device="cpu", **settings)


def test_other_observations_are_refused() -> None:
    with pytest.raises(ConfigError, match="vectors of float32"):
        RingReplayBuffer(10, spaces.Box(0, 255, (8, 8), np.uint8), spaces.Discrete(3))
    with pytest.raises(ConfigError, match="VecNormalize"):
        FastDQN("MlpPolicy", VecNormalize(environment()), device="cpu")
