"""Trainings of a second for sweeps and studies, as a user types them."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from agents.config import TrainConfig
from agents.presets import PRESETS
from scripts._overrides import parse_preset

PATIENCE: Final = 900.0  # seconds; a bound, not a wait
TRAIN: Final = ("2020-01-01", "2020-02-01")
VALIDATION: Final = ("2020-02-01", "2020-02-15")
TEST: Final = ("2020-02-15", "2020-03-01")
# PPO updates every 64 bars, and is evaluated after 128, 256 and 384 of them.
TINY: Final = (
    *("--device", "cpu", "--evaluations", "3", "--ppo.total-timesteps", "384", "--ppo.num-envs", "4"),
    *("--ppo.n-steps", "16", "--ppo.batch-size", "32", "--ppo.n-epochs", "1", "--ppo.net-arch", "8"),
    *("--ppo.hold-probability", "0"),  # such short trainings would still hold, and never trade
    *("--market.train", *TRAIN, "--market.validation", *VALIDATION, "--market.test", *TEST),
)


def tiny_config(runs: Path) -> TrainConfig:
    """Return the configuration of these words."""
    _, config = parse_preset(PRESETS, ["demo", *TINY], "test")
    return replace(config, runs=runs)


def wait_for_a_saved_state(folder: Path, process: subprocess.Popen[str], patience: float = PATIENCE) -> None:
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


def stopped_when_saved(command: Sequence[str], folder: Path, cwd: Path, ending: signal.Signals) -> list[Path]:
    """Start a search, end it when a training has saved its state, and return the run folders with such a state.

    Args:
        command: As it is typed.
        folder: Of the sweep or study.
        cwd: Where it is typed.
        ending: Ctrl-C, after which the command must say what goes on, or what leaves it no time to.
    """
    process = subprocess.Popen(command, stderr=subprocess.PIPE, **_options(cwd))
    wait_for_a_saved_state(folder, process)
    process.send_signal(ending)
    _, err = process.communicate(timeout=PATIENCE)  # which ends when the workers have closed it too
    if ending == signal.SIGINT:
        assert process.returncode == 130, err
        assert err.splitlines()[-1] == "interrupted; the same command goes on"
    saved = [path.parent for path in folder.glob("*/resume")]
    assert saved
    return saved


def finished_search(command: Sequence[str], cwd: Path, saved: Sequence[Path]) -> str:
    """Run a search to its end and return what it printed; trainings with a saved state must have gone on from it."""
    process = subprocess.run(command, capture_output=True, check=False, **_options(cwd))
    assert process.returncode == 0, process.stderr
    # They did not begin again: what was played before is in an event file of its own.
    assert all(len(list(run.glob("events.out.tfevents.*"))) == 2 for run in saved)
    return str(process.stdout)


def _options(cwd: Path) -> dict[str, Any]:
    return {"cwd": cwd, "env": os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}, "text": True}
