"""A market of one-minute bars, drawn from a seed: rough enough that stops are met, with a funding and a midnight.

The bars begin half an hour before 00:00 UTC, so that the first hour has the day's change, and a settlement at it.
Prices in USDT per unit of the base asset, times in milliseconds since 1970 UTC.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from rl_trader.bars import OHLC
from rl_trader.config import Assumptions
from rl_trader.contract import load_terms
from rl_trader.klines import MS_PER_MINUTE
from rl_trader.local_exchange.assembly import ENDPOINTS, METHODS, Assembly
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.market.recording import Recording, decimal, record
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.local_exchange.protocol.dispatch import Dispatcher
from rl_trader.local_exchange.protocol.ws_api import WsApi
from rl_trader.local_exchange.streams.hub import Hub
from rl_trader.local_exchange.venue import Venue
from rl_trader.market import SymbolTables, build_market

SYMBOL: Final = "BTCUSDT"
ACCOUNT: Final = "main"
START_MS: Final = 1_704_065_400_000  # 2023-12-31T23:30Z
BAR_MS: Final = MS_PER_MINUTE
BALANCE: Final = 10_000.0  # USDT
LEVERAGE: Final = 20  # which an account has at first
MARGIN_TYPE: Final = "CROSSED"  # likewise

_FUNDING_MS: Final = 8 * 60 * MS_PER_MINUTE
_FIRST_PRICE: Final = 50_000.0
_VOLATILITY: Final = 0.0015  # of the log price, a bar
_WICK: Final = 0.0007  # of the log price, beyond the body
_HALF_SPREAD: Final = 0.0002
_EARLIER_MS: Final = 30 * MS_PER_MINUTE


@lru_cache(maxsize=2)
def minute_recording(seed: int, num_bars: int) -> Recording:
    """Return bars with BTCUSDT's terms."""
    rng = np.random.default_rng(seed)
    closes = _FIRST_PRICE * np.exp(np.cumsum(rng.normal(0.0, _VOLATILITY, num_bars + 1)))
    opened, closed = closes[:-1].round(1), closes[1:].round(1)
    wicks = np.abs(rng.normal(0.0, _WICK, (2, num_bars)))
    prices = {
        "open": opened,
        "high": (np.maximum(opened, closed) * (1.0 + wicks[0])).round(1),
        "low": (np.minimum(opened, closed) * (1.0 - wicks[1])).round(1),
        "close": closed,
    }
    klines = pd.DataFrame({"open_time": START_MS + BAR_MS * np.arange(num_bars, dtype=np.int64)} | prices)
    marks = klines[["open_time", *OHLC]].copy()
    klines["volume"] = rng.uniform(1.0, 200.0, num_bars).round(3)
    times = np.arange(START_MS + _EARLIER_MS, START_MS + BAR_MS * num_bars, _FUNDING_MS, dtype=np.int64)
    rates = rng.normal(0.0, 3e-4, times.size).round(8)
    tables = SymbolTables(
        terms=load_terms(SYMBOL),
        klines=klines,
        mark_prices={"1m": marks},
        funding=pd.DataFrame({"funding_time": times, "funding_rate": rates}) if times.size else None,
    )
    market = build_market([tables], "1m", Assumptions(missing_funding="zero", holes="split"))
    return record(market, [tables])[0]


def minute_exchange(seed: int, num_bars: int) -> Assembly:
    """Return an exchange in lock-step at the open of its first bar, with one account."""
    recording = minute_recording(seed, num_bars)
    zero = decimal(0.0)
    conduct = Conduct(
        half_spread=decimal(_HALF_SPREAD), sqrt_impact=zero, linear_impact=zero, slippage_scale=decimal(1.0)
    )
    exchange = Exchange([recording.contract], conduct)
    market = Market(exchange, [recording], Replay(exchange, [recording]))
    venue = Venue(exchange, market, Hub(exchange, market, str(seed)), seed=f"rehearsal {seed}")
    venue.to_next_open()
    key = venue.open_account(ACCOUNT, decimal(BALANCE))
    return Assembly(venue, Dispatcher(ENDPOINTS, venue), WsApi(METHODS, venue), (key,))
