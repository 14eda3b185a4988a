"""Fields of a training's configuration by dotted path, such as ``ppo.gamma``: read, set, and said as a command does."""

import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

from agents.config import TrainConfig, without_other_discount
from rl_trader.errors import ConfigError

T = TypeVar("T")

# What does not belong to what is chosen, or would make scores that cannot be compared.
NOT_SEARCHED: Final = ("seed", "name", "data", "runs", "device", "callbacks", "evaluations")
SEARCHED_OF_MARKET: Final = ("market.mirror", "market.feature_noise")


def search_field(path: str) -> str:
    """Return the path of a field that configurations may differ in, with underscores.

    Args:
        path: As a command line names it, ``ppo.batch-size`` or ``ppo.batch_size``.

    Raises:
        ConfigError: If there is none, or it is none of those whose values can be compared on one validation period.
    """
    name = path.strip().replace("-", "_")
    hints = _hints()
    if name not in hints:
        near = difflib.get_close_matches(name, hints, 3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"unknown field {path!r}; {hint}`python -m scripts.train demo --help` lists the fields")
    if name in NOT_SEARCHED or (name.startswith("market.") and name not in SEARCHED_OF_MARKET):
        raise ConfigError(
            f"configurations cannot differ in {name}: their scores could not be compared; give it once, as --{name}"
        )
    return name


@lru_cache(maxsize=1)
def _hints() -> dict[str, Any]:
    """Return the type of every field that is no dataclass, by its path."""
    return dict(_leaves(TrainConfig))


def _leaves(kind: type, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and type of every field that is no dataclass."""
    hints = typing.get_type_hints(kind)
    for field in fields(cast(Any, kind)):
        path = above + field.name
        if is_dataclass(hints[field.name]):
            yield from _leaves(hints[field.name], path + ".")
        else:
            yield path, hints[field.name]


def parse_value(path: str, text: str) -> object:
    """Return the value of a field from the words that a command line would have for it.

    Args:
        path: Of a field, with underscores.
        text: A number, a word, ``true`` or ``false``, ``none``, or several separated by blanks.

    Raises:
        ConfigError: If it is of another type.
    """
    return _parse(_hints()[path], text.strip(), path)


def _parse(hint: Any, text: str, path: str) -> object:  # noqa: ANN401 - any field's type
    if isinstance(hint, types.UnionType):
        if text.lower() == "none":
            return None
        return _parse(next(part for part in typing.get_args(hint) if part is not types.NoneType), text, path)
    if typing.get_origin(hint) is tuple:
        return tuple(_parse(typing.get_args(hint)[0], word, path) for word in text.split())
    if typing.get_origin(hint) is typing.Literal:
        return _one_of({word: word for word in typing.get_args(hint)}, text, path)
    if hint is bool:
        return _one_of({"true": True, "false": False}, text.lower(), path)
    try:
        return hint(text)
    except ValueError:
        raise ConfigError(f"{path} must be of type {hint.__name__}, was {text!r}; change it") from None


def _one_of(values: Mapping[str, object], text: str, path: str) -> object:
    if text not in values:
        raise ConfigError(f"{path} must be {' or '.join(values)}, was {text!r}; change it")
    return values[text]


def value_words(value: object) -> str:
    """Return a value as ``parse_value`` reads it."""
    if isinstance(value, tuple | list):
        return " ".join(map(value_words, value))
    return (
        {None: "None", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else str(value)
    )


def with_fields(config: T, values: Mapping[str, object]) -> T:
    """Return a configuration with other values in some fields, by path; they are checked together.

    Raises:
        ConfigError: If a value is refused.
    """
    own = {path: value for path, value in values.items() if "." not in path}
    parts: dict[str, dict[str, object]] = {}
    for path, value in values.items():
        head, dot, rest = path.partition(".")
        if dot:
            parts.setdefault(head, {})[rest] = value
    own |= {head: with_fields(getattr(config, head), inner) for head, inner in parts.items()}
    return cast(T, replace(cast(Any, config), **own))


def configured(config: TrainConfig, values: Mapping[str, object]) -> TrainConfig:
    """Return a configuration with other values in some fields; a discount in one form takes the other's place.

    Raises:
        ConfigError: If a value is refused, or the discount is given in both forms.
    """
    return with_fields(without_other_discount(config, set(values)), values)


def command_words(values: Mapping[str, object]) -> list[str]:
    """Return the words by which a command line gives these values."""
    words = []
    for path, value in values.items():
        section, dot, name = path.replace("_", "-").rpartition(".")
        if isinstance(value, bool):
            words.append(f"--{section}{dot}{'' if value else 'no-'}{name}")
        else:
            words += [f"--{section}{dot}{name}", *value_words(value).split()]
    return words
