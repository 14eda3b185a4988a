"""The local exchange's answers about balances, positions, settings and history, by the dispatcher and a real engine.

Rules, codes and worked numbers: the API documentation of USD-M futures and the FAQ of Binance futures (read in autumn
2026). A market order buys BTCUSDT at 50 010 and sells it at 49 990 USDT; the taker's fee is 0.05 %, the default
leverage 20, the maintenance margin of the first bracket 0.4 %.
"""

from decimal import Decimal
from typing import Any

import pytest

from tests.account_stage import DAY, AccountStage

BTC = {"symbol": "BTCUSDT"}
HOUR = 3_600_000


def risk(stage: AccountStage, version: int = 3, **params: object) -> list[Any]:
    rows = stage.ask("GET", f"/fapi/v{version}/positionRisk", **params)
    assert isinstance(rows, list)
    return rows


# Balances and positions


def test_a_cross_position_is_told_with_its_margins() -> None:
    stage = AccountStage()
    stage.order("BUY", "0.1")
    stage.move("51000", "50900")
    (row,) = risk(stage)
    assert (row["positionAmt"], row["entryPrice"], row["markPrice"]) == ("0.100", "50010.00", "50900.00000000")
    assert row["unRealizedProfit"] == "89.00000000"  # 0.1 * (50 900 - 50 010)
    assert row["notional"] == "5090.00000000"
    assert row["positionInitialMargin"] == row["initialMargin"] == "254.50000000"  # 5 090 / 20
    assert row["maintMargin"] == "20.36000000"  # 5 090 * 0.004
    assert row["breakEvenPrice"] == "50035.005"  # 50 010 * 1.0005
    assert (row["isolatedMargin"], row["isolatedWallet"], row["liquidationPrice"]) == ("0", "0", "0")
    account = stage.ask("GET", "/fapi/v3/account")
    assert account["totalWalletBalance"] == "9997.49950000"  # 10 000 - 5 001 * 0.0005
    assert account["totalMarginBalance"] == "10086.49950000"
    assert account["availableBalance"] == "9831.99950000"  # 10 086.4995 - 254.5
    assert account["maxWithdrawAmount"] == "9742.99950000"  # without the profit of 89


def test_a_short_position_has_a_negative_amount_and_notional() -> None:
    stage = AccountStage()
    stage.order("SELL", "0.1")
    (row,) = risk(stage)
    assert (row["positionAmt"], row["notional"]) == ("-0.100", "-5000.00000000")
    assert row["breakEvenPrice"] == "49965.005"  # 49 990 * 0.9995
    # (9 997.5005 + 0.1 * 49 990) / (0.1 + 0.1 * 0.004), with 9 997.5005 = 10 000 - 4 999 * 0.0005
    assert Decimal(row["liquidationPrice"]) == Decimal("149367.53486056")


def test_an_isolated_position_shows_what_is_set_aside_for_it_and_its_liquidation_price() -> None:
    stage = AccountStage()
    stage.post("marginType", **BTC, marginType="ISOLATED")
    stage.order("BUY", "0.1")
    stage.move("50500", "50110")
    (row,) = risk(stage)
    assert row["isolatedWallet"] == "250.05000000"  # 5 001 / 20
    assert row["isolatedMargin"] == "260.05000000"  # and 0.1 * (50 110 - 50 010)
    # (250.05 - 0.1 * 50 010) / (0.1 * 0.004 - 0.1)
    assert row["liquidationPrice"] == "47700.30120482"
    (old,) = (row for row in risk(stage, 2) if row["symbol"] == "BTCUSDT")
    assert (old["marginType"], old["isAutoAddMargin"], old["leverage"]) == ("isolated", "false", "20")
    assert old["liquidationPrice"] == row["liquidationPrice"]
    account = stage.ask("GET", "/fapi/v3/account")
    assert account["totalCrossWalletBalance"] == "9747.44950000"  # 9 997.4995 - 250.05
    assert account["totalCrossUnPnl"] == "0.00000000"
    assert account["totalUnrealizedProfit"] == "10.00000000"
    assert account["availableBalance"] == "9747.44950000"


def test_version_3_lists_symbols_in_use_and_version_2_all_of_them() -> None:
    stage = AccountStage()
    assert risk(stage) == []
    assert [row["symbol"] for row in risk(stage, 2)] == ["BTCUSDT", "ETHUSDT"]
    stage.order("BUY", "0.1", "1950", symbol="ETHUSDT")
    assert [row["symbol"] for row in risk(stage)] == ["ETHUSDT"]
    assert risk(stage, 3, **BTC) == []
    assert [row["symbol"] for row in risk(stage, 2, **BTC)] == ["BTCUSDT"]
    assert [row["symbol"] for row in stage.ask("GET", "/fapi/v3/account")["positions"]] == ["ETHUSDT"]
    assert [row["symbol"] for row in stage.ask("GET", "/fapi/v2/account")["positions"]] == ["BTCUSDT", "ETHUSDT"]


def test_what_open_orders_bind_is_told_and_not_available() -> None:
    stage = AccountStage()
    stage.order("BUY", "0.1", "49000")
    stage.order("SELL", "0.2", "51000")
    # The dearer side counts: 0.2 * 51 000 / 20 = 510 and the maker's fee, 10 200 * 0.0002 = 2.04.
    (row,) = risk(stage)
    assert (row["bidNotional"], row["askNotional"]) == ("4900.00000000", "10200.00000000")
    assert row["openOrderInitialMargin"] == row["initialMargin"] == "512.04000000"
    assert row["positionInitialMargin"] == "0"
    account = stage.ask("GET", "/fapi/v3/account")
    assert account["totalOpenOrderInitialMargin"] == "512.04000000"
    assert account["availableBalance"] == "9487.96000000"


def test_hedge_mode_lists_a_long_and_a_short_position_and_what_each_sides_orders_bind() -> None:
    stage = AccountStage()
    stage.post("positionSide/dual", dualSidePosition="true")
    stage.order("BUY", "0.1", positionSide="LONG")
    stage.order("SELL", "0.2", positionSide="SHORT")
    stage.order("BUY", "0.1", "49000", positionSide="LONG")
    long, short = risk(stage)
    assert (long["positionSide"], long["positionAmt"]) == ("LONG", "0.100")
    assert (short["positionSide"], short["positionAmt"]) == ("SHORT", "-0.200")
    assert (long["bidNotional"], short["bidNotional"]) == ("4900.00000000", "0")
    assert long["openOrderInitialMargin"] == "245.98000000"  # 4 900 / 20 and 4 900 * 0.0002
    assert short["openOrderInitialMargin"] == "0"
    assert stage.ask("GET", "/fapi/v3/account")["totalOpenOrderInitialMargin"] == "245.98000000"
    assert [row["positionSide"] for row in risk(stage, 2, symbol="ETHUSDT")] == ["LONG", "SHORT"]


def test_what_is_available_is_never_shown_below_zero() -> None:
    stage = AccountStage(wallet="600")
    stage.order("BUY", "0.2")
    stage.move("47900")  # the loss of 422 and the margin of 479 are more than the wallet of 595
    account = stage.ask("GET", "/fapi/v3/account")
    assert (account["availableBalance"], account["maxWithdrawAmount"]) == ("0.00000000", "0.00000000")
    assert stage.ask("GET", "/fapi/v3/balance")[0]["availableBalance"] == "0.00000000"


def test_the_addresses_of_2019_answer_as_version_2() -> None:
    stage = AccountStage()
    stage.order("BUY", "0.1")
    for name in ("account", "balance", "positionRisk"):
        assert stage.get(name) == stage.ask("GET", f"/fapi/v2/{name}")
    assert stage.ask("GET", "/fapi/v2/balance") == stage.ask("GET", "/fapi/v3/balance")


def test_an_account_that_has_never_traded_is_told_too() -> None:
    stage = AccountStage(wallet="0")
    account = stage.ask("GET", "/fapi/v2/account")
    assert (account["totalWalletBalance"], account["availableBalance"]) == ("0.00000000", "0.00000000")
    assert account["assets"][0]["updateTime"] == 0
    assert stage.get("income") == []


def test_a_symbol_without_a_price_yet_can_be_asked_for() -> None:
    stage = AccountStage(priced=("BTCUSDT",))
    ether = risk(stage, 2, symbol="ETHUSDT")[0]
    assert (ether["markPrice"], ether["positionAmt"]) == ("0.00000000", "0.000")
    assert stage.post("leverage", symbol="ETHUSDT", leverage=5)["leverage"] == 5
    assert stage.code("POST", "order", symbol="ETHUSDT", side="BUY", type="MARKET", quantity="1") == -2020
    assert len(stage.ask("GET", "/fapi/v2/account")["positions"]) == 2


def test_the_queue_of_those_who_are_deleveraged_has_the_same_place_in_both_answers() -> None:
    stage = AccountStage(accounts=("main", "other"))
    stage.order("BUY", "0.1")
    stage.use("other")
    stage.order("BUY", "0.8")  # more profit and leverage
    stage.move("51000")
    assert stage.get("adlQuantile") == [{"symbol": "BTCUSDT", "adlQuantile": {"LONG": 0, "SHORT": 0, "BOTH": 4}}]
    assert risk(stage)[0]["adl"] == 4
    stage.use("main")
    # Second of two: 4 - 5 // 2
    assert stage.get("adlQuantile", **BTC)[0]["adlQuantile"]["BOTH"] == risk(stage)[0]["adl"] == 2
    assert stage.get("adlQuantile", symbol="ETHUSDT") == []


def test_in_hedge_mode_with_cross_margin_both_sides_have_one_place_in_that_queue() -> None:
    stage = AccountStage(accounts=("main", "other"))
    stage.post("positionSide/dual", dualSidePosition="true")
    stage.order("BUY", "0.1", positionSide="LONG")
    assert stage.get("adlQuantile")[0]["adlQuantile"] == {"LONG": 4, "SHORT": 4, "HEDGE": 0}  # the higher one's
    stage.order("SELL", "0.1", positionSide="SHORT")
    assert stage.get("adlQuantile")[0]["adlQuantile"] == {"LONG": 4, "SHORT": 4, "HEDGE": 0}


# Settings


def test_the_leverage_is_set_and_told() -> None:
    stage = AccountStage()
    # BTCUSDT's last bracket that allows 25 ends at 70 million.
    answer = stage.post("leverage", **BTC, leverage=25)
    assert answer == {"leverage": 25, "maxNotionalValue": "70000000", "symbol": "BTCUSDT"}
    (config,) = stage.get("symbolConfig", **BTC)
    assert config["leverage"] == 25
    assert risk(stage, 2, **BTC)[0]["leverage"] == "25"
    assert [config["leverage"] for config in stage.get("symbolConfig")] == [25, 20]
    assert stage.code("POST", "leverage", **BTC, leverage=151) == -4028
    assert stage.code("POST", "leverage", **BTC, leverage=0) == -4028
    assert stage.code("POST", "leverage", **BTC, leverage="2.5") == -1102
    assert stage.code("POST", "leverage", **BTC) == -1102


def test_the_margin_type_is_set_while_nothing_is_open() -> None:
    stage = AccountStage()
    assert stage.code("POST", "marginType", **BTC, marginType="CROSSED") == -4046
    assert stage.post("marginType", **BTC, marginType="ISOLATED") == {"code": 200, "msg": "success"}
    assert [config["marginType"] for config in stage.get("symbolConfig")] == ["ISOLATED", "CROSSED"]
    assert stage.code("POST", "marginType", **BTC, marginType="isolated") == -1130
    stage.order("BUY", "0.1", "49000")
    assert stage.code("POST", "marginType", **BTC, marginType="CROSSED") == -4047
    stage.ask("DELETE", "/fapi/v1/allOpenOrders", **BTC)
    stage.order("BUY", "0.1")
    assert stage.code("POST", "marginType", **BTC, marginType="CROSSED") == -4048
    assert stage.code("POST", "leverage", **BTC, leverage=10) == -4161


def test_margin_of_an_isolated_position_is_moved_and_the_moves_are_told() -> None:
    stage = AccountStage()
    assert stage.code("POST", "positionMargin", **BTC, amount="1", type=1) == -4049
    stage.post("marginType", **BTC, marginType="ISOLATED")
    assert stage.code("POST", "positionMargin", **BTC, amount="1", type=1) == -4054
    stage.order("BUY", "0.1")
    added = stage.post("positionMargin", **BTC, amount="100.5", type=1)
    assert added == {"amount": 100.5, "code": 200, "msg": "Successfully modify position margin.", "type": 1}
    stage.wait(1_000)
    stage.post("positionMargin", **BTC, amount="40", type=2)
    assert risk(stage)[0]["isolatedWallet"] == "310.55000000"  # 250.05 + 100.5 - 40
    first, second = stage.get("positionMargin/history", **BTC)
    assert (first["type"], first["amount"], first["positionSide"]) == (1, "100.50000000", "BOTH")
    assert (second["type"], second["amount"], second["time"]) == (2, "40.00000000", first["time"] + 1_000)
    assert stage.get("positionMargin/history", **BTC, type=2) == [second]
    assert stage.get("positionMargin/history", **BTC, limit=1) == [second]
    assert stage.get("positionMargin/history", **BTC, startTime=first["time"], limit=1) == [first]
    assert stage.code("POST", "positionMargin", **BTC, amount="-1", type=1) == -4055
    assert stage.code("POST", "positionMargin", **BTC, amount="0", type=1) == -4055
    assert stage.code("POST", "positionMargin", **BTC, amount="1", type=3) == -1130
    assert stage.code("POST", "positionMargin", **BTC, amount="100000", type=1) == -4050
    assert stage.code("POST", "positionMargin", **BTC, amount="300", type=2) == -4051
    assert stage.code("POST", "positionMargin", **BTC, amount="1", type=1, positionSide="LONG") == -4061
    stage.wait(30 * DAY)
    assert stage.get("positionMargin/history", **BTC) == [second]


def test_the_position_mode_is_set_while_nothing_is_open() -> None:
    stage = AccountStage()
    assert stage.get("positionSide/dual") == {"dualSidePosition": False}
    assert stage.code("POST", "positionSide/dual", dualSidePosition="false") == -4059
    stage.order("BUY", "0.1", "49000")
    assert stage.code("POST", "positionSide/dual", dualSidePosition="true") == -4067
    stage.ask("DELETE", "/fapi/v1/allOpenOrders", **BTC)
    stage.order("BUY", "0.1")
    assert stage.code("POST", "positionSide/dual", dualSidePosition="true") == -4068
    stage.order("SELL", "0.1")
    assert stage.post("positionSide/dual", dualSidePosition="true") == {"code": 200, "msg": "success"}
    assert stage.get("positionSide/dual") == {"dualSidePosition": True}
    assert stage.get("accountConfig")["dualSidePosition"] is True


def test_the_multi_assets_mode_is_set_and_told() -> None:
    stage = AccountStage()
    assert stage.code("POST", "multiAssetsMargin", multiAssetsMargin="false") == -4171
    stage.post("multiAssetsMargin", multiAssetsMargin="true")
    assert stage.get("multiAssetsMargin") == {"multiAssetsMargin": True}
    assert stage.get("accountConfig")["multiAssetsMargin"] is True
    assert stage.code("POST", "marginType", **BTC, marginType="ISOLATED") == -4167


def test_burning_bnb_makes_trades_cheaper_and_leaves_the_told_rates() -> None:
    stage = AccountStage()
    rates = stage.get("commissionRate", **BTC)
    assert (rates["makerCommissionRate"], rates["takerCommissionRate"]) == ("0.0002", "0.0005")
    stage.post("feeBurn", feeBurn="true")
    assert stage.get("feeBurn") == {"feeBurn": True}
    assert stage.ask("GET", "/fapi/v2/account")["feeBurn"] is True
    stage.order("BUY", "0.1")
    assert stage.get("userTrades", **BTC)[0]["commission"] == "2.25045000"  # 5 001 * 0.0005 * 0.9
    assert stage.get("commissionRate", **BTC) == rates


def test_the_brackets_are_told_as_numbers() -> None:
    stage = AccountStage()
    (answer,) = stage.get("leverageBracket", **BTC)
    assert answer["brackets"][2] == {
        "bracket": 3,
        "initialLeverage": 75,
        "notionalCap": 3_000_000,
        "notionalFloor": 800_000,
        "maintMarginRatio": 0.0065,
        "cum": 1_500,
    }
    assert [row["symbol"] for row in stage.get("leverageBracket")] == ["BTCUSDT", "ETHUSDT"]


def test_a_key_may_read_and_trade_futures_and_nothing_more() -> None:
    stage = AccountStage()
    answer = stage.ask("GET", "/sapi/v1/account/apiRestrictions")
    assert (answer["enableReading"], answer["enableFutures"], answer["enableWithdrawals"]) == (True, True, False)
    assert answer["createTime"] == stage.now_ms


def test_the_order_limits_are_those_of_the_venue() -> None:
    stage = AccountStage()
    terms = stage.venue.limits.terms
    ten_seconds, minute = stage.get("rateLimit/order")
    assert ten_seconds == {
        "rateLimitType": "ORDERS",
        "interval": "SECOND",
        "intervalNum": 10,
        "limit": terms.orders_per_10_s,
    }
    assert (minute["interval"], minute["limit"]) == ("MINUTE", terms.orders_per_minute)


# Trades and income


def test_trades_are_told_with_what_they_paid_and_realised() -> None:
    stage = AccountStage()
    stage.order("BUY", "0.1", "50000")
    stage.move("49900")  # through the resting order
    stage.move("51000")
    stage.order("SELL", "0.05")  # at 51 000 * 0.9998 = 50 989.8
    made, taken = stage.get("userTrades", **BTC)
    assert (made["maker"], made["buyer"], made["price"], made["quoteQty"]) == (True, True, "50000.00", "5000.00000")
    assert made["commission"] == "1.00000000"  # 5 000 * 0.0002
    assert (taken["maker"], taken["buyer"], taken["side"], taken["price"]) == (False, False, "SELL", "50989.80")
    assert taken["realizedPnl"] == "49.49000000"  # 0.05 * 989.8
    assert taken["commission"] == "1.27474500"  # 0.05 * 50 989.8 * 0.0005
    assert stage.get("userTrades", **BTC, orderId=made["orderId"]) == [made]


def test_trades_are_of_the_last_week_or_of_a_week_that_is_asked_for_or_from_a_number_on() -> None:
    stage = AccountStage()
    start = stage.now_ms
    for _ in range(4):
        stage.order("BUY", "0.01")
        stage.wait(3 * DAY)
    stage.order("BUY", "0.1", symbol="ETHUSDT")
    numbers = [fill.trade_id for fill in stage.trader.fills if fill.symbol == "BTCUSDT"]

    def listed(**params: object) -> list[int]:
        return [numbers.index(trade["id"]) for trade in stage.get("userTrades", **BTC, **params)]

    assert listed() == [2, 3]
    assert listed(limit=1) == [3]
    assert listed(startTime=start) == [0, 1, 2]
    assert listed(startTime=start, limit=2) == [0, 1]
    assert listed(endTime=start + 1) == [0]
    assert listed(fromId=numbers[1]) == [1, 2, 3]
    assert listed(fromId=0, limit=1) == [0]
    assert stage.code("GET", "userTrades") == -1102
    assert stage.code("GET", "userTrades", **BTC, fromId=1, startTime=start) == -1128
    assert stage.code("GET", "userTrades", **BTC, startTime=start, endTime=start + 7 * DAY + 1) == -4165
    assert stage.code("GET", "userTrades", **BTC, startTime=start, endTime=start - 1) == -1023
    assert stage.code("GET", "userTrades", **BTC, limit=1001) == -1130
    stage.wait(81 * DAY)
    assert listed(fromId=0) == [1, 2, 3]  # the first is older than 90 days
    assert listed(startTime=start) == [1, 2]


def test_income_is_filtered_and_paged() -> None:
    stage = AccountStage()
    opened = stage.now_ms
    stage.wait(HOUR)
    stage.order("BUY", "0.1")
    stage.order("BUY", "0.1", symbol="ETHUSDT")
    stage.settle("0.0001", "50000")
    stage.order("SELL", "0.1")

    def listed(**params: object) -> list[str]:
        return [line["incomeType"] for line in stage.get("income", **params)]

    everything = ["TRANSFER", "COMMISSION", "COMMISSION", "FUNDING_FEE", "REALIZED_PNL", "COMMISSION"]
    assert listed() == everything
    assert listed(**BTC) == ["COMMISSION", "FUNDING_FEE", "REALIZED_PNL", "COMMISSION"]
    (funding,) = stage.get("income", incomeType="FUNDING_FEE")
    assert (funding["income"], funding["symbol"]) == ("-0.50000000", "BTCUSDT")  # 0.1 * 50 000 * 0.0001
    assert (funding["tradeId"], funding["info"]) == ("", "FUNDING_FEE")
    assert stage.get("income", **BTC, incomeType="REALIZED_PNL")[0]["tradeId"] == "2"
    assert listed(limit=2) == everything[4:]
    assert listed(limit=2, page=2) == everything[2:4]
    assert listed(startTime=opened, limit=4) == everything[:4]
    assert listed(startTime=opened, limit=4, page=2) == everything[4:]
    assert listed(startTime=opened, limit=4, page=3) == []
    assert listed(endTime=opened) == ["TRANSFER"]
    assert listed(startTime=opened + 1, endTime=stage.now_ms - 1) == everything[1:3]
    assert stage.code("GET", "income", incomeType="GIFT") == -1130
    assert stage.code("GET", "income", limit=1001) == -1130
    assert stage.code("GET", "income", startTime=2, endTime=1) == -1023
    numbers = [line["tranId"] for line in stage.get("income")]
    assert len(set(numbers)) == len(everything)


def test_income_is_of_the_last_week_unless_a_start_is_asked_for_and_kept_for_three_months() -> None:
    stage = AccountStage()
    opened = stage.now_ms
    stage.wait(7 * DAY)
    assert len(stage.get("income")) == 1
    stage.wait(1)
    assert stage.get("income") == []
    assert len(stage.get("income", startTime=opened)) == 1
    stage.wait(83 * DAY)
    assert stage.get("income", startTime=opened) == []


def test_a_hundred_lines_of_income_are_told_unless_more_are_asked_for() -> None:
    stage = AccountStage(wallet="100000")
    for _ in range(120):
        stage.order("BUY", "0.001", "50010")
    assert len(stage.get("income")) == 100
    assert len(stage.get("income", limit=1000)) == 121


def test_a_liquidation_is_told_as_a_force_order_and_in_income() -> None:
    stage = AccountStage()
    stage.post("marginType", **BTC, marginType="ISOLATED")
    stage.order("BUY", "0.1")
    stage.move("47000")
    (order,) = stage.get("forceOrders")
    assert order["clientOrderId"].startswith("autoclose-")
    assert (order["status"], order["side"], order["executedQty"]) == ("FILLED", "SELL", "0.100")
    assert not {"priceProtect", "priceMatch", "goodTillDate"} & set(order)
    assert stage.get("forceOrders", autoCloseType="LIQUIDATION", **BTC) == [order]
    assert stage.get("forceOrders", autoCloseType="ADL") == []
    assert stage.get("forceOrders", symbol="ETHUSDT") == []
    assert stage.get("forceOrders", startTime=stage.now_ms + 1) == []
    assert "INSURANCE_CLEAR" in [line["incomeType"] for line in stage.get("income")]
    # An isolated position costs no more than what was set aside for it: 250.05 and the fee of opening, 2.5005.
    assert stage.ask("GET", "/fapi/v3/balance")[0]["balance"] == "9747.44950000"
    assert stage.code("GET", "forceOrders", autoCloseType="LATE") == -1130
    assert stage.code("GET", "forceOrders", limit=101) == -1130


def test_a_deleveraging_is_told_as_a_force_order_of_its_own_kind() -> None:
    stage = AccountStage(accounts=("loser", "winner"), insurance_fund=Decimal(0))
    stage.post("marginType", **BTC, marginType="ISOLATED")
    stage.order("BUY", "0.1")
    stage.use("winner")
    stage.order("SELL", "0.1")
    stage.open_bar("BTCUSDT", "45000")  # far below the bankruptcy price of 47 509.5
    (order,) = stage.get("forceOrders", autoCloseType="ADL")
    assert order["clientOrderId"].startswith("adl_autoclose")
    assert stage.get("forceOrders", autoCloseType="LIQUIDATION") == []


def test_an_order_of_the_accounts_own_is_no_force_order_whatever_it_is_called() -> None:
    stage = AccountStage()
    stage.order("BUY", "0.1", newClientOrderId="autoclose-1")
    assert stage.get("forceOrders") == []


# Weights


@pytest.mark.parametrize(
    ("name", "weight", "weight_of_one"),
    [
        ("/fapi/v3/account", 5, None),
        ("/fapi/v2/account", 5, None),
        ("/fapi/v3/balance", 5, None),
        ("/fapi/v3/positionRisk", 5, 5),
        ("/fapi/v1/adlQuantile", 5, 5),
        ("/fapi/v1/accountConfig", 5, None),
        ("/fapi/v1/symbolConfig", 5, 5),
        ("/fapi/v1/leverageBracket", 1, 1),
        ("/fapi/v1/commissionRate", None, 20),
        ("/fapi/v1/feeBurn", 30, None),
        ("/fapi/v1/multiAssetsMargin", 30, None),
        ("/fapi/v1/positionSide/dual", 30, None),
        ("/fapi/v1/income", 30, 30),
        ("/fapi/v1/userTrades", None, 5),
        ("/fapi/v1/forceOrders", 50, 20),
        ("/fapi/v1/apiTradingStatus", 10, 1),
        ("/fapi/v1/rateLimit/order", 1, None),
        ("/fapi/v1/openAlgoOrders", 40, 1),
        ("/fapi/v1/allAlgoOrders", None, 5),
        ("/fapi/v1/positionMargin/history", None, 1),
    ],
)
def test_an_answer_weighs_what_the_documentation_says(name: str, weight: int | None, weight_of_one: int | None) -> None:
    for wanted, params in ((weight, {}), (weight_of_one, BTC)):
        if wanted is not None:
            stage = AccountStage()
            stage.ask("GET", name, **params)
            assert stage.venue.limits.used_weight("127.0.0.1", stage.venue.session_ms()) == wanted


# WebSocket API


def test_the_websocket_api_tells_the_same_as_rest() -> None:
    stage = AccountStage()
    stage.order("BUY", "0.1")

    def told(method: str, **params: object) -> Any:
        frame = stage.call(method, **params)
        assert frame["status"] == 200
        return frame["result"]

    assert told("account.balance") == told("v2/account.balance") == stage.ask("GET", "/fapi/v3/balance")
    assert told("account.position", **BTC) == risk(stage, 2, **BTC)
    assert told("v2/account.position") == risk(stage)
    assert told("account.status") == stage.ask("GET", "/fapi/v2/account")
    status = told("v2/account.status")
    assert status["assets"][0].pop("marginAvailable") is True
    assert status == stage.ask("GET", "/fapi/v3/account")
