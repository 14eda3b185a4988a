"""An Optuna study in a folder: its journal, what is asked of it next, and what an interruption has left in it.

The journal is a file; the lock around each write is the kernel's and ends with the process that holds it. A trial that
was interrupted is failed and queued again with its values, its intermediate scores and the runs that it had begun.
"""

import fcntl
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from agents.fields import parse_value
from agents.searching.search_space import Range, SearchSpace
from rl_trader.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

JOURNAL_FILE: Final = "journal.log"
DIGITS: Final = 4  # of sampled numbers that mean something
ROOT: Final = "trial_of_runs"  # attribute: number of the trial whose runs a trial goes on with
STARTUP_TRIALS: Final = 5  # that are never pruned
FIRST_STEP: Final = 2  # evaluation after which the median gives up trials
REDUCTION: Final = 3  # of Hyperband

PrunerName = Literal["median", "hyperband", "none"]


def find_optuna() -> Any:  # noqa: ANN401 - a module
    """Return the module ``optuna``.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise ConfigError(
            "tuning needs the package optuna, which is not installed; type"
            " `pip install -c constraints.txt -e '.[tune]'`"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class _KernelLock:
    """A lock for Optuna's journal that no dead process can hold."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def acquire(self) -> bool:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        os.close(self._file)


def open_study(folder: Path, pruner: PrunerName = "none", num_steps: int = 1) -> "Study":
    """Return the study of a folder, made where there is none.

    Args:
        folder: Of the study.
        pruner: Which trials are given up early.
        num_steps: Intermediate scores of a whole trial.

    Raises:
        ConfigError: If Optuna is not installed.
        CheckpointError: If the journal is damaged.
    """
    optuna = find_optuna()
    path = folder / JOURNAL_FILE
    try:
        backend = optuna.storages.journal.JournalFileBackend(
            str(path), lock_obj=_KernelLock(path.with_name(path.name + ".lock"))
        )
        study: Study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=folder.name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),  # until a trial is asked for
            pruner=_pruner(optuna, pruner, num_steps),
        )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"the study's journal {path} cannot be used: {error}; put it back as it was, or give another --study"
        ) from error
    return study


def mend_journal(folder: Path) -> None:
    """Cut off a last line without an end, which a crash left; no other process may be at work."""
    path = folder / JOURNAL_FILE
    if path.is_file():
        data = path.read_bytes()
        os.truncate(path, data.rfind(b"\n") + 1)


def _pruner(optuna: Any, name: PrunerName, num_steps: int) -> Any:  # noqa: ANN401 - a module and its class
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=FIRST_STEP)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=num_steps, reduction_factor=REDUCTION)
    return optuna.pruners.NopPruner()


def ask(study: "Study", space: SearchSpace, seed: int) -> "FrozenTrial":
    """Return the trial to be played next: one that is queued, or a new one.

    What is sampled depends on the seed and on the trials before it, and not on how often the study was stopped.

    Args:
        study: That is asked.
        space: What is searched.
        seed: Of the study.
    """
    optuna = find_optuna()
    num_asked = len({runs_number(one) for one in study.get_trials(deepcopy=False)})
    drawn = np.random.SeedSequence([seed, num_asked]).generate_state(1)
    study.sampler = optuna.samplers.TPESampler(seed=int(drawn[0]))
    trial = study.ask(fixed_distributions={path: _distribution(path, one) for path, one in space.items()})
    number = trial.number
    return next(one for one in study.get_trials(deepcopy=False) if one.number == number)


def _distribution(path: str, one: Any) -> "BaseDistribution":  # noqa: ANN401 - Range or Choices
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(one, Range):
        return CategoricalDistribution(one.words)
    if isinstance(one.low, int) and isinstance(one.high, int):
        return IntDistribution(one.low, one.high, log=one.log)
    return FloatDistribution(one.low, one.high, log=one.log)


def values_of(trial: "FrozenTrial", space: SearchSpace) -> dict[str, object]:
    """Return the values of a trial's fields, numbers rounded to what means something."""
    return {path: _value(path, trial.params[path], one) for path, one in space.items()}


def _value(path: str, sampled: Any, one: Any) -> object:  # noqa: ANN401 - of any field
    if not isinstance(one, Range):
        return parse_value(path, sampled)
    return sampled if isinstance(sampled, int) else min(max(float(f"{sampled:.{DIGITS}g}"), one.low), one.high)


def runs_number(trial: "FrozenTrial") -> int:
    """Return the number that a trial's runs are named by: its own, or that of the trial that it goes on with."""
    return int(trial.user_attrs.get(ROOT, trial.number))


def requeue(study: "Study") -> int:
    """Fail the trials that are running and queue them again; return how many. No process may be at work on them."""
    optuna = find_optuna()
    state = optuna.trial.TrialState
    stale = study.get_trials(deepcopy=False, states=(state.RUNNING,))
    for trial in stale:
        study.add_trial(
            optuna.trial.create_trial(
                state=state.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={**trial.user_attrs, ROOT: runs_number(trial)},
                system_attrs=dict(trial.system_attrs),
                intermediate_values=trial.intermediate_values,
            )
        )
        study.tell(trial.number, state=state.FAIL)
    return len(stale)


def num_finished(study: "Study") -> int:
    """Return how many trials came to an end: those that were completed and those that were given up early."""
    state = find_optuna().trial.TrialState
    return len(study.get_trials(deepcopy=False, states=(state.COMPLETE, state.PRUNED)))


def num_running(study: "Study") -> int:
    """Return how many trials are being played."""
    return len(study.get_trials(deepcopy=False, states=(find_optuna().trial.TrialState.RUNNING,)))
