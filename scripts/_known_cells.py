"""Options of the commands that train on markets of known optimum, and the training."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts._cli import Parser

if TYPE_CHECKING:
    from agents.known.cells import Cell, CellScore


def known_parser(prog: str, description: str | None, *, markets: str, seeds: int) -> Parser:
    """Return a parser with the options that all of them have.

    Args:
        prog: Name of the command.
        description: What it does.
        markets: Which markets it trains on by default, in words.
        seeds: Trainings of every row by default.
    """
    parser = Parser(prog=prog, description=description)
    parser.add_argument(
        "--markets", nargs="+", default=[], metavar="K1", help=f"markets, or rows as K1-2 (default: {markets})"
    )
    parser.add_argument("--seeds", type=int, default=seeds, help="trainings of every row (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="bars played in a training (default: the row's own)")
    parser.add_argument("--runs", type=Path, default=Path("runs/known_answers"), help="folder of the runs")
    parser.add_argument("--workers", type=int, default=1, help="trainings at the same time (default: 1)")
    parser.add_argument("--page", type=Path, help="page whose table is replaced")
    return parser


def play(cells: "list[Cell]", arguments: Namespace, *, is_quiet: bool = False) -> "list[CellScore]":
    """Train what is not trained yet, and return the scores, while a bar shows how far it is.

    Raises:
        TrainingInterruptedError: After Ctrl-C.
    """
    from tqdm import tqdm

    from agents.known.cells import play_cells

    playing = play_cells(cells, arguments.runs, arguments.workers)
    scores = []
    with tqdm(total=len(cells), unit="training", disable=is_quiet) as bar:
        for score in playing:
            bar.set_postfix_str(f"{score.row} seed {score.seed}: {_share(score)}")
            bar.update()
            scores.append(score)
    return scores


def _share(score: "CellScore") -> str:
    return "flat is best" if score.percent is None else f"{score.percent:.1f} %"
