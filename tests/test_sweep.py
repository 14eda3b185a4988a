"""Sweeps: the grid, the processes that play it, and what is left when one of them is lost or Ctrl-C is pressed."""

import csv
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.fields import command_words, parse_value, with_fields
from agents.pool import run_tasks
from agents.searching.searches import alone_in, label_of
from agents.searching.sweep import SweepConfig, cells_of, configurations_of, parse_grid, run_sweep
from agents.trials import trials_of
from agents.walking.cells import SCORE_FILE, Cell, play_cell
from rl_trader.errors import ConfigError
from rl_trader.klines import parse_date
from rl_trader.processors import own_processors, processors
from scripts import sweep as sweep_script
from tests.called_scripts import assert_one_sentence, script_caller
from tests.pool_tasks import count_processors, fail, lose_the_process, lose_the_process_once
from tests.small_searches import TEST, TINY, TRAIN, VALIDATION, finished_search, stopped_when_saved, tiny_config

GRID = {"ppo.gamma": (0.98, 0.99)}


# ---- Fields and grids


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("ppo.gamma", "0.5", 0.5),
        ("ppo.n_steps", "16", 16),
        ("ppo.net_arch", "32 16", (32, 16)),
        ("market.mirror", "true", True),
        ("env.trading.stop_loss", "none", None),
        ("env.trading.stop_loss", "0.25", 0.25),
        ("env.trading.margin_mode", "cross", "cross"),
        ("env.trading.levels", "", ()),
        ("env.reward", "simple_return", "simple_return"),
    ],
)
def test_the_words_of_a_value_are_those_that_the_training_command_takes(path: str, text: str, value: object) -> None:
    from agents.presets import PRESETS
    from scripts._overrides import parse_preset

    assert parse_value(path, text) == value
    _, typed = parse_preset(PRESETS, ["demo", *command_words({path: value})], "test")
    assert typed == with_fields(PRESETS["demo"][1], {path: value})


def test_fields_that_must_fit_together_are_set_together() -> None:
    config = tiny_config(Path("runs"))  # 4 accounts of 16 bars, batches of 32
    with pytest.raises(ConfigError, match="batch_size must divide"):
        with_fields(config, {"ppo.batch_size": 128})
    wider = with_fields(config, {"ppo.batch_size": 128, "ppo.n_steps": 32, "env.trading.max_exposure": 0.5})
    assert (wider.ppo.batch_size, wider.ppo.n_steps, wider.env.trading.max_exposure) == (128, 32, 0.5)
    assert wider.env.trading.levels == config.env.trading.levels


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("ppo.gamma", "needs a field and its values"),
        ("ppo.gama=0.9", "unknown field 'ppo.gama'; did you mean ppo.gamma"),
        ("ppo.gamma=high", "ppo.gamma must be of type float, was 'high'"),
        ("ppo.gamma=0.9,", "ppo.gamma must be of type float, was ''"),
        ("ppo.gamma=0.9,0.90", "twice"),
        ("algo=ppo,sac", "algo must be ppo or dqn or qrdqn or recurrent, was 'sac'"),
        ("market.mirror=maybe", "market.mirror must be true or false"),
        ("seed=1,2", "cannot differ in seed"),
        ("market.validation=2020-01-01", "cannot differ in market.validation"),
        ("market.symbols=BTCUSDT", "cannot differ in market.symbols"),
    ],
)
def test_a_setting_that_is_none_is_refused_in_a_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_grid([setting])


def test_the_grid_is_every_combination_and_each_has_a_name_of_its_own() -> None:
    grid = parse_grid(["ppo.gamma=0.98,0.99", "ppo.net-arch=8,8 4", "env.reward=simple_return,my_rewards:own"])
    found = configurations_of(tiny_config(Path("runs")), grid)
    assert len(found) == len({one.label for one in found}) == 8
    assert found[2].label == "gamma=0.98,net_arch=8x4,reward=simple_return"
    (ahead,) = configurations_of(tiny_config(Path("runs")), parse_grid(["ppo.horizon-bars=20"]))
    assert (ahead.config.ppo.gamma, ahead.config.ppo.horizon_bars, ahead.config.ppo.discount) == (None, 20.0, 0.95)
    assert (found[2].config.ppo.gamma, found[2].config.ppo.net_arch) == (0.98, (8, 4))
    assert all("/" not in one.label and ":" not in one.label for one in found)
    assert label_of({"ppo.gamma": 0.9, "dqn.gamma": 0.8}) != label_of({"ppo.gamma": 0.8, "dqn.gamma": 0.9})
    assert len(label_of({"env.features": tuple(f"log_return_{n}" for n in range(100))})) < 120
    with pytest.raises(ConfigError, match=r"the grid has batch_size=48, which cannot be trained: ppo.batch_size must"):
        configurations_of(tiny_config(Path("runs")), {"ppo.batch_size": (32, 48)})


def test_nothing_of_the_test_period_is_loaded() -> None:
    for sweep in (SweepConfig(grid=GRID), SweepConfig(grid=GRID, folds=2, holding_bars=4)):
        for _, own in cells_of(tiny_config(Path("runs")), sweep, "swept"):
            for cell in own:
                assert parse_date(cell.recorded.test[1]) <= parse_date(VALIDATION[1])
                assert parse_date(cell.recorded.train[0]) == parse_date(TRAIN[0])
                assert parse_date(cell.scored[1]) <= parse_date(TEST[0])
    without = cells_of(tiny_config(Path("runs")), SweepConfig(grid=GRID, seeds=1), "swept")
    assert [own[0].config.market.test for _, own in without] == [TEST, TEST]  # for the test that comes after


def test_folds_are_scored_on_what_neither_training_nor_checkpoint_saw() -> None:
    ((_, own), _) = cells_of(tiny_config(Path("runs")), SweepConfig(grid=GRID, seeds=2, folds=2, holding_bars=4), "x")
    assert [cell.config.name for cell in own] == [
        f"gamma=0.98-fold_{fold}-seed_{seed}" for fold in (0, 1) for seed in (0, 1)
    ]
    for cell in own:
        market = cell.config.market
        times = [parse_date(date) for period in (market.train, market.validation, cell.scored) for date in period]
        assert times == sorted(times)
    assert own[0].scored[1] == own[2].scored[0]


# ---- In this process


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of runs with a finished sweep of two configurations and two seeds."""
    runs = tmp_path_factory.mktemp("runs")
    run_sweep(tiny_config(runs), SweepConfig(grid=GRID, seeds=2), "swept", played_here, lambda _line: None)
    return runs


def played_here(cells: Sequence[Cell]) -> Iterator[tuple[Cell, dict[str, Any]]]:
    return run_tasks(play_cell, cells, 1)


def test_the_tables_have_every_cell_and_the_seeds_together(runs: Path) -> None:
    with (runs / "swept" / "cells.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert [(cell["ppo.gamma"], cell["seed"]) for cell in cells] == [(g, s) for g in ("0.98", "0.99") for s in "01"]
    assert {(cell["since"], cell["until"]) for cell in cells} == {VALIDATION}
    for cell in cells:
        kept = json.loads((Path(cell["run"]) / SCORE_FILE).read_text())
        assert float(cell["log_growth"]) == kept["log_growth"]
    result = json.loads((runs / "swept" / "result.json").read_text())
    means = [row["interquartile_mean"] for row in result["configurations"]]
    assert means == sorted(means, reverse=True)
    for row in result["configurations"]:
        scores = [float(cell["log_growth"]) for cell in cells if cell["configuration"] == row["configuration"]]
        assert row["mean"] == pytest.approx(np.mean(scores))
        assert row["worst"] == min(scores)
        assert row["trainings"] == 2


def test_a_cells_score_is_its_best_checkpoint_on_the_validation_period(runs: Path) -> None:
    folder = runs / "swept" / "gamma=0.98-seed_0"
    best = json.loads((folder / "checkpoints" / "index.json").read_text())["best"]
    facts = json.loads((folder / "checkpoints" / best / "manifest.json").read_text())["facts"]
    assert json.loads((folder / SCORE_FILE).read_text())["log_growth"] == facts["validation"]["log_growth"]
    assert not (folder / "resume").exists()


def test_every_configuration_is_one_trial_of_the_validation_period(runs: Path) -> None:
    trials = trials_of(runs)
    assert len(trials) == len({trial.configuration for trial in trials}) == 2
    assert {(trial.scope.since, trial.scope.until) for trial in trials} == {VALIDATION}
    assert json.loads((runs / "swept" / "result.json").read_text())["luck"]["num_trials"] == 2


def test_a_sweep_grows_and_plays_only_what_is_new(runs: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (runs / "swept").glob(f"*/{SCORE_FILE}")}
    wider = SweepConfig(grid={"ppo.gamma": (0.97, 0.98, 0.99)}, seeds=2)
    found = run_sweep(tiny_config(runs), wider, "swept", played_here, lambda _line: None)
    assert len(found.rows) == 6
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    assert found.luck.trials.num == len(trials_of(runs)) == 3
    other = replace(tiny_config(runs), env=replace(tiny_config(runs).env, reward="simple_return"))
    with pytest.raises(ConfigError, match="is another sweep: its configuration differ"):
        run_sweep(other, wider, "swept", played_here, lambda _line: None)
    folds = replace(wider, folds=2, holding_bars=4)
    with pytest.raises(ConfigError, match="its periods differ"):
        run_sweep(tiny_config(runs), folds, "swept", played_here, lambda _line: None)
    with (
        alone_in(runs / "swept"),
        pytest.raises(ConfigError, match=r"another process is at work in .*swept; wait for it"),
    ):
        run_sweep(tiny_config(runs), wider, "swept", played_here, lambda _line: None)


# ---- Processes


def test_the_task_of_a_lost_worker_is_played_again(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "lost").touch()
    (folders[2] / "lost").touch()
    found = list(run_tasks(lose_the_process_once, folders, 2))
    assert sorted(folder for folder, _ in found) == folders
    assert os.getpid() not in {process for _, process in found}


def test_workers_share_the_processors() -> None:
    assert own_processors() == processors()
    for workers in (2, processors()):
        found = dict(run_tasks(count_processors, range(2), workers))
        assert set(found.values()) == {max(processors() // workers, 1)}


def test_workers_that_are_lost_again_and_again_end_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="ended by themselves 4 times, perhaps for want of memory"):
        list(run_tasks(lose_the_process, [1], 2))
    with pytest.raises(ConfigError, match="--workers must be at least 1, was 0"):
        run_tasks(fail, [1], 0)


def test_what_a_task_raises_comes_out_of_the_pool() -> None:
    with pytest.raises(ConfigError, match="task 2 cannot be played"):
        list(run_tasks(fail, range(4), 2))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_was_ended_goes_on_within_its_trainings(ending: signal.Signals, tmp_path: Path) -> None:
    long = ("--ppo.total-timesteps", "2560", "--evaluations", "8")
    command = [sys.executable, "-m", "scripts.sweep", "demo", *TINY, *long, "--set", "ppo.gamma=0.98,0.99"]
    command += ["--seeds", "1", "--workers", "2", "--name", "swept"]
    folder = tmp_path / "runs" / "swept"
    saved = stopped_when_saved(command, folder, tmp_path, ending)
    assert not list(folder.glob(f"*/{SCORE_FILE}"))
    assert "the test period was not looked at" in finished_search(command, tmp_path, saved)
    assert len(list(folder.glob(f"*/{SCORE_FILE}"))) == 2


# ---- The command


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "a sweep needs values"),
        (("--set", "ppo.gamma=0.9", "--seeds", "many"), "--seeds needs a value of type int"),
        (("--set", "ppo.gamma=0.9", "--seeds"), "--seeds needs a value of type int"),
        (("--set", "ppo.gamma=0.9", "--seeds", "0"), "at least one seed"),
        (("--set", "ppo.gamma=0.9", "--seeds", "1", "--seeds", "2"), "--seeds is given twice"),
        (("--set", "ppo.gamma=0.9", "--folds", "50"), "folds"),
        (("--set", "ppo.gamma=0.9", "--scheme", "spiral", "--folds", "2"), "--scheme must be anchored or rolling"),
        (("--set", "ppo.gamma=0.9", "--scheme", "rolling"), "give --folds too"),
        (("--set", "ppo.gamma=0.9", "--workers", "0"), "--workers must be at least 1"),
        (("--set", "ppo.gamma=0.9", "--workers", "2", "--ray", "auto"), "give one"),
        (("--set", "ppo.gamma=2.0"), "ppo.gamma must be a fraction"),
        (("--set", "ppo.gamma=0.9", "--name", "a/b"), "plain folder name"),
        (("--set", "ppo.gamma=0.9", "--ppo.gama", "1"), "did you mean --ppo.gamma"),
        (("--set", "ppo.n_epochs=" + ",".join(map(str, range(1, 40_000)))), "give fewer values"),
    ],
)
def test_what_cannot_be_swept_is_said_in_a_sentence(
    words: tuple[str, ...],
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    assert_one_sentence(call(sweep_script, "demo", *TINY, *words), part)
    assert not list(tmp_path.rglob("score.json"))


def test_without_ray_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    call = script_caller(monkeypatch, capsys, tmp_path)
    answer = call(sweep_script, "demo", *TINY, "--set", "ppo.gamma=0.9", "--ray", "auto")
    assert_one_sentence(answer, "--ray needs the package ray, which is not installed; type `pip install")
