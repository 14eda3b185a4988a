"""Fit a baseline that deploys like an agent: ``python -m scripts.baseline KIND [PRESET] [--field value ...]``.

KIND is ``forest`` (a random forest on the preset's features; needs the extra ``baselines``), ``crossover_20_50`` or
``crossover_50_200``. Its run is evaluated, compared and deployed by the same commands as an agent's.
"""

import sys
import time

from agents.config import without_other_discount
from agents.presets import PRESETS
from rl_trader.errors import ConfigError
from scripts._cli import run
from scripts._overrides import parse_preset

COMMAND = "python -m scripts.baseline"


def main() -> int:
    """Fit and say where the run is."""
    from agents.supervised import KINDS, fit_baseline

    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("--help", "-h"):
        print(__doc__)
        return 0
    kind = arguments[0]
    if kind not in KINDS:
        raise ConfigError(f"unknown baseline {kind!r}; choose from {', '.join(KINDS)}")
    preset, config = parse_preset(PRESETS, arguments[1:], f"{COMMAND} {kind}", without_other_discount)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = fit_baseline(kind, config, config.name or f"{preset}-{kind}-{config.seed}-{stamp}")
    validation = folder.checkpoint().facts["validation"]
    print(f"validation: {validation['total_return']:+.2%} return, Sharpe {validation['sharpe'] or 0.0:.2f}")
    print(f"run: {folder.path}")
    print(f"evaluate it: python -m scripts.evaluate {folder.path}")
    return 0


if __name__ == "__main__":
    run(main)
