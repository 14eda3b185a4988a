"""Play random bars through the replay kernel and through the books in decimals, and compare every booking.

Exit code 0 if every booking is equal, or off by one unit of 1e-8 USDT with a named reason; 1 if one is not.
"""

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from scripts._cli import Parser, run

if TYPE_CHECKING:
    from rl_trader.differential.comparison import Tally

EXIT_DIFFERENT: Final = 1
MOST_SHOWN: Final = 10


def _parser() -> Parser:
    parser = Parser(prog="scripts.differential", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="bars to play (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def main() -> int:
    """Compare, print, and return the exit code."""
    arguments = _parser().parse_args()

    from tqdm import tqdm

    from rl_trader.differential.run import compare_witnesses

    with tqdm(total=arguments.steps, unit="bar", file=sys.stderr, disable=None, leave=False) as bar:
        tally = compare_witnesses(arguments.steps, arguments.seed, arguments.workers, bar.update)
    result = _result(tally, arguments.seed)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        _print(result)
    return EXIT_DIFFERENT if tally.unexplained else 0


def _result(tally: "Tally", seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "steps": tally.steps,
        "bookings": dict(sorted(tally.bookings.items())),
        "differences": dict(sorted(tally.reasons.items())),
        "unexplained": tally.unexplained,
        "events": dict(sorted(tally.events.items())),
    }


def _print(result: dict[str, Any]) -> None:
    bookings, differences = sum(result["bookings"].values()), sum(result["differences"].values())
    print(f"seed {result['seed']}: {result['steps']:,} bars, {bookings:,} bookings")
    for title in ("bookings", "events", "differences"):
        print(f"{title}:" if result[title] else f"{title}: none")
        for name, count in result[title].items():
            print(f"  {count:>12,}  {name}")
    unexplained = result["unexplained"]
    print(f"{differences:,} off by one unit of 1e-8 USDT with a named reason, {len(unexplained):,} unexplained")
    for what in unexplained[:MOST_SHOWN]:
        print(f"  {what}")


if __name__ == "__main__":
    run(main)
