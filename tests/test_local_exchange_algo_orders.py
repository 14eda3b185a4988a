"""The local exchange's endpoints of conditional orders, through the dispatcher and a real engine.

Rules and codes: the API documentation of USD-M futures, "New Algo Order" and "Error Codes" (read in autumn 2026). Last
and mark price of BTCUSDT are 50 000 USDT at first.
"""

from collections.abc import Mapping

import pytest

from tests.account_stage import DAY, AccountStage

BTC = {"symbol": "BTCUSDT"}
STOP = BTC | {
    "algoType": "CONDITIONAL",
    "side": "SELL",
    "type": "STOP_MARKET",
    "quantity": "0.1",
    "triggerPrice": "49000",
}
TAKE_PROFIT = STOP | {"type": "TAKE_PROFIT", "triggerPrice": "51000", "price": "51000.1"}
TRAILING = BTC | {
    "algoType": "CONDITIONAL",
    "side": "SELL",
    "type": "TRAILING_STOP_MARKET",
    "quantity": "0.1",
    "callbackRate": "1.0",
}
CLOSING = BTC | {"algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "closePosition": "true"}


def without(params: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in params.items() if name not in names}


def test_a_conditional_order_waits_and_becomes_an_order_when_its_price_is_met() -> None:
    stage = AccountStage()
    stage.order("BUY", "0.1")
    algo = stage.post("algoOrder", **STOP, clientAlgoId="guard")
    assert (algo["algoStatus"], algo["orderType"], algo["triggerTime"]) == ("NEW", "STOP_MARKET", 0)
    assert stage.get("openOrders", **BTC) == []
    stage.move("48900")
    found = stage.get("algoOrder", clientAlgoId="guard")
    # At 49 000 it sells at 49 000 * (1 - 0.0002) = 48 990.2.
    assert (found["algoStatus"], found["actualQty"], found["actualPrice"]) == ("FINISHED", "0.100", "48990.20")
    assert (found["triggerTime"], found["actualType"]) == (stage.now_ms, "MARKET")
    order = stage.get("order", **BTC, orderId=found["actualOrderId"])
    assert (order["type"], order["origType"], order["stopPrice"]) == ("MARKET", "STOP_MARKET", "49000.00")
    assert (order["status"], order["clientOrderId"]) == ("FILLED", "guard")
    assert stage.get("openAlgoOrders", **BTC) == []


def test_a_trailing_stop_tells_its_callback_rate_before_and_after_it_is_met() -> None:
    stage = AccountStage()
    algo = stage.post("algoOrder", **TRAILING, activatePrice="50500")
    assert (algo["activatePrice"], algo["callbackRate"]) == ("50500.00", "1.0")
    stage.move("51000")
    stage.move("50400")  # met at 51 000 * 0.99 = 50 490
    order = stage.get("order", **BTC, orderId=stage.get("algoOrder", algoId=algo["algoId"])["actualOrderId"])
    assert (order["activatePrice"], order["priceRate"]) == ("50500.00", "1.0")
    assert order["origType"] == "TRAILING_STOP_MARKET"
    plain = stage.post("algoOrder", **STOP)
    assert (plain["activatePrice"], plain["callbackRate"]) == ("", "")


def test_a_closing_order_closes_what_is_held_when_it_is_met() -> None:
    stage = AccountStage()
    stage.order("BUY", "0.1")
    algo = stage.post("algoOrder", **CLOSING, triggerPrice="49000", workingType="MARK_PRICE")
    assert (algo["closePosition"], algo["quantity"], algo["workingType"]) == (True, "0.000", "MARK_PRICE")
    stage.order("BUY", "0.05")
    stage.move("48900")
    (order,) = (order for order in stage.get("allOrders", **BTC) if order["side"] == "SELL")
    assert (order["origQty"], order["closePosition"], order["reduceOnly"]) == ("0.150", True, True)
    assert stage.ask("GET", "/fapi/v3/positionRisk") == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (without(STOP, "algoType"), -1102),
        (STOP | {"algoType": "TWAP"}, -1130),
        (without(STOP, "symbol"), -1102),
        (without(STOP, "quantity"), -1102),
        (without(STOP, "triggerPrice"), -1102),
        (without(TAKE_PROFIT, "price"), -1102),
        (TAKE_PROFIT | {"priceMatch": "QUEUE"}, -1106),
        (STOP | {"price": "48000"}, -1106),
        (STOP | {"type": "LIMIT"}, -1116),
        (STOP | {"type": "STOP_LOSS"}, -1116),
        (STOP | {"workingType": "INDEX_PRICE"}, -1130),
        (STOP | {"timeInForce": "GTE_GTC"}, -1115),
        (STOP | {"triggerPrice": "50000"}, -2021),
        (TAKE_PROFIT | {"triggerPrice": "50000"}, -2021),
        (STOP | {"triggerPrice": "0"}, -4006),
        (STOP | {"triggerPrice": "49000.05"}, -4014),
        (STOP | {"quantity": "0.0001"}, -1111),
        (STOP | {"positionSide": "SHORT"}, -4061),
        (without(TRAILING, "callbackRate"), -1102),
        (TRAILING | {"callbackRate": "20.1"}, -1130),
        (TRAILING | {"callbackRate": "0.09"}, -1130),
        (CLOSING, -1102),
        (CLOSING | {"triggerPrice": "49000", "quantity": "0.1"}, -4137),
        (CLOSING | {"triggerPrice": "49000", "reduceOnly": "true"}, -1106),
        (CLOSING | {"type": "TRAILING_STOP_MARKET", "callbackRate": "1"}, -4136),
        (STOP | {"clientAlgoId": "no blanks"}, -1130),
        (TAKE_PROFIT | {"timeInForce": "GTD"}, -1102),
    ],
)
def test_a_conditional_order_that_breaks_a_rule_is_refused(params: dict[str, object], code: int) -> None:
    stage = AccountStage()
    assert stage.code("POST", "algoOrder", **params) == code
    assert stage.get("openAlgoOrders") == []
    assert stage.messages == []


def test_a_client_id_is_used_once_among_the_orders_that_wait() -> None:
    stage = AccountStage()
    stage.post("algoOrder", **STOP, clientAlgoId="a")
    assert stage.code("POST", "algoOrder", **STOP, clientAlgoId="a") == -4116
    stage.ask("DELETE", "/fapi/v1/algoOrder", clientAlgoId="a")
    assert stage.post("algoOrder", **STOP, clientAlgoId="a")["algoStatus"] == "NEW"


def test_a_conditional_order_is_cancelled_with_a_code_that_is_a_text() -> None:
    stage = AccountStage()
    algo = stage.post("algoOrder", **STOP, clientAlgoId="a")
    answer = stage.ask("DELETE", "/fapi/v1/algoOrder", algoId=algo["algoId"])
    assert answer == {"algoId": algo["algoId"], "clientAlgoId": "a", "code": "200", "msg": "success"}
    assert stage.code("DELETE", "algoOrder", algoId=algo["algoId"]) == -2011
    assert stage.code("DELETE", "algoOrder", clientAlgoId="b") == -2011
    assert stage.code("DELETE", "algoOrder") == -1102
    assert stage.get("algoOrder", algoId=algo["algoId"])["algoStatus"] == "CANCELED"


def test_all_conditional_orders_of_a_symbol_are_cancelled_with_a_code_that_is_a_number() -> None:
    stage = AccountStage()
    ether = stage.post("algoOrder", **STOP | {"symbol": "ETHUSDT", "triggerPrice": "1900", "quantity": "1"})
    stage.post("algoOrder", **STOP)
    stage.post("algoOrder", **TAKE_PROFIT)
    resting = stage.order("BUY", "0.1", "49000")
    assert stage.ask("DELETE", "/fapi/v1/algoOpenOrders", **BTC)["code"] == 200
    assert [order["algoId"] for order in stage.get("openAlgoOrders")] == [ether["algoId"]]
    assert [order["orderId"] for order in stage.get("openOrders")] == [resting["orderId"]]


def test_waiting_orders_are_listed_by_symbol_and_number() -> None:
    stage = AccountStage()
    first = stage.post("algoOrder", **STOP)["algoId"]
    second = stage.post("algoOrder", **TAKE_PROFIT)["algoId"]

    def listed(**params: object) -> list[int]:
        return [order["algoId"] for order in stage.get("openAlgoOrders", **params)]

    assert listed() == listed(**BTC, algoType="CONDITIONAL") == [first, second]
    assert listed(algoId=second) == [second]
    assert listed(symbol="ETHUSDT") == []
    (whole, _) = stage.get("openAlgoOrders")
    assert (whole["actualOrderId"], whole["actualPrice"], whole["tpOrderType"]) == ("", "0.00", "")


def test_all_conditional_orders_are_listed_for_a_week_or_from_a_number_on() -> None:
    stage = AccountStage()
    ids = []
    for _ in range(4):
        ids.append(stage.post("algoOrder", **STOP)["algoId"])
        stage.wait(3 * DAY)
    start = stage.now_ms - 12 * DAY

    def listed(**params: object) -> list[int]:
        return [ids.index(order["algoId"]) for order in stage.get("allAlgoOrders", **BTC, **params)]

    assert listed() == [2, 3]
    assert listed(limit=1) == [3]
    assert listed(startTime=start) == [0, 1, 2]
    assert listed(algoId=ids[1]) == [1, 2, 3]
    assert stage.code("GET", "allAlgoOrders") == -1102
    assert stage.code("GET", "allAlgoOrders", **BTC, startTime=start, endTime=start + 7 * DAY + 1) == -4165


def test_a_cancelled_conditional_order_is_forgotten_after_three_days() -> None:
    stage = AccountStage()
    algo = stage.post("algoOrder", **STOP)["algoId"]
    stage.ask("DELETE", "/fapi/v1/algoOrder", algoId=algo)
    stage.wait(3 * DAY)
    assert stage.get("algoOrder", algoId=algo)["algoStatus"] == "CANCELED"
    stage.wait(1)
    assert stage.code("GET", "algoOrder", algoId=algo) == -2013


def test_an_expired_conditional_order_is_forgotten_after_three_days() -> None:
    stage = AccountStage()
    dated = {"timeInForce": "GTD", "goodTillDate": stage.now_ms + 700_000}
    algo = stage.post("algoOrder", **STOP | dated)["algoId"]
    stage.wait(3 * DAY)
    assert stage.get("algoOrder", algoId=algo)["algoStatus"] == "EXPIRED"
    stage.wait(1)
    assert stage.code("GET", "algoOrder", algoId=algo) == -2013


def test_conditional_orders_live_through_the_websocket_api_as_over_rest() -> None:
    stage = AccountStage()
    placed = stage.call("algoOrder.place", **STOP)["result"]
    assert stage.get("algoOrder", algoId=placed["algoId"])["triggerPrice"] == "49000.00"
    cancelled = stage.call("algoOrder.cancel", algoId=placed["algoId"])["result"]
    assert (cancelled["code"], cancelled["msg"]) == ("200", "success")
    assert stage.call("algoOrder.cancel", algoId=placed["algoId"])["error"]["code"] == -2011
