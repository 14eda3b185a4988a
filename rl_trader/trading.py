"""Contract terms and trading configuration as the kernels read them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_trader.bookings import in_whole_units
from rl_trader.config import CAPS, TradingConfig
from rl_trader.contract import ContractTerms
from rl_trader.ledger import TERMS_DTYPE
from rl_trader.state import SETTINGS_DTYPE


class Lot(NamedTuple):
    """The grid of an order's amount, in base asset."""

    step_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal


def order_lot(terms: ContractTerms, trading: TradingConfig) -> Lot:
    """Return the grid of the orders that decisions send, of ``MARKET_LOT_SIZE`` or, for limit orders, ``LOT_SIZE``."""
    if trading.limit_distance is None:
        return Lot(terms.step_size, terms.min_quantity, terms.max_quantity)
    return Lot(terms.limit_step_size, terms.limit_min_quantity, terms.limit_max_quantity)


def smallest_order(terms: ContractTerms, trading: TradingConfig, price: float) -> float:
    """Return the notional in USDT of the smallest order that opens a position at ``price``."""
    lot = order_lot(terms, trading)
    step = float(lot.step_size)
    return max(float(np.ceil(terms.min_notional / price / step)) * step, float(lot.min_quantity)) * price


class Fees(NamedTuple):
    """What an account pays, fractions of the notional."""

    taker: float
    maker: float


def charged_fees(terms: ContractTerms, trading: TradingConfig) -> Fees:
    """Return the account's fees, less the discount for paying in BNB where that is chosen."""
    kept = 1 - Decimal(repr(terms.bnb_discount)) if trading.fees_in_bnb else Decimal(1)
    return Fees(*(float(Decimal(repr(fee)) * kept) for fee in (terms.taker_fee, terms.maker_fee)))


def _scale(step: Decimal) -> float:
    """Return 10 to the power of a step's decimals."""
    return 10.0 ** max(-int(step.normalize().as_tuple().exponent), 0)


def kernel_terms(
    terms: Sequence[ContractTerms], trading: TradingConfig
) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """Return the terms of several symbols as the kernels read them.

    Returns:
        (num_symbols,) of ``TERMS_DTYPE`` and the brackets (num_rows, 4) of all symbols one below the other.

    Raises:
        ConfigError: If a leverage is given for a symbol that is not among them.
        ContractError: If a symbol does not allow its leverage.
    """
    trading.check_symbols([symbol.symbol for symbol in terms])
    table = np.zeros(len(terms), TERMS_DTYPE)
    rows: list[tuple[float, float, float, float]] = []
    for row, symbol in zip(table, terms, strict=True):
        leverage = trading.leverage_of(symbol.symbol)
        symbol.check_leverage(leverage)
        row["tick_size"] = float(symbol.tick_size)
        row["price_scale"] = _scale(symbol.tick_size)
        lot = order_lot(symbol, trading)
        row["step_size"] = float(lot.step_size)
        row["amount_scale"] = _scale(lot.step_size)
        row["min_quantity"] = float(lot.min_quantity)
        row["max_quantity"] = float(lot.max_quantity)
        row["min_notional"] = symbol.min_notional
        row["taker_fee"], row["maker_fee"] = charged_fees(symbol, trading)
        row["liquidation_fee"] = symbol.liquidation_fee
        row["leverage"] = leverage
        row["max_notional"] = symbol.max_notional(leverage)
        row["highest_buy"] = min(symbol.multiplier_up, 1.0 + symbol.market_take_bound)
        row["lowest_sell"] = max(symbol.multiplier_down, 1.0 - symbol.market_take_bound)
        row["min_price"] = float(symbol.min_price)
        row["max_price"] = float(symbol.max_price)
        row["highest_limit"] = symbol.multiplier_up
        row["lowest_limit"] = symbol.multiplier_down
        row["is_isolated"] = trading.margin_mode == "isolated"
        row["first_bracket"] = len(rows)
        rows += [(b.notional_cap, b.maint_margin_rate, b.maint_amount, b.notional_floor) for b in symbol.brackets]
        row["last_bracket"] = len(rows) - 1
    return table, np.array(rows, np.float64)


def kernel_settings(trading: TradingConfig) -> NDArray[np.void]:
    """Return what an account's trading sets, (1,) of ``SETTINGS_DTYPE``; what an episode sets is zero."""
    settings = np.zeros(1, SETTINGS_DTYPE)
    row = settings[0]
    row["max_exposure"] = trading.max_exposure
    row["rebalance_band"] = trading.rebalance_band * trading.max_exposure
    row["reserve"] = trading.reserve
    row["initial_balance"] = in_whole_units(float(trading.initial_balance))
    row["limit_distance"] = trading.limit_distance or 0.0
    for name in CAPS:
        row[name] = getattr(trading, name) or 0.0
    row["half_spread"] = trading.slippage.half_spread
    row["sqrt_impact"] = trading.slippage.sqrt_impact
    row["linear_impact"] = trading.slippage.linear_impact
    row["stop_loss"] = trading.stop_loss or 0.0
    row["take_profit"] = trading.take_profit or 0.0
    row["stop_on_mark"] = trading.stop_trigger == "mark"
    return settings
