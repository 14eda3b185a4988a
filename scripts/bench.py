"""Measure speed and memory, every figure beside its peer or limit in the same run.

A line's name, or its beginning up to a slash, chooses it; all are measured if none is named. Every figure is a median
of at least five runs. The environment is the full account of the default configuration on a synthetic market.
`python -m scripts.bench peers --install` brings the packages that are measured beside this one; what is not at hand is
left out with a sentence. `growth` and `profile` instead of a line's name measure how speed goes with size, and where
the time of a training goes; `table` makes Markdown of what was printed with --json.
"""

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rl_trader.errors import ConfigError
from scripts._cli import Parser, run, wide_console

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.benchmark.line import Line
    from agents.benchmark.lines import Skipped
    from agents.benchmark.measure import Figure, Result

LEAST_REPEATS: Final = 5
SCRIPTS: Final = Path(__file__).parent
COMMANDS: Final = ("peers", "growth", "profile", "table")  # each in a module of its own


def _parser() -> Parser:
    parser = Parser(prog="scripts.bench", description=__doc__)
    parser.add_argument("lines", nargs="*", metavar="LINE", help="see --list (default: all)")
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of a table")
    parser.add_argument("--repeats", type=int, default=LEAST_REPEATS, help="runs a figure (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a run that time limits (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="of the networks that train: cpu or cuda (default: cpu)")
    parser.add_argument("--prototypes", type=Path, help="folder of prototypes and lean loops, if there is one")
    parser.add_argument("--list", action="store_true", help="list the lines and measure nothing")
    return parser


def main() -> None:
    """Measure and print."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command in COMMANDS:
        importlib.import_module(f"scripts._bench_{command}").main(sys.argv[2:])
        return
    _measure(_parser().parse_args())


def _measure(arguments: argparse.Namespace) -> None:
    """Measure what is asked for and print it."""
    _check(arguments)

    from agents.benchmark.effort import Effort
    from agents.benchmark.lines import Skipped, all_lines, choose, measure_lines
    from agents.benchmark.measure import Result
    from agents.benchmark.peers.process import PROTOTYPES
    from agents.training.learners import find_device

    lines = choose(all_lines(SCRIPTS), arguments.lines)
    if arguments.list:
        _print_list(lines)
        return
    if arguments.prototypes is not None:
        os.environ[PROTOTYPES] = str(arguments.prototypes)
    effort = Effort(repeats=arguments.repeats, seconds=arguments.seconds, device=find_device(arguments.device))
    answers = _reported(measure_lines(lines, effort), lines)
    results = [answer for answer in answers if isinstance(answer, Result)]
    if arguments.json:
        print(json.dumps([result.to_json() for result in results], indent=2))
    elif results:
        _print_table(results)
    for answer in answers:
        if isinstance(answer, Skipped):
            print(f"left out {answer.line}: {answer.reason}", file=sys.stderr)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.repeats < LEAST_REPEATS:
        raise ConfigError(f"--repeats must be at least {LEAST_REPEATS}, was {arguments.repeats}; give more")
    if not arguments.seconds > 0.0:
        raise ConfigError(f"--seconds must be positive, was {arguments.seconds}; give some tenths of a second")


def _print_list(lines: "list[Line]") -> None:
    width = max(len(line.name) for line in lines)
    for line in lines:
        print(f"{line.name:<{width}}  {line.about}")


def _reported(results: "Iterable[Result | Skipped]", lines: "list[Line]") -> "list[Result | Skipped]":
    """Return the results, naming on stderr what is being measured."""
    from tqdm import tqdm

    with tqdm(total=len(lines), unit="line", file=sys.stderr, disable=None, leave=False) as bar:
        done: list[Result | Skipped] = []
        bar.set_description(lines[0].name)
        for result in results:
            done.append(result)
            bar.update()
            bar.set_description(lines[min(len(done), len(lines) - 1)].name)
        return done


def _print_table(results: "list[Result]") -> None:
    from rich.table import Table

    table = Table()
    for name in ("line", "median", "min - max", "unit", "reference", "its median", "ratio", "to reach", "met"):
        table.add_column(name, justify="left" if name in ("line", "unit", "reference") else "right")
    for result in results:
        table.add_row(
            result.line,
            _number(result.figure.median),
            _range(result.figure),
            result.unit,
            result.reference_name,
            _number(result.reference.median),
            f"{result.ratio:.3g}",
            _wanted(result),
            {None: "", True: "yes", False: "no"}[result.met],
        )
    console = wide_console()
    console.print(table)
    for config in dict.fromkeys(result.config for result in results):
        names = ", ".join(result.line for result in results if result.config == config)
        console.print(f"configuration {config[:16]}: {names}", soft_wrap=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"  # noqa: PLR2004


def _range(figure: "Figure") -> str:
    return f"{_number(figure.minimum)} - {_number(figure.maximum)}"


def _wanted(result: "Result") -> str:
    if result.reach is None:
        return ""
    sign = ">=" if result.reach.is_least else "<="
    return f"{result.reach.of} {sign} {_number(result.reach.bound)}"


if __name__ == "__main__":
    run(main)
