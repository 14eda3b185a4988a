"""The embedded market: seeded klines, mark prices and funding whose best policy is known, and that policy.

The logarithm of the price over an anchor is autoregressive, ``x' = PHI * x + SIGMA * noise``: the price
returns to the anchor, slowly against the fee. All that can be known is in the close, so the feature
:data:`STATE_FEATURE`, computed from the market's own prices, carries the whole state, and a policy trained
here deploys like any other. Every bar opens at the close before it, the mark price is the last price, and
funding is unpredictable with mean 0.

The optimum is the mean log growth of the margin balance per bar for target exposures -1, 0 and 1, from
:mod:`rl_trader.optimum`. It leaves out the rounding to ticks and steps, the stop, and funding.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rl_trader.bars import MS_PER_HOUR
from rl_trader.brackets import bracket_ladder
from rl_trader.chains import autoregress, autoregressive_chain, log_price_return
from rl_trader.config import EMBEDDED_ENV
from rl_trader.contract import ContractTerms, bnb_discount
from rl_trader.errors import ConfigError
from rl_trader.optimum import DecisionProblem, Optimum, solve
from rl_trader.position_rules import position_rules

SYMBOL: Final = "EMBEDDED"
INTERVAL: Final = "30m"
INTERVAL_MS: Final = MS_PER_HOUR // 2
START_MS: Final = 1_577_836_800_000  # 2020-01-01T00:00Z
FUNDING_INTERVAL_HOURS: Final = 8

ANCHOR: Final = 1000.0  # USDT
PHI: Final = 0.95  # of the log price, a bar
SIGMA: Final = 0.01  # of the log price, a bar
TAKER_FEE: Final = 2e-3
WICK: Final = 1e-3  # standard deviation of the half-normal reach of high and low beyond the body, log price
FUNDING_RATE_SD: Final = 1e-5
MEDIAN_VOLUME: Final = 100.0  # base asset
VOLUME_SD: Final = 0.5  # of the log volume
TICKS_PER_USDT: Final = 100
STATE_FEATURE: Final = f"log_close_over_{ANCHOR:g}"


@dataclass(frozen=True, slots=True)
class EmbeddedMarket:
    """The three tables of a market, in the columns and units of the data store."""

    klines: pd.DataFrame
    mark_price: pd.DataFrame
    funding: pd.DataFrame


def embedded_market(num_bars: int, seed: int) -> EmbeddedMarket:
    """Return ``num_bars`` bars from 2020-01-01 on; a longer market of one seed begins with them.

    Raises:
        ConfigError: If fewer than one bar or a negative seed is asked for.
    """
    if num_bars < 1 or seed < 0:
        raise ConfigError(
            f"the embedded market needs at least 1 bar and a seed from 0 on, found {num_bars} and {seed}; change them"
        )
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(6)]
    start = streams[0].normal(0.0, SIGMA / math.sqrt(1.0 - PHI**2))
    log_price = autoregress(start, PHI, streams[1].normal(0.0, SIGMA, num_bars))
    ticks = np.rint(ANCHOR * np.exp(log_price) * TICKS_PER_USDT)  # (num_bars + 1,)
    body_high = np.maximum(ticks[:-1], ticks[1:])
    body_low = np.minimum(ticks[:-1], ticks[1:])
    wick_up = np.abs(streams[2].normal(0.0, WICK, num_bars))
    wick_down = np.abs(streams[3].normal(0.0, WICK, num_bars))
    volume = MEDIAN_VOLUME * np.exp(streams[4].normal(0.0, VOLUME_SD, num_bars))
    prices = pd.DataFrame(
        {
            "open_time": START_MS + INTERVAL_MS * np.arange(num_bars, dtype=np.int64),
            "open": ticks[:-1] / TICKS_PER_USDT,
            "high": np.ceil(body_high * np.exp(wick_up)) / TICKS_PER_USDT,
            "low": np.floor(body_low * np.exp(-wick_down)) / TICKS_PER_USDT,
            "close": ticks[1:] / TICKS_PER_USDT,
        }
    )
    klines = prices.assign(volume=np.maximum(np.round(volume, 3), 0.001))
    return EmbeddedMarket(klines, prices, _funding(ticks / TICKS_PER_USDT, streams[5]))


def _funding(prices: NDArray[np.float64], rng: np.random.Generator) -> pd.DataFrame:
    interval_ms = FUNDING_INTERVAL_HOURS * MS_PER_HOUR
    marks = prices[:: interval_ms // INTERVAL_MS]
    return pd.DataFrame(
        {
            "funding_time": START_MS + interval_ms * np.arange(marks.size, dtype=np.int64),
            "funding_rate": np.round(rng.normal(0.0, FUNDING_RATE_SD, marks.size), 8),
            "funding_interval_hours": np.full(marks.size, float(FUNDING_INTERVAL_HOURS)),
            "mark_price": marks,
        }
    )


# Cap of the notional in USDT, maintenance margin rate, leverage. The higher caps lie far out: a balance that
# compounds at the optimum for some ten thousand bars gets there.
_LADDER: Final = (
    (Decimal(100_000), Decimal("0.01"), 20),
    (Decimal(1_000_000), Decimal("0.02"), 10),
    (Decimal(10**12), Decimal("0.05"), 5),
    (Decimal(10**13), Decimal("0.25"), 1),
)


def embedded_terms() -> ContractTerms:
    """Return the contract terms of the embedded market: its own, no exchange's."""
    tick_size, step_size, max_quantity = Decimal(1) / TICKS_PER_USDT, Decimal("0.0001"), Decimal("1000000000")
    return ContractTerms(
        symbol=SYMBOL,
        tick_size=tick_size,
        min_price=tick_size,
        max_price=Decimal("1000000000"),
        step_size=step_size,
        min_quantity=step_size,
        max_quantity=max_quantity,
        limit_step_size=step_size,
        limit_min_quantity=step_size,
        limit_max_quantity=max_quantity,
        min_notional=5.0,
        taker_fee=TAKER_FEE,
        maker_fee=TAKER_FEE,
        bnb_discount=bnb_discount(),
        liquidation_fee=0.0125,
        funding_interval_hours=FUNDING_INTERVAL_HOURS,
        funding_cap=0.02,
        funding_floor=-0.02,
        multiplier_up=1.2,
        multiplier_down=0.8,
        trigger_protect=0.2,
        market_take_bound=0.2,
        brackets=bracket_ladder(_LADDER),
        read_on="2020-01-01",
        brackets_read_on="2020-01-01",
        inferred=(),
    )


def embedded_problem(taker_fee: float = TAKER_FEE) -> DecisionProblem:
    """Return the market as a decision problem whose reward is the log growth of the margin balance."""
    chain = autoregressive_chain(PHI, SIGMA, log_price_return)
    return DecisionProblem(chain, position_rules(EMBEDDED_ENV.trading, taker_fee, "log_return"))


@lru_cache(maxsize=8)
def solve_embedded(taker_fee: float = TAKER_FEE) -> Optimum:
    """Return the best policy of the embedded market and its mean log growth per bar."""
    return solve(embedded_problem(taker_fee))


def optimal_target(close: ArrayLike, exposure: ArrayLike) -> NDArray[np.float64]:
    """Return the best target exposure (-1, 0 or 1) after a close, given the exposure held."""
    return solve_embedded().target(np.log(np.asarray(close, np.float64) / ANCHOR), exposure)
