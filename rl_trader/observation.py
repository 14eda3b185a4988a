"""The layout of an observation: names only, nothing is computed here."""

from dataclasses import dataclass
from typing import Final

from rl_trader.errors import ConfigError

DEFAULT_FEATURES: Final[tuple[str, ...]] = (
    "log_return_1",
    "log_return_4",
    "log_return_16",
    "log_return_48",
    "log_return_192",
    "realised_volatility_16",
    "realised_volatility_48",
    "realised_volatility_192",
    "parkinson_volatility_48",
    "garman_klass_volatility_16",
    "relative_strength_14",
    "trend_strength_48",
    "trend_strength_336",
    "moving_average_gap_20",
    "moving_average_gap_200",
    "channel_position_48",
    "volume_ratio_48",
    "taker_imbalance_16",
    "mark_premium",
    "last_funding_rate",
    "hour_sin",
    "hour_cos",
    "weekday_sin",
    "weekday_cos",
)
"""For bars of 30 minutes: from one bar to a week (336)."""

ACCOUNT_FEATURES: Final = {
    "exposure": "signed notional over margin balance, over max_exposure",
    "unrealized_pnl": "unrealized PnL over margin balance",
    "margin_ratio": "maintenance margin over the position's margin, at most 1; 0 when flat",
    "liquidation_distance": "distance of mark to liquidation price over the mark price, 0 to 1; 1 when there is none",
    "bars_held": "n / (n + 64) for n bars since the position was opened",
    "hours_to_funding": "hours to the next funding settlement over 8",
    "last_funding_rate": "last settled funding rate in units of 0.1 %",
    "fee_level": "taker fee in units of 0.1 %",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationSchema:
    """The layout of an observation: ``window`` rows of market features, oldest first, then the account part."""

    features: tuple[str, ...]
    account_features: tuple[str, ...] = tuple(ACCOUNT_FEATURES)
    window: int = 1

    def __post_init__(self) -> None:
        unknown = [name for name in self.account_features if name not in ACCOUNT_FEATURES]
        if unknown:
            raise ConfigError(f"unknown account feature {unknown[0]!r}; choose from {', '.join(ACCOUNT_FEATURES)}")
        if self.window < 1:
            raise ConfigError(f"window must be at least 1 bar, was {self.window}")

    @property
    def size(self) -> int:
        """Return the number of entries of an observation."""
        return self.window * len(self.features) + len(self.account_features)

    @property
    def account_columns(self) -> tuple[int, ...]:
        """Return which entries of ``decision.account_part`` are used, in order."""
        order = list(ACCOUNT_FEATURES)
        return tuple(order.index(name) for name in self.account_features)

    def names(self) -> list[str]:
        """Return the name of every entry; ``name[-k]`` is the feature k bars before the newest."""
        lags = range(self.window - 1, -1, -1)
        market = [f"{name}[-{lag}]" if lag else name for lag in lags for name in self.features]
        return market + list(self.account_features)
