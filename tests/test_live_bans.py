"""A ban is journalled, and a process that begins anew asks nothing before its end."""

from pathlib import Path

import pytest

from rl_trader.errors import ConfigError
from rl_trader.live.bans import banned, require_no_ban
from rl_trader.live.core.codec import encode
from rl_trader.live.core.events import Event, TimerFired
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.rows import NewEvent
from rl_trader.live.journal.schema import JournalIdentity

NOW = 1_764_500_000_000  # of the machine
PLAYED = NOW - 10**10  # of an exchange that plays the past


def write(path: Path, *events: Event) -> None:
    """Write a journal with events."""
    journal = Journal.open(path, JournalIdentity(mode="paper", account="main", checkpoint="a"))
    for event in events:
        body = encode(event)
        kind = type(event).__name__
        journal.append([NewEvent(source="core", kind=kind, session_ms=1, exchange_ms=event.t_ms, body=body, rows=())])
    journal.close()


def test_a_ban_holds_a_start_back_until_its_end_by_the_machines_clock(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    other = TimerFired(t_ms=PLAYED, name="poll")
    write(path, banned(PLAYED + 60_000, PLAYED, NOW), other, banned(PLAYED + 90_000, PLAYED, NOW), other)
    with pytest.raises(ConfigError, match=r"has banned it until .*; start again after that"):
        require_no_ban(path, NOW + 89_999)
    require_no_ban(path, NOW + 90_000)


def test_without_a_journal_or_a_ban_nothing_holds_a_start_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    require_no_ban(path, NOW)
    write(path, TimerFired(t_ms=PLAYED, name="poll"))
    require_no_ban(path, NOW)


def test_a_journal_that_cannot_be_read_is_for_its_opening_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"nothing of the kind")
    require_no_ban(path, NOW)
