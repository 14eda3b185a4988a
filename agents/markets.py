"""From a run's configuration to its market data."""

import os
from pathlib import Path

from agents.config import MarketConfig
from envs.embedded import embedded_market_data
from rl_trader.contract import load_terms
from rl_trader.klines import interval_ms, parse_date
from rl_trader.market import MarketData, Period, SymbolTables, build_market
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import schema_warmup
from rl_trader.store import DataStore

EMBEDDED_BARS = 96_432  # 2020-01-01 to 2025-07-01 in bars of 30 minutes
EMBEDDED_SEED = 0


def data_folder(folder: Path | None) -> Path:
    """Return the folder of market data: the given one, ``$RL_TRADER_DATA``, or ``data``."""
    return folder or Path(os.environ.get("RL_TRADER_DATA") or "data")


def parse_period(dates: tuple[str, str]) -> Period:
    """Return the period of two dates.

    Raises:
        ConfigError: If a date cannot be read or the second is not later.
    """
    return Period(parse_date(dates[0]), parse_date(dates[1]))


def load_market(config: MarketConfig, schema: ObservationSchema, folder: Path | None) -> MarketData:
    """Return the bars of a run, from the warm-up before its first period to the end of its last.

    Raises:
        DataError: If data are missing or damaged.
        ConfigError: If symbol, interval or period cannot be used.
    """
    if config.is_embedded:
        return embedded_market_data(EMBEDDED_BARS, EMBEDDED_SEED)
    store = DataStore.open(data_folder(folder))
    periods = [parse_period(dates) for dates in (config.train, config.validation, config.test)]
    warmup_ms = (schema_warmup(schema) + 1) * interval_ms(config.interval)
    first = min(period.since for period in periods if period.since is not None) - warmup_ms
    last = max(period.until for period in periods if period.until is not None)
    tables = [_symbol_tables(store, symbol, config.interval, first, last) for symbol in config.symbols]
    return build_market(tables, config.interval, config.assumptions)


def _symbol_tables(store: DataStore, symbol: str, interval: str, first: int, last: int) -> SymbolTables:
    klines = store.klines(symbol, interval)
    inside = (klines["open_time"] >= first) & (klines["open_time"] < last)
    marks = {mark: store.mark_price(symbol, mark) for mark in store.mark_price_intervals(symbol)}
    return SymbolTables(
        terms=load_terms(symbol, store),
        klines=klines[inside].reset_index(drop=True),
        mark_prices=marks,
        funding=store.funding(symbol),
    )


def data_files(config: MarketConfig, folder: Path | None) -> dict[str, str]:
    """Return the SHA-256 of every file that a run reads, by its path below the data folder."""
    if config.is_embedded:
        return {}
    store = DataStore.open(data_folder(folder))
    root = store.root
    names = [path for symbol in config.symbols for path in sorted(root.glob(f"*/{symbol}.*"))]
    wanted = (f"klines_{config.interval}", "mark_price_", "funding_rate", "contracts")
    files = [path for path in names if path.parent.name.startswith(wanted)]
    return {str(path.relative_to(root)): store.sha256(path) for path in files}
