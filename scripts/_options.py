"""Options that a command has beside the fields of a configuration, which are parsed by ``scripts._overrides``."""

from collections.abc import Mapping, Sequence
from typing import Any

from rl_trader.errors import ConfigError


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
