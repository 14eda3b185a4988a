"""From a run's configuration to its market data."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np

from agents.config import EMBEDDED, MarketConfig
from envs.embedded import embedded_market_data
from rl_trader.bars import MS_PER_DAY
from rl_trader.baselines import LONGEST_WARMUP
from rl_trader.contract import load_terms
from rl_trader.embedded import INTERVAL
from rl_trader.errors import ConfigError
from rl_trader.klines import can_resample, interval_ms, parse_date, utc
from rl_trader.known_answers import series as known_answers
from rl_trader.known_answers.rows import ROWS
from rl_trader.known_answers.series import KnownSeries
from rl_trader.market import MarketData, Period, SymbolTables, build_market
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import schema_warmup
from rl_trader.store import DataStore

EMBEDDED_BARS = 96_384  # 2020-01-01 to 2025-07-01 in bars of 30 minutes
EMBEDDED_SEED = 0
KNOWN_SEED = 0  # of the bars that known-answer policies are trained on
OTHER_FUNDING: Final[Mapping[str, Literal["zero", "base"]]] = {"zero": "base", "base": "zero"}
UNUSED_COLUMNS = ("quote_volume", "trades")  # of the klines: nothing reads them, and they are long


@dataclass(frozen=True, slots=True)
class Recording:
    """The bars of one or several runs, and what they were made of."""

    market: MarketData
    series: dict[str, dict[str, object]]  # as recorded_series returns it
    files: dict[str, str]  # as data_files returns it


def data_folder(folder: Path | None) -> Path:
    """Return the folder of market data: the given one, ``$RL_TRADER_DATA``, or ``data``."""
    return folder or Path(os.environ.get("RL_TRADER_DATA") or "data")


def parse_period(dates: tuple[str, str]) -> Period:
    """Return the period of two dates.

    Raises:
        ConfigError: If a date cannot be read or the second is not later.
    """
    since, until = parse_date(dates[0]), parse_date(dates[1])
    if since >= until:
        raise ConfigError(f"a period must end after its first day, found {dates[0]} to {dates[1]}; swap or change them")
    return Period(since, until)


def load_market(config: MarketConfig, schema: ObservationSchema, folder: Path | None) -> MarketData:
    """Return the bars of a run, from the warm-up before its first period to the end of its last.

    Raises:
        DataError: If data are missing or damaged.
        ConfigError: If symbol, interval or period cannot be used.
    """
    if config.is_generated:
        return _generated(config)
    store = DataStore.open(data_folder(folder))
    periods = [parse_period(dates) for dates in (config.train, config.validation, config.test)]
    # Enough for the baselines too, so that they do not depend on the agent's features.
    warmup_ms = (max(schema_warmup(schema), LONGEST_WARMUP) + 1) * interval_ms(config.interval)
    played_from = min(period.since for period in periods if period.since is not None)
    # From midnight on, so that a coarse mark price that is quoted then has a bar to be compared with.
    first = (played_from - warmup_ms) // MS_PER_DAY * MS_PER_DAY
    last = max(period.until for period in periods if period.until is not None)
    tables = [_symbol_tables(store, symbol, config.interval, first, last) for symbol in config.symbols]
    for table in tables:
        _check_covered(table, config, played_from, last)
    return build_market(tables, config.interval, config.assumptions, played_from)


def under_other_funding(config: MarketConfig, market: MarketData) -> MarketConfig | None:
    """Return a configuration with the other assumption on funding; None where its market assumes none."""
    other = OTHER_FUNDING.get(config.assumptions.missing_funding)
    if other is None or not any("funding is not recorded" in note for note in market.assumptions):
        return None
    return replace(config, assumptions=replace(config.assumptions, missing_funding=other))


def load_recording(config: MarketConfig, schema: ObservationSchema, folder: Path | None) -> Recording:
    """Return the bars of runs, and what a run folder says of where they come from.

    Raises:
        RlTraderError: As ``load_market``.
    """
    market = load_market(config, schema, folder)
    return Recording(market, recorded_series(config, market, folder), data_files(config, folder))


def _generated(config: MarketConfig) -> MarketData:
    symbol = config.symbols[0]
    wanted = INTERVAL if symbol == EMBEDDED else known_answers.INTERVAL
    if config.interval != wanted:
        raise ConfigError(f"the market {symbol} has bars of {wanted}, asked for {config.interval!r}; leave it")
    if symbol == EMBEDDED:
        return embedded_market_data(EMBEDDED_BARS, EMBEDDED_SEED)
    if symbol not in ROWS:
        raise ConfigError(f"there is no known-answer market {symbol}; choose from {', '.join(ROWS)}")
    last = parse_period(config.test).until
    assert last is not None
    return known_market(symbol, (last - known_answers.START_MS) // known_answers.BAR_MS, KNOWN_SEED).market


@lru_cache(maxsize=2)
def known_market(row: str, num_bars: int, seed: int) -> KnownSeries:
    """Return the bars of a row of the known-answer markets, at least so many."""
    return ROWS[row].series(num_bars, seed, row)


def _symbol_tables(store: DataStore, symbol: str, interval: str, first: int, last: int) -> SymbolTables:
    klines = store.klines(symbol, interval).drop(columns=list(UNUSED_COLUMNS), errors="ignore")
    row, end_row = np.searchsorted(klines["open_time"].to_numpy(), (first, last))
    if row == end_row:
        begin, end = (utc(int(klines["open_time"].iloc[i])) for i in (0, -1))
        raise ConfigError(
            f"the periods lie outside the data: {symbol} {interval} is recorded from {begin} to {end}, asked for was"
            f" {utc(first)} to {utc(last)} with the warm-up; choose other periods or run scripts.download"
        )
    marks = {mark: store.mark_price(symbol, mark) for mark in store.mark_price_intervals(symbol)}
    return SymbolTables(
        terms=load_terms(symbol, store),
        klines=klines.iloc[row:end_row].reset_index(drop=True),
        mark_prices=marks,
        funding=store.funding(symbol),
    )


def _check_covered(table: SymbolTables, config: MarketConfig, first: int, last: int) -> None:
    """Refuse periods that reach outside of the recording."""
    times = table.klines["open_time"]
    begin, end = (int(times.iloc[0]), int(times.iloc[-1]) + interval_ms(config.interval)) if len(times) else (0, 0)
    if not begin <= first < last <= end:
        recorded = f"is recorded from {utc(begin)} to {utc(end)}" if len(times) else "has no bar"
        raise ConfigError(
            f"the periods go from {utc(first)} to {utc(last)}, and {table.terms.symbol} {config.interval} {recorded} in"
            " that time; choose periods inside the recording, or download more"
        )


def recorded_series(config: MarketConfig, market: MarketData, folder: Path | None) -> dict[str, dict[str, object]]:
    """Return which series the observations of every symbol were made of, for the manifest of a checkpoint.

    Deployment must show a policy what it was trained on: ``mark_price``, the intervals of its candles, and
    ``taker_buy_volume``, whether the klines have it.
    """
    store = None if config.is_generated else DataStore.open(data_folder(folder))
    has_taker_buys = ~np.isnan(market.bars["taker_buy_volume"])
    return {
        symbol: {
            "mark_price": [market.interval] if store is None else store.mark_price_intervals(symbol),
            "taker_buy_volume": bool(has_taker_buys[market.rows(row)].any()),
        }
        for row, symbol in enumerate(market.symbols)
    }


def data_files(config: MarketConfig, folder: Path | None) -> dict[str, str]:
    """Return the SHA-256 of every file that a run reads, by its path below the data folder."""
    if config.is_generated:
        return {}
    store = DataStore.open(data_folder(folder))
    root = store.root
    files = []
    for symbol in config.symbols:
        # Bars of another interval are made from the coarsest one that divides it.
        made_of = [name for name in store.intervals(symbol) if can_resample(name, config.interval)][-1:]
        folders = (*(f"klines_{name}" for name in made_of), "mark_price_", "funding_rate", "contracts")
        files += [path for path in sorted(root.glob(f"*/{symbol}.*")) if path.parent.name.startswith(folders)]
    return {str(path.relative_to(root)): store.sha256(path) for path in files}
