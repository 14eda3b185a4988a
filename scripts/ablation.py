"""Score PPO on markets of known optimum with one setting changed: ``python -m scripts.ablation``.

Every variant, row and seed is a run of its own, next to those of ``scripts.known_answers``, whose trainings of the same
rows and seeds are those of the variant ``chosen``: what is done is not done again, and what was interrupted goes on.
"""

from scripts._cli import Parser, interrupted, run
from scripts._known_cells import known_parser, play


def _parser() -> Parser:
    parser = known_parser("scripts.ablation", __doc__, markets="K0-1 K1-2 K2-1 K3-4", seeds=3)
    parser.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="what is changed (default: all)")
    return parser


def main() -> int:
    """Train what is not trained yet, and print the table."""
    arguments = _parser().parse_args()

    from agents.known.ablation import ABLATION, ablation_cells, ablation_table
    from agents.known.scores import write_into_page
    from agents.training.interruption import TrainingInterruptedError

    cells = ablation_cells(arguments.variants, arguments.markets, arguments.seeds, arguments.steps)
    try:
        scores = play(cells, arguments)
    except TrainingInterruptedError:
        return interrupted()
    table = ablation_table(cells, scores)
    if arguments.page is not None:
        write_into_page(arguments.page, table, ABLATION)
    print(table)
    return 0


if __name__ == "__main__":
    run(main)
