"""Reads dataclasses from JSON, strictly: unknown fields, missing ones and values of another kind are refused.

What a field takes is said by its type: ``str``, ``bool``, a literal, or one of the kinds below, each of which is a type
with a function that reads it.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from rl_trader.errors import ConfigError
from rl_trader.klines import parse_date
from rl_trader.local_exchange.books.money import is_number
from rl_trader.local_exchange.protocol.parameters import INTERVALS
from rl_trader.numeric import shown

T = TypeVar("T")

_LARGEST: Final = 2**53  # whole numbers that every JSON reader keeps exact


def read(kind: type[T], data: object, where: str) -> T:
    """Return a dataclass that is made of a JSON object.

    Args:
        kind: A dataclass.
        data: A JSON object.
        where: What a message calls it.

    Raises:
        ConfigError: If it is no object, or a field is unknown, missing, of another kind or refused by the dataclass.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} must be an object and is {shown(data)}; write one")
    known = {field.name: field.default is MISSING for field in fields(cast("Any", kind))}
    for name in data:
        if name not in known:
            raise ConfigError(f"{where} must have fields of {', '.join(known)} and has {shown(name)}; leave it out")
    for name, is_required in known.items():
        if is_required and name not in data:
            raise ConfigError(f"{where} must have {name} and has {', '.join(map(str, data)) or 'nothing'}; add it")
    hints = get_type_hints(kind, include_extras=True)
    values = {name: _value(hints[name], value, f"{name} of {where}") for name, value in data.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where} {error}") from None


def _value(hint: Any, value: object, where: str) -> object:  # noqa: ANN401 - any field's type
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = next(part for part in get_args(hint) if part is not types.NoneType)
        return None if value is None else _value(inner, value, where)
    if origin is Annotated:
        return hint.__metadata__[0](value, where)
    if origin is Literal:
        return _choice(get_args(hint), value, where)
    return _truth(value, where) if hint is bool else _text(value, where)


def _choice(choices: tuple[object, ...], value: object, where: str) -> object:
    if isinstance(value, bool) or value not in choices:
        wanted = ", ".join(map(str, choices))
        raise ConfigError(f"{where} must be one of {wanted} and is {shown(value)}; choose one")
    return value


def _truth(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{where} must be true or false and is {shown(value)}; choose one")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where} must be text and is {shown(value)}; write some")
    return value


def _whole(least: int, most: int = _LARGEST) -> Callable[[object, str], int]:
    def read_whole(value: object, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ConfigError(
                f"{where} must be a whole number from {least} to {most} and is {shown(value)}; choose one"
            )
        return value

    return read_whole


def _decimal(is_wanted: Callable[[Decimal], bool], wanted: str) -> Callable[[object, str], Decimal]:
    def read_decimal(value: object, where: str) -> Decimal:
        try:
            number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not (is_number(number) and is_wanted(number)):
            raise ConfigError(f"{where} must be {wanted} and is {shown(value)}; choose one")
        return number

    return read_decimal


def _interval(value: object, where: str) -> str:
    if value not in INTERVALS or not isinstance(value, str):
        raise ConfigError(f"{where} must be one of {', '.join(sorted(INTERVALS))} and is {shown(value)}; choose one")
    return value


def _moment(value: object, where: str) -> int:
    if isinstance(value, str):
        try:
            return parse_date(value)
        except ConfigError as error:
            raise ConfigError(f"{where} must be a time and {error}") from None
    return _whole(0)(value, where)


Count = Annotated[int, _whole(1)]
Length = Annotated[int, _whole(0)]  # bytes, or milliseconds of any clock
Shift = Annotated[int, _whole(-_LARGEST)]  # ms, either way
CloseCode = Annotated[int, _whole(1000, 4999)]  # of a WebSocket
Interval = Annotated[str, _interval]  # of candles, as the exchange writes it
Moment = Annotated[int, _moment]  # ms since 1970 UTC; a plan may write an ISO date
Amount = Annotated[Decimal, _decimal(lambda number: number >= 0, "a number from 0")]
Positive = Annotated[Decimal, _decimal(lambda number: number > 0, "a number above 0")]
Signed = Annotated[Decimal, _decimal(lambda number: number != 0, "a number other than 0")]
Fraction = Annotated[Decimal, _decimal(lambda number: 0 < number <= 1, "a number above 0 and at most 1")]
