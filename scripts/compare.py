"""Compare runs: ``python -m scripts.compare RUN RUN ...`` prints a table and writes it as CSV."""

from pathlib import Path

from scripts._cli import Parser, run, wide_console


def _parser() -> Parser:
    parser = Parser(prog="scripts.compare", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of an evaluated run")
    parser.add_argument("--period", default="test", help="name of the evaluation in each run (default: test)")
    parser.add_argument("--csv", type=Path, default=Path("runs/comparison.csv"), help="default: %(default)s")
    return parser


def main() -> None:
    """Print the table and write the CSV."""
    arguments = _parser().parse_args()

    import csv

    from rich.table import Table

    from agents.compare import COLUMNS, compare_runs
    from rl_trader.errors import ConfigError

    rows = compare_runs(arguments.runs, arguments.period)
    try:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise ConfigError(f"{arguments.csv} cannot be written: {error}; choose another file with --csv") from error
    shown = {
        "total_return": "+.2%",
        "sharpe": ".2f",
        "max_drawdown": ".2%",
        "turnover": ".2f",
        "fees": ",.2f",
        "funding": ",.2f",
        "liquidations": "d",
        "better_than_random": ".0%",
        "buy_and_hold_return": "+.2%",
    }
    table = Table(title=f"{arguments.period}: {rows[0]['since']} to {rows[0]['until']}")
    for name in ("run", "symbols", *shown):
        table.add_column(
            name.replace("_", "\n"), justify="left" if name in ("run", "symbols") else "right", no_wrap=True
        )
    for row in rows:
        values = ["-" if row[name] is None else format(row[name], form) for name, form in shown.items()]
        table.add_row(row["run"], row["symbols"], *values)
    wide_console().print(table)
    print(f"csv: {arguments.csv}")


if __name__ == "__main__":
    run(main)
