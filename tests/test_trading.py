"""Contract terms and trading configuration as the kernels read them."""

from dataclasses import replace
from decimal import Decimal

import pytest

from rl_trader.config import TradingConfig
from rl_trader.contract import load_terms
from rl_trader.trading import charged_fees, kernel_terms, order_lot, smallest_order

BITCOIN = load_terms("BTCUSDT")
MARKET = TradingConfig()
LIMIT = TradingConfig(limit_distance=0.001)
# Lots of market and of limit orders that differ in everything.
APART = replace(
    BITCOIN,
    step_size=Decimal("0.01"),
    min_quantity=Decimal("0.02"),
    limit_step_size=Decimal("0.001"),
    limit_min_quantity=Decimal("0.003"),
    limit_max_quantity=Decimal(777),
)


def test_fees_in_bnb_are_a_tenth_lower_to_the_last_decimal() -> None:
    # FAQ "Futures Fee Structure": 0.05 % and 0.02 %, less 10 %: 0.045 % and 0.018 %.
    assert charged_fees(BITCOIN, MARKET) == (0.0005, 0.0002)
    assert charged_fees(BITCOIN, TradingConfig(fees_in_bnb=True)) == (0.00045, 0.00018)
    table, _ = kernel_terms([BITCOIN], TradingConfig(fees_in_bnb=True))
    assert (table["taker_fee"][0], table["maker_fee"][0]) == (0.00045, 0.00018)


def test_market_and_limit_orders_have_each_their_own_lot() -> None:
    assert order_lot(APART, MARKET) == (Decimal("0.01"), Decimal("0.02"), Decimal(120))
    assert order_lot(APART, LIMIT) == (Decimal("0.001"), Decimal("0.003"), Decimal(777))
    for trading, step, scale, least, most in ((MARKET, 0.01, 100.0, 0.02, 120.0), (LIMIT, 0.001, 1000.0, 0.003, 777.0)):
        row = kernel_terms([APART], trading)[0][0]
        assert (row["step_size"], row["amount_scale"]) == (step, scale)
        assert (row["min_quantity"], row["max_quantity"]) == (least, most)


def test_the_smallest_order_has_the_minimum_notional_and_the_smallest_quantity() -> None:
    # 50 USDT at 10 000 are 0.005: half a step of market orders, of which two are the least; five steps of limit orders.
    assert smallest_order(APART, MARKET, 10_000.0) == pytest.approx(200.0)
    assert smallest_order(APART, LIMIT, 10_000.0) == pytest.approx(50.0)
    # At 100 000 they are 0.0005, and the smallest quantity counts.
    assert smallest_order(APART, LIMIT, 100_000.0) == pytest.approx(300.0)


def test_market_orders_are_held_to_the_stricter_bound_and_limit_orders_to_their_filter() -> None:
    terms = replace(BITCOIN, multiplier_up=1.1, multiplier_down=0.97, market_take_bound=0.05)
    row = kernel_terms([terms], MARKET)[0][0]
    assert (row["highest_buy"], row["lowest_sell"]) == (1.05, 0.97)
    assert (row["highest_limit"], row["lowest_limit"]) == (1.1, 0.97)
