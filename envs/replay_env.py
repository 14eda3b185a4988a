"""What the single and the vector environment share: market, spaces, rewards and the simulator behind them."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.embedded import embedded_market_data
from envs.rewards import bar_volatility, reward_kernel
from rl_trader.config import EMBEDDED_ENV, EnvConfig
from rl_trader.decision import ACCOUNT_LIMIT, ActionMap
from rl_trader.errors import ConfigError
from rl_trader.market import MarketData, Period
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.simulator import Simulator
from rl_trader.state import OUTCOME_DTYPE
from rl_trader.windows import Observations

NUM_REWARD_STATES: Final = 3
INFO_FIELDS: Final = tuple(name for name in OUTCOME_DTYPE.names or () if name not in ("terminated", "truncated"))


class ReplayCore:
    """Accounts that replay a market, and the rewards that their environment pays."""

    def __init__(
        self,
        market: MarketData | ObservedMarket | None,
        config: EnvConfig | None,
        period: Period,
        num_envs: int,
        *,
        num_threads: int = 1,
    ) -> None:
        """Prepare market, spaces and arrays.

        Args:
            market: Bars, with features or without; None is the embedded market.
            config: None is the default, or the embedded market's own.
            period: Bars that are played; scaling and reward scale are fitted on it where they are not given.
            num_envs: Number of accounts.
            num_threads: Threads that share the accounts; the results are the same bits.
        """
        if market is None:
            market = embedded_market_data()
            config = config or EMBEDDED_ENV
        config = config or EnvConfig()
        observed = (
            market if isinstance(market, ObservedMarket) else observe_market(market, config.schema, fit_on=period)
        )
        if config.reward_scale is None:
            config = replace(config, reward_scale=bar_volatility(observed.market, period))
        self.config = config
        self.observed = observed
        self.simulator = Simulator(observed, config.trading, config.episode, period, num_envs, num_threads=num_threads)
        self.action_map: ActionMap = ActionMap(levels=config.trading.levels)
        self._write_rewards = reward_kernel(config.reward)
        self._reward_terms = float(config.trading.initial_balance), float(config.reward_scale or 1.0)
        self._reward_states = np.zeros((num_envs, NUM_REWARD_STATES))

    @property
    def observation_space(self) -> spaces.Box:
        """Return the space of one observation."""
        limit = max(self.observed.scaling.clip, ACCOUNT_LIMIT)
        return spaces.Box(-limit, limit, (self.observed.schema.size,), np.float32)

    @property
    def action_space(self) -> spaces.Discrete[Any] | spaces.Box:
        """Return the space of one action: an index into the target levels, or one target in [-1, 1]."""
        if self.action_map.is_discrete:
            return spaces.Discrete(len(self.action_map.levels))
        return spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, keys: NDArray[np.int64] | None, observations: Observations, which: NDArray[np.bool_] | None = None
    ) -> None:
        """Begin episodes, with new keys of the generators or with the next episode of the old ones."""
        if keys is not None:
            self.simulator.seed(keys, which)
        self._reward_states[slice(None) if which is None else which] = 0.0
        self.simulator.reset(observations, which)

    def leave(self, which: NDArray[np.bool_] | None = None) -> None:
        """Count the running episodes as played, so that the next reset begins the ones after them."""
        self.simulator.states["episode"][slice(None) if which is None else which] += 1

    def step(self, actions: NDArray[np.generic], observations: Observations, rewards: NDArray[np.float64]) -> bool:
        """Play one bar, write observations and rewards, and return whether an episode ended.

        Raises:
            ConfigError: If an action means no target.
        """
        return self.play(self.targets(actions), observations, rewards)

    def targets(self, actions: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return the target positions of actions.

        Raises:
            ConfigError: If one is no index of a level, or NaN, which no position follows from.
        """
        targets = self.action_map.targets(actions)
        if not self.action_map.is_discrete and np.isnan(targets).any():
            account = int(np.isnan(targets).argmax())
            raise ConfigError(
                f"actions must be numbers from -1 to 1, found NaN for account {account}; check the policy"
            )
        return targets

    def play(self, targets: NDArray[np.float64], observations: Observations, rewards: NDArray[np.float64]) -> bool:
        """Do as ``step`` does, with target positions."""
        has_ended = self.simulator.step(targets, observations)
        self._write_rewards(self.simulator.outcomes, *self._reward_terms, self._reward_states, rewards)
        return has_ended

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of all arrays that the future depends on, for an exact resumption."""
        return {"accounts": self.simulator.states.copy(), "rewards": self._reward_states.copy()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Put back what ``state`` returned."""
        self.simulator.states[:] = state["accounts"]
        self._reward_states[:] = state["rewards"]
