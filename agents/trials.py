"""The registry of trials: which configurations were looked at on which market and period, so that luck can be counted.

``trials.jsonl`` in the folder of runs is append-only, one JSON object a line. Its scope is a market, an interval and a
period; configurations that differ in nothing but the seed are one trial.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agents.config import TrainConfig, without_other_learners
from agents.run_folder import read_json
from rl_trader.errors import CheckpointError
from rl_trader.honesty import Trials
from rl_trader.report import METRICS_FILE
from rl_trader.serialise import to_chosen
from rl_trader.statistics.overfitting import MIN_CONFIGURATIONS, Overfitting, backtest_overfitting

TRIALS_FILE: Final = "trials.jsonl"
WALK_FORWARD_FILE: Final = "result.json"  # that a walk-forward writes into its folder
_NOT_PART: Final = ("seed", "name", "data", "runs", "device", "callbacks")  # of a configuration that is tried


@dataclass(frozen=True, slots=True)
class Scope:
    """Where trials compete."""

    symbols: tuple[str, ...]
    interval: str
    since: str  # as the configuration has it
    until: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One look at one configuration."""

    scope: Scope
    configuration: str  # hash of all that was chosen, seeds left out
    evaluation: str  # its folder, below the folder of runs
    seed: int
    sharpe: float | None  # of daily returns, not annualised

    def to_json(self) -> dict[str, Any]:
        """Return the line of the registry."""
        return asdict(self)


def configuration_hash(config: TrainConfig, **further: str) -> str:
    """Return a hash of what was chosen: everything but seed, names and folders, and the tested period.

    Args:
        config: Of the run.
        further: What else was chosen, such as which checkpoint.
    """
    chosen = {name: value for name, value in to_chosen(config).items() if name not in _NOT_PART}
    chosen["market"] = {name: value for name, value in chosen["market"].items() if name != "test"}
    chosen = without_other_learners(config, chosen)
    return hashlib.sha256(json.dumps([chosen, further], sort_keys=True).encode()).hexdigest()[:16]


def checkpoint_hash(config: TrainConfig, which: str, facts: Mapping[str, Any]) -> str:
    """Return the hash of a run's checkpoint as a configuration that is tried.

    Args:
        config: Of the run, as its folder has it.
        which: The ``best`` or the ``last`` checkpoint.
        facts: Of the checkpoint.
    """
    return configuration_hash(
        config, checkpoint=which, learner=json.dumps([facts.get("algorithm"), facts.get("learner")])
    )


def register(runs: Path, trial: Trial) -> list[Trial]:
    """Append a trial, unless it is there, and return all of its scope.

    Args:
        runs: Folder of runs.
        trial: What was looked at.

    Raises:
        CheckpointError: If the registry cannot be read or written.
    """
    with _registry(runs / TRIALS_FILE) as file:
        known = _read(file, runs / TRIALS_FILE)
        if trial not in known:
            _append(file, trial, runs / TRIALS_FILE)
            known.append(trial)
    return [other for other in known if other.scope == trial.scope]


def trials_of(runs: Path) -> list[Trial]:
    """Return every registered trial, in the order of registration.

    Raises:
        CheckpointError: If the registry is damaged.
    """
    path = runs / TRIALS_FILE
    if not path.is_file():
        return []
    with _registry(path) as file:
        return _read(file, path)


def count_trials(trials: Sequence[Trial]) -> Trials:
    """Return how many configurations were tried in a scope, and how their Sharpe ratios vary, seeds averaged."""
    means = list(mean_sharpes(trials).values())
    return Trials(len(means), float(np.std(means, ddof=1)) if len(means) > 1 else 0.0)


def mean_sharpes(trials: Sequence[Trial]) -> dict[str, float]:
    """Return the mean Sharpe ratio of each configuration's trials, 0 for those that have none."""
    return {
        configuration: float(np.mean([trial.sharpe or 0.0 for trial in of_seeds]))
        for configuration, of_seeds in _by_configuration(trials).items()
    }


def overfitting_of(
    runs: Path, trials: Sequence[Trial], unwritten: Mapping[str, NDArray[np.float64]]
) -> Overfitting | None:
    """Return the probability of overfitting among the configurations of a scope; None where they are too few.

    A configuration's returns are the mean of its seeds'. Those whose evaluation is gone or has other days are left out.

    Args:
        runs: Folder of runs.
        trials: Of one scope; their evaluations are read.
        unwritten: Daily returns of evaluations that are not written yet, by their folder below ``runs``.
    """
    by_configuration = _by_configuration(trials)
    if len(by_configuration) < MIN_CONFIGURATIONS:
        return None
    columns = [_daily_returns(runs, of_seeds, unwritten) for of_seeds in by_configuration.values()]
    lengths = [len(column) for column in columns if column is not None]
    if not lengths:
        return None
    usual = max(set(lengths), key=lengths.count)
    table = [column for column in columns if column is not None and len(column) == usual]
    return backtest_overfitting(np.stack(table, axis=1))


def _by_configuration(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.configuration, []).append(trial)
    return found


def _daily_returns(
    runs: Path, trials: Sequence[Trial], unwritten: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64] | None:
    """Return the mean daily returns (num_days,) of a configuration's evaluations; None where none is there."""
    series = []
    for trial in trials:
        if trial.evaluation in unwritten:
            series.append(unwritten[trial.evaluation])
            continue
        for path in (runs / trial.evaluation / name for name in (METRICS_FILE, WALK_FORWARD_FILE)):
            if path.is_file():
                found = read_json(path).get("honesty") or {}
                series.append(np.array(found.get("daily_returns", []), np.float64))
    whole = [returns for returns in series if len(returns) == len(series[0])]
    mean: NDArray[np.float64] | None = np.mean(whole, axis=0) if whole else None
    return mean


@contextmanager
def _registry(path: Path) -> Iterator[int]:
    """Yield the open registry while no other process has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise CheckpointError(f"the registry of trials {path} cannot be opened: {error}; make it writable") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _read(file: int, path: Path) -> list[Trial]:
    """Return the trials; a last line without an end, which a crash left, is cut off."""
    data = os.pread(file, os.fstat(file).st_size, 0)
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.ftruncate(file, whole)
    trials = []
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            found = json.loads(line)
            scope = Scope(**{**found["scope"], "symbols": tuple(found["scope"]["symbols"])})
            trials.append(Trial(**{**found, "scope": scope}))
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"line {number} of {path} is no trial: {error}; put the file back as it was, or move it away and"
                " know that what was tried is forgotten"
            ) from error
    return trials


def _append(file: int, trial: Trial, path: Path) -> None:
    try:
        os.write(file, json.dumps(trial.to_json()).encode() + b"\n")
        os.fsync(file)
    except OSError as error:
        raise CheckpointError(f"the registry of trials {path} cannot be written: {error}; free space") from error
