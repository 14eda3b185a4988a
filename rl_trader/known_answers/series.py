"""Bars of a known-answer market: from returns, signal and funding rates to the tables of the data store.

A market is a number of stretches of equal length with a hole after each, since prices that wander for a million bars
would leave every tick size behind; each begins at the same price with a state of its own. Every bar opens at the close
before it, high and low are the larger and the smaller of the two, the mark price is the last price. Funding is due
every 8 bars of a quarter of an hour, so that millions of bars are not too many years.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_HOUR
from rl_trader.brackets import bracket_ladder
from rl_trader.config import Assumptions
from rl_trader.contract import ContractTerms, bnb_discount
from rl_trader.klines import interval_ms
from rl_trader.market import SIGNAL_PREFIX, MarketData, SymbolTables, build_market

Floats = NDArray[np.float64]

INTERVAL: Final = "15m"
BAR_MS: Final = interval_ms(INTERVAL)
FUNDING_BARS: Final = 8
FUNDING_HOURS: Final = FUNDING_BARS * BAR_MS // MS_PER_HOUR
HOLE_BARS: Final = FUNDING_BARS  # after every stretch
START_MS: Final = 1_577_836_800_000  # 2020-01-01T00:00Z
FIRST_PRICE: Final = 1_000.0  # USDT
TICK: Final = Decimal("0.000001")
STEP: Final = Decimal("0.000001")
LEVERAGE: Final = 25
SIGNAL: Final = "state"
SIGNAL_FEATURE: Final = f"signal:{SIGNAL}"


class Path(NamedTuple):
    """One stretch of a market, bar by bar."""

    price_return: Floats  # (num_bars,) simple return over the bar
    mean_return: Floats  # (num_bars,) its expectation at the close before
    state: Floats  # (num_bars,) at the bar's close, a value of the chain's grid or between two
    signal: Floats  # (num_bars,) what is shown of it
    funding_rate: Floats  # (num_bars,) settled at the bar's open; 0 but in every eighth


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """The bars of a known-answer market, and what stands behind them."""

    market: MarketData
    state: Floats  # (num_bars,) of the chain, at every bar's close
    surprise: Floats  # (num_bars,) simple return less its expectation at the close before


def known_terms(symbol: str, taker_fee: float) -> ContractTerms:
    """Return the contract terms of a known-answer market: one bracket, and filters too fine to matter."""
    most = Decimal(10**12)
    return ContractTerms(
        symbol=symbol,
        tick_size=TICK,
        min_price=TICK,
        max_price=most,
        step_size=STEP,
        min_quantity=STEP,
        max_quantity=most,
        limit_step_size=STEP,
        limit_min_quantity=STEP,
        limit_max_quantity=most,
        min_notional=1e-3,
        taker_fee=taker_fee,
        maker_fee=taker_fee,
        bnb_discount=bnb_discount(),
        liquidation_fee=0.0125,
        funding_interval_hours=FUNDING_HOURS,
        funding_cap=0.02,
        funding_floor=-0.02,
        multiplier_up=1.2,
        multiplier_down=0.8,
        trigger_protect=0.2,
        market_take_bound=0.2,
        brackets=bracket_ladder(((Decimal(10**15), Decimal("0.005"), LEVERAGE),)),
        read_on="2020-01-01",
        brackets_read_on="2020-01-01",
        inferred=(),
    )


def build_series(terms: ContractTerms, paths: list[Path], quote_volume: float) -> KnownSeries:
    """Return the bars of stretches, in the order of time.

    Args:
        terms: Of the market.
        paths: Of one number of bars, a multiple of ``FUNDING_BARS``.
        quote_volume: USDT that trade in a bar at its opening price.
    """
    tables = [_klines(path, number, quote_volume) for number, path in enumerate(paths)]
    klines = pd.concat([table for table, _ in tables], ignore_index=True)
    prices = klines[["open_time", "open", "high", "low", "close"]]
    funding = pd.concat([table for _, table in tables], ignore_index=True)
    symbol = SymbolTables(terms=terms, klines=klines, mark_prices={INTERVAL: prices}, funding=funding)
    market = build_market([symbol], INTERVAL, Assumptions(holes="split"))
    mean = np.concatenate([path.mean_return for path in paths])
    realised = klines["close"].to_numpy() / klines["open"].to_numpy() - 1.0
    return KnownSeries(market, np.concatenate([path.state for path in paths]), realised - mean)


def _klines(path: Path, number: int, quote_volume: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    num_bars = path.price_return.size
    exact = FIRST_PRICE * np.exp(np.concatenate([[0.0], np.cumsum(np.log1p(path.price_return))]))
    price = np.maximum(np.rint(exact / float(TICK)), 1.0) / float(1 / TICK)
    opens, closes = price[:-1], price[1:]
    open_time = START_MS + BAR_MS * ((num_bars + HOLE_BARS) * number + np.arange(num_bars, dtype=np.int64))
    klines = pd.DataFrame(
        {
            "open_time": open_time,
            "open": opens,
            "high": np.maximum(opens, closes),
            "low": np.minimum(opens, closes),
            "close": closes,
            "volume": quote_volume / opens,
            f"{SIGNAL_PREFIX}{SIGNAL}": path.signal,
        }
    )
    is_due = slice(None, None, FUNDING_BARS)
    funding = pd.DataFrame(
        {
            "funding_time": open_time[is_due],
            "funding_rate": path.funding_rate[is_due],
            "funding_interval_hours": float(FUNDING_HOURS),
            "mark_price": opens[is_due],
        }
    )
    return klines, funding
