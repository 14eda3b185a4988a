"""Tuning: trials of a search space, scored on the validation period, the poor ones given up early, all counted.

The test period is not loaded. The study's folder, ``studies/NAME`` below the folder of runs, holds ``plan.json``,
Optuna's ``journal.log``, a run for every trial and seed, what every trial showed (``trial_<number>.json``),
``trials.csv`` and ``best.json``. The same command goes on where it was stopped, within a training too.
"""

import csv
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from agents.config import TrainConfig
from agents.fields import command_words, configured, parse_value, value_words
from agents.pool import run_tasks
from agents.run_folder import RunFolder, check_folder_name, read_json, write_json
from agents.searching.search_space import SearchSpace, space_from_json, space_json
from agents.searching.searches import PLAN_FILE, Look, Luck, alone_in, judge_best, keep_plan, register_look
from agents.searching.study import (
    PrunerName,
    ask,
    find_optuna,
    mend_journal,
    num_finished,
    num_running,
    open_study,
    requeue,
    runs_number,
    values_of,
)  # fmt: skip
from agents.training.run import TrainingRun
from agents.training.training_log import DivergedError
from agents.trials import Scope, checkpoint_hash, configuration_hash, trials_of
from agents.walking.cells import RUINED, Cell, StoppedError, cell_recording, covering, play_cell, score_checkpoint
from rl_trader.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

STUDIES_FOLDER: Final = "studies"  # below the folder of runs
TRIALS_FILE: Final = "trials.csv"
BEST_FILE: Final = "best.json"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """What is searched, and for how long."""

    space: SearchSpace
    trials: int = 50  # of the study in all, those that were given up early among them
    timeout: float | None = None  # seconds after which no trial is begun
    seeds: int = 1  # trainings of a trial, whose scores are averaged
    pruner: PrunerName = "median"

    def __post_init__(self) -> None:
        if self.trials < 1 or self.seeds < 1:
            raise ConfigError(
                f"a study needs at least one trial and one seed, found {self.trials} and {self.seeds}; change them"
            )
        if self.timeout is not None and not self.timeout > 0.0:
            raise ConfigError(f"--timeout must be a positive number of seconds, was {self.timeout}; change it")
        if self.pruner not in ("median", "hyperband", "none"):
            raise ConfigError(f"--pruner must be median, hyperband or none, was {self.pruner!r}; choose one")


@dataclass(frozen=True, slots=True)
class TrialTask:
    """A trial to be played by any process."""

    study: Path  # folder
    number: int
    trial_id: int  # of Optuna's storage
    values: dict[str, object]
    cells: tuple[Cell, ...]  # one a seed
    pruner: PrunerName
    told: tuple[int, ...]  # steps whose scores the study has from before an interruption

    @property
    def evaluations(self) -> int:
        """Return the number of evaluations of a training."""
        return self.cells[0].config.evaluations


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial showed."""

    state: Literal["complete", "pruned", "diverged"]
    score: float | None  # log growth a year on the validation period; None where nothing can be said
    daily_returns: list[float]  # the seeds averaged; empty likewise
    configuration: str | None  # hash
    sentence: str = ""  # why it was given up


@dataclass(frozen=True, slots=True)
class Tuned:
    """A study's state of affairs."""

    folder: Path
    rows: list[dict[str, Any]]  # one a trial, the best first
    luck: Luck | None  # None before the first trial that was completed

    @property
    def best(self) -> dict[str, Any] | None:
        """Return the best of the completed trials."""
        return next((row for row in self.rows if row["state"] == "complete"), None)

    def to_json(self) -> dict[str, Any]:
        """Return all figures."""
        return {
            "best": self.best,
            "arguments": command_words(self.best_values),
            "luck": None if self.luck is None else self.luck.to_json(),
            "trials": self.rows,
        }

    @property
    def best_values(self) -> dict[str, object]:
        """Return the best configuration's fields by path."""
        if self.best is None:
            return {}
        return {path: parse_value(path, words) for path, words in self.best["values"].items()}


def study_space(config: TrainConfig, name: str) -> SearchSpace | None:
    """Return what a study that was begun searches, or None where there is none."""
    path = config.runs / STUDIES_FOLDER / name / PLAN_FILE
    return space_from_json(read_json(path)["space"]) if path.is_file() else None


def run_study(config: TrainConfig, tune: TuneConfig, name: str, workers: int, report: Report) -> Tuned:
    """Play the trials that a study lacks, and write what it found.

    Args:
        config: Whose fields are searched.
        tune: What is searched, and for how long.
        name: Of the study.
        workers: Trials at the same time.
        report: Called with a line about every trial.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed; the same call goes on.
    """
    check_folder_name(name)
    find_optuna()
    folder = config.runs / STUDIES_FOLDER / name
    with alone_in(folder):
        plan = {
            "configuration": configuration_hash(config),
            "seeds": [config.seed, tune.seeds],
            "space": space_json(tune.space),
        }
        keep_plan(folder, plan, "study")
        mend_journal(folder)
        study = open_study(folder)
        if requeue(study):
            report("goes on with what was interrupted")
        try:
            for task, outcome in run_tasks(play_trial, _tasks(study, config, tune, folder, report), workers):
                _keep(study, task, outcome, config)
                report(_line(task.number, outcome.state, outcome.score, outcome.sentence))
        finally:
            requeue(study)
        return _found(folder, config)


def _tasks(study: "Study", config: TrainConfig, tune: TuneConfig, folder: Path, report: Report) -> Iterator[TrialTask]:
    """Yield the trials that are to be played; what cannot be trained at all is given up here."""
    end = time.monotonic() + (tune.timeout or math.inf)
    while num_finished(study) + num_running(study) < tune.trials and time.monotonic() < end:
        trial = ask(study, tune.space, config.seed)
        values = values_of(trial, tune.space)
        try:
            chosen = configured(config, values)
        except ConfigError as error:
            study.tell(trial.number, state=find_optuna().trial.TrialState.PRUNED)
            report(_line(trial.number, "refused", None, str(error)))
            continue
        name = f"trial_{runs_number(trial):04d}"
        scored = config.market.validation
        cells = tuple(
            Cell(
                config=replace(chosen, runs=folder, name=f"{name}-seed_{seed}", seed=seed),
                scored=scored,
                recorded=covering(config.market, scored),
            )
            for seed in range(config.seed, config.seed + tune.seeds)
        )
        yield TrialTask(
            folder, trial.number, trial._trial_id, values, cells, tune.pruner, tuple(trial.intermediate_values)
        )


def _line(number: int, state: str, score: float | None, sentence: str) -> str:
    figure = "" if score is None else f" {score:+.2f} a year"
    return f"trial {number}: {state}{figure}" + (f" ({sentence})" if sentence else "")


# ---- A trial, in a process of its own


def play_trial(task: TrialTask) -> Outcome:
    """Train a trial's seeds one after the other, and tell the study how they fare."""
    num_steps = task.evaluations * len(task.cells)
    study = open_study(task.study, task.pruner, num_steps)
    reporter = _Reporter(find_optuna().trial.Trial(study, task.trial_id), task)
    scores = []
    try:
        for cell in task.cells:
            scores.append(play_cell(cell, watch=reporter))
            reporter.finished.append(scores[-1]["log_growth"])
    except StoppedError:
        best = RunFolder.open(cell.folder).checkpoint("best")
        scores.append(score_checkpoint(best, cell_recording(cell).market, cell.scored))
        return _outcome("pruned", task, scores)
    except DivergedError as error:
        return Outcome("diverged", None, [], None, str(error))
    return _outcome("complete", task, scores)


def _outcome(state: Literal["complete", "pruned"], task: TrialTask, scores: list[dict[str, Any]]) -> Outcome:
    run = RunFolder.open(task.cells[0].folder)
    return Outcome(
        state,
        float(np.mean([score["log_growth"] for score in scores])),
        np.mean([score["daily_returns"] for score in scores], axis=0).tolist(),
        checkpoint_hash(run.config(), "best", run.checkpoint("best").facts),
    )


class _Reporter:
    """Tells a study every evaluation, as the mean of the seeds' best scores so far, and asks whether to give up."""

    def __init__(self, trial: "Trial", task: TrialTask) -> None:
        self._trial = trial
        self._evaluations = task.evaluations
        self._told = set(task.told)
        self.finished: list[float] = []

    def __call__(self, run: TrainingRun) -> None:
        num = run.progress.num_evaluations
        step = len(self.finished) * self._evaluations + num
        if num == 0 or step in self._told:
            return
        self._told.add(step)
        self._trial.report(float(np.mean([*self.finished, max(run.progress.best_score, RUINED)])), step)
        if num < self._evaluations and self._trial.should_prune():
            raise StoppedError


# ---- What was found


def _keep(study: "Study", task: TrialTask, outcome: Outcome, config: TrainConfig) -> None:
    """Write what a trial showed, count it, and tell the study: in this order, so that a crash loses nothing."""
    state = find_optuna().trial.TrialState
    evaluation = f"{STUDIES_FOLDER}/{task.study.name}/{_name(task)}"
    words = {path: value_words(value) for path, value in task.values.items()}
    try:
        write_json(
            task.study / f"{_name(task)}.json",
            {
                "number": task.number,
                "values": words,
                "runs": [str(cell.folder) for cell in task.cells],
                **asdict(outcome),
            },
        )
    except OSError as error:
        raise CheckpointError(f"{task.study} cannot be written: {error}; free space and go on") from error
    if outcome.configuration is not None:
        look = Look(outcome.configuration, evaluation, np.array(outcome.daily_returns, np.float64))
        register_look(config.runs, _scope(config), look, config.seed)
    is_complete = outcome.state == "complete"
    study.tell(task.number, outcome.score if is_complete else None, state.COMPLETE if is_complete else state.PRUNED)


def _name(task: TrialTask) -> str:
    assert task.cells[0].config.name is not None
    return task.cells[0].config.name.partition("-")[0]


def _scope(config: TrainConfig) -> Scope:
    return Scope(config.market.symbols, config.market.interval, *config.market.validation)


def _found(folder: Path, config: TrainConfig) -> Tuned:
    kept = {path.stem: read_json(path) for path in sorted(folder.glob("trial_*.json"))}
    looks = {
        name: Look(one["configuration"], f"{STUDIES_FOLDER}/{folder.name}/{name}", np.array(one["daily_returns"]))
        for name, one in kept.items()
        if one["configuration"] is not None
    }
    scores = {name: RUINED if row["score"] is None else row["score"] for name, row in kept.items()}
    order = sorted(kept, key=lambda name: (kept[name]["state"] != "complete", -scores[name]))
    columns = ("number", "state", "score", "values", "runs", "sentence")
    rows = [{column: kept[name][column] for column in columns} for name in order]
    luck = None
    if rows and rows[0]["state"] == "complete":
        trials = [trial for trial in trials_of(config.runs) if trial.scope == _scope(config)]
        luck = judge_best(config.runs, trials, list(looks.values()), looks[order[0]])
    found = Tuned(folder, rows, luck)
    _write(found)
    return found


def _write(found: Tuned) -> None:
    best = {key: value for key, value in found.to_json().items() if key != "trials"}
    flat = [{**{key: row[key] for key in ("number", "state", "score")}, **row["values"]} for row in found.rows]
    try:
        write_json(found.folder / BEST_FILE, best)
        with (found.folder / TRIALS_FILE).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(flat[0]) if flat else ["number"])
            writer.writeheader()
            writer.writerows(flat)
    except OSError as error:
        raise CheckpointError(f"{found.folder} cannot be written: {error}; free space and go on") from error
