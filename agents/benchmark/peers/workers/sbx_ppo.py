"""sbx' PPO, a jitted update a minibatch, on accounts that cost nothing."""

import numpy as np
from gymnasium import spaces
from sbx import PPO
from serve import Run, rate, serve
from still_vec_env import StillVecEnv


def ppo(
    num_envs: int, n_steps: int, batch_size: int, n_epochs: int, hidden: int, observation_size: int, num_rollouts: int
) -> Run:
    """Return frames of training."""
    space = spaces.Box(-np.inf, np.inf, (observation_size,), np.float32)
    model = PPO(
        "MlpPolicy",
        StillVecEnv(num_envs, space, spaces.Discrete(5)),
        n_steps=n_steps,
        batch_size=batch_size,
        n_epochs=n_epochs,
        policy_kwargs={"net_arch": [hidden, hidden]},
    )
    frames = num_envs * n_steps * num_rollouts
    return rate(lambda: model.learn(frames, reset_num_timesteps=False), frames, 0.0)


serve({"ppo": ppo}, "sbx-rl", "jax")
