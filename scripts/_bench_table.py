"""``scripts.bench table FILE...`` prints what runs with ``--json`` have measured as one table in Markdown."""

import json
from pathlib import Path
from typing import Any, Final

from rl_trader.errors import ConfigError
from scripts._cli import Parser

HEAD: Final = "| line | median (min - max) | beside it, in the same run | its median | ratio | to reach | met |"


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = Parser(prog="scripts.bench table", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what `scripts.bench --json` has printed")
    rows = [_row(line) for path in parser.parse_args(arguments).files for line in _lines(path)]
    print("\n".join([HEAD, "|---|---|---|---|---|---|---|", *rows]))


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines: list[dict[str, Any]] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no output of `scripts.bench --json`: {error}; name another file") from error
    return lines


def _row(line: dict[str, Any]) -> str:
    reference, unit = line["reference"], line["unit"]
    span = f"{number(line['min'])} - {number(line['max'])}"
    cells = (
        f"`{line['line']}`",
        f"**{number(line['median'])}** {unit} ({span})",
        reference["name"],
        number(reference["median"]),
        f"{line['ratio']:.3g}",
        _wanted(line["reach"]),
        {None: "", True: "yes", False: "no"}[line["met"]],
    )
    return f"| {' | '.join(cells)} |"


def _wanted(reach: dict[str, Any] | None) -> str:
    if reach is None:
        return ""
    sign, bound = ("≥", reach["at_least"]) if "at_least" in reach else ("≤", reach["at_most"])
    return f"{reach['of']} {sign} {number(bound)}"


def number(value: float) -> str:
    """Return a number with three digits or with thousands."""
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"  # noqa: PLR2004
