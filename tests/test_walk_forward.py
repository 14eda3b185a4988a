"""A walk-forward in miniature: its plan, its resumption, what it writes, and its holdout."""

import json
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from agents.config import TrainConfig
from agents.trials import trials_of
from agents.walking.walk_forward import WalkForwardConfig, make_plan, open_holdout, run_walk_forward
from rl_trader.errors import ConfigError
from rl_trader.klines import parse_date
from rl_trader.statistics.seeds import paths_interval
from rl_trader.stress import COSTS, MIRRORED
from scripts import walk_forward
from tests.called_scripts import script_caller
from tests.small_runs import small_config
from tests.small_searches import TINY, finished_search, stopped_when_saved

WALK = WalkForwardConfig(folds=2, seeds=2, holding_bars=48, holdout=0.2)
FEE = 5e-4  # of the embedded market
DATES = {"train": ("2020-01-01", "2020-03-01"), "validation": ("2020-03-01", "2020-04-01")}


def config(runs: Path) -> TrainConfig:
    small = small_config(runs, "unused")
    train, validation = DATES["train"], DATES["validation"]
    market = replace(small.market, train=train, validation=validation, test=("2020-04-01", "2020-05-20"))
    return replace(small, name=None, market=market)


def test_the_plan_leaves_the_holdout_and_a_purge_before_it() -> None:
    plan = make_plan(config(Path("runs")), WALK)
    # 140 days: the last 28 are held out; before them lie one bar of warm-up and a day of holding, in whole days.
    assert plan.holdout == ("2020-04-22", "2020-05-20")
    last = plan.folds[-1]["test"][1]
    assert parse_date(plan.holdout[0]) - parse_date(last) in (86_400_000, 2 * 86_400_000)
    assert make_plan(config(Path("runs")), replace(WALK, holdout=0.0)).holdout is None


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of runs with a walk-forward that was stopped after its first seed, and then finished."""
    runs = tmp_path_factory.mktemp("runs")

    class StoppedError(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("fold_0-seed_0: "):
            raise StoppedError

    with pytest.raises(StoppedError):
        run_walk_forward(config(runs), WALK, "walk", stop)
    run_walk_forward(config(runs), WALK, "walk", lambda _line: None)
    return runs


def test_what_was_done_is_not_done_again(runs: Path) -> None:
    lines: list[str] = []
    again = run_walk_forward(config(runs), WALK, "walk", lines.append)
    assert lines == []
    assert [len(scores) for scores in again.scores] == [2, 2]
    assert [fold.shape[0] for fold in again.daily] == [2, 2]
    assert again.interval is not None
    assert again.interval.low <= again.interval.estimate <= again.interval.high
    assert again.honesty.num_days == sum(fold.shape[1] for fold in again.daily)
    assert set(again.baselines) == set(again.honesty.differences)
    assert again.honesty.trials.num == 1
    with pytest.raises(ConfigError, match="is another walk-forward: its walk and plan differ"):
        run_walk_forward(config(runs), replace(WALK, folds=3), "walk", lines.append)


def test_processes_side_by_side_find_the_same_bits(runs: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    beside = run_walk_forward(config(tmp_path), WALK, "walk", lines.append, workers=2)
    assert len(lines) == 4
    assert lines[-1].endswith("(4 of 4)")
    alone = run_walk_forward(config(runs), WALK, "walk", lines.append)
    assert beside.to_json() == alone.to_json()


def test_the_mean_of_the_seeds_is_asked_under_every_stress(runs: Path) -> None:
    found = run_walk_forward(config(runs), WALK, "walk", print).honesty
    returns = {name: stressed.total_return for name, stressed in found.stresses.items()}
    assert set(returns) == {*COSTS, "funding x 0", "funding x 1", "funding x 2", MIRRORED}
    unchanged = float(np.prod(1.0 + found.daily_returns)) - 1.0
    assert returns["fee x 1"] == pytest.approx(unchanged)
    assert returns["funding x 1"] == pytest.approx(unchanged)
    assert returns["fee x 0"] > returns["fee x 1"] > returns["fee x 2"] > returns["fee x 3"]
    # What the fee costs is what the break-even fee says: at so many times the fee nothing is earned.
    assert found.break_even_fee is not None
    assert (found.break_even_fee.estimate > FEE) == (unchanged > 0.0)
    kept = json.loads((runs / "walk" / "result.json").read_text())
    assert kept["other_funding"] is None  # all of it is known
    assert kept["honesty"]["stresses"]["fee x 3"]["total_return"] == returns["fee x 3"]


def test_from_eight_configurations_on_their_overfitting_is_known(tmp_path: Path) -> None:
    walk = replace(WALK, learner="crossover_20_50", seeds=1)
    small = config(tmp_path)
    for number in range(1, 9):
        trading = replace(small.env.trading, max_exposure=number / 8)
        one = replace(small, env=replace(small.env, trading=trading))
        found = run_walk_forward(one, walk, f"walk-{number}", lambda _line: None).honesty
        assert (found.overfitting is not None) == (number == 8)
        assert found.trials.num == number
    assert found.overfitting is not None
    assert found.overfitting.num_configurations == 8


def test_every_checkpoint_was_chosen_before_its_test(runs: Path) -> None:
    for number, fold in enumerate(make_plan(config(runs), WALK).folds):
        for seed in (0, 1):
            folder = runs / "walk" / f"fold_{number}-seed_{seed}"
            trained = json.loads((folder / "config.json").read_text())
            assert trained["seed"] == seed
            assert trained["market"]["validation"] == list(fold["validation"])
            times = [parse_date(date) for name in ("train", "validation", "test") for date in fold[name]]
            assert times == sorted(times)


def test_the_holdout_is_opened_once_and_counted(runs: Path) -> None:
    opened = open_holdout(config(runs), WALK, "walk")
    assert len(opened["total_returns"]) == 2
    assert opened["times_opened"] == 1
    assert open_holdout(config(runs), WALK, "walk") == opened
    assert len([trial for trial in trials_of(runs) if trial.scope.until == "2020-05-20"]) == 1
    with pytest.raises(ConfigError, match="is not finished"):
        open_holdout(config(runs), WALK, "other")
    with pytest.raises(ConfigError, match="has no holdout"):
        open_holdout(config(runs), replace(WALK, holdout=0.0), "walk")


def test_the_command_writes_a_report_and_prints_the_verdict(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    words = ("demo", "--runs", tmp_path, "--name", "rules", "--learner", "crossover_20_50")
    dates = [word for name in DATES for word in (f"--market.{name}", *DATES[name])]
    words += (*dates, "--market.test", "2020-04-01", "2020-05-20", "--folds", 2, "--seeds", 1)  # type: ignore[assignment]
    answer = call(walk_forward, *words)
    assert answer.code == 0, answer.err
    assert "verdict: " in answer.out
    page = (tmp_path / "rules" / "report.html").read_text()
    assert 'id="growth"' in page
    assert '"showSendToCloud": false' in page  # nothing is offered that uploads
    assert not re.search(r"<link|<img|<iframe|@import|src\s*=|https?://", page.replace(get_plotlyjs(), "", 1))
    assert "Interquartile mean" in page
    printed = json.loads(call(walk_forward, *words, "--json").out)
    assert printed["interquartile_mean"] is None  # one seed has no interval
    assert len(printed["scores"]) == 2
    assert call(walk_forward, *words, "--open-holdout").code == 0
    assert call(walk_forward, "demo", "--folds", "many").code == 2
    assert "At other costs" in page
    refused = call(walk_forward, *words, "--name", "none", "--workers", "0")
    assert (refused.code, "--workers must be at least 1" in refused.err) == (2, True)


def test_funding_that_is_not_recorded_is_judged_under_both_assumptions(
    recorded_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    words = ("majors-4h", "--market.symbols", "BNBUSDT", "--market.train", "2022-01-01", "2024-07-01", "--folds", 1)
    words += ("--data", recorded_data, "--runs", tmp_path, "--name", "bnb", "--learner", "crossover_20_50")  # type: ignore[assignment]
    answer = call(walk_forward, *words, "--seeds", 1)
    assert answer.code == 0, answer.err
    assert "With no funding where funding is not recorded: " in answer.out
    assert "With no funding where funding is not recorded: " in (tmp_path / "bnb" / "report.html").read_text()
    kept = json.loads((tmp_path / "bnb" / "result.json").read_text())
    assert kept["other_funding"]["assumed"] == "zero"
    assert kept["other_funding"]["daily_returns"] != kept["honesty"]["daily_returns"]
    held = [json.loads((tmp_path / "bnb" / f"fold_0-baselines{end}.json").read_text()) for end in ("", "-funding-zero")]
    assert sum(held[1]["buy_and_hold"]) > sum(held[0]["buy_and_hold"])  # a long pays the base rate
    assert held[1]["flat"] == held[0]["flat"]


def test_ctrl_c_leaves_a_walk_forward_that_goes_on_within_its_trainings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.walk_forward", "demo", *TINY, "--folds", "2", "--seeds", "1"]
    command += ["--ppo.total-timesteps", "2560", "--evaluations", "8", "--holding-bars", "4", "--workers", "2"]
    folder = tmp_path / "runs" / "walked"
    command += ["--name", folder.name]
    saved = stopped_when_saved(command, folder, tmp_path, signal.SIGINT)
    assert not list(folder.glob("*/tested.json"))
    assert "verdict: " in finished_search(command, tmp_path, saved)
    assert len(list(folder.glob("*/tested.json"))) == 2


def test_the_line_of_the_seeds_ends_at_their_interquartile_mean() -> None:
    rng = np.random.default_rng(0)
    folds = [rng.normal(0.01, 0.01, (4, 30)), rng.normal(-0.01, 0.01, (4, 20))]
    middle, low, high = paths_interval(folds)
    assert middle.shape == (50,)
    ends = np.sort(sum(fold.sum(axis=1) for fold in folds))
    assert middle[-1] == pytest.approx(ends[1:3].mean())
    assert (low <= high).all()
    assert low[-1] < middle[-1] < high[-1]
