"""The market seen in a mirror: what rose falls, what longs paid shorts pay.

An agent that reads the market does as well there as it did; one that was long in a rising market does not.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from rl_trader.market import MarketData

_SWAPPED: Final = {"open": "open", "high": "low", "low": "high", "close": "close"}


def mirrored_market(market: MarketData) -> MarketData:
    """Return the market with every price p of a symbol as a^2 / p, where a is its first open.

    Funding rates and takers change sides; a bar's notional stays, so that its volume in base asset is scaled. Signals
    are what they were: what they mean in the mirror is not known.
    """
    bars, fundings = market.bars.copy(), market.fundings.copy()
    for symbol in range(len(market.symbols)):
        rows = market.rows(symbol)
        original, mirrored = market.bars[rows], bars[rows]
        square = float(original["open"][0]) ** 2
        for prefix in ("", "mark_"):
            for name, other in _SWAPPED.items():
                mirrored[prefix + name] = square / original[prefix + other]
        scale = original["close"] / mirrored["close"]
        mirrored["volume"] = original["volume"] * scale
        mirrored["taker_buy_volume"] = (original["volume"] - original["taker_buy_volume"]) * scale
        # Settlements of a symbol lie between what its first bar and its last one have seen.
        before = int(market.bars["num_settled"][rows.start - 1]) if symbol else 0
        settled = slice(before, int(original["num_settled"][-1]))
        fundings["mark_price"][settled] = square / market.fundings["mark_price"][settled]
    bars["last_funding_rate"] *= np.float32(-1.0)
    fundings["funding_rate"] *= -1.0
    return replace(market, bars=bars, fundings=fundings)


def with_funding(market: MarketData, factor: float) -> MarketData:
    """Return the market with every settlement's rate times a factor; what the bars know of rates stays."""
    fundings = market.fundings.copy()
    fundings["funding_rate"] *= factor
    return replace(market, fundings=fundings)
