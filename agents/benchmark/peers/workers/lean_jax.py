"""A lean PPO in JAX, where its script is at hand: the whole update is one jitted program, on a prototype's accounts.

Runs in the interpreter of sbx. The folder is the first argument; nothing of it is copied. The script measures a list of
sizes in its last loop; everything above that loop is run as it is, and one size is asked for.
"""

import ast
import os
import statistics
import sys
import types
from pathlib import Path
from typing import Any

import numba
from serve import Run, serve

NUM_UPDATES = 3


@numba.njit
def _gae(rewards, values, dones, last, advantages, gamma, decay):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for i in range(rewards.shape[1]):
        advantage, value = 0.0, last[i]
        for t in range(rewards.shape[0] - 1, -1, -1):
            goes_on = 0.0 if dones[t, i] else 1.0
            error = rewards[t, i] + gamma * value * goes_on - values[t, i]
            advantage = error + gamma * decay * goes_on * advantage
            advantages[t, i] = advantage
            value = values[t, i]


def ppo(num_envs: int, batch_size: int, n_epochs: int, hidden: int, frames: int) -> Run:
    """Return frames of training; a run is several rollouts of ``frames`` with their updates."""
    sys.modules["b5_gae"] = types.ModuleType("b5_gae")
    sys.modules["b5_gae"].gae = _gae  # type: ignore[attr-defined]
    sys.argv = ["b8_jaxlean.py", "--skip-gemm", "--threads", os.environ["OMP_NUM_THREADS"]]
    path = Path(FOLDER, "b8_jaxlean.py")
    tree = ast.parse(path.read_text())
    assert isinstance(tree.body[-1], ast.For)
    del tree.body[-1]
    module: dict[str, Any] = {"__name__": "lean"}
    exec(compile(tree, str(path), "exec"), module)
    rates: list[float] = []
    module["emit"] = lambda *_, **record: rates.append(record["median"])

    def run() -> float:
        rates.clear()
        module["run"](num_envs, hidden, batch_size, n_epochs, R=frames, iters=NUM_UPDATES)
        return statistics.median(rates)

    return run


FOLDER = sys.argv[1]
sys.path.append(FOLDER)
serve({"ppo": ppo}, "jax", "optax")
