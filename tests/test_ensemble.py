"""Ensembles: the mean of the members, smaller where they disagree, deployed as any other run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.config import TrainConfig
from agents.ensemble import make_ensemble
from agents.parity import run_parity
from rl_trader.checkpoint import load_checkpoint
from rl_trader.decision import ActionMap
from rl_trader.ensemble import EnsemblePolicy, MemberPolicy, agreed_target, nearest_level
from rl_trader.errors import CheckpointError, ConfigError
from rl_trader.remembering import Remembering, decide_in_turn
from scripts import ensemble, evaluate
from tests.called_scripts import Answer, script_caller
from tests.checkpoint_edits import edit_sealed
from tests.random_runs import Make, random_policy, random_recurrent, random_run
from tests.small_runs import MARKET, small_config
from tests.test_parity_run import ENV

CONTINUOUS = ActionMap(levels=())
LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def member(runs: Path, name: str, seed: int, make: Make = random_policy, **changes: object) -> Path:
    """Write a run of a random policy, and return its folder."""
    env = replace(ENV, trading=replace(ENV.trading, levels=LEVELS))
    config: TrainConfig = replace(small_config(runs, name, seed=seed), market=MARKET, env=env)
    return random_run(replace(config, **changes), seed, make).path  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the folders of two networks and a recurrent one."""
    runs = tmp_path_factory.mktemp("runs")
    made = [member(runs, f"m{seed}", seed) for seed in (1, 2)]
    return [*made, member(runs, "remembers", 5, random_recurrent)]


# ---- The formula


@pytest.mark.parametrize(
    ("targets", "shrink", "agreed"),
    [
        ([1.0, 1.0, 1.0], 1.0, 1.0),
        ([0.4, 0.4], 1.0, 0.4),
        ([1.0, -1.0], 0.0, 0.0),
        ([1.0, 0.0], 0.0, 0.5),
        ([1.0, 0.0], 1.0, 0.5 * (1 - 0.25)),
        ([1.0, 0.0], 0.5, 0.5 * (1 - 0.125)),
        ([1.0, 1.0, 1.0, -1.0], 1.0, 0.5 * (1 - 0.75)),
    ],
)
def test_disagreement_takes_its_part_of_the_mean(targets: list[float], shrink: float, agreed: float) -> None:
    assert agreed_target(targets, shrink) == pytest.approx(agreed, abs=1e-15)
    assert agreed_target([-target for target in targets], shrink) == -agreed_target(targets, shrink)


def test_the_nearest_level_is_the_one_nearer_to_flat_where_two_are_as_near() -> None:
    levels = (1.0, -1.0, 0.0)
    assert [nearest_level(target, levels) for target in (0.51, 0.5, 0.49, -0.5, -0.6)] == [1.0, 0.0, 0.0, 0.0, -1.0]
    assert nearest_level(0.0, (1.0, -1.0)) == -1.0


def test_members_decide_together_row_by_row() -> None:
    rng = np.random.default_rng(3)
    first, second = (random_policy(4, CONTINUOUS, seed) for seed in (1, 2))
    observations = (0.3 * rng.normal(size=(50, 4))).astype(np.float32)
    both = EnsemblePolicy([first, second], 1.0, CONTINUOUS)
    mean = (first.targets(observations) + second.targets(observations)) / 2
    apart = np.abs(first.targets(observations) - second.targets(observations)) / 2
    found = Remembering(both, 50).targets(observations)
    np.testing.assert_allclose(found, mean * (1 - apart**2), atol=1e-15)
    assert (np.abs(found) < np.abs(mean)).mean() > 0.5


def test_each_member_has_a_memory_of_its_own() -> None:
    rng = np.random.default_rng(4)
    policies: list[MemberPolicy] = [
        random_recurrent(4, CONTINUOUS, 1),
        random_policy(4, CONTINUOUS, 2),
        random_recurrent(4, CONTINUOUS, 3),
    ]
    together = EnsemblePolicy(policies, 0.0, CONTINUOUS)
    assert together.memory_size == 44
    observations = rng.normal(size=(30, 4)).astype(np.float32)
    alone = [decide_in_turn(policy, observations) for policy in policies]
    np.testing.assert_allclose(decide_in_turn(together, observations), np.mean(alone, axis=0), atol=1e-15)


# ---- Runs


def test_an_ensemble_is_a_run_as_any_other(members: list[Path], call: Callable[..., Answer], tmp_path: Path) -> None:
    answer = call(ensemble, *members, "--name", "all", "--runs", tmp_path, "--shrink", "0.5")
    assert answer.code == 0, answer.err
    folder = tmp_path / "all"
    (checkpoint,) = (folder / "checkpoints").glob("step_*")
    loaded = load_checkpoint(checkpoint)
    assert isinstance(loaded.policy, EnsemblePolicy)
    assert (len(loaded.policy.members), loaded.policy.shrink, loaded.policy.memory_size) == (3, 0.5, 22)
    assert [made["seed"] for made in loaded.facts["learner"]["members"]] == [1, 2, 5]
    report = run_parity(folder).check(200)
    assert report.bars == report.observations == 200
    assert report.orders > 50
    answer = call(evaluate, folder, "--period", "validation", "--random-agents", "0", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Answer]:
    return script_caller(monkeypatch, capsys, tmp_path)


def test_runs_that_cannot_decide_together_are_refused(
    members: list[Path], call: Callable[..., Answer], tmp_path: Path
) -> None:
    env = replace(ENV, trading=replace(ENV.trading, levels=LEVELS))
    others: dict[str, dict[str, Any]] = {
        "observation, scaling": {"env": replace(env, features=env.features[:-1])},
        "account and actions": {"env": replace(env, trading=replace(env.trading, levels=(-1.0, 0.0, 1.0)))},
        "scaling, periods": {"market": replace(MARKET, train=("2020-01-02", "2020-02-01"))},
    }
    for number, (named, changes) in enumerate(others.items()):
        other = member(tmp_path / "others", f"other{number}", 1, **changes)
        answer = call(ensemble, members[0], other, "--name", "x", "--runs", tmp_path)
        assert answer.code == 2
        assert f"in its {named}, and they cannot decide together" in answer.err
    assert not (tmp_path / "x").exists()


def test_what_makes_no_ensemble_is_said_in_a_sentence(members: list[Path], tmp_path: Path) -> None:
    made = make_ensemble(members[:2], "pair", runs=tmp_path).path
    for paths, sentence in (
        (members[:1], "needs 2 runs or more, found 1"),
        ([members[0], members[0]], "one is named twice"),
        ([members[0], made], "is an ensemble itself"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            make_ensemble(paths, "x", runs=tmp_path)
    with pytest.raises(ConfigError, match="--shrink must be a fraction"):
        make_ensemble(members[:2], "x", runs=tmp_path, shrink=1.5)
    with pytest.raises(ConfigError, match="pair exists"):
        make_ensemble(members[:2], "pair", runs=tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda words: words.update(shrink=2.0), "shrink must be a fraction from 0 to 1, found 2.0"),
        (lambda words: words.update(shrink="1"), "shrink must be a fraction"),
        (lambda words: words["members"].pop(), "needs 2 members or more, found 1"),
        (lambda words: words.update(members=[]), "needs 2 members or more, found 0"),
        (lambda words: words["members"][1].update(kind="ensemble", members=[], shrink=1.0), "needs 2 members"),
        (lambda words: words["members"][1].update(colour=1), "has no colour"),
        (lambda words: words.update(members=7), "manifest of .* cannot be used"),
    ],
)
def test_a_damaged_ensemble_is_refused(
    change: Callable[..., object], sentence: str, members: list[Path], tmp_path: Path
) -> None:
    made = make_ensemble(members[:2], "pair", runs=tmp_path).path
    (folder,) = (made / "checkpoints").glob("step_*")
    edit_sealed(folder, lambda manifest: change(manifest["policy"]))
    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(folder)
