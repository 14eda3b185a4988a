"""What a study searches: fields of a configuration, each with a range or with choices, as a TOML file has them."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agents.fields import parse_value, search_field, value_words
from rl_trader.errors import ConfigError

_COMMON: Final = """\
[{section}.learning_rate]
low = 1e-4
high = 3e-3
log = true

[{section}.horizon_bars]  # takes the place of gamma
low = 5.0
high = 500.0
log = true

[{section}.net_arch]
choices = [[32, 32], [64, 64], [128, 128]]

"""
_PPO: Final = (
    _COMMON.format(section="ppo")
    + """\
[ppo.gae_lambda]
low = 0.8
high = 0.99

[ppo.clip_range]
low = 0.1
high = 0.3

[ppo.ent_coef]
low = 1e-5
high = 2e-2
log = true

[ppo.n_epochs]
low = 2
high = 8
"""
)
_RECURRENT: Final = """
[ppo.lstm_hidden_size]
choices = [32, 64, 128]
"""
_DQN: Final = (
    _COMMON.format(section="dqn")
    + """\
[dqn.n_steps]
low = 1
high = 10

[dqn.target_update_interval]
low = 500
high = 10000
log = true

[dqn.exploration_fraction]
low = 0.1
high = 0.5
"""
)
BUILT_IN: Final = {"ppo": _PPO, "recurrent": _PPO + _RECURRENT, "dqn": _DQN, "qrdqn": _DQN}  # by algorithm
RANGE_KEYS: Final = frozenset(("low", "high", "log"))


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from one to another, whole where both are."""

    low: float
    high: float
    log: bool = False  # equally likely by their logarithm


@dataclass(frozen=True, slots=True)
class Choices:
    """Values that are named one by one, each as a command line has it."""

    words: tuple[str, ...]


SearchSpace = Mapping[str, Range | Choices]  # by path of the field


def read_space(path: Path) -> SearchSpace:
    """Return the search space of a TOML file.

    Raises:
        ConfigError: If it cannot be read, or has a field or value that cannot be searched.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the search space {path} cannot be read: {error}; give another --search") from error
    return parse_space(text, str(path))


def parse_space(text: str, where: str) -> SearchSpace:
    """Return the search space of a TOML document.

    Args:
        text: Tables by field, such as ``[ppo.gamma]``, with ``low``, ``high`` and ``log``, or with ``choices``.
        where: What is read, for messages.

    Raises:
        ConfigError: If it is no TOML, or has a field or value that cannot be searched.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is no TOML: {error}; begin with what `--show-space` prints") from error
    space: dict[str, Range | Choices] = {}
    for name, table in _tables(tables, ""):
        path = search_field(name)
        space[path] = _range(path, table) if "choices" not in table else _choices(path, table)
    if not space:
        raise ConfigError(f"{where} names no field; begin with what `--show-space` prints")
    return space


def space_json(space: SearchSpace) -> dict[str, Any]:
    """Return a search space as JSON values."""
    return {
        path: {"words": list(one.words)}
        if isinstance(one, Choices)
        else {"low": one.low, "high": one.high, "log": one.log}
        for path, one in space.items()
    }


def space_from_json(data: Mapping[str, Any]) -> SearchSpace:
    """Return what ``space_json`` wrote."""
    return {path: Choices(tuple(one["words"])) if "words" in one else Range(**one) for path, one in data.items()}


def _tables(data: Mapping[str, Any], above: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the innermost tables by their path."""
    for name, value in data.items():
        if not isinstance(value, dict):
            raise ConfigError(f"{above}{name} of a search space must be a table with low and high, or with choices")
        if any(isinstance(inner, dict) for inner in value.values()):
            yield from _tables(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _range(path: str, table: Mapping[str, Any]) -> Range:
    if not {"low", "high"} <= table.keys() <= RANGE_KEYS:
        raise ConfigError(
            f"{path} of a search space needs low and high, and perhaps log = true; or choices; found {sorted(table)}"
        )
    low, high = (parse_value(path, value_words(table[name])) for name in ("low", "high"))
    is_log = table.get("log", False)
    is_number = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not is_number or not isinstance(is_log, bool):
        raise ConfigError(f"{path} of a search space must be numbers from low to high; give choices instead")
    found = Range(low, high, is_log)  # type: ignore[arg-type]  # numbers
    if not found.low < found.high or (is_log and found.low <= 0):
        raise ConfigError(f"{path} of a search space must go from a low to a higher number, above 0 for log; change it")
    return found


def _choices(path: str, table: Mapping[str, Any]) -> Choices:
    listed = table["choices"]
    if table.keys() != {"choices"} or not isinstance(listed, list) or not listed:
        raise ConfigError(f"{path} of a search space needs a list of choices and nothing else; change it")
    words = tuple(dict.fromkeys(value_words(value) for value in listed))
    for word in words:
        parse_value(path, word)
    return Choices(words)
