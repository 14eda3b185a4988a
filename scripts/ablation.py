"""Score PPO on markets of known optimum with one setting changed: ``python -m scripts.ablation``.

Every variant, row and seed is a run of its own, next to those of ``scripts.known_answers``, whose trainings of the same
rows and seeds are those of the variant ``chosen``: what is done is not done again, and what was interrupted goes on.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from scripts._cli import EXIT_INTERRUPTED, Parser, run

if TYPE_CHECKING:
    from agents.known.cells import Cell, CellScore


def _parser() -> Parser:
    parser = Parser(prog="scripts.ablation", description=__doc__)
    parser.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="what is changed (default: all)")
    parser.add_argument(
        "--markets", nargs="+", default=[], metavar="K1-2", help="rows or markets (default: K0-1 K1-2 K2-1 K3-4)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of every variant and row (default: 3)")
    parser.add_argument("--steps", type=int, help="bars played in a training (default: the row's own)")
    parser.add_argument("--runs", type=Path, default=Path("runs/known_answers"), help="folder of the runs")
    parser.add_argument("--workers", type=int, default=1, help="trainings at the same time (default: 1)")
    parser.add_argument("--page", type=Path, help="page whose ablation table is replaced")
    return parser


def main() -> int:
    """Train what is not trained yet, and print the table."""
    arguments = _parser().parse_args()

    from agents.known.ablation import ABLATION, ablation_cells, ablation_table
    from agents.known.scores import write_into_page
    from agents.training.interruption import TrainingInterruptedError

    cells = ablation_cells(arguments.variants, arguments.markets, arguments.seeds, arguments.steps)
    try:
        scores = _play(cells, arguments.runs, arguments.workers)
    except TrainingInterruptedError:
        print("interrupted; the same command goes on")
        return EXIT_INTERRUPTED
    table = ablation_table(cells, scores)
    if arguments.page is not None:
        write_into_page(arguments.page, table, ABLATION)
    print(table)
    return 0


def _play(cells: "list[Cell]", runs: Path, workers: int) -> "list[CellScore]":
    from tqdm import tqdm

    from agents.known.cells import play_cells

    return list(tqdm(play_cells(cells, runs, workers), total=len(cells), unit="training"))


if __name__ == "__main__":
    run(main)
