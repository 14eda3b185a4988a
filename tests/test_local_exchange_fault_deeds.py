"""Faults that are done to the venue: other hands, liquidations, halts, listen keys and candles that change.

A market order buys BTCUSDT at 50 010 and sells it at 49 990 USDT; the taker's fee is 0.05 %.
"""

from decimal import Decimal
from typing import Any

import pytest

from tests.fault_stage import BAR, FLAT, START, FaultStage, events, names, order

ORDER = "POST /fapi/v1/order"
BTC = {"account": "main", "symbol": "BTCUSDT"}


def at(action: str, time: int | str = START + BAR, **fields: Any) -> dict[str, Any]:
    return {"on": {"time": time}, "do": {"action": action, **fields}}


def hand(change: str, **fields: Any) -> dict[str, Any]:
    return at("other_hand", change=change, **fields)


def met(stage: FaultStage) -> list[str]:
    return [entry.met for entry in stage.faults.log.entries]


# ---- Other hands


def test_another_hand_sets_the_leverage_and_the_account_is_told() -> None:
    stage = FaultStage(hand("leverage", leverage=7, **BTC))
    client = stage.listen()
    stage.order()
    assert stage.ask("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")[0]["leverage"] == 20
    stage.next_open()
    assert stage.ask("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")[0]["leverage"] == 7
    assert events(client)[-1]["ac"] == {"s": "BTCUSDT", "l": 7}
    assert met(stage) == ["main BTCUSDT has leverage 7"]


def test_another_hand_sets_the_modes() -> None:
    stage = FaultStage(
        hand("margin_mode", margin_mode="isolated", **BTC),
        at("other_hand", START + 2 * BAR, change="margin_mode", margin_mode="cross", **BTC),
        at("other_hand", START + 2 * BAR, change="position_mode", account="main", hedged=True),
        at("other_hand", START + 2 * BAR, change="multi_assets", account="main", multi_assets=True),
    )
    stage.next_open()
    assert stage.ask("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")[0]["marginType"] == "ISOLATED"
    assert stage.ask("GET", "/fapi/v1/positionSide/dual") == {"dualSidePosition": False}
    stage.next_open()
    assert stage.ask("GET", "/fapi/v1/positionSide/dual") == {"dualSidePosition": True}
    assert stage.ask("GET", "/fapi/v1/multiAssetsMargin") == {"multiAssetsMargin": True}


def test_another_hand_is_refused_what_anybody_is_refused_and_the_log_says_so() -> None:
    stage = FaultStage(hand("margin_mode", margin_mode="isolated", **BTC))
    stage.order()
    stage.next_open()
    assert stage.ask("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")[0]["marginType"] == "CROSSED"
    assert met(stage) == ["refused: Margin type cannot be changed if there exists position."]


def test_another_hand_trades_and_cancels() -> None:
    stage = FaultStage(
        hand("order", side="SELL", type="MARKET", quantity="0.3", client_order_id="by-hand", **BTC),
        at("other_hand", START + 2 * BAR, change="order", side="BUY", type="LIMIT", quantity=0.2, price="49000", **BTC),
        at("other_hand", START + 3 * BAR, change="cancel", **BTC),
    )
    client = stage.listen()
    stage.order()
    stage.next_open()
    assert stage.held() == Decimal("-0.2")
    assert events(client)[-1]["o"]["c"] == "by-hand"
    stage.next_open()
    assert [row["origQty"] for row in stage.ask("GET", "/fapi/v1/openOrders")] == ["0.200"]
    stage.next_open()
    assert stage.ask("GET", "/fapi/v1/openOrders") == []
    assert met(stage)[-1] == "cancelled 1 orders of main"


def test_another_hand_cancels_the_stop_alone() -> None:
    stage = FaultStage(hand("cancel", orders="conditional", **BTC))
    stop = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}
    stage.ask("POST", "/fapi/v1/algoOrder", **stop, triggerPrice="40000", closePosition="true")
    stage.order(price="49000")
    stage.next_open()
    assert stage.ask("GET", "/fapi/v1/openAlgoOrders") == []
    assert len(stage.ask("GET", "/fapi/v1/openOrders")) == 1


def test_another_hand_closes_the_position_just_before_an_order_that_only_reduces() -> None:
    close = {"on": {"endpoint": ORDER, "nth": 2}, "do": {"action": "other_hand", "change": "close", **BTC}}
    stage = FaultStage(close)
    stage.order()
    assert stage.order("SELL", reduceOnly=True)["code"] == -2022
    assert stage.held() == 0
    assert met(stage)[0].startswith("closed 0.1 BTCUSDT by order ")


def test_a_deed_may_come_after_the_call_that_it_waits_for() -> None:
    close = {
        "on": {"endpoint": ORDER, "nth": 1, "moment": "after"},
        "do": {"action": "other_hand", "change": "close", **BTC},
    }
    stage = FaultStage(close)
    assert stage.order()["status"] == "FILLED"
    assert stage.held() == 0


def test_both_positions_of_hedge_mode_are_closed() -> None:
    stage = FaultStage(hand("close", **BTC))
    stage.ask("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    stage.order("BUY", positionSide="LONG")
    stage.order("SELL", positionSide="SHORT")
    stage.next_open()
    rows = stage.ask("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")
    assert [Decimal(row["positionAmt"]) for row in rows if Decimal(row["positionAmt"])] == []


def test_there_may_be_nothing_to_close_or_to_liquidate() -> None:
    stage = FaultStage(hand("close", **BTC), at("other_hand", START + 2 * BAR, change="close", **BTC))
    stage.next_open()
    stage.order(price="49000")  # from here on the account knows the symbol
    stage.next_open()
    assert met(stage) == ["no position", "no position"]


def test_money_comes_and_goes() -> None:
    stage = FaultStage(
        *(
            at("other_hand", START + minute * 60_000, change="transfer", account="main", amount=amount)
            for minute, amount in ((1, "250.5"), (2, -1_000), (3, -9_250.51))
        )
    )
    client = stage.listen()
    for wallet in ("10250.50000000", "9250.50000000", "9250.50000000"):
        stage.wait(60_000)
        assert stage.ask("GET", "/fapi/v3/account")["totalWalletBalance"] == wallet
    lines = stage.ask("GET", "/fapi/v1/income", incomeType="TRANSFER")
    assert [Decimal(line["income"]) for line in lines] == [10_000, Decimal("250.5"), -1_000]
    assert [event["a"]["B"][0]["bc"] for event in events(client)] == ["250.50000000", "-1000.00000000"]
    assert met(stage)[-1] == "refused: Balance is insufficient."


def test_filters_change_for_orders_and_in_the_list_of_symbols() -> None:
    stage = FaultStage(hand("filters", symbol="BTCUSDT", tick_size="0.5", step_size="0.01", min_notional=200))
    assert stage.order(quantity="0.001", price="49000.1")["code"] == -4164  # 49 USDT are below 50
    assert stage.order(quantity="0.003", price="49000.1")["status"] == "NEW"
    stage.next_open()
    assert stage.order(quantity="0.01", price="49000.1")["code"] == -4014
    assert stage.order(quantity="0.003", price="49000.5")["code"] == -1111
    assert stage.order(quantity="0.01", price="49000.5")["status"] == "NEW"
    (entry,) = stage.ask("GET", "/fapi/v1/exchangeInfo")["symbols"]
    filters = {each["filterType"]: each for each in entry["filters"]}
    assert (filters["PRICE_FILTER"]["tickSize"], filters["PRICE_FILTER"]["minPrice"]) == ("0.5", "557.0")
    assert filters["LOT_SIZE"]["stepSize"] == filters["MARKET_LOT_SIZE"]["stepSize"] == "0.01"
    assert filters["MIN_NOTIONAL"]["notional"] == "200"
    assert entry["symbol"] == "BTCUSDT"


# ---- Liquidation


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_position_is_liquidated_at_its_price_wherever_the_market_is(side: str) -> None:
    stage = FaultStage(at("liquidate", **BTC))
    client = stage.listen()
    stage.ask("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    stage.order(side)
    price = stage.ask("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")[0]["liquidationPrice"]
    stage.next_open()
    assert stage.held() == 0
    forced = [event["o"] for event in events(client) if event["e"] == "ORDER_TRADE_UPDATE"][-1]
    assert (forced["x"], forced["X"], forced["c"][:10]) == ("CALCULATED", "FILLED", "autoclose-")
    assert abs(Decimal(forced["L"]) - Decimal(price)) < Decimal("0.1")
    # The isolated margin is gone: 5 001 / 20 of a purchase, 4 999 / 20 of a sale, and the opening fee of 0.05 %.
    margin, fee = ("250.05", "2.5005") if side == "BUY" else ("249.95", "2.4995")
    lost = 10_000 - Decimal(stage.ask("GET", "/fapi/v3/account")["totalWalletBalance"])
    assert abs(lost - Decimal(margin) - Decimal(fee)) < Decimal("0.01")
    quotes = stage.venue.exchange.quotes["BTCUSDT"]
    assert (quotes.last, quotes.mark) == (Decimal(50_000), Decimal(50_000))


def test_what_cannot_be_liquidated_is_noted() -> None:
    stage = FaultStage(at("liquidate", **BTC))
    stage.order(quantity="0.01")  # 10 000 USDT stand behind 500
    stage.next_open()
    assert stage.held() == Decimal("0.01")
    assert met(stage) == ["no position that can be liquidated"]


# ---- Halts


def test_a_symbol_stops_trading_for_a_while() -> None:
    halt = at("halt", symbol="BTCUSDT", for_ms=2 * BAR, status="PRE_SETTLE")
    falling = "50000 50000 48000 50000 1000"
    stage = FaultStage(halt, bars=(FLAT, falling, falling, falling, FLAT))
    stage.order(price="49000")
    stage.next_open()
    assert stage.order()["code"] == -4140
    changed = {**order("BUY", "0.2", "49000"), "orderId": stage.ask("GET", "/fapi/v1/openOrders")[0]["orderId"]}
    assert stage.refusal("PUT", "/fapi/v1/order", **changed) == (400, -5024)
    (entry,) = stage.ask("GET", "/fapi/v1/exchangeInfo")["symbols"]
    assert entry["status"] == "PRE_SETTLE"
    stage.next_open()
    stage.wait(BAR - 1)
    assert stage.held() == 0
    assert stage.ask("GET", "/fapi/v1/depth", symbol="BTCUSDT", limit=5)["asks"] == []
    stage.next_open()
    (entry,) = stage.ask("GET", "/fapi/v1/exchangeInfo")["symbols"]
    assert entry["status"] == "TRADING"
    assert stage.order()["status"] == "FILLED"
    stage.next_open()
    assert stage.held() == Decimal("0.2")  # the resting order too


def test_orders_can_be_cancelled_while_a_symbol_is_halted() -> None:
    stage = FaultStage(at("halt", symbol="BTCUSDT", for_ms=BAR))
    placed = stage.order(price="49000")
    stage.next_open()
    stage.ask("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert stage.ask("GET", "/fapi/v1/openOrders") == []


# ---- Listen keys


@pytest.mark.parametrize("tell", [True, False])
def test_a_listen_key_expires_with_or_without_a_word(tell: bool) -> None:
    stage = FaultStage(at("expire_listen_key", account="main", tell=tell))
    client, other = stage.listen(), stage.listen("other")
    key = stage.venue.hub.listen_keys.key_of("main")
    stage.next_open()
    assert stage.refusal("PUT", "/fapi/v1/listenKey") == (400, -1125)
    stage.order()
    told = [{"e": "listenKeyExpired", "E": START + BAR, "listenKey": key}]
    assert events(client) == (told if tell else [])
    assert events(other) == []
    assert stage.ask("POST", "/fapi/v1/listenKey")["listenKey"] != key


def test_an_account_without_a_listen_key_has_none_to_lose() -> None:
    stage = FaultStage(at("expire_listen_key", account="other"))
    stage.next_open()
    assert met(stage) == ["other has no listen key"]


# ---- Candles


def test_a_candle_that_is_over_is_answered_and_streamed_otherwise_later() -> None:
    stage = FaultStage(at("revise_bar", START + 2 * BAR, symbol="BTCUSDT", interval="30m", factor="1.001"))
    client = stage.watch("btcusdt@kline_30m")
    stage.next_open()
    asked = {"symbol": "BTCUSDT", "interval": "30m"}
    first = stage.ask("GET", "/fapi/v1/klines", **asked)
    assert first[-1][0] == START + BAR
    stage.next_open()
    rows = stage.ask("GET", "/fapi/v1/klines", **asked)
    assert rows[0] == first[0]
    assert rows[1][:6] == [START + BAR, "50000.00", "50050.00", "50000.00", "50050.00", "1000.000"]
    assert rows[2][4] == "50000.00"
    perpetual = {"pair": "BTCUSDT", "contractType": "PERPETUAL", "interval": "30m"}
    assert stage.ask("GET", "/fapi/v1/continuousKlines", **perpetual)[1][4] == "50050.00"
    assert stage.ask("GET", "/fapi/v1/markPriceKlines", **asked)[1][4] == "50000.00000000"
    assert stage.ask("GET", "/fapi/v1/klines", symbol="BTCUSDT", interval="1h")[0][4] == "50000.00"
    closed = [event["k"]["c"] for event in events(client) if event["k"]["t"] == START + BAR and event["k"]["x"]]
    assert closed == ["50000.00", "50050.00"]


def test_a_candle_that_is_not_recorded_cannot_be_revised() -> None:
    fields: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "30m", "factor": 2, "open_time": "2024-01-01T00:10Z"}
    stage = FaultStage(at("revise_bar", **fields))
    stage.next_open()
    assert met(stage) == ["no candle of BTCUSDT 30m at 2024-01-01T00:10Z"]


# ---- When


def test_a_deed_happens_at_the_first_instant_that_is_played_from_its_moment_on() -> None:
    # The path of a bar has corners after a third and after two thirds of its 30 minutes.
    stage = FaultStage(at("other_hand", "2024-01-01T00:01Z", change="close", **BTC))
    stage.order()
    stage.next_open()
    (entry,) = stage.faults.log.entries
    assert entry.market_ms == START + BAR // 3
    assert stage.venue.trader("main").fills[-1].time_ms == START + BAR // 3
    assert names(stage.listen()) == []
