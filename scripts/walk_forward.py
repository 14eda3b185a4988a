"""Walk forward: ``python -m scripts.walk_forward [PRESET] [--folds 3] [--seeds 5] [--field value ...]``.

Trains the preset anew on every fold with several seeds, chooses each checkpoint on the fold's validation period alone,
tests it on what follows, and judges all tests together. The same command goes on where it was stopped.

  --folds N            tests of equal length, one after the other (default: 3)
  --seeds N            trainings of every fold (default: 5)
  --scheme S           anchored: every training begins at the first day; rolling: all are equally long
  --learner L          agent (default), forest, crossover_20_50 or crossover_50_200
  --holding-bars N     added to the longest feature window: the purge between two periods (default: 48)
  --holdout SHARE      last part of the time, in no fold (default: 0.1)
  --workers N          trainings at the same time, each in a process of its own (default: 1)
  --open-holdout       test the last fold's seeds on it; once, and counted
  --groups N           instead of folds: cut the time before the preset's test into N groups, test every pair of them
                       with an agent (or with --learner forest) that is trained on the others, purged and embargoed,
                       and chain the tests into N - 1 paths; 6 groups are 15 trainings
  --json               print JSON
"""

import json
from typing import TYPE_CHECKING, Any

from rl_trader.errors import ConfigError
from scripts._cli import interrupted, run, tell, wide_console
from scripts._judgement import print_honesty
from scripts._options import typed_command

if TYPE_CHECKING:
    from agents.config import TrainConfig
    from agents.walking.combinatorial import Combinatorial
    from agents.walking.walk_forward import WalkForward

COMMAND = "python -m scripts.walk_forward"
OPTIONS = {
    "--folds": int,
    "--seeds": int,
    "--scheme": str,
    "--learner": str,
    "--holding-bars": int,
    "--holdout": float,
    "--groups": int,
    "--workers": int,
    "--open-holdout": bool,
    "--json": bool,
}
TESTED_GROUPS = 2


def main() -> int:
    """Walk, or open the holdout."""
    typed = typed_command(__doc__, OPTIONS, COMMAND)
    preset, config, options = typed.preset, typed.config, typed.options
    is_json, opens_holdout = (options.pop(name, False) for name in ("json", "open_holdout"))
    workers = options.pop("workers", 1)

    from agents.training.interruption import TrainingInterruptedError
    from agents.walking.walk_forward import WalkForwardConfig, open_holdout, run_walk_forward

    groups = options.pop("groups", None)
    if groups is not None:
        return _cross_validate(preset, config, groups, options, workers, is_json=is_json)
    walk = WalkForwardConfig(**options)
    name = config.name or f"walk-forward-{preset}-{config.algo if walk.learner == 'agent' else walk.learner}"
    if opens_holdout:
        _print_holdout(open_holdout(config, walk, name), is_json=is_json)
        return 0
    try:
        result = run_walk_forward(config, walk, name, tell, workers)
    except TrainingInterruptedError:
        return interrupted()

    from rl_trader.report.walk_forward import write_walk_forward

    page = write_walk_forward(
        result.folder,
        name,
        result.daily,
        result.baselines,
        [fold["test"] for fold in result.plan.folds],
        result.honesty,
        result.other_funding,
    )
    if is_json:
        print(json.dumps(result.to_json(), indent=1))
    else:
        _print_result(result, name)
        print(f"report: {page}")
    return 0


def _cross_validate(
    preset: str, config: "TrainConfig", groups: int, options: dict[str, Any], workers: int, *, is_json: bool
) -> int:
    from agents.training.interruption import TrainingInterruptedError
    from agents.walking.combinatorial import cross_validate
    from agents.walking.combinatorial_agents import cross_validate_agent

    learner, holding_bars = options.pop("learner", "agent"), options.pop("holding_bars", 48)
    if options or learner not in ("agent", "forest"):
        raise ConfigError(
            "--groups cross-validates an agent or a forest: of the other options it takes --learner, --holding-bars,"
            " --workers and --json alone"
        )
    if learner == "forest":
        result = cross_validate(config, groups, TESTED_GROUPS, holding_bars)
    else:
        name = config.name or f"groups-{preset}-{config.algo}"
        try:
            result = cross_validate_agent(config, name, groups, TESTED_GROUPS, holding_bars, tell, workers)
        except TrainingInterruptedError:
            return interrupted()
    _print_paths(result, groups, is_json=is_json)
    return 0


def _print_paths(result: "Combinatorial", groups: int, *, is_json: bool) -> None:
    found = result.to_json()
    if is_json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['num_folds']} trainings, {found['num_paths']} paths through {groups} groups")
    for number, (total, ratio) in enumerate(zip(found["total_returns"], found["sharpe_ratios"], strict=True)):
        print(f"path {number}: {total:+.1%} return, Sharpe {'-' if ratio is None else f'{ratio:.2f}'}")


def _print_result(result: "WalkForward", name: str) -> None:
    from rich import box
    from rich.table import Table

    from rl_trader.honesty import verdict_elsewhere

    console = wide_console()
    table = Table(title=f"{name}: log growth a year, by fold and seed", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("tested on", no_wrap=True)
    for seed in range(len(result.scores[0])):
        table.add_column(f"seed {seed}", justify="right")
    for fold, scores in zip(result.plan.folds, result.scores, strict=True):
        table.add_row(" to ".join(fold["test"]), *(f"{score:+.2f}" for score in scores))
    console.print(table)
    if result.interval is not None:
        found = result.interval
        print(f"interquartile mean: {found.estimate:+.2f} a year, between {found.low:+.2f} and {found.high:+.2f}")
    print("mean of the seeds:")
    print_honesty(result.honesty)
    if result.other_funding is not None:
        console.print(verdict_elsewhere(*result.other_funding), highlight=False, soft_wrap=True)


def _print_holdout(opened: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        print(json.dumps(opened, indent=1))
        return
    returns = ", ".join(f"{value:+.1%}" for value in opened["total_returns"])
    print(f"holdout {' to '.join(opened['dates'])}: {returns}")
    print(f"configurations that opened this market and period so far: {opened['times_opened']}; it stays opened")


if __name__ == "__main__":
    run(main)
