"""Resuming while no trader runs: the stop is latched in the journal, and is cleared there."""

from pathlib import Path

from rl_trader.errors import ConfigError
from rl_trader.live.core.codec import decode_event, encode
from rl_trader.live.core.events import AccountSeen, FillSeen, Resumed, Snapshot
from rl_trader.live.core.words import IntentState, StopKind
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.reader import JournalReader, open_read_only
from rl_trader.live.journal.rows import ClearedStopRow, IntentRow, IntentStateRow, LatchedStop, NewEvent
from rl_trader.live.journal.schema import JournalIdentity
from rl_trader.live.monitor.kill_file import find_kill

_ABOUT_POSITIONS = frozenset(kind.__name__ for kind in (AccountSeen, FillSeen, Snapshot))


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


def check_closed(journal: Path) -> None:
    """Refuse to go on from a kill that has not closed the position, or is not known to have; only a trader can do that.

    Raises:
        ConfigError: If there is such a kill, in the journal or by its file, or a trader has the journal open.
        JournalError: If it cannot be read.
    """
    is_killed = any(stop.kind == StopKind.KILL.value for stop in latched_stops(journal))
    if not is_killed and find_kill(journal) is None:
        return
    with open_read_only(journal) as reader:
        held, working = _held(reader), _working(reader)
    if held or working:
        raise ConfigError(
            "a kill must have closed the position before the trader resumes, and by the journal "
            f"{held or 'an order of it'} is still held or on its way; start the trader, which closes it, and resume"
            " then"
        )


def _held(reader: JournalReader) -> str:
    """Return what is held by the newest word on the account; empty if nothing."""
    told_ms, told, traded_ms = 0, "", 0
    for stored in reader.events():
        if stored.kind not in _ABOUT_POSITIONS:
            continue
        event = decode_event(stored.kind, stored.body)
        if isinstance(event, FillSeen):
            traded_ms = max(traded_ms, event.t_ms)
        elif isinstance(event, AccountSeen | Snapshot) and event.t_ms >= told_ms:
            told_ms, told = event.t_ms, f"{event.amount}" if event.amount else ""
    return told or ("what was traded last" if traded_ms > told_ms else "")


def _working(reader: JournalReader) -> bool:
    """Return whether an order that can change the position is not known to be over."""
    states = {row.client_order_id: row.state for _, row in reader.rows(IntentRow) if not row.algo}
    states |= {
        row.client_order_id: row.state for _, row in reader.rows(IntentStateRow) if row.client_order_id in states
    }
    return any(not IntentState(state).is_over for state in states.values())


def clear_stops(journal: Path, reason: str, by: str) -> list[LatchedStop]:
    """Clear what is latched, and return it; the next start enters again.

    The event has the time of the newest that the journal knows, since nobody asks the exchange for its own.

    Raises:
        ConfigError: If a trader has it open, or there is none, or a kill has not closed the position.
        JournalError: If it cannot be written.
    """
    check_closed(journal)
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
