"""The journal's tables, their version, and whose journal it is.

The version is SQLite's ``user_version``: how many of :data:`STEPS` the file has had. A journal of an older version is
brought to this one in one transaction; one of a newer version is refused, since this program does not know what it
would have to keep. A step may add tables and columns that can be null, and change nothing that digests are made of.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.live.journal.chain import DamagedJournalError, JournalError, canonical

APPLICATION_ID: Final = 0x524C_544A  # "RLTJ": what kind of SQLite file it is
OLDEST_SQLITE: Final = (3, 37, 0)  # knows strict tables

Step = Sequence[str]

_BOOKED: Final = "seq INTEGER NOT NULL REFERENCES event(seq), place INTEGER NOT NULL, UNIQUE (seq, place)"
_TABLES: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    """CREATE TABLE event (
        seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, exchange_ms INTEGER, session_ms INTEGER NOT NULL,
        source TEXT NOT NULL, kind TEXT NOT NULL,
        cause_seq INTEGER REFERENCES event(seq) CHECK (cause_seq < seq), body TEXT NOT NULL,
        digest BLOB NOT NULL CHECK (length(digest) = 32)) STRICT""",
    f"""CREATE TABLE decision (
        symbol TEXT NOT NULL, bar_open_ms INTEGER NOT NULL, model_sha256 TEXT NOT NULL, observation BLOB NOT NULL,
        observation_sha256 TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
        {_BOOKED}, PRIMARY KEY (symbol, bar_open_ms)) STRICT""",
    f"""CREATE TABLE outcome (
        symbol TEXT NOT NULL, bar_open_ms INTEGER NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
        {_BOOKED}, PRIMARY KEY (symbol, bar_open_ms)) STRICT""",
    f"""CREATE TABLE intent (
        client_order_id TEXT PRIMARY KEY CHECK (length(client_order_id) BETWEEN 1 AND 36), symbol TEXT NOT NULL,
        decision TEXT NOT NULL, leg TEXT NOT NULL, attempt INTEGER NOT NULL, purpose TEXT NOT NULL,
        side TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')), order_type TEXT NOT NULL, quantity TEXT, price TEXT,
        trigger_price TEXT, reduce_only INTEGER NOT NULL, algo INTEGER NOT NULL, state TEXT NOT NULL,
        {_BOOKED}, UNIQUE (symbol, decision, leg, attempt)) STRICT""",
    f"""CREATE TABLE intent_state (
        client_order_id TEXT NOT NULL REFERENCES intent(client_order_id), state TEXT NOT NULL, order_id INTEGER,
        executed TEXT NOT NULL, sent_ms INTEGER, fence_ms INTEGER, reason TEXT NOT NULL, {_BOOKED}) STRICT""",
    "CREATE INDEX intent_state_of ON intent_state (client_order_id, seq, place)",
    f"""CREATE TABLE fill (
        symbol TEXT NOT NULL, trade_id INTEGER NOT NULL, order_id INTEGER NOT NULL, client_order_id TEXT,
        side TEXT NOT NULL CHECK (side IN ('BUY', 'SELL')), quantity TEXT NOT NULL, price TEXT NOT NULL,
        commission TEXT NOT NULL, commission_asset TEXT NOT NULL, realized_pnl TEXT NOT NULL,
        time_ms INTEGER NOT NULL, source TEXT NOT NULL, {_BOOKED}, PRIMARY KEY (symbol, trade_id)) STRICT""",
    f"""CREATE TABLE income (
        income_type TEXT NOT NULL, tran_id INTEGER NOT NULL, symbol TEXT, asset TEXT NOT NULL, amount TEXT NOT NULL,
        time_ms INTEGER NOT NULL, {_BOOKED}, PRIMARY KEY (income_type, tran_id)) STRICT""",
    f"""CREATE TABLE posting (
        key TEXT NOT NULL, leg INTEGER NOT NULL, account TEXT NOT NULL, asset TEXT NOT NULL, amount TEXT NOT NULL,
        time_ms INTEGER NOT NULL, {_BOOKED}, PRIMARY KEY (key, leg)) STRICT""",
    f"""CREATE TABLE risk_stop (
        kind TEXT NOT NULL CHECK (kind IN ('HALT', 'KILL')), reason TEXT NOT NULL CHECK (reason <> ''),
        by TEXT NOT NULL CHECK (by <> ''), {_BOOKED}, UNIQUE (seq)) STRICT""",
    f"""CREATE TABLE cleared_stop (
        stop_seq INTEGER PRIMARY KEY REFERENCES risk_stop(seq) CHECK (stop_seq < seq),
        by TEXT NOT NULL CHECK (by <> ''), reason TEXT NOT NULL CHECK (reason <> ''), {_BOOKED}) STRICT""",
    """CREATE TABLE snapshot (
        seq INTEGER PRIMARY KEY REFERENCES event(seq), state TEXT, state_sha256 BLOB NOT NULL,
        digest BLOB NOT NULL) STRICT""",
)
_APPEND_ONLY: Final = (
    "event",
    "decision",
    "outcome",
    "intent",
    "intent_state",
    "fill",
    "income",
    "posting",
    "risk_stop",
    "cleared_stop",
)
_SEEN: Final = (
    f"""CREATE TABLE account_at_close (
        symbol TEXT NOT NULL, bar_open_ms INTEGER NOT NULL, wallet_balance TEXT NOT NULL, amount TEXT NOT NULL,
        entry_price TEXT NOT NULL, isolated_wallet TEXT NOT NULL, bars_held INTEGER NOT NULL, mark_close TEXT NOT NULL,
        next_funding_ms INTEGER, {_BOOKED}, PRIMARY KEY (symbol, bar_open_ms)) STRICT""",
    f"""CREATE TABLE market (
        symbol TEXT NOT NULL, series TEXT NOT NULL, time_ms INTEGER NOT NULL, body TEXT NOT NULL,
        {_BOOKED}, PRIMARY KEY (symbol, series, time_ms)) STRICT""",
)


def _guards(*tables: str) -> Step:
    """Return what lets tables be appended to, and nothing else."""
    return tuple(
        f"CREATE TRIGGER {table}_keeps_{verb.lower()} BEFORE {verb} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, '{table} is only appended to'); END"
        for table in tables
        for verb in ("UPDATE", "DELETE")
    )


STEPS: Final[Sequence[Step]] = (
    (*_TABLES, *_guards(*_APPEND_ONLY)),
    (*_SEEN, *_guards("account_at_close", "market")),
    ("ALTER TABLE decision ADD COLUMN memory BLOB",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalIdentity:
    """Whose journal it is; none of it is a secret."""

    mode: str  # paper, demo or live
    account: str  # the account's number, or a digest of it
    checkpoint: str  # digest of the model that trades

    def as_json(self) -> dict[str, str]:
        """Return it as the journal keeps it."""
        return asdict(self)


def check_sqlite(version: tuple[int, int, int]) -> None:
    """Refuse an SQLite that does not know what the tables need.

    Raises:
        ConfigError: If it is too old.
    """
    if version < OLDEST_SQLITE:
        wanted, found = (".".join(map(str, v)) for v in (OLDEST_SQLITE, version))
        raise ConfigError(f"the journal needs SQLite {wanted} and Python has {found}; use a newer Python")


def version_of(connection: sqlite3.Connection) -> int:
    """Return how many steps a file has had."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    """Bring a file to the version of the steps, wholly or not at all.

    Raises:
        sqlite3.Error: If a step fails.
    """
    version = version_of(connection)
    if version == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check_version(connection: sqlite3.Connection, path: Path, steps: Sequence[Step] = STEPS) -> None:
    """Refuse a file that is no journal, or one of a newer version, or whose tables are not those of its version.

    Raises:
        JournalError: If it is of a newer version.
        DamagedJournalError: If it is no journal, or its tables are others.
    """
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise DamagedJournalError(f"{path} must be a journal of this program and is another file; give another path")
    version = version_of(connection)
    if version > len(steps):
        raise JournalError(
            f"the journal {path} has version {version} and this program knows versions up to {len(steps)}; use the"
            " program that wrote it, or a newer one"
        )
    with_same_version = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(with_same_version, steps[:version])
        if _shape(connection) != _shape(with_same_version):
            raise DamagedJournalError(f"the journal {path} has other tables than version {version}; restore a copy")
    finally:
        with_same_version.close()


def write_identity(connection: sqlite3.Connection, identity: JournalIdentity, epoch: int) -> None:
    """Write whose journal it is and how often it was opened, within the caller's transaction."""
    text = canonical(identity.as_json())
    values = {"identity": text, "epoch": str(epoch), "sha256": _meta_sha256(text, str(epoch))}
    connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", sorted(values.items()))


def read_meta(connection: sqlite3.Connection, path: Path) -> tuple[str, int]:
    """Return the identity as canonical JSON and the epoch.

    Raises:
        DamagedJournalError: If they are not as they were written.
    """
    found = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    identity, epoch = found.get("identity", ""), found.get("epoch", "")
    if found.get("sha256") != _meta_sha256(identity, epoch):
        raise DamagedJournalError(f"the journal {path} does not say whole whose it is; restore a copy")
    return identity, int(epoch)


def check_identity(found: str, wanted: JournalIdentity, path: Path) -> None:
    """Refuse the journal of another account, mode or checkpoint.

    Raises:
        ConfigError: If it is another's.
    """
    if found != (text := canonical(wanted.as_json())):
        raise ConfigError(f"the journal {path} must be of {text} and is of {found}; give another path")


def _shape(connection: sqlite3.Connection) -> list[tuple[str, str, str | None]]:
    return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def _meta_sha256(identity: str, epoch: str) -> str:
    return hashlib.sha256(f"{identity}\n{epoch}".encode()).hexdigest()
