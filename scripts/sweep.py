"""Sweep over a grid: ``python -m scripts.sweep [PRESET] --set ppo.gamma=0.98,0.99 [--set ...] [--field value ...]``.

Trains every combination of the values with several seeds, scores each training, and writes a table of all of them and
one of the configurations. The test period of the preset is in none of it. The same command goes on where it was
stopped, and more values or seeds train what is missing.

  --set FIELD=V,V      values of a field; repeat it for a grid. Values of several words, as layers, in quotes, as in
                       --set "ppo.net-arch=32 32,64 64"
  --seeds N            trainings of every configuration and fold (default: 3)
  --folds N            cut the time before the test into N folds, as scripts.walk_forward does; without it the preset's
                       own periods are used, and a training is scored on the validation period
  --scheme S           of the folds: anchored (default) or rolling
  --holding-bars N     added to the longest feature window: the purge between two periods of a fold (default: 48)
  --workers N          trainings at the same time, each in a process of its own (default: 1)
  --ray ADDRESS        train on a Ray cluster instead: its address, auto for the one that runs on this machine, or local
                       to start one for this command
  --json               print JSON
"""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rl_trader.errors import ConfigError
from scripts._cli import interrupted, run, tell, wide_console
from scripts._options import typed_command

if TYPE_CHECKING:
    from agents.searching.sweep import Sweep
    from agents.walking.cells import Cell

COMMAND = "python -m scripts.sweep"
OPTIONS = {
    "--set": list,
    "--seeds": int,
    "--folds": int,
    "--scheme": str,
    "--holding-bars": int,
    "--workers": int,
    "--ray": str,
    "--json": bool,
}


def main() -> int:
    """Sweep, or go on."""
    typed = typed_command(__doc__, OPTIONS, COMMAND)
    options, config = typed.options, typed.config
    _check(options)

    from agents.searching.sweep import SweepConfig, parse_grid, run_sweep
    from agents.training.interruption import TrainingInterruptedError

    is_json, workers, address = (options.pop(name, None) for name in ("json", "workers", "ray"))
    sweep = SweepConfig(grid=parse_grid(options.pop("set")), **options)
    name = config.name or f"sweep-{typed.preset}-{config.algo}"

    def play(cells: "Sequence[Cell]") -> "Iterator[tuple[Cell, dict[str, Any]]]":
        if address is not None:
            from agents.searching.on_ray import play_on_ray

            return play_on_ray(cells, address)
        from agents.pool import run_tasks
        from agents.walking.cells import play_cell

        return run_tasks(play_cell, cells, 1 if workers is None else workers)

    try:
        with contextlib.redirect_stdout(sys.stderr):  # Ray says on it what happens to its nodes
            found = run_sweep(config, sweep, name, play, tell)
    except TrainingInterruptedError:
        return interrupted()
    if is_json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        _print(found, name)
    return 0


def _check(options: dict[str, Any]) -> None:
    if "set" not in options:
        raise ConfigError(f"a sweep needs values, as `{COMMAND} demo --set ppo.gamma=0.98,0.99`; give --set")
    if {"scheme", "holding_bars"} & options.keys() and not options.get("folds"):
        raise ConfigError("--scheme and --holding-bars are of folds; give --folds too")
    if "ray" in options and "workers" in options:
        raise ConfigError(
            "--workers is of this machine, and --ray of a cluster, whose processors say how many; give one"
        )


def _print(found: "Sweep", name: str) -> None:
    from rich import box
    from rich.table import Table

    table = Table(title=f"{name}: log growth a year, best first", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("configuration")
    for column in ("trainings", "interquartile mean", "between", "and", "mean", "worst"):
        table.add_column(column, justify="right")
    for row in found.summaries:
        figures = (row[key] for key in ("interquartile_mean", "low", "high", "mean", "worst"))
        shown = ("-" if figure is None else f"{figure:+.2f}" for figure in figures)
        table.add_row(row["configuration"], str(row["trainings"]), *shown)
    wide_console().print(table)
    print(f"{found.luck.sentence()}; the test period was not looked at")
    print(f"tables: {found.folder}/configurations.csv and cells.csv; curves: tensorboard --logdir {found.folder}")


if __name__ == "__main__":
    run(main)
