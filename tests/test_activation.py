"""What lies between the layers of a network."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from agents.config import PPOConfig
from agents.training.run import new_run
from rl_trader.errors import ConfigError
from tests.small_runs import small_config


@pytest.mark.parametrize(("activation", "is_odd"), [("tanh", True), ("relu", False)])
def test_a_new_network_of_tanh_is_an_odd_function(
    activation: Literal["tanh", "relu"], is_odd: bool, tmp_path: Path
) -> None:
    config = small_config(tmp_path, activation, "ppo")
    run = new_run(replace(config, ppo=replace(config.ppo, activation=activation)), "demo")
    policy = run.model.policy
    observations = torch.rand(64, *run.env.observation_space.shape)  # type: ignore[misc]
    run.log.close()
    with torch.inference_mode():
        plus, minus = (policy.mlp_extractor.forward_actor(sign * observations) for sign in (1, -1))  # type: ignore[operator,union-attr]
    assert torch.allclose(plus, -minus, atol=1e-6) is is_odd


def test_an_activation_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose tanh or relu"):
        PPOConfig(activation="gelu")  # type: ignore[arg-type]
