"""Trainings of a second for sweeps and studies, as a user types them."""

import subprocess
import time
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


def wait_for_a_saved_state(folder: Path, process: subprocess.Popen[str], patience: float = 900.0) -> None:
    """Wait until a run in a search's folder has saved its state; a process that does not get there is ended.

    Args:
        folder: Of the sweep or study.
        process: That is at work on it.
        patience: Seconds; a bound, not a wait.
    """
    end = time.monotonic() + patience
    while not list(folder.glob("*/resume")):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            raise AssertionError(process.communicate())
        time.sleep(0.02)
