"""The local exchange's order endpoints, through the dispatcher and a real engine.

Rules and codes: the API documentation of USD-M futures, "New Order", "Modify Order", "Cancel Order", "Query Order",
"Place Multiple Orders" and "Error Codes" (read in autumn 2026). In the bar of these tests a market order buys BTCUSDT
at 50 010 and sells it at 49 990 USDT; the taker's fee is 0.05 %, the maker's 0.02 %.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from rl_trader.local_exchange.protocol.limits import LimitTerms
from tests.account_stage import DAY, AccountStage

BTC = {"symbol": "BTCUSDT"}
MARKET = BTC | {"side": "BUY", "type": "MARKET", "quantity": "0.1"}
LIMIT = BTC | {"side": "BUY", "type": "LIMIT", "quantity": "0.1", "price": "49000", "timeInForce": "GTC"}
WITHOUT_PAYMENT = {"avgPrice", "cumQuote", "cumBase"}


def without(params: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in params.items() if name not in names}


# New orders


def test_a_market_order_is_acknowledged_as_new_though_it_has_filled() -> None:
    stage = AccountStage()
    answer = stage.post("order", **MARKET)
    assert (answer["status"], answer["executedQty"], answer["cumQty"]) == ("NEW", "0.000", "0.000")
    found = stage.get("order", **BTC, orderId=answer["orderId"])
    # 0.1 * 50 010 = 5 001
    assert (found["status"], found["executedQty"], found["avgPrice"]) == ("FILLED", "0.100", "50010.00")
    assert found["cumQuote"] == "5001.00000"


def test_with_the_response_type_result_the_answer_is_what_became_of_the_order() -> None:
    stage = AccountStage()
    filled = stage.post("order", **MARKET, newOrderRespType="RESULT")
    assert (filled["status"], filled["executedQty"], filled["cumQty"]) == ("FILLED", "0.100", "0.100")
    expired = stage.post("order", **LIMIT | {"timeInForce": "IOC", "newOrderRespType": "RESULT"})
    assert (expired["status"], expired["executedQty"]) == ("EXPIRED", "0.000")


def test_answers_to_new_changed_and_cancelled_orders_do_not_tell_what_was_paid_and_queries_do() -> None:
    stage = AccountStage()
    placed = stage.post("order", **LIMIT, newClientOrderId="mine")
    changed = stage.ask(
        "PUT", "/fapi/v1/order", **BTC, side="BUY", quantity="0.2", price="48000", orderId=placed["orderId"]
    )
    for name in ("order", "openOrder"):
        assert set(stage.get(name, **BTC, origClientOrderId="mine")) >= {"avgPrice", "cumQuote"}
    (listed,) = stage.get("allOrders", **BTC)
    assert set(listed) >= {*WITHOUT_PAYMENT, "pair"}
    cancelled = stage.ask("DELETE", "/fapi/v1/order", **BTC, origClientOrderId="mine")
    for answer in (placed, changed, cancelled):
        assert not WITHOUT_PAYMENT & set(answer)
        assert "time" not in answer


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (without(MARKET, "symbol"), -1102),
        (without(MARKET, "side"), -1102),
        (without(MARKET, "type"), -1102),
        (without(MARKET, "quantity"), -1102),
        (without(LIMIT, "timeInForce"), -1102),
        (without(LIMIT, "quantity"), -1102),
        (without(LIMIT, "price"), -1102),
        (MARKET | {"timeInForce": "GTC"}, -1106),
        (MARKET | {"price": "50000"}, -1106),
        (LIMIT | {"priceMatch": "QUEUE"}, -1106),
        (MARKET | {"symbol": "NOUSDT"}, -1121),
        (MARKET | {"side": "LONG"}, -1117),
        (MARKET | {"type": "FOK"}, -1116),
        (LIMIT | {"timeInForce": "DAY"}, -1115),
        (MARKET | {"positionSide": "NONE"}, -4060),
        (MARKET | {"positionSide": "LONG"}, -4061),
        (MARKET | {"newOrderRespType": "FULL"}, -1136),
        (MARKET | {"selfTradePreventionMode": "MAYBE"}, -5039),
        (without(LIMIT, "price") | {"priceMatch": "BEST"}, -5037),
        (without(LIMIT, "price") | {"priceMatch": "QUEUE_5"}, -5041),
        (MARKET | {"priceMatch": "OPPONENT"}, -5038),
        (LIMIT | {"timeInForce": "GTD"}, -1102),
        (LIMIT | {"timeInForce": "GTD", "goodTillDate": "1"}, -5040),
        (MARKET | {"type": "STOP_MARKET"}, -4120),
        (MARKET | {"type": "TAKE_PROFIT"}, -4120),
        (MARKET | {"type": "TRAILING_STOP_MARKET"}, -4120),
        (MARKET | {"newClientOrderId": "no blanks"}, -1130),
        (MARKET | {"newClientOrderId": "x" * 40}, -4015),
        (MARKET | {"newClientOrderId": ""}, -1105),
        (MARKET | {"quantity": "0"}, -4003),
        (MARKET | {"quantity": "much"}, -1102),
        (MARKET | {"quantity": "0.0001"}, -1111),
        (LIMIT | {"quantity": "1001"}, -4005),
        (LIMIT | {"price": "49000.05"}, -4014),  # the tick is written 0.10
        (LIMIT | {"price": "49000.055"}, -1111),
        (LIMIT | {"price": "52500.1"}, -4016),
        (LIMIT | {"side": "SELL", "price": "47499.9"}, -4024),
        (LIMIT | {"quantity": "0.001", "price": "49000"}, -4164),
        (LIMIT | {"timeInForce": "GTX", "price": "50010"}, -5022),
        (LIMIT | {"timeInForce": "FOK"}, -5021),
        (MARKET | {"reduceOnly": "true"}, -2022),
        (MARKET | {"reduceOnly": "perhaps"}, -1130),
        (MARKET | {"quantity": "10"}, -2019),
        (LIMIT | {"quantity": "1000"}, -2019),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_and_leaves_no_trace(params: dict[str, object], code: int) -> None:
    stage = AccountStage()
    if code == -2019:
        stage.post("leverage", **BTC, leverage=1)
    told = len(stage.messages)
    assert stage.code("POST", "order", **params) == code
    assert stage.code("POST", "order/test", **params) == code
    assert stage.get("allOrders", **BTC) == []
    assert len(stage.messages) == told


def test_the_refusals_name_the_parameter() -> None:
    stage = AccountStage()

    def text(params: Mapping[str, object]) -> object:
        return json.loads(stage.respond("POST", "/fapi/v1/order", **params).body)["msg"]

    assert text(MARKET | {"timeInForce": "GTC"}) == "Parameter 'timeInForce' sent when not required."
    missing = "Mandatory parameter 'price' was not sent, was empty/null, or malformed."
    assert text(without(LIMIT, "price")) == missing


def test_an_order_is_tried_without_being_placed() -> None:
    stage = AccountStage()
    answer = stage.post("order/test", **LIMIT)
    assert (answer["status"], answer["price"], answer["origQty"]) == ("NEW", "49000.00", "0.100")
    assert stage.get("openOrders", **BTC) == []
    assert stage.messages == []
    stage.post("order", **LIMIT)
    assert len(stage.messages) == 1


def test_an_order_with_a_price_match_takes_the_books_price() -> None:
    stage = AccountStage()
    order = stage.post("order", **without(LIMIT, "price"), priceMatch="QUEUE")
    assert (order["price"], order["priceMatch"], order["status"]) == ("49990.00", "QUEUE", "NEW")


def test_a_good_till_date_keeps_its_seconds_and_ends_the_order() -> None:
    stage = AccountStage()
    due = stage.now_ms + 700_123
    order = stage.post("order", **LIMIT | {"timeInForce": "GTD", "goodTillDate": due})
    assert order["goodTillDate"] == due // 1000 * 1000
    stage.wait(701_000)
    assert stage.get("order", **BTC, orderId=order["orderId"])["status"] == "EXPIRED"


def test_a_hedging_account_must_say_which_position_an_order_is_for() -> None:
    stage = AccountStage()
    stage.post("positionSide/dual", dualSidePosition="true")
    assert stage.code("POST", "order", **MARKET) == -4061
    assert stage.code("POST", "order", **MARKET, positionSide="LONG", reduceOnly="true") == -1106
    order = stage.post("order", **MARKET, positionSide="LONG")
    assert order["positionSide"] == "LONG"
    assert (
        stage.code("POST", "order", **MARKET | {"side": "SELL", "positionSide": "SHORT", "quantity": "0.0005"}) == -1111
    )


# Asking


def test_an_order_is_found_by_its_number_or_its_client_id_and_the_number_wins() -> None:
    stage = AccountStage()
    first = stage.post("order", **LIMIT, newClientOrderId="first")
    second = stage.post("order", **LIMIT, newClientOrderId="second")
    assert stage.get("order", **BTC, orderId=first["orderId"])["clientOrderId"] == "first"
    assert stage.get("order", **BTC, origClientOrderId="second")["orderId"] == second["orderId"]
    both = stage.get("order", **BTC, orderId=first["orderId"], origClientOrderId="second")
    assert both["clientOrderId"] == "first"


def test_an_order_that_is_not_there_is_2013_to_ask_for_and_2011_to_cancel() -> None:
    stage = AccountStage()
    order = stage.post("order", **LIMIT)
    for params in ({"orderId": 1}, {"origClientOrderId": "none"}, {"orderId": order["orderId"], "symbol": "ETHUSDT"}):
        assert stage.code("GET", "order", **BTC | params) == -2013
        assert stage.code("GET", "openOrder", **BTC | params) == -2013
        assert stage.code("DELETE", "order", **BTC | params) == -2011
        changed = {"side": "BUY", "quantity": "0.2", "price": "48000"}
        assert stage.code("PUT", "order", **BTC | params | changed) == -2013
    assert stage.code("GET", "order", **BTC) == -1102
    assert stage.code("DELETE", "order", **BTC) == -1102


def test_a_filled_order_cannot_be_cancelled_and_is_not_open() -> None:
    stage = AccountStage()
    order = stage.post("order", **MARKET)
    assert stage.code("DELETE", "order", **BTC, orderId=order["orderId"]) == -2011
    assert stage.code("GET", "openOrder", **BTC, orderId=order["orderId"]) == -2013


def test_another_account_does_not_see_an_order() -> None:
    stage = AccountStage(accounts=("main", "other"))
    order = stage.post("order", **LIMIT)
    stage.use("other")
    assert stage.code("GET", "order", **BTC, orderId=order["orderId"]) == -2013
    assert stage.get("openOrders") == []
    assert stage.get("allOrders", **BTC) == []


def test_open_orders_are_of_one_symbol_or_of_all() -> None:
    stage = AccountStage()
    bitcoin = stage.post("order", **LIMIT)["orderId"]
    ether = stage.post("order", **LIMIT | {"symbol": "ETHUSDT", "price": "1950"})["orderId"]
    assert [order["orderId"] for order in stage.get("openOrders")] == [bitcoin, ether]
    assert [order["orderId"] for order in stage.get("openOrders", symbol="ETHUSDT")] == [ether]
    stage.ask("DELETE", "/fapi/v1/allOpenOrders", **BTC)
    assert [order["orderId"] for order in stage.get("openOrders")] == [ether]


def test_orders_without_a_fill_are_forgotten_three_days_after_they_came_and_all_after_ninety() -> None:
    stage = AccountStage()
    unfilled = stage.post("order", **LIMIT | {"timeInForce": "IOC"})["orderId"]
    cancelled = stage.post("order", **LIMIT)["orderId"]
    stage.ask("DELETE", "/fapi/v1/order", **BTC, orderId=cancelled)
    filled, resting = stage.post("order", **MARKET)["orderId"], stage.post("order", **LIMIT)["orderId"]

    def known() -> list[int]:
        found = [
            order
            for order in (unfilled, cancelled, filled, resting)
            if stage.respond("GET", "/fapi/v1/order", **BTC, orderId=order).status == 200
        ]
        if stage.now_ms - stage.trader.orders[unfilled].time_ms <= 7 * DAY:
            assert [order["orderId"] for order in stage.get("allOrders", **BTC)] == found
        return found

    stage.wait(3 * DAY)
    assert known() == [unfilled, cancelled, filled, resting]
    stage.wait(1)
    assert known() == [filled, resting]
    stage.wait(87 * DAY - 1)
    assert known() == [filled, resting]
    stage.wait(1)
    assert known() == [resting]


def test_an_order_that_is_cancelled_late_is_forgotten_three_days_after_it_came_all_the_same() -> None:
    stage = AccountStage()
    order = stage.post("order", **LIMIT)["orderId"]
    stage.wait(3 * DAY + 1)
    assert stage.get("order", **BTC, orderId=order)["status"] == "NEW"
    stage.ask("DELETE", "/fapi/v1/order", **BTC, orderId=order)
    assert stage.code("GET", "order", **BTC, orderId=order) == -2013


def test_all_orders_are_of_at_most_a_week_and_the_newest_unless_a_start_or_a_number_is_asked_for() -> None:
    stage = AccountStage()
    ids = []
    for _ in range(4):
        ids.append(stage.post("order", **LIMIT)["orderId"])
        stage.wait(3 * DAY)
    start = stage.now_ms - 12 * DAY  # when the first order came

    def listed(**params: object) -> list[Any]:
        return [ids.index(order["orderId"]) for order in stage.get("allOrders", **BTC, **params)]

    assert listed() == [2, 3]  # of 6 and 3 days ago
    assert listed(limit=1) == [3]
    assert listed(startTime=start) == [0, 1, 2]  # a week from there
    assert listed(startTime=start, limit=1) == [0]
    assert listed(startTime=start + 1, endTime=start + 3 * DAY) == [1]
    assert listed(endTime=start + 3 * DAY) == [0, 1]
    assert listed(orderId=ids[1]) == [1, 2, 3]
    assert listed(orderId=ids[1], limit=2) == [1, 2]
    assert stage.code("GET", "allOrders", **BTC, startTime=start, endTime=start + 7 * DAY + 1) == -4165
    assert stage.code("GET", "allOrders", **BTC, startTime=start, endTime=start - 1) == -1023
    assert stage.code("GET", "allOrders", **BTC, limit=1001) == -1130
    assert stage.code("GET", "allOrders", **BTC, limit=0) == -1130
    assert len(stage.get("allOrders")) == 2  # the symbol may be left out


# Changing and cancelling


def test_a_limit_order_is_changed_and_keeps_a_history_with_the_newest_first() -> None:
    stage = AccountStage()
    order = stage.post("order", **LIMIT)["orderId"]
    stage.wait(1_000)
    change = BTC | {"side": "BUY", "orderId": order, "quantity": "0.2", "price": "48000.5", "modifyId": 11}
    answer = stage.ask("PUT", "/fapi/v1/order", **change)
    assert (answer["price"], answer["origQty"], answer["modifyId"], answer["pair"]) == (
        "48000.50",
        "0.200",
        11,
        "BTCUSDT",
    )
    stage.wait(1_000)
    stage.ask("PUT", "/fapi/v1/order", **change | {"quantity": "0.3"})
    second, first = stage.get("orderAmendment", **BTC, orderId=order)
    assert first["amendment"] == {
        "price": {"before": "49000.00", "after": "48000.50"},
        "origQty": {"before": "0.100", "after": "0.200"},
        "count": 1,
        "modifyId": 11,
    }
    assert second["amendment"]["origQty"] == {"before": "0.200", "after": "0.300"}
    assert second["amendment"]["count"] == 2
    assert second["time"] == first["time"] + 1_000
    assert stage.get("orderAmendment", **BTC, orderId=order, limit=1) == [second]
    assert stage.get("orderAmendment", **BTC, orderId=order, endTime=first["time"]) == [first]


def test_a_change_is_refused_for_what_the_exchange_refuses_it_for() -> None:
    stage = AccountStage()
    order = stage.post("order", **LIMIT)["orderId"]
    change = BTC | {"side": "BUY", "orderId": order, "quantity": "0.2", "price": "48000"}
    assert stage.code("PUT", "order", **without(change, "price")) == -1102
    assert stage.code("PUT", "order", **without(change, "quantity")) == -1102
    assert stage.code("PUT", "order", **change | {"side": "SELL"}) == -1117
    assert stage.code("PUT", "order", **change | {"price": "48000.05"}) == -4014
    assert stage.code("PUT", "order", **change | {"quantity": "0.1", "price": "49000"}) == -5027
    assert stage.code("PUT", "order", **change | {"reduceOnly": "true"}) == -5047
    assert stage.code("PUT", "order", **change | {"quantity": "0.001"}) == -4164
    filled = stage.post("order", **MARKET)["orderId"]
    assert stage.code("PUT", "order", **change | {"orderId": filled}) == -2013
    matched = stage.ask("PUT", "/fapi/v1/order", **without(change, "price"), priceMatch="QUEUE")
    assert matched["price"] == "49990.00"


def test_a_reduce_only_order_keeps_its_freedom_from_the_smallest_notional_only_if_that_is_said_again() -> None:
    stage = AccountStage()
    stage.order("BUY", "0.01")
    order = stage.order("SELL", "0.002", "51000", reduceOnly="true")["orderId"]
    change = BTC | {"side": "SELL", "orderId": order, "quantity": "0.001", "price": "49995"}  # 49.995 USDT, below 50
    assert stage.code("PUT", "order", **change) == -4164
    assert stage.ask("PUT", "/fapi/v1/order", **change, reduceOnly="true")["origQty"] == "0.001"


def test_a_post_only_order_that_is_changed_so_that_it_would_trade_is_cancelled() -> None:
    stage = AccountStage()
    order = stage.post("order", **LIMIT | {"timeInForce": "GTX"})["orderId"]
    answer = stage.ask("PUT", "/fapi/v1/order", **BTC, side="BUY", orderId=order, quantity="0.1", price="50010")
    assert answer["status"] == "CANCELED"


def test_cancelling_all_orders_answers_a_code_that_is_a_number_and_leaves_conditional_orders() -> None:
    stage = AccountStage()
    stage.post("order", **LIMIT)
    stage.post(
        "algoOrder",
        **BTC,
        algoType="CONDITIONAL",
        side="SELL",
        type="STOP_MARKET",
        quantity="0.1",
        triggerPrice="40000",
    )
    answer = stage.ask("DELETE", "/fapi/v1/allOpenOrders", **BTC)
    assert answer == {"code": 200, "msg": "The operation of cancel all open order is done."}
    assert stage.get("openOrders", **BTC) == []
    assert len(stage.get("openAlgoOrders", **BTC)) == 1


def test_the_countdown_cancels_a_symbols_orders_unless_it_is_started_again_or_called_off() -> None:
    stage = AccountStage()
    stage.post("order", **LIMIT)
    stage.post("order", **LIMIT | {"symbol": "ETHUSDT", "price": "1950"})
    assert stage.post("countdownCancelAll", **BTC, countdownTime=5_000) == {
        "symbol": "BTCUSDT",
        "countdownTime": "5000",
    }
    stage.wait(4_999)
    stage.venue.tick()
    stage.post("countdownCancelAll", **BTC, countdownTime=5_000)
    stage.post("countdownCancelAll", symbol="ETHUSDT", countdownTime=5_000)
    stage.post("countdownCancelAll", symbol="ETHUSDT", countdownTime=0)
    stage.wait(4_999)
    stage.venue.tick()
    assert len(stage.get("openOrders")) == 2
    stage.wait(1)
    stage.venue.tick()
    assert [order["symbol"] for order in stage.get("openOrders")] == ["ETHUSDT"]
    assert stage.code("POST", "countdownCancelAll", **BTC, countdownTime=-1) == -1130


# Batches


def test_each_order_of_a_batch_is_answered_by_itself() -> None:
    stage = AccountStage()
    orders = [LIMIT, MARKET | {"type": "STOP"}, MARKET | {"symbol": "NO"}, LIMIT | {"reduceOnly": True}, 7, MARKET]
    answers = stage.post("batchOrders", batchOrders=orders[:5])
    assert [answer.get("code", answer.get("status")) for answer in answers] == ["NEW", -4120, -1121, -2022, -1102]
    assert all(set(answer) == {"code", "msg"} for answer in answers[1:])
    (filled,) = stage.post("batchOrders", batchOrders=[MARKET | {"newOrderRespType": "RESULT", "quantity": "0.050"}])
    assert (filled["status"], filled["executedQty"]) == ("FILLED", "0.050")


def test_a_batch_has_one_to_five_orders() -> None:
    stage = AccountStage()
    assert stage.code("POST", "batchOrders", batchOrders=[]) == -4082
    assert stage.code("POST", "batchOrders", batchOrders=[LIMIT] * 6) == -4082
    assert stage.code("PUT", "batchOrders", batchOrders=[LIMIT] * 6) == -4082
    assert stage.code("POST", "batchOrders", batchOrders={"symbol": "BTCUSDT"}) == -1102
    assert stage.code("POST", "batchOrders", batchOrders="[") == -1102
    assert stage.code("POST", "batchOrders") == -1102
    assert stage.get("openOrders") == []


def test_orders_are_changed_in_a_batch() -> None:
    stage = AccountStage()
    order = stage.post("order", **LIMIT)["orderId"]
    change = BTC | {"side": "BUY", "orderId": order, "quantity": 0.2, "price": 48000}  # numbers, as JSON has them
    changed, missing = stage.ask("PUT", "/fapi/v1/batchOrders", batchOrders=[change, change | {"orderId": 5}])
    assert (changed["origQty"], changed["price"]) == ("0.200", "48000.00")
    assert missing == {"code": -2013, "msg": "Order does not exist."}


@pytest.mark.parametrize("name", ["orderIdList", "orderidlist"])
def test_orders_are_cancelled_in_a_batch_by_number(name: str) -> None:
    stage = AccountStage()
    orders = [stage.post("order", **LIMIT)["orderId"] for _ in range(2)]
    answers = stage.ask("DELETE", "/fapi/v1/batchOrders", **BTC, **{name: [orders[0], 5, orders[1]]})
    assert [answer.get("status") for answer in answers] == ["CANCELED", None, "CANCELED"]
    assert answers[1] == {"code": -2011, "msg": "Unknown order sent."}


@pytest.mark.parametrize("name", ["origClientOrderIdList", "origclientorderidlist"])
def test_orders_are_cancelled_in_a_batch_by_client_id(name: str) -> None:
    stage = AccountStage()
    stage.post("order", **LIMIT, newClientOrderId="a")
    answers = stage.ask("DELETE", "/fapi/v1/batchOrders", **BTC, **{name: ["a", "b"]})
    assert [answer.get("code", answer.get("status")) for answer in answers] == ["CANCELED", -2011]
    assert stage.code("DELETE", "batchOrders", **BTC, **{name: ["a"] * 11}) == -1130
    assert stage.code("DELETE", "batchOrders", **BTC) == -1102


# Weights and counts


def spent(stage: AccountStage, method: str, name: str, **params: object) -> tuple[int, int, int]:
    """Return what a request costs: weight, orders of the 10 seconds and of the minute."""
    limits, account, now = stage.venue.limits, stage.trader.name, stage.venue.session_ms()
    before = (limits.used_weight("127.0.0.1", now), *limits.order_counts(account, now))
    stage.ask(method, f"/fapi/v1/{name}", **params)
    after = (limits.used_weight("127.0.0.1", now), *limits.order_counts(account, now))
    weight, ten_seconds, minute = (b - a for a, b in zip(before, after, strict=True))
    return weight, ten_seconds, minute


def test_requests_cost_what_the_documentation_says() -> None:
    stage = AccountStage()
    assert spent(stage, "POST", "order", **LIMIT, newClientOrderId="a") == (0, 1, 1)
    change = BTC | {"side": "BUY", "origClientOrderId": "a", "quantity": "0.2", "price": "48000"}
    assert spent(stage, "PUT", "order", **change) == (0, 1, 1)
    assert spent(stage, "POST", "order/test", **LIMIT) == (0, 0, 0)
    assert spent(stage, "POST", "batchOrders", batchOrders=[LIMIT]) == (5, 5, 1)
    assert spent(stage, "PUT", "batchOrders", batchOrders=[change]) == (5, 5, 1)
    assert spent(stage, "GET", "order", **BTC, origClientOrderId="a") == (1, 0, 0)
    assert spent(stage, "GET", "openOrder", **BTC, origClientOrderId="a") == (1, 0, 0)
    assert spent(stage, "GET", "openOrders", **BTC) == (1, 0, 0)
    assert spent(stage, "GET", "openOrders") == (40, 0, 0)
    assert spent(stage, "GET", "allOrders", **BTC) == (5, 0, 0)
    assert spent(stage, "GET", "orderAmendment", **BTC, origClientOrderId="a") == (1, 0, 0)
    assert spent(stage, "DELETE", "order", **BTC, origClientOrderId="a") == (1, 0, 0)
    assert spent(stage, "DELETE", "batchOrders", **BTC, orderIdList=[1]) == (1, 0, 0)
    assert spent(stage, "DELETE", "allOpenOrders", **BTC) == (1, 0, 0)
    assert spent(stage, "POST", "countdownCancelAll", **BTC, countdownTime=0) == (10, 0, 0)


def test_orders_beyond_the_accounts_budget_are_refused_with_1015_over_both_apis() -> None:
    stage = AccountStage(limits=LimitTerms(orders_per_10_s=7))
    stage.post("batchOrders", batchOrders=[LIMIT])
    stage.post("order", **LIMIT)
    assert stage.call("order.place", **LIMIT)["status"] == 200
    assert stage.call("order.place", **LIMIT)["error"]["code"] == -1015
    response = stage.respond("POST", "/fapi/v1/order", **LIMIT)
    assert (response.status, json.loads(response.body)["code"]) == (429, -1015)


# WebSocket API


def test_orders_live_through_the_websocket_api_as_over_rest() -> None:
    stage = AccountStage()
    placed = stage.call("order.place", **LIMIT, newClientOrderId="a")["result"]
    assert (
        stage.get("order", **BTC, origClientOrderId="a")
        == stage.call("order.status", **BTC, origClientOrderId="a")["result"]
    )
    changed = stage.call("order.modify", **BTC, side="BUY", orderId=placed["orderId"], quantity="0.2", price="48000")
    assert changed["result"]["origQty"] == "0.200"
    assert stage.call("order.cancel", **BTC, orderId=placed["orderId"])["result"]["status"] == "CANCELED"
    refused = stage.call("order.cancel", **BTC, orderId=placed["orderId"])
    assert (refused["status"], refused["error"]) == (400, {"code": -2011, "msg": "Unknown order sent."})
    assert stage.call("order.place", **MARKET | {"type": "STOP_MARKET"})["error"]["code"] == -4120
