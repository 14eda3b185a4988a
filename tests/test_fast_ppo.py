"""FastPPO against stable_baselines3.PPO: the same updates on the same rollout."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from torch import nn

from agents.fast_ppo import loss, ppo
from agents.fast_ppo.heads import Categorical, Gaussian
from agents.fast_ppo.ppo import FastPPO
from agents.training.sb3_env import TradingVecEnv
from envs.embedded import embedded_market_data
from envs.vector_env import TradingVectorEnv
from rl_trader.config import EMBEDDED_ENV, EpisodeConfig
from rl_trader.errors import ConfigError

NUM_ENVS, NUM_STEPS = 6, 32
SETTINGS: dict[str, Any] = {"n_steps": NUM_STEPS, "batch_size": 48, "n_epochs": 3, "ent_coef": 0.01, "seed": 4}
NETS: dict[str, Any] = {"net_arch": [16, 8], "activation_fn": nn.Tanh}


def environment(*, is_box: bool = False) -> TradingVecEnv:
    trading = replace(EMBEDDED_ENV.trading, levels=()) if is_box else EMBEDDED_ENV.trading
    config = replace(EMBEDDED_ENV, trading=trading, episode=EpisodeConfig(episode_bars=20))
    return TradingVecEnv(TradingVectorEnv(NUM_ENVS, embedded_market_data(900, 3), config, copy=False))


def pair(*, is_box: bool = False, **settings: Any) -> tuple[PPO, FastPPO]:
    """Return SB3's and ours with the same weights, silent."""
    models: list[Any] = []
    for kind in (PPO, FastPPO):
        kwargs = {"policy_kwargs": NETS, **SETTINGS, **settings}
        if kind is PPO:
            kwargs.pop("num_shares", None)
        model = kind("MlpPolicy", environment(is_box=is_box), device="cpu", **kwargs)
        model.set_logger(configure(None, []))
        models.append(model)
    return models[0], models[1]


class Nothing(BaseCallback):
    """Lets training go on."""

    def _on_step(self) -> bool:
        return True


def collect(model: PPO) -> None:
    """Play a rollout."""
    _, callback = model._setup_learn(NUM_ENVS * NUM_STEPS, Nothing())
    assert model.env is not None
    assert model.collect_rollouts(model.env, callback, model.rollout_buffer, NUM_STEPS)


def fill(model: PPO, buffer: RolloutBuffer) -> None:
    """Give a model's buffer the rollout of another."""
    own = model.rollout_buffer
    own.reset()
    for name in (
        "observations",
        "actions",
        "rewards",
        "returns",
        "episode_starts",
        "values",
        "log_probs",
        "advantages",
    ):
        getattr(own, name)[:] = getattr(buffer, name)
    own.pos, own.full = NUM_STEPS, True


def recorded(model: PPO) -> dict[str, float]:
    return {name: float(value) for name, value in model.logger.name_to_value.items()}


@pytest.mark.parametrize("is_box", [False, True])
@pytest.mark.parametrize("net", [NETS, {"net_arch": [12], "activation_fn": nn.ReLU}])
def test_updates_are_those_of_sb3_but_for_rounding(net: dict[str, Any], is_box: bool) -> None:
    theirs, ours = pair(is_box=is_box, policy_kwargs=net)
    ours.learn(NUM_ENVS * NUM_STEPS)  # a first update, so that the networks have moved
    theirs.policy.load_state_dict(ours.policy.state_dict())
    theirs.policy.optimizer.load_state_dict(copy.deepcopy(ours.policy.optimizer.state_dict()))
    collect(ours)
    rollout = ours.rollout_buffer
    rng = np.random.default_rng(2)  # advantages that clip some of the ratios
    rollout.advantages[:] = rng.normal(0.0, 3.0, rollout.advantages.shape)
    rollout.log_probs += rng.normal(0.0, 0.3, rollout.log_probs.shape).astype(np.float32)
    fill(theirs, rollout)
    for model in (theirs, ours):
        np.random.seed(8)  # noqa: NPY002 - SB3 draws its minibatches from it
        model._current_progress_remaining = 0.5
        model.train()
    for mine, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=2e-6)
    logged, wanted = recorded(ours), recorded(theirs)
    for name in {name for name in wanted if name.startswith("train/")} - {"train/n_updates"}:
        assert logged[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-5), name
    assert 0.0 < wanted["train/clip_fraction"] < 1.0


@pytest.mark.parametrize("is_box", [False, True])
def test_a_rollout_is_what_the_policy_and_the_environment_say(is_box: bool) -> None:
    _, model = pair(is_box=is_box)
    collect(model)
    buffer = model.rollout_buffer
    observations = torch.from_numpy(buffer.observations.reshape(NUM_STEPS * NUM_ENVS, -1))
    with torch.no_grad():
        actions = torch.from_numpy(buffer.actions.reshape(NUM_STEPS * NUM_ENVS, -1))
        taken = actions if is_box else actions.long().flatten()
        values, log_probs, _ = model.policy.evaluate_actions(observations, taken)
    np.testing.assert_allclose(buffer.values.ravel(), values.flatten().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(buffer.log_probs.ravel(), log_probs.numpy(), rtol=1e-4, atol=1e-5)
    again = environment(is_box=is_box)
    again.seed(SETTINGS["seed"])
    seen: Any = again.reset()
    for step in range(NUM_STEPS):
        assert buffer.observations[step].tobytes() == seen.tobytes()
        action = buffer.actions[step]
        result: Any = again.step(np.clip(action, -1.0, 1.0) if is_box else action[:, 0])
        seen, rewards, dones, infos = result
        wanted = np.array(rewards, np.float32)
        for i in np.flatnonzero(dones):  # each was cut off by the time limit: what would have come is added
            assert infos[i]["TimeLimit.truncated"]
            with torch.no_grad():
                value = model.policy.predict_values(torch.from_numpy(infos[i]["terminal_observation"][None]))
            wanted[i] += model.gamma * float(value)
        np.testing.assert_allclose(buffer.rewards[step], wanted, rtol=1e-5, atol=1e-6)
    assert buffer.episode_starts.sum() > 2 * NUM_ENVS - 1
    assert len(model.ep_info_buffer or ()) == NUM_ENVS


def test_levels_are_drawn_as_often_as_their_probabilities_say() -> None:
    torch.manual_seed(3)
    logits = torch.tensor([[0.0, 1.0, -1.5]]).repeat(200_000, 1)
    actions, log_probs = Categorical().sample(logits)
    probs = torch.softmax(logits[0], 0)
    shares = torch.bincount(actions[:, 0], minlength=3) / len(actions)
    torch.testing.assert_close(shares, probs, atol=0.005, rtol=0.0)
    torch.testing.assert_close(log_probs, probs.log()[actions[:, 0]])


def test_normal_actions_have_the_mean_and_the_deviation_that_they_should() -> None:
    torch.manual_seed(3)
    log_std = torch.tensor([-0.7])
    actions, log_probs = Gaussian((log_std, torch.zeros(1))).sample(torch.full((200_000, 1), 0.3))
    assert float(actions.mean()) == pytest.approx(0.3, abs=0.005)
    assert float(actions.std()) == pytest.approx(float(log_std.exp()), rel=0.01)
    wanted = -((actions[:, 0] - 0.3) ** 2) / (2.0 * log_std.exp() ** 2) - log_std - 0.5 * math.log(2.0 * math.pi)
    torch.testing.assert_close(log_probs, wanted)


def test_heads_say_what_torchs_distributions_say() -> None:
    outputs, log_std = torch.randn(50, 3), torch.tensor([0.2, -0.5, 0.1])
    choices, moves = torch.randint(3, (50, 1)), torch.randn(50, 3)
    judged = Categorical().judge(outputs, choices)
    choice: Any = torch.distributions.Categorical(logits=outputs)
    torch.testing.assert_close(judged.log_prob, choice.log_prob(choices[:, 0]))
    torch.testing.assert_close(judged.entropy, choice.entropy())
    judged = Gaussian((log_std, torch.zeros(3))).judge(outputs, moves)
    normal: Any = torch.distributions.Normal(outputs, log_std.exp())
    torch.testing.assert_close(judged.log_prob, normal.log_prob(moves).sum(1))
    torch.testing.assert_close(judged.entropy, normal.entropy().sum(1))


def test_an_update_ends_where_the_policy_has_moved_far() -> None:
    _, model = pair(target_kl=1e-9, learning_rate=1e-2)
    model.learn(NUM_ENVS * NUM_STEPS)
    assert model._n_updates == 1
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.policy.parameters())


def test_a_model_that_was_saved_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    _, model = pair()
    model.learn(2 * NUM_ENVS * NUM_STEPS)
    model.save(tmp_path / "model.zip")
    loaded = FastPPO.load(tmp_path / "model.zip", device="cpu")
    loaded.set_logger(configure(None, []))
    collect(model)
    loaded.rollout_buffer.reset()
    fill(loaded, model.rollout_buffer)
    for each in (model, loaded):
        np.random.seed(1)  # noqa: NPY002
        each.train()
    for one, other in zip(model.policy.parameters(), loaded.policy.parameters(), strict=True):
        assert one.detach().numpy().tobytes() == other.detach().numpy().tobytes()
    stock = PPO.load(tmp_path / "model.zip", device="cpu")  # SB3 reads it as its own
    assert set(stock.policy.optimizer.state_dict()["state"]) == set(range(len(list(stock.policy.parameters()))))


@pytest.mark.parametrize(
    "settings",
    [
        {"policy_kwargs": {"net_arch": [8], "activation_fn": nn.ELU}},
        {"clip_range_vf": 0.2},
    ],
)
def test_what_is_not_written_out_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"use stable_baselines3\.PPO"):
        FastPPO("MlpPolicy", environment(), device="cpu", **settings)


def test_state_dependent_exploration_is_refused() -> None:
    with pytest.raises(ConfigError, match="state-dependent"):
        FastPPO("MlpPolicy", environment(is_box=True), device="cpu", use_sde=True)


def test_shares_and_chunks_change_nothing_but_rounding_and_threads_not_even_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loss, "WORTH_A_SHARE", 8)
    monkeypatch.setattr(loss, "CHUNK", 16 * 10)  # ten rows at a time
    weights: list[list[torch.Tensor]] = []
    for num_shares, num_threads in ((1, 1), (3, 1), (3, 2), (3, 3)):
        monkeypatch.setattr(ppo, "own_processors", lambda number=num_threads: number)
        _, model = pair(num_shares=num_shares)
        model.learn(NUM_ENVS * NUM_STEPS)
        weights.append([parameter.detach() for parameter in model.policy.parameters()])
    for one, *others in zip(*weights, strict=True):
        torch.testing.assert_close(one, others[0], rtol=1e-4, atol=2e-6)
        assert len({other.numpy().tobytes() for other in others}) == 1
