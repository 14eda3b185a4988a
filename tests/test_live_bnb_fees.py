"""Fees in BNB: the account's BNB pays them and not its USDT, and the trader's bookings agree with the exchange's."""

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from rl_trader.live.core.events import AccountSeen, FillSeen
from rl_trader.live.drift.report import read_drift
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.journal.rows import FillRow, PostingRow
from rl_trader.live.launch import Order, prepare, setup_of
from rl_trader.live.policy.deployment import load_deployment
from rl_trader.live.preflight.terms import check_fee_burn
from rl_trader.live.reading import UnreadableError, fill_seen, user_events
from rl_trader.live.redaction import Redactor
from rl_trader.live.session import Session
from rl_trader.local_exchange.engine.trader import Bnb
from tests.account_stage import AccountStage
from tests.deploy_stage import TRADING, embedded_exchange, embedded_run, keys_of, write_caps
from tests.live_session_stage import play, trader_of

D = Decimal
BTC = {"symbol": "BTCUSDT"}
BALANCE, PRICE = D(50), D(600)  # BNB, and USDT of one


# ---- The local exchange


def test_the_local_exchange_takes_fees_from_the_bnb_of_an_account_that_burns_them() -> None:
    # 0.1 at 50,010 is 5,001 USDT; of it 0.05 % less a tenth is 2.25045 USDT, and of 600 USDT each 0.00375075 BNB.
    stage = AccountStage()
    account = stage.venue.trader("main")
    account.bnb = Bnb(D("0.005"), PRICE)
    before = account.books.wallet_balance
    stage.post("feeBurn", feeBurn="true")
    stage.order("BUY", "0.1")
    (trade,) = stage.get("userTrades", **BTC)
    assert (trade["commission"], trade["commissionAsset"]) == ("0.00375075", "BNB")
    assert account.books.wallet_balance == before
    (line,) = stage.get("income", incomeType="COMMISSION")
    assert (line["income"], line["asset"]) == ("-0.00375075", "BNB")
    assert [(row["asset"], row["balance"]) for row in stage.ask("GET", "/fapi/v3/balance")][1] == ("BNB", "0.00124925")


@pytest.mark.parametrize("path", ["/fapi/v3/account", "/fapi/v2/account"])
def test_what_an_account_has_of_bnb_is_listed_and_told_when_a_fee_takes_of_it(path: str) -> None:
    stage = AccountStage()
    assert [asset["asset"] for asset in stage.ask("GET", path)["assets"]] == ["USDT"]
    stage.venue.trader("main").bnb = Bnb(D("0.005"), PRICE)
    stage.order("BUY", "0.1")  # its fee is charged in USDT
    stage.post("feeBurn", feeBurn="true")
    stage.order("SELL", "0.1")  # 4,999 USDT; less a tenth the fee is 2.24955 USDT, and of 600 USDT each 0.00374925 BNB
    updates = [json.loads(message.text)["a"]["B"] for message in stage.messages if message.event == "ACCOUNT_UPDATE"]
    bnb = {"a": "BNB", "wb": "0.00125075", "cw": "0.00125075", "bc": "0"}
    assert [[row["a"] for row in rows] for rows in updates] == [["USDT"], ["USDT", "BNB"]]
    assert updates[-1][1] == bnb
    assert [event.wallet_balance for event in seen(stage)] == [D(row["wb"]) for row, *_ in updates]
    usdt, listed = stage.ask("GET", path)["assets"]
    assert listed.keys() == usdt.keys()
    assert listed["asset"] == "BNB"
    free = {"walletBalance", "marginBalance", "crossWalletBalance", "availableBalance", "maxWithdrawAmount"}
    for name in listed.keys() - {"asset", "updateTime", "marginAvailable"}:
        assert listed[name] == ("0.00125075" if name in free else "0.00000000")


def seen(stage: AccountStage) -> list[AccountSeen]:
    """Return what the live trader reads of what its account is told."""
    events = [event for message in stage.messages for event in user_events(json.loads(message.text), "BTCUSDT")]
    return [event for event in events if isinstance(event, AccountSeen)]


def test_a_fee_for_which_the_bnb_are_too_few_is_charged_in_usdt_without_a_discount() -> None:
    stage = AccountStage()
    account = stage.venue.trader("main")
    account.bnb = Bnb(D("0.003"), PRICE)
    before = account.books.wallet_balance
    stage.post("feeBurn", feeBurn="true")
    stage.order("BUY", "0.1")
    (trade,) = stage.get("userTrades", **BTC)
    assert (trade["commission"], trade["commissionAsset"]) == ("2.50050000", "USDT")
    assert account.books.wallet_balance == before - D("2.5005")
    assert account.bnb == Bnb(D("0.003"), PRICE)


# ---- Reading


def test_the_asset_of_a_fee_is_read_from_events_and_answers() -> None:
    order = {
        "s": "BTCUSDT", "c": "x", "i": 7, "x": "TRADE", "X": "FILLED", "l": "0.5", "z": "0.5", "t": 9, "S": "SELL",
        "L": "40000", "rp": "12.5", "N": "BNB", "n": "0.015",
    }  # fmt: skip
    seen = user_events({"e": "ORDER_TRADE_UPDATE", "T": 5, "o": order}, "BTCUSDT")[0]
    assert isinstance(seen, FillSeen)
    assert (seen.commission, seen.commission_asset, seen.fee) == (D("0.015"), "BNB", D(0))
    row = {
        "time": 5, "id": 9, "orderId": 7, "side": "SELL", "qty": "0.5", "price": "40000", "realizedPnl": "12.5",
        "commission": "10", "commissionAsset": "USDT",
    }  # fmt: skip
    assert fill_seen(row).fee == D(10)
    assert fill_seen(row | {"commissionAsset": "BNB"}).fee == D(0)


# ---- The look before


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("found", [False, True])
def test_what_fees_are_paid_in_is_compared_with_the_training(found: bool, trained: bool) -> None:
    finding = check_fee_burn({"feeBurn": found}, replace(TRADING, fees_in_bnb=trained))
    assert finding.level == ("ok" if found == trained else "note")
    assert f"fees are paid in {'BNB' if found else 'USDT'}" in finding.text
    with pytest.raises(UnreadableError):
        check_fee_burn({}, TRADING)


# ---- The trader


def test_a_trader_whose_fees_are_paid_in_bnb_books_what_the_exchange_books(tmp_path: Path) -> None:
    run, alerts = embedded_run(tmp_path, replace(TRADING, fees_in_bnb=True)), list[str]()
    with embedded_exchange(bnb=Bnb(BALANCE, PRICE)) as (exchange, _):
        account = trader_of(exchange)
        account.burns_bnb = True
        order = Order(
            run=run,
            caps=write_caps(tmp_path / "caps.json"),
            rest=exchange.url,
            streams=exchange.ws_url,
            journal=tmp_path / "journal",
        )

        async def live() -> None:
            setup = await setup_of(prepare(order, keys_of(exchange), None, Redactor()), input, alerts.append)
            async with Session(setup, alerts.append) as session:
                task = asyncio.create_task(session.run())
                await play(exchange, session, task, 6)
                assert session.trader is not None
                state = session.trader.core.state
                assert not state.is_stopped, state.stop_reason
                assert state.books.ledger_balance == account.books.wallet_balance
                task.cancel()
                await asyncio.wait([task])

        asyncio.run(live())
        assert account.bnb is not None
        paid = BALANCE - account.bnb.balance
        assert {fill.commission_asset for fill in account.fills} == {"BNB"}
        assert paid == sum(fill.commission for fill in account.fills) > 0
    with open_read_only(tmp_path / "journal") as reader:
        fills = [row for _, row in reader.rows(FillRow)]
        postings = [row for _, row in reader.rows(PostingRow) if row.asset == "BNB"]
    assert sum(fill.commission for fill in fills) == paid
    assert sum(row.amount for row in postings if row.account == "wallet") == -paid
    assert sum(row.amount for row in postings) == 0
    # By the run's rate the BNB are worth what they were taken for, to a cent: each fee is rounded to 1e-8 BNB.
    drifts = read_drift(tmp_path / "journal", load_deployment(run))
    traded = sum((trade.commission for drift in drifts for trade in drift.trades), D(0))
    assert 0 < traded <= paid * PRICE + D("0.01")
