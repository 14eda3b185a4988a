"""Close everything and enter no more: ``python -m scripts.deploy kill RUN``.

Working orders are cancelled and the position is closed at market; that stays so, over all restarts, until ``resume``.
Where no trader answers, the file KILL is left beside the journal: one that hangs finds it when it goes on, and one that
is started does before anything else. Exit code 0 if the position is closed, or the file is left; 1 if it is not closed
in time.
"""

import time
from typing import TYPE_CHECKING, Final

from scripts._deploy_asking import LOOK_S, asker, parser_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rl_trader.live.monitor.client import Client

EXIT_NOT_CLOSED: Final = 1


def main(words: "Sequence[str]") -> int:
    """Kill, and return the exit code.

    Args:
        words: Of the command line.
    """
    from rl_trader.live.monitor.client import Client, NoTraderError, journal_of
    from rl_trader.live.monitor.kill_file import leave_kill

    parser = parser_of("kill", __doc__)
    parser.add_argument("--reason", default="a person has killed it", help="for the journal (default: %(default)s)")
    parser.add_argument("--wait", type=float, default=30.0, metavar="SECONDS", help="to be closed (default: 30)")
    arguments = parser.parse_args(words)
    journal = journal_of(arguments.run, arguments.journal)
    try:
        client = Client(journal)
        client.kill(arguments.reason, asker())
    except NoTraderError:
        path = leave_kill(journal, f"{arguments.reason} (by {asker()})")
        print(f"no trader answers; {path} kills it when it does, or the next one at its start")
        return 0
    return _wait(client, arguments.wait)


def _wait(client: "Client", wait_s: float) -> int:
    """Wait until nothing is held and nothing works any more."""
    until = time.monotonic() + wait_s
    while True:
        view = client.view()
        if view.account is not None and not view.account.amount and not view.open_orders and view.health.is_reconciled:
            print("killed; no position is held, and nothing is entered until `resume`")
            return 0
        if time.monotonic() >= until:
            held = "unknown" if view.account is None else view.account.amount
            print(f"killed; the position is {held} and not closed yet, see `status`")
            return EXIT_NOT_CLOSED
        time.sleep(LOOK_S)
