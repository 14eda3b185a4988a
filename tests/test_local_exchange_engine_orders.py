"""What the engine takes for an order and what it refuses: filters, times in force, margin, changes.

Numbers are those of :mod:`tests.engine_tables`: tick 0.1, a step of 0.002 for limit and of 0.01 for market orders,
taker fee 0.05 %, maker fee 0.02 %, leverage 20 unless a test says otherwise.
"""

import pytest

from rl_trader.local_exchange.engine import changing
from rl_trader.local_exchange.engine.changing import cancel, cancel_all, find_order, modify
from rl_trader.local_exchange.engine.events import OrderUpdate
from rl_trader.local_exchange.engine.orders import Order, OrderRequest
from rl_trader.local_exchange.engine.placing import LAST_GTD_MS, MIN_GTD_MS, checked_order, place
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.engine.views import available_balance, bound_by_orders
from rl_trader.local_exchange.engine.words import (
    ExpiryReason,
    OrderType,
    PositionSide,
    Prevention,
    PriceMatch,
    Side,
    Status,
    TimeInForce,
)
from tests.engine_tables import A, B, D, Floor, booked_of, contract, fills, told

GTC, IOC, FOK, GTX, GTD = TimeInForce
LONG, SHORT = {"position_side": PositionSide.LONG}, {"position_side": PositionSide.SHORT}


def change(floor: Floor, trader: Trader, order: Order, quantity: str, price: str) -> None:
    modify(floor.state, trader, order, order.side, D(quantity), D(price))


# ---- Types and times in force


def test_a_market_order_fills_at_once_at_the_worse_side_of_the_spread() -> None:
    # Half a spread of 1 % of 100: it buys at 101 and sells at 99. Fees: 2 * 101 * 0.0005 = 0.101 and 0.099.
    floor = Floor(half_spread="0.01")
    trader = floor.account()
    bought = floor.buy(trader, "2")
    floor.sell(trader, "2")
    assert (bought.status, bought.executed, bought.average_price) == (Status.FILLED, D(2), D(101))
    assert fills(trader) == [("BUY", "2", "101"), ("SELL", "2", "99")]
    assert booked_of(trader, "COMMISSION") == [D("-0.101"), D("-0.099")]
    assert booked_of(trader, "REALIZED_PNL") == [D(-4)]


def test_a_limit_order_that_reaches_the_other_side_is_a_taker_at_the_books_price() -> None:
    # 10 * 101 * 0.0005 = 0.505
    floor = Floor(half_spread="0.01")
    trader = floor.account()
    order = floor.buy(trader, "10", "102")
    assert (order.status, fills(trader)) == (Status.FILLED, [("BUY", "10", "101")])
    assert (trader.fills[0].is_maker, trader.fills[0].commission) == (False, D("0.505"))


def test_a_limit_order_below_the_ask_rests_until_the_last_price_is_beyond_it() -> None:
    floor = Floor(half_spread="0.01")
    trader = floor.account()
    order = floor.buy(trader, "10", "98")
    floor.move("98")
    assert order.status is Status.NEW
    floor.move("97.9")
    # 10 * 98 * 0.0002 = 0.196
    assert (order.status, fills(trader)) == (Status.FILLED, [("BUY", "10", "98")])
    assert (trader.fills[0].is_maker, trader.fills[0].commission) == (True, D("0.196"))


def test_the_mark_price_fills_no_resting_order() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "98")
    floor.move("99", mark="97")
    assert order.status is Status.NEW


def test_nothing_fills_without_trades_in_the_bar() -> None:
    floor = Floor()
    trader = floor.account()
    resting = floor.buy(trader, "1", "98")
    floor.open_bar("100", volume="0")
    with floor.refuses(-2020):
        floor.buy(trader, "1")
    crossing = floor.buy(trader, "1", "101")
    floor.move("97")
    assert (resting.status, crossing.status) == (Status.NEW, Status.NEW)


def test_ioc_takes_what_is_there_and_the_rest_expires_for_reason_2() -> None:
    floor = Floor()
    trader = floor.account()
    floor.exchange.quotes[A].available = D(3)
    order = floor.buy(trader, "5", "100", time_in_force=IOC)
    assert (order.status, order.executed, order.expiry_reason) == (
        Status.EXPIRED,
        D(3),
        ExpiryReason.NOT_FILLED_AT_ONCE,
    )
    assert (int(order.expiry_reason), told(trader)) == (
        2,
        ["NEW NEW", "account ORDER", "TRADE PARTIALLY_FILLED 3", "EXPIRED EXPIRED 3"],
    )


def test_ioc_away_from_the_book_is_an_order_that_expires_without_a_fill() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "5", "99", time_in_force=IOC)
    assert (order.status, order.executed, trader.orders[order.order_id]) == (Status.EXPIRED, D(0), order)
    assert told(trader) == ["NEW NEW", "EXPIRED EXPIRED 0"]


def test_fok_fills_wholly() -> None:
    floor = Floor()
    trader = floor.account()
    assert floor.buy(trader, "5", "100", time_in_force=FOK).status is Status.FILLED


def test_fok_is_measured_at_the_other_side_of_the_spread() -> None:
    floor = Floor(half_spread="0.01")
    trader = floor.account()
    for side, short_of, price in ((Side.BUY, "100.9", "101"), (Side.SELL, "99.1", "99")):
        with floor.refuses(-5021):
            floor.place(trader, side, "5", short_of, time_in_force=FOK)
        assert floor.place(trader, side, "5", price, time_in_force=FOK).average_price == D(price)


def test_fok_that_cannot_fill_wholly_is_refused() -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-5021):
        floor.buy(trader, "5", "99.9", time_in_force=FOK)
    floor.exchange.quotes[A].available = D("4.998")
    with floor.refuses(-5021):
        floor.buy(trader, "5", "100", time_in_force=FOK)
    floor.exchange.quotes[A].available = D(5)
    assert floor.buy(trader, "5", "100", time_in_force=FOK).status is Status.FILLED


def test_fok_does_not_count_what_its_own_account_offers() -> None:
    # At 100.5 rest 3 of its own; they would not trade with it, and the level has 4 of the 5.
    floor = Floor(half_spread="0.01")
    trader = floor.account()
    own = floor.sell(trader, "3", "100.5")
    floor.exchange.quotes[A].available = D(4)
    with floor.refuses(-5021):
        floor.buy(trader, "5", "101", time_in_force=FOK)
    assert own.status is Status.NEW


def test_a_post_only_order_that_would_trade_is_refused_and_one_beside_it_rests() -> None:
    floor = Floor(half_spread="0.01")
    trader = floor.account()
    with floor.refuses(-5022):
        floor.buy(trader, "1", "101", time_in_force=GTX)
    with floor.refuses(-5022):
        floor.sell(trader, "1", "99", time_in_force=GTX)
    assert floor.buy(trader, "1", "100.9", time_in_force=GTX).status is Status.NEW
    assert floor.account("1000", "other").books.wallet_balance == 1000


def test_a_post_only_order_is_refused_at_another_accounts_resting_price_too() -> None:
    floor = Floor(half_spread="0.01")
    floor.sell(floor.account(name="other"), "1", "100.4")
    trader = floor.account()
    with floor.refuses(-5022):
        floor.buy(trader, "1", "100.4", time_in_force=GTX)
    assert floor.buy(trader, "1", "100.3", time_in_force=GTX).status is Status.NEW


def test_a_good_till_date_must_be_more_than_ten_minutes_ahead() -> None:
    floor = Floor()
    trader = floor.account()
    for date in (0, floor.now + MIN_GTD_MS, LAST_GTD_MS):
        with floor.refuses(-5040):
            floor.buy(trader, "1", "99", time_in_force=GTD, good_till_ms=date)
    order = floor.buy(trader, "1", "99", time_in_force=GTD, good_till_ms=floor.now + MIN_GTD_MS + 1)
    assert order.status is Status.NEW


def test_an_order_expires_at_its_good_till_date() -> None:
    floor = Floor()
    trader = floor.account()
    date = floor.now + MIN_GTD_MS + 1
    order = floor.buy(trader, "1", "99", time_in_force=GTD, good_till_ms=date)
    floor.now = date - 1_001
    floor.move("100")  # one millisecond before
    assert order.status is Status.NEW
    floor.move("100")
    assert (order.status, order.expiry_reason, trader.open_orders) == (Status.EXPIRED, ExpiryReason.NONE, {})


def test_an_order_that_is_due_when_a_bar_opens_does_not_fill_in_it() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "99", time_in_force=GTD, good_till_ms=floor.now + MIN_GTD_MS + 1)
    floor.now += MIN_GTD_MS
    floor.open_bar("98")
    floor.move("97")
    assert (order.status, fills(trader)) == (Status.EXPIRED, [])


def test_conditional_types_are_refused_where_orders_are_placed() -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-4120):
        floor.buy(trader, "1", type=OrderType.STOP_MARKET)


def test_a_limit_order_must_have_a_price() -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-1102):
        floor.buy(trader, "1", type=OrderType.LIMIT)


def test_a_checked_order_is_not_placed_and_uses_up_no_number() -> None:
    floor = Floor()
    trader = floor.account()
    request = OrderRequest(symbol=A, side=Side.BUY, type=OrderType.MARKET, quantity=D(1))
    checked = checked_order(floor.state, trader, request)
    assert (trader.orders, fills(trader), told(trader)) == ({}, [], [])
    assert place(floor.state, trader, request).order_id == checked.order_id


def test_order_numbers_have_no_gaps_where_orders_were_refused() -> None:
    floor = Floor()
    trader = floor.account()
    first = floor.buy(trader, "1")
    with floor.refuses(-4003):
        floor.buy(trader, "0")
    assert floor.buy(trader, "1").order_id == first.order_id + 1


# ---- Filters


@pytest.mark.parametrize(
    ("price", "code"),
    [("0", -4001), ("-1", -4001), ("59.9", -4013), ("1000.1", -4002), ("95.01", -1111), ("95.1", -4014)],
)
def test_prices_that_break_the_price_filter(price: str, code: int) -> None:
    # Prices from 60 to 1000 in steps of 0.2: 95.1 lies between two of them, 95.01 has too many decimals.
    floor = Floor(tick_size=D("0.2"), min_price=D(60))
    trader = floor.account()
    with floor.refuses(code):
        floor.buy(trader, "1", price)


def test_prices_at_the_edges_of_the_price_filter_are_taken() -> None:
    floor = Floor(tick_size=D("0.2"), min_price=D(60), max_price=D("100.2"))
    trader = floor.account()
    for side, price in ((Side.BUY, "60"), (Side.BUY, "60.20"), (Side.SELL, "100.2")):
        assert floor.place(trader, side, "1", price).status is Status.NEW


def test_ticks_are_counted_from_the_lowest_price() -> None:
    # From 55.5 in steps of 0.2: 95.1 is 198 steps up, 95.2 is none.
    floor = Floor(tick_size=D("0.2"), min_price=D("55.5"))
    trader = floor.account()
    assert floor.buy(trader, "1", "95.1").status is Status.NEW
    with floor.refuses(-4014):
        floor.buy(trader, "1", "95.2")


@pytest.mark.parametrize(
    ("quantity", "price", "code"),
    [
        ("0", "96", -4003),
        ("-1", "96", -4003),
        ("1.0001", "96", -1111),
        ("0.002", "96", -4004),
        ("900.002", "96", -4005),
        ("1.001", "96", -4023),
        ("1.002", None, -1111),
        ("0.01", None, -4004),
        ("500.01", None, -4005),
    ],
)
def test_quantities_that_break_the_lot_size_of_their_kind(quantity: str, price: str | None, code: int) -> None:
    # Limit orders: 0.004 to 900 in steps of 0.002. Market orders: 0.02 to 500 in steps of 0.01.
    floor = Floor()
    trader = floor.account("1000000", leverage=5)
    with floor.refuses(code):
        floor.buy(trader, quantity, price)


def test_a_market_order_must_be_whole_steps() -> None:
    floor = Floor(step_size=D("0.05"), min_quantity=D("0.05"))
    trader = floor.account()
    with floor.refuses(-4023):
        floor.buy(trader, "1.01")
    assert floor.buy(trader, "1.05").status is Status.FILLED


def test_quantities_at_the_edges_of_the_lot_sizes_are_taken() -> None:
    floor = Floor(min_notional=0.1)
    trader = floor.account("1000000", leverage=5)
    assert floor.buy(trader, "0.004", "96").status is Status.NEW
    assert floor.buy(trader, "900", "96").status is Status.NEW
    assert floor.buy(trader, "0.02").status is Status.FILLED
    cancel_all(floor.state, trader, A)
    assert floor.buy(trader, "500").status is Status.FILLED


def test_a_notional_below_the_smallest_is_refused_and_at_it_is_taken() -> None:
    # 0.05 * 100 = 5 is enough, 0.05 * 99.9 = 4.995 is not; a market order counts at the mark price.
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-4164):
        floor.buy(trader, "0.05", "99.9")
    assert floor.buy(trader, "0.05", "100").status is Status.FILLED
    floor.open_bar("100", "99.9")
    with floor.refuses(-4164):
        floor.buy(trader, "0.05")
    floor.open_bar("99.9", "100")
    assert floor.buy(trader, "0.05").status is Status.FILLED


def test_an_order_that_only_reduces_may_be_smaller_than_the_smallest_notional() -> None:
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "1")
    with floor.refuses(-4164):
        floor.sell(trader, "0.02")
    assert floor.sell(trader, "0.02", reduce_only=True).status is Status.FILLED


def test_an_order_that_closes_in_hedge_mode_may_be_smaller_than_the_smallest_notional() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    floor.buy(trader, "1", **LONG)
    assert floor.sell(trader, "0.02", **LONG).status is Status.FILLED


def test_limit_prices_stay_within_the_band_around_the_mark_price() -> None:
    # mark 90: purchases up to 90 * 1.05 = 94.5, sales down to 90 * 0.95 = 85.5; the other sides are free.
    floor = Floor()
    trader = floor.account()
    floor.open_bar("90", "90")
    with floor.refuses(-4016):
        floor.buy(trader, "1", "94.6")
    with floor.refuses(-4024):
        floor.sell(trader, "1", "85.4")
    assert floor.buy(trader, "1", "94.5").status is Status.FILLED
    assert floor.sell(trader, "1", "85.5").status is Status.FILLED
    assert floor.buy(trader, "1", "10").status is Status.NEW
    assert floor.sell(trader, "1", "900").status is Status.NEW


def test_market_orders_fill_only_near_the_mark_price() -> None:
    # market_take_bound 3 %: with mark 100 a purchase may fill at 103 and a sale at 97.
    floor = Floor()
    trader = floor.account()
    floor.open_bar("103.1", "100")
    with floor.refuses(-4131):
        floor.buy(trader, "1")
    floor.open_bar("103", "100")
    assert floor.buy(trader, "1").status is Status.FILLED
    floor.open_bar("96.9", "100")
    with floor.refuses(-4131):
        floor.sell(trader, "1")
    floor.open_bar("97", "100")
    assert floor.sell(trader, "1").status is Status.FILLED


def test_two_hundred_open_orders_of_a_symbol_are_the_most() -> None:
    floor = Floor(symbols=(A, B))
    trader = floor.account("1000000")
    for _ in range(200):
        floor.buy(trader, "1", "95")
    with floor.refuses(-2025):
        floor.buy(trader, "1", "95")
    assert floor.buy(trader, "1", "95", symbol=B).status is Status.NEW
    order = next(iter(trader.open_orders.values()))
    change(floor, trader, order, "1", "95.1")  # in the place of one of them
    cancel(floor.state, trader, order)
    assert floor.buy(trader, "1", "95").status is Status.NEW


# ---- Margin


def test_an_order_may_cost_all_that_is_available_and_no_more() -> None:
    # 20 * 100 / 20 = 100 of margin and 20 * 100 * 0.0005 = 1 of fee.
    floor = Floor()
    poor = floor.account("100.99999999", "poor")
    with floor.refuses(-2019):
        floor.buy(poor, "20")
    rich = floor.account("101", "rich")
    floor.buy(rich, "20")
    assert rich.books.wallet_balance == 100
    assert available_balance(floor.state, rich) == 0


def test_a_resting_order_binds_margin_at_its_price_and_its_makers_fee() -> None:
    # 10 * 98 / 20 = 49 and 10 * 98 * 0.0002 = 0.196
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "10", "98")
    assert bound_by_orders(floor.state, trader) == D("49.196")
    assert available_balance(floor.state, trader) == D("9950.804")


def test_a_resting_order_binds_what_it_would_lose_against_the_mark_price() -> None:
    # A sale at 99.5 with a mark of 102 loses 2.5 a unit; the last price is 99, so that it rests.
    # 10 * 99.5 / 20 + 10 * 2.5 + 10 * 99.5 * 0.0002 = 49.75 + 25 + 0.199
    floor = Floor()
    trader = floor.account()
    floor.open_bar("99", "102")
    floor.sell(trader, "10", "99.5")
    assert bound_by_orders(floor.state, trader) == D("74.949")


def test_a_market_order_pays_the_loss_against_the_mark_price_too() -> None:
    # Bought at 102 with a mark of 100: 10 * 102 / 20 + 10 * 2 + 10 * 102 * 0.0005 = 51 + 20 + 0.51
    floor = Floor()
    floor.open_bar("102", "100")
    poor = floor.account("71.50", "poor")
    with floor.refuses(-2019):
        floor.buy(poor, "10")
    floor.buy(floor.account("71.51", "rich"), "10")


def test_in_one_way_mode_only_the_dearer_side_of_the_open_orders_binds() -> None:
    # Purchases 10 * 98 * (0.05 + 0.0002) = 49.196, sales 9 * 103 * 0.0502 = 46.5354.
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "10", "98")
    floor.sell(trader, "9", "103")
    assert bound_by_orders(floor.state, trader) == D("49.196")
    floor.sell(trader, "1", "103")  # 10 * 103 * 0.0502 = 51.706
    assert bound_by_orders(floor.state, trader) == D("51.706")


def test_in_hedge_mode_both_sides_of_the_open_orders_bind() -> None:
    # 49.196 + 10 * 103 * 0.0502 = 49.196 + 51.706
    floor = Floor()
    trader = floor.account(is_hedged=True)
    floor.buy(trader, "10", "98", **LONG)
    floor.sell(trader, "10", "103", **SHORT)
    assert bound_by_orders(floor.state, trader) == D("100.902")


def test_open_orders_of_every_symbol_bind() -> None:
    floor = Floor(symbols=(A, B))
    trader = floor.account("98.4")
    floor.buy(trader, "10", "98")
    floor.buy(trader, "10", "98", symbol=B)
    assert available_balance(floor.state, trader) == D("0.008")  # 98.4 - 2 * 49.196
    with floor.refuses(-2019):
        floor.buy(trader, "0.1", "98", symbol=B)


def test_the_check_counts_the_orders_that_are_open_already() -> None:
    floor = Floor()
    trader = floor.account("98.39")
    floor.buy(trader, "10", "98")
    with floor.refuses(-2019):
        floor.buy(trader, "10", "98")  # 2 * 49.196 = 98.392
    floor.sell(trader, "9", "103")  # the cheaper side costs nothing more


def test_a_cross_position_s_profit_can_be_traded_with_and_an_isolated_one_s_cannot() -> None:
    # Bought 10 at 100 with 60: fee 0.5, margin 50. At 102 there are 20 of profit and 51 of margin.
    floor = Floor()
    cross = floor.account("60", "cross")
    isolated = floor.account("60", "isolated", is_isolated=True)
    for trader in (cross, isolated):
        floor.buy(trader, "10")
    floor.move("102")
    assert available_balance(floor.state, cross) == D("28.5")  # 59.5 + 20 - 51
    assert available_balance(floor.state, isolated) == D("9.5")  # 59.5 - 50


def test_an_order_that_only_closes_asks_for_no_margin() -> None:
    floor = Floor()
    trader = floor.account("50.5")
    floor.buy(trader, "10")
    assert available_balance(floor.state, trader) == 0
    floor.move("99.5")
    assert floor.sell(trader, "10").status is Status.FILLED


def test_a_position_can_be_closed_while_another_has_used_up_the_margin() -> None:
    # B has lost 45 of 102 and binds 48; A, closed without profit, leaves less than nothing available all the same.
    floor = Floor(symbols=(A, B))
    trader = floor.account("102")
    floor.buy(trader, "1")
    floor.buy(trader, "18", symbol=B)
    floor.move("97", symbol=B)
    assert available_balance(floor.state, trader) < -40
    assert floor.sell(trader, "1").status is Status.FILLED


def test_a_flip_in_one_order_is_closed_before_it_opens() -> None:
    # 10 long at 100 bind all of 50; the flip to 9.8 short: closing pays 0.5 of fee, 49.5 are left, and
    # 9.8 * 100 * (0.05 + 0.0005) = 49.49.
    floor = Floor()
    trader = floor.account("50.5")
    floor.buy(trader, "10")
    with floor.refuses(-2019):
        floor.sell(trader, "19.82")  # 9.82 * 5.05 = 49.591
    floor.sell(trader, "19.8")
    assert trader.position(A).amount == D("-9.8")
    assert trader.position(A).entry_price == 100
    assert booked_of(trader, "COMMISSION") == [D("-0.5"), D("-0.5"), D("-0.49")]


def test_a_second_order_that_closes_the_same_position_must_be_paid_for() -> None:
    # 10 long of 100 with 50; at 96.5 15 are left. The first sale of 10 closes. After a second one at 96.9, which leaves
    # 50 - 31 - 0.1938 = 18.8062, the first would open 10 short for 10 * 101 * 0.0502 = 50.702.
    floor = Floor()
    trader = floor.account("50.5")
    floor.buy(trader, "10")
    floor.sell(trader, "10", "101")
    floor.move("96.5")
    with floor.refuses(-2019):
        floor.sell(trader, "10", "96.9")
    floor.sell(trader, "10", "96.9", reduce_only=True)


def test_a_resting_flip_binds_no_more_than_what_it_opens_beyond_what_it_frees() -> None:
    # 10 long at 100 in cross margin: 50 of margin. A sale of 20 at 103 closes 10, which frees 50, and opens 10, which
    # binds 10 * 103 * (0.05 + 0.0002) = 51.706.
    floor = Floor()
    trader = floor.account("10000")
    floor.buy(trader, "10")
    floor.sell(trader, "20", "103")
    assert bound_by_orders(floor.state, trader) == D("1.706")


def test_what_is_closed_by_one_resting_order_is_not_closed_by_the_next() -> None:
    # 10 long: the first sale closes 6, the second 4 and opens 26: 26 * 103 * 0.0502 - 50 = 134.4356 - 50.
    floor = Floor()
    trader = floor.account("10000")
    floor.buy(trader, "10")
    floor.sell(trader, "6", "103")
    floor.sell(trader, "30", "103")
    assert bound_by_orders(floor.state, trader) == D("84.4356")


def test_a_resting_flip_of_an_isolated_position_frees_its_wallet_less_its_loss() -> None:
    # Isolated wallet 50, at 99 a loss of 10: 40 are freed; 10 * 103 * 0.0502 = 51.706 are bound.
    floor = Floor()
    trader = floor.account("10000", is_isolated=True)
    floor.buy(trader, "10")
    floor.sell(trader, "20", "103")
    floor.move("99")
    assert bound_by_orders(floor.state, trader) == D("11.706")


def test_a_resting_flip_that_fills_closes_before_it_opens() -> None:
    # With 51.5 in all: 10 long pay 0.5 and bind 50. Sold 20 at 103: profit 30, maker's fee 0.206 on each half.
    floor = Floor()
    trader = floor.account("51.5")
    floor.buy(trader, "10")
    order = floor.sell(trader, "20", "103")
    floor.move("103.1")
    assert (order.status, trader.position(A).amount) == (Status.FILLED, D(-10))
    assert trader.books.wallet_balance == D("51.5") - D("0.5") + 30 - D("0.412")


def test_a_resting_order_fills_where_all_that_it_costs_a_maker_is_there() -> None:
    # 10 * 103 * (0.05 + 0.0002) = 51.706; a taker would need 52.015.
    floor = Floor()
    trader = floor.account("51.706")
    order = floor.sell(trader, "10", "103")
    floor.move("103.1")
    assert order.status is Status.FILLED


def test_what_a_resting_order_would_open_and_cannot_be_paid_expires_when_it_is_met() -> None:
    # The order needs 10 * 103 * 0.0502 = 51.706 of 60; a loss in B meanwhile leaves too little.
    floor = Floor(symbols=(A, B))
    trader = floor.account("110")
    order = floor.sell(trader, "10", "103")
    floor.buy(trader, "11", symbol=B)
    floor.move("95.5", symbol=B)  # 11 * 4.5 = 49.5
    floor.move("103.1")
    assert (order.status, order.executed, order.expiry_reason) == (
        Status.EXPIRED,
        D(0),
        ExpiryReason.NOT_FILLED_WHOLLY,
    )


def test_a_resting_flip_that_cannot_pay_for_its_opening_part_closes_all_the_same() -> None:
    # 1 long of A; sale of 11 at 103 closes 1 and opens 10 for 51.706. B loses 49.5 meanwhile.
    floor = Floor(symbols=(A, B))
    trader = floor.account("115")
    floor.buy(trader, "1")
    order = floor.sell(trader, "11", "103")
    floor.buy(trader, "10", symbol=B)
    floor.move("95.1", symbol=B)
    told(trader)
    floor.move("103.1")
    assert (order.status, order.executed, trader.position(A).amount) == (Status.EXPIRED, D(1), D(0))
    assert told(trader)[-2:] == ["TRADE PARTIALLY_FILLED 1", "EXPIRED EXPIRED 1"]


# ---- The largest position


def test_a_position_may_be_as_large_as_the_bracket_of_its_leverage() -> None:
    # At 50x up to 10 000, which is 100 units at 100.
    floor = Floor()
    trader = floor.account(leverage=50)
    with floor.refuses(-2027):
        floor.buy(trader, "100.01")
    floor.buy(trader, "60")
    with floor.refuses(-2027):
        floor.buy(trader, "40.01")
    floor.buy(trader, "40")


def test_open_orders_of_the_same_side_count_towards_the_largest_position() -> None:
    floor = Floor()
    trader = floor.account(leverage=50)
    floor.buy(trader, "60")
    floor.buy(trader, "30", "99")
    with floor.refuses(-2027):
        floor.buy(trader, "10.002", "98")
    floor.buy(trader, "10", "98")
    with floor.refuses(-2027):
        floor.sell(trader, "160.01")  # 100 short would be the most
    floor.sell(trader, "160")
    assert trader.position(A).amount == -100


def test_an_order_that_only_reduces_is_not_held_against_the_largest_position() -> None:
    floor = Floor()
    trader = floor.account(leverage=50)
    floor.buy(trader, "100")
    floor.move("110")  # 11 000 now
    floor.sell(trader, "50", reduce_only=True)
    assert trader.position(A).amount == 50


# ---- Only reducing


def test_an_order_that_only_reduces_needs_a_position_of_the_other_side() -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-2022):
        floor.sell(trader, "1", reduce_only=True)
    floor.buy(trader, "1")
    with floor.refuses(-2022):
        floor.buy(trader, "1", reduce_only=True)
    with floor.refuses(-2022):
        floor.buy(trader, "1", "95", reduce_only=True)


def test_an_order_that_only_reduces_is_cut_to_the_position_and_the_rest_expires_for_reason_4() -> None:
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "2")
    told(trader)
    order = floor.sell(trader, "5", reduce_only=True)
    assert (trader.position(A).amount, order.executed, order.status) == (D(0), D(2), Status.EXPIRED)
    assert (order.expiry_reason, int(order.expiry_reason)) == (ExpiryReason.NOTHING_TO_REDUCE, 4)
    assert told(trader) == ["NEW NEW", "account ORDER", "TRADE PARTIALLY_FILLED 2", "EXPIRED EXPIRED 2"]


def test_resting_orders_that_only_reduce_expire_when_nothing_is_left_to_reduce() -> None:
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "2")
    first, second = floor.sell(trader, "2", "103", reduce_only=True), floor.sell(trader, "2", "104", reduce_only=True)
    opening = floor.sell(trader, "2", "105")
    floor.move("103.5")
    assert (first.status, second.status, opening.status) == (Status.FILLED, Status.EXPIRED, Status.NEW)
    assert second.expiry_reason is ExpiryReason.NOTHING_TO_REDUCE


def test_a_resting_order_that_only_reduces_fills_as_much_as_is_still_held() -> None:
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "2")
    order = floor.sell(trader, "2", "103", reduce_only=True)
    floor.sell(trader, "1.5")
    floor.move("103.5")
    assert (order.executed, order.status, trader.position(A).amount) == (D("0.5"), Status.EXPIRED, D(0))


def test_orders_that_only_reduce_bind_nothing() -> None:
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "2")
    floor.sell(trader, "2", "103", reduce_only=True)
    assert bound_by_orders(floor.state, trader) == 0


# ---- Hedge mode


def test_the_position_side_must_be_that_of_the_mode() -> None:
    floor = Floor()
    one_way, hedged = floor.account(name="one way"), floor.account(name="hedged", is_hedged=True)
    with floor.refuses(-4061):
        floor.buy(one_way, "1", **LONG)
    with floor.refuses(-4061):
        floor.buy(hedged, "1")


def test_reduce_only_is_refused_in_hedge_mode() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    floor.buy(trader, "1", **LONG)
    with floor.refuses(-1106):
        floor.sell(trader, "1", reduce_only=True, **LONG)


def test_hedge_mode_has_a_long_and_a_short_position_side_by_side() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    floor.buy(trader, "3", **LONG)
    floor.sell(trader, "2", **SHORT)
    floor.buy(trader, "1", **SHORT)
    assert (trader.position(f"{A}:LONG").amount, trader.position(f"{A}:SHORT").amount) == (D(3), D(-1))
    assert trader.position(A).amount == 0


def test_more_than_a_hedge_position_holds_cannot_be_closed() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    with floor.refuses(-2022):
        floor.sell(trader, "1", **LONG)
    floor.buy(trader, "3", **LONG)
    floor.sell(trader, "2", "103", **LONG)
    with floor.refuses(-2022):
        floor.sell(trader, "1.02", **LONG)  # with the 2 that rest
    floor.sell(trader, "1", **LONG)
    assert trader.position(f"{A}:LONG").amount == 2


def test_only_orders_that_close_the_same_position_count_towards_it() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    floor.buy(trader, "3", **LONG)
    floor.sell(trader, "3", **SHORT)
    floor.buy(trader, "2", "98", **LONG)
    floor.buy(trader, "3", "98", **SHORT)
    assert floor.sell(trader, "3", "103", **LONG).status is Status.NEW


def test_a_resting_order_never_turns_a_hedge_position_round() -> None:
    # The long position of 2 is taken away by a stop that closes it while a sale of 2 rests.
    floor = Floor()
    trader = floor.account(is_hedged=True)
    floor.buy(trader, "2", **LONG)
    order = floor.sell(trader, "2", "103", **LONG)
    floor.wait(trader, OrderType.STOP_MARKET, Side.SELL, None, "99", close_position=True, **LONG)
    floor.move("98", "104")
    assert trader.position(f"{A}:LONG").amount == 0
    assert (order.status, order.expiry_reason) == (Status.EXPIRED, ExpiryReason.NOTHING_TO_REDUCE)


# ---- Client order ids


def test_an_order_without_a_client_id_is_given_one_of_22_characters() -> None:
    floor = Floor()
    trader = floor.account()
    first, second = floor.buy(trader, "1"), floor.buy(trader, "1")
    assert (len(first.client_order_id), first.client_order_id == second.client_order_id) == (22, False)


def test_client_order_ids_differ_among_open_orders_only() -> None:
    floor = Floor(symbols=(A, B))
    trader, other = floor.account(), floor.account(name="other")
    first = floor.buy(trader, "1", "95", client_order_id="mine")
    with floor.refuses(-4116):
        floor.buy(trader, "1", "95", client_order_id="mine")
    floor.buy(other, "1", "95", client_order_id="mine")
    floor.buy(trader, "1", "95", client_order_id="mine", symbol=B)
    cancel(floor.state, trader, first)
    second = floor.buy(trader, "1", "95", client_order_id="mine")
    assert find_order(trader, A, None, "mine") is second
    assert find_order(trader, A, first.order_id, None) is first


@pytest.mark.parametrize(
    ("client_id", "code"), [("x" * 37, -4015), ("", -1130), ("a b", -1130), ("ü", -1130), ("mine\n", -1130)]
)
def test_client_order_ids_of_another_form_are_refused(client_id: str, code: int) -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(code):
        floor.buy(trader, "1", "95", client_order_id=client_id)


def test_every_character_that_the_pattern_allows_is_taken() -> None:
    floor = Floor()
    trader = floor.account()
    assert floor.buy(trader, "1", "95", client_order_id=".A-Z:/a-z0-9_-" + "x" * 22).client_order_id.startswith(".A-Z")


def test_orders_are_found_by_number_or_client_id_within_their_symbol() -> None:
    floor = Floor(symbols=(A, B))
    trader = floor.account()
    order = floor.buy(trader, "1", "95", client_order_id="mine")
    assert find_order(trader, A, order.order_id, "another") is order
    for symbol, number, name, code in (
        (A, None, None, -1102),
        (A, 5, None, -2013),
        (A, None, "other", -2013),
        (B, order.order_id, None, -2013),
        (B, None, "mine", -2013),
    ):
        with floor.refuses(code):
            find_order(trader, symbol, number, name)


# ---- Price match


@pytest.mark.parametrize(
    ("side", "price_match", "price"),
    [
        (Side.BUY, PriceMatch.QUEUE, "99"),
        (Side.BUY, PriceMatch.OPPONENT, "101"),
        (Side.SELL, PriceMatch.QUEUE, "101"),
        (Side.SELL, PriceMatch.OPPONENT, "99"),
    ],
)
def test_a_price_match_takes_a_price_of_the_book(side: Side, price_match: PriceMatch, price: str) -> None:
    floor = Floor(half_spread="0.01")
    trader = floor.account()
    order = floor.place(trader, side, "1", type=OrderType.LIMIT, price_match=price_match)
    assert (order.price, order.status) == (
        D(price),
        Status.FILLED if price_match is PriceMatch.OPPONENT else Status.NEW,
    )


def test_a_price_match_takes_the_price_of_a_resting_order_that_is_better_than_the_level() -> None:
    floor = Floor(half_spread="0.01")
    other, trader = floor.account(name="other"), floor.account()
    floor.buy(other, "1", "99.5")
    order = floor.buy(trader, "1", type=OrderType.LIMIT, price_match=PriceMatch.QUEUE)
    assert order.price == D("99.5")


def test_a_price_match_deeper_than_the_book_has_levels_is_refused() -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-5041):
        floor.buy(trader, "1", type=OrderType.LIMIT, price_match=PriceMatch.QUEUE_5)
    with floor.refuses(-5038):
        floor.buy(trader, "1", price_match=PriceMatch.QUEUE)


# ---- Changing and cancelling


def test_a_cancelled_order_is_told_and_cannot_be_cancelled_again() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "95")
    cancel(floor.state, trader, order)
    assert told(trader) == ["NEW NEW", "CANCELED CANCELED 0"]
    with floor.refuses(-2011):
        cancel(floor.state, trader, order)
    filled = floor.buy(trader, "1")
    with floor.refuses(-2011):
        cancel(floor.state, trader, filled)


def test_cancelling_all_leaves_other_symbols_and_conditional_orders() -> None:
    floor = Floor(symbols=(A, B))
    trader = floor.account()
    floor.buy(trader, "1", "95")
    floor.sell(trader, "1", "105")
    other = floor.buy(trader, "1", "95", symbol=B)
    algo = floor.wait(trader, OrderType.STOP_MARKET, Side.BUY, "1", "105")
    cancel_all(floor.state, trader, A)
    assert list(trader.open_orders.values()) == [other]
    assert list(trader.open_algo_orders.values()) == [algo]


def test_a_changed_order_has_its_new_price_and_quantity_and_says_so() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "95")
    told(trader)
    floor.move("100")
    modify(floor.state, trader, order, Side.BUY, D(2), D(96), 7)
    assert (order.time_ms, order.update_ms) == (floor.now - 1_000, floor.now)
    assert (order.quantity, order.price, order.modify_id, order.num_amendments) == (D(2), D(96), 7, 1)
    assert told(trader) == ["AMENDMENT NEW 0"]
    floor.move("95.9")
    assert fills(trader) == [("BUY", "2", "96")]


def test_changes_are_kept_in_a_list() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "95")
    modify(floor.state, trader, order, Side.BUY, D(2), D(96), 7)
    modify(floor.state, trader, order, Side.BUY, D(3), D(96), 8)
    first, second = trader.amendments
    assert (first.amendment_id, first.order_id, first.symbol, first.time_ms) == (1, order.order_id, A, floor.now)
    assert (first.price_before, first.price_after) == (D(95), D(96))
    assert (first.quantity_before, first.quantity_after) == (D(1), D(2))
    assert (first.num_amendments, first.modify_id, first.client_order_id) == (1, 7, order.client_order_id)
    assert (second.amendment_id, second.num_amendments, second.quantity_before) == (2, 2, D(2))


def test_a_changed_order_goes_to_the_end_of_the_queue() -> None:
    floor = Floor(half_spread="0.01")
    first, second, taker = (floor.account(name=name) for name in ("first", "second", "taker"))
    order = floor.buy(first, "1", "99.5")
    floor.buy(second, "1", "99.5")
    change(floor, first, order, "2", "99.5")
    floor.sell(taker, "1")
    assert (fills(first), fills(second)) == ([], [("BUY", "1", "99.5")])


def test_a_changed_order_that_reaches_the_other_side_trades() -> None:
    floor = Floor(half_spread="0.01")
    trader = floor.account()
    order = floor.buy(trader, "1", "99.5")
    change(floor, trader, order, "1", "101")
    assert (order.status, fills(trader)) == (Status.FILLED, [("BUY", "1", "101")])
    assert trader.fills[0].is_maker is False


def test_a_post_only_order_that_is_changed_to_trade_is_cancelled() -> None:
    floor = Floor(half_spread="0.01")
    trader = floor.account()
    order = floor.buy(trader, "1", "99.5", time_in_force=GTX)
    change(floor, trader, order, "1", "101")
    assert (order.status, order.price, fills(trader)) == (Status.CANCELED, D("99.5"), [])


def test_an_order_that_is_changed_to_what_is_filled_is_cancelled() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "5", "98")
    floor.exchange.quotes[A].available = D(2)
    floor.move("97.9")
    assert (order.status, order.executed) == (Status.PARTIALLY_FILLED, D(2))
    change(floor, trader, order, "2", "97")
    assert (order.status, order.executed) == (Status.CANCELED, D(2))


def test_a_changed_order_keeps_what_is_filled() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "5", "98")
    floor.exchange.quotes[A].available = D(2)
    floor.move("97.9")
    change(floor, trader, order, "6", "97")
    assert (order.status, order.remaining) == (Status.PARTIALLY_FILLED, D(4))
    floor.exchange.quotes[A].available = None
    floor.move("96.9")
    # (2 * 98 + 4 * 97) / 6 = 584 / 6
    assert (order.status, order.quote, round(order.average_price, 8)) == (Status.FILLED, D(584), D("97.33333333"))


def test_a_change_that_changes_nothing_is_refused() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "95")
    with floor.refuses(-5027):
        change(floor, trader, order, "1.0", "95.0")


def test_a_change_is_held_against_what_a_new_order_is() -> None:
    floor = Floor()
    trader = floor.account("101")
    order = floor.buy(trader, "20", "98")  # binds 20 * 98 * 0.0502 = 98.392
    for quantity, price, code in (
        ("20.001", "98", -4023),
        ("20", "98.05", -1111),
        ("20", "105.1", -4016),
        ("0.05", "98", -4164),
        ("21", "98", -2019),  # 103.3116
    ):
        with floor.refuses(code):
            change(floor, trader, order, quantity, price)
    change(floor, trader, order, "20.5", "98")  # 100.8516, as if the old one were gone
    assert order.quantity == D("20.5")


def test_only_open_limit_orders_of_the_same_side_can_be_changed() -> None:
    floor = Floor()
    trader = floor.account()
    filled = floor.buy(trader, "1")
    with floor.refuses(-2013):
        change(floor, trader, filled, "2", "95")
    order = floor.buy(trader, "1", "95")
    with floor.refuses(-1117):
        modify(floor.state, trader, order, Side.SELL, D(2), D(95))


def test_a_market_order_cannot_be_changed() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1")
    order.status = Status.NEW  # as it is between its acceptance and its fill
    with floor.refuses(-5025):
        change(floor, trader, order, "2", "95")


def test_an_order_can_be_changed_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changing.MAX_AMENDMENTS == 10_000
    monkeypatch.setattr(changing, "MAX_AMENDMENTS", 2)
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "95")
    change(floor, trader, order, "1", "96")
    change(floor, trader, order, "1", "97")
    with floor.refuses(-5026):
        change(floor, trader, order, "1", "98")


def test_an_order_can_be_changed_in_the_last_ten_minutes_of_its_life() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "95", time_in_force=GTD, good_till_ms=floor.now + MIN_GTD_MS + 1_000)
    floor.move("100")
    floor.move("100")
    change(floor, trader, order, "1", "96")
    assert (order.price, order.status) == (D(96), Status.NEW)


def test_an_order_update_has_the_notional_of_the_open_orders() -> None:
    # Purchases 2 * 95 + 1 * 96 = 286, sales 3 * 104 = 312.
    floor = Floor()
    trader = floor.account()
    floor.buy(trader, "2", "95")
    floor.sell(trader, "3", "104")
    floor.buy(trader, "1", "96")
    last = trader.outbox[-1]
    assert isinstance(last, OrderUpdate)
    assert (last.bids_notional, last.asks_notional) == (D(286), D(312))


def test_what_was_told_does_not_change_with_the_order() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.buy(trader, "1", "95")
    first = trader.outbox[0]
    assert isinstance(first, OrderUpdate)
    change(floor, trader, order, "2", "96")
    assert (first.order.quantity, first.order.price) == (D(1), D(95))


def test_a_prevention_mode_does_not_matter_between_accounts() -> None:
    floor = Floor(half_spread="0.01")
    maker, taker = floor.account(name="maker"), floor.account(name="taker")
    floor.buy(maker, "1", "99.5")
    floor.sell(taker, "1", prevention=Prevention.EXPIRE_BOTH)
    assert fills(taker) == [("SELL", "1", "99.5")]


def test_the_terms_of_these_tests_are_those_that_their_comments_name() -> None:
    terms = contract()
    assert (terms.taker_fee, terms.maker_fee, terms.market_take_bound) == (0.0005, 0.0002, 0.03)
    assert [bracket.maint_amount for bracket in terms.brackets] == [0, 100, 1_600]
