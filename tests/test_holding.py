"""A policy that is taught to keep its position before it is trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.config import PPOConfig
from agents.training.run import TrainingRun, new_run
from rl_trader.errors import ConfigError
from tests.small_runs import small_config


def run_that_holds(tmp_path: Path, probability: float, levels: tuple[float, ...] = (-1.0, 0.0, 1.0)) -> TrainingRun:
    """Return a run that is not trained yet."""
    config = small_config(tmp_path, f"hold-{probability}-{len(levels)}", "ppo")
    env = replace(config.env, trading=replace(config.env.trading, levels=levels))
    run = new_run(replace(config, env=env, ppo=replace(config.ppo, hold_probability=probability)), "demo")
    run.log.close()
    return run


def observations_of(run: TrainingRun) -> torch.Tensor:
    """Return first observations of accounts that hold random positions."""
    seen = []
    for seed in range(0, 100, run.env.num_envs):
        run.env.seed(seed)
        seen.append(np.array(run.env.reset()))
    return torch.as_tensor(np.concatenate(seen))


@pytest.mark.parametrize("levels", [(-1.0, 0.0, 1.0), (-1.0, -0.5, 0.0, 0.5, 1.0)])
def test_the_untrained_policy_keeps_its_position_with_the_probability(
    levels: tuple[float, ...], tmp_path: Path
) -> None:
    run = run_that_holds(tmp_path, 0.9, levels)
    seen = observations_of(run)
    column = run.config.env.schema.names().index("exposure")
    nearest = np.abs(seen[:, column].numpy()[:, None] - np.array(levels)).argmin(axis=1)
    with torch.inference_mode():
        chances = run.model.policy.get_distribution(seen).distribution.probs.numpy()  # type: ignore[operator]
    assert len(set(nearest)) == 3
    assert chances[np.arange(len(seen)), nearest] == pytest.approx(0.9, abs=0.05)


def test_a_continuous_target_begins_as_the_position(tmp_path: Path) -> None:
    run = run_that_holds(tmp_path, 0.9, ())
    seen = observations_of(run)
    column = run.config.env.schema.names().index("exposure")
    with torch.inference_mode():
        distribution = run.model.policy.get_distribution(seen).distribution  # type: ignore[operator]
    assert distribution.mean[:, 0].numpy() == pytest.approx(seen[:, column].numpy(), abs=0.1)
    assert distribution.stddev.numpy() == pytest.approx(np.exp(run.config.ppo.log_std_init))


def test_teaching_moves_neither_the_value_network_nor_the_random_numbers_of_training(tmp_path: Path) -> None:
    taught, drawn = run_that_holds(tmp_path, 0.9), run_that_holds(tmp_path, 0.0)
    for mine, other in zip(
        taught.model.policy.mlp_extractor.value_net.parameters(),  # type: ignore[union-attr]
        drawn.model.policy.mlp_extractor.value_net.parameters(),  # type: ignore[union-attr]
        strict=True,
    ):
        assert torch.equal(mine, other)
    first, second = (np.array(run.env.reset()) for run in (taught, drawn))
    np.testing.assert_array_equal(first, second)


def test_the_same_seed_teaches_the_same(tmp_path: Path) -> None:
    first, second = (run_that_holds(tmp_path / name, 0.9).model.policy.state_dict() for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_policy_that_does_not_see_its_position_cannot_keep_it(tmp_path: Path) -> None:
    config = small_config(tmp_path, "blind", "ppo")
    blind = replace(config.env, account_features=("bars_held",))
    with pytest.raises(ConfigError, match=r"ppo.hold_probability needs the account feature 'exposure'"):
        new_run(replace(config, env=blind, ppo=replace(config.ppo, hold_probability=0.9)), "demo")


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_a_probability_that_is_none_is_refused(probability: float) -> None:
    with pytest.raises(ConfigError, match=r"ppo.hold_probability must be a fraction from 0 to 1"):
        PPOConfig(hold_probability=probability)
