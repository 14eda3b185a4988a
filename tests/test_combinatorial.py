"""Cross-validation of an agent over combinations of groups: what is trained on what, and that it goes on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.config import TrainConfig
from agents.markets import load_recording
from agents.run_folder import RunFolder
from agents.trials import trials_of
from agents.walking.cells import finished_run
from agents.walking.combinatorial_agents import TESTED_FILE, combinations_of, cross_validate_agent, trained_part
from rl_trader.errors import ConfigError
from rl_trader.klines import parse_date
from scripts import walk_forward
from tests.called_scripts import script_caller
from tests.small_runs import small_config, weights
from tests.small_searches import TINY

DAY = 86_400_000
PERIODS = {"train": ("2020-01-01", "2020-05-01"), "validation": ("2020-05-01", "2020-07-01")}
TEST = ("2020-07-01", "2020-08-01")


def config(runs: Path) -> TrainConfig:
    small = small_config(runs, "unused")
    market = replace(small.market, test=TEST, **PERIODS)  # type: ignore[arg-type]  # dates by name
    ppo = replace(small.ppo, total_timesteps=128)
    return replace(small, name=None, market=market, ppo=ppo, evaluations=1)


class StoppedHereError(Exception):
    """Of a report that ends it as a crash would."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of runs with a cross-validation over four groups that was stopped after a training."""
    runs = tmp_path_factory.mktemp("runs")

    def stop(_line: str) -> None:
        raise StoppedHereError

    with pytest.raises(StoppedHereError):
        cross_validate_agent(config(runs), "groups", 4, 2, 48, stop)
    lines: list[str] = []
    found = cross_validate_agent(config(runs), "groups", 4, 2, 48, lines.append)
    assert len(lines) == 5
    assert lines[-1].endswith("(6 of 6)")
    # 182 days in four groups of 45: six pairs, three paths through 180 days; of the first day a bar is only observed.
    assert (len(found.folds), found.daily.shape) == (6, (3, 179))
    return runs


def test_no_agent_was_trained_or_chosen_on_what_it_is_tested_on(runs: Path) -> None:
    plan = json.loads((runs / "groups" / "plan.json").read_text())
    assert len(plan["combinations"]) == 6
    for one in plan["combinations"]:
        name = "groups_" + "_".join(map(str, one["groups"]))
        chosen_on = one["train"][-1]
        for tested in one["test"]:
            for trained in one["train"]:
                # A day of holding on either side, and two days of embargo more after it.
                before = trained["until"] <= tested["since"] - DAY
                after = trained["since"] >= tested["until"] + 3 * DAY
                assert before or after, name
        for earlier in one["train"][:-1]:
            assert earlier["until"] <= chosen_on["since"] - DAY
        own = RunFolder.open(runs / "groups" / name).config()
        assert [parse_date(date) for date in own.market.validation] == [chosen_on["since"], chosen_on["until"]]
        assert own.market.test == TEST


def test_prices_of_tested_groups_change_nothing_of_a_training(runs: Path, tmp_path: Path) -> None:
    first = combinations_of(replace(config(tmp_path), runs=tmp_path), 4, 2, 48)[1]
    assert first.fold.groups == (0, 2)  # on either side of what is trained on
    recording = load_recording(first.config.market, first.config.env.schema, None)
    changed = replace(recording, market=replace(recording.market, bars=recording.market.bars.copy()))
    open_time = changed.market.bars["open_time"]
    for tested in first.fold.test:
        begin, end = np.searchsorted(open_time, (tested.since or 0, tested.until or 0))
        for column in ("open", "high", "low", "close"):
            changed.market.bars[column][begin:end] *= 3.0
    run = finished_run(first.config, tmp_path / "changed", trained_part(changed, first))
    kept = RunFolder.open(runs / "groups" / "groups_0_2")
    assert weights(run.checkpoint("best")) == weights(kept.checkpoint("best"))
    assert run.checkpoint("best").scaling.to_json() == kept.checkpoint("best").scaling.to_json()


def test_what_differs_from_the_plan_is_refused(runs: Path) -> None:
    with pytest.raises(ConfigError, match="is another cross-validation: its combinations differ"):
        cross_validate_agent(config(runs), "groups", 5, 2, 48, print)
    with pytest.raises(ConfigError, match="leave nothing to train on beside the purge"):
        cross_validate_agent(config(runs), "short", 4, 2, 48 * 16, print)
    assert not (runs / "short").exists()


def test_the_paths_are_made_of_the_kept_tests_and_counted(runs: Path) -> None:
    lines: list[str] = []
    found = cross_validate_agent(config(runs), "groups", 4, 2, 48, lines.append)
    assert lines == []
    kept = {
        path.parent.name: json.loads(path.read_text())["daily_returns"]
        for path in (runs / "groups").glob(f"*/{TESTED_FILE}")
    }
    # The first path takes every group from the first combination that tests it.
    first = kept["groups_0_1"][0] + kept["groups_0_1"][1] + kept["groups_0_2"][1] + kept["groups_0_3"][1]
    assert found.daily[0].tolist() == first
    assert len(trials_of(runs)) == 1
    assert json.loads((runs / "groups" / "result.json").read_text())["num_paths"] == 3


def test_the_command_cross_validates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    for words in (("--folds", "3"), ("--learner", "crossover_20_50"), ("--groups", "1")):
        answer = call(walk_forward, "demo", "--groups", "4", *words)
        assert answer.code == 2, answer
    agent = ("demo", "--groups", "3", *TINY, "--runs", tmp_path, "--name", "agents")
    answer = call(walk_forward, *agent, "--json")
    assert answer.code == 0, answer.err
    assert (json.loads(answer.out)["num_folds"], len(json.loads(answer.out)["total_returns"])) == (3, 2)
    assert len(list((tmp_path / "agents").glob(f"*/{TESTED_FILE}"))) == 3
    pytest.importorskip("sklearn")
    dates = [word for name, pair in PERIODS.items() for word in (f"--market.{name}", *pair)]
    forest = ("demo", "--groups", "3", "--learner", "forest", "--runs", tmp_path, *dates, "--market.test", *TEST)
    answer = call(walk_forward, *forest)
    assert answer.code == 0, answer.err
    assert "3 trainings, 2 paths through 3 groups" in answer.out
