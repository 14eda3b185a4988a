"""What is journalled: events, and the rows that an event books.

An event is one thing that can change the trader's state; its rows are what must be unique, found again or added up:
orders as they are meant, fills, income, postings, decisions, latched stops. A row is never changed: what comes of an
order is a row of its own, and so is the end of a stop. A field's name is its column's, a class's ``table`` its table's.

Prices in USDT per unit of the base asset, amounts in base asset, money in the asset that is named, times in
milliseconds since 1970 UTC on the exchange's clock unless a field says otherwise.
"""

import hashlib
import types
import typing
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar, Final, NamedTuple, TypeVar

from rl_trader.live.journal.chain import JournalError, Json, Stored, StoredRow

_LARGEST: Final = 2**63 - 1  # in a column
_MOST_EXPONENT: Final = 40  # of a number's text, so that none is written with a million digits
_FEWEST_LEGS: Final = 2  # of a posting


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What an event books; each kind has a table."""

    table: ClassVar[str]
    may_wait: ClassVar[bool] = False  # whether it may be lost with the process, since it can be seen again


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow(Row):
    """What the policy saw and wanted; one of a symbol and bar."""

    table: ClassVar[str] = "decision"
    symbol: str
    bar_open_ms: int
    model_sha256: str
    observation: bytes  # as the policy got it; empty where it was not asked
    observation_sha256: str  # hexadecimal
    action: str
    target: Decimal  # fraction of the largest exposure
    memory: bytes | None = None  # that the policy got with the observation; None where it remembered nothing

    def __post_init__(self) -> None:
        found = hashlib.sha256(self.observation).hexdigest()
        if self.observation_sha256 != found:
            raise JournalError(
                f"the observation of a decision must have the digest {self.observation_sha256} and has {found}; take"
                " both from what the policy got"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRow(Row):
    """How the decision on a bar ended, or why there was none; one of a symbol and bar."""

    table: ClassVar[str] = "outcome"
    symbol: str
    bar_open_ms: int
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentRow(Row):
    """One order as it is meant, journalled before it is sent."""

    table: ClassVar[str] = "intent"
    client_order_id: str
    symbol: str
    decision: str  # what it carries out
    leg: str
    attempt: int
    purpose: str
    side: str
    order_type: str
    quantity: Decimal | None = None  # None closes the position
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    reduce_only: bool
    algo: bool  # an order of the algo service
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentStateRow(Row):
    """How far an order has come."""

    table: ClassVar[str] = "intent_state"
    client_order_id: str
    state: str
    order_id: int | None = None  # the exchange's
    executed: Decimal = Decimal(0)  # base asset, not negative
    sent_ms: int | None = None
    fence_ms: int | None = None  # after which the exchange can no longer accept it
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRow(Row):
    """One trade of the account; one of a symbol and trade id."""

    table: ClassVar[str] = "fill"
    symbol: str
    trade_id: int
    order_id: int
    client_order_id: str | None
    side: str
    quantity: Decimal
    price: Decimal
    commission: Decimal  # positive where it was paid
    commission_asset: str
    realized_pnl: Decimal
    time_ms: int
    source: str  # by which way it was learned


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomeRow(Row):
    """A booking of the exchange; one of a type and transaction id."""

    table: ClassVar[str] = "income"
    income_type: str
    tran_id: int
    symbol: str | None = None
    asset: str
    amount: Decimal
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingRow(Row):
    """One leg of a double entry; the legs of a key come with one event and sum to zero in each asset."""

    table: ClassVar[str] = "posting"
    key: str  # what is booked, for example ``trade:BTCUSDT:123``
    leg: int
    account: str
    asset: str
    amount: Decimal
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskStopRow(Row):
    """A stop that holds until a person clears it; one of an event, and known by the event's number."""

    table: ClassVar[str] = "risk_stop"
    kind: str  # HALT or KILL
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearedStopRow(Row):
    """The end of a stop."""

    table: ClassVar[str] = "cleared_stop"
    stop_seq: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow(Row):
    """The account at a bar's close; one of a symbol and bar."""

    table: ClassVar[str] = "account_at_close"
    may_wait: ClassVar[bool] = True
    symbol: str
    bar_open_ms: int
    wallet_balance: Decimal
    amount: Decimal  # signed
    entry_price: Decimal
    isolated_wallet: Decimal
    bars_held: int  # since the position was opened
    mark_close: Decimal
    next_funding_ms: int | None = None  # as announced before the close


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRow(Row):
    """A bar, a candle of the mark price or a settlement as it was seen; one of a symbol, series and time."""

    table: ClassVar[str] = "market"
    may_wait: ClassVar[bool] = True
    symbol: str
    series: str
    time_ms: int
    body: str  # JSON list in the columns of the series, without the time, in the exchange's texts


ROW_KINDS: Final[tuple[type[Row], ...]] = (
    DecisionRow,
    OutcomeRow,
    IntentRow,
    IntentStateRow,
    FillRow,
    IncomeRow,
    PostingRow,
    RiskStopRow,
    ClearedStopRow,
    AccountRow,
    MarketRow,
)

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be journalled, with what it books."""

    source: str
    kind: str
    session_ms: int  # on this process's clock
    exchange_ms: int | None = None
    cause_seq: int | None = None  # number of the event that led to it
    body: Mapping[str, Json]
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as it is read back."""

    seq: int  # from 1, without a gap
    epoch: int  # how often the journal had been opened
    source: str
    kind: str
    session_ms: int
    exchange_ms: int | None
    cause_seq: int | None
    body: Mapping[str, Json]
    digest: bytes


class LatchedStop(NamedTuple):
    """A stop that nobody has cleared."""

    seq: int
    kind: str
    reason: str
    by: str


class _Column(NamedTuple):
    name: str
    kind: type
    is_optional: bool


def stored(row: Row) -> StoredRow:
    """Return a row as its table holds it.

    Raises:
        JournalError: If a value is of another type than its field, or none that a column can hold.
    """
    columns = _COLUMNS[row.table]
    return StoredRow(row.table, {c.name: _stored(getattr(row, c.name), c, row.table) for c in columns})


def row_from(kind: type[R], values: Mapping[str, Stored]) -> R:
    """Return the row that a table's columns hold; those of an older version may lack some that can be null."""
    known = [column for column in _COLUMNS[kind.table] if column.name in values or not column.is_optional]
    return kind(**{column.name: _read(values[column.name], column) for column in known})


def stored_text(value: str, place: str) -> str:
    """Return a text that a column can hold.

    Raises:
        JournalError: If it is no text, or has halves of characters.
    """
    if not isinstance(value, str):
        raise _fault(place, "a text", value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _fault(place, "a text of whole characters", value) from None
    return str(value)


def stored_whole(value: int, place: str) -> int:
    """Return a whole number that a column can hold.

    Raises:
        JournalError: If it is none, or has more than 64 bits.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not -_LARGEST <= value <= _LARGEST:
        raise _fault(place, "a whole number of 64 bits", value)
    return int(value)


def unbalanced(rows: Iterable[StoredRow]) -> str | None:
    """Return the key of a double entry that is none: with one leg, or whose legs do not sum to zero; else None."""
    sums: dict[str, dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    legs: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.table == PostingRow.table:
            key = str(row.values["key"])
            legs[key] += 1
            sums[key][str(row.values["asset"])] += Fraction(str(row.values["amount"]))
    return next((key for key in legs if legs[key] < _FEWEST_LEGS or any(sums[key].values())), None)


def _columns(kind: type[Row]) -> Sequence[_Column]:
    hints = typing.get_type_hints(kind)
    return tuple(_column(field.name, hints[field.name]) for field in fields(kind))


def _column(name: str, hint: object) -> _Column:
    if isinstance(hint, types.UnionType):
        (kind,) = (part for part in hint.__args__ if part is not type(None))
        return _Column(name, kind, is_optional=True)
    assert isinstance(hint, type)
    return _Column(name, hint, is_optional=False)


def _stored(value: object, column: _Column, table: str) -> Stored:
    place = f"{column.name} of a row of {table}"
    if value is None and column.is_optional:
        return None
    if column.kind is Decimal and isinstance(value, Decimal):
        return _stored_number(value, place)
    if column.kind is str and isinstance(value, str):
        return stored_text(value, place)
    if column.kind is int and isinstance(value, int):
        return stored_whole(value, place)
    if column.kind is bool and isinstance(value, bool):
        return int(value)
    if column.kind is bytes and isinstance(value, bytes):
        return value
    raise _fault(place, f"of type {column.kind.__name__}", value)


def _stored_number(value: Decimal, place: str) -> str:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > _MOST_EXPONENT or abs(value.adjusted()) > _MOST_EXPONENT:
        raise _fault(place, "a number that is finite and of the exchange's size", value)
    return format(value, "f")


def _read(value: Stored, column: _Column) -> object:
    return None if value is None else column.kind(value)


def _fault(place: str, wanted: str, value: object) -> JournalError:
    return JournalError(f"{place} must be {wanted} and is {value!r}; nothing was journalled")


_COLUMNS: Final = {kind.table: _columns(kind) for kind in ROW_KINDS}
