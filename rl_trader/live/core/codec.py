"""Events and intents as JSON, for the journal: names and plain values, decimals as text."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from rl_trader.errors import RlTraderError
from rl_trader.live.core import events
from rl_trader.live.core.events import Event

T = TypeVar("T")
_KNOWN_HINTS: dict[object, dict[str, Any]] = {}
KINDS: Final[dict[str, type[Event]]] = {kind.__name__: kind for kind in get_args(events.Event)}


class CodecError(RlTraderError):
    """Text of the journal that is no event of this version."""


def encode(record: object) -> dict[str, Any]:
    """Return a record's fields as plain values."""
    assert is_dataclass(record)
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


def decode_event(kind: str, body: Mapping[str, Any]) -> Event:
    """Return the event that :func:`encode` wrote.

    Raises:
        CodecError: If there is no such event, or its fields are others.
    """
    if kind not in KINDS:
        raise CodecError(f"an event of the journal is a {kind}, which this version does not know; use a newer one")
    return decode(KINDS[kind], body)


def decode(kind: type[T], body: Mapping[str, Any]) -> T:
    """Return the record of a kind that :func:`encode` wrote; fields with a default may be missing from older ones.

    Raises:
        CodecError: If its fields are others.
    """
    hints, own = _hints(kind), {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    younger = {name for name, field in own.items() if field.default is not MISSING}
    if not set(hints) - younger <= set(body) <= set(hints):
        difference = ", ".join(sorted(set(body) ^ set(hints)))
        raise CodecError(f"a {kind.__name__} of the journal has a missing or unknown field ({difference})")
    return kind(**{name: _rich(hints[name], value) for name, value in body.items()})


def _hints(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    if kind not in _KNOWN_HINTS:
        hints = get_type_hints(kind)
        _KNOWN_HINTS[kind] = {field.name: hints[field.name] for field in fields(kind)}
    return _KNOWN_HINTS[kind]


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return encode(value) if is_dataclass(value) else value


def _rich(kind: Any, value: Any) -> Any:  # noqa: ANN401 - whatever the field is annotated with
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        (kind,) = (option for option in get_args(kind) if option is not NoneType)
    if get_origin(kind) is tuple:
        return tuple(_rich(get_args(kind)[0], item) for item in value)
    if kind is Decimal:
        return Decimal(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return decode(kind, value) if is_dataclass(kind) and isinstance(kind, type) else value
