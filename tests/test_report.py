"""The files of an evaluation."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from envs.embedded import embedded_market_data
from rl_trader.config import TradingConfig
from rl_trader.embedded import STATE_FEATURE
from rl_trader.evaluation import Evaluation, evaluate
from rl_trader.honesty import Honesty, Trials, judge, verdict
from rl_trader.market import Period
from rl_trader.metrics import FLOWS
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.report import writing as report
from rl_trader.report.figures import thinned_rows
from rl_trader.report.page import shown
from rl_trader.stress import stress

FIGURES = ("equity", "differences", "position_EMBEDDED", "attribution", "flows", "random", "targets", "exposure")


class AgainstThePrice:
    """Short above the anchor, long below it."""

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the target positions."""
        return -np.sign(observations[:, 0].astype(np.float64))


TRADING = TradingConfig(leverage=2, stop_loss=0.4)


@pytest.fixture(scope="module")
def observed() -> ObservedMarket:
    schema = ObservationSchema(features=(STATE_FEATURE,), account_features=("exposure",))
    return observe_market(embedded_market_data(800, 5), schema)


@pytest.fixture(scope="module")
def evaluation(observed: ObservedMarket) -> Evaluation:
    name = "<b>agent</b> & $name"
    return evaluate(name, AgainstThePrice(), observed, TRADING, Period(), num_random=10, facts={"seed": "7 <i>"})


@pytest.fixture(scope="module")
def honesty(evaluation: Evaluation, observed: ObservedMarket) -> Honesty:
    stresses = stress(AgainstThePrice(), evaluation.agent, observed, TRADING, Period())
    return judge(evaluation, Trials(3, 0.05), stresses)


@pytest.fixture(scope="module")
def folder(evaluation: Evaluation, honesty: Honesty, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "evaluation"
    report.write_evaluation(folder, evaluation, honesty)
    return folder


def test_nothing_but_the_three_files_is_left_in_the_folder(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["equity.parquet", "metrics.json", "report.html"]


def test_the_json_file_holds_the_evaluation(folder: Path, evaluation: Evaluation, honesty: Honesty) -> None:
    data = json.loads((folder / report.METRICS_FILE).read_text(encoding="utf-8"))
    judged = data.pop("honesty")
    assert data == json.loads(json.dumps(evaluation.to_json()))
    assert judged == json.loads(json.dumps(honesty.to_json()))


def test_the_parquet_file_has_every_bar_of_agent_and_baselines(folder: Path, evaluation: Evaluation) -> None:
    table = pq.read_table(folder / report.EQUITY_FILE).to_pandas()
    outcomes = evaluation.agent[0].outcomes
    assert table["margin_balance"].tolist() == outcomes["margin_balance"].tolist()
    held = evaluation.baselines["buy_and_hold"][0].margin_balance
    assert table["margin_balance_buy_and_hold"].tolist() == held.tolist()
    assert set(table["symbol"]) == {"EMBEDDED"}
    # A bar's flows lead from the balance at the close before to the balance at its own.
    before = np.concatenate([[evaluation.trading.initial_balance], table["margin_balance"][:-1]])
    assert before + table[list(FLOWS)].sum(axis=1).to_numpy() == pytest.approx(table["margin_balance"].to_numpy())


def test_the_page_loads_nothing_from_elsewhere(folder: Path) -> None:
    page = (folder / report.REPORT_FILE).read_text(encoding="utf-8")
    own = page.replace(get_plotlyjs(), "", 1)
    assert len(own) < len(page) - 1_000_000  # plotly.js is in the page, once
    assert get_plotlyjs() not in own
    assert not re.search(r"<link|<img|<iframe|@import|url\(|src\s*=|https?://", own)


def test_names_and_facts_are_shown_as_they_are_and_not_as_markup(folder: Path) -> None:
    page = (folder / report.REPORT_FILE).read_text(encoding="utf-8")
    assert "<h1>&lt;b&gt;agent&lt;/b&gt; &amp; $name</h1>" in page
    assert "seed 7 &lt;i&gt;" in page
    assert "<b>agent" not in page


def test_the_page_says_what_was_played_and_promises_nothing(folder: Path) -> None:
    page = (folder / report.REPORT_FILE).read_text(encoding="utf-8")
    # 800 bars of 30 minutes from 2020-01-01 on, the first of which is only observed: they end on 2020-01-17 16:00.
    for words in (
        "<strong>EMBEDDED</strong>, 30m bars",
        "2020-01-01 00:30 to 2020-01-17 16:00 UTC",
        "begins with 10,000 USDT",
        "taker fee 0.200%",
        "used on data of the past",
        "no promise of profit",
    ):
        assert words in page
    for name in FIGURES:
        assert f'id="{name}"' in page


def test_the_page_begins_with_the_verdict_and_shows_differences_and_stresses(folder: Path, honesty: Honesty) -> None:
    page = (folder / report.REPORT_FILE).read_text(encoding="utf-8")
    assert f"<strong>{verdict(honesty)}</strong>" in page
    for words in ("Skill or luck", "<th>Configurations tried here, seeds not counted</th><td>3</td>", "fee \u00d7 3"):
        assert words in page
    assert "mirrored prices" in page


def test_a_failed_write_leaves_the_earlier_files(
    folder: Path, evaluation: Evaluation, honesty: Honesty, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full_disk(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        report.write_evaluation(folder, replace(evaluation, name="other"), honesty)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_every_figure_is_drawn_without_network(folder: Path, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        assert "RL_TRADER_CI" not in os.environ, "CI must install Chromium"
        # A user need not have a browser; `.ci/run` installs one and sets RL_TRADER_CI, where its absence fails above.
        pytest.skip("no Chromium in the path; install it to see the report drawn")
    options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    page = (folder / report.REPORT_FILE).as_uri()
    done = subprocess.run(
        [
            browser,
            *options.split(),
            "--disable-quic",
            "--disable-component-update",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=5000",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            page,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    for name in FIGURES:
        drawn = done.stdout.split(f'id="{name}"')[1].split("<script")[0]
        assert "main-svg" in drawn, name


def test_thinning_keeps_both_ends_and_every_spike() -> None:
    values = np.zeros(100_001)
    values[[12_345, 70_000]] = 5.0, -7.0
    values[-1] = 1.0
    rows = thinned_rows(values, 1_000)
    assert len(rows) <= 1_002
    assert {0, 12_345, 70_000, 100_000} <= set(rows.tolist())
    assert np.array_equal(thinned_rows(values[:900], 1_000), np.arange(900))


def test_figures_are_shown_with_separators_minus_signs_and_dashes() -> None:
    assert shown(-1234567.8, "{:+,.0f}") == "\u22121,234,568"
    assert shown(-0.0001, "{:+.1%}") == "0.0%"
    assert shown(0.0512, "{:.1%}") == "5.1%"
    assert shown(None, "{:.2f}") == "\u2013"
