"""Contract terms and trading configuration as the kernels read them."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from rl_trader.config import TradingConfig
from rl_trader.contract import load_terms
from rl_trader.errors import ConfigError, ContractError
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


def test_limit_orders_are_held_to_the_price_filter() -> None:
    row = kernel_terms([BITCOIN], LIMIT)[0][0]
    assert (row["min_price"], row["max_price"]) == (556.8, 4_529_764.0)


def test_market_orders_are_held_to_the_stricter_bound_and_limit_orders_to_their_filter() -> None:
    terms = replace(BITCOIN, multiplier_up=1.1, multiplier_down=0.97, market_take_bound=0.05)
    row = kernel_terms([terms], MARKET)[0][0]
    assert (row["highest_buy"], row["lowest_sell"]) == (1.05, 0.97)
    assert (row["highest_limit"], row["lowest_limit"]) == (1.1, 0.97)


def test_each_symbol_may_have_its_own_leverage() -> None:
    other = replace(BITCOIN, symbol="OTHERUSDT")
    trading = TradingConfig(leverage=5, symbol_leverage=("OTHERUSDT=20",))
    assert (trading.leverage_of("BTCUSDT"), trading.leverage_of("OTHERUSDT")) == (5, 20)
    table, _ = kernel_terms([BITCOIN, other], trading)
    assert table["leverage"].tolist() == [5.0, 20.0]
    # Caps of 480 million at 5 times and of 100 million at 20 times.
    assert table["max_notional"].tolist() == [480e6, 100e6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbol_leverage": ("BTCUSDT",)}, "as BTCUSDT=10"),
        ({"symbol_leverage": ("BTCUSDT=0",)}, "as BTCUSDT=10"),
        ({"symbol_leverage": ("BTCUSDT=1.5",)}, "as BTCUSDT=10"),
        ({"symbol_leverage": ("=3",)}, "as BTCUSDT=10"),
        ({"symbol_leverage": "BTCUSDT=3"}, "as BTCUSDT=10"),
        ({"symbol_leverage": ("BTCUSDT=2",), "max_exposure": 3.0}, "max_exposure must be above 0 and at most"),
    ],
)
def test_a_leverage_that_is_none_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TradingConfig(leverage=5, **changes)


def test_a_leverage_of_a_symbol_that_is_not_traded_or_too_high_is_refused() -> None:
    with pytest.raises(ConfigError, match="ETHUSDT"):
        kernel_terms([BITCOIN], TradingConfig(symbol_leverage=("ETHUSDT=3",)))
    with pytest.raises(ContractError, match="from 1 to 150"):
        kernel_terms([BITCOIN], TradingConfig(symbol_leverage=("BTCUSDT=151",)))
