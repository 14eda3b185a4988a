"""Events and intents as JSON, for the journal: names and plain values, decimals as text."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import partial
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from rl_trader.errors import RlTraderError
from rl_trader.live.core import events
from rl_trader.live.core.events import Event

T = TypeVar("T")
_Reader = Callable[[Any], Any]
_Form = tuple[dict[str, _Reader | None], frozenset[str]]  # how each field is read; those that no record is without
_KNOWN_FORMS: Final[dict[object, _Form]] = {}
_AS_THEY_ARE: Final = (str, int, bool, float)
KINDS: Final[dict[str, type[Event]]] = {kind.__name__: kind for kind in get_args(events.Event)}


class CodecError(RlTraderError):
    """Text of the journal that is no event of this version."""


def encode(record: object) -> dict[str, Any]:
    """Return a record's fields as plain values."""
    return {name: _plain(getattr(record, name)) for name in _form(type(record))[0]}


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
    readers, older = _form(kind)
    if not older <= body.keys() <= readers.keys():
        difference = ", ".join(sorted(body.keys() ^ readers.keys()))
        raise CodecError(f"a {kind.__name__} of the journal has a missing or unknown field ({difference})")
    return kind(**{name: value if (read := readers[name]) is None else read(value) for name, value in body.items()})


def _form(kind: Any) -> _Form:  # noqa: ANN401 - any dataclass
    if kind not in _KNOWN_FORMS:
        hints, own = get_type_hints(kind), fields(kind)
        older = frozenset(field.name for field in own if field.default is MISSING)
        _KNOWN_FORMS[kind] = {field.name: _reader(hints[field.name]) for field in own}, older
    return _KNOWN_FORMS[kind]


def _plain(value: object) -> object:
    if value is None or type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return encode(value) if is_dataclass(value) else value


def _reader(kind: Any) -> _Reader | None:  # noqa: ANN401 - whatever the field is annotated with
    if get_origin(kind) is UnionType:
        (kind,) = (option for option in get_args(kind) if option is not NoneType)
        read = _reader(kind)
        return None if read is None else lambda value: None if value is None else read(value)
    if get_origin(kind) is tuple:
        each = _reader(get_args(kind)[0])
        return tuple if each is None else lambda value: tuple(each(item) for item in value)
    if kind is Decimal or (isinstance(kind, type) and issubclass(kind, Enum)):
        return kind
    return partial(decode, kind) if is_dataclass(kind) and isinstance(kind, type) else None
