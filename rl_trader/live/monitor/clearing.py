"""Resuming while no trader runs: the stop is latched in the journal, and is cleared there."""

from pathlib import Path

from rl_trader.errors import ConfigError
from rl_trader.live.core.codec import encode
from rl_trader.live.core.events import Resumed
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.journal.rows import ClearedStopRow, LatchedStop, NewEvent
from rl_trader.live.journal.schema import JournalIdentity


def latched_stops(journal: Path) -> list[LatchedStop]:
    """Return the stops that nobody has cleared, of a journal that no trader writes.

    Raises:
        ConfigError: If a trader has it open, or there is none.
        JournalError: If it cannot be read.
    """
    if not journal.is_file():
        raise ConfigError(f"the journal {journal} must be there and is not; name the run's folder, or --journal")
    with open_read_only(journal) as reader:
        return reader.latched_stops()


def clear_stops(journal: Path, reason: str, by: str) -> list[LatchedStop]:
    """Clear what is latched, and return it; the next start enters again.

    The event has the time of the newest that the journal knows, since nobody asks the exchange for its own.

    Raises:
        ConfigError: If a trader has it open, or there is none.
        JournalError: If it cannot be written.
    """
    if not latched_stops(journal):
        return []
    with open_read_only(journal) as reader:
        identity = JournalIdentity(**reader.identity())
    with Journal.open(journal, identity) as opened:
        stops = opened.latched_stops()
        newest_ms = max((event.exchange_ms or 0 for event in opened.events()), default=0)
        event = Resumed(t_ms=newest_ms, reason=reason, by=by)
        rows = tuple(ClearedStopRow(stop_seq=stop.seq, by=by, reason=reason) for stop in stops)
        opened.append(
            [
                NewEvent(
                    source="core",
                    kind=Resumed.__name__,
                    session_ms=0,
                    exchange_ms=newest_ms,
                    body=encode(event),
                    rows=rows,
                )
            ]
        )
    return stops
