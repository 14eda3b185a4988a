"""A rule's fast back-test: its balances are those of the back-test that notes every bar, to the bit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.benchmark.market import synthetic_tables
from rl_trader.backtest import backtest_targets
from rl_trader.config import Assumptions, EnvConfig
from rl_trader.market import Period, SymbolTables, build_market
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.rule_backtest import backtest_rule
from rl_trader.state import EVENT_NAMES, FILLED, LIQUIDATED, STOPPED, TOOK_PROFIT

INTERVAL = "30m"
NUM_BARS = 6_000
NUM_LEFT = NUM_BARS - 10
ONE_FEATURE = replace(EnvConfig(), features=EnvConfig().features[:1])


def _with_hole(tables: SymbolTables) -> SymbolTables:
    # Bars 3010 to 3019: settlements are due at multiples of 16, as bar 3008 and bar 3024.
    return replace(tables, klines=tables.klines.drop(index=range(3_010, 3_020)).reset_index(drop=True))


@pytest.fixture(scope="module")
def observed() -> ObservedMarket:
    tables = _with_hole(synthetic_tables(NUM_BARS, INTERVAL, INTERVAL))
    market = build_market([tables], INTERVAL, Assumptions(holes="split"))
    assert len(market.segments) == 2
    return observe_market(market, ONE_FEATURE.schema)


def _targets(seed: int) -> Any:
    """Return targets that stay for some bars, as those of a rule do."""
    rng = np.random.default_rng(seed)
    moves = rng.random(NUM_LEFT) < 0.05
    drawn = rng.choice([-1.0, -0.5, 0.0, 0.3, 1.0], NUM_LEFT)
    return drawn[np.maximum.accumulate(np.where(moves, np.arange(NUM_LEFT), 0))]


ACCOUNTS: dict[str, dict[str, Any]] = {
    "the default": {},
    "no stop": {"stop_loss": None},
    "much leverage": {"stop_loss": None, "leverage": 50, "max_exposure": 30.0},
    "cross margin": {"stop_loss": None, "leverage": 50, "max_exposure": 30.0, "margin_mode": "cross"},
    "take-profit": {"take_profit": 0.01},
    "no band": {"rebalance_band": 0.0},
    "limit orders": {"limit_distance": 0.0005},
    "stops on the last price": {"stop_trigger": "last", "stop_loss": 0.01},
}


@pytest.mark.parametrize("name", ACCOUNTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_balances_are_those_of_the_back_test_to_the_bit(observed: ObservedMarket, name: str, seed: int) -> None:
    trading = replace(EnvConfig().trading, **ACCOUNTS[name])
    targets = _targets(seed)
    (wanted,) = backtest_targets({"rule": targets}, observed, trading, Period())["rule"]
    found = backtest_rule(targets, observed, trading, Period())
    np.testing.assert_array_equal(found.margin_balance, wanted.margin_balance)
    for flow in ("fees", "slippage", "funding", "liquidation", "traded_notional"):
        assert getattr(found, flow) == pytest.approx(wanted.outcomes[flow].sum(), rel=1e-9, abs=1e-6)
    assert found.has_ended == wanted.outcomes["terminated"].any()


def test_the_accounts_above_meet_fills_stops_profits_and_liquidations(observed: ObservedMarket) -> None:
    met = 0
    for changes in ACCOUNTS.values():
        trading = replace(EnvConfig().trading, **changes)
        (result,) = backtest_targets({"rule": _targets(0)}, observed, trading, Period())["rule"]
        met |= int(np.bitwise_or.reduce(result.outcomes["events"]))
    wanted = FILLED | STOPPED | TOOK_PROFIT | LIQUIDATED
    assert met & wanted == wanted, [EVENT_NAMES[bit] for bit in EVENT_NAMES if met & bit]
