"""Markets of any length, with any number of features or symbols."""

from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from agents.benchmark.environment import INTERVAL, account_config
from agents.benchmark.market import synthetic_tables
from rl_trader.config import EnvConfig
from rl_trader.market import MarketData, Segment, build_market
from rl_trader.observed_market import ObservedMarket, observe_market

ORIGINAL_BARS: Final = 100_000  # that a longer market repeats
BARS_PER_SYMBOL: Final = 10_000


def of_features(num_features: int) -> EnvConfig:
    """Return the measured account with so many features, returns over 1, 2, 3, ... bars."""
    return replace(account_config(), features=tuple(f"log_return_{lag}" for lag in range(1, num_features + 1)))


@lru_cache(maxsize=1)
def long_market(num_bars: int, features: tuple[str, ...] | None = None) -> ObservedMarket:
    """Return a market of any length; one longer than ``ORIGINAL_BARS`` repeats their prices.

    Args:
        num_bars: Its length, a multiple of ``ORIGINAL_BARS`` beyond them.
        features: None is those of the measured account.
    """
    config = account_config() if features is None else replace(account_config(), features=features)
    market = build_market([synthetic_tables(min(num_bars, ORIGINAL_BARS), INTERVAL, INTERVAL)], INTERVAL)
    observed = observe_market(market, config.schema)
    times = max(num_bars // ORIGINAL_BARS, 1)
    if times == 1:
        return observed
    warm = observed.rows.copy()
    warm[: observed.warmup] = 0.0  # so that the repetitions can be observed
    rows = np.concatenate([observed.rows, *[warm] * (times - 1)])
    return replace(observed, market=_repeated(market, times), rows=rows)


def _repeated(market: MarketData, times: int) -> MarketData:
    num_bars, num_settled = len(market.bars), len(market.fundings)
    bars, fundings = np.tile(market.bars, times), np.tile(market.fundings, times)
    turn = np.repeat(np.arange(times), num_bars)
    bars["open_time"] += turn * num_bars * market.interval_ms
    bars["num_settled"] += (turn * num_settled).astype(np.int32)
    fundings["funding_time"] += np.repeat(np.arange(times), num_settled) * num_bars * market.interval_ms
    return replace(market, bars=bars, fundings=fundings, segments=(Segment(0, 0, len(bars)),))


def of_symbols(num_symbols: int) -> ObservedMarket:
    """Return a market of several symbols with the same prices and terms under different names."""
    tables = synthetic_tables(BARS_PER_SYMBOL, INTERVAL, INTERVAL)
    named = [replace(tables, terms=replace(tables.terms, symbol=f"S{i:03}USDT")) for i in range(num_symbols)]
    return observe_market(build_market(named, INTERVAL), account_config().schema)
