"""Show how far a run's live trading was from the simulation: ``python -m scripts.deploy report RUN``.

The bars that the session has seen are played again by the environment's account with the run's policy, and laid beside
what the journal says: observations and decisions that agree, slippage of each trade, fees, funding and equity. The
journal must not be in use: end the trader, or name a copy of it.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts._deploy_asking import parser_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: "Sequence[str]") -> int:
    """Show it, and return the exit code.

    Args:
        words: Of the command line.
    """
    from rl_trader.live.drift.page import as_html
    from rl_trader.live.drift.report import as_json, as_text, read_drift
    from rl_trader.live.monitor.client import journal_of
    from rl_trader.live.policy.deployment import load_deployment

    parser = parser_of("report", __doc__)
    parser.add_argument("--symbol", help="of a run that has several")
    parser.add_argument("--checkpoint", default="best", choices=("best", "last"), help="which (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print totals and every bar as one JSON object")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the equity of both, too")
    arguments = parser.parse_args(words)
    deployment = load_deployment(arguments.run, arguments.symbol, arguments.checkpoint)
    bars = read_drift(journal_of(arguments.run, arguments.journal), deployment)
    name = f"{deployment.name} on {deployment.symbol} {deployment.interval}"
    if arguments.html is not None:
        arguments.html.write_text(as_html(bars, name))
    if arguments.json:
        print(json.dumps(as_json(bars, name), indent=1))
    else:
        sys.stdout.write(as_text(bars, name))
    return 0
