"""Kill the live trader's real process at every named point, start it again on its journal, and ask every invariant.

The trader is forked with its real journal on the disk; the local exchange lives on in the parent, in lock-step. A kill
is a SIGKILL between decision, journal, sending, acknowledgement and fill, while the trader opens, closes, flips, stops,
re-arms a stop, reconciles and starts.

Exit code 0 if every invariant holds after every kill and every flow was killed at every point; 1 otherwise.
"""

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scripts._cli import Parser, run

if TYPE_CHECKING:
    from rl_trader.rehearsal.crashes.many import Total

EXIT_BROKEN: Final = 1
MOST_SHOWN: Final = 5  # kills after which an invariant is broken


def _parser() -> Parser:
    parser = Parser(prog="scripts.crashes", description=__doc__)
    parser.add_argument("--kills", type=int, default=600, help="how many (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where the journals are made (default: in memory, if possible)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def main() -> int:
    """Kill, print, and return the exit code."""
    from tqdm import tqdm

    from rl_trader.rehearsal.crashes.many import crash_many

    arguments = _parser().parse_args()
    began = time.monotonic()
    with tqdm(total=arguments.kills, unit="kill", file=sys.stderr, disable=None, leave=False) as bar:
        total = crash_many(arguments.kills, arguments.workers, lambda _result: bar.update(), arguments.folder)
    result = _result(total, time.monotonic() - began)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        _print(result)
    return EXIT_BROKEN if total.broken or total.missed else 0


def _result(total: "Total", duration_s: float) -> dict[str, Any]:
    kills = sum(total.hit.values())
    hit: dict[str, dict[str, int]] = {}
    for (flow, point), times in total.hit.items():
        hit.setdefault(flow, {})[point] = times
    return {
        "kills": kills,
        "duration_s": round(duration_s, 1),
        "kills_per_second": round(kills / duration_s, 1),
        "points": len(total.hit),
        "played": dict(total.played),
        "invariants": dict(total.looked),
        "hit": hit,
        "missed": [f"{flow}: {point}" for flow, point in total.missed],
        "broken": {f"{c.flow}: {c.point} (seed {c.seed})": breaches for c, breaches in total.broken.items()},
    }


def _print(result: dict[str, Any]) -> None:
    played = ", ".join(f"{count:,} {name}" for name, count in result["played"].items())
    print(
        f"{result['kills']:,} kills at {result['points']} points of {len(result['hit'])} flows in "
        f"{result['duration_s']:,} s ({result['kills_per_second']} a second): {played}"
    )
    print("invariants:")
    for name, count in result["invariants"].items():
        print(f"  {count:>10,}  {name}")
    for flow, points in result["hit"].items():
        print(f"{flow}, killed {sum(Counter(points).values())} times:")
        for point, times in points.items():
            print(f"  {times:>10,}  {point}")
    print(f"{len(result['missed'])} points never hit")
    for pair in result["missed"]:
        print(f"  {pair}")
    print(f"{len(result['broken'])} kills after which an invariant is broken")
    for crash, breaches in list(result["broken"].items())[:MOST_SHOWN]:
        print(f"  {crash}: {'; '.join(breaches[:3])}")


if __name__ == "__main__":
    run(main)
