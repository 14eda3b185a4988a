"""Checkpoints: what is saved is loaded, torch and NumPy decide alike, and nothing damaged or foreign gets through."""

import builtins
import itertools
import json
import os
import pickle
import resource
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.config import TrainConfig
from agents.training.export import export_policy
from agents.training.learners import make_model
from agents.training.sb3_env import TradingVecEnv
from envs.embedded import embedded_market_data
from envs.vector_env import TradingVectorEnv
from rl_trader.checkpoint import Checkpoint, _sha256, load_checkpoint, save_checkpoint, schema_hash, sealed
from rl_trader.config import EMBEDDED_ENV, EnvConfig
from rl_trader.decision import ActionMap
from rl_trader.embedded import embedded_terms
from rl_trader.errors import CheckpointError
from rl_trader.network import Layer, NetworkPolicy
from rl_trader.observation import ObservationSchema
from rl_trader.scaling import Scaling
from tests.small_runs import small_config

ENV = replace(EMBEDDED_ENV, features=("log_return_1", "hour_sin"), account_features=("exposure",), window=2)
CONTINUOUS = replace(ENV, trading=replace(ENV.trading, levels=()))
FIVE = replace(ENV, trading=replace(ENV.trading, levels=(-1.0, -0.5, 0.0, 0.5, 1.0)))
KINDS: dict[str, tuple[Any, EnvConfig]] = {
    "ppo": ("ppo", ENV),
    "ppo, five levels": ("ppo", FIVE),
    "ppo, continuous": ("ppo", CONTINUOUS),
    "dqn": ("dqn", ENV),
}


def make_policy(env: EnvConfig = ENV, seed: int = 3) -> NetworkPolicy:
    """Return a random network of 5 inputs and 6 and 4 hidden units."""
    rng = np.random.default_rng(seed)
    sizes = [env.schema.size, 6, 4, len(env.trading.levels) or 1]
    layers = tuple(
        Layer(rng.normal(size=(n, m)).astype(np.float32), rng.normal(size=n).astype(np.float32))
        for m, n in itertools.pairwise(sizes)
    )
    action_map = ActionMap(levels=env.trading.levels)
    return NetworkPolicy(layers, "tanh", "argmax" if action_map.is_discrete else "mean", action_map)


def make_checkpoint(env: EnvConfig = ENV, seed: int = 3) -> Checkpoint:
    policy = make_policy(env, seed)
    golden = np.random.default_rng(1).normal(size=(7, env.schema.size)).astype(np.float32)
    return Checkpoint(
        policy=policy,
        env=env,
        scaling=Scaling(np.array([0.125, -2.0], np.float32), np.array([0.1, 3.0], np.float32), 8.0),
        interval="30m",
        terms=(embedded_terms(),),
        golden_observations=golden,
        golden_targets=policy.targets(golden),
        facts={"algorithm": "ppo", "timesteps": 77, "validation": {"sharpe": None, "log_growth": 0.1}},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return the folder of a checkpoint."""
    save_checkpoint(tmp_path / "saved", make_checkpoint())
    return tmp_path / "saved"


# ---- Round trip


@pytest.mark.parametrize("env", [ENV, FIVE, CONTINUOUS], ids=["three levels", "five levels", "continuous"])
def test_what_is_saved_is_loaded(env: EnvConfig, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(env)
    save_checkpoint(tmp_path / "a" / "b", checkpoint)
    loaded = load_checkpoint(tmp_path / "a" / "b")
    assert isinstance(checkpoint.policy, NetworkPolicy)
    assert isinstance(loaded.policy, NetworkPolicy)
    for one, other in zip(checkpoint.policy.layers, loaded.policy.layers, strict=True):
        assert one.weight.tobytes() == other.weight.tobytes()
        assert one.bias.tobytes() == other.bias.tobytes()
    assert (loaded.policy.activation, loaded.policy.head) == (checkpoint.policy.activation, checkpoint.policy.head)
    assert loaded.policy.action_map == ActionMap(levels=env.trading.levels)
    assert loaded.golden_observations.tobytes() == checkpoint.golden_observations.tobytes()
    assert loaded.golden_targets.tobytes() == checkpoint.golden_targets.tobytes()
    assert loaded.scaling.mean.tobytes() == checkpoint.scaling.mean.tobytes()
    assert loaded.scaling.scale.tobytes() == checkpoint.scaling.scale.tobytes()
    assert loaded.scaling.clip == 8.0
    for name in ("env", "interval", "terms", "facts", "schema", "symbols"):
        assert getattr(loaded, name) == getattr(checkpoint, name)


def test_a_checkpoint_is_two_files_of_which_people_can_read_one(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["manifest.json", "policy.safetensors"]
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["observation"] == {
        "sha256": schema_hash(ENV.schema),
        "size": 5,
        "names": ["log_return_1[-1]", "hour_sin[-1]", "log_return_1", "hour_sin", "exposure"],
    }
    assert manifest["policy"]["sha256"] == _sha256(saved / "policy.safetensors")
    assert manifest["terms"][0]["symbol"] == "EMBEDDED"
    assert manifest["facts"]["timesteps"] == 77


def test_equal_checkpoints_have_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, make_checkpoint())
    for file in ("manifest.json", "policy.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


# ---- Decisions


def model_of(kind: str, tmp_path: Path) -> tuple[BaseAlgorithm, EnvConfig]:
    """Return an SB3 model with random weights that are not as small as the untrained ones."""
    algo, env = KINDS[kind]
    config: TrainConfig = replace(small_config(tmp_path, "x", algo), env=env)
    model = make_model(config, TradingVecEnv(TradingVectorEnv(4, embedded_market_data(600, 3), env, copy=False)))
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
    return model, env


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_decides_as_torch_does(kind: str, tmp_path: Path) -> None:
    model, env = model_of(kind, tmp_path)
    action_map = ActionMap(levels=env.trading.levels)
    policy = export_policy(model, action_map)
    assert isinstance(policy, NetworkPolicy)
    rng = np.random.default_rng(8)
    observations = rng.normal(0.0, 2.0, (3_000, env.schema.size)).astype(np.float32)
    actions, _ = model.predict(observations, deterministic=True)
    wanted = action_map.targets(actions)
    found = policy.targets(observations)
    if action_map.is_discrete:
        assert (found == wanted).all()
        assert len(np.unique(found)) > 1
    else:
        assert found == pytest.approx(wanted, abs=1e-6)
        assert np.abs(found).min() < 0.1 < 1.0 == np.abs(found).max()


@pytest.mark.parametrize("env", [ENV, CONTINUOUS], ids=["discrete", "continuous"])
def test_the_bits_of_a_decision_do_not_depend_on_the_others_in_the_call(env: EnvConfig) -> None:
    policy = make_policy(env)
    observations = np.random.default_rng(2).normal(size=(300, env.schema.size)).astype(np.float32)
    whole = policy.targets(observations)
    assert policy.targets(observations[::-1])[::-1].tobytes() == whole.tobytes()
    for i in (0, 1, 150, 299):
        assert policy.targets(observations[i : i + 1]).tobytes() == whole[i : i + 1].tobytes()
        assert policy.target(observations[i].copy()) == whole[i]
    # A row of a wide array, whose elements do not lie side by side.
    spread = np.zeros((env.schema.size, 300), np.float32)
    spread[:] = observations.T
    assert policy.targets(spread.T).tobytes() == whole.tobytes()


def test_a_network_worked_by_hand() -> None:
    # Hidden: relu(1 * 2 - 1 * 3 + 0.5) = 0 and relu(2 + 3 - 1) = 4. Outputs: 0 + 0.25; -4 + 1; 0.5 * 4 - 1 = 1.
    layers = (
        Layer(np.array([[1, -1], [1, 1]], np.float32), np.array([0.5, -1], np.float32)),
        Layer(np.array([[1, 0], [0, -1], [0, 0.5]], np.float32), np.array([0.25, 1, -1], np.float32)),
    )
    policy = NetworkPolicy(layers, "relu", "argmax", ActionMap(levels=(-1.0, 0.25, 0.75)))
    observation = np.array([2, 3], np.float32)
    assert policy.outputs(observation).tolist() == [0.25, -3.0, 1.0]
    assert policy.target(observation) == 0.75
    # tanh of the sum 0.5 is 0.46211716; times 2 less 3 is under -1 and is cut.
    deep = (
        Layer(np.array([[0.5, -0.25]], np.float32), np.array([0.25], np.float32)),
        Layer(np.array([[2]], np.float32), np.array([0.0], np.float32)),
    )
    mean = NetworkPolicy(deep, "tanh", "mean", ActionMap(levels=()))
    assert mean.target(np.array([2, 3], np.float32)) == pytest.approx(2 * np.tanh(0.5 * 2 - 0.25 * 3 + 0.25))
    assert mean.target(np.array([-20, 3], np.float32)) == -1.0


# ---- What is not a good checkpoint


def edit(folder: Path, change: Callable[[Any], Any]) -> None:
    """Change the manifest, and its own hash with it."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(sealed(change(json.loads(path.read_text())))))


def rewrite(folder: Path, change: Callable[[dict[str, NDArray[Any]]], object]) -> None:
    """Change the arrays, and the manifest's hash with them."""
    path = folder / "policy.safetensors"
    arrays = dict(load_file(path))
    change(arrays)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    edit(folder, lambda manifest: manifest | {"policy": manifest["policy"] | {"sha256": _sha256(path)}})


def refused(folder: Path) -> str:
    """Return the sentence with which a checkpoint is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def section(name: str, **changes: object) -> Callable[[Any], Any]:
    return lambda manifest: manifest | {name: manifest[name] | changes}


def test_a_folder_without_a_manifest_is_no_checkpoint(saved: Path, tmp_path: Path) -> None:
    assert "is no checkpoint" in refused(tmp_path / "nowhere")
    (saved / "manifest.json").unlink()
    assert "is no checkpoint: it has no manifest.json" in refused(saved)


def test_a_missing_policy_is_named(saved: Path) -> None:
    (saved / "policy.safetensors").unlink()
    assert "policy.safetensors is missing" in refused(saved)


@pytest.mark.parametrize("where", [0, 9, 200, -1])
def test_a_single_changed_byte_of_the_policy_is_noticed(where: int, saved: Path) -> None:
    content = bytearray((saved / "policy.safetensors").read_bytes())
    content[where] ^= 1
    (saved / "policy.safetensors").write_bytes(content)
    assert "does not have the hash of its manifest" in refused(saved)


@pytest.mark.parametrize("length", [0, 7, 300])
def test_a_policy_that_was_cut_off_is_noticed_even_with_a_fitting_hash(length: int, saved: Path) -> None:
    path = saved / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    assert "does not have the hash" in refused(saved)
    edit(saved, section("policy", activation="tanh", head="argmax", sha256=_sha256(path)))
    assert "policy.safetensors cannot be read" in refused(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"format": 1'])
def test_a_manifest_that_is_no_json_object_is_refused(content: bytes, saved: Path) -> None:
    (saved / "manifest.json").write_bytes(content)
    assert "manifest.json" in refused(saved)


def test_another_format_is_refused(saved: Path) -> None:
    edit(saved, lambda manifest: manifest | {"format": 2})
    assert "must have format 1, found 2" in refused(saved)


def test_another_meaning_of_the_observation_is_refused(saved: Path) -> None:
    edit(saved, section("observation", sha256="0" * 64))
    assert "features of another definition; train again" in refused(saved)


def test_the_hash_of_a_schema_changes_with_all_that_gives_an_observation_its_meaning() -> None:
    schemas = [
        ENV.schema,
        ObservationSchema(features=("hour_sin", "log_return_1"), account_features=("exposure",), window=2),
        ObservationSchema(features=("log_return_1", "hour_sin"), account_features=("bars_held",), window=2),
        ObservationSchema(features=("log_return_1", "hour_sin"), account_features=("exposure",), window=3),
        ObservationSchema(features=("log_return_2", "hour_sin"), account_features=("exposure",), window=2),
        ObservationSchema(features=("log_close_over_5", "hour_sin"), account_features=("exposure",), window=2),
        ObservationSchema(features=("log_close_over_6", "hour_sin"), account_features=("exposure",), window=2),
    ]
    assert len({schema_hash(schema) for schema in schemas}) == len(schemas)


ARRAY_FAULTS: dict[str, tuple[Callable[[dict[str, NDArray[Any]]], object], str]] = {
    "NaN": (lambda a: a["layer_1.weight"].__setitem__((0, 0), np.nan), "weights must be finite"),
    "infinite bias": (lambda a: a["layer_2.bias"].__setitem__(0, np.inf), "weights must be finite"),
    "layer missing": (lambda a: [a.pop("layer_1.weight"), a.pop("layer_1.bias")], "damaged"),
    "bias missing": (lambda a: a.pop("layer_1.bias"), "layer_1 needs a float32 matrix and a bias"),
    "no layer": (lambda a: [a.pop(name) for name in list(a) if name.startswith("layer")], "damaged"),
    "sizes that do not fit": (lambda a: a.update({"layer_1.weight": np.zeros((4, 5), np.float32)}), "must fit"),
    "other inputs": (lambda a: a.update({"layer_0.weight": np.zeros((6, 4), np.float32)}), "takes 4 numbers"),
    "other outputs": (
        lambda a: a.update({"layer_2.weight": np.zeros((2, 4), np.float32), "layer_2.bias": np.zeros(2, np.float32)}),
        "must have 3 outputs",
    ),
    "other type": (lambda a: a.update({"layer_0.weight": np.zeros((6, 5))}), "needs a float32 matrix"),
    "other dimensions": (lambda a: a.update({"layer_0.weight": np.zeros(6, np.float32)}), "needs a float32 matrix"),
    "golden decisions": (lambda a: a.update({"golden.targets": -a["golden.targets"] - 2.0}), "does not decide as it"),
    "golden decisions missing": (lambda a: a.pop("golden.targets"), "golden.targets"),
    "golden observations of another size": (
        lambda a: a.update({"golden.observations": np.zeros((7, 4), np.float32)}),
        "golden",
    ),
    "fewer golden decisions": (lambda a: a.update({"golden.targets": np.zeros(3)}), "golden"),
    "golden decisions that are no number": (
        lambda a: a.update({"golden.targets": a["golden.targets"] + np.nan}),
        "does not decide as it",
    ),
}


@pytest.mark.parametrize("fault", ARRAY_FAULTS)
def test_arrays_that_are_no_policy_are_refused(fault: str, saved: Path) -> None:
    change, sentence = ARRAY_FAULTS[fault]
    rewrite(saved, change)
    assert sentence in refused(saved)


MANIFEST_FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "activation": (section("policy", activation="sine"), "known activation"),
    "head": (section("policy", head="mean"), "outputs"),
    "field of a later version": (section("env", colour="blue"), "made by another version"),
    "field missing": (lambda m: m | {"env": {k: v for k, v in m["env"].items() if k != "window"}}, "another version"),
    "refused value": (section("env", window=0), "window must be at least 1"),
    "unknown feature": (section("env", features=["log_retrun_1", "hour_sin"]), "unknown feature"),
    "scaling of another size": (section("scaling", mean=[0.0], scale=[1.0]), "damaged"),
    "terms": (lambda m: m | {"terms": [m["terms"][0] | {"tick_size": "-1"}]}, "tick_size"),
    "terms missing": (lambda m: {k: v for k, v in m.items() if k != "terms"}, "terms"),
    "facts missing": (lambda m: {k: v for k, v in m.items() if k != "facts"}, "facts"),
    "a list for a section": (lambda m: m | {"policy": []}, "manifest"),
}


@pytest.mark.parametrize("fault", MANIFEST_FAULTS)
def test_a_manifest_that_does_not_fit_is_refused(fault: str, saved: Path) -> None:
    change, sentence = MANIFEST_FAULTS[fault]
    edit(saved, change)
    assert sentence in refused(saved)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values below a JSON value, containers included."""
    below = value.items() if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else ()
    return [(*path, key) for key, _ in below] + [leaf for key, part in below for leaf in leaves(part, (*path, key))]


@pytest.mark.parametrize("junk", [None, "junk", [], {}, -1, True, 1e400], ids=repr)
def test_junk_anywhere_in_the_manifest_is_loaded_as_it_is_or_refused_in_one_sentence(junk: Any, saved: Path) -> None:
    whole = (saved / "manifest.json").read_text()
    sentences = []
    for path in leaves(json.loads(whole)):
        manifest = json.loads(whole)
        parent = manifest
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = junk
        (saved / "manifest.json").write_text(json.dumps(sealed(manifest)))
        try:
            load_checkpoint(saved)
        except CheckpointError as error:
            sentences.append(str(error))
    assert len(sentences) > 40
    assert [sentence for sentence in sentences if "\n" in sentence] == []


class Trap:
    """An object whose pickle leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_a_pickle_in_place_of_the_policy_is_refused_and_not_opened(saved: Path, tmp_path: Path) -> None:
    path = saved / "policy.safetensors"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    edit(saved, section("policy", sha256=_sha256(path)))
    assert "policy.safetensors cannot be read" in refused(saved)
    torch.save({"layer_0.weight": Trap(tmp_path / "trace")}, path)
    edit(saved, section("policy", sha256=_sha256(path)))
    assert "policy.safetensors cannot be read" in refused(saved)
    assert not (tmp_path / "trace").exists()


def test_loading_unpickles_nothing(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(builtins, "eval", refuse)
    assert load_checkpoint(saved).facts["timesteps"] == 77


# ---- A save that fails


def test_a_folder_that_exists_is_not_written_into(saved: Path) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(CheckpointError, match="exists; give another name"):
        save_checkpoint(saved, make_checkpoint(seed=4))
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


@pytest.mark.parametrize("num_bytes", [0, 100, 900, 1_500])
def test_a_full_disk_leaves_no_folder_and_the_next_save_succeeds(num_bytes: int, tmp_path: Path) -> None:
    # The policy has 984 bytes or more, the manifest over 3000: each of the two is where one of the limits strikes.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        with pytest.raises(CheckpointError, match="cannot be written") as caught:
            save_checkpoint(tmp_path / "new", make_checkpoint())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()
    save_checkpoint(tmp_path / "new", make_checkpoint())
    assert load_checkpoint(tmp_path / "new").facts["timesteps"] == 77


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CheckpointError, match="file/new cannot be written"):
        save_checkpoint(tmp_path / "file" / "new", make_checkpoint())
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "locked").mkdir()
        (tmp_path / "locked").chmod(stat.S_IRUSR | stat.S_IXUSR)
        with pytest.raises(CheckpointError, match="cannot be written"):
            save_checkpoint(tmp_path / "locked" / "new", make_checkpoint())
