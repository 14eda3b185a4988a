"""Rehearse the live trader on a local exchange that fails, in virtual time: seed after seed, every invariant asked.

Exit code 0 if every invariant holds in every seed; 1 if one is broken, with the first broken seeds. With --self-test
known bugs are planted, one at a time, and each must be caught: 1 if one is not.
"""

import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from scripts._cli import Parser, run

if TYPE_CHECKING:
    from rl_trader.rehearsal.many import Total
    from rl_trader.rehearsal.planted import Caught

EXIT_BROKEN: Final = 1
MOST_SHOWN: Final = 5  # seeds
BARS_PER_HOUR: Final = 60


def _parser() -> Parser:
    parser = Parser(prog="scripts.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument("--hours", type=int, default=1, help="of virtual time, of every seed (default: %(default)s)")
    parser.add_argument("--days", type=int, default=0, help="of virtual time instead of hours")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--self-test", action="store_true", help="plant known bugs, and see that each is caught")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def main() -> int:
    """Rehearse, print, and return the exit code."""
    arguments = _parser().parse_args()
    logging.disable(logging.CRITICAL)  # faults make connections end a thousand times
    return _test_self(arguments.json) if arguments.self_test else _rehearse(arguments)


def _rehearse(arguments: Any) -> int:  # noqa: ANN401 - argparse's namespace
    from tqdm import tqdm

    from rl_trader.rehearsal.many import rehearse_many

    hours = 24 * arguments.days or arguments.hours
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    began = time.monotonic()
    with tqdm(total=len(seeds), unit="seed", file=sys.stderr, disable=None, leave=False) as bar:
        total = rehearse_many(seeds, hours * BARS_PER_HOUR, arguments.workers, lambda _result: bar.update())
    result = _result(total, hours, time.monotonic() - began)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        _print(result)
    return EXIT_BROKEN if total.broken else 0


def _result(total: "Total", hours: int, duration_s: float) -> dict[str, Any]:
    return {
        "seeds": total.seeds,
        "hours_each": hours,
        "duration_s": round(duration_s, 1),
        "seeds_per_minute": round(60 * total.seeds / duration_s, 1),
        "played": dict(total.played),
        "invariants": dict(total.looked),
        "faults": dict(total.fired.most_common()),
        "kills": dict(total.killed.most_common()),
        "broken": {str(seed): breaches for seed, breaches in sorted(total.broken.items())},
    }


def _print(result: dict[str, Any]) -> None:
    played = ", ".join(f"{count:,} {name}" for name, count in result["played"].items())
    print(
        f"{result['seeds']:,} seeds of {result['hours_each']} h in {result['duration_s']:,} s "
        f"({result['seeds_per_minute']} a minute): {played}"
    )
    for title in ("invariants", "faults", "kills"):
        print(f"{title}:")
        for name, count in result[title].items():
            print(f"  {count:>10,}  {name}")
    broken = result["broken"]
    print(f"{len(broken):,} seeds with a broken invariant")
    for seed, breaches in list(broken.items())[:MOST_SHOWN]:
        print(f"  seed {seed}: {'; '.join(breaches[:3])}")


def _test_self(as_json: bool) -> int:
    from rl_trader.rehearsal.planted import catch_all

    caught = catch_all()
    if as_json:
        print(json.dumps([each._asdict() for each in caught], indent=2))
    else:
        for each in caught:
            print(_sentence(each))
    return 0 if all(each.invariant for each in caught) else EXIT_BROKEN


def _sentence(caught: "Caught") -> str:
    if not caught.invariant:
        return f"NOT CAUGHT  {caught.bug}: in {caught.num_seeds} seeds none of {', '.join(caught.wanted)} was broken"
    return f"caught      {caught.bug}: by {caught.invariant}, seed {caught.seed} ({caught.sentence})"


if __name__ == "__main__":
    run(main)
