"""Hand-made recordings for the tests of the local exchange's market."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from rl_trader.config import Assumptions
from rl_trader.contract import load_terms
from rl_trader.klines import interval_ms
from rl_trader.local_exchange.market.listing import find_listing
from rl_trader.local_exchange.market.recording import Recording, record
from rl_trader.market import SymbolTables, build_market

START = 1_704_067_200_000  # 2024-01-01T00:00Z, a Monday
MINUTE = 60_000
HOUR = 60 * MINUTE
OHLC = ("open", "high", "low", "close")


def recording(
    bars: Sequence[str],
    interval: str = "30m",
    *,
    symbol: str = "BTCUSDT",
    marks: Sequence[str] | None = None,
    fundings: Mapping[int, float] | None = None,
    extras: Mapping[str, Sequence[float]] | None = None,
    skipped: Sequence[int] = (),
) -> Recording:
    """Return the recording of bars of "open high low close volume" from START on, with BTCUSDT's terms.

    Args:
        bars: One text a bar.
        interval: Of the bars.
        symbol: Which the terms are said to be of.
        marks: "open high low close" of each bar's mark price; the last price by default.
        fundings: Rates by settlement time, ms after START; by default 0 at each of the contract's times.
        extras: More columns of the klines.
        skipped: Numbers of bar times that have no bar.
    """
    length = interval_ms(interval)
    numbers = [number for number in range(len(bars) + len(skipped)) if number not in skipped]
    times = START + length * np.array(numbers, np.int64)
    rows = np.array([[float(part) for part in bar.split()] for bar in bars])
    klines = pd.DataFrame({"open_time": times} | {name: rows[:, i] for i, name in enumerate((*OHLC, "volume"))})
    for name, column in (extras or {}).items():
        klines[name] = np.array(column, np.float64)
    mark_rows = rows if marks is None else np.array([[float(part) for part in mark.split()] for mark in marks])
    mark_table = pd.DataFrame({"open_time": times} | {name: mark_rows[:, i] for i, name in enumerate(OHLC)})
    funding = None
    if fundings is not None:
        funding = pd.DataFrame(
            {
                "funding_time": START + np.array(list(fundings), np.int64),
                "funding_rate": np.array(list(fundings.values()), np.float64),
            }
        )
    tables = SymbolTables(
        terms=replace(load_terms("BTCUSDT"), symbol=symbol),
        klines=klines,
        mark_prices={interval: mark_table},
        funding=funding,
    )
    market = build_market([tables], interval, Assumptions(missing_funding="zero", holes="split"))
    return record(market, [tables], [find_listing(symbol)])[0]


def random_bars(num_bars: int, seed: int) -> list[str]:
    """Return bars on ticks of 0.1 and steps of 0.001 around 50 000, some of which stand still or trade nothing."""
    rng = np.random.default_rng(seed)
    bars = []
    price = 500_000
    for _ in range(num_bars):
        opened, closed = price, price + int(rng.integers(-300, 301)) * int(rng.integers(0, 2))
        high = max(opened, closed) + int(rng.integers(0, 200)) * int(rng.integers(0, 2))
        low = min(opened, closed) - int(rng.integers(0, 200)) * int(rng.integers(0, 2))
        volume = int(rng.choice([0, 1, 2, 7, 1_234, 98_765_432]))
        bars.append(" ".join(f"{value / 10:.1f}" for value in (opened, high, low, closed)) + f" {volume / 1000:.3f}")
        price = closed + int(rng.integers(-5, 6))
    return bars
