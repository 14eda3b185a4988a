"""A preset and its overrides from the command line, with every error as one sentence."""

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from rl_trader.errors import ConfigError

T = TypeVar("T")


def parse_preset(
    presets: dict[str, tuple[str, T]],
    arguments: Sequence[str],
    command: str,
    make_way: Callable[[T, set[str]], T] = lambda config, _given: config,
) -> tuple[str, T]:
    """Return the name of the chosen preset and the preset with its overrides.

    Args:
        presets: Description and configuration by name; the first one is chosen if none is named.
        arguments: After the command's name.
        command: For messages and the help text.
        make_way: Takes from a preset what stands against the fields that are given, named as in the configuration.

    Raises:
        ConfigError: If a preset, field or value is not known.
        SystemExit: With code 0, after ``--help``.
    """
    import tyro

    given = list(arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, next(iter(presets)))
    if not given[0].startswith("-") and given[0] not in presets:
        raise ConfigError(f"unknown preset {given[0]!r}; choose from {', '.join(presets)}")
    if given[0] in presets:
        about, config = presets[given[0]]
        named = {word[2:].partition("=")[0].replace("-", "_") for word in given[1:] if word.startswith("--")}
        presets = {**presets, given[0]: (about, make_way(config, named))}
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            config = tyro.extras.overridable_config_cli(presets, args=given, prog=command)
    except SystemExit as exit_:
        if not exit_.code:
            raise
        raise ConfigError(_one_sentence(errors.getvalue(), f"{command} {given[0]} --help")) from None
    return given[0], config


def _one_sentence(box: str, help_command: str) -> str:
    """Return what a boxed message of tyro says, and which fields it proposes.

    The box is drawn with lines on a terminal of UTF-8, else with hyphens: a title, what is wrong, a rule, proposals.
    """
    body = [line.strip("│ ") for line in box.splitlines()[1:]]
    is_rule = [not line.strip("─-╰╯") for line in body]
    begin = is_rule.index(False) if False in is_rule else len(body)
    end = is_rule.index(True, begin) if True in is_rule[begin:] else len(body)
    said = " ".join(body[begin:end]).rstrip(".:").replace(". ", "; ") or "an argument cannot be read"
    proposed = list(dict.fromkeys(line.split()[0].rstrip(",") for line in body if re.match(r"--\w", line)))
    hint = f"did you mean {' or '.join(proposed[:3])}? " if "nrecognized" in said and proposed else ""
    said = said[0].lower() + said[1:]
    return f"{said}; {hint}`{help_command}` lists the fields"
