"""Score algorithms on markets of known optimum: ``python -m scripts.known_answers [--markets K0 K1 ...]``.

Trains every row with every seed, scores the checkpoints in percent of the optimum, and draws what they learned beside
what is best. Each (row, algorithm, seed) is a run of its own under the folder of runs: what is done there is not done
again, and what was interrupted goes on.
"""

import json
from typing import Any

from scripts._cli import Parser, interrupted, run, wide_console
from scripts._known_cells import known_parser, play

ALGORITHMS = ("ppo", "dqn", "qrdqn", "recurrent")


def _parser() -> Parser:
    parser = known_parser("scripts.known_answers", __doc__, markets="all", seeds=5)
    parser.add_argument("--algo", choices=ALGORITHMS, default="ppo", help="learning algorithm (default: ppo)")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON and nothing else")
    return parser


def main() -> int:
    """Train what is not trained yet, and print the scores."""
    arguments = _parser().parse_args()

    from agents.known.cells import cells_of
    from agents.known.scores import markdown, score_marks, summaries, write_into_page
    from agents.training.interruption import TrainingInterruptedError

    cells = cells_of(arguments.markets, arguments.algo, arguments.seeds, arguments.steps)
    try:
        scores = play(cells, arguments, is_quiet=arguments.json)
    except TrainingInterruptedError:
        return interrupted()
    rows = summaries(scores)
    if arguments.page is not None:
        write_into_page(arguments.page, markdown(rows), score_marks(arguments.algo))
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        _print_table(rows)
        print(f"runs: {arguments.runs} (policy_map.png in each; tensorboard --logdir {arguments.runs})")
    return 0


def _print_table(rows: "list[dict[str, Any]]") -> None:
    from rich import box
    from rich.table import Table

    table = Table(title="percent of the optimum", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in ("market", "row", "algo", "optimum", "mean", "worst", "turnover", "optimal\nturnover", "seeds", "bars"):
        table.add_column(name, justify="left" if name in ("market", "algo") else "right")
    for row in rows:
        mean, worst = ("-" if row[name] is None else f"{row[name]:.1f}" for name in ("mean", "worst"))
        table.add_row(
            row["market"],
            str(row["row"]),
            row["algo"],
            f"{row['optimum']:.3e}",
            mean,
            worst,
            f"{row['turnover']:.4f}",
            f"{row['optimal_turnover']:.4f}",
            str(row["seeds"]),
            f"{row['steps']:,}",
        )
    wide_console().print(table)


if __name__ == "__main__":
    run(main)
