"""The benchmark's other commands: growth and profile."""

import json
from pathlib import Path

import numpy as np
import pytest

from agents.benchmark.effort import Effort
from agents.benchmark.entries import profile
from agents.benchmark.environment import account_config
from agents.benchmark.growth.curves import CURVES, measure
from agents.benchmark.growth.markets import long_market, of_features, of_symbols
from agents.benchmark.growth.plot import growth_figure
from agents.benchmark.measure import Figure, Reach, Result
from agents.training.figures import picture
from envs.vector_env import TradingVectorEnv
from tests.bench_command import bench

TINY = Effort(repeats=2, seconds=0.001, num_bars=2_000)


def test_a_market_that_repeats_itself_settles_funding_and_goes_on_over_the_seam() -> None:
    observed = long_market(200_000)
    bars, fundings = observed.market.bars, observed.market.fundings
    assert len(bars) == len(observed.rows) == 200_000
    assert np.all(np.diff(bars["open_time"]) == observed.market.interval_ms)
    assert np.all(np.diff(fundings["funding_time"]) > 0)
    assert bars["num_settled"][-1] == len(fundings)
    assert bars["num_settled"][100_000] - bars["num_settled"][99_999] in (0, 1)
    env = TradingVectorEnv(64, observed, account_config())
    observations, _ = env.reset(seed=0)
    for _ in range(20):
        observations, rewards, *_ = env.step(np.full(64, 2))
        assert np.isfinite(observations).all()
        assert np.isfinite(rewards).all()


def test_markets_have_the_features_and_symbols_that_are_asked_for() -> None:
    config = of_features(40)
    assert len(config.schema.features) == 40
    assert long_market(2_000, config.features).rows.shape == (2_000, 40)
    assert len(of_symbols(3).market.symbols) == 3


@pytest.mark.parametrize("name", ["accounts", "features", "window"])
def test_a_curve_measures_every_size_up_to_the_largest(name: str) -> None:
    curve = next(curve for curve in CURVES if curve.name == name)
    points = list(measure(curve, TINY, 16))
    assert [point.size for point in points] == [size for size in curve.sizes if size <= 16]
    assert all(point.steps.minimum > 0.0 and point.copy.minimum > 0.0 for point in points)
    assert picture(growth_figure({name: points})).startswith(b"\x89PNG")


def test_the_largest_entry_of_a_profile_comes_first() -> None:
    big, small = np.ones((400, 400)), np.ones((40, 40))

    def work() -> None:
        for _ in range(20):
            np.linalg.inv(big + np.eye(400))
            np.cumsum(small)

    entries = profile(work, 3)
    assert [entry.seconds for entry in entries] == sorted((entry.seconds for entry in entries), reverse=True)
    assert "inv" in entries[0].name
    assert entries[0].calls == 20
    assert 0.0 < sum(entry.share for entry in entries) <= 1.0


@pytest.mark.parametrize("size", ["64x64/64", "dqn/16"])
def test_the_profile_of_a_training_is_printed_as_json(size: str) -> None:
    done = bench("profile", size, "--rollouts", "1", "--json")
    assert done.returncode == 0, done.stderr
    entries = json.loads(done.stdout)
    assert len(entries) == 10
    assert any("addmm" in entry["name"] for entry in entries)


def test_what_was_printed_as_json_becomes_a_table(tmp_path: Path) -> None:
    result = Result(
        line="a/line",
        unit="steps/s",
        figure=Figure(3_000.0, 2_000.0, 4_000.0),
        reference_name="a peer",
        reference=Figure(0.6, 0.5, 0.7),
        ratio=5_000.0,
        reach=Reach("ratio", 8.0),
        config="c",
    )
    (tmp_path / "a.json").write_text(json.dumps([result.to_json()]))
    done = bench("table", str(tmp_path / "a.json"))
    row = "| `a/line` | **3,000** steps/s (2,000 - 4,000) | a peer | 0.6 | 5e+03 | ratio ≥ 8 | yes |"
    assert done.stdout.splitlines()[2:] == [row]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["growth", "--repeats", "1"], "--repeats must be at least 3, was 1; give more"),
        (["profile", "7x7"], "give a size of 64x64/1024, "),
        (["table", "missing.json"], "missing.json is no output of `scripts.bench --json`"),
        (["--device", "nowhere", "policy"], "device 'nowhere' does not answer"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(arguments: list[str], words: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
