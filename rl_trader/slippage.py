"""What a market order pays beyond the price: never negative, so that no model ever pays the trader.

All models are one formula, ``half_spread + sqrt_impact * sqrt(share) + linear_impact * share``, with ``share`` the
order's part of the bar's volume. The square-root law of impact: Toth et al. 2011, "Anomalous price impact and the
critical nature of liquidity"; linear impact: Garleanu and Pedersen 2013.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rl_trader.errors import ConfigError
from rl_trader.kernels import kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Slippage:
    """Slippage of a market order, as a fraction of its price."""

    half_spread: float
    """Fraction of the price that every market order pays (0.0001 is one basis point)."""
    sqrt_impact: float = 0.0
    """Fraction of the price at an order as large as the bar's volume, growing with the square root of its share."""
    linear_impact: float = 0.0
    """Fraction of the price at an order as large as the bar's volume, growing with its share."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (np.isfinite(value) and 0.0 <= value < 1.0):
                raise ConfigError(f"slippage {name} must be a fraction in [0, 1), was {value}")


class SlippageSettings(Protocol):
    """What ``slippage_fraction`` reads from the settings record."""

    half_spread: float
    sqrt_impact: float
    linear_impact: float


@kernel
def slippage_fraction(amount: float, volume: float, settings: SlippageSettings) -> float:
    """Return the fraction of the price that a market order pays.

    Args:
        amount: Base asset, signed.
        volume: Base asset that traded in the bar, positive.
        settings: The model's numbers.
    """
    if settings.sqrt_impact == 0.0 and settings.linear_impact == 0.0:
        return settings.half_spread
    share = abs(amount) / volume
    return settings.half_spread + settings.sqrt_impact * np.sqrt(share) + settings.linear_impact * share
