"""The shape of every private answer against the documented sample: fields, and whether each is a text, number or truth.

Where ours differ from the samples on purpose, the reason stands beside it.
"""

import json
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rl_trader.local_exchange.endpoints.private import PRIVATE_ENDPOINTS, PRIVATE_METHODS
from tests.account_stage import AccountStage

Params = dict[str, Any]

BTC: Params = {"symbol": "BTCUSDT"}
LIMIT = BTC | {"side": "BUY", "type": "LIMIT", "quantity": "0.1", "price": "49000", "timeInForce": "GTC"}
CHANGE = BTC | {"side": "BUY", "quantity": "0.2", "price": "48000", "origClientOrderId": "a"}
TAKE_PROFIT = BTC | {
    "algoType": "CONDITIONAL",
    "side": "SELL",
    "type": "TAKE_PROFIT",
    "quantity": "0.1",
    "price": "52000",
    "triggerPrice": "52000",
    "clientAlgoId": "b",
}

# The samples' orders came from trailing stops, which is where these fields belong.
OF_TRAILING = {"activatePrice", "priceRate"}
# The sample of each batch has an order and a refusal in one.
OF_REFUSALS = {"code", "msg"}
# Answers of the exchange to the second version of the account have these fields, which the sample lacks.
OF_POSITIONS = {"breakEvenPrice", "notional", "isolatedWallet", "isolatedMargin"}
# The newest endpoints tell what is null as the text "None" in the samples, since those were printed by Python.
NULL = "None"


@cache
def samples(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((folder / "reference" / "documented_samples.json").read_text())
    return found


def kind(value: object) -> str:
    """Return what a value is in JSON; texts of numbers and other texts are told apart, nothing and 0 are not."""
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    if value is None or value == NULL:
        return "null"
    if value == "":
        return "empty text"
    assert isinstance(value, str)
    return "number as text" if value.replace(".", "", 1).removeprefix("-").isdecimal() else "text"


def check(wanted: Any, found: Any, extra: Collection[str] = (), missing: Collection[str] = ()) -> None:
    """Compare an answer with its sample; fields may be more or fewer only where that is said."""
    if isinstance(wanted, list):
        assert isinstance(found, list)
        assert found, "an empty list shows nothing"
        for each in found:
            check(wanted[0], each, extra, missing)
    elif isinstance(wanted, dict):
        assert isinstance(found, dict)
        assert set(found) - set(wanted) <= set(extra)
        assert set(wanted) - set(found) <= set(missing)
        for name in set(found) & set(wanted):
            if wanted[name] not in ([], {}):  # of these the sample is cut short
                check(wanted[name], found[name], extra, missing)
    elif "empty text" not in (kind(wanted), kind(found)):
        assert kind(found) == kind(wanted), (wanted, found)
    else:
        assert isinstance(wanted, str)
        assert isinstance(found, str)


def busy_stage() -> AccountStage:
    """Return a venue with a position, orders, a change, a conditional order and moved margin."""
    stage = AccountStage()
    stage.post("marginType", **BTC, marginType="ISOLATED")
    stage.order("BUY", "0.1")
    stage.post("positionMargin", **BTC, amount="23.36332311", type=1)
    stage.post("order", **LIMIT, newClientOrderId="a")
    stage.ask("PUT", "/fapi/v1/order", **CHANGE)
    stage.post("algoOrder", **TAKE_PROFIT)
    return stage


def liquidated_stage() -> AccountStage:
    stage = AccountStage()
    stage.post("marginType", **BTC, marginType="ISOLATED")
    stage.order("BUY", "0.1")
    stage.move("47000")
    return stage


REST: dict[str, Params] = {
    "POST /fapi/v1/order": LIMIT,
    "POST /fapi/v1/order/test": LIMIT,
    "PUT /fapi/v1/order": CHANGE | {"quantity": "0.3"},
    "DELETE /fapi/v1/order": BTC | {"origClientOrderId": "a"},
    "GET /fapi/v1/order": BTC | {"origClientOrderId": "a"},
    "GET /fapi/v1/openOrder": BTC | {"origClientOrderId": "a"},
    "GET /fapi/v1/openOrders": BTC,
    "GET /fapi/v1/allOrders": BTC,
    "DELETE /fapi/v1/allOpenOrders": BTC,
    "POST /fapi/v1/batchOrders": {"batchOrders": [LIMIT]},
    "PUT /fapi/v1/batchOrders": {"batchOrders": [CHANGE | {"quantity": "0.3"}]},
    "DELETE /fapi/v1/batchOrders": BTC | {"origClientOrderIdList": ["a"]},
    "GET /fapi/v1/orderAmendment": BTC | {"origClientOrderId": "a"},
    "POST /fapi/v1/countdownCancelAll": BTC | {"countdownTime": 100000},
    "POST /fapi/v1/algoOrder": TAKE_PROFIT | {"clientAlgoId": "c"},
    "GET /fapi/v1/algoOrder": {"clientAlgoId": "b"},
    "DELETE /fapi/v1/algoOrder": {"clientAlgoId": "b"},
    "DELETE /fapi/v1/algoOpenOrders": BTC,
    "GET /fapi/v1/openAlgoOrders": {},
    "GET /fapi/v1/allAlgoOrders": BTC,
    "GET /fapi/v2/account": {},
    "GET /fapi/v3/account": {},
    "GET /fapi/v2/balance": {},
    "GET /fapi/v3/balance": {},
    "GET /fapi/v2/positionRisk": {},
    "GET /fapi/v3/positionRisk": {},
    "GET /fapi/v1/accountConfig": {},
    "GET /fapi/v1/symbolConfig": {},
    "GET /fapi/v1/userTrades": BTC,
    "GET /fapi/v1/income": {},
    "GET /fapi/v1/adlQuantile": {},
    "GET /fapi/v1/rateLimit/order": {},
    "GET /fapi/v1/leverageBracket": {},
    "GET /fapi/v1/commissionRate": BTC,
    "GET /fapi/v1/feeBurn": {},
    "POST /fapi/v1/feeBurn": {"feeBurn": "true"},
    "GET /fapi/v1/multiAssetsMargin": {},
    "GET /fapi/v1/positionSide/dual": {},
    "POST /fapi/v1/leverage": BTC | {"leverage": 21},
    "POST /fapi/v1/positionMargin": BTC | {"amount": "100", "type": 1},
    "GET /fapi/v1/positionMargin/history": BTC,
}
METHODS: dict[str, Params] = {
    "order.place": LIMIT,
    "order.modify": CHANGE | {"quantity": "0.3"},
    "order.cancel": BTC | {"origClientOrderId": "a"},
    "order.status": BTC | {"origClientOrderId": "a"},
    "algoOrder.place": TAKE_PROFIT | {"clientAlgoId": "c"},
    "algoOrder.cancel": {"clientAlgoId": "b"},
    "account.status": {},
    "v2/account.status": {},
    "account.balance": {},
    "v2/account.balance": {},
    "account.position": {},
    "v2/account.position": {},
}
EXTRA = {
    "GET /fapi/v2/account": OF_POSITIONS,
    "account.status": OF_POSITIONS | {"feeBurn"},  # as over REST
    "order.modify": {"pair"},  # as over REST
    "algoOrder.place": {"activatePrice", "callbackRate"},  # as over REST
}
BATCHES = ("POST /fapi/v1/batchOrders", "PUT /fapi/v1/batchOrders", "DELETE /fapi/v1/batchOrders")
AFRESH: dict[str, tuple[Callable[[], AccountStage], Params]] = {  # need another account
    "GET /fapi/v1/forceOrders": (liquidated_stage, {}),
    "POST /fapi/v1/marginType": (AccountStage, BTC | {"marginType": "ISOLATED"}),
    "POST /fapi/v1/positionSide/dual": (AccountStage, {"dualSidePosition": "true"}),
    "POST /fapi/v1/multiAssetsMargin": (AccountStage, {"multiAssetsMargin": "true"}),
}
OTHERWISE = {  # asked about in another test
    "GET /fapi/v1/apiTradingStatus": "the sample is of an account that is locked",
    "GET /fapi/v1/account": "gone from the exchange, answered as version 2",
    "GET /fapi/v1/balance": "gone from the exchange, answered as version 2",
    "GET /fapi/v1/positionRisk": "gone from the exchange, answered as version 2",
    "GET /sapi/v1/account/apiRestrictions": "not among the samples, which are of the futures API",
}


@pytest.mark.parametrize("name", REST)
def test_an_answer_has_the_documented_shape(name: str, recorded_data: Path) -> None:
    method, path = name.split()
    missing = OF_TRAILING | (OF_REFUSALS if name in BATCHES else set())
    if "algo" in path.lower():
        missing = set()
    wanted = samples(recorded_data)["rest"][name]
    check(wanted, busy_stage().ask(method, path, **REST[name]), EXTRA.get(name, set()), missing)


@pytest.mark.parametrize("name", AFRESH)
def test_an_answer_about_another_account_has_the_documented_shape(name: str, recorded_data: Path) -> None:
    make, params = AFRESH[name]
    method, path = name.split()
    check(samples(recorded_data)["rest"][name], make().ask(method, path, **params))


@pytest.mark.parametrize("name", METHODS)
def test_a_result_of_the_websocket_api_has_the_documented_shape(name: str, recorded_data: Path) -> None:
    wanted = samples(recorded_data)["websocket_api"][name]["result"]
    missing = OF_TRAILING if name.startswith("order") else set()
    check(wanted, busy_stage().call(name, **METHODS[name])["result"], EXTRA.get(name, set()), missing)


def test_an_order_of_a_trailing_stop_has_every_field_of_the_sample(recorded_data: Path) -> None:
    stage = busy_stage()
    trailing = {"type": "TRAILING_STOP_MARKET", "side": "SELL", "quantity": "0.1", "callbackRate": "1"}
    algo = stage.post("algoOrder", **BTC, algoType="CONDITIONAL", **trailing)
    stage.move("49000")
    number = stage.get("algoOrder", algoId=algo["algoId"])["actualOrderId"]
    check(samples(recorded_data)["rest"]["GET /fapi/v1/order"], stage.get("order", **BTC, orderId=number))


def test_the_brackets_are_those_that_were_recorded(recorded_data: Path) -> None:
    brackets = json.loads((recorded_data / "reference" / "leverage_brackets.json").read_text())
    (ours,) = busy_stage().get("leverageBracket", **BTC)
    assert ours["brackets"] == brackets["BTCUSDT"]


def test_every_private_endpoint_is_compared_with_its_sample() -> None:
    assert {f"{each.method} {each.path}" for each in PRIVATE_ENDPOINTS} == set(REST) | set(AFRESH) | set(OTHERWISE)
    assert {each.path for each in PRIVATE_METHODS} == set(METHODS)
