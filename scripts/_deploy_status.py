"""Show how a trader that runs stands: ``python -m scripts.deploy status RUN``.

Exit code 0 if it trades, 1 if it is stopped or waits for something, 2 if no trader runs.
"""

import json
import time
from typing import TYPE_CHECKING, Final

from scripts._cli import wide_console
from scripts._deploy_asking import latched_text, parser_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rl_trader.live.monitor.client import Client

EXIT_NOT_TRADING: Final = 1
EVERY_S: Final = 1.0


def main(words: "Sequence[str]") -> int:
    """Show it, and return the exit code.

    Args:
        words: Of the command line.
    """
    from rl_trader.live.monitor.client import Client, NoTraderError, journal_of

    parser = parser_of("status", __doc__)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    shown.add_argument("--page", action="store_true", help="print the address of its page, which holds its token")
    shown.add_argument("--watch", action="store_true", help="show it again every second, until Ctrl-C")
    arguments = parser.parse_args(words)
    journal = journal_of(arguments.run, arguments.journal)
    try:
        client = Client(journal)
        if arguments.page:
            client.status()
            print(client.contact.page)
            return 0
        if arguments.watch:
            return _watch(client)
        return _show(client, as_json=arguments.json)
    except NoTraderError as error:
        raise NoTraderError(f"{error}{_latched(journal)}") from None


def _show(client: "Client", *, as_json: bool) -> int:
    from rl_trader.live.monitor.table import table
    from rl_trader.live.monitor.view import from_json

    status = client.status()
    if as_json:
        print(json.dumps(status, indent=2))
    else:
        wide_console().print(table(from_json(status)))
    return _exit_code(str(status["phase"]))


def _watch(client: "Client") -> int:
    from rl_trader.live.monitor.table import LiveTable

    with LiveTable(wide_console()) as display:
        while True:
            display.show(client.view())
            time.sleep(EVERY_S)


def _exit_code(phase: str) -> int:
    return 0 if phase == "TRADING" else EXIT_NOT_TRADING


def _latched(journal: "Path") -> str:
    """Return what the journal says of a stop, if it can be read."""
    from rl_trader.errors import RlTraderError
    from rl_trader.live.monitor.clearing import latched_stops

    try:
        text = latched_text(latched_stops(journal))
    except RlTraderError:
        return ""
    return f" ({text})" if text else ""
