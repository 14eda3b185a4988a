"""Options that a command has beside the fields of a configuration, which are parsed by ``scripts._overrides``."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agents.config import without_other_discount
from agents.presets import PRESETS
from rl_trader.errors import ConfigError
from scripts._overrides import parse_preset

if TYPE_CHECKING:
    from agents.config import TrainConfig

SCHEMES: Final = ("anchored", "rolling")  # of folds


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed after a command that takes a preset, its fields, and options of its own."""

    options: dict[str, Any]  # values by name with underscores
    words: list[str]  # the others
    preset: str
    config: "TrainConfig"  # the preset with its overrides


def typed_command(about: str | None, kinds: Mapping[str, type], command: str) -> Typed:
    """Return what was typed on the command line.

    Args:
        about: Printed where help is asked for without a preset.
        kinds: As of ``take_options``.
        command: For messages.

    Raises:
        ConfigError: If an option, preset, field or value cannot be used.
        SystemExit: With code 0, after ``--help``.
    """
    arguments = sys.argv[1:]
    if arguments in (["--help"], ["-h"]):
        print(about)
        raise SystemExit(0)
    options, words = take_options(arguments, kinds, command)
    scheme = options.get("scheme", SCHEMES[0])
    if scheme not in SCHEMES:
        raise ConfigError(f"--scheme must be {' or '.join(SCHEMES)}, was {scheme!r}; choose one")
    preset, config = parse_preset(PRESETS, words, command, without_other_discount)
    return Typed(options, words, preset, config)


def take_options(arguments: Sequence[str], kinds: Mapping[str, type], command: str) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a command's own options, by name with underscores, and the words that are left.

    Args:
        arguments: After the command's name.
        kinds: Type of the value of every option, by the option with its hyphens; ``list`` collects a repeated one, and
            ``bool`` has no value.
        command: For messages.

    Raises:
        ConfigError: If an option has no value, or one of another type, or is repeated without being a list.
    """
    options: dict[str, Any] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, text = word.partition("=")
        if flag not in kinds:
            rest.append(word)
            continue
        name, kind = flag.removeprefix("--").replace("-", "_"), kinds[flag]
        if kind is bool and not equals:
            options[name] = True
            continue
        value = text if equals else next(words, None)
        if kind is list and value is not None:
            options.setdefault(name, []).append(value)
        elif name in options:
            raise ConfigError(f"{flag} is given twice; give it once")
        else:
            options[name] = _converted(kind, value, flag, command)
    return options, rest


def _converted(kind: type, text: str | None, flag: str, command: str) -> Any:  # noqa: ANN401 - of that type
    try:
        if text is None or kind in (bool, list):
            raise ValueError
        return kind(text)
    except ValueError:
        raise ConfigError(f"{flag} needs a value of type {kind.__name__}; `{command} --help` lists them") from None
