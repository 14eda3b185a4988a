"""A run that trades on an exchange which follows another one does what its back-test does, bar by bar."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents.parity import run_parity
from agents.presets import BTCUSDT_30M
from rl_trader.config import Slippage
from rl_trader.errors import ConfigError
from rl_trader.parity.bars import ParityError
from rl_trader.parity.chain import Chain
from rl_trader.parity.run import check_chain
from scripts import parity
from tests.called_scripts import Answer, script_caller
from tests.random_runs import random_run
from tests.test_parity_run import ENV, RECORDED, TRADING, embedded_config

FLAT_SPREAD = replace(TRADING, slippage=Slippage(half_spread=0.0002))  # a bar's volume is told at its end only


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Answer]:
    return script_caller(monkeypatch, capsys, tmp_path)


def test_stops_and_funding_do_through_the_chain_what_they_do_in_the_back_test(
    call: Callable[..., Answer], tmp_path: Path
) -> None:
    run = random_run(embedded_config(tmp_path, replace(ENV, trading=FLAT_SPREAD)))
    answer = call(parity, run.path, "--chain", "--bars", 120, "--json")
    assert answer.code == 0, answer.err
    (found,) = json.loads(answer.out).values()
    assert found["bars"] == found["observations"] == 120
    assert found["orders"] > 60
    assert found["bookings"]["FUNDING_FEE"] > 3
    assert found["events"]["stop-loss triggered"] > 3
    assert found["events"]["take-profit triggered"] > 0


def test_recorded_bars_go_through_the_chain_unchanged(recorded_data: Path, tmp_path: Path) -> None:
    trading = replace(BTCUSDT_30M.env.trading, levels=(-1.0, 0.0, 1.0))
    env = replace(BTCUSDT_30M.env, trading=trading)
    config = replace(BTCUSDT_30M, market=RECORDED, env=env, data=recorded_data, runs=tmp_path, name="recorded")
    report = run_parity(random_run(config).path, since="2025-01-28T03:00Z").check_chain(60)
    assert report.bars == report.observations == 60
    assert report.orders > 5


def test_another_spread_of_the_follower_is_a_difference(tmp_path: Path) -> None:
    run = random_run(embedded_config(tmp_path, replace(ENV, trading=FLAT_SPREAD)))
    compared = run_parity(run.path)
    setup = compared.setup(compared.since_ms)
    wider = Chain(replace(setup, slippage=Slippage(half_spread=0.001)), compared.deployment)
    with pytest.raises(ParityError, match=r"COMMISSION in bar .* must be equal, the replay has .* and the exchange"):
        check_chain(wider, compared.deployment, compared.observed, 20)


def test_what_no_chain_can_compare_is_refused(call: Callable[..., Answer], tmp_path: Path) -> None:
    run = random_run(embedded_config(tmp_path))  # its slippage has an impact
    with pytest.raises(ConfigError, match="must fill without impact"):
        run_parity(run.path).check_chain(5)
    answer = call(parity, "--chain")
    assert answer.code == 2
    assert "name the folder of one" in answer.err
