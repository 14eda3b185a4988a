"""Studies: what is searched, what is given up, what is counted, and that a study goes on where it was stopped."""

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.config import without_other_discount
from agents.evaluate import evaluate_run
from agents.fields import configured, parse_value
from agents.presets import PRESETS
from agents.run_folder import RunFolder
from agents.searching.search_space import BUILT_IN, Choices, Range, parse_space, space_from_json, space_json
from agents.searching.study import (
    ask,
    find_optuna,
    mend_journal,
    num_running,
    open_study,
    requeue,
    runs_number,
    values_of,
)
from agents.searching.tune import STUDIES_FOLDER, TuneConfig, run_study
from agents.training.run import new_run
from agents.trials import count_trials, trials_of
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.metrics import measure
from scripts import tune as tune_script
from scripts._overrides import parse_preset
from tests.called_scripts import assert_one_sentence, script_caller
from tests.small_searches import TINY, VALIDATION, finished_search, stopped_when_saved, tiny_config

SPACE = parse_space(
    "[ppo.learning_rate]\nlow = 1e-4\nhigh = 1e-2\nlog = true\n[ppo.n_epochs]\nlow = 1\nhigh = 3\n"
    "[ppo.net_arch]\nchoices = [[4], [8, 4]]\n",
    "test",
)
state = find_optuna().trial.TrialState


def ignored(_line: str) -> None:
    pass


# ---- The space


@pytest.mark.parametrize("algo", BUILT_IN)
def test_every_value_of_a_built_in_space_can_be_trained(algo: str) -> None:
    space = parse_space(BUILT_IN[algo], "built-in")
    for _, preset in PRESETS.values():
        config = replace(preset, algo=algo)  # type: ignore[arg-type]
        for path, one in space.items():
            words = one.words if isinstance(one, Choices) else (str(one.low), str(one.high))
            for word in words:
                section, _, name = path.partition(".")
                value = parse_value(path, word)
                assert getattr(getattr(configured(config, {path: value}), section), name) == value


def test_a_space_comes_back_from_json_as_it_was() -> None:
    assert space_from_json(json.loads(json.dumps(space_json(SPACE)))) == SPACE
    assert SPACE["ppo.n_epochs"] == Range(1, 3)
    assert SPACE["ppo.net_arch"] == Choices(("4", "8 4"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no field"),
        ("[ppo.gamma", "is no TOML"),
        ("gamma = 0.9", "gamma of a search space must be a table"),
        ("[ppo.gama]\nlow = 0.9\nhigh = 0.99", "unknown field 'ppo.gama'; did you mean ppo.gamma"),
        ("[ppo.gamma]\nlow = 0.9", "needs low and high"),
        ("[ppo.gamma]\nlow = 0.9\nhigh = 0.99\nstep = 0.01", "needs low and high"),
        ("[ppo.gamma]\nlow = 0.99\nhigh = 0.9", "from a low to a higher number"),
        ("[ppo.ent_coef]\nlow = 0.0\nhigh = 0.1\nlog = true", "above 0 for log"),
        ("[ppo.n_epochs]\nlow = 1.5\nhigh = 3", "ppo.n_epochs must be of type int, was '1.5'"),
        ("[env.reward]\nlow = 1\nhigh = 2", "must be numbers from low to high; give choices instead"),
        ("[ppo.net_arch]\nchoices = []", "needs a list of choices"),
        ("[ppo.net_arch]\nchoices = [['wide']]", "ppo.net_arch must be of type int, was 'wide'"),
        ("[market.symbols]\nchoices = [['BTCUSDT']]", "cannot differ in market.symbols"),
        ("[seed]\nlow = 0\nhigh = 5", "cannot differ in seed"),
    ],
)
def test_a_space_that_is_none_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_space(text, "space.toml")


# ---- The study


def test_a_stopped_study_samples_what_an_uninterrupted_one_samples(tmp_path: Path) -> None:
    sampled: dict[str, list[dict[str, object]]] = {"whole": [], "stopped": []}
    for name in sampled:
        (tmp_path / name).mkdir()
        study = open_study(tmp_path / name)
        for number in range(14):  # beyond the random ones at the begin
            trial = ask(study, SPACE, seed=3)
            if name == "stopped" and number in (2, 12):
                assert requeue(study) == 1
                study = open_study(tmp_path / name)
                trial = ask(study, SPACE, seed=3)
                assert runs_number(trial) < trial.number
            values = values_of(trial, SPACE)
            sampled[name].append(values)
            study.tell(trial.number, -abs(float(str(values["ppo.learning_rate"])) - 3e-3))
    assert sampled["whole"] == sampled["stopped"]
    assert len({str(values) for values in sampled["whole"]}) > 10
    other = open_study(tmp_path / "whole")
    assert values_of(ask(other, SPACE, seed=4), SPACE) not in sampled["whole"]


def test_an_interrupted_trial_is_failed_and_queued_with_what_it_had(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    first = ask(study, SPACE, seed=0)
    find_optuna().trial.Trial(study, first._trial_id).report(0.5, 1)
    assert num_running(study) == 1
    assert requeue(open_study(tmp_path)) == 1
    again = ask(open_study(tmp_path), SPACE, seed=0)
    assert (again.number, runs_number(again), again.intermediate_values) == (1, 0, {1: 0.5})
    assert again.params == first.params
    assert requeue(open_study(tmp_path)) == 1
    third = ask(open_study(tmp_path), SPACE, seed=0)
    assert (third.number, runs_number(third), third.params) == (2, 0, first.params)
    assert [trial.state for trial in open_study(tmp_path).trials] == [state.FAIL, state.FAIL, state.RUNNING]


def test_a_journal_whose_last_line_was_cut_off_goes_on(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    study.tell(ask(study, SPACE, seed=0).number, 1.0)
    path = tmp_path / "journal.log"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    mend_journal(tmp_path)
    assert path.read_bytes() == whole
    path.write_bytes(whole[: len(whole) // 2] + b"\n" + whole[len(whole) // 2 :])
    with pytest.raises(CheckpointError, match=r"journal .* cannot be used"):
        open_study(tmp_path)


# ---- Trials


class StoppedHereError(Exception):
    """Of a report that ends a study as a crash would."""


def stop_after(num: int) -> Any:
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        if len(lines) == num:
            raise StoppedHereError

    return report


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of runs with a study of four trials that was stopped after two of them."""
    runs = tmp_path_factory.mktemp("runs")
    tune = TuneConfig(space=SPACE, trials=4, pruner="none")
    with pytest.raises(StoppedHereError):
        run_study(tiny_config(runs), tune, "small", 1, stop_after(2))
    run_study(tiny_config(runs), tune, "small", 1, ignored)
    return runs


def study_folder(runs: Path) -> Path:
    return runs / STUDIES_FOLDER / "small"


def test_a_study_goes_on_to_the_number_of_its_trials(runs: Path) -> None:
    lines: list[str] = []
    found = run_study(tiny_config(runs), TuneConfig(space=SPACE, trials=4), "small", 1, lines.append)
    assert lines == []
    assert [row["state"] for row in found.rows] == ["complete"] * 4
    scores = [row["score"] for row in found.rows]
    assert scores == sorted(scores, reverse=True)
    assert [trial.state for trial in open_study(study_folder(runs)).trials] == [state.COMPLETE] * 4
    assert open_study(study_folder(runs)).best_value == found.rows[0]["score"]
    assert json.loads((study_folder(runs) / "best.json").read_text())["best"] == found.best
    assert len((study_folder(runs) / "trials.csv").read_text().splitlines()) == 5


def test_a_study_of_something_else_is_refused(runs: Path) -> None:
    tune = TuneConfig(space=SPACE, trials=4)
    other = replace(tiny_config(runs), env=replace(tiny_config(runs).env, reward="simple_return"))
    with pytest.raises(ConfigError, match="is another study: its configuration differ"):
        run_study(other, tune, "small", 1, ignored)
    with pytest.raises(ConfigError, match="its seeds differ"):
        run_study(tiny_config(runs), replace(tune, seeds=2), "small", 1, ignored)
    with pytest.raises(ConfigError, match="its space differ"):
        run_study(tiny_config(runs), replace(tune, space={"ppo.gamma": Range(0.9, 0.99)}), "small", 1, ignored)


def test_every_trial_is_counted_once_wherever_it_is_looked_at(runs: Path) -> None:
    trials = trials_of(runs)
    assert {(trial.scope.since, trial.scope.until) for trial in trials} == {VALIDATION}
    assert count_trials(trials).num == 4
    best = json.loads((study_folder(runs) / "best.json").read_text())
    assert best["luck"]["num_trials"] == 4
    # The best one, trained as its command says and evaluated on the same period, is no further trial.
    _, config = parse_preset(PRESETS, ["demo", *TINY, *best["arguments"]], "test", without_other_discount)
    run = new_run(replace(config, runs=runs, name="again"), "demo")
    run.learn(lambda _done, _total: None)
    (evaluation,) = evaluate_run(run.folder.path, "validation", num_random=0)
    assert evaluation.honesty.trials.num == 4
    assert measure(evaluation.evaluation.agent).log_growth == best["best"]["score"]
    # On the test period nothing was tried before.
    (tested,) = evaluate_run(run.folder.path, "test", num_random=0)
    assert tested.honesty.trials.num == 1


def test_the_runs_of_a_trial_say_how_they_were_made(runs: Path) -> None:
    for row in json.loads((study_folder(runs) / "best.json").read_text())["best"]["runs"]:
        config = RunFolder.open(Path(row)).config()
        assert config.market.test == tiny_config(runs).market.test
        assert config.market.validation == VALIDATION


def test_the_seeds_of_a_trial_are_one_score_and_one_trial(tmp_path: Path) -> None:
    tune = TuneConfig(space=SPACE, trials=1, seeds=2, pruner="none")
    found = run_study(tiny_config(tmp_path), tune, "seeds", 1, ignored)
    (row,) = found.rows
    scores = [json.loads((Path(run) / "score.json").read_text())["log_growth"] for run in row["runs"]]
    assert len(scores) == 2
    assert row["score"] == pytest.approx(sum(scores) / 2)
    assert len(trials_of(tmp_path)) == 1
    steps = open_study(tmp_path / STUDIES_FOLDER / "seeds").trials[0].intermediate_values
    assert sorted(steps) == [1, 2, 3, 4, 5, 6]
    assert steps[6] == pytest.approx(row["score"])


def test_a_poor_trial_is_given_up_after_an_evaluation_and_counted(tmp_path: Path) -> None:
    # Hyperband and the median give up by comparison; here the others are told to be far better.
    folder = tmp_path / STUDIES_FOLDER / "small"
    folder.mkdir(parents=True)
    study = open_study(folder)
    for _ in range(5):
        trial = ask(study, SPACE, 0)
        for step in (1, 2, 3):
            find_optuna().trial.Trial(study, trial._trial_id).report(1e6, step)
        study.tell(trial.number, 1e6)
    found = run_study(tiny_config(tmp_path), TuneConfig(space=SPACE, trials=6), "small", 1, ignored)
    (row,) = found.rows
    assert row["state"] == "pruned"
    assert found.best is None
    last = open_study(folder).trials[-1]
    assert (last.state, sorted(last.intermediate_values)) == (state.PRUNED, [1, 2])
    assert row["score"] == pytest.approx(last.intermediate_values[2])
    assert len(trials_of(tmp_path)) == 1
    assert not (Path(row["runs"][0]) / "score.json").exists()


def test_what_cannot_be_trained_is_given_up_with_a_reason(tmp_path: Path) -> None:
    space = parse_space("[ppo.batch_size]\nchoices = [48]\n", "test")  # 4 accounts of 16 bars
    lines: list[str] = []
    found = run_study(tiny_config(tmp_path), TuneConfig(space=space, trials=2), "small", 1, lines.append)
    assert found.rows == []
    assert len(lines) == 2
    assert all("refused (ppo.batch_size must divide" in line for line in lines)
    diverging = parse_space("[ppo.learning_rate]\nchoices = [1e30]\n", "test")
    found = run_study(tiny_config(tmp_path), TuneConfig(space=diverging, trials=1), "wild", 1, lines.append)
    assert (found.rows[0]["state"], found.best) == ("diverged", None)
    assert "training has diverged" in lines[-1]


def test_no_trial_is_begun_after_the_time_is_up(tmp_path: Path) -> None:
    tune = TuneConfig(space=SPACE, trials=50, timeout=0.01, pruner="none")
    found = run_study(tiny_config(tmp_path), tune, "small", 1, ignored)
    assert len(found.rows) <= 1


def test_the_test_period_changes_nothing_and_need_not_be_there(runs: Path, tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    # The embedded market ends in mid 2025: a training that loaded this test period would be refused.
    later = replace(config, market=replace(config.market, test=("2030-01-01", "2031-01-01")))
    found = run_study(later, TuneConfig(space=SPACE, trials=1, pruner="none"), "small", 1, ignored)
    (first,) = (row for row in _rows(runs) if row["number"] == 0)
    assert found.rows[0]["score"] == first["score"]
    assert found.rows[0]["values"] == first["values"]


def _rows(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(study_folder(runs).glob("trial_*.json"))]


# ---- The command


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--trials", "0"), "at least one trial and one seed"),
        (("--trials", "many"), "--trials needs a value of type int"),
        (("--timeout", "-1"), "--timeout must be a positive number of seconds"),
        (("--pruner", "shears"), "--pruner must be median, hyperband or none"),
        (("--workers", "0"), "--workers must be at least 1"),
        (("--study", "a/b"), "plain folder name"),
        (("--search", "missing.toml"), "the search space missing.toml cannot be read"),
        (("--trails", "5"), "--trails"),
    ],
)
def test_what_cannot_be_tuned_is_said_in_a_sentence(
    words: tuple[str, ...],
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    assert_one_sentence(call(tune_script, "demo", *TINY, *words), part)
    assert not list(tmp_path.rglob("trial_*"))


def test_without_optuna_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)  # as if it were not installed
    call = script_caller(monkeypatch, capsys, tmp_path)
    answer = call(tune_script, "demo", *TINY)
    assert_one_sentence(answer, "tuning needs the package optuna, which is not installed; type `pip install")
    assert not (tmp_path / "runs").exists()


def test_the_space_that_is_shown_is_the_one_that_a_file_may_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    shown = call(tune_script, "demo", "--algo", "dqn", "--show-space")
    assert shown.code == 0
    assert parse_space(shown.out, "shown") == parse_space(BUILT_IN["dqn"], "built-in")
    assert "dqn.target_update_interval" in shown.out


def test_ctrl_c_leaves_a_study_that_goes_on_within_its_trainings(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text("[ppo.gamma]\nlow = 0.9\nhigh = 0.99\n")
    long = ("--ppo.total-timesteps", "2560", "--evaluations", "8", "--pruner", "none", "--study", "small")
    command = [sys.executable, "-m", "scripts.tune", "demo", *TINY, *long, "--trials", "2", "--workers", "2"]
    folder = tmp_path / "runs" / STUDIES_FOLDER / "small"
    saved = stopped_when_saved([*command, "--search", "space.toml"], folder, tmp_path, signal.SIGINT)
    assert {trial.state for trial in open_study(folder).trials} == {state.FAIL, state.WAITING}
    # Without the file it goes on with the space that it was begun with.
    found = json.loads(finished_search([*command, "--json"], tmp_path, saved))
    assert [row["state"] for row in found["trials"]] == ["complete"] * 2
    assert found["arguments"][0] == "--ppo.gamma"
    assert {Path(run).name for row in found["trials"] for run in row["runs"]} == {
        "trial_0000-seed_0",
        "trial_0001-seed_0",
    }
