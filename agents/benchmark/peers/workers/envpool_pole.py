"""envpool's cart-pole in C++."""

import envpool
import numpy as np
from serve import Run, rate, serve

NUM_STEPS = 32


def vector_env(num_envs: int, num_threads: int, seconds: float) -> Run:
    """Return steps of the synchronous pool."""
    env = envpool.make_gymnasium("CartPole-v1", num_envs=num_envs, num_threads=num_threads)
    actions = np.random.default_rng(0).integers(0, 2, (NUM_STEPS, num_envs), np.int32)
    env.reset()

    def play() -> None:
        for action in actions:
            env.step(action)

    return rate(play, NUM_STEPS * num_envs, seconds)


serve({"vector_env": vector_env}, "envpool")
