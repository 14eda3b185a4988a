"""Compare runs: ``python -m scripts.compare RUN RUN ...`` prints a table and writes it as CSV."""

from pathlib import Path
from typing import Any, Final

from scripts._cli import Parser, run, wide_console

SHOWN: Final = {
    "algorithm": "s",
    "total_return": "+.1%",
    "sharpe": ".2f",
    "max_drawdown": ".1%",
    "turnover": ".2f",
    "fees": ",.0f",
    "funding": ",.0f",
    "liquidations": "d",
    "better_than_random": ".0%",
    "buy_and_hold_return": "+.1%",
}


def _parser() -> Parser:
    parser = Parser(prog="scripts.compare", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of an evaluated run")
    parser.add_argument("--period", default="test", help="name of the evaluation in each run (default: test)")
    parser.add_argument("--csv", type=Path, help="where to write it (default: comparison.csv beside the first run)")
    return parser


def main() -> None:
    """Print the table and write the CSV."""
    arguments = _parser().parse_args()

    import csv

    from agents.compare import COLUMNS, compare_runs
    from rl_trader.errors import ConfigError

    rows = compare_runs(arguments.runs, arguments.period)
    _print_table(rows, arguments.period)
    path: Path = arguments.csv or arguments.runs[0].parent / "comparison.csv"
    try:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}; choose another file with --csv") from error
    print(f"csv: {path}")


def _print_table(rows: "list[dict[str, Any]]", period: str) -> None:
    from rich import box
    from rich.table import Table

    played = dict.fromkeys(f"{row['symbols']} {row['interval']}, {row['since']} to {row['until']}" for row in rows)
    table = Table(title=f"{period}: {'; '.join(played)}", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    for name in SHOWN:
        table.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["run"], *("-" if row[name] is None else format(row[name], form) for name, form in SHOWN.items())
        )
    wide_console().print(table)


if __name__ == "__main__":
    run(main)
