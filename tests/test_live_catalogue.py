"""What fails in live trading, fault by fault, on an exchange that fails so: what the trader does about orders."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from rl_trader.live.core.words import IntentState, Purpose, StopKind
from rl_trader.rehearsal.hazards import ClockStep, Kill
from rl_trader.rehearsal.minutes import BAR_MS, START_MS
from tests.rehearsal_stage import HAND, OF_ACCOUNT, ORDER, Json, Play, at, on

D = Decimal
CALM = D("0.05")  # a stop that is not met


def nothing(_play: Play) -> None:
    """Look at nothing."""


def entries(play: Play) -> list[IntentState]:
    """Return where the trader's entries stand."""
    return [intent.state for intent in play.state.intents.values() if intent.purpose is Purpose.ENTRY]


# Orders whose answers are lost, or say nothing


UNKNOWN: dict[str, Json] = {
    "the answer is lost": {"action": "drop_answer"},
    "the answer breaks off": {"action": "cut", "at_byte": 30},
    "503 that says nothing": {"action": "unavailable", "which": "unknown", "carried_out": True},
    "503 without a code": {"action": "unavailable", "which": "unknown", "carried_out": True, "code": None},
    "408 of the backend": {"action": "status", "status": 408, "carried_out": True},
    "a page of HTML": {"action": "status", "status": 502, "carried_out": True},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_order_that_was_taken_and_not_answered_is_found_and_never_sent_again(name: str) -> None:
    play = Play({0: "0.1"}, [on(ORDER, UNKNOWN[name], nth=1)], stop_loss=CALM)
    play.until((3.5, Play.is_in_order))
    assert play.sent_orders() == 1
    assert entries(play) == [IntentState.FILLED]
    assert play.held == D("0.1")


NEVER: dict[str, Json] = {
    "the request is lost": {"action": "drop_request"},
    "503 that says nothing": {"action": "unavailable", "which": "unknown", "carried_out": False},
    "504 of the gateway": {"action": "status", "status": 504, "carried_out": False},
}


@pytest.mark.parametrize("name", NEVER)
def test_an_order_that_was_never_taken_is_proved_absent_before_the_next_one_goes(name: str) -> None:
    play = Play({0: "0.1"}, [on(ORDER, NEVER[name], nth=1)], stop_loss=CALM)
    frozen: list[int] = []
    play.until((1.4, lambda play: frozen.append(play.sent_orders())), (4.5, Play.is_in_order))
    assert frozen == [1]  # within the fence nothing else goes
    assert entries(play) == [IntentState.ABSENT, IntentState.FILLED]
    assert play.held == D("0.1")


@pytest.mark.parametrize("which", ["service", "throttled"])
def test_an_order_that_was_certainly_not_taken_ends_its_decision_and_the_next_bar_decides_anew(which: str) -> None:
    play = Play({0: "0.1"}, [on(ORDER, {"action": "unavailable", "which": which}, nth=1)], stop_loss=CALM)
    once: list[tuple[int, list[IntentState]]] = []
    play.until((1.5, lambda play: once.append((play.sent_orders(), entries(play)))), (2.5, Play.is_in_order))
    assert once == [(1, [IntentState.REJECTED])]
    assert play.held == D("0.1")


@pytest.mark.parametrize("code", [-1021, -5028])
def test_an_order_that_is_refused_for_its_time_sets_the_clock_and_is_not_sent_again(code: int) -> None:
    play = Play({0: "0.1"}, [on(ORDER, {"action": "timestamp", "code": code}, nth=1)], stop_loss=CALM)
    play.until((1.5, nothing), (2.5, Play.is_in_order))
    assert entries(play) == [IntentState.REJECTED, IntentState.FILLED]
    assert any(asked.name == "GET /fapi/v1/time" for asked in play.stage.network.asked)


@pytest.mark.parametrize("by_ms", [-30_000, -4_000, 2_500, 30_000])
def test_a_clock_that_jumps_is_set_again_before_anything_else_is_taken(by_ms: int) -> None:
    play = Play({0: "0", 3: "0.1"}, clock_steps=[ClockStep(START_MS + 90_000, by_ms)], stop_loss=CALM)
    play.until((5.5, Play.is_in_order))
    assert play.held == D("0.1")
    refused = [asked for asked in play.stage.network.asked if asked.status == 400]
    assert 0 < len(refused) < 40


def test_parts_that_fill_later_are_counted_and_nothing_is_left_over() -> None:
    part = {"action": "partial_fill", "fraction": "0.5"}
    play = Play({0: "0.1", 3: "-0.1"}, [on(ORDER, part, nth=1), on(ORDER, part, nth=2)], stop_loss=CALM)
    play.until((2.5, Play.is_in_order), (7.5, Play.is_in_order))
    assert play.held == D("-0.1")
    assert len(play.account.fills) >= 4


@pytest.mark.parametrize("action", ["drop", "duplicate", "reorder"])
@pytest.mark.parametrize("event", ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ALGO_UPDATE"])
def test_whatever_becomes_of_events_the_account_is_known_within_half_a_minute(event: str, action: str) -> None:
    fault = {"on": {"event": event, "until": START_MS + 5 * BAR_MS}, "do": {"action": action}}
    play = Play({0: "0.1", 2: "-0.1"}, [fault], stop_loss=CALM)
    play.until((1.5, Play.is_in_order), (4.5, Play.is_in_order), (6.5, Play.is_in_order))
    assert play.held == D("-0.1")
    assert not play.state.is_stopped


def test_a_stream_that_falls_silent_is_made_anew_when_a_reading_shows_what_it_has_not_told() -> None:
    mute = {"action": "mute", "stream": "user:main", "for_ms": 3_600_000}
    play = Play({0: "0", 2: "0.1"}, [at(1.5, mute)], stop_loss=CALM)
    play.until((5.5, Play.is_in_order))
    assert any("listened to anew" in alert for alert in play.stage.alerts)


@pytest.mark.parametrize("tell", [True, False])
def test_an_expired_listen_key_loses_no_trade(tell: bool) -> None:
    expire = {"action": "expire_listen_key", "account": "main", "tell": tell}
    play = Play({0: "0", 2: "0.1"}, [at(1.5, expire)], stop_loss=CALM)
    listens: list[bool] = []
    play.until((5.5, Play.is_in_order), (5.6, lambda play: listens.append(play.stage.listens)))
    assert listens == [True]
    assert not any(asked.name == "DELETE /fapi/v1/listenKey" for asked in play.stage.network.asked)


# Limits and bans


@pytest.mark.parametrize("of", ["weight", "orders"])
def test_an_order_that_is_one_too_many_is_not_sent_again_before_its_time(of: str) -> None:
    limit = {"action": "rate_limit", "of": of, "retry_after_s": 20}
    play = Play({0: "0.1"}, [on(ORDER, limit, nth=1)], stop_loss=CALM)
    play.until((1.3, nothing), (2.5, Play.is_in_order))
    asked = play.stage.network.asked
    refused = next(each for each in asked if each.name == ORDER)
    soon = [each for each in asked if refused.sent_ms < each.sent_ms < refused.sent_ms + 20_000]
    assert [each.name for each in soon if of == "weight" or each.is_order] == []


def test_during_a_ban_nothing_is_asked_not_even_after_a_restart_and_the_stop_protects() -> None:
    ban = {"action": "ban", "for_ms": 30 * BAR_MS}
    kill = Kill(point="at a moment", since_ms=START_MS + 10 * BAR_MS, until_ms=START_MS + 50 * BAR_MS, down_ms=5_000)
    since = START_MS + 3 * BAR_MS
    play = Play({0: "0.1"}, [on("GET *", ban, since=since, most=1)], kills=[kill], stop_loss=CALM)
    protected: list[int] = []
    play.until((20.5, lambda play: protected.append(play.num_stops)), (38.5, Play.is_in_order))
    assert protected == [1]
    assert play.stage.epoch == 2
    asked = [each.sent_ms for each in play.stage.network.asked]
    begun = next(each.sent_ms for each in play.stage.network.asked if each.banned_until_ms is not None)
    assert not any(begun < sent < begun + 30 * BAR_MS - 1_000 for sent in asked)


# Refusals


def test_a_close_that_finds_nothing_to_reduce_leads_to_a_reading_and_no_second_one() -> None:
    unseen = {"action": "mute", "stream": "user:main", "for_ms": 2 * BAR_MS}
    play = Play({0: "0.1", 3: "0"}, [at(3.99, unseen), at(3.995, {**HAND, "change": "close"})], stop_loss=CALM)
    play.until((5.9, nothing))
    exits = [intent for intent in play.state.intents.values() if intent.purpose is Purpose.EXIT]
    assert [intent.state for intent in exits] == [IntentState.REJECTED]
    assert play.held == play.state.books.amount == 0
    assert play.state.stop_kind is StopKind.HALT


def test_three_entries_without_the_margin_end_the_entries() -> None:
    drain = {**OF_ACCOUNT, "change": "transfer", "amount": "-9900"}
    play = Play({0: "0", 2: "0.2"}, [at(2.99, drain)], stop_loss=CALM)
    play.until((3.5, nothing), (9.5, nothing))
    assert play.held == 0
    refused = [asked for asked in play.stage.network.asked if asked.is_order]
    assert len(refused) <= 3


# What a person changes


SETTINGS: dict[str, tuple[Json, str]] = {
    "leverage": ({**HAND, "change": "leverage", "leverage": 5}, "leverage of BTCUSDT must be 20 and is 5"),
    "margin mode": (
        {**HAND, "change": "margin_mode", "margin_mode": "isolated"},
        "margin mode of BTCUSDT must be CROSSED and is ISOLATED",
    ),
    "position mode": ({**OF_ACCOUNT, "change": "position_mode", "hedged": True}, "hedge mode must be off and is on"),
    "multi-assets": (
        {**OF_ACCOUNT, "change": "multi_assets", "multi_assets": True},
        "multi-assets mode must be off and is on",
    ),
}


@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_changed_by_hand_ends_the_entries_within_a_minute(name: str, is_heard: bool) -> None:
    action, words = SETTINGS[name]
    mute = [] if is_heard else [at(1.49, {"action": "mute", "stream": "user:main", "for_ms": 90_000})]
    play = Play({0: "0", 3: "0.1"}, [*mute, at(1.5, action)], stop_loss=CALM)
    play.until((2.7, nothing), (5.5, nothing))
    assert play.state.stop_kind is StopKind.HALT
    assert words in play.state.stop_reason
    assert play.sent_orders() == 0


@pytest.mark.parametrize("name", ["leverage"])
def test_a_setting_that_is_changed_with_a_position_is_not_mended_and_the_stop_stays(name: str) -> None:
    play = Play({0: "0.1"}, [at(2.5, SETTINGS[name][0])], stop_loss=CALM)
    play.until((5.5, Play.is_in_order))
    assert play.state.stop_kind is StopKind.HALT
    assert play.held == D("0.1")
    assert not any(asked.name == "POST /fapi/v1/leverage" for asked in play.stage.network.asked)


MANUAL: dict[str, Json] = {
    "an order at the market": {**HAND, "change": "order", "side": "SELL", "type": "MARKET", "quantity": "0.03"},
    "an order that rests": {
        **HAND,
        "change": "order",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": "0.03",
        "price": "40000",
    },
    "the position is closed": {**HAND, "change": "close"},
}


@pytest.mark.parametrize("is_heard", [True, False])
@pytest.mark.parametrize("name", MANUAL)
def test_beside_a_person_who_trades_nothing_is_entered_and_nothing_is_undone(name: str, is_heard: bool) -> None:
    mute = [] if is_heard else [at(2.49, {"action": "mute", "stream": "user:main", "for_ms": 90_000})]
    play = Play({0: "0.1", 4: "0.2"}, [*mute, at(2.5, MANUAL[name])], stop_loss=CALM)
    play.until((3.1, nothing), (7.5, nothing))
    assert play.state.stop_kind is StopKind.HALT
    assert "is not this program's" in play.state.stop_reason
    assert play.sent_orders() == 1  # the first entry alone
    assert play.state.books.amount == play.held


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_liquidation_is_booked_and_ends_the_entries_until_a_person_has_looked(is_heard: bool) -> None:
    mute = [] if is_heard else [at(2.49, {"action": "mute", "stream": "user:main", "for_ms": 90_000})]
    faults = [*mute, at(2.5, {"action": "liquidate", "account": "main", "symbol": "BTCUSDT"})]
    play = Play({0: "-0.1"}, faults, stop_loss=CALM)
    play.until((3.1, nothing), (7.5, Play.is_in_order))
    assert play.held == 0
    assert play.state.stop_kind is StopKind.HALT
    if is_heard:
        assert play.state.stop_reason == "the position was liquidated"
    else:  # a reading tells at once that the position is gone, and that all of the day's equity is lost with it
        assert "are lost today" in play.state.stop_reason
    assert play.sent_orders() == 1


def test_a_stop_that_is_cancelled_is_placed_again_within_twenty_seconds() -> None:
    cancel = {**HAND, "change": "cancel", "orders": "conditional"}
    play = Play({0: "0.1"}, [at(2.5, cancel)], stop_loss=CALM)
    play.until((2.5 + 20 / 60, Play.is_in_order))
    assert len(play.account.algo_orders) == 2


# The symbol


@pytest.mark.parametrize("status", ["SETTLING", "PRE_SETTLE"])
def test_a_symbol_that_does_not_trade_is_not_entered_until_it_trades_again(status: str) -> None:
    halt = {"action": "halt", "symbol": "BTCUSDT", "for_ms": 6 * BAR_MS, "status": status}
    play = Play({0: "0", 2: "0.1"}, [at(1.5, halt)], stop_loss=CALM)
    play.until((7, nothing), (10.5, Play.is_in_order))
    asked = [asked for asked in play.stage.network.asked if asked.is_order and asked.name == ORDER]
    assert [asked.status == 200 for asked in asked] == [False, True]  # one finds out, and one when it trades
    assert any("does not trade" in alert for alert in play.stage.alerts)
    assert play.held == D("0.1")


FILTERS: dict[str, tuple[Json, Callable[[Play], object]]] = {
    "tick": ({"tick_size": "5"}, lambda play: play.state.tick_size == D(5)),
    "step": ({"step_size": "0.010", "min_quantity": "0.010"}, lambda play: play.held == D("0.05")),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_that_change_are_read_again_after_a_refusal_and_orders_follow_them(name: str) -> None:
    changed, has_followed = FILTERS[name]
    action = {"action": "other_hand", "change": "filters", "symbol": "BTCUSDT", **changed}
    play = Play({0: "0", 2: "0.055"}, [at(1.5, action)], stop_loss=CALM)
    play.until((6.5, nothing))
    assert has_followed(play)
    assert play.num_stops == 1
    reads = [asked for asked in play.stage.network.asked if asked.name == "GET /fapi/v1/exchangeInfo"]
    assert 2 <= len(reads) <= 3  # at the start, and after the refusal


def test_filters_are_read_again_every_hour() -> None:
    play = Play({0: "0"}, num_bars=70)
    play.until((10.5, nothing), (65.5, nothing))
    reads = [asked for asked in play.stage.network.asked if asked.name == "GET /fapi/v1/exchangeInfo"]
    assert [round((asked.sent_ms - START_MS) / BAR_MS) for asked in reads] == [0, 60]


def test_bars_that_are_told_with_other_numbers_end_the_entries_when_they_are_too_many() -> None:
    bars = [START_MS + bar * BAR_MS for bar in (2, 5)]
    play = Play({0: "0"}, revised=bars)
    stopped: list[bool] = []
    play.until((4.5, lambda play: stopped.append(play.state.is_stopped)), (7.5, nothing))
    assert stopped == [False]
    assert "2 bars of the last day were told with other numbers later" in play.state.stop_reason
