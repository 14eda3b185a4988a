"""The journal's unambiguous text, and the chain of digests over it.

Everything that is journalled becomes JSON in one form only: keys sorted, no spaces, ASCII, and no number with
decimals, since a float has many texts and a Decimal none; such numbers are written as text. Each event's digest is the
SHA-256 of the digest before it and of the event's text, its rows included, so that nothing can be changed, removed or
put in between without the chain breaking there. The chain begins at the identity of the journal.

What goes by the name of a secret is not written: its value is replaced before anything is computed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from rl_trader.errors import RlTraderError
from rl_trader.live.redaction import HIDDEN

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"
Stored: TypeAlias = int | str | bytes | None  # a value in a column


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

_SECRETS: Final = frozenset(
    {
        "apikey",
        "apisecret",
        "authorization",
        "listenkey",
        "passphrase",
        "password",
        "privatekey",
        "secret",
        "secretkey",
        "signature",
        "xmbxapikey",
    }
)


class JournalError(RlTraderError):
    """The journal cannot be used, or did not take what it was given; nothing of that was written."""


class DuplicateRowError(JournalError):
    """Something that can be only once is in the journal already."""


class DamagedJournalError(JournalError):
    """The journal is not what the trader wrote."""


class StoredRow(NamedTuple):
    """A row as its table holds it."""

    table: str
    values: dict[str, Stored]


class EventHead(NamedTuple):
    """The columns of an event, but for its digest."""

    seq: int
    epoch: int
    exchange_ms: int | None
    session_ms: int
    source: str
    kind: str
    cause_seq: int | None
    body: str  # canonical JSON


def canonical(value: Json) -> str:
    """Return a value as canonical JSON, without its secrets.

    Raises:
        JournalError: If it holds anything but texts, whole numbers, true, false, null, lists and objects.
    """
    try:
        return _ENCODER.encode(_plain(value, "it"))
    except RecursionError:
        raise JournalError("what is journalled must be a tree and is nested too deeply; journal it in parts") from None
    except ValueError as error:
        raise JournalError(f"what is journalled must be plain JSON and is not ({error}); write it as text") from error


def genesis(identity: Mapping[str, str]) -> bytes:
    """Return where the chain of a journal begins."""
    return hashlib.sha256(canonical(identity).encode()).digest()


def event_digest(previous: bytes, head: EventHead, rows: Sequence[StoredRow]) -> bytes:
    """Return the digest of an event.

    Args:
        previous: Digest of the event before it, or where the chain begins.
        head: Its columns.
        rows: What it booked, in order; columns that are null do not count, so that a later version may add some.
    """
    booked = [[row.table, {name: _digestible(v) for name, v in row.values.items() if v is not None}] for row in rows]
    text = _ENCODER.encode([*head, booked])
    return hashlib.sha256(previous + text.encode()).digest()


def state_sha256(state: str) -> bytes:
    """Return the digest of a snapshot's state."""
    return hashlib.sha256(state.encode()).digest()


def snapshot_digest(event: bytes, state: bytes) -> bytes:
    """Return what ties a snapshot's state to the event after which it was taken, both given by their digests."""
    return hashlib.sha256(event + state).digest()


def _digestible(value: Stored) -> int | str | None:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value


def _plain(value: object, place: str) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {_key(key, place): _member(key, item, place) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"an item of {place}") for item in value]
    raise JournalError(
        f"what is journalled must be texts, whole numbers, true, false, null, lists and objects, and {place} is of type"
        f" {type(value).__name__}; write it as text"
    )


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise JournalError(
            f"what is journalled must have texts as keys, and a key of {place} is of type {type(key).__name__};"
            " write it as text"
        )
    return key


def _member(key: str, value: object, place: str) -> object:
    return HIDDEN if _is_secret(key) else _plain(value, f"{key} of {place}")


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return "".join(letter for letter in key.casefold() if letter.isalnum()) in _SECRETS
