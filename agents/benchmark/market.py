"""A synthetic market that needs no data: a seeded random walk with the shipped terms of BTCUSDT."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_HOUR, OHLC
from rl_trader.contract import ContractTerms, load_terms
from rl_trader.klines import interval_ms, parse_date, resample
from rl_trader.market import SymbolTables

SYMBOL = "BTCUSDT"
SINCE = "2020-01-01"
SEED = 0
FIRST_PRICE = 20_000.0  # USDT
HOURLY_VOLATILITY = 0.006
HOURLY_VOLUME = 5_000.0  # BTC
TRADES_PER_UNIT = 20.0
TAKER_SHARE = (0.4, 0.6)  # of the volume
MEAN_RATE = 1e-4  # funding, and its standard deviation
PREMIUM = 1e-4  # standard deviation of mark over last, less 1


def synthetic_tables(num_bars: int, interval: str, mark_interval: str) -> SymbolTables:
    """Return klines, mark prices and funding of ``num_bars`` bars without a hole.

    Args:
        num_bars: Number of klines.
        interval: Of the klines.
        mark_interval: Of the mark prices, the same or a multiple of it.
    """
    rng = np.random.default_rng(SEED)
    terms = load_terms(SYMBOL, None)
    klines = _klines(rng, num_bars, interval, terms)
    marks = _marks(rng, resample(klines, interval, mark_interval))
    return SymbolTables(
        terms=terms, klines=klines, mark_prices={mark_interval: marks}, funding=_funding(rng, klines, interval, terms)
    )


def _klines(rng: np.random.Generator, num_bars: int, interval: str, terms: ContractTerms) -> pd.DataFrame:
    hours = interval_ms(interval) / MS_PER_HOUR
    sigma = HOURLY_VOLATILITY * np.sqrt(hours)
    close = FIRST_PRICE * np.exp(np.cumsum(rng.normal(0.0, sigma, num_bars)))
    opened = np.concatenate([[FIRST_PRICE], close[:-1]])
    high = np.maximum(opened, close) * (1.0 + np.abs(rng.normal(0.0, sigma / 2.0, num_bars)))
    low = np.minimum(opened, close) / (1.0 + np.abs(rng.normal(0.0, sigma / 2.0, num_bars)))
    volume = HOURLY_VOLUME * hours * rng.lognormal(0.0, 1.0, num_bars)
    tick = float(terms.tick_size)
    prices = {
        name: np.maximum(np.rint(price / tick), 1.0) * tick
        for name, price in zip(OHLC, (opened, high, low, close), strict=True)
    }
    return pd.DataFrame(
        {
            "open_time": parse_date(SINCE) + interval_ms(interval) * np.arange(num_bars, dtype=np.int64),
            **prices,
            "volume": volume,
            "quote_volume": volume * close,
            "trades": np.rint(volume * TRADES_PER_UNIT),
            "taker_buy_volume": volume * rng.uniform(*TAKER_SHARE, num_bars),
        },
        copy=False,
    )


def _marks(rng: np.random.Generator, candles: pd.DataFrame) -> pd.DataFrame:
    factor = 1.0 + rng.normal(0.0, PREMIUM, len(candles))
    prices: dict[str, NDArray[np.float64]] = {name: candles[name].to_numpy() * factor for name in OHLC}
    return pd.DataFrame({"open_time": candles["open_time"].to_numpy(), **prices}, copy=False)


def _funding(rng: np.random.Generator, klines: pd.DataFrame, interval: str, terms: ContractTerms) -> pd.DataFrame:
    step = terms.funding_interval_hours * MS_PER_HOUR
    first, last = int(klines["open_time"].iloc[0]), int(klines["open_time"].iloc[-1]) + interval_ms(interval)
    times = np.arange(first, last, step, dtype=np.int64)
    return pd.DataFrame({"funding_time": times, "funding_rate": rng.normal(MEAN_RATE, MEAN_RATE, len(times))})
