"""The curves: one size grows, the others stay, and every point stands beside copying its observations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_config, stepper
from agents.benchmark.growth.markets import long_market, of_features, of_symbols
from agents.benchmark.measure import Contest, Figure, interleave, rate
from envs.vector_env import TradingVectorEnv
from rl_trader.config import EnvConfig
from rl_trader.observed_market import ObservedMarket

NUM_ACCOUNTS: Final = 1_024
BYTES_PER_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A size and what was measured there."""

    size: int
    steps: Figure  # steps/s
    copy: Figure  # observations/s that copying alone reaches, in the same run
    mib: float  # of the market's bars and features

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        figures = {name: getattr(self, name) for name in ("steps", "copy")}
        spans = {
            name: {"median": figure.median, "min": figure.minimum, "max": figure.maximum}
            for name, figure in figures.items()
        }
        return {"size": self.size, **spans, "mib": self.mib}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What is stepped at one size."""

    market: ObservedMarket
    config: EnvConfig
    num_accounts: int = NUM_ACCOUNTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One size grows."""

    name: str
    about: str  # what stays
    sizes: tuple[int, ...]
    stage: Callable[[int, Effort], Stage]
    num_threads: int = 1


def _accounts(size: int, effort: Effort) -> Stage:
    return Stage(market=long_market(effort.num_bars), config=account_config(), num_accounts=size)


def _bars(size: int, _effort: Effort) -> Stage:
    return Stage(market=long_market(size), config=account_config())


def _features(size: int, effort: Effort) -> Stage:
    config = of_features(size)
    return Stage(market=long_market(effort.num_bars, config.features), config=config)


def _window(size: int, effort: Effort) -> Stage:
    config = account_config(size)
    market = long_market(effort.num_bars)
    return Stage(market=replace(market, schema=config.schema), config=config)


def _symbols(size: int, _effort: Effort) -> Stage:
    return Stage(market=of_symbols(size), config=account_config())


_POWERS_OF_FOUR: Final = tuple(4**i for i in range(9))

CURVES: Final = (
    Curve(name="accounts", about="one thread", sizes=_POWERS_OF_FOUR, stage=_accounts),
    Curve(name="accounts, 2 threads", about="two threads", sizes=_POWERS_OF_FOUR[1:], stage=_accounts, num_threads=2),
    Curve(name="bars", about="1,024 accounts", sizes=(10**4, 10**5, 10**6, 10**7), stage=_bars),
    Curve(name="features", about="1,024 accounts", sizes=(8, 16, 24, 32, 64, 128, 256), stage=_features),
    Curve(name="window", about="1,024 accounts, 24 features", sizes=(1, 2, 4, 8, 16, 32, 64, 128, 256), stage=_window),
    Curve(name="symbols", about="1,024 accounts, 10,000 bars each", sizes=(1, 3, 10, 30, 100), stage=_symbols),
)


def measure(curve: Curve, effort: Effort, largest: int) -> Iterator[Point]:
    """Measure the points of a curve, but for sizes above ``largest``."""
    for size in curve.sizes:
        if size <= largest:
            yield _point(curve, size, effort)


def _point(curve: Curve, size: int, effort: Effort) -> Point:
    stage = curve.stage(size, effort)
    market = stage.market
    env = TradingVectorEnv(stage.num_accounts, market, stage.config, num_threads=curve.num_threads, copy=False)
    env.reset(seed=0)
    source, target = (env.core.simulator.new_observations().array for _ in range(2))
    steps, copy = interleave(
        Contest(
            subject=rate(stepper(env), stage.num_accounts, effort.seconds),
            reference=rate(lambda: np.copyto(target, source), stage.num_accounts, effort.seconds),
            reference_name="copying the observations alone",
            config="",
        ),
        effort.repeats,
    )
    num_bytes = market.rows.nbytes + market.market.bars.nbytes
    return Point(size=size, steps=steps, copy=copy, mib=num_bytes / BYTES_PER_MIB)
