"""How speed goes with size: ``scripts.bench growth`` measures the curves, draws them and writes their numbers."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rl_trader.errors import ConfigError
from scripts._cli import Parser

if TYPE_CHECKING:
    from agents.benchmark.growth.curves import Point

LEAST_REPEATS: Final = 3


def main(arguments: list[str]) -> None:
    """Measure, print, and write ``growth.png`` and ``growth.json``."""
    asked = _parser().parse_args(arguments)
    if asked.repeats < LEAST_REPEATS:
        raise ConfigError(f"--repeats must be at least {LEAST_REPEATS}, was {asked.repeats}; give more")

    from agents.benchmark.effort import Effort
    from agents.benchmark.growth.curves import CURVES, measure
    from agents.benchmark.growth.plot import growth_figure
    from agents.training.figures import picture

    effort = Effort(repeats=asked.repeats, seconds=asked.seconds)
    points: dict[str, list[Point]] = {}
    for curve in CURVES:
        points[curve.name] = []
        for point in measure(curve, effort, asked.largest):
            points[curve.name].append(point)
            if not asked.json:
                _print(curve.name, point)
    data = {name: [point.to_json() for point in found] for name, found in points.items()}
    if asked.json:
        print(json.dumps(data, indent=2))
    try:
        asked.folder.mkdir(parents=True, exist_ok=True)
        (asked.folder / "growth.png").write_bytes(picture(growth_figure(points)))
        (asked.folder / "growth.json").write_text(json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"{asked.folder} cannot be written: {error}; name another --folder") from error
    print(f"written: {asked.folder / 'growth.png'}", file=sys.stderr)


def _parser() -> Parser:
    parser = Parser(prog="scripts.bench growth", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("docs/images"), help="for picture and numbers (%(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="runs a point (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a run (default: %(default)s)")
    parser.add_argument("--largest", type=int, default=10**7, help="leave larger sizes out (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON instead of lines")
    return parser


def _print(name: str, point: "Point") -> None:
    print(
        f"{name:<20} {point.size:>10,} {point.steps.median:>12,.0f} steps/s   copying alone {point.copy.median:>13,.0f}"
        f"   {point.mib:>8,.1f} MiB",
        flush=True,
    )
