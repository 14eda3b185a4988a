"""The look-ahead test as a command."""

from dataclasses import replace
from pathlib import Path

import pytest

from rl_trader.feature_kernels import Bars
from rl_trader.features import Feature
from scripts import lookahead
from tests.called_scripts import script_caller
from tests.random_runs import random_run
from tests.small_runs import small_config


def _next_close(bars: Bars, t: int, window: int) -> float:
    return float(bars[min(t + 1, bars.size - 1)].close)


def _last_close(bars: Bars, t: int, window: int) -> float:
    return float(bars[t].close)


knows_tomorrow = Feature("tests.test_lookahead_command:knows_tomorrow", 1, _next_close)
knows_today = Feature("tests.test_lookahead_command:knows_today", 1, _last_close)


def test_the_command_names_the_feature_that_knows_the_future(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    run = random_run(small_config(tmp_path, "clean")).path
    answer = call(lookahead, run, "--rows", 8)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "log_close_over_1000: knows nothing of later bars\n"
    answer = call(lookahead, run, "--feature", knows_today.name, "--feature", knows_tomorrow.name, "--rows", 8)
    assert answer.code == 1
    honest, caught = answer.out.splitlines()
    assert honest == f"{knows_today.name}: knows nothing of later bars"
    assert caught.startswith(f"{knows_tomorrow.name}: feature {knows_tomorrow.name!r} changes with later bars")
    assert call(lookahead, tmp_path / "none").code == 2
    assert call(lookahead, run, "--rows", 0).code == 2


def test_a_run_whose_feature_knows_the_future_is_found_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    config = small_config(tmp_path, "leaky")
    run = random_run(replace(config, env=replace(config.env, features=(knows_tomorrow.name,)))).path
    assert call(lookahead, run, "--rows", 8).code == 1
