"""A deployable policy as a folder of two files: ``policy.safetensors`` and ``manifest.json``.

The manifest says all that deployment needs: architecture, observation layout with its hash, scaling, actions, how the
account trades, market, terms, training period. It has a hash of itself, and with it of the weights, whose hash it
names: that is the checkpoint's identity, and a change of either file is refused. Nothing is unpickled, and nothing else
in a run's folder is needed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from rl_trader.config import EnvConfig
from rl_trader.contract import ContractTerms
from rl_trader.decision import ActionMap
from rl_trader.errors import CheckpointError, RlTraderError
from rl_trader.features import resolve_features
from rl_trader.observation import ObservationSchema
from rl_trader.plain_files import read_json, read_plain
from rl_trader.policies import (
    DeployablePolicy,
    is_exact,
    observation_sizes,
    policy_arrays,
    policy_of,
    policy_words,
)
from rl_trader.remembering import decide_in_turn
from rl_trader.scaling import Scaling
from rl_trader.serialise import from_json, to_json

FORMAT: Final = 1
POLICY_FILE: Final = "policy.safetensors"
MANIFEST_FILE: Final = "manifest.json"
SEAL: Final = "sha256"  # name of the manifest's own hash in it
GOLDEN_OBSERVATIONS: Final = "golden.observations"
GOLDEN_TARGETS: Final = "golden.targets"
MOST_MANIFEST_BYTES: Final = 16 * 2**20
MOST_POLICY_BYTES: Final = 2**28
TARGET_TOLERANCE: Final = 1e-6  # of a continuous target between machines; discrete targets must be equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A policy, and what it must be shown and may do."""

    policy: DeployablePolicy
    env: EnvConfig  # features, account and episodes of training
    scaling: Scaling
    interval: str
    terms: tuple[ContractTerms, ...]  # of every symbol it was trained on
    golden_observations: NDArray[np.float32]  # (num_golden, observation size)
    golden_targets: NDArray[np.float64]  # (num_golden,) that the policy must decide on them, one after the other
    facts: dict[str, Any]  # algorithm, periods, seeds, assumptions, metrics, series that were observed: JSON

    @property
    def schema(self) -> ObservationSchema:
        """Return the layout of the observation."""
        return self.env.schema

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols that the policy was trained on."""
        return tuple(terms.symbol for terms in self.terms)


def schema_hash(schema: ObservationSchema) -> str:
    """Return a hash of everything that gives an observation its meaning."""
    features = [(f.name, f.window, f.parameter, f.description) for f in resolve_features(schema.features)]
    text = json.dumps([features, schema.account_features, schema.window])
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with the hash of all else that it says, as canonical JSON: the checkpoint's identity."""
    content: dict[str, Any] = json.loads(json.dumps({name: part for name, part in manifest.items() if name != SEAL}))
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return {**content, SEAL: hashlib.sha256(text.encode()).hexdigest()}


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into a folder that does not exist; the folder appears whole or not at all.

    Raises:
        CheckpointError: If the folder exists or cannot be written.
    """
    if folder.exists():
        raise CheckpointError(f"checkpoint folder {folder} exists; give another name")
    beside = folder.with_name(folder.name + ".part")
    arrays = policy_arrays(checkpoint.policy)
    arrays[GOLDEN_OBSERVATIONS] = checkpoint.golden_observations
    arrays[GOLDEN_TARGETS] = checkpoint.golden_targets
    try:
        beside.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, beside / POLICY_FILE)
        manifest = sealed(_manifest(checkpoint, _sha256(beside / POLICY_FILE)))
        (beside / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n")
        beside.rename(folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {folder} cannot be written: {error}; free space or choose a folder"
        ) from error


def _manifest(checkpoint: Checkpoint, policy_hash: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "policy": {"sha256": policy_hash, **policy_words(checkpoint.policy)},
        "observation": {
            "sha256": schema_hash(checkpoint.schema),
            "size": checkpoint.schema.size,
            "names": checkpoint.schema.names(),
        },
        "env": to_json(checkpoint.env),
        "scaling": checkpoint.scaling.to_json(),
        "interval": checkpoint.interval,
        "terms": [terms.to_json() for terms in checkpoint.terms],
        "facts": checkpoint.facts,
    }


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read and check a checkpoint: hashes, shapes, the observation's meaning, and its golden decisions.

    Raises:
        CheckpointError: If it is missing, damaged, or made by another schema.
    """
    manifest = read_manifest(folder)
    try:
        env = from_json(EnvConfig, manifest["env"], "env")
        wanted = manifest["observation"]["sha256"]
        if wanted != schema_hash(env.schema):
            raise CheckpointError(
                f"checkpoint {folder} was made with features of another definition; train again with this version"
            )
        arrays = _read_arrays(folder / POLICY_FILE, manifest["policy"]["sha256"])
        action_map = ActionMap(levels=env.trading.levels)
        golden = {name: arrays.pop(name) for name in (GOLDEN_OBSERVATIONS, GOLDEN_TARGETS)}
        words = {name: word for name, word in manifest["policy"].items() if name != "sha256"}
        policy = policy_of(arrays, words, env.schema.size, action_map)
        checkpoint = Checkpoint(
            policy=policy,
            env=env,
            scaling=Scaling.from_json(manifest["scaling"]),
            interval=str(manifest["interval"]),
            terms=tuple(ContractTerms.from_json(terms) for terms in manifest["terms"]),
            golden_observations=golden[GOLDEN_OBSERVATIONS],
            golden_targets=golden[GOLDEN_TARGETS],
            facts=dict(manifest["facts"]),
        )
    except KeyError as error:
        raise CheckpointError(
            f"manifest of {folder} lacks {error}; it is damaged or made by another version"
        ) from error
    except (TypeError, AttributeError, ValueError) as error:  # a value of another type or shape
        raise CheckpointError(
            f"manifest of {folder} cannot be used: {error}; it is damaged or made by another version"
        ) from error
    except CheckpointError:
        raise
    except RlTraderError as error:
        raise CheckpointError(f"manifest of {folder} cannot be used: {error}") from error
    _check_consistency(checkpoint, folder)
    return checkpoint


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint, of which nothing is checked but its format and its own hash.

    Raises:
        CheckpointError: If there is none, it cannot be read, is of another format or has not its own hash.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} is no checkpoint: it has no {MANIFEST_FILE}; name a run's checkpoint folder")
    try:
        manifest = read_json(path, MOST_MANIFEST_BYTES)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; it is damaged") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise CheckpointError(f"{path} must have format {FORMAT}, found {found!r}; use the version that made it")
    _check_seal(manifest, path)
    return manifest


def _check_seal(manifest: dict[str, Any], path: Path) -> None:
    if SEAL not in manifest:
        raise CheckpointError(
            f"{path} has no hash of itself, so that nobody can tell whether it was changed: an older version made it;"
            " make the checkpoint again with this one"
        )
    try:
        wanted = sealed(manifest)[SEAL]
    except RecursionError:
        raise CheckpointError(f"{path} cannot be read: it is nested too deeply; it is damaged") from None
    if manifest[SEAL] != wanted:
        raise CheckpointError(
            f"{path} does not have its own hash: it was changed or is damaged; put the file back as it was made"
        )


def _read_arrays(path: Path, wanted_hash: str) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; the checkpoint is damaged")
    try:
        content = read_plain(path, MOST_POLICY_BYTES)
        if hashlib.sha256(content).hexdigest() != wanted_hash:
            raise CheckpointError(
                f"{path} does not have the hash of its manifest; one of them was changed or is damaged"
            )
        return dict(load(content))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; it is damaged") from error


def _check_consistency(checkpoint: Checkpoint, folder: Path) -> None:
    size = checkpoint.schema.size
    sizes = observation_sizes(checkpoint.policy)
    if sizes != {size} or len(checkpoint.scaling.mean) != len(checkpoint.env.features):
        raise CheckpointError(
            f"the policy of {folder} takes {min(sizes)} numbers and its manifest describes {size}; damaged"
        )
    golden = checkpoint.golden_observations
    if golden.ndim != 2 or golden.shape[1] != size or checkpoint.golden_targets.shape != golden.shape[:1]:  # noqa: PLR2004
        raise CheckpointError(f"the golden observations of {folder} do not fit its policy; it is damaged")
    found = decide_in_turn(checkpoint.policy, golden)
    tolerance = 0.0 if is_exact(checkpoint.policy) else TARGET_TOLERANCE
    if not np.all(np.abs(found - checkpoint.golden_targets) <= tolerance):
        raise CheckpointError(f"the policy of {folder} does not decide as it did when it was saved; it is damaged")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
