"""Peers of the benchmark: their requirements, their processes, and what is said where one is not at hand."""

import re
from pathlib import Path

import pytest

from agents.benchmark import back_test, environment
from agents.benchmark.effort import Effort
from agents.benchmark.lines import TRAINING, Skipped, all_lines, choose, measure_lines
from agents.benchmark.measure import Result
from agents.benchmark.peers.process import HERE, PROTOTYPES, peer_run
from agents.benchmark.peers.venvs import VARIABLE, AbsentPeerError, install, is_ready, peer_names, requirements_of
from rl_trader.errors import ConfigError
from tests.bench_command import bench

ROOT = Path(__file__).parents[1]
TINY = Effort(repeats=2, seconds=0.002, num_bars=2_000, num_rollouts=1, num_back_tested=3_000)


def test_every_requirement_of_a_peer_is_pinned() -> None:
    assert len(peer_names()) == 7
    for peer in peer_names():
        lines = requirements_of(peer).read_text().splitlines()
        assert lines
        assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_a_line_whose_peer_is_not_installed_is_left_out_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    lines = choose(all_lines(ROOT / "scripts"), ["single_env/torchtrade"])
    assert list(measure_lines(lines, TINY)) == [
        Skipped(
            "single_env/torchtrade",
            f"torchtrade is not installed in {tmp_path}; type `python -m scripts.bench peers --install torchtrade`",
        )
    ]


def test_a_peer_that_was_installed_with_other_requirements_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "envpool").mkdir()
    (tmp_path / "envpool" / "ready").write_text("envpool==0.0.1\n")
    assert not is_ready("envpool")
    (tmp_path / "envpool" / "ready").write_text(requirements_of("envpool").read_text())
    assert is_ready("envpool")


def test_an_unknown_peer_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ConfigError, match="unknown peer 'elsewhere'; choose from envpool, gym-anytrading, "):
        install(["elsewhere"], print)


def test_the_command_lists_the_peers_and_which_are_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    done = bench("peers")
    assert re.search(r"^torchtrade +not installed$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith(f"folder: {tmp_path}\n")


PROTOTYPE = """
class Proto:
    def __init__(self, bars, num_envs, window, parallel):
        assert (bars, num_envs, window, parallel) == (100_000, 4, 1, False)

    def step(self, actions):
        assert actions.shape == (4,)
"""


def _ask_a_prototype(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> float:
    (folder / "common.py").write_text("print('words that are no answer')\n\n\ndef make_ohlcv(n):\n    return n\n")
    (folder / "proto2.py").write_text(code)
    monkeypatch.setenv(PROTOTYPES, str(folder))
    sizes = {"num_envs": 4, "num_threads": 1, "window": 1}
    with peer_run(HERE, "prototype", "vector_env", library_threads=1, seconds=0.01, **sizes) as (run, versions):
        assert versions.startswith("numba ")
        return run() + run()


def test_a_peer_answers_run_by_run_from_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _ask_a_prototype(tmp_path, monkeypatch, PROTOTYPE) > 0.0


def test_a_peer_that_fails_is_absent_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AbsentPeerError, match=r"prototype has ended: .*no room"):
        _ask_a_prototype(tmp_path, monkeypatch, "raise MemoryError('no room')\n")


def test_prototypes_that_nobody_has_named_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROTOTYPES, raising=False)
    (answer,) = measure_lines(choose(all_lines(ROOT / "scripts"), ["back_test/prototype"]), TINY)
    assert isinstance(answer, Skipped)
    assert "--prototypes" in answer.reason


@pytest.mark.parametrize("name", ["ppo/64x64/64/sb3", "ppo/64x64/256/limit", "policy", "dqn/64/stock_1"])
def test_lines_of_training_that_need_no_peer_run(name: str) -> None:
    for answer in measure_lines(choose(TRAINING, [name]), TINY):
        assert isinstance(answer, Result)
        assert answer.figure.minimum > 0.0
        assert answer.reference.minimum > 0.0
        assert answer.config == environment.account_hash()


def test_the_rule_that_is_back_tested_keeps_its_account_alive_and_trades() -> None:
    config = back_test.rule_config()
    assert config.trading.stop_loss is not None
    assert config.trading.margin_mode == "isolated"
    assert back_test.rule(TINY)() > 0.0
