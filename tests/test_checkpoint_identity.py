"""A checkpoint is one thing: whoever changes anything in it has another one, or none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rl_trader.checkpoint import load_checkpoint
from rl_trader.errors import CheckpointError, RlTraderError
from rl_trader.live.arming.paper_time import PaperTime
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.schema import JournalIdentity
from rl_trader.live.policy.deployment import load_deployment
from rl_trader.live.policy.own_features import check_own_features
from tests.checkpoint_edits import edit_sealed, edit_unsealed
from tests.deploy_stage import embedded_run

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedded_run(tmp_path_factory.mktemp("run"))


def identity_of(checkpoint: Path) -> JournalIdentity:
    return JournalIdentity(mode="paper", account="main", checkpoint=load_deployment(checkpoint).checkpoint_sha256)


def folder_of(run: Path) -> Path:
    """Return the folder of a run's best checkpoint."""
    folder: Path = run / "checkpoints" / json.loads((run / "checkpoints" / "index.json").read_text())["best"]
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """Return the folder of a checkpoint of one's own, in a run's folder."""
    return folder_of(shutil.copytree(run, tmp_path / "copy"))


def values_below(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values below a JSON value, containers included."""
    below = value.items() if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else ()
    return [(*path, key) for key, _ in below] + [
        leaf for key, part in below for leaf in values_below(part, (*path, key))
    ]


def another(value: Any) -> Any:
    """Return a value of the same kind that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}0"
    if isinstance(value, list):
        return [*value, 0]
    return {**value, "more": 0} if isinstance(value, dict) else 0.5


def without(value: Any, key: Any) -> Any:
    """Return a container without one of its values."""
    if isinstance(value, dict):
        return {name: part for name, part in value.items() if name != key}
    return [part for place, part in enumerate(value) if place != key]


def changed(manifest: Any, path: tuple[Any, ...], change: Callable[[Any, Any], Any]) -> Any:
    """Return a manifest in which the container of one value is another."""
    if len(path) == 1:
        return change(manifest, path[0])
    kept = dict(manifest) if isinstance(manifest, dict) else list(manifest)
    kept[path[0]] = changed(manifest[path[0]], path[1:], change)
    return kept


def with_another(container: Any, key: Any) -> Any:
    kept = dict(container) if isinstance(container, dict) else list(container)
    kept[key] = another(container[key])
    return kept


@pytest.mark.parametrize("change", [with_another, without], ids=["flipped", "left out"])
def test_a_manifest_of_which_any_field_is_changed_is_refused(change: Callable[[Any, Any], Any], copy: Path) -> None:
    file = copy / "manifest.json"
    manifest = json.loads(file.read_text())
    paths = values_below(manifest)
    assert ("env", "trading", "stop_loss") in paths
    assert ("scaling", "mean", 0) in paths
    assert ("terms", 0, "taker_fee") in paths
    for path in paths:
        file.write_text(json.dumps(changed(manifest, path, change)))
        with pytest.raises(CheckpointError) as caught:
            load_deployment(copy)
        sentence = str(caught.value)
        if path != ("format",):
            assert "hash" in sentence, path
        assert "\n" not in sentence


def test_a_manifest_is_refused_before_its_features_are_looked_at(copy: Path) -> None:
    edit_unsealed(copy, lambda manifest: manifest["env"].update(features=["somewhere.else:feature"]))
    with pytest.raises(CheckpointError, match="does not have its own hash: it was changed or is damaged"):
        check_own_features(copy, "best", ())


def test_a_manifest_without_a_hash_of_itself_is_refused(copy: Path) -> None:
    edit_unsealed(copy, lambda manifest: manifest.pop("sha256"))
    with pytest.raises(CheckpointError, match="an older version made it; make the checkpoint again with this one"):
        load_checkpoint(copy)


@pytest.mark.parametrize("seal", [None, 7, "", "0" * 64, ["0"]], ids=repr)
def test_a_hash_that_is_none_is_refused(seal: object, copy: Path) -> None:
    edit_unsealed(copy, lambda manifest: manifest.update(sha256=seal))
    with pytest.raises(CheckpointError, match="does not have its own hash"):
        load_checkpoint(copy)


def test_the_same_words_in_another_order_and_form_are_the_same_manifest(copy: Path) -> None:
    identity = load_deployment(copy).checkpoint_sha256
    file = copy / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(dict(reversed(manifest.items())), indent=7))
    assert load_deployment(copy).checkpoint_sha256 == identity


OTHERS: dict[str, Callable[[Any], object]] = {
    "stop": lambda m: m["env"]["trading"].update(stop_loss=0.95),
    "exposure": lambda m: m["env"]["trading"].update(max_exposure=2.0),
    "scaling": lambda m: m["scaling"].update(mean=[mean + 5 for mean in m["scaling"]["mean"]]),
    "interval": lambda m: m.update(interval="5m"),
    "fee": lambda m: m["terms"][0].update(taker_fee=0.0001),
    "facts": lambda m: m["facts"].update(algorithm="dqn"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_with_the_same_weights_that_says_something_else_has_no_time_on_paper(
    other: str, copy: Path, tmp_path: Path
) -> None:
    before = load_deployment(copy).checkpoint_sha256
    PaperTime(tmp_path, before, "b" * 64).add(30 * HOUR_MS)
    edit_sealed(copy, OTHERS[other])
    after = load_deployment(copy).checkpoint_sha256
    assert after != before
    assert PaperTime(tmp_path, before, "b" * 64).hours == 30.0
    assert PaperTime(tmp_path, after, "b" * 64).hours == 0.0


def test_the_journal_of_a_checkpoint_with_another_stop_is_not_continued(copy: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Journal.open(journal, identity_of(copy), reserve_bytes=4_096):
        pass
    edit_sealed(copy, OTHERS["stop"])
    with pytest.raises(RlTraderError, match="checkpoint"):
        Journal.open(journal, identity_of(copy), reserve_bytes=4_096).close()
