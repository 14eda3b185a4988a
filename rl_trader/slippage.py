"""What a market order pays beyond the price: never negative, so that no model ever pays the trader.

All models are one formula, ``half_spread + sqrt_impact * sqrt(share) + linear_impact * share``, with ``share`` the
order's part of the bar's volume. The square-root law of impact: Toth et al. 2011, "Anomalous price impact and the
critical nature of liquidity"; linear impact: Garleanu and Pedersen 2013.
"""

from typing import Protocol

import numpy as np

from rl_trader.kernels import kernel


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
    return float(settings.half_spread + settings.sqrt_impact * np.sqrt(share) + settings.linear_impact * share)
