"""A vector environment that answers with the same observations and rewards whatever is done."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv


class StillVecEnv(VecEnv):
    """Accounts that cost nothing: what is trained on them is as fast as it can be."""

    def __init__(self, num_envs: int, observation_space: Any, action_space: Any) -> None:  # noqa: ANN401
        self.render_mode = None
        super().__init__(num_envs, observation_space, action_space)
        rng = np.random.default_rng(0)
        self._observations = rng.standard_normal((num_envs, *observation_space.shape), np.float32)
        self._rewards = rng.standard_normal(num_envs, np.float32)
        self._dones = np.zeros(num_envs, np.bool_)
        self._infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]

    def reset(self) -> Any:  # noqa: ANN401 - as in SB3
        """Return the observations."""
        return self._observations

    def step_async(self, actions: Any) -> None:  # noqa: ANN401 - as in SB3
        """Do nothing."""

    def step_wait(self) -> Any:  # noqa: ANN401 - as in SB3
        """Return what is always returned."""
        return self._observations, self._rewards, self._dones, self._infos

    def close(self) -> None:
        """Do nothing."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ANN401 - as in SB3
        """Return an attribute, once for every account."""
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ANN401 - as in SB3
        """Set an attribute."""
        setattr(self, attr_name, value)

    def env_method(self, *_: Any, **__: Any) -> list[Any]:  # noqa: ANN401 - as in SB3
        """Do nothing."""
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:  # noqa: ANN401 - as in SB3
        """Return that no account is wrapped."""
        return [False] * self.num_envs
