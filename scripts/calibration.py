"""Count whether the statistics keep their word: ``python -m scripts.calibration [--draws 2000] [--json]``.

Intervals miss the truth, and tests find skill where there is none, at a nominal rate. Both are counted on series whose
truth is known: random policies on resampled returns, seeds, trials. Exit code 1 where a rate is above its limit.
"""

import json

from scripts._cli import Parser, run, wide_console


def main() -> int:
    """Count and print."""
    parser = Parser(prog="scripts.calibration", description=__doc__)
    parser.add_argument("--draws", type=int, default=2_000, help="of every claim (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()

    from rl_trader.errors import ConfigError
    from rl_trader.statistics.calibration import Rate, calibrate

    if arguments.draws < 1 or arguments.seed < 0:
        raise ConfigError(
            f"draws must be at least 1 and the seed not negative, were {arguments.draws} and {arguments.seed};"
            " give whole numbers"
        )
    rates: list[Rate] = []
    for rate in calibrate(arguments.draws, arguments.seed):
        rates.append(rate)
        if not arguments.json:
            verdict = "" if rate.is_kept else "  ABOVE ITS LIMIT"
            limit = f"limit {rate.limit:.3f}" if rate.is_bounded else "for comparison"
            line = f"{rate.name:<66} {rate.rate:.3f}  nominal {rate.nominal:.2f}  {limit}{verdict}"
            wide_console().print(line, highlight=False, soft_wrap=True)
    if arguments.json:
        print(json.dumps([rate.to_json() for rate in rates], indent=1))
    return 0 if all(rate.is_kept for rate in rates) else 1


if __name__ == "__main__":
    run(main)
