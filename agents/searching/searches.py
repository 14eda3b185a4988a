"""What searches among configurations share: their folder, how a configuration is called, and how many looks were taken.

A search scores configurations on a period that their checkpoints were chosen on, or on folds before the test. Each is a
trial of that period's scope in the registry, so that what the best of many looks like by luck alone can be said.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.fields import value_words
from agents.run_folder import read_json, write_json
from agents.trials import Scope, Trial, count_trials, overfitting_of, register
from rl_trader.errors import ConfigError
from rl_trader.honesty import Trials, judge_returns
from rl_trader.statistics.overfitting import Overfitting
from rl_trader.statistics.sharpe import sharpe_ratio

PLAN_FILE: Final = "plan.json"
LOCK_FILE: Final = "lock"
MAX_LABEL: Final = 100  # characters


@dataclass(frozen=True, slots=True)
class Look:
    """What a configuration showed, the seeds averaged."""

    configuration: str  # hash
    evaluation: str  # its folder, below the folder of runs
    daily_returns: NDArray[np.float64]  # (num_days,)


@dataclass(frozen=True, slots=True)
class Luck:
    """What luck alone explains of the best of a search."""

    trials: Trials  # on the same market and period, of this search and of others
    deflated_sharpe: float | None  # how sure the best one's ratio is above that of the best without skill
    overfitting: Overfitting | None  # None where the configurations are too few

    def to_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "num_trials": self.trials.num,
            "deflated_sharpe": self.deflated_sharpe,
            "overfitting": None if self.overfitting is None else self.overfitting.to_json(),
        }

    def sentence(self) -> str:
        """Return the figures in words."""
        said = f"configurations tried on this market and period so far: {self.trials.num}"
        if self.deflated_sharpe is not None:
            said += f"; {self.deflated_sharpe:.0%} sure that the best is better than luck among so many"
        if self.overfitting is not None:
            said += f"; probability of overfitting {self.overfitting.probability:.0%}"
        return said


def register_look(runs: Path, scope: Scope, look: Look, seed: int) -> list[Trial]:
    """Count a configuration as tried, and return all trials of its scope.

    Args:
        runs: Folder of runs.
        scope: Where it was scored.
        look: What was seen.
        seed: The first of its seeds.

    Raises:
        CheckpointError: If the registry cannot be read or written.
    """
    ratio = sharpe_ratio(look.daily_returns)
    sharpe = None if ratio is None else ratio.ratio
    return register(runs, Trial(scope, look.configuration, look.evaluation, seed, sharpe))


def judge_best(runs: Path, trials: Sequence[Trial], looks: Sequence[Look], best: Look) -> Luck:
    """Return what luck alone explains.

    Args:
        runs: Folder of runs.
        trials: All of the scope.
        looks: Those of this search.
        best: The one that is going to be believed.
    """
    counted = count_trials(trials)
    returns = {look.evaluation: look.daily_returns for look in looks}
    deflated = judge_returns(best.daily_returns, {}, counted).deflated
    return Luck(counted, deflated, overfitting_of(runs, trials, returns))


def label_of(values: Mapping[str, object]) -> str:
    """Return the name of a configuration by the fields that it has of its own, fit for a folder."""
    texts = [f"{path.rpartition('.')[2]}={value_words(value).replace(' ', 'x')}" for path, value in values.items()]
    said = ",".join(texts) or "base"
    plain = re.sub(r"[^A-Za-z0-9_.=,+-]", "_", said)
    names = {path.rpartition(".")[2] for path in values}
    if plain == said and len(plain) <= MAX_LABEL and len(names) == len(values):
        return plain
    digest = hashlib.sha256(json.dumps({path: value_words(value) for path, value in values.items()}).encode())
    return f"{plain[:MAX_LABEL]}-{digest.hexdigest()[:8]}"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a search's folder, and be its only process until the end.

    Raises:
        ConfigError: If it cannot be made, or another process is at work in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error}; choose another --runs") from error
    try:
        _lock(lock, folder)
        yield
    finally:
        os.close(lock)


def _lock(file: int, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"another process is at work in {folder}; wait for it, or give another name") from None


def keep_plan(folder: Path, wanted: Mapping[str, Any], kind: str, further: Mapping[str, Any] | None = None) -> None:
    """Write what must not change under way, or refuse what differs from it.

    Args:
        folder: Of the search or walk-forward.
        wanted: JSON values by what they are.
        kind: What the folder is, for the message.
        further: Written too, and not compared.

    Raises:
        ConfigError: If the folder has another plan, or cannot be written.
    """
    path = folder / PLAN_FILE
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(path, {**wanted, **(further or {})})
        except OSError as error:
            raise ConfigError(f"{folder} cannot be made: {error}; choose another --runs") from error
        return
    found, plain = read_json(path), json.loads(json.dumps(wanted))  # JSON has lists for tuples
    different = [key for key in plain if found.get(key) != plain[key]]
    if different:
        raise ConfigError(
            f"{folder} is another {kind}: its {' and '.join(different)} differ; give another name, or the same options"
            " to go on"
        )
