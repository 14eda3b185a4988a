"""Trainings of a second for sweeps and studies, as a user types them."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from agents.config import TrainConfig
from agents.presets import PRESETS
from scripts._overrides import parse_preset

TRAIN: Final = ("2020-01-01", "2020-02-01")
VALIDATION: Final = ("2020-02-01", "2020-02-15")
TEST: Final = ("2020-02-15", "2020-03-01")
# PPO updates every 64 bars, and is evaluated after 128, 256 and 384 of them.
TINY: Final = (
    *("--device", "cpu", "--evaluations", "3", "--ppo.total-timesteps", "384", "--ppo.num-envs", "4"),
    *("--ppo.n-steps", "16", "--ppo.batch-size", "32", "--ppo.n-epochs", "1", "--ppo.net-arch", "8"),
    *("--market.train", *TRAIN, "--market.validation", *VALIDATION, "--market.test", *TEST),
)


def tiny_config(runs: Path) -> TrainConfig:
    """Return the configuration of these words."""
    _, config = parse_preset(PRESETS, ["demo", *TINY], "test")
    return replace(config, runs=runs)
