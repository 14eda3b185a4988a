"""The commands as a user types them: what they do, and one sentence and exit code 2 for what cannot be done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.run_folder import RunFolder
from rl_trader.bars import MS_PER_HOUR
from rl_trader.checkpoint import sealed
from rl_trader.klines import utc
from scripts import bench, compare, differential, doctor, download, evaluate, margin
from scripts import train as train_script
from tests.called_scripts import Answer, script_caller
from tests.small_runs import MARKET, small_config, train, training_state

REPO = Path(__file__).parents[1]
START = 1_704_067_200_000  # 2024-01-01T00:00Z
BAR = 4 * MS_PER_HOUR
NUM_BARS = 186  # 31 days of 6 bars
SCRIPTS: dict[str, ModuleType] = {
    "train": train_script,
    "evaluate": evaluate,
    "compare": compare,
    "doctor": doctor,
    "download": download,
    "bench": bench,
    "margin": margin,
    "differential": differential,
}
# 4 days of training after 2 of warm-up; every other number as small as it may be.
PERIODS = (
    *("--market.train", "2024-01-03", "2024-01-20", "--market.validation", "2024-01-20", "2024-01-25"),
    *("--market.test", "2024-01-25", "2024-02-01"),
)
TINY = (
    *("--ppo.total-timesteps", "64", "--ppo.num-envs", "4", "--ppo.n-steps", "8", "--ppo.batch-size", "16"),
    *("--ppo.n-epochs", "1", "--ppo.net-arch", "4", "--evaluations", "1", "--device", "cpu"),
)
FEATURES = ("--env.features", "log_return_1", "realised_volatility_4")


Call = Callable[..., Answer]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Return a function that runs a script in this process, from an empty folder and without a data folder."""
    called = script_caller(monkeypatch, capsys, tmp_path)
    return lambda script, *arguments: called(SCRIPTS[script], *arguments)


def typed(*arguments: object, cwd: Path = REPO, **environment: str) -> Answer:
    """Run a command in a process of its own."""
    env = {name: value for name, value in os.environ.items() if name != "RL_TRADER_DATA"}
    process = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=cwd,
        env=env | {"PYTHONPATH": str(REPO)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Answer(process.returncode, process.stdout, process.stderr)


def assert_one_sentence(answer: Answer, *parts: str) -> None:
    """Assert that a command ended with one line on stderr that has the parts."""
    assert answer.code == 2, answer
    assert len(answer.err.splitlines()) == 1, answer.err
    assert answer.err.startswith("error: ")
    assert answer.err[len("error: ")].strip()
    for part in parts:
        assert part in answer.err


def klines(num_bars: int = NUM_BARS, price: float = 40_000.0) -> pd.DataFrame:
    """Return a seeded walk of 4-hour bars from 2024-01-01 on."""
    rng = np.random.default_rng(num_bars)
    close = np.round(price * np.exp(np.cumsum(rng.normal(0.0, 0.01, num_bars))), 1)
    opens = np.concatenate([[price], close[:-1]])
    return pd.DataFrame(
        {
            "open_time": START + BAR * np.arange(num_bars, dtype=np.int64),
            "open": opens,
            "high": np.maximum(opens, close) + 50.0,
            "low": np.minimum(opens, close) - 50.0,
            "close": close,
            "volume": np.round(rng.uniform(500.0, 900.0, num_bars), 3),
        }
    )


def funding(num_bars: int = NUM_BARS) -> pd.DataFrame:
    times = START + 2 * BAR * np.arange(num_bars // 2, dtype=np.int64)
    return pd.DataFrame({"funding_time": times, "funding_rate": np.full(len(times), 1e-4)})


def write(table: pd.DataFrame, root: Path, folder: str, symbol: str = "BTCUSDT") -> None:
    """Write a table as it is, without the checks of the store."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    table.to_parquet(root / folder / f"{symbol}.parquet", index=False)


def make_store(root: Path, table: pd.DataFrame | None = None, symbol: str = "BTCUSDT", price: float = 40_000.0) -> Path:
    """Write klines, marks and funding of a symbol."""
    whole = klines(price=price)
    write(whole if table is None else table, root, "klines_4h", symbol)
    write(whole.drop(columns="volume"), root, "mark_price_4h", symbol)
    write(funding(), root, "funding_rate", symbol)
    return root


def train_4h(call: Call, data: Path, runs: Path, *arguments: object) -> Answer:
    return call("train", "btcusdt-4h", "--data", data, "--runs", runs, *PERIODS, *TINY, *FEATURES, *arguments)


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small finished run on the embedded market."""
    return train(small_config(tmp_path_factory.mktemp("runs"), "demo")).path


# ---- What works


def test_the_demo_in_miniature_trains_evaluates_and_compares(tmp_path: Path) -> None:
    dates = [word for name in ("train", "validation", "test") for word in (f"--market.{name}", *getattr(MARKET, name))]
    for algo, sizes in (("ppo", TINY), ("dqn", ("--dqn.total-timesteps", "64", "--evaluations", "1"))):
        answer = typed("scripts.train", "--algo", algo, "--runs", tmp_path, "--name", algo, *dates, *sizes)
        assert answer.code == 0, answer.err
        *_, validation, optimum, run, evaluate_it, watch_it = answer.out.splitlines()
        assert validation.startswith("validation: ")
        assert " % of the optimum (" in optimum
        assert run == f"run: {tmp_path / algo}"
        assert evaluate_it == f"evaluate it: python -m scripts.evaluate {tmp_path / algo}"
        assert watch_it == f"watch it:    tensorboard --logdir {tmp_path}"
        assert "64.0/64.0" in answer.err  # the progress bar
        assert "Warning" not in answer.err
        answer = typed("scripts.evaluate", tmp_path / algo, "--random-agents", 5)
        assert answer.code == 0, answer.err
        assert answer.err == ""
        for name in ("agent", "flat", "buy_and_hold", "momentum", "% of the optimum", "of 5 random agents"):
            assert name in answer.out
        folder = tmp_path / algo / "evaluation" / "test"
        assert {path.name for path in folder.iterdir()} == {"metrics.json", "equity.parquet", "report.html"}
    answer = typed("scripts.compare", tmp_path / "ppo", tmp_path / "dqn", "--csv", tmp_path / "both.csv")
    assert answer.code == 0, answer.err
    assert answer.err == ""
    table = pd.read_csv(tmp_path / "both.csv")
    assert table["run"].tolist() == ["ppo", "dqn"]
    assert table["algorithm"].tolist() == ["ppo", "dqn"]
    assert table["since"].tolist() == ["2020-02-04T00:00Z"] * 2
    found = [json.loads((tmp_path / name / "evaluation/test/metrics.json").read_text()) for name in ("ppo", "dqn")]
    assert table["total_return"].tolist() == [metrics["agent"]["total_return"] for metrics in found]


def test_two_symbols_are_trained_together_and_evaluated_alone(call: Call, tmp_path: Path) -> None:
    data = make_store(make_store(tmp_path / "data"), symbol="ETHUSDT", price=2_000.0)
    brackets = [
        {"bracket": 1, "initialLeverage": 75, "notionalCap": 50_000, "notionalFloor": 0, "maintMarginRatio": 0.005,
         "cum": 0.0},
        {"bracket": 2, "initialLeverage": 50, "notionalCap": 600_000, "notionalFloor": 50_000,
         "maintMarginRatio": 0.01, "cum": 250.0},
    ]  # fmt: skip
    (data / "reference").mkdir()
    (data / "reference" / "leverage_brackets.json").write_text(json.dumps({"ETHUSDT": brackets}))
    answer = train_4h(call, data, tmp_path / "runs", "--name", "two", "--market.symbols", "BTCUSDT", "ETHUSDT")
    assert answer.code == 0, answer.err
    run = RunFolder.open(tmp_path / "runs" / "two")
    assert sorted(run.about()["data"]) == [
        f"{folder}/{symbol}.parquet"
        for folder in ("funding_rate", "klines_4h", "mark_price_4h")
        for symbol in ("BTCUSDT", "ETHUSDT")
    ]
    assert run.checkpoint("last").symbols == ("BTCUSDT", "ETHUSDT")
    answer = call("evaluate", run.path, "--symbol", "ETHUSDT", "--random-agents", 0, "--period", "validation")
    assert answer.code == 0, answer.err
    metrics = json.loads((run.path / "evaluation" / "validation-ETHUSDT" / "metrics.json").read_text())
    assert metrics["symbols"] == ["ETHUSDT"]
    assert (metrics["since"], metrics["until"]) == ("2024-01-20T00:00Z", "2024-01-25T00:00Z")
    assert_one_sentence(call("evaluate", run.path, "--symbol", "XRPUSDT"), "XRPUSDT", "BTCUSDT, ETHUSDT")


def test_a_run_whose_data_changed_is_not_resumed(call: Call, tmp_path: Path) -> None:
    data = make_store(tmp_path / "data")
    assert train_4h(call, data, tmp_path / "runs", "--name", "a").code == 0
    assert call("train", "--resume", tmp_path / "runs" / "a").code == 0
    write(change(klines(), "volume", 700.5), data, "klines_4h")
    assert_one_sentence(call("train", "--resume", tmp_path / "runs" / "a"), "have changed since it began")


def test_bars_that_are_made_from_finer_ones_are_in_the_data_manifest(call: Call, tmp_path: Path) -> None:
    data = make_store(tmp_path / "data")
    answer = train_4h(call, data, tmp_path / "runs", "--name", "a", "--market.interval", "8h")
    assert answer.code == 0, answer.err
    assert "klines_4h/BTCUSDT.parquet" in RunFolder.open(tmp_path / "runs" / "a").about()["data"]


def test_missing_funding_is_evaluated_under_both_assumptions(call: Call, tmp_path: Path) -> None:
    data = make_store(tmp_path / "data")
    (data / "funding_rate" / "BTCUSDT.parquet").unlink()
    refused = train_4h(call, data, tmp_path / "runs", "--name", "a")
    assert_one_sentence(refused, "funding is not recorded", "market.assumptions.missing_funding")
    answer = train_4h(call, data, tmp_path / "runs", "--name", "a", "--market.assumptions.missing-funding", "base")
    assert answer.code == 0, answer.err
    assert "assumption: BTCUSDT funding is not recorded" in answer.out
    assert call("evaluate", tmp_path / "runs" / "a", "--random-agents", 0).code == 0
    made = {path.name for path in (tmp_path / "runs" / "a" / "evaluation").iterdir()}
    assert made == {"test", "test-funding-zero"}


def test_the_income_of_an_evaluation_sums_to_its_fees(call: Call, demo_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(demo_run, tmp_path / "copy")
    answer = call("evaluate", copy, "--random-agents", 0, "--income")
    folder = copy / "evaluation" / "test"
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-2:] == [f"report: {folder / 'report.html'}", f"income: {folder / 'income.parquet'}"]
    table = pd.read_parquet(folder / "income.parquet")
    assert list(table.columns) == ["time", "symbol", "income_type", "income", "wallet_balance"]
    metrics = json.loads((folder / "metrics.json").read_text())
    fees = table.loc[table["income_type"] == "COMMISSION", "income"].sum()
    assert fees == pytest.approx(metrics["agent"]["fees"], abs=1e-6)
    assert fees < 0.0


def test_fees_in_bnb_and_resting_orders_are_chosen_on_the_command_line(call: Call, tmp_path: Path) -> None:
    data = make_store(tmp_path / "data")
    chosen = ("--env.trading.fees-in-bnb", "--env.trading.limit-distance", "0.001")
    answer = train_4h(call, data, tmp_path / "runs", "--name", "a", *chosen)
    assert answer.code == 0, answer.err
    assert call("evaluate", tmp_path / "runs" / "a", "--random-agents", 0).code == 0
    folder = tmp_path / "runs" / "a" / "evaluation" / "test"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["taker_fee"] == {"BTCUSDT": 0.00045}
    assert any("Post-only limit orders" in sentence for sentence in metrics["assumptions"])
    assert any("paid in BNB" in sentence for sentence in metrics["assumptions"])
    assert "maker fee 0.018%" in (folder / "report.html").read_text()
    answer = train_4h(call, data, tmp_path / "runs", "--name", "b", "--env.trading.limit-distance", "0.7")
    assert_one_sentence(answer, "limit_distance", "0.7")


def test_ctrl_c_saves_and_the_printed_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.train", "--runs", str(tmp_path), "--name", "run", "--device", "cpu"]
    sizes = ["--ppo.total-timesteps", "200000", "--ppo.num-envs", "4", "--ppo.n-steps", "16", "--ppo.batch-size", "64"]
    with subprocess.Popen(
        [*command, *sizes], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "baseline_flat").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(2.0)  # into the training
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    line = out.splitlines()[-1]
    assert line.startswith("interrupted at ")
    assert line.endswith(f"go on with `python -m scripts.train --resume {tmp_path / 'run'}`")
    assert "Traceback" not in err
    bars = int(line.split()[2].replace(",", ""))
    assert 0 < bars < 200_000
    _, state = training_state(RunFolder.open(tmp_path / "run"))
    assert state["progress"]["num_evaluations"] == 0


@pytest.mark.parametrize("script", [*SCRIPTS, "calibration", "real_results", "sweep", "tune", "walk_forward"])
def test_help_answers_without_a_heavy_import(script: str) -> None:
    code = (
        f"import sys\nsys.argv = ['x', '--help']\nfrom scripts import {script}\n"
        f"try:\n    {script}.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([m for m in ('numpy', 'pandas', 'numba', 'torch', 'ccxt', 'aiohttp', 'gymnasium') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"
    assert len(result.stdout.splitlines()) > 5


def test_the_help_of_a_preset_lists_its_fields(call: Call) -> None:
    answer = call("train", "btcusdt-4h", "--help")
    assert answer.code == 0
    for field in ("--algo", "--env.trading.leverage", "--market.symbols", "--ppo.n-steps", "--dqn.buffer-size"):
        assert field in answer.out


# ---- Bad input: the command line


BAD_LINES: list[tuple[Sequence[str], Sequence[str]]] = [
    (["nosuch"], ["unknown preset 'nosuch'", "demo, btcusdt-30m, btcusdt-4h, majors-4h"]),
    (["demo", "--algo", "sac"], ["'sac'", "'ppo', 'dqn'"]),
    (["demo", "--algoo", "ppo"], ["unrecognized options: --algoo, ppo; did you mean --algo? `"]),
    (["demo", "--dqn.cut-return"], ["did you mean --dqn.cut-returns? `"]),
    (["demo", "--ppo.foo", "3"], ["--ppo.foo", "--help"]),
    (["demo", "--seed"], ["--seed"]),
    (["demo", "--seed", "x"], ["--seed", "'x'"]),
    (["demo", "--seed", "-1"], ["seed must not be negative"]),
    (["demo", "--ppo.learning-rate", "fast"], ["--ppo.learning-rate", "'fast'"]),
    (["demo", "--ppo.gamma", "7"], ["ppo.gamma", "fraction", "7"]),
    (["demo", "--ppo.horizon-bars", "0.5"], ["ppo.horizon_bars", "at least 1", "0.5"]),
    (["demo", "--ppo.horizon-bars", "50", "--ppo.gamma=0.9"], ["ppo.gamma and ppo.horizon_bars", "give one"]),
    (["demo", "--ppo.gamma", "None"], ["one of gamma and horizon_bars"]),
    (["demo", "--ppo.batch-size", "100"], ["ppo.batch_size", "32768"]),
    (["demo", "--ppo.net-arch", "8", "-1"], ["ppo.net_arch"]),
    (["demo", "--market.train", "2020"], ["--market.train"]),
    (["demo", "--market.train", "2020-01-01", "soon"], ["'soon' is not a date"]),
    (["demo", "--market.train", "2020-02-01", "2020-01-01"], ["2020-02-01 to 2020-01-01"]),
    (["demo", "--market.train", "2020-01-01", "2025-03-01"], ["must follow each other"]),
    (["demo", "--market.interval", "4h"], ["30m", "'4h'"]),
    (["demo", "--env.features", "log_retrun_1"], ["unknown feature 'log_retrun_1'", "log_return_<bars>"]),
    (["demo", "--env.account-features", "moon"], ["unknown account feature 'moon'"]),
    (["demo", "--env.reward", "riches"], ["unknown reward 'riches'", "log_return"]),
    (["demo", "--env.reward", ":x"], ["':x'"]),
    (["demo", "--env.reward", "os:path"], ["must be a function"]),
    (["demo", "--env.reward", "os.path:join"], ["'os.path:join' must compile"]),
    (["demo", "--env.trading.leverage", "21"], ["leverage of EMBEDDED", "20", "21"]),
    (["demo", "--env.trading.max-exposure", "3"], ["max_exposure", "at most the leverage", "3"]),
    (["demo", "--env.trading.initial-balance", "1"], ["initial_balance", "smallest order"]),
    (["demo", "--env.trading.levels", "--algo", "dqn"], ["dqn needs discrete actions"]),
    (["demo", "--device", "abacus"], ["device 'abacus' does not answer", "cpu"]),
    (["demo", "--name", "a/b"], ["plain folder name", "a/b"]),
    (["demo", "--callbacks", "no.such:thing"], ["callback 'no.such:thing' cannot be imported"]),
    (["demo", "surplus"], ["surplus"]),
    (["--resume"], ["--resume needs one run folder"]),
    (["--resume", "nowhere"], ["there is no run folder nowhere"]),
]


@pytest.mark.parametrize(("arguments", "parts"), BAD_LINES, ids=lambda value: " ".join(value))
def test_a_command_line_that_cannot_be_run_is_one_sentence(
    arguments: Sequence[str], parts: Sequence[str], call: Call, tmp_path: Path
) -> None:
    assert_one_sentence(call("train", *arguments), *parts)
    assert list(tmp_path.iterdir()) == []


ORDINARY_POSITION = "--symbol=BTCUSDT --side=long --entry=1 --amount=1 --leverage=1 --wallet=1 --mode=cross"


@pytest.mark.parametrize(
    ("script", "words", "beginning"),
    [
        ("train", "demo", "--al ppo"),
        ("train", "", "--resum runs/a"),
        ("evaluate", "runs/a", "--inc"),
        ("evaluate", "runs/a", "--random 5"),
        ("compare", "runs/a", "--cs both.csv"),
        ("download", "BTCUSDT --interval 1h --since 2024-01-01", "--da data"),
        ("bench", "", "--js"),
        ("margin", ORDINARY_POSITION, "--js"),
        ("differential", "", "--step 5"),
    ],
)
def test_the_beginning_of_an_option_is_not_taken_for_it(
    script: str, words: str, beginning: str, call: Call, tmp_path: Path
) -> None:
    answer = call(script, *words.split(), *beginning.split())
    assert_one_sentence(answer, "unrecognized", beginning.split()[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_mistyped_field_is_named_whatever_the_terminal_can_draw(encoding: str, tmp_path: Path) -> None:
    answer = typed("scripts.train", "demo", "--algoo", "ppo", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert answer.err == (
        "error: unrecognized options: --algoo, ppo; did you mean --algo? `python -m scripts.train demo --help` lists"
        " the fields\n"
    )
    assert answer.code == 2


def test_the_sentence_is_all_that_a_process_says(tmp_path: Path) -> None:
    answer = typed("scripts.train", "demo", "--name", "taken", "--runs", tmp_path, "--env.trading.leverage", "21")
    assert_one_sentence(answer, "leverage of EMBEDDED")
    assert answer.out == ""
    answer = typed("scripts.train", "btcusdt-30m", "--runs", tmp_path, RL_TRADER_DATA=str(tmp_path / "none"))
    assert_one_sentence(answer, f"data folder {tmp_path / 'none'} does not exist", "scripts.download")
    assert answer.out == ""
    assert list(tmp_path.iterdir()) == []


# ---- Bad input: the data


def change(table: pd.DataFrame, column: str, value: float, row: int = 100) -> pd.DataFrame:
    table.loc[row, column] = value
    return table


WHEN = utc(START + 100 * BAR)
BAD_TABLES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], list[str]]] = {
    "hole": (lambda t: t.drop(index=[100, 101]), ["hole", "2 bars missing", utc(START + 99 * BAR), "split"]),
    "duplicate": (lambda t: t.loc[[*range(101), *range(100, NUM_BARS)]], ["second bar at", WHEN, "remove"]),
    "unsorted": (
        lambda t: t.loc[[*range(100), 101, 100, *range(102, NUM_BARS)]],
        [WHEN, "comes after", "sort"],
    ),
    "NaN": (lambda t: change(t, "close", np.nan), [WHEN, "not finite", "close"]),
    "infinite": (lambda t: change(t, "volume", np.inf), [WHEN, "not finite", "volume"]),
    "negative": (lambda t: change(t, "low", -5.0), [WHEN, "not positive", "-5.0"]),
    "high below low": (lambda t: change(t, "high", 1.0), [WHEN, "high below the low"]),
    "column missing": (lambda t: t.drop(columns="close"), ["no column close"]),
    "wrong type": (lambda t: t.astype({"open": str}), ["column open must be a number"]),
    "seconds": (lambda t: t.assign(open_time=t["open_time"] // 1000), ["klines_4h"]),
    "other interval": (lambda t: t.assign(open_time=t["open_time"] + 60_000), ["no 4h bar opens"]),
    "empty": (lambda t: t[:0], ["no rows"]),
}


@pytest.mark.parametrize("fault", BAD_TABLES)
def test_a_faulty_table_is_named_with_its_first_row_and_what_to_do(fault: str, call: Call, tmp_path: Path) -> None:
    damage, parts = BAD_TABLES[fault]
    data = make_store(tmp_path / "data", damage(klines()))
    assert_one_sentence(train_4h(call, data, tmp_path / "runs"), *parts)
    assert not (tmp_path / "runs").exists()


def test_a_recording_with_a_hole_trains_once_that_is_asked_for(call: Call, tmp_path: Path) -> None:
    data = make_store(tmp_path / "data", klines().drop(index=[60, 61]))
    asked = ("--name", "a", "--market.assumptions.holes", "split")
    # The settlement at the open of bar 60 is recorded, and no bar would pay it.
    answer = train_4h(call, data, tmp_path / "runs", *asked)
    assert_one_sentence(answer, f"that of {utc(START + 60 * BAR)} lies in the hole", "remove such settlements")
    write(funding().drop(index=30), data, "funding_rate")
    answer = train_4h(call, data, tmp_path / "runs", *asked)
    assert answer.code == 0, answer.err


def test_a_data_folder_that_is_none_says_what_to_do(call: Call, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert_one_sentence(train_4h(call, tmp_path / "none", runs), "does not exist", "scripts.download")
    (tmp_path / "empty").mkdir()
    assert_one_sentence(train_4h(call, tmp_path / "empty", runs), "has no market data", "scripts.download")
    (tmp_path / "file").write_text("x")
    assert_one_sentence(train_4h(call, tmp_path / "file", runs), "does not exist")
    data = make_store(tmp_path / "data")
    (data / "klines_4h" / "BTCUSDT.parquet").write_bytes(b"PAR1 and nothing more")
    assert_one_sentence(train_4h(call, data, runs), "not a readable Parquet file")
    assert not runs.exists()


def test_a_symbol_or_interval_that_is_not_recorded_lists_what_is(call: Call, tmp_path: Path) -> None:
    data, runs = make_store(tmp_path / "data"), tmp_path / "runs"
    assert_one_sentence(train_4h(call, data, runs, "--market.symbols", "BTCUSTD"), "BTCUSTD", "BTCUSDT")
    assert_one_sentence(train_4h(call, data, runs, "--market.symbols", "../x"), "../x has no klines")
    assert_one_sentence(train_4h(call, data, runs, "--market.symbols", "BTCUSDT", "BTCUSDT"), "must differ")
    assert_one_sentence(train_4h(call, data, runs, "--market.interval", "1h"), "only of 4h")
    assert_one_sentence(train_4h(call, data, runs, "--market.interval", "7m"), "'7m' is not known", "30m")
    assert not runs.exists()


def test_a_period_without_data_says_what_is_recorded(call: Call, tmp_path: Path) -> None:
    data, runs = make_store(tmp_path / "data"), tmp_path / "runs"
    later = (
        *("--market.train", "2025-01-03", "2025-01-20", "--market.validation", "2025-01-20", "2025-01-25"),
        *("--market.test", "2025-01-25", "2025-02-01"),
    )
    answer = train_4h(call, data, runs, *later)
    assert_one_sentence(answer, "2024-01-01T00:00Z", "2025-02-01T00:00Z")
    answer = train_4h(call, data, runs, "--market.test", "2024-01-25", "2024-03-01")
    assert_one_sentence(answer, "2024-03-01T00:00Z", "2024-02-01T00:00Z")
    # The first 335 bars of the 186 lack the feature.
    names = ("--env.features", "trend_strength_336")
    assert_one_sentence(train_4h(call, data, runs, *names), "335 bars are warm-up", "longer")
    assert not runs.exists()


def test_a_leverage_beyond_the_brackets_is_refused(call: Call, tmp_path: Path) -> None:
    data, runs = make_store(tmp_path / "data"), tmp_path / "runs"
    answer = train_4h(call, data, runs, "--env.trading.leverage", "999")
    assert_one_sentence(answer, "leverage of BTCUSDT must be a whole number from 1 to", "999")
    assert not runs.exists()


# ---- Bad input: run folders


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_folder_that_exists_is_left_alone(call: Call, demo_run: Path) -> None:
    before = contents(demo_run)
    answer = call("train", "demo", "--runs", demo_run.parent, "--name", demo_run.name)
    assert_one_sentence(answer, f"run folder {demo_run} exists", "--name", f"--resume {demo_run}")
    assert contents(demo_run) == before


def test_a_folder_that_is_no_run_says_so(call: Call, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for script in ("evaluate", "compare"):
        assert_one_sentence(call(script, "nowhere"), "there is no run folder nowhere")
        assert_one_sentence(call(script, tmp_path / "other"), "is no run folder: it has no config.json")
    assert_one_sentence(call("evaluate"), "there is no run in runs", "scripts.train")
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--period", "tomorrow"], ["unknown period 'tomorrow'", "validation or test"]),
        (["--period", "train"], ["unknown period 'train'"]),
        (["--period", "2020-01-15:2020-03-01"], ["was trained on", "overlaps"]),
        (["--period", "2020-03-02:2020-03-01"], ["2020-03-02 to 2020-03-01"]),
        (["--period", "2020-03-01:x"], ["'x' is not a date"]),
        (["--period", "2035-01-01:2036-01-01"], ["2035-01-01T00:00Z"]),
        (["--symbol", "XRPUSDT"], ["no symbol 'XRPUSDT'", "EMBEDDED"]),
        (["--checkpoint", "worst"], ["'worst'", "best"]),
        (["--random-agents", "-3"], ["must not be negative", "-3"]),
        (["--random-agents", "many"], ["'many'"]),
        (["--rule", "nothing"], ["'nothing'", "package.module:attribute"]),
        (["--nonsense"], ["--nonsense"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_an_evaluation_that_cannot_be_made_is_one_sentence(
    arguments: list[str], parts: list[str], call: Call, demo_run: Path
) -> None:
    before = contents(demo_run)
    assert_one_sentence(call("evaluate", demo_run, *arguments), *parts)
    assert contents(demo_run) == before


def test_compare_asks_for_the_evaluation_that_it_needs(call: Call, demo_run: Path, tmp_path: Path) -> None:
    assert_one_sentence(call("compare", demo_run), "has no evaluation 'test'", "scripts.evaluate")
    copy = shutil.copytree(demo_run, tmp_path / "copy")
    assert call("evaluate", copy, "--random-agents", 0).code == 0
    answer = call("compare", copy, "--csv", tmp_path / "none" / "x.csv")
    assert_one_sentence(answer, "x.csv cannot be written", "--csv")
    metrics = copy / "evaluation" / "test" / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"baselines"', '"basslines"'))
    assert_one_sentence(call("compare", copy, "--csv", tmp_path / "x.csv"), "metrics.json lacks 'baselines'")
    assert not (tmp_path / "x.csv").exists()


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def without(key: str) -> Callable[[Any], Any]:
    return lambda data: {name: value for name, value in data.items() if name != key}


CONFIG_FAULTS: dict[str, Callable[[Any], Any]] = {
    "field missing": without("seed"),
    "field of a later version": lambda data: data | {"colour": "blue"},
    "other type": lambda data: data | {"seed": "0"},
    "other nested type": lambda data: data | {"market": data["market"] | {"symbols": 7}},
    "texts for numbers": lambda data: data | {"env": data["env"] | {"trading": data["env"]["trading"] | {
        "levels": ["up", "down"]}}},
    "value refused": lambda data: data | {"algo": "sac"},
    "a list": lambda data: [data],
}  # fmt: skip


@pytest.mark.parametrize("fault", CONFIG_FAULTS)
def test_a_configuration_of_another_schema_is_one_sentence_for_every_command(
    fault: str, call: Call, demo_run: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(demo_run, tmp_path / "copy")
    edit(copy / "config.json", CONFIG_FAULTS[fault])
    before = contents(copy)
    for command in (("evaluate", copy), ("compare", copy), ("train", "--resume", copy)):
        assert_one_sentence(call(*command), "config.json")
    assert contents(copy) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00"])
@pytest.mark.parametrize("name", ["config.json", "about.json", "checkpoints/index.json", "manifest.json"])
def test_a_damaged_file_is_one_sentence(name: str, content: bytes, call: Call, demo_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(demo_run, tmp_path / "copy")
    for path in [copy / name] if name != "manifest.json" else list(copy.rglob(name)):
        path.write_bytes(content)
    before = contents(copy)
    command: tuple[object, ...] = ("train", "--resume", copy) if name == "about.json" else ("evaluate", copy)
    assert_one_sentence(call(*command), name.partition("/")[2] or name)
    assert contents(copy) == before


def test_a_checkpoint_of_another_schema_is_one_sentence(call: Call, demo_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(demo_run, tmp_path / "copy")
    for path in copy.rglob("manifest.json"):
        edit(path, lambda data: data | {"facts": {}})
    assert_one_sentence(call("evaluate", copy), "does not have its own hash")
    for path in copy.rglob("manifest.json"):
        edit(path, lambda data: sealed(data | {"observation": data["observation"] | {"sha256": "0" * 64}}))
    assert_one_sentence(call("evaluate", copy), "features of another definition", "train again")
    for path in copy.rglob("manifest.json"):
        edit(path, lambda data: data | {"format": 2})
    assert_one_sentence(call("evaluate", copy), "must have format 1, found 2")
    for path in copy.rglob("manifest.json"):
        path.unlink()
    assert_one_sentence(call("evaluate", copy), "is no checkpoint")
    shutil.rmtree(copy / "checkpoints")
    assert_one_sentence(call("evaluate", copy), "has no best checkpoint yet")
