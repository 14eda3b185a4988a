"""Scripts that run in this process, as a user types them, and what they say."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from scripts import _cli


class Answer(NamedTuple):
    """What a script said."""

    code: int
    out: str
    err: str


def script_caller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> Callable[..., Answer]:
    """Return a function of a script and its words that runs it from a folder, without a data folder."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RL_TRADER_DATA", raising=False)

    def run(script: ModuleType, *words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            _cli.run(script.main)
        said = capsys.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return run


def assert_one_sentence(answer: Answer, part: str) -> None:
    """Let a script have refused what was typed, in one sentence that holds a part."""
    assert answer.code == 2, answer
    assert len(answer.err.splitlines()) == 1, answer.err
    assert part in answer.err
