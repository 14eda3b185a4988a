"""gym-anytrading's environment of stocks: positions and prices without an account."""

import gym_anytrading  # noqa: F401 - registers the environments
import gymnasium
import pandas as pd
from serve import Run, rate, serve
from walk import random_walk

NUM_BARS = 100_000
WINDOW = 10
NUM_STEPS = 2_000


def single_env(seconds: float) -> Run:
    """Return steps of one environment."""
    bars = pd.DataFrame({name.capitalize(): column for name, column in random_walk(NUM_BARS, 0.006).items()})
    env = gymnasium.make("stocks-v0", df=bars, window_size=WINDOW, frame_bound=(WINDOW, NUM_BARS))
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(NUM_STEPS)]
    env.reset(seed=0)

    def play() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return rate(play, NUM_STEPS, seconds)


serve({"single_env": single_env}, "gym-anytrading", "gymnasium")
