"""Back-test results written by hand, for tests of what is computed from them."""

from collections.abc import Sequence

import numpy as np

from rl_trader.backtest import BacktestResult
from rl_trader.bars import MS_PER_DAY, MS_PER_HOUR
from rl_trader.state import OUTCOME_DTYPE

BAR_MS = 12 * MS_PER_HOUR


def hand_made_result(
    balances: Sequence[float],
    exposures: Sequence[float] | None = None,
    *,
    initial_balance: float = 1_000.0,
    first_open: int = 10 * MS_PER_DAY,
    symbol: str = "BTCUSDT",
) -> BacktestResult:
    """Return a result of 12-hour bars whose balance changes come from prices alone."""
    outcomes = np.zeros(len(balances), OUTCOME_DTYPE)
    outcomes["margin_balance"] = balances
    outcomes["margin_balance_before"] = [initial_balance, *balances[:-1]]
    outcomes["price_pnl"] = outcomes["margin_balance"] - outcomes["margin_balance_before"]
    if exposures is not None:
        outcomes["exposure"] = exposures
    return BacktestResult(
        name="by hand",
        symbol=symbol,
        interval_ms=BAR_MS,
        initial_balance=initial_balance,
        close_time=first_open + BAR_MS * np.arange(1, len(balances) + 1),
        outcomes=outcomes,
        targets=np.zeros(len(balances)),
    )
