"""What an environment shows, how it pays and how the account trades."""

from dataclasses import dataclass, field

import numpy as np

from rl_trader.decision import ACCOUNT_FEATURES, ObservationSchema
from rl_trader.errors import ConfigError
from rl_trader.features import DEFAULT_FEATURES
from rl_trader.market import MarketData, Period, episode_table
from rl_trader.simulator import EpisodeConfig
from rl_trader.trading import TradingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvConfig:
    """A trading environment."""

    features: tuple[str, ...] = DEFAULT_FEATURES
    """Market features, by name, `signal:<column>` or import path `package.module:feature`."""
    account_features: tuple[str, ...] = tuple(ACCOUNT_FEATURES)[:-1]
    """Account part of the observation; add fee_level where fees are randomised."""
    window: int = 1
    """Bars whose market features are observed."""
    reward: str = "log_return"
    """log_return, simple_return, differential_sharpe, drawdown_penalised, or an import path."""
    reward_scale: float | None = None
    """Rewards are divided by it; none is the standard deviation of the bars' log returns on the training period."""
    trading: TradingConfig = field(default_factory=TradingConfig)
    """How the account trades."""
    episode: EpisodeConfig = field(default_factory=EpisodeConfig)
    """How episodes begin and end, and which costs vary between them."""

    def __post_init__(self) -> None:
        if self.reward_scale is not None and not 0.0 < self.reward_scale < np.inf:
            raise ConfigError(f"reward_scale must be positive, was {self.reward_scale}; leave it out to fit it")

    @property
    def schema(self) -> ObservationSchema:
        """Return the layout of the observation."""
        return ObservationSchema(features=self.features, account_features=self.account_features, window=self.window)


def bar_volatility(market: MarketData, period: Period) -> float:
    """Return the standard deviation of the log returns of a period's bars, pooled over the symbols."""
    returns = []
    for episode in episode_table(market, period, 0):
        close = market.bars["close"][episode["first_start"] : episode["last_bar"] + 1]
        returns.append(np.diff(np.log(close)))
    volatility = float(np.std(np.concatenate(returns)))
    if volatility == 0.0:
        raise ConfigError(f"the prices of {', '.join(market.symbols)} do not move in the period; give a reward_scale")
    return volatility
