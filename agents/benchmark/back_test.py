"""Bars per second of a rule's back-test: a crossing of two moving averages, on one account with all its rules."""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_config, config_hash
from agents.benchmark.market import synthetic_tables
from agents.benchmark.measure import Run, rate
from rl_trader.baselines import Crossover
from rl_trader.config import EnvConfig, Slippage
from rl_trader.market import Period, build_market
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.rule_backtest import backtest_rule

FAST_BARS: Final = 20
SLOW_BARS: Final = 100
FEE: Final = 1e-5  # so low that an account lives through a million bars of a random walk; the peers have the same
INTERVAL: Final = "1m"


def rule_config() -> EnvConfig:
    """Return the measured account without slippage and with one feature, since a rule sees bars alone."""
    default = account_config()
    return replace(
        default, features=default.features[:1], trading=replace(default.trading, slippage=Slippage(half_spread=0.0))
    )


@lru_cache(maxsize=1)
def rule_market(num_bars: int) -> ObservedMarket:
    """Return bars of a minute."""
    tables = synthetic_tables(num_bars, INTERVAL, INTERVAL)
    tables = replace(tables, terms=replace(tables.terms, taker_fee=FEE, maker_fee=FEE))
    return observe_market(build_market([tables], INTERVAL), rule_config().schema)


def rule_hash() -> str:
    """Return the hash of the account."""
    return config_hash(rule_config(), rule_market(2_000).market.terms)


def rule(effort: Effort) -> Run:
    """Return bars of averages, decisions and the account over the whole recording."""
    observed, trading = rule_market(effort.num_back_tested), rule_config().trading
    crossing = Crossover(FAST_BARS, SLOW_BARS)
    return rate(
        lambda: backtest_rule(crossing.targets(observed.market), observed, trading, Period()),
        effort.num_back_tested,
        effort.seconds,
    )


def decided(effort: Effort) -> Run:
    """Return bars of the account over the whole recording, with the decisions given."""
    observed, trading = rule_market(effort.num_back_tested), rule_config().trading
    targets = Crossover(FAST_BARS, SLOW_BARS).targets(observed.market)
    return rate(lambda: backtest_rule(targets, observed, trading, Period()), effort.num_back_tested, effort.seconds)
