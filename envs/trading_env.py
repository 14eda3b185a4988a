"""One account on recorded bars as a Gymnasium environment."""

from functools import lru_cache
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.rendering import History
from envs.replay_env import ReplayCore
from rl_trader.config import EnvConfig
from rl_trader.errors import ConfigError
from rl_trader.features import resolve_features
from rl_trader.market import MarketData, Period
from rl_trader.observation import ACCOUNT_FEATURES
from rl_trader.observed_market import ObservedMarket
from rl_trader.state import EVENT_NAMES

Observation = NDArray[np.float32]


class TradingEnv(gymnasium.Env[Observation, Any]):
    """A trading account of a Binance USD-M perpetual contract.

    ## Description
    The agent holds one account with at most one position (one-way mode, USDT margin). At every bar's close it chooses a
    target position; the order fills at the next bar's open, or rests through the next bar as a post-only limit order if
    ``config.trading.limit_distance`` is set. Fees, slippage, funding, margin brackets, the protective stop and
    liquidation on the mark price are those of ``rl_trader.replay``, whose docstring gives the order of events.

    ## Action Space
    ``Discrete(len(levels))``: index of a target position in ``config.trading.levels`` (short, flat, long by default);
    or ``Box(-1, 1, (1,))`` if ``levels`` is empty. Targets are fractions of ``max_exposure``, the notional over the
    margin balance. A target that differs from the exposure by no more than the rebalance band sends no order; flat is
    always reached exactly.

    ## Observation Space
    ``Box(-10, 10, (window * features + account features,), float32)``: market features of the last ``window`` bars,
    oldest first, scaled by frozen means and deviations of the training period; then the account part, rounded to 1e-6.
    Both are cut at -10 and 10. ``observation_table`` of this module prints the rows of any configuration; by default:

    {observation_table}

    ## Rewards
    ``config.reward`` over ``config.reward_scale``. By default the change of the log margin balance in units of the bar
    volatility; a ruined account counts as 1e-4 of the initial balance.

    ## Starting State
    A random bar of the period (or its first), flat or with a random position opened at its close without a fee;
    ``config.episode`` chooses.

    ## Episode End
    Terminated: the position was liquidated whole, or the balance cannot carry the smallest order. Truncated: the
    episode has its number of bars, or the recording, a gap-free stretch of it, or the period ends.

    ## Info
    ``price_pnl + fees + slippage + funding + liquidation`` is the step's change of the margin balance, each in USDT in
    the sign of the wallet's change; besides ``margin_balance``, ``margin_balance_before``, ``insurance`` (the part of
    ``liquidation`` that the insurance fund bore), ``realized_pnl`` (what fills and liquidations booked, before fees),
    ``traded_notional``, ``exposure``, ``bar`` (row of the bars), ``symbol`` (its index), ``events`` (sum of bits) and
    ``event_names``.

    ## Arguments
    ``market``: ``MarketData`` or ``ObservedMarket``, None for the embedded market; ``config``: ``EnvConfig``;
    ``period``: bars that are played; ``render_mode``: ``ansi`` or ``rgb_array``.

    ## Version History
    v0: first.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 10}  # type: ignore[misc]

    def __init__(
        self,
        market: MarketData | ObservedMarket | None = None,
        config: EnvConfig | None = None,
        period: Period | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Prepare the account.

        Args:
            market: Bars, with features or without; None is the embedded market.
            config: None is the default, or the embedded market's own.
            period: Bars that are played; None is all of them.
            render_mode: None, ``ansi`` or ``rgb_array``.

        Raises:
            ConfigError: If a setting cannot be used or the period has no bar to play.
        """
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ConfigError(f"render_mode must be ansi or rgb_array, was {render_mode!r}")
        self.core = ReplayCore(market, config, period or Period(), 1)
        self.observation_space = self.core.observation_space  # type: ignore[assignment]  # Box is generic in numbers
        self.action_space = self.core.action_space
        self._action_shape = (1, *(self.action_space.shape or ()))
        self.render_mode = render_mode
        self._levels = self.core.action_map.levels
        self._observations = self.core.simulator.new_observations()
        self._observation = self._observations.array[0]
        self._rewards = np.zeros(1)
        self._targets = np.zeros(1)
        self._is_seeded = False
        self._is_running = False
        self._history = History(self.core.observed.market) if render_mode is not None else None

    @property
    def config(self) -> EnvConfig:
        """Return the configuration, with the fitted reward scale."""
        return self.core.config

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode: the first of ``seed``, or the next one."""
        super().reset(seed=seed)
        keys: NDArray[np.int64] | None = None
        if seed is not None:
            keys = np.array([seed], np.int64)
        elif not self._is_seeded:
            keys = self.np_random.integers(0, 2**31, 1)
        elif self._is_running:
            self.core.leave()
        self._is_seeded = self._is_running = True
        self.core.reset(keys, self._observations)
        if self._history is not None:
            self._history.begin(self.core.simulator.states[0])
        return self._observation.copy(), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:  # noqa: ANN401 - as in Gymnasium
        """Play one bar.

        Raises:
            ResetNeeded: If no episode has begun, or it has ended: the bar after its last is not its own.
        """
        if not self._is_running:
            raise ResetNeeded("an episode must be begun by reset before step, and has not or has ended; call reset")
        core = self.core
        core.play(self._target(action), self._observations, self._rewards)
        outcomes = core.simulator.outcomes
        info, terminated, truncated = _told(*outcomes.tolist()[0])
        self._is_running = not (terminated or truncated)
        if self._history is not None:
            self._history.add(outcomes[0])
        return self._observation.copy(), self._rewards.item(), terminated, truncated, info

    def _target(self, action: Any) -> NDArray[np.float64]:  # noqa: ANN401 - as in Gymnasium
        """Return the target (1,) of an action; the ordinary one, a level's index, is looked up without an array."""
        if (type(action) is int or isinstance(action, np.integer)) and 0 <= action < len(self._levels):
            self._targets[0] = self._levels[action]
            return self._targets
        return self.core.targets(np.asarray(action).reshape(self._action_shape))

    def render(self) -> Any:  # noqa: ANN401 - a string or an array, as in Gymnasium
        """Return the account as a line of text, or the episode as a picture (height, width, 3)."""
        if self._history is None:
            raise ConfigError("rendering was not asked for; make the environment with render_mode ansi or rgb_array")
        return self._history.line() if self.render_mode == "ansi" else self._history.picture()


def _told(  # written out: zipping names costs twice as much, in every step
    margin_balance_before: float,
    margin_balance: float,
    price_pnl: float,
    fees: float,
    slippage: float,
    funding: float,
    liquidation: float,
    insurance: float,
    realized_pnl: float,
    traded_notional: float,
    exposure: float,
    bar: int,
    symbol: int,
    events: int,
    terminated: bool,
    truncated: bool,
) -> tuple[dict[str, Any], bool, bool]:
    """Return an outcome, its fields in the order of ``OUTCOME_DTYPE``, as ``info``, and how the episode has ended."""
    info: dict[str, Any] = {
        "margin_balance_before": margin_balance_before,
        "margin_balance": margin_balance,
        "price_pnl": price_pnl,
        "fees": fees,
        "slippage": slippage,
        "funding": funding,
        "liquidation": liquidation,
        "insurance": insurance,
        "realized_pnl": realized_pnl,
        "traded_notional": traded_notional,
        "exposure": exposure,
        "bar": bar,
        "symbol": symbol,
        "events": events,
        "event_names": list(_event_names(events)),
    }
    return info, terminated, truncated


@lru_cache(maxsize=256)
def _event_names(events: int) -> tuple[str, ...]:
    return tuple(name for bit, name in EVENT_NAMES.items() if events & bit)


def observation_table(config: EnvConfig) -> str:
    """Return the rows of the observation table of a configuration: index, name, meaning."""
    described = {f.name: f.description for f in resolve_features(config.features)} | ACCOUNT_FEATURES
    rows = [(str(i), name, described[name.partition("[")[0]]) for i, name in enumerate(config.schema.names())]
    widths = [max(len(row[k]) for row in rows) for k in range(2)]
    return "\n    ".join(f"| {i:>{widths[0]}} | {name:<{widths[1]}} | {meaning} |" for i, name, meaning in rows)


if TradingEnv.__doc__:
    TradingEnv.__doc__ = TradingEnv.__doc__.replace("{observation_table}", observation_table(EnvConfig()))
