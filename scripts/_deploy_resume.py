"""Let a trader enter again after a HALT or a KILL: ``python -m scripts.deploy resume RUN --reason TEXT``.

A trader that runs is asked; where none runs, the stop is cleared in the journal, for the next start. The file KILL is
removed.
"""

from typing import TYPE_CHECKING

from rl_trader.errors import ConfigError
from scripts._deploy_asking import asker, latched_text, parser_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: "Sequence[str]") -> int:
    """Resume, and return the exit code.

    Args:
        words: Of the command line.
    """
    from rl_trader.live.monitor.clearing import clear_stops
    from rl_trader.live.monitor.client import Client, NoTraderError, journal_of
    from rl_trader.live.monitor.kill_file import clear_kill, find_kill

    parser = parser_of("resume", __doc__)
    parser.add_argument("--reason", required=True, help="why it may enter again, for the journal")
    arguments = parser.parse_args(words)
    journal, reason = journal_of(arguments.run, arguments.journal), arguments.reason.strip()
    if not reason:
        raise ConfigError("a resumption must have a reason and has none; give --reason")
    try:
        Client(journal).resume(reason, asker())
    except NoTraderError:
        has_file = find_kill(journal) is not None
        stops = clear_stops(journal, reason, asker())
        clear_kill(journal)
        if not stops and not has_file:
            raise ConfigError(f"{journal} must have a stop to resume from and has none; start the trader") from None
        print(f"{latched_text(stops).replace('is latched', 'is cleared') or 'KILL is removed'}; no trader runs")
        return 0
    print("resumed; it enters again with the next bar")
    return 0
