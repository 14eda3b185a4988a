"""Bare kernels of a prototype, where their folder is at hand: fewer rules of the account, in one function body.

Runs in this project's interpreter. The folder is the first argument; nothing of it is copied.
"""

import importlib
import sys
from typing import Any

import numpy as np
from serve import Run, rate, serve

NUM_BARS = 100_000
NUM_STEPS = 32


def vector_env(num_envs: int, num_threads: int, window: int, seconds: float) -> Run:
    """Return steps of the prototype in one body."""
    bars = importlib.import_module("common").make_ohlcv(NUM_BARS)
    env = importlib.import_module("proto2").Proto(bars, num_envs, window=window, parallel=num_threads > 1)
    actions = list(np.random.default_rng(0).integers(0, 5, (NUM_STEPS, num_envs)))

    def play() -> None:
        for action in actions:
            env.step(action)

    return rate(play, NUM_STEPS * num_envs, seconds)


def back_test(num_bars: int, seconds: float) -> Run:
    """Return bars of the prototype's loop over a crossing of two moving averages, where the file has one."""
    works: list[Any] = []
    sys.argv = ["b6_backtest.py", "proto", "--bars", str(num_bars)]
    module: Any = importlib.import_module("b6_backtest")

    def note(work: Any, *_: object) -> dict[str, float]:  # noqa: ANN401 - the file's own function
        works.append(work)
        return {}

    module.rate = note
    module.emit = lambda *_, **__: None
    module.proto()
    return rate(works[0], num_bars, seconds)


sys.path.append(sys.argv[1])
serve({"vector_env": vector_env, "back_test": back_test}, "numba")
