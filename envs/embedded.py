"""The embedded market as an environment: no file, no network, and a known optimum."""

from functools import lru_cache
from typing import Final

from rl_trader.embedded import INTERVAL, embedded_market, embedded_terms
from rl_trader.market import MarketData, SymbolTables, build_market

NUM_BARS: Final = 100_000
SEED: Final = 0


@lru_cache(maxsize=4)
def embedded_market_data(num_bars: int = NUM_BARS, seed: int = SEED) -> MarketData:
    """Return the embedded market, aligned."""
    tables = embedded_market(num_bars, seed)
    symbol = SymbolTables(
        terms=embedded_terms(), klines=tables.klines, mark_prices={INTERVAL: tables.mark_price}, funding=tables.funding
    )
    return build_market([symbol], INTERVAL)
