"""Faults of calls: what the caller sees, and that the account changes exactly where the plan says so.

A market order buys 0.1 BTCUSDT at 50 010 USDT.
"""

import json
from decimal import Decimal
from typing import Any

import ccxt
import pytest
import requests

from rl_trader.local_exchange.shells.memory import MemoryAdapter, MemoryTransport
from tests.fault_stage import BAR, FALLING, FLAT, START, FaultStage, events, names, order

ORDER = "POST /fapi/v1/order"
BOUGHT = Decimal("0.1")


def fault(endpoint: str, action: str, nth: int | None = None, **fields: Any) -> dict[str, Any]:
    on = {"endpoint": endpoint} if nth is None else {"endpoint": endpoint, "nth": nth}
    return {"on": on, "do": {"action": action, **fields}}


# ---- Lost requests and answers


@pytest.mark.parametrize(("action", "held"), [("drop_request", Decimal(0)), ("drop_answer", BOUGHT)])
def test_a_lost_request_changes_nothing_and_a_lost_answer_hides_what_was_done(action: str, held: Decimal) -> None:
    stage = FaultStage(fault(ORDER, action, nth=1))
    with pytest.raises(requests.ConnectionError, match="Remote end closed connection without response"):
        stage.order()
    assert stage.held() == held
    assert stage.order()["status"] == "FILLED"
    assert stage.held() == held + BOUGHT


@pytest.mark.parametrize("at_byte", [0, 1, 40])
def test_an_answer_is_cut_after_the_order_was_carried_out(at_byte: int) -> None:
    stage = FaultStage(fault(ORDER, "cut", nth=1, at_byte=at_byte))
    broken = pytest.raises(requests.exceptions.ChunkedEncodingError, match=f"IncompleteRead\\({at_byte} bytes read")
    with broken:
        stage.order()
    assert stage.held() == BOUGHT


def test_an_answer_that_is_cut_behind_its_end_arrives_whole() -> None:
    stage = FaultStage(fault(ORDER, "cut", at_byte=100_000))
    assert stage.order()["status"] == "FILLED"


def test_ccxt_sees_a_lost_answer_as_a_network_error_and_may_not_place_again() -> None:
    stage = FaultStage(fault(ORDER, "drop_answer"))
    key = stage.keys["main"]
    exchange = ccxt.binanceusdm({"apiKey": key.key, "secret": key.secret, "enableRateLimit": False})
    exchange.session.mount("https://", MemoryAdapter(stage.transport))
    exchange.milliseconds = stage.venue.session_ms
    with pytest.raises(ccxt.NetworkError):
        exchange.fapiPrivatePostOrder(order())
    assert stage.held() == BOUGHT


# ---- Answers that are no answers


@pytest.mark.parametrize(
    ("fields", "body", "held"),
    [
        (
            {"which": "unknown", "carried_out": True},
            {"code": -1000, "msg": "Unknown error, please check your request or try again later."},
            BOUGHT,
        ),
        (
            {"which": "unknown", "carried_out": False, "code": None},
            {"msg": "Unknown error, please check your request or try again later."},
            Decimal(0),
        ),
        ({"which": "service", "code": -1003}, {"code": -1003, "msg": "Service Unavailable."}, Decimal(0)),
        (
            {"which": "internal"},
            {"code": -1001, "msg": "Internal error; unable to process your request. Please try again."},
            Decimal(0),
        ),
        (
            {"which": "throttled"},
            {
                "code": -1008,
                "msg": "Request throttled by system-level protection. Reduce-only/close-position orders are exempt."
                " Please try again.",
            },
            Decimal(0),
        ),
    ],
)
def test_an_exchange_is_unavailable_in_each_of_its_ways(fields: Any, body: Any, held: Decimal) -> None:
    stage = FaultStage(fault(ORDER, "unavailable", nth=1, **fields))
    response = stage.respond("POST", "/fapi/v1/order", **order())
    assert (response.status, json.loads(response.body)) == (503, body)
    assert stage.held() == held


def test_throttling_spares_orders_that_only_reduce_or_close() -> None:
    stage = FaultStage(
        {"on": {"endpoint": "* /fapi/v1/*rder*", "first": 2}, "do": {"action": "unavailable", "which": "throttled"}}
    )
    assert stage.order()["status"] == "FILLED"
    assert stage.order()["code"] == -1008
    assert stage.order("SELL", reduceOnly=True)["status"] == "FILLED"
    close = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
    close |= {"triggerPrice": "40000", "closePosition": "true"}
    assert stage.ask("POST", "/fapi/v1/algoOrder", **close)["algoStatus"] == "NEW"
    assert stage.refusal("GET", "/fapi/v1/openOrders") == (503, -1008)
    assert len(stage.faults.log.entries) == 2


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_gateway_answers_with_a_page(status: int, carried_out: bool) -> None:
    stage = FaultStage(fault(ORDER, "status", status=status, carried_out=carried_out))
    response = stage.respond("POST", "/fapi/v1/order", **order())
    assert (response.status, response.headers["Content-Type"]) == (status, "text/html")
    assert response.body.startswith(b"<html>")
    assert stage.held() == (BOUGHT if carried_out else 0)


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_backend_that_is_late_is_408(carried_out: bool) -> None:
    stage = FaultStage(fault(ORDER, "status", status=408, carried_out=carried_out))
    assert stage.refusal("POST", "/fapi/v1/order", **order()) == (408, -1007)
    assert stage.held() == (BOUGHT if carried_out else 0)


# ---- Refusals


@pytest.mark.parametrize(("fields", "code"), [({}, -1003), ({"of": "orders"}, -1015)])
def test_a_limit_is_reached(fields: Any, code: int) -> None:
    stage = FaultStage(
        fault(ORDER, "rate_limit", nth=1, retry_after_s=7, **fields), fault(ORDER, "rate_limit", nth=1, **fields)
    )
    response = stage.respond("POST", "/fapi/v1/order", **order())
    assert (response.status, json.loads(response.body)["code"], response.headers["Retry-After"]) == (429, code, "7")
    assert stage.held() == 0
    bare = FaultStage(fault(ORDER, "rate_limit", nth=1, **fields)).respond("POST", "/fapi/v1/order", **order())
    assert "Retry-After" not in bare.headers


def test_a_ban_refuses_every_call_of_the_address_until_it_ends() -> None:
    stage = FaultStage(fault(ORDER, "ban", nth=1, for_ms=120_000))
    until = stage.venue.session_ms() + 120_000
    response = stage.respond("POST", "/fapi/v1/order", **order())
    assert (response.status, response.headers["Retry-After"]) == (418, "120")
    assert f"banned until {until}" in json.loads(response.body)["msg"]
    stage.wait(119_000)
    assert stage.respond("GET", "/fapi/v1/ping").headers["Retry-After"] == "1"
    elsewhere = MemoryTransport(stage.transport._dispatcher, "127.0.0.2", stage.faults)
    assert elsewhere.request("GET", "/fapi/v1/ping").status == 200
    stage.wait(1_000)
    assert stage.order()["status"] == "FILLED"
    assert stage.held() == BOUGHT


@pytest.mark.parametrize("code", [-1021, -5028])
def test_a_request_is_said_to_be_late(code: int) -> None:
    stage = FaultStage(fault(ORDER, "timestamp", code=code))
    assert stage.refusal("POST", "/fapi/v1/order", **order()) == (400, code)
    assert stage.held() == 0


def test_the_servers_clock_is_said_to_be_elsewhere_for_a_while() -> None:
    skew = {
        "on": {"endpoint": "GET /fapi/v1/time", "until": START + BAR},
        "do": {"action": "clock_skew", "ms": -30_000},
    }
    stage = FaultStage(skew)
    assert stage.ask("GET", "/fapi/v1/time") == {"serverTime": START - 30_000}
    stage.next_open()
    assert stage.ask("GET", "/fapi/v1/time") == {"serverTime": START + BAR}


# ---- Time


def test_a_late_request_fills_at_the_price_of_its_arrival_and_a_late_answer_does_not() -> None:
    bars = (FLAT, "51000 51000 51000 51000 1000", FLAT)
    late = FaultStage(fault(ORDER, "delay", ms=BAR), bars=bars)
    assert late.order(recvWindow=60_000)["code"] == -1021  # half an hour is beyond every window
    assert late.venue.market_ms() == START + BAR
    late = FaultStage(fault(ORDER, "delay", ms=1_000), bars=bars)
    late.venue.advance(START + BAR - 500)
    assert late.order()["status"] == "FILLED"
    assert late.venue.trader("main").position("BTCUSDT").entry_price == Decimal("51010.2")  # 51 000 * 1.0002
    answered_late = FaultStage(fault(ORDER, "delay", of="answer", ms=1_000), bars=bars)
    answered_late.venue.advance(START + BAR - 500)
    assert answered_late.order()["status"] == "FILLED"
    assert answered_late.venue.market_ms() == START + BAR + 500
    assert answered_late.venue.trader("main").position("BTCUSDT").entry_price == Decimal(50010)


def test_several_faults_happen_to_one_call_the_first_one_nearest_to_the_caller() -> None:
    stage = FaultStage(
        fault(ORDER, "drop_answer"),
        fault(ORDER, "delay", ms=1_000),
        fault(ORDER, "unavailable", which="unknown", carried_out=True),
    )
    with pytest.raises(requests.ConnectionError):
        stage.order()
    assert stage.held() == BOUGHT
    assert stage.venue.market_ms() == START + 1_000
    assert [entry.fault for entry in stage.faults.log.entries] == ["1 drop_answer", "2 delay", "3 unavailable"]


# ---- Fills


def test_an_order_fills_only_in_part_and_the_next_one_wholly() -> None:
    stage = FaultStage(
        fault(ORDER, "partial_fill", nth=1, fraction="0.37"), fault(ORDER, "partial_fill", nth=2, amount="0.004")
    )
    filled = stage.order(quantity="0.01")
    assert (filled["status"], filled["executedQty"]) == ("EXPIRED", "0.003")  # 0.0037 in whole steps
    resting = stage.order(quantity="0.01", price="50100", newOrderRespType="RESULT")
    assert (resting["status"], resting["executedQty"]) == ("PARTIALLY_FILLED", "0.004")
    assert stage.order(quantity="0.01")["executedQty"] == "0.010"
    assert stage.held() == Decimal("0.017")
    assert stage.venue.exchange.quotes["BTCUSDT"].available is None


def test_a_symbol_is_thin_for_a_while_so_that_a_resting_order_fills_in_part() -> None:
    thin = {
        "on": {"time": START + BAR},
        "do": {"action": "thin_book", "symbol": "BTCUSDT", "amount": "0.03", "for_ms": BAR},
    }
    low = FLAT.replace("50000", "49000")
    stage = FaultStage(thin, bars=(FLAT, FALLING, low, low))
    stage.order(quantity="0.1", price="49500")
    stage.next_open()
    assert stage.ask("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=5)["asks"][0][1] == "0.030"
    stage.next_open()
    assert stage.held() == Decimal("0.03")
    assert stage.venue.exchange.quotes["BTCUSDT"].available is None
    stage.next_open()
    assert stage.held() == BOUGHT


# ---- Orders that are forgotten


def test_a_forgotten_order_is_not_found_but_lives() -> None:
    stage = FaultStage(fault(ORDER, "forget_order", nth=1, for_ms=600_000))
    client = stage.listen()
    forgotten = stage.order(price="49500", newClientOrderId="first")
    known = stage.order(price="49400")
    assert names(client) == ["ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE"]
    for by in ({"orderId": forgotten["orderId"]}, {"origClientOrderId": "first"}):
        assert stage.refusal("GET", "/fapi/v1/order", symbol="BTCUSDT", **by) == (400, -2013)
        assert stage.refusal("DELETE", "/fapi/v1/order", symbol="BTCUSDT", **by) == (400, -2011)
    changed = {**order("BUY", "0.2", "49500"), "origClientOrderId": "first"}
    assert stage.refusal("PUT", "/fapi/v1/order", **changed) == (400, -2013)
    for path in ("/fapi/v1/openOrders", "/fapi/v1/allOrders"):
        assert [row["orderId"] for row in stage.ask("GET", path, symbol="BTCUSDT")] == [known["orderId"]]
    assert len(stage.venue.trader("main").open_orders) == 2
    stage.wait(600_000)
    assert stage.ask("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="first")["status"] == "NEW"
    assert len(stage.ask("GET", "/fapi/v1/openOrders")) == 2


def test_every_order_of_an_account_is_forgotten_for_a_while_also_conditional_ones() -> None:
    forget = {"on": {"time": START + BAR}, "do": {"action": "forget_orders", "account": "main", "for_ms": BAR}}
    stage = FaultStage(forget)
    stop = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
    stop |= {"triggerPrice": "40000", "closePosition": "true", "clientAlgoId": "stop"}
    stage.ask("POST", "/fapi/v1/algoOrder", **stop)
    stage.ask("POST", "/fapi/v1/algoOrder", "other", **stop)
    stage.next_open()
    assert stage.ask("GET", "/fapi/v1/openAlgoOrders") == []
    assert stage.refusal("GET", "/fapi/v1/algoOrder", clientAlgoId="stop") == (400, -2013)
    assert stage.refusal("DELETE", "/fapi/v1/algoOrder", clientAlgoId="stop") == (400, -2011)
    assert len(stage.ask("GET", "/fapi/v1/openAlgoOrders", "other")) == 1
    stage.next_open()
    assert len(stage.ask("GET", "/fapi/v1/openAlgoOrders")) == 1


def test_an_order_that_was_refused_is_not_forgotten() -> None:
    stage = FaultStage(fault(ORDER, "forget_order", for_ms=BAR))
    assert stage.order(quantity="1000000")["code"] < 0
    assert stage.ask("GET", "/fapi/v1/openOrders") == []
    assert stage.order(price="49500")["status"] == "NEW"
    assert stage.ask("GET", "/fapi/v1/openOrders") == []


# ---- What is not a fault


def test_refusals_pass_through_what_changes_answers() -> None:
    forget = {"on": {"time": START}, "do": {"action": "forget_orders", "account": "main", "for_ms": BAR}}
    revise = {"action": "revise_bar", "symbol": "BTCUSDT", "interval": "30m", "factor": 2, "open_time": START}
    stage = FaultStage(
        forget,
        {"on": {"time": START}, "do": revise},
        fault("GET /fapi/v1/ping", "clock_skew", ms=5),
        fault(ORDER, "partial_fill", fraction=0.5),
    )
    assert stage.ask("GET", "/fapi/v1/ping") == {}
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "30m", "limit": 0}
    assert stage.refusal("GET", "/fapi/v1/klines", **asked) == (400, -1130)
    assert stage.refusal("GET", "/fapi/v1/openOrders", symbol="X") == (400, -1121)
    assert stage.order(quantity="many")["code"] == -1102
    assert stage.order(quantity="0.02")["executedQty"] == "0.010"


def test_a_plan_without_faults_changes_nothing() -> None:
    plain, planned = FaultStage(), FaultStage(fault("GET /nowhere", "drop_request"))
    for stage in (plain, planned):
        stage.client = stage.listen()  # type: ignore[attr-defined]
        stage.order()
        stage.next_open()
        stage.order("SELL", "0.05")
    assert events(plain.client) == events(planned.client)  # type: ignore[attr-defined]
    assert plain.held() == planned.held() == Decimal("0.05")
    assert planned.faults.unfired() == ["1 drop_request"]
