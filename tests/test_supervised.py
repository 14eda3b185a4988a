"""Baselines that deploy like an agent: the forest against scikit-learn, the crossovers against their rules."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.config import TrainConfig
from agents.evaluate import evaluate_run
from agents.markets import load_market, parse_period
from agents.supervised import ForestConfig, fit_baseline, forest_arrays, training_rows
from agents.walking.combinatorial import cross_validate, only_in
from envs.embedded import embedded_market_data
from rl_trader.baselines import BASELINES
from rl_trader.decision import ActionMap
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.forest import ARRAYS, ForestPolicy
from rl_trader.market import Period
from rl_trader.observed_market import observe_market
from rl_trader.remembering import decide_in_turn
from scripts import baseline
from tests.called_scripts import script_caller
from tests.small_runs import small_config

LEVELS = ActionMap(levels=(-1.0, 0.0, 1.0))
FOREST = ForestConfig(num_trees=20, max_depth=4, min_samples_leaf=50, horizon_bars=6)


def config(runs: Path) -> TrainConfig:
    small = small_config(runs, "unused")
    market = replace(
        small.market,
        train=("2020-01-01", "2020-06-01"),
        validation=("2020-06-01", "2020-07-01"),
        test=("2020-07-01", "2020-08-01"),
    )
    return replace(small, market=market)


# ---- Forest


def test_trees_as_arrays_predict_what_scikit_learn_predicts() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2_000, 5)).astype(np.float32)
    outputs = np.sin(inputs[:, 0]) + inputs[:, 3] * (inputs[:, 1] > 0) + 0.1 * rng.normal(size=2_000)
    grown = ensemble.RandomForestRegressor(n_estimators=15, max_depth=7, random_state=0).fit(inputs, outputs)
    policy = ForestPolicy(forest_arrays([tree.tree_ for tree in grown.estimators_]), 5, 0.5, LEVELS)
    new = rng.normal(size=(500, 5)).astype(np.float32)
    wanted = grown.predict(new)
    assert [policy.predicted(row) for row in new] == pytest.approx(wanted, abs=1e-12)
    clear = np.abs(np.abs(wanted) - 0.5) > 1e-9
    assert np.array_equal(policy.targets(new)[clear], (np.sign(wanted) * (np.abs(wanted) > 0.5))[clear])


def test_a_forest_is_fitted_on_the_training_period_alone(tmp_path: Path) -> None:
    market = embedded_market_data(2_000, 3)
    schema = config(tmp_path).env.schema
    period = Period(None, int(market.bars["open_time"][1_000]))
    inputs, returns = training_rows(observe_market(market, schema, fit_on=period), period, 6)
    changed = replace(market, bars=market.bars.copy())
    changed.bars["close"][1_000:] *= 3.0
    again, others = training_rows(observe_market(changed, schema, fit_on=period), period, 6)
    assert inputs.tobytes() == again.tobytes()
    assert returns.tobytes() == others.tobytes()
    # The last decision whose six bars all lie in the period is that after bar 993.
    close = np.log(market.bars["close"])
    assert returns[-1] == close[999] - close[993]


def test_a_forest_trades_evaluates_and_deploys_like_an_agent(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    run = fit_baseline("forest", config(tmp_path), "forest", FOREST)
    checkpoint = run.checkpoint()
    assert isinstance(checkpoint.policy, ForestPolicy)
    assert checkpoint.facts["algorithm"] == "forest"
    (result,) = evaluate_run(run.path, num_random=5)
    # The embedded price returns to 1 000: a forest that reads the state sees it, and earns.
    assert result.evaluation.metrics.total_return > 0.0
    assert result.evaluation.facts["algorithm"] == "forest"
    with pytest.raises(ConfigError, match="unknown baseline 'tree'"):
        fit_baseline("tree", config(tmp_path), "x")
    with pytest.raises(ConfigError, match="needs twice as many to train on"):
        fit_baseline("forest", config(tmp_path), "y", replace(FOREST, min_samples_leaf=10**6))


def test_combinations_of_groups_are_never_tested_on_what_they_were_trained_on(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    found = cross_validate(config(tmp_path), 4, 2, 12, FOREST)
    # 182 days from January to June 2020 in four groups of 45: six pairs, three paths through 180 days, of
    # which the first is not whole: its first bar is only observed.
    assert (len(found.folds), found.daily.shape) == (6, (3, 179))
    assert all(ratio is not None and ratio > 0.0 for ratio in found.sharpe_ratios)  # the market has a known edge
    market = embedded_market_data(2_000, 3)
    opened = market.bars["open_time"]
    kept = only_in(market, [Period(int(opened[100]), int(opened[300])), Period(int(opened[900]), int(opened[1_000]))])
    assert [(segment.start, segment.stop) for segment in kept.segments] == [(100, 300), (900, 1_000)]
    inputs, _ = training_rows(observe_market(kept, config(tmp_path).env.schema), Period(), 6)
    assert len(inputs) == 200 + 100 - 2 * 6


def stump() -> dict[str, NDArray[Any]]:
    """Return one tree of one question."""
    values: dict[str, list[float]] = {
        "forest.roots": [0],
        "forest.feature": [1, -1, -1],
        "forest.threshold": [0.5, 0.0, 0.0],
        "forest.left": [1, 0, 0],
        "forest.right": [2, 0, 0],
        "forest.value": [0.0, -0.01, 0.01],
    }
    return {name: np.array(values[name], kind) for name, kind in ARRAYS.items()}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("forest.left", [0, 0, 0]),  # its own child: a walk without end
        ("forest.right", [3, 0, 0]),
        ("forest.feature", [2, -1, -1]),
        ("forest.feature", [-2, -1, -1]),
        ("forest.roots", [3]),
        ("forest.roots", [-1]),
        ("forest.roots", []),
        ("forest.threshold", [np.nan, 0.0, 0.0]),
        ("forest.value", [0.0, np.inf, 0.0]),
        ("forest.value", [0.0, 0.0]),
    ],
)
def test_malformed_trees_are_refused(name: str, value: list[float]) -> None:
    policy = ForestPolicy(stump(), 2, 0.0, LEVELS)
    assert policy.targets(np.array([[9.0, 0.5], [9.0, 0.75]], np.float32)).tolist() == [-1.0, 1.0]
    with pytest.raises(CheckpointError):
        ForestPolicy(stump() | {name: np.array(value, ARRAYS[name])}, 2, 0.0, LEVELS)
    with pytest.raises(CheckpointError):
        ForestPolicy(stump() | {name: np.array(stump()[name], np.float32)}, 2, 0.0, LEVELS)
    with pytest.raises(CheckpointError):
        ForestPolicy({other: array for other, array in stump().items() if other != name}, 2, 0.0, LEVELS)


def test_hurdles_and_levels_that_make_no_sense_are_refused() -> None:
    for hurdle in (-0.1, float("nan"), float("inf")):
        with pytest.raises(CheckpointError, match="hurdle"):
            ForestPolicy(stump(), 2, hurdle, LEVELS)
    with pytest.raises(CheckpointError, match="needs the levels"):
        ForestPolicy(stump(), 2, 0.0, ActionMap(levels=(-1.0, 1.0)))


# ---- Moving averages


def test_a_crossover_as_a_checkpoint_decides_what_its_rule_decides(tmp_path: Path) -> None:
    for name in ("crossover_20_50", "crossover_50_200"):
        run = fit_baseline(name, config(tmp_path), name)
        checkpoint = run.checkpoint()
        market = load_market(config(tmp_path).market, checkpoint.schema, None)
        observed = observe_market(market, checkpoint.schema, scaling=checkpoint.scaling)
        rows = slice(300, 3_300)
        exposure = np.zeros((3_000, 1), np.float32)
        decided = decide_in_turn(checkpoint.policy, np.concatenate([observed.rows[rows], exposure], axis=1))
        wanted = BASELINES[name].targets(market)[rows]
        assert (decided == wanted).mean() > 0.999  # where averages touch, float32 may see them the other way round
        assert {-1.0, 1.0} <= set(decided.tolist())
    assert parse_period(config(tmp_path).market.test).since is not None


def test_the_command_fits_a_baseline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    dates = ("--market.train", "2020-01-01", "2020-02-01", "--market.validation", "2020-02-01", "2020-02-20")
    answer = call(baseline, "crossover_20_50", "demo", "--runs", tmp_path, "--name", "rule", *dates)
    assert answer.code == 0, answer.err
    assert f"run: {tmp_path / 'rule'}" in answer.out
    assert call(baseline, "tree").code == 2
