"""Thousands of accounts on recorded bars as one native Gymnasium vector environment."""

from typing import Any, ClassVar, Final

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.replay_env import INFO_FIELDS, ReplayCore
from rl_trader.config import EnvConfig
from rl_trader.errors import ConfigError
from rl_trader.market import MarketData, Period
from rl_trader.observed_market import ObservedMarket
from rl_trader.simulator import columns_of
from rl_trader.windows import Observations

Arrays = NDArray[Any]

NUM_TURNS: Final = 2  # sets of buffers that are written in turn


class TradingVectorEnv(VectorEnv[Arrays, Arrays, Arrays]):
    """``num_envs`` accounts of ``rl_trader/TradingEnv-v0``, stepped by one call of the replay kernel.

    Account ``i`` reset with seed ``s`` is, bit for bit, the single environment reset with ``s + i``, whatever the
    number of accounts or threads. Episodes reset in the same step (``AutoresetMode.SAME_STEP``): ``info["final_obs"]``
    (num_envs, observation size) then holds the ended episodes' last observations where ``info["_final_obs"]`` is set,
    and ``info["final_info"]`` what their last step did.

    ``info`` holds one array (num_envs,) for every field of what a step did, in USDT (see ``TradingEnv``). Observations,
    rewards and info arrays alternate between two sets of buffers: what a step returned stays valid until the step after
    the next one, unless ``copy`` is set. Without ``copy`` nothing may be written into observations. Those of a window
    longer than 2 bars are not C-contiguous then: they lie apart in a memory in which the window slides on, and a later
    step writes no more than what is new.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # type: ignore[misc]

    def __init__(
        self,
        num_envs: int = 1,
        market: MarketData | ObservedMarket | None = None,
        config: EnvConfig | None = None,
        period: Period | None = None,
        *,
        num_threads: int = 1,
        copy: bool = True,
    ) -> None:
        """Prepare the accounts.

        Args:
            num_envs: Number of accounts.
            market: Bars, with features or without; None is the embedded market.
            config: None is the default, or the embedded market's own.
            period: Bars that are played; None is all of them.
            num_threads: Threads that share the accounts; more than one pays from some 1,000 accounts on.
            copy: Return new arrays in every step, instead of two alternating sets.

        Raises:
            ConfigError: If a setting cannot be used or the period has no bar to play.
        """
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, was {num_envs}")
        self.core = ReplayCore(market, config, period or Period(), num_envs, num_threads=num_threads)
        self.num_envs = num_envs
        self.single_observation_space = self.core.observation_space
        self.single_action_space = self.core.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._copy = copy
        self._observations = tuple(self.core.simulator.new_observations(every=NUM_TURNS) for _ in range(NUM_TURNS))
        self._rewards = tuple(np.zeros(num_envs) for _ in range(NUM_TURNS))
        self._turn = 0
        self._is_seeded = False

    @property
    def config(self) -> EnvConfig:
        """Return the configuration, with the fitted reward scale."""
        return self.core.config

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode in every account.

        Args:
            seed: Account ``i`` gets ``seed + i``, or its entry of a list. None goes on with every account's next
                episode, from random seeds at first.
            options: ``reset_mask`` (num_envs,) of bool chooses the accounts that are reset.
        """
        which = None if options is None else options.get("reset_mask")
        observations = self._observations[self._turn]
        keys = self._keys(seed)
        if keys is None:
            self.core.leave(which)
        self.core.reset(keys, observations, which)
        return (observations.array.copy() if self._copy else observations.array), {}

    def _keys(self, seed: int | list[int | None] | None) -> NDArray[np.int64] | None:
        if seed is None and self._is_seeded:
            return None
        self._is_seeded = True
        if seed is None:
            return self.np_random.integers(0, 2**31, self.num_envs)
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))
            return int(seed) + np.arange(self.num_envs, dtype=np.int64)
        drawn = self.np_random.integers(0, 2**31, self.num_envs)
        return np.array([d if s is None else s for s, d in zip(seed, drawn, strict=True)], np.int64)

    def step(self, actions: Arrays) -> tuple[Arrays, Arrays, Arrays, Arrays, dict[str, Any]]:
        """Play one bar in every account.

        Args:
            actions: (num_envs,) indices of target levels, or (num_envs, 1) targets in [-1, 1].

        Returns:
            Observations (num_envs, observation size) float32, rewards (num_envs,) float64, terminated and truncated
            (num_envs,) bool, and info.
        """
        self._turn ^= 1
        observations, rewards = self._observations[self._turn], self._rewards[self._turn]
        has_ended = self.core.step(actions, observations, rewards)
        simulator = self.core.simulator
        columns = simulator.outcome_columns
        if self._copy:
            columns, rewards = columns_of(simulator.outcomes.copy()), rewards.copy()
        info: dict[str, Any] = {name: columns[name] for name in INFO_FIELDS}
        terminated, truncated = columns["terminated"], columns["truncated"]
        if has_ended:
            self._reset_ended(terminated | truncated, observations, info)
        seen = observations.array.copy() if self._copy else observations.array
        return seen, rewards, terminated, truncated, info

    def _reset_ended(self, ended: Arrays, observations: Observations, info: dict[str, Any]) -> None:
        seen = observations.array
        final = np.zeros(seen.shape, seen.dtype)  # whose pages are made only where something is written
        final[ended] = seen[ended]
        info["final_info"] = {name: info[name] for name in INFO_FIELDS}
        info["final_obs"], info["_final_obs"], info["_final_info"] = final, ended, ended
        self.core.reset(None, observations, ended)
