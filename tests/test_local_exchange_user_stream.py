"""The user data stream: what accounts are told, in which form and order, and the listen keys that it takes."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rl_trader.contract_terms import ContractTerms
from rl_trader.embedded import embedded_terms
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.endpoints.listen_key import LISTEN_KEY_ENDPOINTS, LISTEN_KEY_METHODS
from rl_trader.local_exchange.engine import settings
from rl_trader.local_exchange.engine.conditional import cancel_algo, place_algo
from rl_trader.local_exchange.engine.events import (
    AccountUpdate,
    AlgoUpdate,
    LeverageUpdate,
    MarginCall,
    MultiAssetsUpdate,
    OrderUpdate,
    PositionState,
    UserEvent,
    WalletState,
)
from rl_trader.local_exchange.engine.orders import AlgoOrder, AlgoRequest, Fill, Order
from rl_trader.local_exchange.engine.words import (
    AlgoStatus,
    Execution,
    ExpiryReason,
    OrderType,
    PositionSide,
    Prevention,
    PriceMatch,
    Side,
    Status,
    TimeInForce,
    UpdateReason,
)
from rl_trader.local_exchange.protocol.endpoint import Call, Security
from rl_trader.local_exchange.streams.listen_keys import VALID_MS, ListenKeys
from rl_trader.local_exchange.streams.user_messages import listen_key_expired, user_messages
from rl_trader.local_exchange.venue import Venue
from tests.stream_stage import Stage, documented, shape

TIME_MS = 1_568_879_465_651
TERMS: dict[str, ContractTerms] = {"EMBEDDED": embedded_terms()}  # a tick of 0.01 and a step of 0.0001
FILL = Fill(
    trade_id=12345678,
    order_id=8886774,
    symbol="EMBEDDED",
    side=Side.BUY,
    position_side=PositionSide.LONG,
    price=Decimal("7100.5"),
    amount=Decimal("0.001"),
    realized=Decimal("12.34"),
    commission=Decimal("0.01"),
    is_maker=True,
    time_ms=TIME_MS,
)


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "order_id": 8886774,
        "client_order_id": "TEST",
        "symbol": "EMBEDDED",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "position_side": PositionSide.LONG,
        "time_in_force": TimeInForce.GTC,
        "quantity": Decimal("0.002"),
        "price": Decimal("7100.5"),
        "reduce_only": False,
        "close_position": False,
        "prevention": Prevention.EXPIRE_TAKER,
        "price_match": PriceMatch.NONE,
        "good_till_ms": 0,
        "time_ms": TIME_MS,
        "update_ms": TIME_MS,
        "orig_type": OrderType.LIMIT,
    }
    return Order(**fields | changes)


def position(**changes: Any) -> PositionState:
    fields: dict[str, Any] = {
        "symbol": "EMBEDDED",
        "side": PositionSide.LONG,
        "amount": Decimal(20),
        "entry_price": Decimal("6563.6"),
        "break_even_price": Decimal(19690677) / 3000,
        "accumulated_realized": Decimal("-45.04"),
        "unrealized_pnl": Decimal("2850.212"),
        "mark_price": Decimal("6706.1106"),
        "maintenance_margin": Decimal("1.614445"),
        "is_isolated": True,
        "isolated_wallet": Decimal("13200.70726908"),
    }
    return PositionState(**fields | changes)


def algo_order(**changes: Any) -> AlgoOrder:
    request: dict[str, Any] = {
        "symbol": "EMBEDDED",
        "side": Side.SELL,
        "type": OrderType.TAKE_PROFIT,
        "trigger_price": Decimal(750),
        "quantity": Decimal("0.01"),
        "price": Decimal(750),
    }
    asked = {name: changes.pop(name) for name in list(changes) if name in AlgoRequest.__slots__}
    fields: dict[str, Any] = {
        "algo_id": 2148719,
        "client_algo_id": "Q5xaq5EGKgXXa0fD7fs0Ip",
        "request": AlgoRequest(**request | asked),
        "time_ms": TIME_MS,
        "update_ms": TIME_MS,
        "reject_reason": "Reduce Only reject",
    }
    return AlgoOrder(**fields | changes)


def messages(event: UserEvent) -> list[Any]:
    return [json.loads(json.dumps(message)) for message in user_messages(event, TERMS)]


# ---- Forms

NEW = OrderUpdate(TIME_MS, order(), Execution.NEW, None, Decimal("9.91"), Decimal(0))
TRADED = NEW._replace(execution=Execution.TRADE, fill=FILL)
ADDED_TO_ORDERS = {"M", "pm", "gtd", "er"}  # since the samples were written
WALLET = WalletState(Decimal("122624.12345678"), Decimal("100.12345678"), Decimal("50.12345678"))
SAMPLES: dict[str, UserEvent] = {
    "order_update_trade": TRADED,
    "order_update_calculated": TRADED._replace(execution=Execution.CALCULATED),
    "account_update": AccountUpdate(TIME_MS, UpdateReason.ORDER, WALLET, (position(),), None),
    "algo_update_new": AlgoUpdate(TIME_MS, algo_order()),
    "account_config_update_leverage": LeverageUpdate(TIME_MS, "EMBEDDED", 25),
    "account_config_update_multi_assets": MultiAssetsUpdate(TIME_MS, is_multi_assets=True),
    "margin_call": MarginCall(TIME_MS, Decimal("3.16812045"), (position(is_isolated=False),)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_an_event_has_the_documented_fields_and_types(name: str, recorded_data: Path) -> None:
    sample, event = documented(recorded_data, "user_data_events")[name], messages(SAMPLES[name])[-1]
    if name.startswith("order_update"):
        assert event["o"].keys() - sample["o"].keys() == ADDED_TO_ORDERS
        event["o"] = {field: event["o"][field] for field in sample["o"]}
    if name == "algo_update_new":
        assert event["o"].pop("ia") is True
    assert shape(event) == shape(sample)


def test_a_new_order_has_the_documented_fields_but_no_commission(recorded_data: Path) -> None:
    sample = documented(recorded_data, "user_data_events")["order_update_new"]["o"]
    [event] = messages(NEW)
    assert sample.keys() - event["o"].keys() == {"N", "n"}
    assert event["o"].keys() - sample.keys() == ADDED_TO_ORDERS
    kept = [field for field in sample if field in event["o"]]
    assert shape({field: event["o"][field] for field in kept}) == shape({field: sample[field] for field in kept})


def test_a_fill_is_told_briefly_first(recorded_data: Path) -> None:
    brief, update = messages(TRADED)
    assert shape(brief) == shape(documented(recorded_data, "user_data_events")["trade_lite"])
    assert (brief["e"], update["e"], update["o"]["x"]) == ("TRADE_LITE", "ORDER_TRADE_UPDATE", "TRADE")
    for field in "sqpcSLlti":
        assert brief[field] == update["o"][field]


@pytest.mark.parametrize("execution", [Execution.NEW, Execution.CALCULATED, Execution.EXPIRED, Execution.AMENDMENT])
def test_nothing_but_a_trade_is_told_briefly(execution: Execution) -> None:
    assert [message["e"] for message in messages(TRADED._replace(execution=execution))] == ["ORDER_TRADE_UPDATE"]


def test_the_fields_of_an_order_say_what_it_is() -> None:
    filled = order(
        status=Status.PARTIALLY_FILLED, executed=Decimal("0.001"), quote=Decimal("7.1005"), modify_id=7, good_till_ms=9
    )
    fields = messages(TRADED._replace(order=filled))[1]["o"]
    assert {name: fields[name] for name in ("q", "p", "ap", "z", "l", "L", "n", "N", "rp", "b", "a")} == {
        "q": "0.0020",
        "p": "7100.50",
        "ap": "7100.50",
        "z": "0.0010",
        "l": "0.0010",
        "L": "7100.50",
        "n": "0.01000000",
        "N": "USDT",
        "rp": "12.34000000",
        "b": "9.91000000",
        "a": "0",
    }
    assert (fields["X"], fields["m"], fields["t"], fields["M"], fields["gtd"]) == (
        "PARTIALLY_FILLED",
        True,
        12345678,
        "7",
        9,
    )


def test_an_expired_order_says_why_as_text() -> None:
    expired = order(status=Status.EXPIRED, expiry_reason=ExpiryReason.NOT_FILLED_WHOLLY, price=Decimal(0))
    fields = messages(NEW._replace(order=expired, execution=Execution.EXPIRED))[0]["o"]
    assert (fields["er"], fields["x"], fields["X"], fields["p"]) == ("9", "EXPIRED", "EXPIRED", "0")


def test_an_account_update_names_only_what_has_changed() -> None:
    only_wallet = AccountUpdate(TIME_MS, UpdateReason.FUNDING_FEE, WALLET, (), "EMBEDDED")
    fields = messages(only_wallet)[0]["a"]
    assert (fields["m"], fields["P"], fields["S"]) == ("FUNDING_FEE", [], "EMBEDDED")
    assert fields["B"] == [{"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.12345678"}]
    only_position = AccountUpdate(TIME_MS, UpdateReason.MARGIN_TYPE_CHANGE, None, (position(),), None)
    fields = messages(only_position)[0]["a"]
    assert (fields["B"], len(fields["P"]), "S" in fields) == ([], 1, False)


def test_a_position_is_written_with_the_places_of_its_symbol() -> None:
    flat = position(amount=Decimal(0), entry_price=Decimal(0), break_even_price=Decimal(0), is_isolated=False)
    update = AccountUpdate(TIME_MS, UpdateReason.ORDER, None, (position(), flat), None)
    held, closed = messages(update)[0]["a"]["P"]
    assert (held["pa"], held["ep"], held["bep"], held["mt"]) == ("20.0000", "6563.60", "6563.559", "isolated")
    assert (closed["pa"], closed["ep"], closed["bep"], closed["mt"]) == ("0", "0", "0", "cross")


def test_only_the_call_of_a_cross_position_names_the_cross_wallet() -> None:
    [call] = messages(MarginCall(TIME_MS, Decimal(3), (position(),)))
    assert "cw" not in call
    assert call["p"][0]["mt"] == "ISOLATED"
    [call] = messages(MarginCall(TIME_MS, Decimal(3), (position(), position(is_isolated=False))))
    assert (call["cw"], call["p"][1]["mt"]) == ("3.00000000", "CROSSED")


def test_a_triggered_conditional_order_names_the_order_that_it_has_become() -> None:
    triggered = algo_order(
        type=OrderType.TRAILING_STOP_MARKET,
        trigger_price=None,
        price=None,
        quantity=None,
        close_position=True,
        status=AlgoStatus.FINISHED,
        actual_order_id=8000000001,
        actual_price=Decimal(700),
        actual_quantity=Decimal("0.5"),
        trigger_ms=5,
        is_active=False,
    )
    fields = messages(AlgoUpdate(TIME_MS, triggered))[0]["o"]
    found = [fields[name] for name in ("X", "ai", "ap", "aq", "act", "tp", "p", "q", "tt", "cp", "ia")]
    assert found == ["FINISHED", "8000000001", "700.00", "0.5000", "MARKET", "0", "0", "0", 5, True, False]


# ---- Listen keys


def test_an_account_has_one_key_which_asking_again_extends() -> None:
    keys = ListenKeys("seed")
    key = keys.start("main", 0)
    assert keys.start("main", VALID_MS - 1) == key
    assert keys.extend("main", 2 * VALID_MS - 2) == key
    assert list(keys.take_expired(3 * VALID_MS - 3)) == []
    assert list(keys.take_expired(3 * VALID_MS - 2)) == [key]
    assert keys.key_of("main") is None


def test_a_key_has_64_letters_and_digits_that_follow_from_seed_account_and_number() -> None:
    keys = [ListenKeys(seed).start(account, 0) for seed, account in (("a", "x"), ("a", "x"), ("a", "y"), ("b", "x"))]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert all(len(key) == 64 and key.isalnum() and key.isascii() for key in keys)


@pytest.mark.parametrize("ends", ["expired", "stopped"])
def test_a_key_that_is_over_cannot_be_extended_and_the_next_one_is_another(ends: str) -> None:
    keys = ListenKeys("seed")
    key = keys.start("main", 0)
    if ends == "stopped":
        keys.stop("main")
    with pytest.raises(RefusedError, match="does not exist") as error:
        keys.extend("main", VALID_MS)
    assert error.value.code == -1125
    assert keys.start("main", VALID_MS) != key
    assert list(keys.take_expired(VALID_MS)) == ([key] if ends == "expired" else [])


def test_endpoints_and_methods_start_extend_and_stop_the_callers_key() -> None:
    stage = Stage()
    trader, _ = stage.open_account()
    clock = iter(range(0, 10 * VALID_MS, VALID_MS // 2))
    venue = Venue(stage.exchange, stage.market, stage.hub, session_clock=lambda: next(clock))
    call = Call(venue=venue, account=trader, arguments={}, address="127.0.0.1")
    start, extend, stop = LISTEN_KEY_ENDPOINTS
    answer = start.answer(call)
    assert answer == {"listenKey": stage.hub.listen_keys.key_of("main")}
    assert extend.answer(call) == extend.answer(call) == answer
    assert stop.answer(call) == {}
    with pytest.raises(RefusedError) as error:
        extend.answer(call)
    assert error.value.code == -1125
    assert [(endpoint.method, endpoint.path) for endpoint in LISTEN_KEY_ENDPOINTS] == [
        (method, "/fapi/v1/listenKey") for method in ("POST", "PUT", "DELETE")
    ]
    assert [method.path for method in LISTEN_KEY_METHODS] == [
        f"userDataStream.{what}" for what in ("start", "ping", "stop")
    ]
    assert [method.answer for method in LISTEN_KEY_METHODS] == [endpoint.answer for endpoint in LISTEN_KEY_ENDPOINTS]
    endpoints = (*LISTEN_KEY_ENDPOINTS, *LISTEN_KEY_METHODS)
    assert {(endpoint.security, endpoint.weight) for endpoint in endpoints} == {(Security.USER_STREAM, 1)}


# ---- Delivery


def names_of(stage: Stage, key: str) -> list[str]:
    """Return the events of an account; those of orders with their execution and status."""
    found = []
    for event in stage.events(key):
        fields = event.get("o", {}) if event["e"] in ("ORDER_TRADE_UPDATE", "ALGO_UPDATE") else {}
        found.append(" ".join([event["e"], *(fields[name] for name in "xX" if name in fields)]))
    return found


def test_a_market_order_is_told_from_its_acceptance_to_its_fill() -> None:
    stage = Stage()
    trader, key = stage.open_account()
    stage.subscribe(key, "btcusdt@trade")
    stage.play(1)
    stage.messages.clear()
    stage.trade(trader, Side.BUY, "2")
    assert names_of(stage, key) == [
        "ORDER_TRADE_UPDATE NEW NEW",
        "ACCOUNT_UPDATE",
        "TRADE_LITE",
        "ORDER_TRADE_UPDATE TRADE FILLED",
    ]
    assert stage.messages[-1].stream == "btcusdt@trade"  # what everybody sees of it comes last
    _, account, brief, update = stage.events(key)
    assert account["a"]["P"][0]["pa"] == brief["l"] == update["o"]["z"] == "2.0000"
    assert Decimal(account["a"]["B"][0]["wb"]) == trader.books.wallet_balance
    assert brief["t"] == stage.events("btcusdt@trade")[0]["t"]


def test_everything_that_the_engine_tells_can_be_written() -> None:
    stage = Stage()
    trader, key = stage.open_account()
    stage.subscribe(key)
    state = stage.exchange.state
    stage.play(1)
    trader.know(stage.exchange.quotes["BTCUSDT"])
    settings.set_leverage(state, trader, "BTCUSDT", 5)
    bid = stage.market.book("BTCUSDT").bids[0][0]
    stage.trade(trader, Side.BUY, "2")
    resting = stage.trade(trader, Side.BUY, "1", bid - 1)
    request = AlgoRequest(
        symbol="BTCUSDT",
        side=Side.SELL,
        type=OrderType.STOP_MARKET,
        trigger_price=bid - 200,
        close_position=True,
        quantity=None,
    )
    cancel_algo(state, trader, place_algo(state, trader, request))
    stage.play(30)
    assert resting.status is Status.FILLED
    found = set(names_of(stage, key))
    assert found >= {
        "ACCOUNT_CONFIG_UPDATE",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE NEW NEW",
        "ORDER_TRADE_UPDATE TRADE FILLED",
        "TRADE_LITE",
        "ALGO_UPDATE NEW",
        "ALGO_UPDATE CANCELED",
    }
    reasons = {event["a"]["m"] for event in stage.events(key) if event["e"] == "ACCOUNT_UPDATE"}
    assert reasons == {"ORDER", "FUNDING_FEE"}


def test_a_liquidation_is_told_to_its_account_and_to_everybody() -> None:
    stage = Stage()
    trader, key = stage.open_account(balance=150)
    stage.subscribe(key, "btcusdt@forceOrder", "!forceOrder@arr")
    stage.play(1)
    stage.trade(trader, Side.BUY, "2")  # about 2 100 USDT at a leverage of 20
    stage.play(50)
    assert trader.held_slots() == []
    assert "ORDER_TRADE_UPDATE CALCULATED FILLED" in names_of(stage, key)
    [update] = [event for event in stage.events(key) if event.get("o", {}).get("x") == "CALCULATED"]
    assert update["o"]["c"].startswith("autoclose-")
    [everybody], [all_symbols] = stage.events("btcusdt@forceOrder"), stage.events("!forceOrder@arr")
    assert everybody["o"] == all_symbols["o"]
    for field in "sSofqpXz":
        assert everybody["o"][field] == update["o"][field], field


def test_funding_is_told_before_the_candle_that_it_falls_in_is_closed() -> None:
    stage = Stage()
    trader, key = stage.open_account()
    stage.subscribe(key, "btcusdt@kline_30m")
    stage.play(1)
    stage.trade(trader, Side.BUY, "2")
    stage.messages.clear()
    stage.play(17)  # funding is settled every eight hours
    events = [json.loads(message.text) for message in stage.messages]
    fees = [number for number, event in enumerate(events) if event.get("a", {}).get("m") == "FUNDING_FEE"]
    assert len(fees) == 1
    following = events[fees[0] + 1]
    assert following["e"] == "kline"
    assert events[fees[0]]["T"] <= following["E"]


def test_no_event_is_lost_or_overtaken_and_each_account_hears_only_its_own() -> None:
    stage = Stage()
    accounts = [stage.open_account(name) for name in ("one", "two")]
    stage.subscribe(*(key for _, key in accounts))
    stage.play(1)
    for number in range(40):
        trader, _ = accounts[number % 2]
        stage.trade(trader, Side.BUY if number % 4 < 2 else Side.SELL, "1")
        stage.replay.step()
    for trader, key in accounts:
        briefs = [event["t"] for event in stage.events(key) if event["e"] == "TRADE_LITE"]
        assert briefs == [fill.trade_id for fill in trader.fills]
        assert len(briefs) == 20
        times = [event["E"] for event in stage.events(key)]
        assert times == sorted(times)
        assert not trader.outbox


def test_what_happens_while_nobody_listens_is_not_told_later() -> None:
    stage = Stage()
    trader, key = stage.open_account()
    stage.play(1)
    stage.trade(trader, Side.BUY, "1")
    stage.subscribe(key)
    stage.hub.flush()
    assert stage.messages == []
    stage.trade(trader, Side.SELL, "1")
    assert len(stage.events(key)) == 4


def test_an_expired_key_is_told_so_and_hears_nothing_more(recorded_data: Path) -> None:
    stage = Stage()
    trader, key = stage.open_account()
    stage.subscribe(key)
    stage.play(1)
    stage.hub.tick(VALID_MS - 1)
    assert stage.messages == []
    stage.hub.tick(VALID_MS)
    stage.trade(trader, Side.BUY, "1")
    assert stage.events(key) == [listen_key_expired(key, VALID_MS)]
    assert shape(stage.events(key)[0]) == shape(documented(recorded_data, "user_data_events")["listen_key_expired"])


def test_a_stopped_key_hears_nothing_more() -> None:
    stage = Stage()
    trader, key = stage.open_account()
    stage.subscribe(key)
    stage.play(1)
    stage.hub.listen_keys.stop("main")
    stage.trade(trader, Side.BUY, "1")
    assert stage.messages == []
