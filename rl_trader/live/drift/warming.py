"""The comparison's kernels, compiled before anything is traded: a compilation would hold up the trader for a minute."""

import numpy as np

from rl_trader.bars import FUNDING_DTYPE
from rl_trader.features import compute, resolve_features
from rl_trader.fills import market_price
from rl_trader.kernels import records
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.policy.observer import plain_bars
from rl_trader.market import MarketData, Segment
from rl_trader.observed_market import ObservedMarket
from rl_trader.one_account import OneAccount
from rl_trader.state import Costs
from rl_trader.trading import kernel_settings, kernel_terms


def warm_up(deployment: Deployment) -> None:
    """Play one bar of a market that never was, with all that a comparison calls."""
    trading, schema = deployment.trading, deployment.schema
    bars = plain_bars(deployment.num_bars + 1, deployment.interval_ms)
    bars["close"] = bars["open"] = float(deployment.terms.tick_size) * 1_000_000
    features = resolve_features(schema.features)
    compute(bars, features, {})
    market = MarketData(
        interval=deployment.interval,
        bars=bars,
        fundings=np.empty(0, FUNDING_DTYPE),
        segments=(Segment(0, 0, len(bars)),),
        signals={},
        terms=(deployment.terms,),
        assumptions=(),
    )
    rows = np.zeros((len(bars), len(features)), np.float32)
    observed = ObservedMarket(market, schema, deployment.checkpoint.scaling, rows)
    simulated = OneAccount(observed, trading, deployment.checkpoint.policy)
    simulated.go_on_from(simulated.account, simulated.row, 0)
    simulated.play(np.zeros(1))
    table, _ = kernel_terms([deployment.terms], trading)
    market_price(1.0, 1.0, 1.0, Costs(0.0, 0.0, 1.0), records(kernel_settings(trading))[0], records(table)[0])
