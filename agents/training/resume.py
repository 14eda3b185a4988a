"""The exact state of a training: what is needed to go on as if it had never been interrupted.

Taken between two updates. Besides SB3's own zip: the accounts, the observations and episode counters, the replay
buffer, and the states of all random generators that training draws from.
"""

import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.fast_dqn.buffer import RingReplayBuffer
from agents.training.sb3_env import TradingVecEnv
from rl_trader.errors import CheckpointError

MODEL_FILE: Final = "model.zip"
ARRAYS_FILE: Final = "arrays.npz"
STATE_FILE: Final = "state.json"
# What SB3, NumPy and zipfile raise on files that were cut off or changed.
DAMAGES: Final = (
    AssertionError, AttributeError, EOFError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError,
    pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip
BUFFER_ARRAYS: Final = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def save_state(folder: Path, model: BaseAlgorithm, env: TradingVecEnv, progress: dict[str, Any]) -> None:
    """Write the state of a training; the state before survives until the new one is whole.

    Args:
        folder: Replaced.
        model: Between two updates.
        env: Its environment.
        progress: JSON values that the caller wants back.

    Raises:
        CheckpointError: If it cannot be written.
    """
    beside = folder.with_name(folder.name + ".part")
    old = folder.with_name(folder.name + ".old")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        with (beside / MODEL_FILE).open("wb") as file:  # SB3 would leave it open on an error
            model.save(file)
        np.savez(beside / ARRAYS_FILE, allow_pickle=False, **_arrays(model, env))
        state = {"generators": _generators(model), "buffer": _buffer_position(model), "progress": progress}
        (beside / STATE_FILE).write_text(json.dumps(state))
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        os.replace(beside, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(f"the state of training cannot be written to {folder}: {error}; free space") from error


def find_state(folder: Path) -> Path:
    """Return the folder of the newest whole state.

    Raises:
        CheckpointError: If there is none.
    """
    for candidate in (folder, folder.with_name(folder.name + ".old")):
        if (candidate / STATE_FILE).is_file():
            return candidate
    raise CheckpointError(f"{folder.parent} has no state to resume from; it was never saved, or the run has ended")


def load_state(
    folder: Path, algorithm: type[BaseAlgorithm], env: TradingVecEnv, device: str
) -> tuple[BaseAlgorithm, dict[str, Any]]:
    """Return the model and the progress that ``save_state`` wrote, and put back accounts and generators.

    Raises:
        CheckpointError: If the state is missing or damaged.
    """
    found = find_state(folder)
    try:
        state = json.loads((found / STATE_FILE).read_text())
        # SB3 chooses the buffer of n-step returns itself, and warns of the one that it chose before it was saved.
        chosen: dict[str, Any] = {"replay_buffer_class": None} if issubclass(algorithm, OffPolicyAlgorithm) else {}
        model = algorithm.load(found / MODEL_FILE, env=env, device=device, force_reset=False, **chosen)
        with (found / ARRAYS_FILE).open("rb") as file, np.load(file) as arrays:  # NumPy leaves an empty file open
            env.set_state({name.removeprefix("env."): arrays[name] for name in arrays if name.startswith("env.")})
            _restore_buffer(model, {name: arrays[name] for name in arrays if name.startswith("buffer.")}, state)
            _restore_memories(model, arrays)
            torch.set_rng_state(torch.from_numpy(arrays["torch"]))
            if "cuda" in arrays:
                torch.cuda.set_rng_state(torch.from_numpy(arrays["cuda"]))
        _set_generators(model, state["generators"])
        return model, dict(state["progress"])
    except DAMAGES as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"the state in {found} cannot be read: {reason}; it is damaged: train anew, its checkpoints still work"
        ) from error


def _arrays(model: BaseAlgorithm, env: TradingVecEnv) -> dict[str, np.ndarray[Any, Any]]:
    arrays = {f"env.{name}": array for name, array in env.state().items()}
    arrays |= {name: tensor.cpu().numpy() for name, tensor in _memories(model).items()}
    arrays["torch"] = torch.get_rng_state().numpy()
    if model.device.type == "cuda":
        arrays["cuda"] = torch.cuda.get_rng_state().numpy()
    if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        arrays |= {f"buffer.{name}": array for name, array in _buffer_arrays(model.replay_buffer).items()}
    return arrays


def _buffer_arrays(buffer: ReplayBuffer) -> dict[str, np.ndarray[Any, Any]]:
    if isinstance(buffer, RingReplayBuffer):
        return buffer.state()
    return {name: getattr(buffer, name)[: buffer.size()] for name in BUFFER_ARRAYS}


def _memories(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """Return what a recurrent model remembers of the accounts, none of another."""
    states = getattr(model, "_last_lstm_states", None)
    if states is None:
        return {}
    return {f"memory.{i}.{k}": tensor for i, pair in enumerate(states) for k, tensor in enumerate(pair)}


def _restore_memories(model: BaseAlgorithm, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    for name, tensor in _memories(model).items():
        tensor.copy_(torch.from_numpy(arrays[name]))


def _buffer_position(model: BaseAlgorithm) -> dict[str, Any]:
    if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        return {"pos": int(model.replay_buffer.pos), "full": bool(model.replay_buffer.full)}
    return {}


def _restore_buffer(model: BaseAlgorithm, arrays: dict[str, np.ndarray[Any, Any]], state: dict[str, Any]) -> None:
    buffer = getattr(model, "replay_buffer", None)
    if isinstance(buffer, RingReplayBuffer):
        buffer.set_state({name.removeprefix("buffer."): array for name, array in arrays.items()})
    elif buffer is not None:
        for name in BUFFER_ARRAYS:
            stored = arrays[f"buffer.{name}"]
            getattr(buffer, name)[: len(stored)] = stored
        buffer.pos = state["buffer"]["pos"]
        buffer.full = state["buffer"]["full"]


def _generators(model: BaseAlgorithm) -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 - SB3 draws from it
    version, internal, gauss_next = random.getstate()
    return {
        "numpy": [kind, np.asarray(keys).tolist(), position, has_gauss, gauss],
        "python": [version, list(internal), gauss_next],
        "actions": model.action_space.np_random.bit_generator.state,
    }


def _set_generators(model: BaseAlgorithm, states: dict[str, Any]) -> None:
    kind, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    version, internal, gauss_next = states["python"]
    random.setstate((version, tuple(internal), gauss_next))
    model.action_space.np_random.bit_generator.state = states["actions"]
