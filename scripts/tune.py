"""Tune a preset: ``python -m scripts.tune [PRESET] [--trials 50] [--field value ...]``.

Searches for the values of some fields that earn most on the preset's validation period, with Optuna. The test period is
not loaded. Poor trials are given up early, and every trial is counted in the registry, so that evaluations can say what
the best of so many looks like by luck alone. The same command goes on where it was stopped.

  --study NAME         folder of the study below runs/studies (default: PRESET-ALGORITHM)
  --search FILE        TOML file of what is searched (default: a built-in space; --show-space prints it)
  --show-space         print the built-in space as such a file, to begin with, and do nothing else
  --trials N           trials of the study in all, those given up early among them (default: 50)
  --timeout S          seconds after which no trial is begun
  --seeds N            trainings of a trial, whose scores are averaged (default: 1)
  --pruner P           median (default), hyperband or none: which trials are given up after an evaluation
  --workers N          trials at the same time, each in a process of its own (default: 1)
  --json               print JSON
"""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from agents.fields import command_words
from agents.searching.search_space import BUILT_IN, parse_space, read_space
from scripts._cli import interrupted, run, tell
from scripts._options import typed_command

if TYPE_CHECKING:
    from agents.config import TrainConfig
    from agents.searching.search_space import SearchSpace
    from agents.searching.tune import Tuned

COMMAND = "python -m scripts.tune"
OPTIONS = {
    "--study": str,
    "--search": Path,
    "--show-space": bool,
    "--trials": int,
    "--timeout": float,
    "--seeds": int,
    "--pruner": str,
    "--workers": int,
    "--json": bool,
}


def main() -> int:
    """Tune, or go on."""
    typed = typed_command(__doc__, OPTIONS, COMMAND)
    preset, config, options = typed.preset, typed.config, typed.options
    search: Path | None = options.pop("search", None)
    if options.pop("show_space", False):
        print(BUILT_IN[config.algo], end="")
        return 0
    name = options.pop("study", f"{preset}-{config.algo}")
    is_json, workers = options.pop("json", False), options.pop("workers", 1)

    from agents.searching.tune import TuneConfig, run_study
    from agents.training.interruption import TrainingInterruptedError

    tune = TuneConfig(space=_space(config, search, name), **options)
    try:
        found = run_study(config, tune, name, workers, tell)
    except TrainingInterruptedError:
        return interrupted()
    if is_json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        _print(found, typed.words if typed.words[:1] == [preset] else [preset, *typed.words])
    return 0


def _space(config: "TrainConfig", search: Path | None, name: str) -> "SearchSpace":
    """Return what is searched: what a file says, else what the study was begun with, else the built-in space."""
    from agents.searching.tune import study_space

    if search is not None:
        return read_space(search)
    return study_space(config, name) or parse_space(BUILT_IN[config.algo], "the built-in search space")


def _print(found: "Tuned", words: list[str]) -> None:
    best = found.best
    states: dict[str, int] = {}
    for row in found.rows:
        states[row["state"]] = states.get(row["state"], 0) + 1
    print(f"trials: {', '.join(f'{num} {state}' for state, num in states.items()) or 'none'}")
    if best is None:
        print("no trial was completed; give more --trials, or another --pruner")
        return
    print(f"best: trial {best['number']}, {best['score']:+.2f} a year on the validation period")
    if found.luck is not None:
        print(f"{found.luck.sentence()}; the test period was not looked at")
    print("train it:")
    print(f"  python -m scripts.train {shlex.join([*words, *command_words(found.best_values)])}")
    print(f"trials: {found.folder}/trials.csv; curves: tensorboard --logdir {found.folder}")


if __name__ == "__main__":
    run(main)
