"""Where the time of a training goes: ``scripts.bench profile`` prints the ten largest entries of its profile."""

import json
from functools import partial

from rl_trader.errors import ConfigError
from scripts._cli import Parser, wide_console

NUM_ENTRIES = 10


def main(arguments: list[str]) -> None:
    """Train for some rollouts under a profiler and print where the time went."""
    from agents.benchmark.effort import Effort
    from agents.benchmark.entries import profile
    from agents.benchmark.lines import DQN_SIZES, PPO_SIZES
    from agents.benchmark.training import ppo
    from agents.benchmark.training_dqn import dqn

    parser = Parser(prog="scripts.bench profile", description=__doc__)
    trainings = {name: partial(ppo, config=config) for name, config in PPO_SIZES.items()}
    trainings |= {f"dqn/{name}": partial(dqn, config=config) for name, config in DQN_SIZES.items()}
    sizes = ", ".join(trainings)
    parser.add_argument("size", nargs="?", default="64x64/1024", help=f"one of {sizes} (default: %(default)s)")
    parser.add_argument(
        "--rollouts", type=int, default=20, help="with their updates; 50 times as many of DQN (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of a table")
    asked = parser.parse_args(arguments)
    if asked.size not in trainings or asked.rollouts < 1:
        raise ConfigError(f"give a size of {sizes} and at least one rollout, found {asked.size!r} and {asked.rollouts}")
    training = trainings[asked.size]
    training(Effort(num_rollouts=1))()  # compiles the kernels
    run = training(Effort(num_rollouts=asked.rollouts))
    entries = profile(run, NUM_ENTRIES)
    if asked.json:
        print(json.dumps([entry.to_json() for entry in entries], indent=2))
        return
    from rich.table import Table

    table = Table(title=f"{asked.size}, {asked.rollouts} rollouts with their updates")
    for column in ("entry", "share", "seconds", "calls"):
        table.add_column(column, justify="left" if column == "entry" else "right")
    for entry in entries:
        table.add_row(entry.name, f"{entry.share:.1%}", f"{entry.seconds:.3f}", f"{entry.calls:,}")
    wide_console().print(table)
