"""Training accounts that are shown the market through noise; what happens to them is exact."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from agents.training.sb3_env import Correct, TradingVecEnv, as_they_are
from envs.vector_env import TradingVectorEnv

LIMIT: Final = np.float32(10.0)  # of the observation space
DRAWN: Final = "num_drawn"


class NoisyVecEnv(TradingVecEnv):
    """Adds Gaussian noise to the market features of every observation, anew for every account and bar.

    The numbers come from a counter-based generator, so that a resumed training draws what the uninterrupted one does.
    """

    def __init__(self, env: TradingVectorEnv, deviation: float, seed: int, correct: Correct = as_they_are) -> None:
        """Adapt an environment.

        Args:
            env: Whose observations are disturbed.
            deviation: Of the noise, in deviations of a scaled feature.
            seed: Of the noise.
            correct: As in ``TradingVecEnv``.
        """
        super().__init__(env, correct)
        self._deviation = np.float32(deviation)
        self._seed = seed
        schema = env.config.schema
        self._num_entries = schema.window * len(schema.features)
        self._num_drawn = 0

    def reset(self) -> VecEnvObs:
        """Begin an episode in every account."""
        return self._disturbed(np.asarray(super().reset()))

    def step_wait(self) -> VecEnvStepReturn:
        """Play one bar in every account."""
        observations, rewards, dones, infos = super().step_wait()
        disturbed = self._disturbed(np.asarray(observations))
        if dones.any():
            ended = np.flatnonzero(dones)
            last = self._disturbed(np.stack([infos[i]["terminal_observation"] for i in ended]))
            for i, observation in zip(ended, last, strict=True):
                infos[i]["terminal_observation"] = observation
        return disturbed, rewards, dones, infos

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of all arrays that the future depends on."""
        return {**super().state(), DRAWN: np.array(self._num_drawn)}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Put back what ``state`` returned; nothing is reset."""
        super().set_state({name: array for name, array in state.items() if name != DRAWN})
        self._num_drawn = int(state[DRAWN])

    def _disturbed(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return new observations (num_rows, observation size); the account part is as it was."""
        generator = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, 0, self._num_drawn]))
        self._num_drawn += 1
        disturbed = observations.copy()
        market = disturbed[:, : self._num_entries]
        market += self._deviation * generator.standard_normal(market.shape, np.float32)
        np.clip(market, -LIMIT, LIMIT, out=market)
        return disturbed
