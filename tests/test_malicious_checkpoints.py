"""Checkpoints that were made to harm: each is refused in one sentence, and nothing in them is run.

Where a checkpoint is altered its hashes are made to fit, as somebody who alters it would.
"""

import hashlib
import importlib
import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from rl_trader.checkpoint import schema_hash
from rl_trader.errors import RlTraderError
from rl_trader.live.policy.deployment import load_deployment
from rl_trader.live.policy.own_features import check_own_features
from rl_trader.observation import ObservationSchema
from scripts import deploy
from tests.called_scripts import script_caller
from tests.checkpoint_edits import edit_sealed, edit_unsealed
from tests.deploy_stage import embedded_run, write_caps

Arrays = dict[str, NDArray[Any]]
TRACE = "trace"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedded_run(tmp_path_factory.mktemp("run"))


class Victim:
    """A copy of a run, to be altered.

    Args:
        run: Its folder.
        outside: A folder beside it.
    """

    def __init__(self, run: Path, outside: Path) -> None:
        self.run, self.outside = run, outside
        self.index = run / "checkpoints" / "index.json"
        self.folder = self.index.parent / json.loads(self.index.read_text())["best"]
        self.manifest, self.policy = self.folder / "manifest.json", self.folder / "policy.safetensors"

    def edit(self, change: Callable[[Any], object]) -> None:
        """Change the manifest, and its own hash with it."""
        edit_sealed(self.folder, change)

    def fit_hash(self) -> None:
        """Let the manifest have the hash of the policy as it is."""
        sha256 = hashlib.sha256(self.policy.read_bytes()).hexdigest()
        self.edit(lambda data: data["policy"].update(sha256=sha256))

    def rewrite(self, change: Callable[[Arrays], object]) -> None:
        """Change the arrays of the policy."""
        arrays: Arrays = load_file(self.policy)
        change(arrays)
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, self.policy)
        self.fit_hash()

    def write_policy(self, content: bytes) -> None:
        """Write bytes in the place of the policy."""
        self.policy.write_bytes(content)
        self.fit_hash()

    def write_header(self, header: bytes, body: bytes = b"", length: int | None = None) -> None:
        """Write a policy of a header with its length, and what follows."""
        self.write_policy(struct.pack("<Q", len(header) if length is None else length) + header + body)


@pytest.fixture
def victim(original: Path, tmp_path: Path) -> Victim:
    outside = tmp_path / "outside"
    outside.mkdir()
    return Victim(shutil.copytree(original, tmp_path / "run"), outside)


class Trap:
    """An object whose pickle makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def tensor(begin: int, end: int, num: int, kind: str = "F32") -> dict[str, object]:
    return {"dtype": kind, "shape": [num], "data_offsets": [begin, end]}


def overlapping(victim: Victim) -> None:
    header = {"layer_0.weight": tensor(0, 8, 2), "layer_0.bias": tensor(4, 12, 2)}
    victim.write_header(json.dumps(header).encode(), bytes(12))


def beyond_the_end(victim: Victim) -> None:
    victim.write_header(json.dumps({"layer_0.weight": tensor(0, 2**40, 2**38)}).encode(), bytes(8))


def of_a_product_that_overflows(victim: Victim) -> None:
    shape = {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]}
    victim.write_header(json.dumps({"layer_0.weight": shape}).encode(), bytes(8))


def huge_sparse(victim: Victim) -> None:
    with victim.policy.open("r+b") as file:
        file.truncate(2**29)


def linked_policy(victim: Victim) -> None:
    moved = victim.outside / "policy"
    victim.policy.rename(moved)
    victim.policy.symlink_to(moved)


def linked_manifest(victim: Victim) -> None:
    moved = victim.outside / "manifest"
    victim.manifest.rename(moved)
    victim.manifest.symlink_to(moved)


def linked_folder(victim: Victim) -> None:
    moved = victim.outside / "folder"
    victim.folder.rename(moved)
    victim.folder.symlink_to(moved)


def linked_checkpoints(victim: Victim) -> None:
    moved = victim.outside / "checkpoints"
    victim.index.parent.rename(moved)
    (victim.run / "checkpoints").symlink_to(moved)


def a_pipe(victim: Victim) -> None:
    victim.policy.unlink()
    os.mkfifo(victim.policy)


def named(name: object) -> Callable[[Victim], None]:
    """Let the index name something, where a whole checkpoint lies."""

    def alter(victim: Victim) -> None:
        shutil.copytree(victim.folder, victim.outside / "checkpoint")
        for file in (victim.manifest, victim.policy):
            shutil.copy(file, victim.run)
            shutil.copy(file, victim.run / "checkpoints")
        (victim.run / "manifest.json").unlink()
        text = name.format(outside=victim.outside) if isinstance(name, str) else name
        victim.index.write_text(json.dumps({"best": text}))

    return alter


def twice(victim: Victim) -> None:
    text = victim.manifest.read_text()
    victim.manifest.write_text(text.replace('"interval"', '"interval": "1m", "interval"', 1))


def not_finite(name: str, value: float) -> Callable[[Victim], None]:
    def change(arrays: Arrays) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name].flat[0] = value

    return lambda victim: victim.rewrite(change)


def manifest_text(text: bytes) -> Callable[[Victim], object]:
    return lambda victim: victim.manifest.write_bytes(text)


def altered(name: str, value: object) -> Callable[[Victim], None]:
    """Return what changes how the account trades, without the manifest's hash."""
    return lambda victim: edit_unsealed(
        victim.folder, lambda manifest: manifest["env"]["trading"].update({name: value})
    )


HARMS: dict[str, tuple[Callable[[Victim], object], str]] = {
    "pickle for the policy": (
        lambda v: v.write_policy(pickle.dumps(Trap(v.outside / TRACE))),
        "policy.safetensors cannot be read",
    ),
    "pickle for the manifest": (
        lambda v: v.manifest.write_bytes(pickle.dumps(Trap(v.outside / TRACE))),
        "manifest.json cannot be read",
    ),
    "pickle for the index": (
        lambda v: v.index.write_bytes(pickle.dumps(Trap(v.outside / TRACE))),
        "index.json cannot be read",
    ),
    "wrong shape": (
        lambda v: v.rewrite(lambda a: a.update({"layer_0.weight": np.zeros((3, 3), np.float32)})),
        "damaged",
    ),
    "weights of another type": (
        lambda v: v.rewrite(lambda a: a.update({"layer_0.weight": a["layer_0.weight"].astype(np.float64)})),
        "needs a float32 matrix",
    ),
    "a weight that is NaN": (not_finite("layer_0.weight", np.nan), "weights must be finite"),
    "a bias that is infinite": (not_finite("layer_1.bias", np.inf), "weights must be finite"),
    "a golden decision that is NaN": (not_finite("golden.targets", np.nan), "does not decide as it did"),
    "a golden observation that is NaN": (not_finite("golden.observations", np.nan), "NaN"),
    "a scale of zero": (lambda v: v.edit(lambda m: m["scaling"]["scale"].__setitem__(0, 0.0)), "positive scales"),
    "a mean that is NaN": (lambda v: v.edit(lambda m: m["scaling"]["mean"].__setitem__(0, np.nan)), "finite means"),
    "another policy's bytes": (lambda v: v.policy.write_bytes(b"x" * 100), "does not have the hash of its manifest"),
    "a hash that is no text": (lambda v: v.edit(lambda m: m["policy"].update(sha256=None)), "does not have the hash"),
    "a header longer than the file": (lambda v: v.write_header(b"{}", length=2**40), "cannot be read"),
    "a header of nearly 2^64 bytes": (lambda v: v.write_header(b"{}", length=2**64 - 1), "cannot be read"),
    "a header that is no JSON": (lambda v: v.write_header(b"\xff\xfe{}"), "cannot be read"),
    "offsets that overlap": (overlapping, "cannot be read"),
    "offsets beyond the end": (beyond_the_end, "cannot be read"),
    "a shape whose product overflows": (of_a_product_that_overflows, "cannot be read"),
    "a file of half a gigabyte": (huge_sparse, "has 536870912 bytes"),
    "a pipe for the policy": (a_pipe, "policy.safetensors is missing"),
    "a link for the policy": (linked_policy, "cannot be read"),
    "a link for the manifest": (linked_manifest, "cannot be read"),
    "a link for the folder": (linked_folder, "must name a folder beside it"),
    "a link for all checkpoints": (linked_checkpoints, "must name a folder beside it"),
    "an index that leads out": (named("../../outside/checkpoint"), "must name a folder beside it"),
    "an index that leads to the root": (named("{outside}/checkpoint"), "must name a folder beside it"),
    "an index that leads up": (named(".."), "must name a folder beside it"),
    "an index that stays": (named("."), "must name a folder beside it"),
    "an index with a zero": (named("a\0b"), "must name a folder beside it"),
    "an index that names a list": (named(["a"]), "must name a folder beside it"),
    "one name twice in the manifest": (twice, "it has 'interval' twice in one object"),
    "a manifest that is no UTF-8": (manifest_text(b'{"format": "\xff\xfe"}'), "cannot be read"),
    "a manifest that is nested deeply": (manifest_text(b"[" * 100_000), "nested too deeply"),
    "a manifest of many megabytes": (manifest_text(b" " * (2**24 + 1)), "are the most"),
    "a number of many digits": (manifest_text(b'{"format": ' + b"9" * 10_000 + b"}"), "cannot be read"),
    "an observation of a billion bars": (
        lambda v: v.edit(lambda m: m["env"].update(window=10**9)),
        "features of another definition",
    ),
    "an altered account": (
        lambda v: v.edit(lambda m: m["env"]["trading"].update(max_exposure=-1.0)),
        "max_exposure",
    ),
    "a stop that is another": (altered("stop_loss", 0.95), "does not have its own hash"),
    "no stop": (altered("stop_loss", None), "does not have its own hash"),
    "altered terms": (lambda v: v.edit(lambda m: m["terms"][0].update(tick_size="0")), "tick_size"),
}


def refusal(run: Path) -> str:
    """Return the sentence with which a run is refused, as a start reads it."""
    try:
        check_own_features(run, "best", ())
        load_deployment(run)
    except RlTraderError as error:
        return str(error)
    return "it was not refused"


@pytest.mark.parametrize("harm", HARMS)
def test_a_checkpoint_that_was_made_to_harm_is_refused_in_one_sentence(harm: str, victim: Victim) -> None:
    alter, sentence = HARMS[harm]
    alter(victim)
    said = refusal(victim.run)
    assert sentence in said
    assert "\n" not in said
    assert len(said) < 1_000
    assert not (victim.outside / TRACE).exists()


def test_a_window_that_fits_its_hash_and_asks_for_too_many_bars_is_refused(victim: Victim) -> None:
    """It has no features, so that its size does not grow with its window."""
    schema = ObservationSchema(features=(), account_features=("exposure",), window=10**9)

    def change(manifest: Any) -> None:
        manifest["env"].update(features=[], window=10**9)
        manifest["observation"]["sha256"] = schema_hash(schema)
        manifest["scaling"] = {"mean": [], "scale": [], "clip": 10.0}

    def shorten(arrays: Arrays) -> None:
        arrays["layer_0.weight"] = arrays["layer_0.weight"][:, -1:]
        arrays["golden.observations"] = np.zeros((0, 1), np.float32)
        arrays["golden.targets"] = np.zeros(0)

    victim.edit(change)
    victim.rewrite(shorten)
    with pytest.raises(RlTraderError, match="is made of 1000000000 bars, and 50000 are the most"):
        load_deployment(victim.run)


def test_a_module_beside_the_checkpoint_is_not_imported_unless_somebody_allows_it(
    victim: Victim, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where the trader is started from the folder of the runs, what lies beside a checkpoint could be imported."""
    name = "run.payload"
    (victim.run / "payload.py").write_text(f"import os\nos.mkdir({str(victim.outside / TRACE)!r})\n")
    victim.edit(lambda manifest: manifest["env"].update(features=["log_return_1", f"{name}:feature"]))
    call = script_caller(monkeypatch, capsys, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RL_TRADER_PAPER_API_KEY", "k")
    monkeypatch.setenv("RL_TRADER_PAPER_API_SECRET", "s")
    caps = write_caps(tmp_path / "caps.json")
    answer = call(deploy, victim.run, "--caps", caps)
    assert answer.code == 2
    assert f"read it, and allow it by --allow {name}" in answer.err
    assert not (victim.outside / TRACE).exists()
    answer = call(deploy, victim.run, "--caps", caps, "--allow", name)
    assert answer.code == 2
    assert (victim.outside / TRACE).exists()  # it would have been
    importlib.invalidate_caches()


def test_the_script_says_it_in_one_sentence_too(
    victim: Victim, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    victim.write_policy(pickle.dumps(Trap(victim.outside / TRACE)))
    call = script_caller(monkeypatch, capsys, tmp_path)
    answer = call(deploy, victim.run, "--caps", write_caps(tmp_path / "caps.json"))
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert not (victim.outside / TRACE).exists()
