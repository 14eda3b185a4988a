"""Verdicts of agents that were trained where nothing can be earned."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.run_folder import RunFolder
from agents.trained_calibration import claims_of
from rl_trader.decision import ActionMap
from rl_trader.network import Layer, NetworkPolicy
from rl_trader.statistics.calibration import counted_rate
from scripts import calibration
from tests.called_scripts import script_caller

STEPS = 4_096  # one update


def test_the_command_trains_agents_and_counts_their_verdicts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    words = ("--trained", 2, "--steps", STEPS, "--runs", tmp_path / "agents", "--json")
    answer = call(calibration, *words)
    assert answer.code in (0, 1), answer.err
    rates = json.loads(answer.out)
    assert {rate["num_draws"] for rate in rates} == {2}
    assert len(rates) == 5
    assert sorted(path.name for path in (tmp_path / "agents").iterdir()) == ["K0-1-ppo-0", "K0-1-ppo-1"]
    trained = {path: path.stat().st_mtime_ns for path in (tmp_path / "agents").rglob("policy.safetensors")}
    assert call(calibration, *words).out == answer.out
    assert all(path.stat().st_mtime_ns == written for path, written in trained.items())
    for wrong in (("--trained", 0), ("--trained", 2, "--steps", 0), ("--trained", 2, "--workers", 0)):
        assert call(calibration, *wrong).code == 2

    # An agent that always holds is seen to trade, and is no better than buy and hold: it is the same.
    checkpoint = RunFolder.open(tmp_path / "agents" / "K0-1-ppo-0").checkpoint("last")
    bias = np.array([0.0, 0.0, 1.0], np.float32)

    def deciding(bias: NDArray[np.float32]) -> NetworkPolicy:
        layer = Layer(np.zeros((3, checkpoint.schema.size), np.float32), bias)
        return NetworkPolicy((layer,), "tanh", "argmax", ActionMap(levels=checkpoint.env.trading.levels))

    holding = deciding(bias)
    claims = claims_of(replace(checkpoint, policy=holding), seed=1)
    assert claims.turnover > 0.0
    assert claims.better_than_hold == 0.0
    flat = deciding(bias[[0, 2, 1]])
    nothing = claims_of(replace(checkpoint, policy=flat), seed=1)
    assert (nothing.turnover, nothing.told_from_nothing, nothing.above_luck) == (0.0, 0.0, 0.0)


def test_twenty_agents_may_be_wrong_about_as_often_as_chance_is() -> None:
    def wrong(num: int) -> bool:
        return counted_rate("x", 0.05, np.array([1.0] * num + [0.0] * (20 - num))).is_kept

    # Of 20 agents one is expected to be wrong; four are within three errors of counting, half of them are not.
    assert wrong(0)
    assert wrong(4)
    assert not wrong(10)
