"""The benchmark: which account it measures, what a line holds, and that its lines run. Nothing here asserts a time."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.benchmark import environment, memory
from agents.benchmark.effort import Effort
from agents.benchmark.line import Line
from agents.benchmark.lines import ENVIRONMENT, LIVE, TRAINING, all_lines, choose, measure_lines
from agents.benchmark.live import flood
from agents.benchmark.live.decisions import FLOOR, STAGES, WHOLE, live_hash, rounds_of
from agents.benchmark.measure import Contest, Figure, Reach, Result, interleave, rate
from rl_trader.config import EnvConfig
from rl_trader.errors import ConfigError
from rl_trader.trading import kernel_terms
from tests.bench_command import bench

ROOT = Path(__file__).parents[1]
TINY = Effort(
    repeats=2,
    seconds=0.002,
    num_bars=2_000,
    num_minutes=4 * 24 * 60,
    num_rollouts=1,
    num_decisions=3,
    num_moments=1,
    num_messages=1_000,
)
FIELDS = ["line", "median", "min", "max", "unit", "reference", "ratio", "reach", "met", "config"]


def test_the_measured_account_is_the_production_account() -> None:
    observed = environment.bench_market(TINY.num_bars)
    trading = environment.account_config().trading
    terms = observed.market.terms[0]
    row = kernel_terms(observed.market.terms, trading)[0][0]
    assert environment.account_config() == EnvConfig()
    assert trading.stop_loss is not None
    assert trading.margin_mode == "isolated"
    assert row["is_isolated"]
    assert len(terms.brackets) > 1
    assert row["last_bracket"] > row["first_bracket"]
    assert min(float(terms.tick_size), float(terms.step_size), terms.min_notional, terms.taker_fee) > 0.0


def test_the_measured_market_has_funding_every_eight_hours_and_a_mark_price_of_its_own() -> None:
    market = environment.bench_market(TINY.num_bars).market
    # 2000 bars of half an hour are 1000 hours: settlements at hours 0, 8, ..., 992.
    assert len(market.fundings) == 125
    assert np.all(market.fundings["funding_rate"] != 0.0)
    assert market.assumptions == ()
    assert np.all(market.bars["mark_close"] != market.bars["close"])
    premium = market.bars["mark_close"] / market.bars["close"] - 1.0
    assert np.abs(premium).max() < 1e-3


def test_an_observation_has_24_market_features_and_the_account_part() -> None:
    env = environment.vector_env(TINY, 3)
    schema = env.config.schema
    assert len(schema.features) == 24
    assert len(schema.account_features) == 7
    assert env.single_observation_space.shape == (31,)
    # A window of 32 bars has 32 rows of market features: 32 * 24 + 7 = 775.
    assert environment.vector_env(TINY, 3, window=32).single_observation_space.shape == (775,)


def test_the_hash_changes_with_the_environment_and_with_the_contract_terms() -> None:
    env = environment.vector_env(TINY, 2)
    config = environment.account_config()
    terms = env.core.observed.market.terms
    hashes = [
        environment.config_hash(config, terms),
        environment.config_hash(replace(config, trading=replace(config.trading, stop_loss=None)), terms),
        environment.config_hash(config, [replace(terms[0], taker_fee=0.00051)]),
    ]
    assert len(set(hashes)) == 3
    assert environment.account_hash() == hashes[0]
    # The measured environment has the same configuration; only the reward scale is fitted to its market.
    assert replace(env.config, reward_scale=None) == config


def test_a_figure_is_the_median_with_the_least_and_the_largest_run() -> None:
    assert Figure.of([3.0, 1.0, 10.0, 2.0, 7.0]) == Figure(3.0, 1.0, 10.0)


def test_runs_of_subject_and_reference_alternate_and_the_first_of_each_is_not_counted() -> None:
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    contest = Contest(
        subject=lambda: run("subject"), reference=lambda: run("peer"), reference_name="a peer", config="c"
    )
    figure, reference = interleave(contest, 3)
    assert order == ["subject", "peer"] * 4
    # The counted runs are numbers 3, 5, 7 of the subject and 4, 6, 8 of the peer.
    assert figure == Figure(5.0, 3.0, 7.0)
    assert reference == Figure(6.0, 4.0, 8.0)


def test_a_rate_counts_the_units_of_whole_calls_and_makes_at_least_one() -> None:
    calls: list[int] = []
    assert rate(lambda: calls.append(1), 1_000, 0.0)() > 0.0
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("reach", "median", "ratio", "met"),
    [
        (Reach("median", 6e6), 6e6, 0.1, True),
        (Reach("median", 6e6), 5.9e6, 9.0, False),
        (Reach("ratio", 0.9), 1.0, 0.89, False),
        (Reach("median", 600.0, is_least=False), 601.0, 0.1, False),
        (Reach("median", 600.0, is_least=False), 600.0, 0.1, True),
    ],
)
def test_a_reach_is_met_on_its_own_side_of_its_bound(reach: Reach, median: float, ratio: float, met: bool) -> None:
    assert reach.is_met(median, ratio) is met


def test_a_result_as_json_has_exactly_the_agreed_fields() -> None:
    result = Result(
        line="a/line",
        unit="steps/s",
        figure=Figure(3.0, 2.0, 4.0),
        reference_name="a peer",
        reference=Figure(6.0, 5.0, 7.0),
        ratio=0.5,
        reach=Reach("ratio", 0.6),
        config="c",
    )
    assert list(result.to_json()) == FIELDS
    assert result.to_json() == {
        "line": "a/line",
        "median": 3.0,
        "min": 2.0,
        "max": 4.0,
        "unit": "steps/s",
        "reference": {"name": "a peer", "median": 6.0, "min": 5.0, "max": 7.0},
        "ratio": 0.5,
        "reach": {"of": "ratio", "at_least": 0.6},
        "met": False,
        "config": "c",
    }
    assert replace(result, reach=None).to_json()["met"] is None


def _measured(line: Line) -> Result:
    result = next(measure_lines([line], TINY))
    assert isinstance(result, Result)
    assert result.line == line.name
    assert 0.0 < result.figure.minimum <= result.figure.median <= result.figure.maximum
    assert 0.0 < result.reference.minimum <= result.reference.maximum
    assert result.ratio == result.figure.median / result.reference.median
    return result


@pytest.mark.parametrize("line", ENVIRONMENT, ids=lambda line: line.name)
def test_every_environment_line_runs(line: Line) -> None:
    window = 32 if "window_32" in line.name else 1
    assert _measured(line).config == environment.account_hash(window)


@pytest.mark.parametrize("name", ["live/stall", "live/lost_stream", "live/backfill", "live/messages"])
def test_every_live_line_runs(name: str) -> None:
    for line in choose(LIVE, [name]):
        assert _measured(line).config == live_hash()


def test_the_stages_of_a_live_decision_sum_to_the_whole() -> None:
    (first, *_) = rounds = rounds_of(TINY)
    assert len(rounds) == TINY.repeats + 1
    assert len(first.times[WHOLE]) == len(first.times[FLOOR]) >= TINY.num_decisions
    sums = np.sum([first.times[stage] for stage in STAGES], axis=0)
    assert sums == pytest.approx(first.times[WHOLE])
    assert min(map(min, first.times.values())) > 0.0
    assert {line.name.split("/")[2] for line in choose(LIVE, ["live/decision"])} == {"p50", "p99", *STAGES}


def test_a_burst_of_which_an_event_is_lost_is_no_figure() -> None:
    # Trade 0 is never told, and one that nobody has asked for is.
    with flood.server(first_trade=1) as port, pytest.raises(RuntimeError, match="none may be lost"):
        asyncio.run(flood.take(port, 1_000))


def test_the_training_line_runs() -> None:
    line = next(line for line in TRAINING if line.name.startswith("ppo/"))
    assert _measured(line).reference_name == "the same PPO on an environment that does nothing"


def test_the_memory_run_trains_on_a_store_and_reports_what_it_took(tmp_path: Path) -> None:
    memory.write_store(tmp_path / "data", TINY.num_minutes)
    answer = memory.train_apart(memory.train_config(tmp_path, TINY.num_minutes, "run"), [])
    # 5760 minutes of bars: 96 bytes of BAR_DTYPE and 24 float32 features each.
    assert answer["arrays"] == 5_760 * (96 + 24 * 4)
    assert answer["peak"] > answer["imported"] > answer["arrays"]
    assert "torch" in answer["modules"]
    assert (tmp_path / "runs" / "run" / "checkpoints" / "index.json").exists()


def test_the_help_line_times_a_script() -> None:
    line = next(line for line in all_lines(ROOT / "scripts") if line.name == "help/doctor")
    result = _measured(line)
    assert result.figure.minimum > result.reference.minimum


def test_every_script_has_a_help_line() -> None:
    names = {line.name for line in all_lines(ROOT / "scripts")}
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py") if not path.stem.startswith("_")}
    assert {name.removeprefix("help/") for name in names if name.startswith("help/")} == scripts
    assert len(names) == len(all_lines(ROOT / "scripts"))


def test_lines_are_chosen_by_name_or_by_its_beginning() -> None:
    lines = all_lines(ROOT / "scripts")
    assert choose(lines, []) == list(lines)
    assert [line.name for line in choose(lines, ["single_env/torchtrade"])] == ["single_env/torchtrade"]
    assert [line.name for line in choose(lines, ["vector_env/window_32", "policy/"])] == [
        "vector_env/window_32/256",
        "vector_env/window_32/1024",
        "vector_env/window_32/1024/copied",
        "vector_env/window_32/256/prototype",
        "vector_env/window_32/1024/prototype",
        "policy/predict",
        "policy/torch",
        "policy/numpy",
    ]


def test_an_unknown_line_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"unknown line 'vector'; choose from vector_env/1_thread/1024, "):
        choose(all_lines(ROOT / "scripts"), ["vector"])


def test_a_line_that_needs_more_threads_than_there_are_is_refused() -> None:
    wide = replace(ENVIRONMENT[0], name="wide", num_threads=10_000)
    with pytest.raises(ConfigError, match="wide needs 10000 threads, found"):
        choose([wide], ["wide"])


def test_the_command_prints_a_list_of_objects() -> None:
    done = bench("help/doctor", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads(done.stdout)
    assert list(line) == FIELDS
    assert line["line"] == "help/doctor"
    assert line["reach"] == {"of": "median", "at_most": 0.5}


def test_the_command_refuses_a_median_of_fewer_than_five_runs() -> None:
    done = bench("--repeats", "4")
    assert done.returncode == 2
    assert done.stderr == "error: --repeats must be at least 5, was 4; give more\n"
