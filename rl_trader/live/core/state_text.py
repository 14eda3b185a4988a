"""The core's whole state as text, and back: for snapshots, from which a replay of the journal may begin.

Two states have the same text if and only if they are equal, what is ordered in its order. What only the last step has
changed is left out. Mappings become lists of pairs, as their keys need not be texts, and sets become sorted lists.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from rl_trader.errors import RlTraderError
from rl_trader.live.core.state import Conduct, State

_LEFT_OUT: Final = frozenset({"changes", "conduct"})  # of a state: of one step, and given by whoever restores it
_AS_THEY_ARE: Final = (str, int, bool)

_Reader = Callable[[Any], Any]


class StateTextError(RlTraderError):
    """Text that is no state of this version."""


def state_text(state: State) -> str:
    """Return a state as text."""
    names = [field.name for field in fields(State) if field.name not in _LEFT_OUT]
    return json.dumps({name: _plain(getattr(state, name)) for name in names}, separators=(",", ":"))


def state_of(text: str, conduct: Conduct) -> State:
    """Return the state of a text, with nothing changed by a last step.

    Args:
        text: That :func:`state_text` has made.
        conduct: How the trader trades.

    Raises:
        StateTextError: If it is no text of this version's.
    """
    wanted = {field.name for field in fields(State)} - _LEFT_OUT
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or set(values) != wanted:
            raise ValueError("other fields")
        hints = get_type_hints(State)
        return State(conduct, **{name: _reader(hints[name])(value) for name, value in values.items()})
    except (ValueError, TypeError, ArithmeticError, KeyError) as error:
        raise StateTextError(
            f"the text of a state is none of this version ({error}); replay the journal instead"
        ) from error


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, _AS_THEY_ARE):
        return value
    if isinstance(value, Decimal):
        return str(value)
    return [_plain(item) for item in _items(value)]


def _items(value: Any) -> Iterable[Any]:  # noqa: ANN401 - whatever a field holds that has parts
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, list | tuple):
        return value
    raise TypeError(f"a state must be of plain values, and {value!r} is none")


@cache
def _reader(hint: Any) -> _Reader:  # noqa: ANN401 - whatever a field is annotated with
    """Return what makes a value of an annotated kind of its plain form."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (kind,) = (option for option in arguments if option is not NoneType)  # the plain form tells no two kinds apart
        read = _reader(kind)
        return lambda value: None if value is None else read(value)
    if origin is dict:
        key, item = map(_reader, arguments)
        return lambda value: {key(k): item(v) for k, v in value}
    if origin is tuple and arguments[-1] is not Ellipsis:
        readers = tuple(map(_reader, arguments))
        return lambda value: tuple(read(item) for read, item in zip(readers, value, strict=True))
    if origin in (list, set, frozenset, tuple):
        one = _reader(arguments[0])
        return lambda value: origin(map(one, value))
    return _plain_reader(hint)


def _plain_reader(hint: Any) -> _Reader:  # noqa: ANN401 - whatever a field is annotated with
    if hint in _AS_THEY_ARE:
        return lambda value: _checked(value, hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _record_reader(hint)
    if isinstance(hint, type) and issubclass(hint, Decimal | Enum):
        return hint
    raise TypeError(f"a state must be annotated with plain kinds, and {hint} is none")


def _record_reader(kind: type) -> _Reader:
    hints = get_type_hints(kind)
    names = tuple(field.name for field in fields(kind))
    readers = tuple(_reader(hints[name]) for name in names)

    def read(values: Any) -> Any:  # noqa: ANN401 - a record of the kind
        return kind(**{name: read(value) for name, read, value in zip(names, readers, values, strict=True)})

    return read


def _checked(value: Any, kind: type) -> Any:  # noqa: ANN401 - a value of the kind
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} must be a {kind.__name__}")
    return value
