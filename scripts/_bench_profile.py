"""Where the time of a training goes: ``scripts.bench profile`` prints the ten largest entries of a profile of PPO."""

import json

from rl_trader.errors import ConfigError
from scripts._cli import Parser, wide_console

NUM_ENTRIES = 10


def main(arguments: list[str]) -> None:
    """Train for some rollouts under a profiler and print where the time went."""
    from agents.benchmark.effort import Effort
    from agents.benchmark.entries import profile
    from agents.benchmark.lines import PPO_SIZES
    from agents.benchmark.training import ppo

    parser = Parser(prog="scripts.bench profile", description=__doc__)
    sizes = ", ".join(PPO_SIZES)
    parser.add_argument("size", nargs="?", default="64x64/1024", help=f"one of {sizes} (default: %(default)s)")
    parser.add_argument("--rollouts", type=int, default=20, help="with their updates (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of a table")
    asked = parser.parse_args(arguments)
    if asked.size not in PPO_SIZES or asked.rollouts < 1:
        raise ConfigError(f"give a size of {sizes} and at least one rollout, found {asked.size!r} and {asked.rollouts}")
    ppo(Effort(num_rollouts=1), PPO_SIZES[asked.size])()  # compiles the kernels
    run = ppo(Effort(num_rollouts=asked.rollouts), PPO_SIZES[asked.size])
    entries = profile(run, NUM_ENTRIES)
    if asked.json:
        print(json.dumps([entry.to_json() for entry in entries], indent=2))
        return
    from rich.table import Table

    table = Table(title=f"PPO {asked.size}, {asked.rollouts} rollouts with their updates")
    for column in ("entry", "share", "seconds", "calls"):
        table.add_column(column, justify="left" if column == "entry" else "right")
    for entry in entries:
        table.add_row(entry.name, f"{entry.share:.1%}", f"{entry.seconds:.3f}", f"{entry.calls:,}")
    wide_console().print(table)
