"""Real results in miniature: what is resumed, what the files hold, and that the page says what they say."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.recorded.cells import MARKETS, SEEDS, RealResults, cells_of, run_real_results, write_result
from agents.recorded.groups import read_groups
from agents.recorded.page import page_text, write_page
from agents.trials import trials_of
from agents.walking.walk_forward import WalkForwardConfig
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.klines import parse_date
from scripts import real_results
from tests.called_scripts import script_caller
from tests.small_runs import small_config

REPO = Path(__file__).parents[1]
CELLS = [f"embedded-{algo}-fold{fold}-seed{seed}" for algo, seeds in (("ppo", 2), ("dqn", 1)) for fold in (0, 1)
         for seed in range(seeds)]  # fmt: skip
Edit = Callable[[dict[str, Any]], object]


class StoppedHereError(Exception):
    """Of a report that ends the command as a crash would."""


def real(folder: Path, **changes: Any) -> RealResults:
    small = small_config(folder, "unused")
    market = replace(
        small.market,
        train=("2020-01-01", "2020-03-01"),
        validation=("2020-03-01", "2020-04-01"),
        test=("2020-04-01", "2020-05-20"),
    )
    own = RealResults(
        configs={"embedded": replace(small, name=None, market=market, evaluations=1)},
        seeds={"ppo": 2, "dqn": 1},
        steps={"ppo": 384, "dqn": None},
        results=folder / "real-results",
        runs=folder / "runs",
        walk=WalkForwardConfig(folds=2, holdout=0.2),
    )
    return replace(own, **changes)


def test_the_recorded_files_are_of_the_configurations_of_today() -> None:
    folder = REPO / "docs" / "real-results"
    steps = {"ppo": 1_500_000, "dqn": 400_000}  # the command's own
    real = RealResults(configs=MARKETS, seeds=SEEDS, steps=steps, results=folder, runs=REPO / "runs")
    cells = cells_of(real)
    assert len(cells) == 72
    for cell in cells:
        facts = json.loads(cell.path.read_text())
        assert {name: facts[name] for name in cell.facts} == cell.facts


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with results that were stopped after the first cell, and then finished."""
    folder = tmp_path_factory.mktemp("real")
    lines: list[str] = []

    def stop(_line: str) -> None:
        raise StoppedHereError

    with pytest.raises(StoppedHereError):
        run_real_results(real(folder), stop)
    first = folder / "real-results" / f"{CELLS[0]}.json"
    written = first.stat().st_mtime_ns
    run_real_results(real(folder), lines.append)
    assert [line.partition(":")[0] for line in lines] == CELLS[1:]
    assert lines[-1].endswith("(6 of 6)")
    assert first.stat().st_mtime_ns == written
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the result files, to be changed."""
    return Path(shutil.copytree(made / "real-results", tmp_path / "real-results"))


def edit(results: Path, pattern: str, change: Edit) -> None:
    for path in results.glob(pattern):
        found = json.loads(path.read_text())
        change(found)
        write_result(path, found)


def test_a_file_that_was_lost_is_made_again_with_the_same_bytes(made: Path) -> None:
    path = made / "real-results" / f"{CELLS[2]}.json"
    before = path.read_bytes()
    path.unlink()
    shutil.rmtree(next((made / "runs" / "real-results").glob(f"{CELLS[2]}-*")))  # it is trained again
    lines: list[str] = []
    run_real_results(real(made), lines.append)
    assert len(lines) == 1
    assert path.read_bytes() == before
    run_real_results(real(made), lines.append)
    assert len(lines) == 1


def test_every_checkpoint_was_chosen_before_its_test(made: Path) -> None:
    for cell in cells_of(real(made)):
        found = json.loads(cell.path.read_text())
        times = [parse_date(date) for name in ("train", "validation", "test") for date in found[name]]
        assert times == sorted(times)
        config = json.loads((cell.test.folder / "config.json").read_text())
        assert config["market"]["validation"] == found["validation"]
        assert config["market"]["test"] == found["test"]


def test_files_of_other_settings_are_refused(made: Path, copied: Path) -> None:
    with pytest.raises(ConfigError, match=r"made in another way: its configuration and steps differ; remove it"):
        run_real_results(real(made, steps={"ppo": 768}), print)
    with pytest.raises(ConfigError, match=r"--dqn-steps must be at least 1, was 0"):
        real(made, steps={"dqn": 0})
    edit(copied, f"{CELLS[0]}.json", lambda found: found.update(configuration="0"))
    with pytest.raises(ConfigError, match="result files of embedded ppo differ in configuration"):
        read_groups(copied)
    (copied / f"{CELLS[0]}.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_groups(copied)


def test_the_configurations_that_were_tested_are_counted(made: Path) -> None:
    assert len({trial.configuration for trial in trials_of(made / "runs")}) == 2
    assert json.loads((made / "real-results" / "embedded-trials.json").read_text())["num"] == 2


def test_what_was_tried_before_stays_counted_where_the_registry_is_another(made: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(made / "real-results", tmp_path / "real-results")
    path = copied / "embedded-trials.json"
    counted = json.loads(path.read_text())
    assert counted["num"] == len(counted["tried"]) == 2
    path.write_text(json.dumps(counted | {"tried": {**counted["tried"], "of before": 0.5}}))
    run_real_results(real(tmp_path), lambda _line: None)
    again = json.loads(path.read_text())
    assert again["num"] == 3
    assert again["tried"] == {**counted["tried"], "of before": 0.5}
    assert again["deviation"] == pytest.approx(np.std(list(again["tried"].values()), ddof=1))


# ---- The page


def test_the_page_shows_every_seed_beside_the_baselines(made: Path) -> None:
    write_page(made / "real-results", made / "real-results.md")
    text = (made / "real-results.md").read_text()
    assert text == page_text(made / "real-results", made / "real-results.md")
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in text.splitlines() if line.startswith("|")}
    for algo, seeds in (("PPO", 2), ("DQN", 1)):
        for seed in range(seeds):
            files = [made / "real-results" / f"embedded-{algo.lower()}-fold{fold}-seed{seed}.json" for fold in (0, 1)]
            daily = np.concatenate([json.loads(path.read_text())["daily_returns"] for path in files])
            shown = float(rows[f"{algo}, seed {seed}"][3].replace("\u2212", "-").rstrip("%"))
            assert shown == pytest.approx(100.0 * (np.prod(1.0 + daily) - 1.0), abs=0.051)
    assert {"staying flat", "buy and hold", "crossover 20 50", "crossover 50 200", "fee x 3", "one bar late"} <= set(
        rows
    )
    assert rows["Configurations tried here, seeds not counted"][1:] == ["2", "2 |"]
    assert "$ python -m scripts.real_results --markets embedded --ppo-steps 384 --dqn-steps 768" in text
    assert text.count("mean of the seeds.**") == 2
    assert (made / "real-results" / "embedded.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("shift", "sentence"),
    [
        (0.02, "It did better than buy and hold by more than chance"),
        (-0.02, "It did worse than buy and hold by more than chance"),
        (0.0, "It did exactly as buy and hold did."),
    ],
)
def test_the_verdict_follows_from_the_files(shift: float, sentence: str, copied: Path) -> None:
    held = {
        fold: json.loads((copied / f"embedded-fold{fold}-baselines.json").read_text())["daily_returns"]["buy_and_hold"]
        for fold in (0, 1)
    }
    noise = np.random.default_rng(0).normal(0.0, 0.001, len(held[0]))

    def shifted(found: dict[str, Any]) -> None:
        noisy = shift + (noise if shift else 0.0 * noise)
        found["daily_returns"] = (np.array(held[found["fold"]]) + noisy[: len(held[found["fold"]])]).tolist()

    edit(copied, "embedded-ppo-*.json", shifted)
    text = page_text(copied, copied.parent / "page.md")
    said = next(line for line in text.splitlines() if line.startswith("**PPO, mean of the seeds.**"))
    assert sentence in said


def test_what_is_not_complete_is_named_and_not_shown(copied: Path) -> None:
    (copied / f"{CELLS[-1]}.json").unlink()
    text = page_text(copied, copied.parent / "page.md")
    assert "Not shown yet, since trainings or the count of the trials are missing: embedded dqn: 1 of 2." in text
    assert "DQN, seed" not in text
    (copied / "embedded-trials.json").unlink()
    with pytest.raises(ConfigError, match="has no complete set of results"):
        page_text(copied, copied.parent / "page.md")


def test_the_page_in_the_docs_is_what_the_files_beside_it_say() -> None:
    page, results = REPO / "docs" / "real-results.md", REPO / "docs" / "real-results"
    assert page.exists() == bool(list(results.glob("*.json")))
    if page.exists():
        assert page.read_text() == page_text(results, page)
        for group in read_groups(results)[0]:
            assert (results / f"{group.market}.png").is_file()


def test_funding_that_is_not_recorded_is_assumed_in_both_ways(recorded_data: Path, tmp_path: Path) -> None:
    majors = MARKETS["majors-4h"]
    small = small_config(tmp_path, "unused")
    market = replace(majors.market, symbols=("BNBUSDT",), train=("2022-01-01", "2023-01-01"))
    config = replace(majors, market=market, ppo=small.ppo, data=recorded_data, device="cpu", evaluations=1)
    own = real(tmp_path, configs={"bnb": config}, seeds={"ppo": 1}, walk=WalkForwardConfig(folds=1))
    run_real_results(own, lambda _line: None)
    ((group,), _) = read_groups(own.results)
    assert group.other_funding == "zero"
    held, elsewhere = (group.baseline_returns(series)["buy_and_hold"] for series in ("daily_returns", "other_funding"))
    assert np.sum(elsewhere) > np.sum(held)  # a long pays the base rate
    text = page_text(own.results, tmp_path / "page.md")
    assert "all, no funding" in text
    assert "With no funding where funding is not recorded: " in text
    assert "BNBUSDT funding is not recorded at" in text


# ---- The command


def test_what_cannot_be_made_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    for words, part in (
        (("--markets", "moon-1h"), "unknown market 'moon-1h'; choose from btcusdt-30m"),
        (("--page-only",), "has no complete set of results"),
        (("--ppo-steps", "0"), "--ppo-steps must be at least 1"),
        ((), "data folder data does not exist; run scripts.download"),
    ):
        answer = call(real_results, *words)
        assert answer.code == 2, answer
        assert part in answer.err
        assert len(answer.err.splitlines()) == 1


def test_the_command_writes_the_page_of_what_is_there(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    answer = call(real_results, "--page-only", "--results", made / "real-results", "--page", tmp_path / "page.md")
    assert answer.code == 0, answer.err
    assert "## embedded" in (tmp_path / "page.md").read_text()
