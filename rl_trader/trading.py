"""Contract terms and trading configuration as the kernels read them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rl_trader.config import TradingConfig
from rl_trader.contract import ContractTerms
from rl_trader.ledger import TERMS_DTYPE


def smallest_order(terms: ContractTerms, price: float) -> float:
    """Return the notional in USDT of the smallest order that opens a position at ``price``."""
    steps = np.ceil(terms.min_notional / price / float(terms.step_size))
    return max(float(steps * float(terms.step_size)), float(terms.min_quantity)) * price


def _scale(step: float) -> float:
    decimals = 0
    while decimals < 12 and abs(step * 10**decimals - round(step * 10**decimals)) > 1e-9:  # noqa: PLR2004
        decimals += 1
    return float(10**decimals)


def kernel_terms(
    terms: Sequence[ContractTerms], trading: TradingConfig
) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """Return the terms of several symbols as the kernels read them.

    Returns:
        (num_symbols,) of ``TERMS_DTYPE`` and the brackets (num_rows, 4) of all symbols one below the other.

    Raises:
        ContractError: If a symbol does not allow the leverage.
    """
    table = np.zeros(len(terms), TERMS_DTYPE)
    rows: list[tuple[float, float, float, float]] = []
    for row, symbol in zip(table, terms, strict=True):
        symbol.check_leverage(trading.leverage)
        row["tick_size"] = float(symbol.tick_size)
        row["price_scale"] = _scale(float(symbol.tick_size))
        row["step_size"] = float(symbol.step_size)
        row["amount_scale"] = _scale(float(symbol.step_size))
        row["max_quantity"] = float(symbol.max_quantity)
        row["min_notional"] = symbol.min_notional
        row["taker_fee"] = symbol.taker_fee
        row["liquidation_fee"] = symbol.liquidation_fee
        row["leverage"] = trading.leverage
        row["max_notional"] = symbol.max_notional(trading.leverage)
        row["is_isolated"] = trading.margin_mode == "isolated"
        row["first_bracket"] = len(rows)
        rows += [(b.notional_cap, b.maint_margin_rate, b.maint_amount, b.notional_floor) for b in symbol.brackets]
        row["last_bracket"] = len(rows) - 1
    return table, np.array(rows, np.float64)
