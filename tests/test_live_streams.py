"""Streams of the live trader: the rules without sockets, then against the local exchange and its faults."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rl_trader.errors import ConfigError
from rl_trader.live.exchange.outcome import RawAnswer
from rl_trader.live.exchange.venue import Gate, Venue
from rl_trader.live.streams.line_keeper import Backoff, LineKeeper, LineLimits, Reason
from rl_trader.live.streams.market_news import Alive, BarReady, BarRevised, KlineNews, MarkNews, Stale, Unreadable
from rl_trader.live.streams.market_stream import MOST_WAITING, MarketStream, StreamDown, StreamUp, parse_market_frame
from rl_trader.live.streams.sockets import Dialer, LineError, MachineClock, Waiting
from rl_trader.live.streams.user_stream import (
    AccountGap,
    KeyKeeper,
    KeyLimits,
    UserEvent,
    UserStreamDown,
    parse_user_frame,
)
from rl_trader.market import build_market
from tests.fault_stage import BAR, START
from tests.live_stream_stage import QUICK, Heard, Port, StreamStage, market, running, serving, user_stream

LIMITS = LineLimits(stall_ms=5_000, lifetime_ms=100_000, steady_ms=10_000)
KLINE, MARK = "btcusdt@kline_30m", "btcusdt@markPrice@1s"
RISING = [f"{50_000 + 10 * i} {50_100 + 10 * i} {49_900 + 10 * i} {50_010 + 10 * i} {100 + i}" for i in range(14)]


# ---- Backoff


def test_pauses_double_up_to_the_longest_and_are_shortened_by_chance_by_half_at_most() -> None:
    least, most = Backoff(lambda: 0.999_999), Backoff(lambda: 0.0)
    assert [most.next_ms() for _ in range(8)] == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
    assert [least.next_ms() for _ in range(3)] == [500, 1_000, 2_000]
    most.reset()
    assert most.next_ms() == 1_000
    assert most.spread(100_000) == 100_000
    assert least.spread(100_000) == 90_000


# ---- Which line there is


def keeper() -> LineKeeper:
    return LineKeeper(LIMITS, Backoff(lambda: 0.0))


def kept(now: int = 0) -> LineKeeper:
    """Return a keeper with line 1, adopted."""
    lines = keeper()
    assert lines.begin(now) is Reason.START
    lines.open(1, now)
    assert lines.hear(1, now) is None
    return lines


def test_a_line_is_wanted_at_the_start_and_once_only() -> None:
    lines = keeper()
    assert not lines.has_line
    assert lines.begin(0) is Reason.START
    assert lines.begin(0) is None
    lines.open(1, 5)
    assert lines.has_line
    assert lines.begin(5) is None
    lines.hear(1, 6)
    assert lines.begin(7) is None


def test_a_line_that_cannot_be_opened_is_tried_again_after_pauses() -> None:
    lines = keeper()
    for begun, again in ((0, 1_000), (1_000, 3_000), (3_000, 7_000)):
        assert lines.begin(begun) is Reason.START
        lines.fail(begun)
        assert lines.begin(again - 1) is None
    assert lines.begin(7_000) is Reason.START


def test_a_line_that_ends_is_replaced_at_once_if_it_has_lasted() -> None:
    lines = kept()
    lines.close(1, 10_000)
    assert not lines.has_line
    assert lines.begin(10_000) is Reason.LOST


def test_a_line_that_ends_at_once_is_replaced_after_a_pause_which_grows() -> None:
    lines = kept()
    lines.close(1, 9_999)
    assert lines.begin(10_998) is None
    assert lines.begin(10_999) is Reason.LOST
    lines.open(2, 11_000)
    lines.hear(2, 11_000)
    lines.close(2, 11_000)
    assert lines.begin(12_999) is None
    assert lines.begin(13_000) is Reason.LOST


def test_a_line_that_has_lasted_lets_pauses_begin_anew() -> None:
    lines = keeper()
    for _ in range(4):
        lines.begin(100_000)
        lines.fail(0)
    lines.begin(100_000)
    lines.open(1, 100_000)
    lines.hear(1, 100_000)
    lines.hear(1, 110_000)
    lines.ask(Reason.ASKED)
    assert lines.begin(110_000) is Reason.ASKED
    lines.fail(110_000)
    assert lines.begin(111_000) is Reason.ASKED


def test_a_silent_line_stays_until_another_one_has_shown_a_sign_of_life() -> None:
    lines = kept()
    lines.hear(1, 1_000)
    assert lines.begin(6_000) is None
    assert lines.begin(6_001) is Reason.STALLED
    lines.open(2, 6_100)
    assert lines.hear(1, 6_200) is None
    assert lines.hear(2, 6_300) == 1
    assert lines.begin(6_400) is None
    lines.close(1, 6_500)  # the old one is none of its any more
    assert lines.begin(6_600) is None


def test_a_second_line_that_stays_silent_is_dropped_and_tried_again() -> None:
    lines = kept()
    assert lines.begin(5_001) is Reason.STALLED
    lines.open(2, 6_000)
    assert lines.silent(11_000) is None
    assert lines.silent(11_001) == 2
    assert lines.silent(11_001) is None
    assert lines.begin(12_000) is None
    assert lines.begin(12_001) is Reason.STALLED


def test_a_second_line_that_ends_leaves_the_first_one() -> None:
    lines = kept()
    lines.ask(Reason.ASKED)
    lines.begin(0)
    lines.open(2, 0)
    lines.close(2, 100)
    assert lines.has_line
    assert lines.begin(1_099) is None
    assert lines.begin(1_100) is Reason.ASKED


def test_a_first_line_that_ends_while_the_second_one_is_there_is_replaced_by_it() -> None:
    lines = kept()
    lines.ask(Reason.ASKED)
    lines.begin(0)
    lines.open(2, 0)
    lines.close(1, 100)
    assert lines.has_line
    assert lines.begin(200) is None
    assert lines.hear(2, 300) is None
    assert lines.begin(400) is None


def test_an_old_line_is_replaced_before_the_exchange_ends_it() -> None:
    lines = kept()
    for now in range(0, 100_000, 4_000):
        lines.hear(1, now)
        assert lines.begin(now) is None
    lines.hear(1, 99_999)
    assert lines.begin(100_000) is Reason.AGED


def test_what_is_asked_for_while_a_line_is_on_its_way_is_done_after_it() -> None:
    lines = keeper()
    lines.begin(0)
    lines.ask(Reason.EXPIRED)  # the key of the line that is being opened
    lines.open(1, 0)
    lines.hear(1, 0)
    assert lines.begin(0) is Reason.EXPIRED
    lines.open(2, 0)
    assert lines.hear(2, 0) == 1
    assert lines.begin(0) is None


# ---- The listen key


def test_a_key_is_extended_every_twenty_minutes() -> None:
    keys = KeyKeeper(KeyLimits())
    assert not keys.begin(10**9)
    keys.renew(0)
    assert not keys.begin(20 * 60_000 - 1)
    assert keys.begin(20 * 60_000)
    assert not keys.begin(20 * 60_000)  # it is being extended
    keys.renew(20 * 60_000 + 50)
    assert not keys.begin(40 * 60_000)
    assert keys.begin(40 * 60_000 + 50)


def test_a_key_that_could_not_be_extended_is_tried_every_minute_and_given_up_after_ten_times() -> None:
    keys = KeyKeeper(KeyLimits())
    keys.renew(0)
    now = 20 * 60_000
    for _ in range(10):
        assert keys.begin(now)
        assert not keys.fail(now, None)
        assert not keys.begin(now + 59_999)
        now += 60_000
    assert keys.begin(now)
    assert keys.fail(now, -1_000)
    assert not keys.begin(now + 10**9)  # until another one is given
    keys.renew(now)
    assert keys.begin(now + 20 * 60_000)
    assert not keys.fail(now, None)


def test_a_key_that_does_not_exist_is_given_up_at_once() -> None:
    keys = KeyKeeper(KeyLimits())
    keys.renew(0)
    keys.begin(20 * 60_000)
    assert keys.fail(20 * 60_000, -1125)


# ---- What waits


def taken(waiting: Waiting[Any]) -> list[Any]:
    async def run() -> list[Any]:
        return [await waiting.take() for _ in range(len(waiting))]

    return asyncio.run(run())


def test_what_waits_comes_in_order_and_only_what_is_superseded_is_left_out() -> None:
    waiting: Waiting[str] = Waiting()
    for item, kind in (("m1", "mark"), ("bar", None), ("m2", "mark"), ("k1", "kline"), ("bar", None), ("k2", "kline")):
        waiting.put(item, superseded_by=kind)
    assert taken(waiting) == ["bar", "m2", "bar", "k2"]
    waiting.put("m3", superseded_by="mark")
    waiting.put("m4", superseded_by="mark")
    assert taken(waiting) == ["m4"]
    assert waiting.most == 4


def test_nothing_of_a_hundred_thousand_is_left_out() -> None:
    waiting: Waiting[int] = Waiting()
    for number in range(100_000):
        waiting.put(number)
    assert taken(waiting) == list(range(100_000))


def idle_stream() -> MarketStream:
    async def tell(item: Any) -> None:
        raise AssertionError(item)

    dialer = Dialer(Gate(Venue.paper("http://127.0.0.1:9", "ws://127.0.0.1:9")), "ws://127.0.0.1:9")
    return MarketStream(dialer, [("BTCUSDT", "30m")], tell, MachineClock(), Backoff(lambda: 0.0))


def test_a_flood_of_what_is_superseded_needs_no_room_and_leaves_no_closed_candle_out() -> None:
    stream = idle_stream()
    for number in range(20_000):
        stream.take(line(), mark_text(E=START + number))
        if number % 1_000 == 0:
            stream.take(line(), kline_text(t=START + number * BAR, T=START + (number + 1) * BAR - 1))
    assert stream.waiting.most <= 21
    items = taken(stream.waiting)
    assert [type(item) for item in items] == [*[KlineNews] * 20, MarkNews]
    assert items[-1].stamp_ms == START + 19_999


def test_more_candles_than_can_wait_are_left_out_and_asked_for_over_rest() -> None:
    stream = idle_stream()
    for number in range(MOST_WAITING + 1):
        stream.take(line(), kline_text(t=START + number * BAR, T=START + (number + 1) * BAR - 1))
    assert [type(item) for item in taken(stream.waiting)] == [StreamUp, KlineNews]


def line() -> Any:
    """Return a line that is not there."""
    return type("Nowhere", (), {"number": 1})()


# ---- Frames


def kline_text(combined: bool = True, **changes: Any) -> str:
    candle = {
        "t": START,
        "T": START + BAR - 1,
        "s": "BTCUSDT",
        "i": "30m",
        "f": 1,
        "L": 2,
        "o": "1",
        "c": "2",
        "h": "3",
        "l": "0.5",
        "v": "4",
        "n": 5,
        "x": True,
        "q": "6",
        "V": "7",
        "Q": "8",
        "B": "0",
    }
    event = {"e": "kline", "E": START + BAR, "s": "BTCUSDT", "k": candle | changes, "new": {"field": 1}}
    return json.dumps({"stream": KLINE, "data": event} if combined else event)


def mark_text(**changes: Any) -> str:
    event = {"e": "markPriceUpdate", "E": START + 500, "s": "BTCUSDT", "p": "50000.5", "i": "1", "P": "1"}
    return json.dumps({"stream": MARK, "data": event | {"r": "-0.0001", "T": START + 8 * 3_600_000} | changes})


@pytest.mark.parametrize("combined", [True, False])
def test_a_candle_is_read_in_the_columns_of_rest(combined: bool) -> None:
    row = (START, "1", "3", "0.5", "2", "4", START + BAR - 1, "6", 5, "7", "8", "0")
    assert parse_market_frame(kline_text(combined)) == KlineNews("BTCUSDT", START + BAR, "30m", True, row)


def test_a_mark_price_is_read() -> None:
    assert parse_market_frame(mark_text()) == MarkNews(
        "BTCUSDT", START + 500, "50000.5", "-0.0001", START + 8 * 3_600_000
    )


@pytest.mark.parametrize(
    "text",
    [
        *(
            '{"result":null,"id":1}',
            "[1,2]",
            "7",
            '{"stream":"x"}',
            '{"e":"aggTrade","E":1}',
            '{"stream":"x","data":[]}',
        ),
    ],
)
def test_frames_that_are_not_followed_are_nothing(text: str) -> None:
    assert parse_market_frame(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "\x00",
            "[" * 100_000,
            '{"e":"kline"}',
            '{"e":"kline","E":1,"s":"B","k":{}}',
            '{"e":"markPriceUpdate"}',
        ),
        kline_text(x="true"),
        kline_text(i=None),
        mark_text(p="0"),
        mark_text(p="nan"),
        mark_text(p=float("nan")),
        mark_text(p=50000.5e300),
        mark_text(E="1"),
        mark_text(E=True),
        mark_text(r="x"),
        mark_text(s=None),
        mark_text(T=START + 1),
        mark_text(T=START + 25 * 3_600_000),
        mark_text(T=0),
    ],
)
def test_frames_that_lack_what_they_must_have_are_unreadable_and_never_an_error(text: str) -> None:
    news = parse_market_frame(text)
    assert isinstance(news, Unreadable)
    assert news.reason.endswith("it is left out")


def test_an_event_of_an_account_is_read_whole_whatever_its_fields_are() -> None:
    event = {"e": "SOMETHING_NEW", "E": 1, "x": {"y": [1, "2"]}}
    assert parse_user_frame(json.dumps(event)) == event
    assert parse_user_frame(json.dumps({"stream": "key", "data": event})) == event
    assert parse_user_frame('{"result":null,"id":1}') is None
    for unreadable in ("", "{", "[]", "7", "[" * 100_000, '{"stream":"x"}', "\x00"):
        assert parse_user_frame(unreadable) == {}


# ---- The market over sockets


def run(stage: StreamStage, use: Callable[[Port], Awaitable[None]]) -> None:
    """Use an exchange behind a port."""

    async def serve() -> None:
        async with serving(stage) as port:
            await use(port)

    asyncio.run(serve())


def on_frame(action: str, **on: Any) -> dict[str, Any]:
    fields = on.pop("do", {})
    return {"on": on, "do": {"action": action, **fields}}


FAULTS: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "every candle comes twice": [on_frame("duplicate", stream=KLINE)],
    "candles that are over never come": [on_frame("drop", stream=KLINE, bar_closed=True)],
    "candles change their order": [on_frame("reorder", stream=KLINE, every=2)],
    "the connection ends before a candle": [on_frame("disconnect", stream=KLINE, bar_closed=True, nth=2)],
    "the exchange goes away": [on_frame("disconnect", stream=KLINE, bar_closed=True, nth=2, do={"close_code": 1001})],
    "the connection ends again and again": [on_frame("disconnect", stream=KLINE, bar_closed=True)],
    "candles are silent": [on_frame("mute", stream=KLINE, nth=1, do={"for_ms": 100 * BAR})],
    "candles come late": [on_frame("delay", stream=KLINE, bar_closed=True, do={"ms": 60_000})],
    "rest fails half of the time": [
        {"on": {"endpoint": "GET /fapi/v1/*", "every": 2}, "do": {"action": "unavailable", "which": "service"}}
    ],
    "answers are cut": [
        {"on": {"endpoint": "GET /fapi/v1/*lines", "every": 3}, "do": {"action": "cut", "at_byte": 40}}
    ],
    "handshakes are refused": [
        {"on": {"endpoint": "GET /market/*", "last": 3}, "do": {"action": "unavailable", "which": "service"}},
    ],
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_bar_is_decided_upon_and_the_series_is_the_recording_whatever_fails(name: str) -> None:
    stage = StreamStage(*FAULTS[name], bars=RISING)
    for _ in range(4):
        stage.next_open()

    async def use(port: Port) -> None:
        async with market(port) as followed:
            await followed.ready(port)
            for number in range(1, 7):
                await port.do(stage.next_open)
                await followed.events.of(BarReady, number)
            ready = await followed.events.of(BarReady, 6)
            assert [event.open_time for event in ready] == [START + i * BAR for i in range(4, 10)]
            # The recording's prices, and what the feed has of them.
            bars = build_market([followed.feed.series.tables(START + 10 * BAR)], "30m").bars
            wanted = np.array([[float(word) for word in bar.split()] for bar in RISING[8:10]])
            for column, field in enumerate(("open", "high", "low", "close", "volume")):
                assert bars[field].tolist() == wanted[:, column].tolist()
            assert bars["mark_close"].tolist() == wanted[:, 3].tolist()

    run(stage, use)
    assert name in ("nothing", "the connection ends before a candle") or stage.faults.log


class Watched:
    """Calls, noting how many connections the exchange had then."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self.seen: list[tuple[str, int]] = []

    async def call(self, name: str, /, **arguments: str | int) -> RawAnswer:
        """Send a call."""
        self.seen.append((name, len(self._port.stage.routes.connections)))
        return await self._port.rest.call(name, **arguments)


def test_the_streams_are_subscribed_to_before_the_past_is_asked_for() -> None:
    stage = StreamStage(bars=RISING)
    stage.next_open()
    stage.next_open()

    async def use(port: Port) -> None:
        watched = Watched(port)
        async with market(port, caller=watched) as followed:
            await followed.ready(port)
            assert followed.items.items[0] == StreamUp(Reason.START)
            asked = [(name, number) for name, number in watched.seen if name != "time"]
            assert {name for name, _ in asked} == {"klines", "mark_klines", "funding_rates"}
            assert {number for _, number in asked} == {1}

    run(stage, use)


def test_a_revised_bar_is_told_and_what_was_decided_upon_stays() -> None:
    revised = {
        "on": {"time": START + 3 * BAR + 60_000},
        "do": {"action": "revise_bar", "symbol": "BTCUSDT", "interval": "30m", "factor": 1.001},
    }
    stage = StreamStage(revised, bars=RISING)
    stage.next_open()
    stage.next_open()

    async def use(port: Port) -> None:
        async with market(port) as followed:
            await followed.ready(port)
            await port.do(stage.next_open)
            (ready,) = await followed.events.of(BarReady)
            await port.do(lambda: stage.wait(120_000))
            (told, *_) = await followed.events.of(BarRevised)
            assert told.time_ms == ready.open_time == START + 2 * BAR
            kept_bar = followed.feed.series.bar(START + 2 * BAR)
            assert kept_bar == ready.bar

    run(stage, use)


async def keep_moving(port: Port) -> None:
    """Let the market go on by a second again and again."""
    while True:
        await port.do(lambda: port.stage.wait(1_000))


def test_a_silent_connection_is_replaced_by_a_second_one_which_then_is_the_only_one() -> None:
    silent = on_frame("mute", stream=MARK, nth=3, do={"for_ms": 10**9, "whole_connection": True})
    stage = StreamStage(silent, bars=RISING)
    stage.next_open()

    async def use(port: Port) -> None:
        limits = LineLimits(stall_ms=400)
        async with market(port, limits) as followed, running(keep_moving(port)):
            ups = await followed.items.of(StreamUp, 2)
            assert ups[1].why is Reason.STALLED
            number = len(followed.items.items)
            await followed.items.until(lambda items: any(isinstance(item, MarkNews) for item in items[number:]))
            assert not await followed.items.of(StreamDown, 0)
            await port.lines(1)

    run(stage, use)


def test_market_data_that_do_not_come_are_stale_and_alive_again_when_they_do() -> None:
    stage = StreamStage(bars=RISING)

    async def use(port: Port) -> None:
        async with market(port, limits=replace(QUICK, stale_ms=300)) as followed:
            async with running(keep_moving(port)):
                await followed.events.of(Alive)
            told = followed.events.items
            stale = sum(isinstance(event, Stale) for event in told)
            await followed.events.of(Stale, stale + 1)
            alive = sum(isinstance(event, Alive) for event in told)
            async with running(keep_moving(port)):
                await followed.events.of(Alive, alive + 1)

    run(stage, use)


def test_when_the_exchange_is_gone_that_is_told() -> None:
    stage = StreamStage(bars=RISING)

    async def use(port: Port) -> None:
        async with market(port) as followed:
            await followed.items.of(StreamUp)
            await port.do(lambda: stage.wait(1_000))
            await followed.items.of(MarkNews)
            await port.do(stage.end_connections)
            await followed.items.of(StreamDown)
            await followed.items.of(StreamUp, 2)
            assert (await followed.items.of(StreamUp, 2))[1].why is Reason.LOST

    run(stage, use)


# ---- The account over sockets


def events(heard: Heard[Any]) -> list[Any]:
    """Return what has happened to the account."""
    return [item.payload for item in heard.items if isinstance(item, UserEvent)]


def names(heard: Heard[Any]) -> list[Any]:
    return [event["e"] for event in events(heard)]


def trades(heard: Heard[Any]) -> list[Any]:
    """Return the numbers of the trades that were told, in order."""
    orders = [event["o"] for event in events(heard) if event["e"] == "ORDER_TRADE_UPDATE"]
    return [each["t"] for each in orders if each["x"] == "TRADE"]


FILL = ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "TRADE_LITE", "ORDER_TRADE_UPDATE"]


def test_events_of_an_account_come_in_order_behind_the_word_that_the_account_is_to_be_read() -> None:
    stage = StreamStage()

    async def use(port: Port) -> None:
        async with user_stream(port) as (_, heard):
            await heard.of(AccountGap)
            await port.do(stage.order)
            await heard.of(UserEvent, 4)
            assert heard.items[0] == AccountGap(Reason.START)
            assert names(heard) == FILL

    run(stage, use)


def test_events_are_told_as_often_as_they_come_while_there_is_one_connection() -> None:
    stage = StreamStage({"on": {"event": "TRADE_LITE"}, "do": {"action": "duplicate"}})

    async def use(port: Port) -> None:
        async with user_stream(port) as (_, heard):
            await heard.of(AccountGap)
            await port.do(stage.order)
            await heard.of(UserEvent, 5)
            assert names(heard).count("TRADE_LITE") == 2

    run(stage, use)


def test_an_expired_key_brings_a_new_key_and_a_new_connection_and_nothing_is_lost_after_that() -> None:
    expired = {"on": {"time": START + 60_000}, "do": {"action": "expire_listen_key", "account": "main"}}
    stage = StreamStage(expired)
    keys = stage.venue.hub.listen_keys

    async def use(port: Port) -> None:
        async with user_stream(port) as (_, heard):
            await heard.of(AccountGap)
            before = keys.key_of("main")
            await port.do(lambda: stage.wait(60_000))
            gaps = await heard.of(AccountGap, 2)
            assert gaps[1].why is Reason.EXPIRED
            after = keys.key_of("main")
            assert after not in (None, before)
            await port.do(stage.order)
            await heard.of(UserEvent, 5)
            assert names(heard) == ["listenKeyExpired", *FILL]
            assert before is not None
            assert before not in str(heard.items)
            await port.lines(1)

    run(stage, use)


def test_a_key_that_expires_without_a_word_is_noticed_when_it_is_to_be_extended() -> None:
    expired = {"on": {"time": START + 60_000}, "do": {"action": "expire_listen_key", "account": "main", "tell": False}}
    stage = StreamStage(expired)

    async def use(port: Port) -> None:
        async with user_stream(port, key_limits=KeyLimits(extend_ms=300)) as (_, heard):
            await heard.of(AccountGap)
            await port.do(lambda: stage.wait(60_000))
            gaps = await heard.of(AccountGap, 2)
            assert gaps[1].why is Reason.EXPIRED
            await port.do(stage.order)
            await heard.of(UserEvent, 4)

    run(stage, use)


def test_a_key_lives_on_for_as_long_as_it_is_extended() -> None:
    extended = {"on": {"endpoint": "PUT /fapi/v1/listenKey", "nth": 3}, "do": {"action": "clock_skew", "ms": 0}}
    stage = StreamStage(extended)

    async def use(port: Port) -> None:
        async with user_stream(port, key_limits=KeyLimits(extend_ms=300)) as (_, heard):
            await heard.of(AccountGap)
            while stage.faults.unfired():
                await port.do(lambda: stage.wait(0))
            await port.do(stage.order)
            await heard.of(UserEvent, 4)
            assert len(await heard.of(AccountGap)) == 1

    run(stage, use)


@pytest.mark.parametrize(("failures", "reasons"), [(3, [Reason.START]), (5, [Reason.START, Reason.EXPIRED])])
def test_a_key_that_cannot_be_extended_is_tried_some_times_before_another_one_is_asked_for(
    failures: int, reasons: list[Reason]
) -> None:
    refused = {
        "on": {"endpoint": "PUT /fapi/v1/listenKey", "last": failures},
        "do": {"action": "unavailable", "which": "unknown", "carried_out": False},
    }
    again = {"on": {"endpoint": "PUT /fapi/v1/listenKey", "nth": failures + 2}, "do": {"action": "clock_skew", "ms": 0}}
    stage = StreamStage(refused, {**again, "name": "again"})

    async def use(port: Port) -> None:
        limits = KeyLimits(extend_ms=300, retry_ms=50, most_failures=4)
        async with user_stream(port, key_limits=limits) as (_, heard):
            await heard.of(AccountGap, len(reasons))
            while "again" in stage.faults.unfired():
                await port.do(lambda: stage.wait(0))
            assert [gap.why for gap in await heard.of(AccountGap)] == reasons

    run(stage, use)


def test_a_key_that_is_not_given_is_asked_for_again() -> None:
    refused = {
        "on": {"endpoint": "POST /fapi/v1/listenKey", "last": 3},
        "do": {"action": "status", "status": 502, "carried_out": False},
    }
    stage = StreamStage(refused)

    async def use(port: Port) -> None:
        async with user_stream(port) as (_, heard):
            await heard.of(AccountGap)

    run(stage, use)
    assert not stage.faults.unfired()


@pytest.mark.parametrize("close_code", [None, 1001])
def test_a_connection_that_ends_is_replaced_and_the_account_is_to_be_read(close_code: int | None) -> None:
    ended = on_frame("disconnect", event="ACCOUNT_UPDATE", nth=1, do={"close_code": close_code})
    stage = StreamStage(ended)

    async def use(port: Port) -> None:
        async with user_stream(port) as (_, heard):
            await heard.of(AccountGap)
            await port.do(stage.order)
            await heard.of(UserStreamDown)
            gaps = await heard.of(AccountGap, 2)
            assert gaps[1].why is Reason.LOST
            number = len(events(heard))
            await port.do(stage.order)
            await heard.of(UserEvent, number + 4)
            assert names(heard)[number:] == FILL

    run(stage, use)


def test_a_connection_that_answers_no_ping_is_replaced() -> None:
    silent = on_frame("mute", event="ORDER_TRADE_UPDATE", nth=1, do={"for_ms": 10**9, "whole_connection": True})
    stage = StreamStage(silent)

    async def use(port: Port) -> None:
        limits = LineLimits(stall_ms=600)
        async with user_stream(port, limits, KeyLimits(ping_ms=100)) as (_, heard):
            await heard.of(AccountGap)
            await port.do(stage.order)
            gaps = await heard.of(AccountGap, 2)
            assert gaps[1].why is Reason.STALLED
            assert names(heard) == []
            await port.do(stage.order)
            await heard.of(UserEvent, 4)
            assert names(heard) == FILL

    run(stage, use)


def test_a_stream_that_tells_nothing_although_it_should_is_made_anew_when_it_is_asked_for() -> None:
    silent = {"on": {"time": START + 1}, "do": {"action": "mute", "stream": "user:main", "for_ms": 1_000}}
    stage = StreamStage(silent)

    async def use(port: Port) -> None:
        async with user_stream(port) as (stream, heard):
            await heard.of(AccountGap)
            await port.do(lambda: stage.wait(1))
            await port.do(stage.order)
            stream.rebuild()
            gaps = await heard.of(AccountGap, 2)
            assert gaps[1].why is Reason.ASKED
            await port.do(lambda: stage.wait(1_000))
            await port.do(stage.order)
            await heard.of(UserEvent, 4)
            await port.lines(1)

    run(stage, use)


def test_while_connections_take_turns_every_event_is_told_once_and_in_order() -> None:
    stage = StreamStage()

    def order() -> str:
        stage.wait(100)  # the limit of orders is by time
        return str(stage.order(quantity="0.002")["status"])

    async def use(port: Port) -> None:
        limits = LineLimits(stall_ms=600_000, lifetime_ms=100, steady_ms=0)
        async with user_stream(port, limits) as (_, heard):
            await heard.of(AccountGap)
            while len([item for item in heard.items if isinstance(item, AccountGap)]) < 8:
                assert await port.do(order) == "FILLED"
            wanted = await port.do(
                lambda: [trade["id"] for trade in stage.ask("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", limit=1000)]
            )
            await heard.until(lambda _: len(trades(heard)) >= len(wanted))
            assert trades(heard) == wanted
            assert len(wanted) > 8

    run(stage, use)


def test_a_listen_key_is_never_deleted_and_never_seen_in_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    deleted = {"on": {"endpoint": "DELETE /fapi/v1/listenKey"}, "do": {"action": "ban", "for_ms": 1}, "name": "deleted"}
    refused = {"on": {"endpoint": "GET /private/*", "last": 2}, "do": {"action": "unavailable", "which": "service"}}
    stage = StreamStage(deleted, refused)

    async def use(port: Port) -> None:
        async with user_stream(port) as (stream, heard):
            await heard.of(AccountGap)
            assert (stage.venue.hub.listen_keys.key_of("main") or "") not in repr(stream) + repr(heard.items)

    run(stage, use)
    assert stage.faults.unfired() == ["deleted"]
    key = stage.venue.hub.listen_keys.key_of("main")
    assert key is not None
    ours = [record for record in caplog.records if record.name.startswith("rl_trader.live")]
    assert [record.getMessage() for record in ours if "status 503" in record.getMessage()]
    assert key not in "".join(str(record.__dict__) for record in ours)


def test_a_refused_handshake_is_an_error_without_the_address_of_the_stream() -> None:
    stage = StreamStage({"on": {"endpoint": "GET /private/*"}, "do": {"action": "unavailable", "which": "service"}})

    async def use(port: Port) -> None:
        with pytest.raises(LineError, match=r"must open a connection and does not \(status 503\)") as raised:
            await port.dialer.open("/private/ws/secret")
        assert raised.value.__context__ is None
        assert "secret" not in repr(raised.value)

    run(stage, use)


def test_lines_lead_to_the_venue_only() -> None:
    async def use() -> None:
        gate = Gate(Venue.paper("http://127.0.0.1:9", "ws://127.0.0.1:9"))
        with pytest.raises(ConfigError, match="is not among them"):
            await Dialer(gate, "wss://fstream.binance.com").open("/market")
        nobody = Dialer(gate, "ws://127.0.0.1:9")
        with pytest.raises(LineError, match="ClientConnectorError"):
            await nobody.open("/market")
        await nobody.close()

    asyncio.run(use())
