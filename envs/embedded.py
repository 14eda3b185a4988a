"""The embedded market as an environment: no file, no network, and a known optimum."""

from functools import lru_cache
from typing import Final

from rl_trader.config import EnvConfig, EpisodeConfig, Slippage, TradingConfig
from rl_trader.embedded import INTERVAL, STATE_FEATURE, embedded_market, embedded_terms
from rl_trader.market import MarketData, SymbolTables, build_market

NUM_BARS: Final = 100_000
SEED: Final = 0

EMBEDDED_ENV: Final = EnvConfig(
    features=(STATE_FEATURE,),
    account_features=("exposure",),
    trading=TradingConfig(leverage=2, stop_loss=0.4, slippage=Slippage(half_spread=0.0)),
    episode=EpisodeConfig(episode_bars=256),
)


@lru_cache(maxsize=4)
def embedded_market_data(num_bars: int = NUM_BARS, seed: int = SEED) -> MarketData:
    """Return the embedded market, aligned."""
    tables = embedded_market(num_bars, seed)
    symbol = SymbolTables(
        terms=embedded_terms(), klines=tables.klines, mark_prices={INTERVAL: tables.mark_price}, funding=tables.funding
    )
    return build_market([symbol], INTERVAL)
