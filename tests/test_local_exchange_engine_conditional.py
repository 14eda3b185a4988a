"""Conditional orders: what they are refused for, what they wait for, what they become, what is told of it.

The symbol stands at 100. Numbers are those of :mod:`tests.engine_tables`.
"""

import pytest

from rl_trader.local_exchange.engine.changing import cancel, modify
from rl_trader.local_exchange.engine.conditional import cancel_algo, find_algo
from rl_trader.local_exchange.engine.events import AlgoUpdate, OrderUpdate
from rl_trader.local_exchange.engine.orders import AlgoOrder
from rl_trader.local_exchange.engine.placing import MIN_GTD_MS
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.engine.views import available_balance
from rl_trader.local_exchange.engine.words import (
    AlgoStatus,
    OrderType,
    PositionSide,
    PriceMatch,
    Side,
    Status,
    TimeInForce,
    WorkingType,
)
from tests.engine_tables import A, B, D, Floor, fills, told

STOP, STOP_MARKET = OrderType.STOP, OrderType.STOP_MARKET
TAKE_PROFIT, TAKE_PROFIT_MARKET = OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_MARKET
TRAILING = OrderType.TRAILING_STOP_MARKET
BUY, SELL = Side.BUY, Side.SELL
MARK = {"working_type": WorkingType.MARK_PRICE}
LONG, SHORT = {"position_side": PositionSide.LONG}, {"position_side": PositionSide.SHORT}
CLOSE = {"close_position": True}


def holder(floor: Floor, amount: str = "2", **more: object) -> Trader:
    """Return an account that holds something and has not been told of it."""
    trader = floor.account(**more)  # type: ignore[arg-type]
    floor.buy(trader, amount)
    trader.outbox.clear()
    return trader


def trailing(floor: Floor, trader: Trader, side: Side, rate: str, **more: object) -> AlgoOrder:
    return floor.wait(trader, TRAILING, side, "1", None, callback_rate=D(rate), **more)


# ---- What they wait for


MEETINGS = [  # of orders that wait for 2 more or 2 less
    (STOP_MARKET, BUY, "102", "101.9"),
    (STOP_MARKET, SELL, "98", "98.1"),
    (TAKE_PROFIT_MARKET, BUY, "98", "98.1"),
    (TAKE_PROFIT_MARKET, SELL, "102", "101.9"),
    (STOP, BUY, "102", "101.9"),
    (STOP, SELL, "98", "98.1"),
    (TAKE_PROFIT, BUY, "98", "98.1"),
    (TAKE_PROFIT, SELL, "102", "101.9"),
]


@pytest.mark.parametrize(("kind", "side", "trigger", "before"), MEETINGS)
def test_a_conditional_order_is_met_where_the_last_price_reaches_its_own(
    kind: OrderType, side: Side, trigger: str, before: str
) -> None:
    # A limit order that follows has the trigger price, and so fills at it at once.
    floor = Floor()
    trader = floor.account()
    order = floor.wait(trader, kind, side, "1", trigger, price=None if kind.is_market else D(trigger))
    floor.move(before, mark=trigger)
    assert (order.status, trader.open_algo_orders) == (AlgoStatus.NEW, {order.algo_id: order})
    floor.move(trigger, mark="100")
    assert (order.status, trader.open_algo_orders) == (AlgoStatus.FINISHED, {})
    assert fills(trader) == [(side.value, "1", trigger)]


@pytest.mark.parametrize(("kind", "side", "trigger", "before"), MEETINGS)
def test_a_conditional_order_is_met_where_the_mark_price_reaches_its_own(
    kind: OrderType, side: Side, trigger: str, before: str
) -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.wait(trader, kind, side, "1", trigger, price=None if kind.is_market else D(100), **MARK)
    floor.move(trigger, mark=before)
    floor.move("100", mark=before)
    assert (order.status, fills(trader)) == (AlgoStatus.NEW, [])
    floor.move("100", mark=trigger)
    assert (order.status, fills(trader)) == (AlgoStatus.FINISHED, [(side.value, "1", "100")])


def test_a_stop_fills_at_the_last_price_where_the_mark_price_meets_it() -> None:
    # Mark from 100 to 90 and last from 100 to 95 go together: at mark 97 the last price is 98.5.
    floor = Floor()
    trader = holder(floor)
    floor.wait(trader, STOP_MARKET, SELL, "2", "97", **MARK)
    floor.move("95", mark="90")
    assert fills(trader)[1:] == [("SELL", "2", "98.5")]


@pytest.mark.parametrize(
    ("kind", "side", "trigger"),
    [
        (STOP_MARKET, BUY, "100"),
        (STOP_MARKET, SELL, "100"),
        (TAKE_PROFIT_MARKET, BUY, "100"),
        (TAKE_PROFIT_MARKET, SELL, "100"),
        (STOP_MARKET, BUY, "99.9"),
        (STOP_MARKET, SELL, "100.1"),
        (TAKE_PROFIT_MARKET, BUY, "100.1"),
        (TAKE_PROFIT_MARKET, SELL, "99.9"),
    ],
)
def test_an_order_that_is_met_already_is_refused(kind: OrderType, side: Side, trigger: str) -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-2021):
        floor.wait(trader, kind, side, "1", trigger)


def test_whether_an_order_is_met_already_is_asked_of_the_price_that_it_waits_for() -> None:
    floor = Floor()
    floor.open_bar("100", "102")
    trader = floor.account()
    with floor.refuses(-2021):
        floor.wait(trader, STOP_MARKET, BUY, "1", "101", **MARK)
    assert floor.wait(trader, STOP_MARKET, BUY, "1", "101").status is AlgoStatus.NEW


def test_a_stop_that_a_bar_opens_beyond_fills_at_the_open() -> None:
    floor = Floor()
    trader = holder(floor)
    floor.wait(trader, STOP_MARKET, SELL, "2", "97")
    floor.open_bar("96", "97.5")
    floor.move("96.5")
    assert fills(trader)[1:] == [("SELL", "2", "96")]


def test_nothing_is_met_without_trades_in_the_bar() -> None:
    floor = Floor()
    trader = holder(floor)
    order = floor.wait(trader, STOP_MARKET, SELL, "2", "97", **MARK)
    floor.open_bar("100", volume="0")
    floor.move("96")
    assert order.status is AlgoStatus.NEW


def test_of_two_orders_at_one_price_the_stop_is_met_before_the_take_profit() -> None:
    floor = Floor()
    trader = holder(floor)
    profit = floor.wait(trader, TAKE_PROFIT_MARKET, BUY, "1", "97")
    stop = floor.wait(trader, STOP_MARKET, SELL, "1", "97")
    floor.move("97")
    assert [entry[0] for entry in fills(trader)[1:]] == ["SELL", "BUY"]
    assert (profit.status, stop.status) == (AlgoStatus.FINISHED, AlgoStatus.FINISHED)


def test_a_stop_is_met_before_an_order_that_rests_beyond_it() -> None:
    floor = Floor()
    trader = holder(floor)
    floor.buy(trader, "1", "96")
    floor.wait(trader, STOP_MARKET, SELL, "2", "97")
    floor.move("95")
    assert [entry[0] for entry in fills(trader)[1:]] == ["SELL", "BUY"]


# ---- What they are refused for


@pytest.mark.parametrize(
    ("quantity", "trigger", "more", "code"),
    [
        ("1", None, {}, -1102),
        (None, "103", {}, -1102),
        ("1", "0", {}, -4006),
        ("1", "-3", {}, -4006),
        ("1", "103.05", {}, -1111),
        ("1", "1000.1", {}, -4002),
        ("0.01", "103", {}, -4004),
        ("1.001", "103", {}, -1111),
        ("500.01", "103", {}, -4005),
        ("1", "103", LONG, -4061),
        ("1", "103", {"client_algo_id": "x" * 37}, -4015),
        ("1", "103", {"client_algo_id": "a b"}, -1130),
        ("1", "103", {"price_match": PriceMatch.QUEUE}, -5038),
        ("1", "103", {"time_in_force": TimeInForce.GTD, "good_till_ms": 5}, -5040),
    ],
)
def test_what_a_stop_that_fills_at_market_is_refused_for(
    quantity: str | None, trigger: str | None, more: dict[str, object], code: int
) -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(code):
        floor.wait(trader, STOP_MARKET, BUY, quantity, trigger, **more)


def test_a_stop_limit_order_needs_a_price_of_its_own_or_a_match() -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-1102):
        floor.wait(trader, STOP, BUY, "1", "103")
    with floor.refuses(-1111):
        floor.wait(trader, STOP, BUY, "1", "103", price=D("103.05"))
    with floor.refuses(-4023):
        floor.wait(trader, STOP, BUY, "1.001", "103", price=D(103))
    assert floor.wait(trader, STOP, BUY, "1.002", "103", price=D(103)).status is AlgoStatus.NEW
    assert floor.wait(trader, STOP, BUY, "1", "103", price_match=PriceMatch.QUEUE).status is AlgoStatus.NEW


def test_ordinary_types_are_refused_where_conditional_orders_are_placed() -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-1116):
        floor.wait(trader, OrderType.MARKET, BUY, "1", "103")


def test_reduce_only_is_refused_in_hedge_mode_here_too() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    with floor.refuses(-1106):
        floor.wait(trader, STOP_MARKET, SELL, "1", "97", reduce_only=True, **LONG)


def test_client_ids_differ_among_conditional_orders_that_wait() -> None:
    floor = Floor(symbols=(A, B))
    trader = floor.account()
    first = floor.wait(trader, STOP_MARKET, BUY, "1", "103", client_algo_id="mine")
    with floor.refuses(-4116):
        floor.wait(trader, STOP_MARKET, BUY, "1", "103", client_algo_id="mine", symbol=B)
    floor.buy(trader, "1", "95", client_order_id="mine")
    cancel_algo(floor.state, trader, first)
    second = floor.wait(trader, STOP_MARKET, BUY, "1", "103", client_algo_id="mine")
    assert find_algo(trader, None, "mine") is second
    assert find_algo(trader, first.algo_id, None) is first
    assert find_algo(trader, first.algo_id, "mine") is first
    with floor.refuses(-1102):
        find_algo(trader, None, None)
    with floor.refuses(-2013):
        find_algo(trader, 5, None)


def test_two_hundred_conditional_orders_of_an_account_are_the_most() -> None:
    floor = Floor(symbols=(A, B))
    trader = floor.account()
    for number in range(200):
        floor.wait(trader, STOP_MARKET, BUY, "1", "103", symbol=(A, B)[number % 2])
    with floor.refuses(-4045):
        floor.wait(trader, STOP_MARKET, BUY, "1", "103")
    cancel_algo(floor.state, trader, next(iter(trader.open_algo_orders.values())))
    floor.wait(trader, STOP_MARKET, BUY, "1", "103")


def test_a_conditional_order_may_be_the_first_of_an_account() -> None:
    floor = Floor()
    trader = floor.exchange.open_account("new", D(1000))
    order = floor.wait(trader, STOP_MARKET, BUY, "1", "103")
    floor.move("103")
    assert (order.status, trader.setting(A).leverage) == (AlgoStatus.FINISHED, 20)


def test_numbers_have_no_gaps_where_conditional_orders_were_refused() -> None:
    floor = Floor()
    trader = floor.account()
    first = floor.wait(trader, STOP_MARKET, BUY, "1", "103")
    with floor.refuses(-2021):
        floor.wait(trader, STOP_MARKET, BUY, "1", "97")
    assert floor.wait(trader, STOP_MARKET, BUY, "1", "103").algo_id == first.algo_id + 1


def test_a_waiting_order_binds_nothing() -> None:
    floor = Floor()
    trader = floor.account()
    floor.wait(trader, STOP_MARKET, BUY, "400", "103")
    assert available_balance(floor.state, trader) == 10_000


# ---- What they become, and what is told


def test_a_stop_that_fills_at_market_is_told_step_by_step() -> None:
    floor = Floor()
    trader = holder(floor)
    order = floor.wait(trader, STOP_MARKET, SELL, "2", "97", client_algo_id="guard")
    waiting_since = floor.now
    floor.move("96")
    events = list(trader.outbox)
    assert told(trader) == [
        "algo NEW",
        "algo TRIGGERING",
        "algo TRIGGERED",
        "NEW NEW",
        "account ORDER",
        "TRADE FILLED 2",
        "algo FINISHED",
    ]
    new, triggering, triggered, finished = (event.order for event in events if isinstance(event, AlgoUpdate))
    child = next(event.order for event in events if isinstance(event, OrderUpdate))
    assert (new.time_ms, new.trigger_ms, new.actual_order_id) == (waiting_since, 0, None)
    assert (triggering.trigger_ms, triggering.actual_order_id) == (floor.now, None)
    assert (triggered.actual_order_id, triggered.actual_quantity) == (child.order_id, D(0))
    assert (finished.actual_price, finished.actual_quantity, finished.actual_order_id) == (
        D(97),
        D(2),
        child.order_id,
    )
    assert order.update_ms == floor.now
    assert (child.client_order_id, child.type, child.orig_type, child.stop_price, child.algo_id) == (
        "guard",
        OrderType.MARKET,
        STOP_MARKET,
        D(97),
        order.algo_id,
    )


def test_a_stop_limit_order_is_finished_when_its_order_has_ended() -> None:
    floor = Floor()
    trader = holder(floor)
    order = floor.wait(trader, STOP, SELL, "2", "97", price=D("97.5"))
    floor.move("96.5")
    assert (order.status, told(trader)) == (
        AlgoStatus.TRIGGERED,
        ["algo NEW", "algo TRIGGERING", "algo TRIGGERED", "NEW NEW"],
    )
    child = trader.orders[order.actual_order_id or 0]
    assert (child.type, child.price, child.status) == (OrderType.LIMIT, D("97.5"), Status.NEW)
    floor.move("98")
    assert (order.status, order.actual_price, order.actual_quantity) == (AlgoStatus.FINISHED, D("97.5"), D(2))
    assert told(trader) == ["account ORDER", "TRADE FILLED 2", "algo FINISHED"]


def test_a_stop_limit_order_whose_order_is_cancelled_is_finished_with_what_was_filled() -> None:
    floor = Floor()
    trader = holder(floor)
    order = floor.wait(trader, STOP, SELL, "2", "97", price=D("97.5"))
    floor.move("96.5")
    child = trader.orders[order.actual_order_id or 0]
    modify(floor.state, trader, child, SELL, D(2), D("97.6"))
    cancel(floor.state, trader, child)
    assert (order.status, order.actual_quantity, order.actual_price) == (AlgoStatus.FINISHED, D(0), D(0))


def test_a_price_match_is_made_when_the_order_is_met() -> None:
    floor = Floor(half_spread="0.01")
    trader = holder(floor)
    order = floor.wait(trader, STOP, SELL, "2", "97", price_match=PriceMatch.QUEUE)
    floor.move("97")
    # The ask at 97 is 97 * 1.01 = 97.97, on the tick 98.
    assert trader.orders[order.actual_order_id or 0].price == 98


def test_an_order_that_is_refused_when_it_is_met_is_rejected_with_the_reason() -> None:
    floor = Floor()
    trader = floor.account("100")
    order = floor.wait(trader, STOP_MARKET, BUY, "30", "103")  # 30 * 103 / 20 = 154.5
    floor.move("104")
    assert (order.status, order.reject_reason) == (AlgoStatus.REJECTED, "Margin is insufficient.")
    assert told(trader) == ["algo NEW", "algo TRIGGERING", "algo REJECTED"]
    assert (trader.orders, trader.open_algo_orders) == ({}, {})


def test_a_reducing_order_without_a_position_is_rejected_when_it_is_met() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.wait(trader, STOP_MARKET, SELL, "1", "97", reduce_only=True)
    floor.move("97")
    assert (order.status, order.reject_reason) == (AlgoStatus.REJECTED, "ReduceOnly Order is rejected.")


def test_a_reducing_order_reduces_no_more_than_is_held() -> None:
    floor = Floor()
    trader = holder(floor)
    order = floor.wait(trader, STOP_MARKET, SELL, "3", "97", reduce_only=True)
    floor.move("97")
    assert (trader.position(A).amount, order.status, order.actual_quantity) == (D(0), AlgoStatus.FINISHED, D(2))


def test_a_reducing_order_that_must_rest_is_rejected_where_it_would_trade() -> None:
    floor = Floor()
    trader = holder(floor)
    order = floor.wait(trader, STOP, SELL, "2", "97", price=D(96), reduce_only=True, time_in_force=TimeInForce.GTX)
    floor.move("97")
    assert (order.status, fills(trader)[1:]) == (AlgoStatus.REJECTED, [])


def test_an_order_that_was_met_cannot_be_cancelled() -> None:
    floor = Floor()
    trader = holder(floor)
    order = floor.wait(trader, STOP_MARKET, SELL, "2", "97")
    floor.move("97")
    with floor.refuses(-2011):
        cancel_algo(floor.state, trader, order)


def test_a_cancelled_conditional_order_is_told_and_never_met() -> None:
    floor = Floor()
    trader = holder(floor)
    order = floor.wait(trader, STOP_MARKET, SELL, "2", "97")
    cancel_algo(floor.state, trader, order)
    floor.move("96")
    assert (order.status, told(trader)) == (AlgoStatus.CANCELED, ["algo NEW", "algo CANCELED"])


def test_a_conditional_order_expires_at_its_good_till_date() -> None:
    floor = Floor()
    trader = holder(floor)
    date = floor.now + MIN_GTD_MS + 1
    order = floor.wait(trader, STOP, SELL, "2", "97", price=D(97), time_in_force=TimeInForce.GTD, good_till_ms=date)
    floor.now = date - 1_001
    floor.move("99")
    assert order.status is AlgoStatus.NEW
    floor.move("99")
    assert (order.status, told(trader)) == (AlgoStatus.EXPIRED, ["algo NEW", "algo EXPIRED"])


def test_the_order_that_follows_keeps_the_good_till_date_even_when_it_is_near() -> None:
    floor = Floor()
    trader = holder(floor)
    date = floor.now + MIN_GTD_MS + 1
    order = floor.wait(trader, STOP, SELL, "2", "97", price=D("97.5"), time_in_force=TimeInForce.GTD, good_till_ms=date)
    floor.now = date - 61_000
    floor.move("97")
    child = trader.orders[order.actual_order_id or 0]
    assert (child.status, child.good_till_ms) == (Status.NEW, date)
    floor.now = date
    floor.move("97")
    assert (child.status, order.status) == (Status.EXPIRED, AlgoStatus.FINISHED)


def test_a_protected_order_expires_where_last_and_mark_price_lie_too_far_apart() -> None:
    # triggerProtect 2 %: at a last price of 97 the mark price may be up to 98.94.
    for mark, status in (("98.94", AlgoStatus.FINISHED), ("98.95", AlgoStatus.EXPIRED)):
        floor = Floor()
        trader = holder(floor)
        order = floor.wait(trader, STOP_MARKET, SELL, "2", "97", price_protect=True)
        floor.open_bar("97", mark)
        floor.move("97", mark=mark)
        assert order.status is status, mark
        assert order.trigger_ms == floor.now
    assert told(trader) == ["algo NEW", "algo EXPIRED"]


def test_what_was_told_of_a_conditional_order_stays_as_it_was() -> None:
    floor = Floor()
    trader = holder(floor)
    floor.wait(trader, STOP_MARKET, SELL, "2", "97")
    floor.move("97")
    first = trader.outbox[0]
    assert isinstance(first, AlgoUpdate)
    assert (first.order.status, first.order.actual_quantity) == (AlgoStatus.NEW, D(0))


# ---- Closing a position


def test_an_order_that_closes_takes_what_is_held_when_it_is_met() -> None:
    floor = Floor()
    trader = holder(floor)
    order = floor.wait(trader, STOP_MARKET, SELL, None, "97", **CLOSE)
    floor.buy(trader, "3")
    floor.move("97")
    assert (trader.position(A).amount, order.actual_quantity) == (D(0), D(5))
    child = trader.orders[order.actual_order_id or 0]
    assert (child.close_position, child.reduce_only, child.quantity) == (True, True, D(5))


def test_an_order_that_closes_is_rejected_without_a_position_of_its_side() -> None:
    floor = Floor()
    trader = floor.account()
    order = floor.wait(trader, STOP_MARKET, SELL, None, "97", **CLOSE)
    floor.sell(trader, "1")
    floor.move("97")
    assert (order.status, trader.position(A).amount) == (AlgoStatus.REJECTED, D(-1))


def test_what_an_order_that_closes_is_refused_for() -> None:
    floor = Floor()
    trader = holder(floor)
    for kind, more in ((STOP, {"price": D(97)}), (TAKE_PROFIT, {"price": D(97)})):
        with floor.refuses(-4136):
            floor.wait(trader, kind, SELL, None, "97", **CLOSE, **more)
    with floor.refuses(-4136):
        floor.wait(trader, TRAILING, SELL, None, None, callback_rate=D(1), **CLOSE)
    with floor.refuses(-4137):
        floor.wait(trader, STOP_MARKET, SELL, "1", "97", **CLOSE)
    with floor.refuses(-1106):
        floor.wait(trader, STOP_MARKET, SELL, None, "97", reduce_only=True, **CLOSE)


def test_one_stop_and_one_take_profit_may_close_each_side() -> None:
    floor = Floor(symbols=(A, B))
    trader = holder(floor)
    stop = floor.wait(trader, STOP_MARKET, SELL, None, "97", **CLOSE)
    floor.wait(trader, TAKE_PROFIT_MARKET, SELL, None, "103", **CLOSE)
    floor.wait(trader, STOP_MARKET, BUY, None, "103", **CLOSE)
    floor.wait(trader, STOP_MARKET, SELL, None, "97", symbol=B, **CLOSE)
    floor.wait(trader, STOP_MARKET, SELL, "1", "97")
    with floor.refuses(-4130):
        floor.wait(trader, STOP_MARKET, SELL, None, "98", **CLOSE)
    with floor.refuses(-4130):
        floor.wait(trader, TAKE_PROFIT_MARKET, SELL, None, "104", **CLOSE)
    cancel_algo(floor.state, trader, stop)
    floor.wait(trader, STOP_MARKET, SELL, None, "98", **CLOSE)


def test_in_hedge_mode_an_order_that_closes_must_be_against_its_position() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    with floor.refuses(-4061):
        floor.wait(trader, STOP_MARKET, BUY, None, "103", **CLOSE, **LONG)
    with floor.refuses(-4061):
        floor.wait(trader, STOP_MARKET, SELL, None, "97", **CLOSE, **SHORT)
    floor.wait(trader, STOP_MARKET, SELL, None, "97", **CLOSE, **LONG)
    floor.wait(trader, TAKE_PROFIT_MARKET, BUY, None, "97", **CLOSE, **SHORT)


def test_in_hedge_mode_each_order_closes_its_own_position() -> None:
    floor = Floor()
    trader = floor.account(is_hedged=True)
    floor.buy(trader, "3", **LONG)
    floor.sell(trader, "2", **SHORT)
    floor.wait(trader, STOP_MARKET, SELL, None, "97", **CLOSE, **LONG)
    floor.move("96")
    assert (trader.position(f"{A}:LONG").amount, trader.position(f"{A}:SHORT").amount) == (D(0), D(-2))


def test_a_closing_order_is_not_held_against_the_price_band() -> None:
    # last 96 is below 0.97 * 100, where a market order is refused.
    floor = Floor()
    trader = holder(floor)
    floor.wait(trader, STOP_MARKET, SELL, None, "97", **CLOSE)
    floor.open_bar("96", "100")
    floor.move("96", mark="100")
    assert (trader.position(A).amount, fills(trader)[-1]) == (D(0), ("SELL", "2", "96"))


# ---- Trailing stops


def test_a_trailing_sale_follows_the_highest_price_and_is_met_below_it() -> None:
    # 1 % below 104 is 102.96; it fills there, on the tick against the trader.
    floor = Floor()
    trader = holder(floor)
    order = trailing(floor, trader, SELL, "1")
    floor.move("99.1", "104", "103")
    assert order.status is AlgoStatus.NEW
    floor.move("102.9")
    assert (order.status, fills(trader)[1:]) == (AlgoStatus.FINISHED, [("SELL", "1", "102.9")])


def test_a_trailing_purchase_follows_the_lowest_price_and_is_met_above_it() -> None:
    # 1 % above 96 is 96.96.
    floor = Floor()
    trader = floor.account()
    order = trailing(floor, trader, BUY, "1")
    floor.move("96", "96.9")
    assert order.status is AlgoStatus.NEW
    floor.move("98")
    assert fills(trader) == [("BUY", "1", "97")]


def test_a_trailing_stop_is_met_at_its_very_level() -> None:
    floor = Floor()
    trader = holder(floor)
    trailing(floor, trader, SELL, "1")
    floor.move("99")
    assert fills(trader)[1:] == [("SELL", "1", "99")]


def test_a_trailing_stop_sleeps_until_its_activation_price() -> None:
    # It sees 104 first and falls to 102 unharmed; awake from 105 on, it is met 2 % below 106, at 103.88.
    floor = Floor()
    trader = holder(floor)
    order = trailing(floor, trader, SELL, "2", activate_price=D(105))
    floor.move("104", "101")
    assert (order.status, order.is_active) == (AlgoStatus.NEW, False)
    floor.move("106", "103.9")
    assert (order.status, order.is_active, order.extreme) == (AlgoStatus.NEW, True, D(106))
    floor.move("103")
    assert fills(trader)[1:] == [("SELL", "1", "103.8")]


def test_a_trailing_purchase_wakes_at_a_price_below() -> None:
    # Awake at 97; 2 % above 95 is 96.9.
    floor = Floor()
    trader = floor.account()
    order = trailing(floor, trader, BUY, "2", activate_price=D(97))
    floor.move("103", "97.1")
    assert order.is_active is False
    floor.move("95", "97")
    assert fills(trader) == [("BUY", "1", "96.9")]


def test_an_activation_price_must_lie_ahead() -> None:
    floor = Floor()
    trader = floor.account()
    for side, price in ((SELL, "100"), (SELL, "99.9"), (BUY, "100"), (BUY, "100.1")):
        with floor.refuses(-2021):
            trailing(floor, trader, side, "1", activate_price=D(price))


def test_a_trailing_stop_may_follow_the_mark_price() -> None:
    # The mark price goes to 104 and back to 102.96, while the last price goes from 100 to 101 and back to 100.5.
    floor = Floor()
    trader = holder(floor)
    order = trailing(floor, trader, SELL, "1", **MARK)
    floor.move("101", mark="104")
    assert order.extreme == 104
    floor.move("100.5", mark="102.96")
    assert (order.status, fills(trader)[1:]) == (AlgoStatus.FINISHED, [("SELL", "1", "100.5")])


def test_a_trailing_stop_starts_from_the_price_of_its_placement() -> None:
    floor = Floor()
    trader = holder(floor)
    floor.move("105", "102")
    order = trailing(floor, trader, SELL, "1")
    assert order.extreme == 102
    floor.move("101")
    assert fills(trader)[1:] == []
    floor.move("100.9")
    assert fills(trader)[1:] == [("SELL", "1", "100.9")]


def test_a_trailing_stop_is_met_by_a_bar_that_opens_beyond_its_level() -> None:
    # 1 % below 104 is 102.96; the bar opens at 101 and rises.
    floor = Floor()
    trader = holder(floor)
    trailing(floor, trader, SELL, "1")
    floor.move("104")
    floor.open_bar("101")
    floor.move("103")
    assert fills(trader)[1:] == [("SELL", "1", "101")]


def test_a_bar_s_open_counts_for_a_trailing_stop() -> None:
    # The bar opens at 106; 1 % below is 104.94.
    floor = Floor()
    trader = holder(floor)
    trailing(floor, trader, SELL, "1")
    floor.open_bar("106")
    floor.move("104")
    assert fills(trader)[1:] == [("SELL", "1", "104.9")]


@pytest.mark.parametrize(("rate", "code"), [("0.09", -1130), ("20.1", -1130), ("0", -1130)])
def test_a_callback_rate_must_be_in_its_range(rate: str, code: int) -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(code):
        trailing(floor, trader, SELL, rate)


def test_what_else_a_trailing_stop_is_refused_for() -> None:
    floor = Floor()
    trader = floor.account()
    with floor.refuses(-1102):
        floor.wait(trader, TRAILING, SELL, "1", None)
    with floor.refuses(-1111):
        trailing(floor, trader, SELL, "1", activate_price=D("103.05"))
    for rate in ("0.1", "20"):
        assert trailing(floor, trader, SELL, rate).status is AlgoStatus.NEW
