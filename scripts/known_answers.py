"""Score algorithms on markets of known optimum: ``python -m scripts.known_answers [--markets K0 K1 ...]``.

Trains every row with every seed, scores the checkpoints in percent of the optimum, and draws what they learned beside
what is best. Each (row, algorithm, seed) is a run of its own under the folder of runs: what is done there is not done
again, and what was interrupted goes on.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts._cli import EXIT_INTERRUPTED, Parser, run, wide_console

if TYPE_CHECKING:
    from agents.known.cells import Cell, CellScore

ALGORITHMS = ("ppo", "dqn", "qrdqn", "recurrent")


def _parser() -> Parser:
    parser = Parser(prog="scripts.known_answers", description=__doc__)
    parser.add_argument(
        "--markets", nargs="+", default=[], metavar="K1", help="markets, or rows as K1-2 (default: all)"
    )
    parser.add_argument("--algo", choices=ALGORITHMS, default="ppo", help="learning algorithm (default: ppo)")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of every row (default: 5)")
    parser.add_argument("--steps", type=int, help="bars played in a training (default: the row's own)")
    parser.add_argument("--runs", type=Path, default=Path("runs/known_answers"), help="folder of the runs")
    parser.add_argument("--workers", type=int, default=1, help="trainings at the same time (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON and nothing else")
    parser.add_argument("--page", type=Path, help="page whose table of scores is replaced")
    return parser


def main() -> int:
    """Train what is not trained yet, and print the scores."""
    arguments = _parser().parse_args()

    from agents.known.cells import cells_of
    from agents.known.scores import markdown, score_marks, summaries, write_into_page
    from agents.training.interruption import TrainingInterruptedError

    cells = cells_of(arguments.markets, arguments.algo, arguments.seeds, arguments.steps)
    try:
        scores = _play(cells, arguments.runs, arguments.workers, is_quiet=arguments.json)
    except TrainingInterruptedError:
        print("interrupted; the same command goes on")
        return EXIT_INTERRUPTED
    rows = summaries(scores)
    if arguments.page is not None:
        write_into_page(arguments.page, markdown(rows), score_marks(arguments.algo))
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        _print_table(rows)
        print(f"runs: {arguments.runs} (each with policy_map.png; tensorboard --logdir {arguments.runs})")
    return 0


def _play(cells: "list[Cell]", runs: Path, workers: int, *, is_quiet: bool) -> "list[CellScore]":
    from tqdm import tqdm

    from agents.known.cells import play_cells

    playing = play_cells(cells, runs, workers)
    scores = []
    with tqdm(total=len(cells), unit="training", disable=is_quiet) as bar:
        for score in playing:
            bar.set_postfix_str(f"{score.row} seed {score.seed}: {_share(score)}")
            bar.update()
            scores.append(score)
    return scores


def _share(score: "CellScore") -> str:
    return "flat is best" if score.percent is None else f"{score.percent:.1f} %"


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
