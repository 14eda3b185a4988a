"""The discount of a bar, given as gamma or as a horizon in bars."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from agents.config import PPOConfig, TrainConfig, without_other_discount
from agents.presets import PRESETS
from agents.run_folder import RunFolder
from agents.training.log_contents import hyperparameters
from agents.training.run import new_run
from rl_trader.errors import ConfigError
from scripts._overrides import parse_preset
from tests.small_runs import small_config


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_horizon_is_the_models_discount_and_is_recorded(algo: Literal["ppo", "dqn"], tmp_path: Path) -> None:
    config = small_config(tmp_path, "far", algo)
    learner = replace(config.learner, gamma=None, horizon_bars=40.0)
    run = new_run(replace(config, **{algo: learner}), "demo")  # type: ignore[arg-type]
    assert run.model.gamma == 1.0 - 1.0 / 40.0  # type: ignore[attr-defined]
    run.log.close()
    kept = RunFolder.open(tmp_path / "far").config()
    assert kept.learner.horizon_bars == 40.0
    assert kept.learner.gamma is None
    assert hyperparameters(kept)["gamma"] == 0.975


def parsed(*words: str) -> TrainConfig:
    return parse_preset(PRESETS, ["demo", *words], "train", without_other_discount)[1]


def test_on_a_command_line_either_form_takes_the_place_of_the_presets() -> None:
    assert PRESETS["demo"][1].ppo.gamma == 0.995
    assert parsed("--ppo.horizon-bars", "100").ppo.discount == 0.99
    assert parsed("--ppo.horizon_bars=100").ppo.discount == 0.99
    assert parsed("--ppo.horizon-bars", "200").dqn == PRESETS["demo"][1].dqn
    assert parsed("--ppo.gamma", "0.5").ppo.discount == 0.5


def test_both_forms_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="one of gamma and horizon_bars"):
        PPOConfig(horizon_bars=50.0)
    assert PPOConfig(gamma=None, horizon_bars=50.0).discount == 0.98
