"""The native vector environment as Stable-Baselines3 sees it."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from envs.vector_env import TradingVectorEnv

Correct = Callable[[NDArray[np.float64], NDArray[np.void]], None]
"""Changes the rewards (num_accounts,) of a bar in place, given its outcomes (num_accounts,) of ``OUTCOME_DTYPE``."""


def as_they_are(_rewards: NDArray[np.float64], _outcomes: NDArray[np.void]) -> None:
    """Leave rewards as they are."""


class TradingVecEnv(VecEnv):
    """A thin adapter: arrays are handed on, and only episodes that ended get an info of their own.

    Observations of windows, which may lie apart, are handed on in one piece.

    An ended episode's info has ``terminal_observation``, ``TimeLimit.truncated`` and ``episode`` (``r`` sum of rewards,
    ``l`` bars, ``t`` seconds), as SB3 wants them.
    """

    def __init__(self, env: TradingVectorEnv, correct: Correct = as_they_are) -> None:
        """Adapt an environment.

        Args:
            env: It should have been made with ``copy=False``, since SB3 copies what it keeps.
            correct: What is learned from in the place of the rewards; the sums that are reported are the environment's.
        """
        self.env = env  # before SB3 asks it for its render mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self._actions: NDArray[Any] = np.zeros(0)
        self._empty_infos: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, np.int64)
        self._started = time.time()
        self._correct = correct

    def reset(self) -> VecEnvObs:
        """Begin an episode in every account, with the seeds that ``seed`` set, if any."""
        seeds = [seed for seed in self._seeds if seed is not None]
        observations, _ = self.env.reset(seed=seeds[0] if seeds else None)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        return np.ascontiguousarray(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Note the actions (num_envs,) or (num_envs, 1)."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Play one bar in every account."""
        apart, rewards, terminated, truncated, info = self.env.step(self._actions)
        observations = np.ascontiguousarray(apart)  # where windows slide a network might round them by where they lie
        self._returns += rewards
        self._lengths += 1
        self._correct(rewards, self.env.core.simulator.outcomes)
        if "final_obs" not in info:
            return observations, rewards, terminated, self._empty_infos
        dones = terminated | truncated
        infos = list(self._empty_infos)
        seconds = time.time() - self._started
        for i in np.flatnonzero(dones).tolist():
            infos[i] = {
                "terminal_observation": info["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i]),
                "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": seconds},
            }
        self._returns[dones] = 0.0
        self._lengths[dones] = 0
        return observations, rewards, dones, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of all arrays that the future depends on."""
        return {**self.env.core.state(), "returns": self._returns.copy(), "lengths": self._lengths.copy()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Put back what ``state`` returned; nothing is reset."""
        self.env.core.set_state(state)
        self._returns[:] = state["returns"]
        self._lengths[:] = state["lengths"]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the environment, once for every account asked for."""
        value = getattr(self.env, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:  # noqa: ANN401 - as in SB3
        """Set an attribute of the environment, which all accounts share."""
        setattr(self.env, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ANN401 - as in SB3
        indices: VecEnvIndices = None,
        **method_kwargs: Any,  # noqa: ANN401 - as in SB3
    ) -> list[Any]:
        """Call a method of the environment once and return its result for every account asked for."""
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Return that no account is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> list[NDArray[np.uint8] | None]:
        """Return no pictures: render a single environment instead."""
        return [None] * self.num_envs

    def _get_indices(self, indices: VecEnvIndices) -> Iterable[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else indices
