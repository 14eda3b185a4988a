"""The journal: what it takes and refuses, what it says of damage, and that equal calls give equal journals."""

import random
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.errors import ConfigError, RlTraderError
from rl_trader.live.journal.audit import AT_ONCE
from rl_trader.live.journal.chain import (
    DamagedJournalError,
    DuplicateRowError,
    EventHead,
    JournalError,
    Json,
    canonical,
    event_digest,
    genesis,
)
from rl_trader.live.journal.file import ballast_path, check_settings, connect_reading, keep_ballast, move_aside
from rl_trader.live.journal.instance_lock import InstanceLock, lock_path
from rl_trader.live.journal.journal import GROUP, KEPT_STATES, Journal
from rl_trader.live.journal.reader import JournalReader, open_read_only
from rl_trader.live.journal.rows import (
    ROW_KINDS,
    ClearedStopRow,
    DecisionRow,
    FillRow,
    IntentRow,
    IntentStateRow,
    LatchedStop,
    NewEvent,
    PostingRow,
    Row,
    stored,
)
from rl_trader.live.journal.schema import STEPS, check_sqlite, check_version, migrate
from rl_trader.live.journal.tip import tip_path
from rl_trader.live.redaction import HIDDEN
from tests.journal_child import (
    IDENTITY,
    RESERVE,
    Points,
    a_day,
    decision,
    fill,
    halt,
    income,
    intent,
    market_event,
    open_journal,
    order_event,
    postings,
)

FLIPS = 150  # of single bits, in each file
EVENTS = 35  # of a day


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with open_journal(tmp_path / "journal") as opened:
        yield opened


def booking(*rows: Row) -> NewEvent:
    return NewEvent(source="test", kind="Booked", session_ms=1, body={}, rows=rows)


def image(journal: Path, folder: Path) -> Path:
    """Copy what a power loss would leave of an open journal."""
    folder.mkdir()
    for part in journal.parent.iterdir():
        if part.is_file() and part.suffix not in (".lock", ".ballast"):
            shutil.copy(part, folder / part.name)
    return folder / journal.name


# ---- What is written is read


def test_events_come_back_in_order_as_they_were_given(journal: Journal) -> None:
    a_day(journal)
    events = list(journal.events())
    assert [event.seq for event in events] == list(range(1, EVENTS + 1))
    assert events[0].source == "market"
    assert events[0].body == {"open_ms": 60_000, "close": "67001.10", "is_alive": True}
    assert (events[2].exchange_ms, events[2].session_ms, events[2].cause_seq, events[2].epoch) == (2, 2, 2, 1)
    assert events[2].body == {"é": ["\ud800", None, -1]}
    assert events[3].exchange_ms is None
    assert [event.seq for event in journal.events(after_seq=EVENTS - 2)] == [34, 35]


def test_more_events_than_are_read_at_once_come_back_without_a_gap(journal: Journal) -> None:
    journal.append([market_event(number) for number in range(2_345)])
    assert [event.body["open_ms"] for event in journal.events()] == [number * 60_000 for number in range(2_345)]


def test_rows_come_back_as_they_were_given_with_the_number_of_their_event(journal: Journal) -> None:
    stop = replace(intent("q-2"), quantity=None, trigger_price=Decimal("1.10"), algo=True, reduce_only=True)
    journal.append([order_event("q-1", decision(5)), booking(stop, fill(7, client_order_id=None))])
    assert list(journal.rows(IntentRow)) == [(1, intent("q-1")), (2, stop)]
    assert list(journal.rows(DecisionRow)) == [(1, decision(5))]
    assert list(journal.rows(FillRow)) == [(2, fill(7, client_order_id=None))]
    assert str(next(journal.rows(FillRow))[1].price) == "67000.10"


def test_a_journal_goes_on_where_it_was_closed(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        with open_journal(tmp_path / "journal") as journal:
            assert journal.epoch == epoch
            assert journal.append([market_event(epoch)]) == epoch
    with open_journal(tmp_path / "journal") as journal:
        assert [event.epoch for event in journal.events()] == [1, 2, 3]


def test_the_newest_state_of_an_intent_is_its_state(journal: Journal) -> None:
    assert journal.intent_state("q-1") is None
    journal.append([order_event("q-1"), order_event("q-2")])
    assert journal.intent_state("q-1") == "PLANNED"
    journal.append([booking(*(IntentStateRow(client_order_id="q-1", state=s) for s in ("SENT", "UNKNOWN")))])
    assert (journal.intent_state("q-1"), journal.intent_state("q-2")) == ("UNKNOWN", "PLANNED")


def test_a_stop_holds_over_restarts_until_a_person_clears_it(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal") as journal:
        journal.append([halt("too many refusals"), halt("the wallet differs")])
    with open_journal(tmp_path / "journal") as journal:
        assert journal.latched_stops() == [
            LatchedStop(1, "HALT", "too many refusals", "journal"),
            LatchedStop(2, "HALT", "the wallet differs", "journal"),
        ]
        journal.append([booking(ClearedStopRow(stop_seq=1, by="ann", reason="looked at"))])
        assert [stop.seq for stop in journal.latched_stops()] == [2]
        with pytest.raises(JournalError):  # by nobody
            journal.append([booking(ClearedStopRow(stop_seq=2, by="", reason="looked at"))])
        with pytest.raises(DuplicateRowError):
            journal.append([booking(ClearedStopRow(stop_seq=1, by="bob", reason="again"))])
        assert [stop.seq for stop in journal.latched_stops()] == [2]


def test_equal_calls_give_equal_journals_and_one_other_value_another(tmp_path: Path) -> None:
    said = []
    for name in ("one", "two", "other"):
        with open_journal(tmp_path / name) as journal:
            a_day(journal)
            if name == "other":
                journal.append([replace(market_event(99), session_ms=100)])
            else:
                journal.append([market_event(99)])
            journal.flush()
            said.append(journal.dump())
    assert said[0] == said[1]
    one, other = said[0].splitlines(), said[2].splitlines()
    assert len(one) == len(other)
    assert sum(a != b for a, b in zip(one, other, strict=True)) == 1
    assert said[0].isascii()


def test_how_events_are_grouped_changes_nothing_in_the_journal(tmp_path: Path) -> None:
    events = [order_event(f"q-{number}") if number % 5 == 0 else market_event(number) for number in range(40)]
    said = []
    for size in (1, 7, 40):
        with open_journal(tmp_path / str(size)) as journal:
            for start in range(0, 40, size):
                journal.append(events[start : start + size])
            journal.flush()
            said.append(journal.dump())
    assert said[0] == said[1] == said[2]


# ---- What is durable when


def test_events_that_book_nothing_wait_for_a_flush_or_for_what_books(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal") as journal:
        journal.append([market_event(1)])
        assert journal.last_seq == 1
        assert list(journal.events()) == []
        journal.append([order_event("q-1")])
        assert [event.seq for event in journal.events()] == [1, 2]
        journal.append([market_event(2)])
        lost = image(tmp_path / "journal", tmp_path / "lost")
        journal.flush()
        kept = image(tmp_path / "journal", tmp_path / "kept")
    for path, last in ((lost, 2), (kept, 3)):
        with open_journal(path) as journal:
            assert journal.last_seq == last


def test_events_do_not_wait_without_end(journal: Journal) -> None:
    for number in range(GROUP):
        assert list(journal.events()) == []
        journal.append([market_event(number)])
    assert len(list(journal.events())) == GROUP


def test_what_waits_is_written_when_the_journal_is_closed(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal") as journal:
        journal.append([market_event(1)])
    journal.close()  # twice is harmless
    with open_journal(tmp_path / "journal") as again:
        assert again.last_seq == 1
    with pytest.raises(JournalError, match="is closed; open it again"):
        journal.append([market_event(2)])


def test_an_order_is_in_the_file_when_its_append_returns(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal") as journal:
        for number in range(20):
            journal.append([order_event(f"q-{number}")])
            with open_journal(image(tmp_path / "journal", tmp_path / str(number))) as found:
                assert found.intent_state(f"q-{number}") == "PLANNED"


# ---- What is refused


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (intent("q-1"), intent("q-1", decision="another")),
        (intent("q-1", decision="5"), intent("q-2", decision="5")),
        (fill(7), fill(7, source="question")),
        (income(7), income(7)),
        (decision(60_000), decision(60_000, b"other")),
    ],
)
def test_what_can_be_only_once_is_refused_the_second_time_and_the_journal_goes_on(
    journal: Journal, first: Row, second: Row
) -> None:
    journal.append([booking(first)])
    journal.append([market_event(1)])
    with pytest.raises(DuplicateRowError, match="UNIQUE constraint failed"):
        journal.append([market_event(2), booking(fill(99), second)])
    assert journal.failure is None
    assert journal.append([booking(fill(100))]) == 3  # what waited is there, what was refused is not
    assert [row.trade_id for _, row in journal.rows(FillRow) if row.trade_id >= 99] == [100]
    journal.verify()


def test_what_differs_in_its_key_is_no_duplicate(journal: Journal) -> None:
    journal.append([booking(fill(7), fill(8), fill(7, symbol="ETHUSDT"), income(7), income(7, "TRANSFER"))])
    journal.append([booking(intent("q-1"), intent("q-2", decision="q-1", attempt=2), decision(1), decision(2))])
    assert journal.last_seq == 2


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ((IntentStateRow(client_order_id="q-9", state="SENT"),), "FOREIGN KEY constraint failed"),
        ((ClearedStopRow(stop_seq=1, by="ann", reason="none"),), "FOREIGN KEY|CHECK"),
        ((intent("q" * 37),), "CHECK constraint failed"),
        ((intent("q-1", side="LONG"),), "CHECK constraint failed"),
        ((intent("q-1", quantity=0.01),), "quantity of a row of intent must be of type Decimal and is 0.01"),
        ((intent("q-1", quantity=Decimal("NaN")),), "quantity of a row of intent must be a number that is finite"),
        ((intent("q-1", quantity=Decimal("1E+99")),), "of the exchange's size"),
        ((intent("q-1", attempt=True),), "attempt of a row of intent must be a whole number"),
        ((intent("q-1", attempt=2**63),), "attempt of a row of intent must be a whole number of 64 bits"),
        ((intent("q-1", leg=None),), "leg of a row of intent must be of type str and is None"),
        ((intent("q-1", leg="\udc00"),), "leg of a row of intent must be a text of whole characters"),
        (postings("trade:1", "1.5"), "postings of trade:1 must have two legs or more that sum to zero"),
        (postings("trade:1", "1.5", "-1.49999999"), "postings of trade:1 must have two legs"),
        ((*postings("a", "1", "-1"), *postings("b", "1", "1")), "postings of b must have two legs"),
    ],
)
def test_rows_that_are_none_are_refused_and_leave_nothing(
    journal: Journal, rows: tuple[Row, ...], sentence: str
) -> None:
    with pytest.raises(JournalError, match=sentence):
        journal.append([market_event(1), booking(*rows)])
    assert journal.last_seq == 0
    assert journal.failure is None
    assert list(journal.events()) == []
    assert journal.append([order_event("q-1")]) == 1


def test_postings_sum_to_zero_in_each_asset(journal: Journal) -> None:
    legs = [*postings("swap", "1", "-1", "-70000"), PostingRow(**_fields(postings("swap", "0")[0], 3, "BTC"))]
    with pytest.raises(JournalError, match="postings of swap"):
        journal.append([booking(*legs)])
    journal.append([booking(*postings("fee", "0.1", "0.2", "-0.3"))])  # exact, unlike floats


def _fields(row: PostingRow, leg: int, asset: str) -> dict[str, Any]:
    return {"key": row.key, "leg": leg, "account": "x", "asset": asset, "amount": row.amount, "time_ms": 6}


def test_an_observation_must_be_that_of_its_digest() -> None:
    with pytest.raises(JournalError, match="must have the digest"):
        replace(decision(1), observation=b"other")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"price": 1.5}, "price of it is of type float; write it as text"),
        ({"a": [{"b": float("nan")}]}, "b of an item of a of it is of type float"),
        ({"a": Decimal("1.5")}, "a of it is of type Decimal"),
        ({"a": np.float64(1)}, "a of it is of type float64"),
        ({"a": np.int64(1)}, "a of it is of type int64"),
        ({"a": b"x"}, "a of it is of type bytes"),
        ({1: "x"}, "a key of it is of type int"),
        ({"a": 10**5_000}, "must be plain JSON"),
    ],
)
def test_a_body_with_more_than_one_text_is_refused(journal: Journal, body: Any, sentence: str) -> None:
    with pytest.raises(JournalError, match=sentence):
        journal.append([market_event(1), replace(market_event(2), body=body)])
    assert journal.last_seq == 0


def test_a_body_that_has_no_end_is_refused(journal: Journal) -> None:
    body: dict[str, Any] = {}
    body["again"] = body
    with pytest.raises(JournalError, match="nested too deeply"):
        journal.append([replace(market_event(1), body=body)])


@pytest.mark.parametrize("cause", [0, 1, 2, -1, 2**63])
def test_the_cause_of_an_event_is_an_event_before_it(journal: Journal, cause: int) -> None:
    with pytest.raises(JournalError, match="the cause of"):
        journal.append([replace(market_event(1), cause_seq=cause)])
    assert journal.last_seq == 0
    assert journal.append([market_event(1), replace(order_event("q-1"), cause_seq=1)]) == 2


texts = st.text(st.characters(), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=4), st.randoms(use_true_random=False))
def test_a_value_has_one_text_whatever_the_order_of_its_keys(value: dict[str, Json], shuffled: random.Random) -> None:
    def turned(inner: Any) -> Any:
        if isinstance(inner, list):
            return tuple(turned(item) for item in inner)
        if not isinstance(inner, dict):
            return inner
        keys = list(inner)
        shuffled.shuffle(keys)
        return {key: turned(inner[key]) for key in keys}

    text = canonical(value)
    assert canonical(turned(value)) == text
    assert text.isascii()


def test_no_secret_is_written(journal: Journal, tmp_path: Path) -> None:
    canary = "CANARY7a31"
    names = ("listenKey", "signature", "X-MBX-APIKEY", "apiSecret", "secret_key", "Authorization")
    journal.append(
        [replace(order_event("q-1"), body={"headers": [{name: canary, "symbol": "BTCUSDT"} for name in names]})]
    )
    assert canary not in journal.dump()
    journal.close()
    assert canary.encode() not in (tmp_path / "journal").read_bytes()
    assert f'"listenKey":"{HIDDEN}"'.encode() in (tmp_path / "journal").read_bytes()


# ---- Whose journal, which version, which settings


@pytest.mark.parametrize("name", ["mode", "account", "checkpoint"])
def test_the_journal_of_another_account_mode_or_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "journal"
    open_journal(path).close()
    content = path.read_bytes()
    with pytest.raises(ConfigError, match=f'must be of .*"{name}":"other".* and is of .*; give another path'):
        open_journal(path, replace(IDENTITY, **{name: "other"}))
    assert path.read_bytes() == content
    with open_read_only(path) as reader:
        assert reader.identity() == {"mode": "paper", "account": "7d1f", "checkpoint": "c0ffee"}
    open_journal(path).close()


def test_a_journal_of_a_newer_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    open_journal(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, [*STEPS, ["CREATE TABLE later (a TEXT) STRICT"]])
    for opened in (open_journal, open_read_only):
        with pytest.raises(JournalError, match="has version 4 and this program knows versions up to 3; use"):
            opened(path)


def test_a_migration_adds_to_a_journal_and_breaks_no_chain(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path) as journal:
        a_day(journal)
        said = journal.dump()
    newer = [*STEPS, ["ALTER TABLE fill ADD COLUMN maker INTEGER", "CREATE TABLE later (a TEXT) STRICT"]]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, newer)
        migrate(connection, newer)  # twice is harmless
        check_version(connection, path, newer)
    with closing(connect_reading(path)) as connection:
        reader = JournalReader(path, connection)
        reader.verify()
        assert reader.dump().replace('"maker": null, ', "") == said


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path) as journal:
        a_day(journal)
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        pytest.raises(sqlite3.OperationalError, match="already exists"),
    ):
        migrate(connection, [*STEPS, ["CREATE TABLE later (a TEXT) STRICT", "CREATE TABLE fill (a TEXT) STRICT"]])
    with open_journal(path) as journal:
        assert journal.last_seq == EVENTS


def test_another_sqlite_file_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    content = path.read_bytes()
    with pytest.raises(DamagedJournalError, match="must be a journal of this program and is another file"):
        open_journal(path)
    assert path.read_bytes() == content


def test_a_journal_without_one_of_its_guards_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    open_journal(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER event_keeps_delete")
    with pytest.raises(DamagedJournalError, match="has other tables than version 3"):
        open_journal(path)


def test_every_row_is_kept_from_change_and_removal(journal: Journal) -> None:
    a_day(journal)
    tables = ["event", *(kind.table for kind in ROW_KINDS)]
    for table in tables:
        assert journal._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] > 0
        for statement in (f"UPDATE {table} SET seq = seq", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match=f"{table} is only appended to"):
                journal._connection.execute(statement)


def test_what_is_committed_is_synced_and_nobody_else_has_the_file_open(journal: Journal) -> None:
    names = ("journal_mode", "synchronous", "locking_mode", "foreign_keys", "trusted_schema")
    found = [journal._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    assert found == ["wal", 2, "exclusive", 1, 0]


def test_a_connection_that_does_not_keep_its_settings_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:  # has no log to write ahead
        connection.execute("PRAGMA journal_mode = WAL")
        with pytest.raises(JournalError, match="needs SQLite's journal_mode to be wal and it is memory; put it on a"):
            check_settings(connection, {"journal_mode": ("WAL", "wal")}, tmp_path)


def test_an_sqlite_without_strict_tables_is_refused() -> None:
    check_sqlite((3, 37, 0))
    with pytest.raises(ConfigError, match=r"needs SQLite 3\.37\.0 and Python has 3\.36\.1"):
        check_sqlite((3, 36, 1))


def test_the_files_are_for_their_owner_alone(journal: Journal) -> None:
    journal.append([order_event("q-1")])
    parts = sorted(path.name for path in journal.path.parent.iterdir())
    assert {"journal", "journal-wal", "journal.ballast", "journal.lock", "journal.tip"} <= set(parts)
    for name in parts:
        assert (journal.path.parent / name).stat().st_mode & 0o077 == 0, name


# ---- Snapshots and copies


def test_the_newest_snapshot_is_where_a_replay_begins(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal") as journal:
        assert list(journal.snapshots()) == []
        for number in range(1, 8):
            journal.append([market_event(number)])
            journal.save_snapshot(number, f'{{"number": {number}}}')
        assert list(journal.snapshots()) == [(number, f'{{"number": {number}}}') for number in (7, 6, 5, 4)]
        with pytest.raises(DuplicateRowError):
            journal.save_snapshot(7, "{}")
        with pytest.raises(JournalError, match="a snapshot must be of an event from 1 to 7 and was of 8"):
            journal.save_snapshot(8, "{}")
        kept = [line for line in journal.dump().splitlines() if '"snapshot"' in line]
        assert len(kept) == 7
        assert sum('"state": null' in line for line in kept) == 7 - KEPT_STATES
    with open_journal(tmp_path / "journal") as journal:
        assert next(journal.snapshots()) == (7, '{"number": 7}')


def test_a_copy_says_what_the_journal_says_and_cannot_be_traded_on(journal: Journal, tmp_path: Path) -> None:
    a_day(journal)
    copy = tmp_path / "copies" / "journal"
    copy.parent.mkdir()
    before = journal.dump()
    journal.copy_to(copy)
    journal.append([order_event("q-3")])
    with open_read_only(copy) as reader:
        reader.verify()
        assert reader.dump() == before
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')")
    assert [path.name for path in copy.parent.iterdir()] == ["journal"]
    with pytest.raises(DamagedJournalError, match=r"has lost its file .* or is a copy; read it only"):
        open_journal(copy)
    with pytest.raises(JournalError, match="must be a new file and exists"):
        journal.copy_to(copy)
    with pytest.raises(JournalError, match="cannot be copied"):
        journal.copy_to(tmp_path / "nowhere" / "journal")
    assert journal.failure is None


def test_a_journal_that_is_being_written_is_not_read_by_another(journal: Journal) -> None:
    journal.append([order_event("q-1")])
    with pytest.raises(ConfigError, match="is open in another process; stop that one, or read a copy of it"):
        open_read_only(journal.path)


# ---- Damage


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a closed journal, and one as a power loss leaves it, with what they hold in their folders."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "open").mkdir()
    with open_journal(folder / "open" / "journal") as journal:
        a_day(journal)
        crashed = image(journal.path, folder / "crashed")
    closed = image(folder / "open" / "journal", folder / "closed")
    assert not (closed.parent / "journal-wal").exists()
    return {"closed": closed, "crashed": crashed}


def look(path: Path) -> str:
    """Return what a journal says, but for how often it was opened; or raise."""
    with open_journal(path) as journal:
        return said_by(journal)


def said_by(journal: Journal) -> str:
    """Return what a journal says, once all of it is checked; snapshots, which may be damaged, are left out."""
    for _ in journal.older:
        pass
    lines = journal.dump().splitlines(keepends=True)[1:]
    return "".join(line for line in lines if not line.startswith('{"sha256"'))


def try_damage(sound: Path, folder: Path, damage: Callable[[Path], None]) -> str | None:
    """Damage a journal and return the sentence with which it is refused; None if it says what it said before.

    A journal that is refused must be left as it was found.
    """
    shutil.rmtree(folder, ignore_errors=True)
    path = shutil.copytree(sound.parent, folder) / sound.name
    damage(path)
    parts = [part for part in folder.iterdir() if part.name in ("journal", "journal-wal", "journal.tip")]
    before = {part: part.read_bytes() for part in parts}
    try:
        journal = open_journal(path)
    except RlTraderError as error:
        assert {part: part.read_bytes() for part in parts} == before
        return str(error)
    with journal:
        try:
            said = said_by(journal)
        except RlTraderError as error:  # before its snapshot
            return str(error)
    assert said == whole(sound)
    return None


@cache
def whole(sound: Path) -> str:
    """Return what a sound journal says."""
    return look(shutil.copytree(sound.parent, sound.parent.with_name(f"{sound.parent.name} read")) / sound.name)


@pytest.mark.parametrize(("which", "part"), [("closed", ""), ("crashed", "-wal"), ("crashed", ""), ("closed", ".tip")])
def test_a_flipped_bit_is_found_at_the_opening_or_changes_nothing(
    images: dict[str, Path], tmp_path: Path, which: str, part: str
) -> None:
    draws = random.Random(f"{which}{part}")
    content = (images[which].parent / f"journal{part}").read_bytes()
    written = [position for position, byte in enumerate(content) if byte] or [0]
    found = 0
    for _ in range(FLIPS if len(content) > 1_000 else 60):
        position, bit = draws.choice(written), draws.randrange(8)

        def flip(path: Path, position: int = position, bit: int = bit) -> None:
            damaged = path.with_name(f"journal{part}")
            changed = bytearray(damaged.read_bytes())
            changed[position] ^= 1 << bit
            damaged.write_bytes(changed)

        sentence = try_damage(images[which], tmp_path / "flipped", flip)
        assert sentence is None or str(tmp_path) in sentence
        found += sentence is not None
    # All that is in a log is needed; a journal has much that is not; of the tip's two places one is enough.
    assert {"": found > 25, "-wal": found > 0.9 * FLIPS, ".tip": found == 0}[part], found


@pytest.mark.parametrize(("which", "part"), [("closed", ""), ("crashed", "-wal"), ("closed", ".tip")])
def test_a_file_that_is_cut_short_is_found_at_the_opening_or_changes_nothing(
    images: dict[str, Path], tmp_path: Path, which: str, part: str
) -> None:
    size = (images[which].parent / f"journal{part}").stat().st_size
    draws = random.Random(3)
    lengths = [0, 1, size - 1, *(draws.randrange(size) for _ in range(25)), *range(4_096, size, 4_096)[:30]]
    for length in lengths:

        def cut(path: Path, length: int = length) -> None:
            with path.with_name(f"journal{part}").open("r+b") as file:
                file.truncate(length)

        sentence = try_damage(images[which], tmp_path / "cut", cut)
        assert sentence is not None or (part == ".tip" and length > 100), length


@pytest.mark.parametrize(
    ("which", "part", "sentence"),
    [
        ("crashed", "-wal", "must be a journal|breaks at event|is damaged|was opened"),
        ("closed", ".tip", "has lost its file"),
        ("closed", "", "is missing while .*journal.tip is there; restore it, or move it aside"),
    ],
)
def test_a_file_that_is_gone_is_missed(
    images: dict[str, Path], tmp_path: Path, which: str, part: str, sentence: str
) -> None:
    path = shutil.copytree(images[which].parent, tmp_path / "gone") / "journal"
    path.with_name(f"journal{part}").unlink()
    with pytest.raises(DamagedJournalError, match=sentence):
        look(path)


@pytest.mark.parametrize(
    ("statements", "sentence"),
    [
        (["UPDATE event SET body = replace(body, '67003', '67009') WHERE seq = 9"], "breaks at event 9: its digest"),
        (["UPDATE event SET session_ms = 1 WHERE seq = 3"], "breaks at event 3: its digest"),
        (["DELETE FROM event WHERE seq = 12"], "breaks at event 12: it is missing, and event 13 follows"),
        (["DELETE FROM event WHERE seq = 35"], "breaks at event 35: it is missing, and event 35 was noted as durable"),
        (["DELETE FROM event WHERE seq > 8"], "breaks at event 9: it is missing, and event 35 was noted as durable"),
        (["UPDATE intent SET quantity = '0.100'"], "breaks at event 3: its digest"),
        (["DELETE FROM intent_state WHERE state = 'FILLED'"], "breaks at event 5: its rows are not numbered"),
        (["DELETE FROM income"], "breaks at event 6: its digest"),
        (["UPDATE fill SET seq = 50"], "is damaged \\(row 1 of fill refers to nothing\\)"),
        (["UPDATE decision SET observation = x'00'"], "breaks at event 3: its digest"),
        (["UPDATE meta SET value = '7' WHERE key = 'epoch'"], "does not say whole whose it is"),
    ],
)
def test_a_change_by_hand_is_found_where_it_was_made(
    images: dict[str, Path], tmp_path: Path, statements: list[str], sentence: str
) -> None:
    path = shutil.copytree(images["closed"].parent, tmp_path / "changed") / "journal"
    change(path, statements)
    with pytest.raises(DamagedJournalError, match=sentence):
        look(path)
    with open_read_only(path) as reader:  # it can still be read
        assert len(list(reader.events())) > 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE snapshot SET state = '{}'",
        "UPDATE snapshot SET seq = 5",
        "UPDATE snapshot SET state_sha256 = zeroblob(32)",
        "UPDATE snapshot SET digest = zeroblob(32)",
    ],
)
def test_a_damaged_snapshot_is_none_and_the_journal_is_whole_without_it(
    images: dict[str, Path], tmp_path: Path, statement: str
) -> None:
    path = shutil.copytree(images["closed"].parent, tmp_path / "changed") / "journal"
    with open_journal(path) as journal:
        assert [snapshot.state is None for snapshot in journal.snapshots()] == [False]
    change(path, [statement])
    with open_journal(path) as journal:
        assert [snapshot.state for snapshot in journal.snapshots()] == [None]
        with pytest.raises(DamagedJournalError, match="the snapshot after it is not the one that was taken"):
            journal.verify()


def test_what_is_before_a_snapshot_is_checked_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_journal(path) as journal:
        journal.append([market_event(number) for number in range(1, 2 * AT_ONCE + 30)])
        journal.save_snapshot(2 * AT_ONCE + 10, "{}")
    with open_journal(path) as journal:
        assert sum(1 for _ in journal.older) == 3
    change(path, [f"UPDATE event SET session_ms = 1 WHERE seq = {AT_ONCE + 5}"])
    with open_journal(path) as journal:
        next(journal.older)
        with pytest.raises(DamagedJournalError, match=f"breaks at event {AT_ONCE + 5}: its digest"):
            next(journal.older)
        assert next(journal.older, None) is None
    change(path, [f"UPDATE event SET session_ms = 1 WHERE seq = {2 * AT_ONCE + 11}"])
    with pytest.raises(DamagedJournalError, match=f"breaks at event {2 * AT_ONCE + 11}: its digest"):
        open_journal(path)


def change(path: Path, statements: list[str]) -> None:
    """Change a closed journal by hand, past its guards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
        for _, sql in guards:
            connection.execute(sql)


def test_another_history_in_the_place_of_the_journal_is_found(images: dict[str, Path], tmp_path: Path) -> None:
    path = shutil.copytree(images["closed"].parent, tmp_path / "trader") / "journal"
    with open_journal(tmp_path / "other") as other:
        other.append([replace(market_event(1), source="another")])
        a_day(other)
    shutil.copy(tmp_path / "other", path)
    sentence = f"breaks at event {EVENTS}: it is another event than the one that was noted as durable"
    with pytest.raises(DamagedJournalError, match=sentence):
        look(path)


def test_a_journal_that_has_forgotten_how_often_it_was_opened_is_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal"):
        path = image(tmp_path / "journal", tmp_path / "crashed")
    path.with_name("journal-wal").unlink()
    with pytest.raises(DamagedJournalError, match="was opened 1 times and knows of 0"):
        look(path)


def test_an_index_that_does_not_fit_its_table_is_found(images: dict[str, Path], tmp_path: Path) -> None:
    path = shutil.copytree(images["closed"].parent, tmp_path / "changed") / "journal"
    with closing(sqlite3.connect(path)) as connection:
        question = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_intent_1'"
        (page,) = connection.execute(question).fetchone()
    content = bytearray(path.read_bytes())
    place = content.index(b"q-1", (page - 1) * 4_096, page * 4_096)
    content[place + 2] = ord("9")
    path.write_bytes(content)
    with pytest.raises(DamagedJournalError, match=r"is damaged \(row 1 missing from index sqlite_autoindex_intent_1\)"):
        look(path)


def test_postings_that_do_not_sum_to_zero_are_found_even_under_a_right_digest(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    open_journal(path).close()
    head = EventHead(1, 1, None, 1, "test", "Booked", None, "{}")
    rows = [stored(row) for row in postings("fee", "1", "-2")]
    digest = event_digest(genesis(IDENTITY.as_json()), head, rows)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*head, digest))
        for place, row in enumerate(rows):
            connection.execute("INSERT INTO posting VALUES (?, ?, ?, ?, ?, ?, 1, ?)", (*row.values.values(), place))
    with pytest.raises(DamagedJournalError, match="breaks at event 1: the postings of fee do not sum to zero"):
        look(path)


def test_a_damaged_journal_is_moved_aside_only_when_told_to_and_stays_readable(
    images: dict[str, Path], tmp_path: Path
) -> None:
    path = shutil.copytree(images["crashed"].parent, tmp_path / "trader") / "journal"
    tip_path(path).unlink()
    for _ in range(2):
        with pytest.raises(DamagedJournalError, match="has lost its file"):
            look(path)
    aside = move_aside(path)
    assert aside == tmp_path / "trader" / "journal.damaged-1"
    with open_read_only(aside) as reader:
        reader.verify()
        assert len(list(reader.events())) == EVENTS
    with open_journal(path) as journal:
        assert (journal.epoch, journal.last_seq) == (1, 0)
        with pytest.raises(ConfigError, match="must have one trader"):
            move_aside(path)
    assert move_aside(path) == tmp_path / "trader" / "journal.damaged-2"
    assert sorted(part.name for part in path.parent.iterdir() if "damaged" not in part.name) == [
        "journal.ballast",
        "journal.lock",
    ]


# ---- Writes that fail


def fill_up(journal: Journal) -> None:
    """Let the journal have no more pages."""
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_journal_takes_nothing_until_the_reserve_is_used(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal") as journal:
        fill_up(journal)
        journal.append([market_event(1)])
        for number in range(50):
            try:
                journal.append([market_event(2), order_event(f"q-{number}", decision(number, bytes(1_000)))])
            except JournalError as error:
                refused = str(error)
                break
        assert 0 < number < 49
        assert re.search(r"cannot be written \(database or disk is full, SQLITE_FULL\); see to its disk", refused)
        assert journal.failure == refused
        for attempt in (lambda: journal.append([market_event(1)]), journal.flush, lambda: journal.save_snapshot(1, "")):
            with pytest.raises(JournalError, match="nothing is journalled since a failure"):
                attempt()
        written = journal.last_seq
        assert journal.intent_state(f"q-{number}") is None
        assert ballast_path(journal.path).stat().st_size == RESERVE
        journal._connection.execute("PRAGMA max_page_count = 1000000")
        journal.use_reserve()
        assert not ballast_path(journal.path).exists()
        assert journal.append([halt(), order_event("exit")]) == written + 2
        with pytest.raises(JournalError, match="is for a failure and there was none"):
            journal.use_reserve()
        fill_up(journal)
        with pytest.raises(JournalError, match="SQLITE_FULL"):
            journal.append([order_event("q", decision(1_000, bytes(100_000)))])
        with pytest.raises(JournalError, match="has no reserve left; make room on the disk and start the trader again"):
            journal.use_reserve()
    with open_journal(tmp_path / "journal") as journal:
        assert journal.last_seq == written + 2
        assert ballast_path(journal.path).stat().st_size == RESERVE
        assert len(journal.latched_stops()) == 1


def test_an_event_that_waits_while_a_write_fails_is_written_after_it(journal: Journal) -> None:
    journal.append([market_event(1), market_event(2)])
    fill_up(journal)
    with pytest.raises(JournalError, match="SQLITE_FULL"):
        journal.append([order_event("q-1", decision(0, bytes(100_000)))])
    journal._connection.execute("PRAGMA max_page_count = 1000000")
    journal.use_reserve()
    assert journal.append([halt()]) == 3
    assert [event.kind for event in journal.events()] == ["BarClosed", "BarClosed", "StopAsked"]
    journal.verify()


def test_a_reserve_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="needs 4611686018427387904 bytes in reserve and they cannot be had"):
        keep_ballast(tmp_path / "journal", 2**62)
    assert list(tmp_path.iterdir()) == []


def test_an_append_that_is_interrupted_anywhere_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    class Interrupt(BaseException):
        pass

    with open_journal(tmp_path / "journal") as journal:
        points: list[str] = []
        profiled(points.append, partial(journal.append, [market_event(0), order_event("q-0", fill(0))]))
        assert len(points) >= 10
        landed = 0
        for number, point in enumerate(points, 1):

            def interrupt(reached: str, point: str = point) -> None:
                if reached == point:
                    raise Interrupt

            before = journal.last_seq
            with pytest.raises(Interrupt):
                profiled(interrupt, partial(journal.append, [order_event(f"q-{number}", fill(number))]))
            if journal.failure is not None:
                keep_ballast(journal.path, RESERVE)
                journal.use_reserve()
            is_there = journal.intent_state(f"q-{number}") is not None
            assert journal.last_seq == before + is_there
            assert any(row.trade_id == number for _, row in journal.rows(FillRow)) == is_there
            journal.append([order_event(f"after-{number}")])
            journal.verify()
            landed += is_there
        assert 0 < landed < len(points)
    with open_journal(tmp_path / "journal") as journal:
        assert len(list(journal.rows(IntentRow))) == 1 + landed + len(points)


def profiled(reached: Callable[[str], None], call: Callable[[], object]) -> None:
    sys.setprofile(Points(reached))
    try:
        call()
    finally:
        sys.setprofile(None)


# ---- The lock


def test_a_lock_is_held_by_one_until_it_is_released(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with InstanceLock.acquire(journal) as lock:
        with pytest.raises(ConfigError, match=r"must have one trader and process [0-9]+ holds"):
            InstanceLock.acquire(journal)
        assert lock.is_held
        InstanceLock.acquire(tmp_path / "other").release()
    assert not lock.is_held
    lock.release()  # twice is harmless
    assert lock_path(journal).exists()
    InstanceLock.acquire(journal).release()


def test_a_lock_file_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be opened .*; let the trader's user write to its folder"):
        InstanceLock.acquire(tmp_path / "nowhere" / "journal")


def test_a_journal_that_is_refused_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"")
    with pytest.raises(DamagedJournalError, match="is empty and never was"):
        open_journal(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(JournalError, match="cannot be opened"):
        open_journal(path)
    path.rmdir()
    open_journal(path).close()
