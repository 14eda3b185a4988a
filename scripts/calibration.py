"""Count whether the statistics keep their word: ``python -m scripts.calibration [--draws 2000] [--json]``.

Intervals miss the truth, and tests find skill where there is none, at a nominal rate. Both are counted on series whose
truth is known: random policies on resampled returns, seeds, trials. With ``--trained 20`` the verdicts of so many
agents are counted instead that were trained on a market where nothing can be earned. Exit code 1 where a rate is above
its limit.
"""

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scripts._cli import Parser, interrupted, run, tell, wide_console

if TYPE_CHECKING:
    from rl_trader.statistics.calibration import Rate


def _parser() -> Parser:
    parser = Parser(prog="scripts.calibration", description=__doc__)
    parser.add_argument("--draws", type=int, default=2_000, help="of every claim (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument("--trained", type=int, metavar="N", help="count the verdicts of N trained agents instead")
    parser.add_argument("--steps", type=int, default=50_000, help="bars of each of their trainings (default: 50,000)")
    parser.add_argument("--runs", type=Path, default=Path("runs/calibration"), help="folder of their runs")
    parser.add_argument("--workers", type=int, default=1, help="of them trained at the same time (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main() -> int:
    """Count and print."""
    arguments = _parser().parse_args()

    from agents.training.interruption import TrainingInterruptedError

    rates: list[Rate] = []
    try:
        for rate in _rates(arguments):
            rates.append(rate)
            if not arguments.json:
                _print(rate)
    except TrainingInterruptedError:
        return interrupted()
    if arguments.json:
        print(json.dumps([rate.to_json() for rate in rates], indent=1))
    return 0 if all(rate.is_kept for rate in rates) else 1


def _rates(arguments: Namespace) -> "Iterator[Rate]":
    from rl_trader.errors import ConfigError
    from rl_trader.statistics.calibration import calibrate

    if arguments.draws < 1 or arguments.seed < 0:
        raise ConfigError(
            f"draws must be at least 1 and the seed not negative, were {arguments.draws} and {arguments.seed};"
            " give whole numbers"
        )
    if arguments.trained is None:
        return calibrate(arguments.draws, arguments.seed)

    from agents.trained_calibration import trained_rates

    return iter(trained_rates(arguments.trained, arguments.steps, arguments.runs, tell, arguments.workers))


def _print(rate: "Rate") -> None:
    verdict = "" if rate.is_kept else "  ABOVE ITS LIMIT"
    limit = f"limit {rate.limit:.3f}" if rate.is_bounded else "for comparison"
    line = f"{rate.name:<66} {rate.rate:.3f}  nominal {rate.nominal:.3g}  {limit}{verdict}"
    wide_console().print(line, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run(main)
