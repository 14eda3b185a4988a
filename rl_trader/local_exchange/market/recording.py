"""Recordings: the bars, settlements and contract of a symbol, as the exchange replays them.

Bars come out of :func:`rl_trader.market.build_market`, so that mark prices are aligned as in training; a float is the
shortest decimal number that is printed for it. What training does not read of the klines (quote volume, number of
trades, the volume's last digits) is kept beside them, for the answers about the past.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MARK_OHLC, MS_PER_HOUR, OHLC
from rl_trader.config import Assumptions
from rl_trader.contract import load_terms
from rl_trader.contract_terms import ContractTerms
from rl_trader.embedded import INTERVAL, embedded_market, embedded_terms
from rl_trader.errors import DataError
from rl_trader.klines import describe_hole, find_segments, infer_step, interval_ms, utc
from rl_trader.local_exchange.books.inputs import BookBar, Settlement
from rl_trader.local_exchange.market.listing import Listing, find_listing
from rl_trader.local_exchange.wire import places
from rl_trader.market import MarketData, Period, SymbolTables, build_market
from rl_trader.store import DataStore

_MOST_UNITS: Final = 4e18  # that are counted in 64 bits, with room for what is recorded above the highest price
_EXTRAS: Final = ("quote_volume", "trades", "taker_buy_volume")


def decimal(value: float) -> Decimal:
    """Return the shortest decimal number that a float is printed as."""
    return Decimal(repr(float(value)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """What is recorded of one symbol; bars are of one interval and may have holes between them."""

    contract: ContractTerms
    interval: str
    bars: NDArray[np.void]  # (num_bars,) of BAR_DTYPE
    volume: NDArray[np.float64]  # (num_bars,) base asset, with all digits
    extras: Mapping[str, NDArray[np.float64]]  # quote_volume, trades, taker_buy_volume where recorded; NaN where not
    fundings: NDArray[np.void]  # (num_settlements,) of FUNDING_DTYPE, those that are paid in a bar
    listing: Listing  # the exchange's own answers about the symbol, as far as there are any

    @property
    def symbol(self) -> str:
        """Which."""
        return self.contract.symbol

    @cached_property
    def interval_ms(self) -> int:
        """Length of a bar in milliseconds."""
        return interval_ms(self.interval)

    @cached_property
    def open_time(self) -> NDArray[np.int64]:
        """Open times (num_bars,) in ms UTC, ascending."""
        return np.ascontiguousarray(self.bars["open_time"])

    @cached_property
    def stretches(self) -> list[tuple[int, int]]:
        """Gap-free stretches of bars as half-open ranges of rows."""
        return find_segments(self.open_time, self.interval_ms)

    @cached_property
    def price_digits(self) -> int:
        """Decimals that prices differ in: those of the tick, or more where the recording is finer than it is today."""
        finest = min(infer_step(self.bars[column]) for column in OHLC)
        return max(places(self.contract.tick_size.normalize()), places(finest))

    @cached_property
    def price_places(self) -> int:
        """Decimals that prices are written with."""
        return max(places(self.contract.tick_size), self.price_digits)

    @cached_property
    def amount_places(self) -> int:
        """Decimals of amounts: those of the step, or more where recorded volumes are finer."""
        return max(places(self.contract.limit_step_size), places(infer_step(self.volume)))

    @cached_property
    def quote_places(self) -> int:
        """Decimals of quote volumes: those of price and amount together, or what 64 bits can count."""
        most = float(np.sum(self.volume * self.bars["high"])) + 1.0
        return max(min(self.price_places + self.amount_places, int(math.log10(_MOST_UNITS / most))), 0)

    @property
    def end_ms(self) -> int:
        """When the last bar ends."""
        return int(self.open_time[-1]) + self.interval_ms

    def bar(self, row: int) -> BookBar:
        """Return one bar in decimals."""
        bar = self.bars[row]
        prices = {name: decimal(bar[name]) for name in (*OHLC, *MARK_OHLC)}
        return BookBar(open_time=int(bar["open_time"]), volume=decimal(bar["volume"]), **prices)

    def settlements(self, row: int) -> list[Settlement]:
        """Return the settlements that are due in a bar, from its opening instant on."""
        opens = int(self.open_time[row])
        begin, end = np.searchsorted(self.fundings["funding_time"], (opens, opens + self.interval_ms))
        return [self.settlement(number) for number in range(begin, end)]

    def settlement(self, number: int) -> Settlement:
        """Return one settlement in decimals."""
        due = self.fundings[number]
        return Settlement(
            time_ms=int(due["funding_time"]), rate=decimal(due["funding_rate"]), mark_price=decimal(due["mark_price"])
        )

    def next_funding_ms(self, after_ms: int) -> int:
        """Return when funding is settled next: the next recorded time, else the next on the contract's grid."""
        times = self.fundings["funding_time"]
        number = int(np.searchsorted(times, after_ms, side="right"))
        if number < len(times):
            return int(times[number])
        grid = self.contract.funding_interval_hours * MS_PER_HOUR
        return (after_ms // grid + 1) * grid


def record(
    market: MarketData, tables: Sequence[SymbolTables], listings: Sequence[Listing] = ()
) -> tuple[Recording, ...]:
    """Return the recordings of a market's symbols.

    Args:
        market: Built of the tables.
        tables: Of every symbol, in the market's order.
        listings: The exchange's own answers about each symbol; none where there are none.
    """
    recordings = []
    num_settled = 0
    for index, symbol in enumerate(tables):
        rows = market.rows(index)
        end_settled = int(market.bars["num_settled"][rows.stop - 1])
        recordings.append(
            Recording(
                contract=symbol.terms,
                interval=market.interval,
                bars=market.bars[rows],
                volume=symbol.klines["volume"].to_numpy(np.float64),
                extras={name: symbol.klines[name].to_numpy(np.float64) for name in _EXTRAS if name in symbol.klines},
                fundings=market.fundings[num_settled:end_settled],
                listing=listings[index] if listings else Listing(),
            )
        )
        num_settled = end_settled
    return tuple(recordings)


def record_folder(
    store: DataStore, symbols: Sequence[str], interval: str, period: Period, assumptions: Assumptions | None = None
) -> tuple[Recording, ...]:
    """Return recordings of symbols of a data folder, from the first recorded bar to the end of the played period.

    Mark price and funding must be recorded, or assumed, in the period; the bars before it are the past, which may lack
    them, and may have holes.

    Raises:
        DataError: If a symbol has no bar in the period, a table is damaged, or a series lacks in the period and no
            assumption is named.
    """
    assumed = assumptions or Assumptions()
    tables = [_cut_tables(store, symbol, interval, period) for symbol in symbols]
    times = [table.klines["open_time"].to_numpy(np.int64) for table in tables]
    since = min(int(time[0]) for time in times) if period.since is None else period.since
    for symbol, time in zip(symbols, times, strict=True):
        played = time[time >= since]
        hole = describe_hole(played, interval_ms(interval), f"{symbol} {interval}")
        if hole is not None and assumed.holes == "refuse":
            raise DataError(f"{hole}; or set assumptions.holes to split, which lets nothing trade in it")
    market = build_market(tables, interval, replace(assumed, holes="split"), since)
    return record(market, tables, [find_listing(symbol, store) for symbol in symbols])


def _cut_tables(store: DataStore, symbol: str, interval: str, period: Period) -> SymbolTables:
    klines = store.klines(symbol, interval)
    times = klines["open_time"].to_numpy(np.int64)
    if period.until is not None:
        klines = klines.iloc[: int(np.searchsorted(times, period.until))].reset_index(drop=True)
    if not len(klines) or (period.since is not None and period.since > int(klines["open_time"].iloc[-1])):
        raise DataError(
            f"{symbol} {interval} is recorded from {utc(int(times[0]))} to {utc(int(times[-1]))}, which has no bar of "
            f"the period {period}; choose another period or download more"
        )
    marks = {name: store.mark_price(symbol, name) for name in store.mark_price_intervals(symbol)}
    return SymbolTables(
        terms=load_terms(symbol, store), klines=klines, mark_prices=marks, funding=store.funding(symbol)
    )


def record_embedded(num_bars: int, seed: int) -> Recording:
    """Return the recording of the embedded market, which needs no data folder.

    Raises:
        ConfigError: If fewer than one bar or a negative seed is asked for.
    """
    tables = embedded_market(num_bars, seed)
    symbol = SymbolTables(
        terms=embedded_terms(), klines=tables.klines, mark_prices={INTERVAL: tables.mark_price}, funding=tables.funding
    )
    return record(build_market([symbol], INTERVAL), [symbol])[0]
