"""Random contracts, conduct and bars on which both witnesses play.

Everything follows from a seed and the number of the case. Prices lie on the tick grid, marks beside them with up to
8 decimals; some bars crash, some have no volume; funding is due every 1, 4 or 8 hours and changes its interval.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import BAR_DTYPE, FUNDING_DTYPE, MARK_OHLC, MS_PER_HOUR, OHLC
from rl_trader.brackets import Bracket, bracket_ladder
from rl_trader.config import Slippage, TradingConfig
from rl_trader.contract import ContractTerms, load_terms
from rl_trader.trading import kernel_settings, kernel_terms

NUM_BARS: Final = 101  # of a case; the first one is only observed
LEVERAGES: Final = (150, 125, 100, 75, 50, 40, 25, 20, 10, 5, 4, 3, 2, 1)
MARK_DECIMALS: Final = 8
LARGEST_NOTIONAL: Final = 2e6  # USDT; doubles carry the profit of larger positions less exactly than the unit of 1e-8

Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What an account plays on."""

    terms: ContractTerms
    trading: TradingConfig
    slippage_scale: float
    settings: NDArray[np.void]  # (1,) of SETTINGS_DTYPE
    kernel_terms: NDArray[np.void]  # (1,) of TERMS_DTYPE
    brackets: NDArray[np.float64]  # (num_rows, 4)
    bars: NDArray[np.void]  # (NUM_BARS,) of BAR_DTYPE
    fundings: NDArray[np.void]  # of FUNDING_DTYPE


def draw_case(rng: Rng) -> Case:
    """Draw a contract, how an account trades it, and bars."""
    price = 10.0 ** rng.uniform(-3.0, 4.8)
    tick = Decimal(int(rng.choice([1, 1, 2, 5]))).scaleb(int(np.floor(np.log10(price))) - int(rng.integers(2, 5)))
    terms = _draw_terms(rng, price, tick)
    trading = _draw_trading(rng, terms)
    scale = float(rng.choice([1.0, round(rng.uniform(0.0, 3.0), 4)]))
    table, brackets = kernel_terms([terms], trading)
    bars, fundings = _draw_bars(rng, price, tick, trading)
    return Case(
        terms=terms,
        trading=trading,
        slippage_scale=scale,
        settings=kernel_settings(trading),
        kernel_terms=table,
        brackets=brackets,
        bars=bars,
        fundings=fundings,
    )


def _draw_terms(rng: Rng, price: float, tick: Decimal) -> ContractTerms:
    step = Decimal(1).scaleb(int(np.floor(np.log10(10.0 ** rng.uniform(-2.0, 1.0) / price))))
    taker = round(rng.uniform(0.0001, 0.002), int(rng.integers(4, 8)))
    up, down, bound = ((1.05, 0.95, 0.05), (1.15, 0.85, 0.1), (1.02, 0.98, 0.03))[rng.integers(3)]
    largest = Decimal(10**12)
    return replace(
        _shipped(),
        symbol="RANDOM",
        tick_size=tick,
        min_price=_draw_price(rng, price, tick, (0.8, 1.0)) if _happens(rng, 0.2) else tick,
        max_price=_draw_price(rng, price, tick, (1.0, 1.2)) if _happens(rng, 0.2) else largest,
        step_size=step,
        min_quantity=step,
        max_quantity=largest,
        limit_step_size=step,
        limit_min_quantity=step,
        limit_max_quantity=largest,
        min_notional=float(rng.choice([5.0, 20.0, 50.0, 100.0])),
        taker_fee=taker,
        maker_fee=round(taker * rng.uniform(0.0, 1.0), 6),
        liquidation_fee=float(rng.choice([0.0, 0.005, 0.0125, 0.02])),
        multiplier_up=up,
        multiplier_down=down,
        market_take_bound=bound,
        brackets=_draw_brackets(rng),
    )


def _draw_price(rng: Rng, price: float, tick: Decimal, shares: tuple[float, float]) -> Decimal:
    """Return a whole number of ticks near a share of the price, at least one."""
    return max(round(price * rng.uniform(*shares) / float(tick)), 1) * tick


@cache
def _shipped() -> ContractTerms:
    return load_terms("BTCUSDT")


def _draw_brackets(rng: Rng) -> tuple[Bracket, ...]:
    first = int(rng.integers(0, 8))
    leverages = LEVERAGES[first : first + int(rng.integers(1, len(LEVERAGES) - first + 1))]
    rate, cap = Decimal(0), Decimal(round(10.0 ** rng.uniform(3.0, 5.0), -2))
    steps = []
    for leverage in leverages:
        rate += Decimal(repr(round(rng.uniform(0.001, 0.4 / len(leverages)), 4)))
        steps.append((cap, rate, leverage))
        cap = Decimal(round(float(cap) * rng.uniform(1.2, 4.0), -2))
    return bracket_ladder(steps)


def _draw_trading(rng: Rng, terms: ContractTerms) -> TradingConfig:
    leverage = int(rng.integers(1, terms.max_leverage + 1))
    return TradingConfig(
        initial_balance=round(10.0 ** rng.uniform(2.0, 5.0), int(rng.choice([2, 8]))),
        margin_mode="isolated" if _happens(rng, 0.5) else "cross",
        leverage=leverage,
        max_exposure=max(round(rng.uniform(0.1, 1.0) * leverage, 3), 0.001),
        rebalance_band=round(rng.uniform(0.0, 0.3), 3),
        slippage=Slippage(
            half_spread=round(float(rng.choice([0.0, rng.uniform(0.0, 0.002)])), 6),
            sqrt_impact=round(float(rng.choice([0.0, rng.uniform(0.0, 0.02)])), 6),
            linear_impact=round(float(rng.choice([0.0, rng.uniform(0.0, 0.05)])), 6),
        ),
        limit_distance=round(rng.uniform(0.0001, 0.02), 5) if _happens(rng, 0.4) else None,
        stop_loss=round(rng.uniform(0.005, 0.3), 4) if _happens(rng, 0.6) else None,
        take_profit=round(rng.uniform(0.005, 0.3), 4) if _happens(rng, 0.4) else None,
        stop_trigger="mark" if _happens(rng, 0.5) else "last",
    )


def _happens(rng: Rng, probability: float) -> bool:
    return bool(rng.random() < probability)


def _draw_bars(
    rng: Rng, price: float, tick: Decimal, trading: TradingConfig
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    volatility = 10.0 ** rng.uniform(-3.5, -1.3)
    hours = int(rng.choice([1, 1, 1, 4, 8, 24]))
    bars = np.zeros(NUM_BARS, BAR_DTYPE)
    bars["open_time"] = np.arange(NUM_BARS) * hours * MS_PER_HOUR
    ticks = _draw_ticks(rng, price / float(tick), volatility)
    basis = 1.0 + rng.normal(0.0, float(rng.choice([0.0, 0.001, 0.01])), NUM_BARS)
    for name, mark, column in zip(OHLC, MARK_OHLC, ticks, strict=True):
        bars[name] = [float(int(n) * tick) for n in column]
        bars[mark] = np.maximum(np.round(bars[name] * basis, MARK_DECIMALS), 10.0**-MARK_DECIMALS)
    typical = trading.initial_balance * trading.leverage / price
    bars["volume"] = typical * rng.lognormal(2.0, 2.0, NUM_BARS) * (rng.random(NUM_BARS) > 0.05)  # noqa: PLR2004
    fundings = _draw_fundings(rng, bars, hours)
    ends = bars["open_time"] + hours * MS_PER_HOUR
    bars["num_settled"] = np.searchsorted(fundings["funding_time"], ends, side="left")
    return bars, fundings


def _draw_ticks(rng: Rng, price: float, volatility: float) -> list[NDArray[np.int64]]:
    """Return open, high, low and close in ticks, (NUM_BARS,) each."""
    jumps = rng.choice([1.0, 0.5, 0.8, 1.25, 2.0], NUM_BARS, p=[0.95, 0.01, 0.015, 0.015, 0.01])
    close = price * np.exp(np.cumsum(rng.normal(0.0, volatility, NUM_BARS))) * np.cumprod(jumps)
    close = np.maximum(np.rint(np.clip(close, price / 50.0, price * 50.0)), 2.0)
    start = np.concatenate([[max(np.rint(price), 2.0)], close[:-1]])
    gaps = np.where(rng.random(NUM_BARS) < 0.2, np.exp(rng.normal(0.0, volatility, NUM_BARS)), 1.0)  # noqa: PLR2004
    gaps *= rng.choice([1.0, 0.7, 1.4], NUM_BARS, p=[0.98, 0.01, 0.01])
    opens = np.maximum(np.rint(start * gaps), 2.0)
    reach = np.abs(rng.normal(0.0, volatility, (2, NUM_BARS)))
    high = np.ceil(np.maximum(opens, close) * (1.0 + reach[0]))
    low = np.maximum(np.floor(np.minimum(opens, close) * (1.0 - np.minimum(reach[1], 0.9))), 1.0)
    return [column.astype(np.int64) for column in (opens, high, low, close)]


def _draw_fundings(rng: Rng, bars: NDArray[np.void], hours: int) -> NDArray[np.void]:
    last = NUM_BARS * hours
    turn = int(rng.integers(0, last))
    first, second = rng.choice([1, 4, 8], 2)
    times = [hour for hour in range(last) if hour % (first if hour < turn else second) == 0]
    fundings = np.zeros(len(times), FUNDING_DTYPE)
    fundings["funding_time"] = np.array(times, np.int64) * MS_PER_HOUR
    fundings["funding_rate"] = np.round(rng.normal(0.0, 10.0 ** rng.uniform(-5.0, -2.0), len(times)), 8)
    near = bars["mark_open"][np.array(times) // hours] * np.exp(rng.normal(0.0, 0.001, len(times)))
    fundings["mark_price"] = np.maximum(np.round(near, MARK_DECIMALS), 10.0**-MARK_DECIMALS)
    return fundings
