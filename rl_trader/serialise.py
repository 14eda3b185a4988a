"""Configurations as JSON and back: dataclasses of plain values, tuples, paths and other dataclasses."""

import types
import typing
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from rl_trader.errors import ConfigError
from rl_trader.numeric import shown

YOUNGER: Final = MappingProxyType({"is_younger": True})
"""Metadata of a field that configurations of before it may lack; it has its default there."""

SILENT: Final = MappingProxyType({"is_younger": True, "is_silent": True})
"""Metadata of such a field that ``to_chosen`` leaves out at its default, so that older hashes stay as they are."""

T = TypeVar("T")


def to_json(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a configuration as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def to_chosen(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a configuration as ``to_json`` does, without the silent fields that have their default."""
    if not is_dataclass(value) or isinstance(value, type):
        return to_json(value)
    said = [field for field in fields(value) if not _is_left_out(field, getattr(value, field.name))]
    return {field.name: to_chosen(getattr(value, field.name)) for field in said}


def _is_left_out(field: Field[Any], value: object) -> bool:
    return bool(field.metadata.get("is_silent")) and value == field.default


def from_json(kind: type[T], data: Mapping[str, Any], where: str) -> T:
    """Return the configuration that ``to_json`` wrote; what is none by default may be missing from an older one.

    Args:
        kind: A dataclass.
        data: Its JSON object.
        where: What is read, for messages.

    Raises:
        ConfigError: If a field is missing, unknown or of another type, or its value is refused.
    """
    names = {field.name for field in fields(cast(Any, kind))}
    younger = {
        field.name for field in fields(cast(Any, kind)) if field.default is None or field.metadata.get("is_younger")
    }
    if not isinstance(data, Mapping) or not names - younger <= set(data) <= names:
        found = sorted(data) if isinstance(data, Mapping) else data
        raise ConfigError(f"{where} needs the fields {sorted(names)}, found {found}; it was made by another version")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _restore(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _restore(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - any field's type
    if is_dataclass(hint):
        return from_json(cast(type, hint), value, where)
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        if value is None:
            return None
        return _restore(next(part for part in typing.get_args(hint) if part is not types.NoneType), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} must be a list, was {value!r}; it is damaged or made by another version")
        return tuple(value)
    if origin is typing.Literal:
        _check_word(typing.get_args(hint), value, where)
        return value
    _check_type(str if hint is Path else hint, value, where)
    return Path(value) if hint is Path else value


def _check_word(words: tuple[object, ...], value: object, where: str) -> None:
    if not isinstance(value, str) or value not in words:
        wanted = " or ".join(map(str, words))
        raise ConfigError(f"{where} must be {wanted}, was {shown(value)}; it is damaged or made by another version")


def _check_type(hint: Any, value: object, where: str) -> None:  # noqa: ANN401 - any field's type
    expected = (int, float) if hint is float else hint
    if isinstance(expected, type | tuple) and (
        not isinstance(value, expected) or isinstance(value, bool) != (hint is bool)
    ):
        raise ConfigError(f"{where} must be of type {hint.__name__}, was {shown(value)}; it is damaged")
