"""A sweep: every combination of a grid's values, trained with several seeds and on several folds, in one table.

The preset's test period is in none of it: without folds a cell is scored on the preset's validation period; with folds
the time before the test is cut as a walk-forward cuts it, and a cell is scored on what follows its validation. The
folder holds ``plan.json``, a run folder for every cell, ``cells.csv``, ``configurations.csv`` and ``result.json``. What
is there is not done again, and the grid and the seeds may grow.
"""

import csv
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from agents.config import MarketConfig, TrainConfig
from agents.fields import configured, parse_value, search_field, value_words
from agents.run_folder import RunFolder, check_folder_name, write_json
from agents.searching.searches import Look, Luck, alone_in, judge_best, keep_plan, label_of, register_look
from agents.trials import Scope, Trial, checkpoint_hash, configuration_hash
from agents.walking.cells import Cell
from agents.walking.walk_forward import WalkForwardConfig, make_plan
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.observed_market import schema_warmup
from rl_trader.statistics.seeds import interquartile_mean, seeds_interval

CELLS_FILE: Final = "cells.csv"
CONFIGURATIONS_FILE: Final = "configurations.csv"
RESULT_FILE: Final = "result.json"
FIGURES: Final = ("log_growth", "total_return", "sharpe", "max_drawdown", "turnover", "exposure", "liquidations")
MAX_CELLS: Final = 100_000

Play = Callable[[Sequence[Cell]], Iterator[tuple[Cell, dict[str, Any]]]]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepConfig:
    """What is trained."""

    grid: Mapping[str, tuple[object, ...]]  # values of fields by path; their combinations are the configurations
    seeds: int = 3
    folds: int = 0  # 0 for the preset's own periods
    scheme: Literal["anchored", "rolling"] = "anchored"
    holding_bars: int = 48  # added to the longest feature window, the purge between two periods

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.folds < 0:
            raise ConfigError(
                f"a sweep needs at least one seed and no negative number of folds, found {self.seeds} and"
                f" {self.folds}; change them"
            )


@dataclass(frozen=True, slots=True)
class Configuration:
    """One combination of the grid."""

    label: str
    values: dict[str, object]
    config: TrainConfig


@dataclass(frozen=True, slots=True)
class _Fold:
    market: MarketConfig
    scored: tuple[str, str]
    suffix: str  # of the runs' names


@dataclass(frozen=True, slots=True)
class Sweep:
    """A finished sweep."""

    folder: Path
    rows: list[dict[str, Any]]  # one a cell
    summaries: list[dict[str, Any]]  # one a configuration, the best interquartile mean first
    luck: Luck

    def to_json(self) -> dict[str, Any]:
        """Return all figures."""
        return {"configurations": self.summaries, "cells": self.rows, "luck": self.luck.to_json()}


def parse_grid(settings: Sequence[str]) -> dict[str, tuple[object, ...]]:
    """Return the values of a grid.

    Args:
        settings: As ``ppo.gamma=0.98,0.99``; values of several words, as layers, are separated by blanks.

    Raises:
        ConfigError: If a field or a value cannot be used, or is named twice.
    """
    grid: dict[str, tuple[object, ...]] = {}
    for setting in settings:
        name, equals, listed = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set needs a field and its values, as ppo.gamma=0.98,0.99, was {setting!r}; change it")
        path = search_field(name)
        values = tuple(parse_value(path, text) for text in listed.split(","))
        if path in grid or len({value_words(value) for value in values}) != len(values):
            raise ConfigError(f"--set names {path} or one of its values twice; name each once")
        grid[path] = values
    return grid


def configurations_of(config: TrainConfig, grid: Mapping[str, tuple[object, ...]]) -> list[Configuration]:
    """Return every combination of a grid's values, the last field changing fastest.

    Raises:
        ConfigError: If a combination cannot be used, or they are too many.
    """
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    found = []
    for values in combinations:
        label = label_of(values)
        try:
            found.append(Configuration(label, values, configured(config, values)))
        except ConfigError as error:
            raise ConfigError(f"the grid has {label}, which cannot be trained: {error}") from None
    return found


def cells_of(config: TrainConfig, sweep: SweepConfig, name: str) -> list[tuple[Configuration, list[Cell]]]:
    """Return the cells of every configuration, by fold and seed.

    Args:
        config: Whose fields the grid changes.
        sweep: What is trained.
        name: Of the folder in ``config.runs``.

    Raises:
        ConfigError: If a configuration cannot be used, or the folds do not fit into the time.
    """
    num = math.prod(len(values) for values in sweep.grid.values()) * sweep.seeds * max(sweep.folds, 1)
    if num > MAX_CELLS:
        raise ConfigError(
            f"the sweep has {num:,} trainings, more than {MAX_CELLS:,}; give fewer values, seeds or folds"
        )
    configurations = configurations_of(config, sweep.grid)
    folds = _folds(max((one.config for one in configurations), key=_warmup), sweep)
    recorded = replace(folds[0].market, test=folds[-1].scored)
    seeds = [config.seed + seed for seed in range(sweep.seeds)]

    def cell(one: Configuration, fold: _Fold, seed: int) -> Cell:
        run = f"{one.label}{fold.suffix}-seed_{seed}"
        periods = {name: getattr(fold.market, name) for name in ("train", "validation", "test")}
        market = replace(one.config.market, **periods)
        own = replace(one.config, runs=config.runs / name, name=run, seed=seed, market=market)
        return Cell(config=own, scored=fold.scored, recorded=recorded)

    return [(one, [cell(one, fold, seed) for fold in folds for seed in seeds]) for one in configurations]


def _warmup(config: TrainConfig) -> int:
    return schema_warmup(config.env.schema)


def _folds(config: TrainConfig, sweep: SweepConfig) -> list[_Fold]:
    market = config.market
    if not sweep.folds:
        return [_Fold(market, market.validation, "")]
    walk = WalkForwardConfig(
        folds=sweep.folds, seeds=sweep.seeds, scheme=sweep.scheme, holding_bars=sweep.holding_bars, holdout=0.0
    )
    before_test = replace(config, market=replace(market, test=market.validation))
    plan = make_plan(before_test, walk)
    return [
        _Fold(replace(market, **dates), dates["test"], f"-fold_{number}")  # type: ignore[arg-type]  # dates by name
        for number, dates in enumerate(plan.folds)
    ]


def run_sweep(config: TrainConfig, sweep: SweepConfig, name: str, play: Play, report: Report) -> Sweep:
    """Train and score whatever of a sweep is not done yet, and write its tables.

    Args:
        config: Whose fields the grid changes.
        sweep: What is trained.
        name: Of the folder in ``config.runs``.
        play: Yields cells with their scores, in any order.
        report: Called with a line about every cell.

    Raises:
        RlTraderError: If configuration, data or folder cannot be used.
        TrainingInterruptedError: If Ctrl-C was pressed; the same call goes on.
    """
    check_folder_name(name)
    cells = cells_of(config, sweep, name)
    folder = config.runs / name
    with alone_in(folder):
        keep_plan(folder, {"configuration": configuration_hash(config), "periods": _periods(cells, sweep)}, "sweep")
        scores, looks, trials = _played(config, sweep, name, cells, play, report)
        rows = [_row(one, cell, scores[cell.folder]) for one, own in cells for cell in own]
        summaries = [_summary(one, [scores[cell.folder]["log_growth"] for cell in own], sweep) for one, own in cells]
        summaries.sort(key=lambda summary: -summary["interquartile_mean"])
        best = looks[summaries[0]["configuration"]]
        found = Sweep(folder, rows, summaries, judge_best(config.runs, trials, list(looks.values()), best))
        _write(found)
        return found


def _played(
    config: TrainConfig,
    sweep: SweepConfig,
    name: str,
    cells: list[tuple[Configuration, list[Cell]]],
    play: Play,
    report: Report,
) -> tuple[dict[Path, dict[str, Any]], dict[str, Look], list[Trial]]:
    """Return every cell's score by its folder, every configuration's look by its label, and all trials of the scope."""
    wanted = [cell for _, own in cells for cell in own]
    of_cell = {cell.folder: (one, own) for one, own in cells for cell in own}
    scores: dict[Path, dict[str, Any]] = {}
    looks: dict[str, Look] = {}
    trials: list[Trial] = []
    for cell, score in play(wanted):
        scores[cell.folder] = score
        report(f"{cell.config.name}: {score['log_growth']:+.2f} a year ({len(scores)} of {len(wanted)})")
        one, own = of_cell[cell.folder]
        if all(other.folder in scores for other in own):
            looks[one.label] = _look(one, own, scores, sweep, name)
            scope = Scope(config.market.symbols, config.market.interval, own[0].scored[0], own[-1].scored[1])
            trials = register_look(config.runs, scope, looks[one.label], config.seed)
    return scores, looks, trials


def _periods(cells: list[tuple[Configuration, list[Cell]]], sweep: SweepConfig) -> list[list[tuple[str, str]]]:
    of_folds = cells[0][1][:: sweep.seeds]
    return [[cell.config.market.train, cell.config.market.validation, cell.scored] for cell in of_folds]


def _look(
    one: Configuration, own: list[Cell], scores: Mapping[Path, dict[str, Any]], sweep: SweepConfig, name: str
) -> Look:
    """Return what a configuration showed: without folds it is the look that ``scripts.evaluate`` would take."""
    daily = [np.array(scores[cell.folder]["daily_returns"], np.float64) for cell in own]
    folds = [np.mean(daily[begin : begin + sweep.seeds], axis=0) for begin in range(0, len(daily), sweep.seeds)]
    digest = configuration_hash(one.config, learner="agent")
    if not sweep.folds:
        run = RunFolder.open(own[0].folder)
        digest = checkpoint_hash(run.config(), "best", run.checkpoint("best").facts)
    return Look(digest, f"{name}/{one.label}", np.concatenate(folds))


def _row(one: Configuration, cell: Cell, score: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "configuration": one.label,
        **{path: value_words(value) for path, value in one.values.items()},
        "seed": cell.config.seed,
        "since": cell.scored[0],
        "until": cell.scored[1],
        **{name: score[name] for name in FIGURES},
        "run": str(cell.folder),
    }


def _summary(one: Configuration, scores: list[float], sweep: SweepConfig) -> dict[str, Any]:
    folds = [np.array(scores[begin : begin + sweep.seeds]) for begin in range(0, len(scores), sweep.seeds)]
    interval = seeds_interval(folds)
    return {
        "configuration": one.label,
        **{path: value_words(value) for path, value in one.values.items()},
        "trainings": len(scores),
        "interquartile_mean": float(interquartile_mean(np.array(scores))),
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "mean": float(np.mean(scores)),
        "worst": min(scores),
    }


def _write(sweep: Sweep) -> None:
    try:
        for file, rows in ((CELLS_FILE, sweep.rows), (CONFIGURATIONS_FILE, sweep.summaries)):
            with (sweep.folder / file).open("w", newline="") as opened:
                writer = csv.DictWriter(opened, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        write_json(sweep.folder / RESULT_FILE, sweep.to_json())
    except OSError as error:
        raise CheckpointError(f"{sweep.folder} cannot be written: {error}; free space and go on") from error
