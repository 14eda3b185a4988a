"""Streams of market data: names, payloads against the documented ones, and what the hub publishes when."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from contextlib import aclosing
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rl_trader.local_exchange.assembly import Setup
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.engine.words import OrderType, PositionSide, Prevention, PriceMatch, Side, TimeInForce
from rl_trader.local_exchange.market.candles import Series
from rl_trader.local_exchange.market.history import Window
from rl_trader.local_exchange.market.intervals import INTERVALS
from rl_trader.local_exchange.market.replay import SmoothReplay
from rl_trader.local_exchange.shells.local import LocalExchange
from rl_trader.local_exchange.streams.names import Category, Kind, parse_stream
from rl_trader.order_book import OrderBook, follow_order_book
from tests.stream_stage import BAR_MS, NUM_BARS, Stage, documented, shape

MARKET_DATA = {  # our names -> the documented ones
    "btcusdt@aggTrade": "<symbol>@aggTrade",
    "btcusdt@markPrice@1s": "<symbol>@markPrice@<updateSpeed>",
    "btcusdt@kline_1h": "<symbol>@kline_<interval>",
    "btcusdt_perpetual@continuousKline_1h": "<pair>_<contractType>@continuousKline_<interval>",
    "btcusdt@miniTicker": "<symbol>@miniTicker",
    "btcusdt@ticker": "<symbol>@ticker",
    "btcusdt@bookTicker": "<symbol>@bookTicker",
    "btcusdt@depth@100ms": "<symbol>@depth@<updateSpeed>",
    "!markPrice@arr": "!markPrice@arr@<updateSpeed>",
    "!miniTicker@arr": "!miniTicker@arr",
    "!ticker@arr": "!ticker@arr",
    "!bookTicker": "!bookTicker",
    "btcusdt@forceOrder": "<symbol>@forceOrder",
    "!forceOrder@arr": "!forceOrder@arr",
}


def liquidation(order_id: int, symbol: str = "BTCUSDT") -> Order:
    """Return a liquidation order that has been filled."""
    return Order(
        order_id=order_id,
        client_order_id="autoclose-1",
        symbol=symbol,
        side=Side.SELL,
        type=OrderType.LIMIT,
        position_side=PositionSide.BOTH,
        time_in_force=TimeInForce.IOC,
        quantity=Decimal("0.014"),
        price=Decimal(990),
        reduce_only=True,
        close_position=False,
        prevention=Prevention.NONE,
        price_match=PriceMatch.NONE,
        good_till_ms=0,
        time_ms=5,
        update_ms=7,
        orig_type=OrderType.LIMIT,
        executed=Decimal("0.014"),
        quote=Decimal("13.86"),
    )


# ---- Names


@pytest.mark.parametrize(
    ("name", "kind", "rate_ms", "detail"),
    [
        ("btcusdt@aggTrade", Kind.AGG_TRADE, 100, ""),
        ("btcusdt@trade", Kind.TRADE, 0, ""),
        ("btcusdt@markPrice", Kind.MARK_PRICE, 3000, ""),
        ("btcusdt@markPrice@1s", Kind.MARK_PRICE, 1000, ""),
        ("btcusdt@kline_1M", Kind.KLINE, 250, "1M"),
        ("btcusdt_perpetual@continuousKline_3d", Kind.CONTINUOUS_KLINE, 250, "3d"),
        ("btcusdt@miniTicker", Kind.MINI_TICKER, 2000, ""),
        ("btcusdt@ticker", Kind.TICKER, 2000, ""),
        ("btcusdt@bookTicker", Kind.BOOK_TICKER, 0, ""),
        ("btcusdt@forceOrder", Kind.FORCE_ORDER, 1000, ""),
        ("btcusdt@depth", Kind.DEPTH, 250, 0),
        ("btcusdt@depth@0ms", Kind.DEPTH, 0, 0),
        ("btcusdt@depth@100ms", Kind.DEPTH, 100, 0),
        ("btcusdt@depth@250ms", Kind.DEPTH, 250, 0),
        ("btcusdt@depth@500ms", Kind.DEPTH, 500, 0),
        ("btcusdt@depth5", Kind.PARTIAL_DEPTH, 250, 5),
        ("btcusdt@depth10@100ms", Kind.PARTIAL_DEPTH, 100, 10),
        ("btcusdt@depth20@500ms", Kind.PARTIAL_DEPTH, 500, 20),
    ],
)
def test_a_name_says_symbol_subject_and_rate(name: str, kind: Kind, rate_ms: int, detail: object) -> None:
    stream = parse_stream(name)
    assert stream is not None
    assert (stream.name, stream.symbol, stream.kind, stream.rate_ms) == (name, "BTCUSDT", kind, rate_ms)
    assert detail in (stream.interval, stream.levels)


@pytest.mark.parametrize(
    ("name", "kind", "rate_ms"),
    [
        ("!markPrice@arr", Kind.MARK_PRICE, 3000),
        ("!markPrice@arr@1s", Kind.MARK_PRICE, 1000),
        ("!miniTicker@arr", Kind.MINI_TICKER, 1000),
        ("!ticker@arr", Kind.TICKER, 1000),
        ("!bookTicker", Kind.BOOK_TICKER, 5000),
        ("!forceOrder@arr", Kind.FORCE_ORDER, 1000),
        ("!contractInfo", Kind.CONTRACT_INFO, 0),
    ],
)
def test_some_names_are_of_all_symbols(name: str, kind: Kind, rate_ms: int) -> None:
    stream = parse_stream(name)
    assert stream is not None
    assert (stream.symbol, stream.kind, stream.rate_ms) == ("", kind, rate_ms)


@pytest.mark.parametrize(
    "name",
    [
        "BTCUSDT@trade",
        "btcusdt",
        "@trade",
        "btcusdt@kline_1s",
        "btcusdt@kline_",
        "btcusdt@continuousKline_1m",
        "_perpetual@continuousKline_1m",
        "btcusdt@depth7",
        "btcusdt@depth@10ms",
        "btcusdt@depth5@",
        "!trade@arr",
        "0",
        "",
    ],
)
def test_other_names_mean_nothing(name: str) -> None:
    assert parse_stream(name) is None


def test_every_interval_of_the_exchange_has_candles() -> None:
    streams = [parse_stream(f"btcusdt@kline_{interval}") for interval in INTERVALS]
    assert [stream.interval for stream in streams if stream] == list(INTERVALS)
    assert len(INTERVALS) == 15


def test_books_are_public_and_everything_else_is_market_but_for_single_trades() -> None:
    public = {kind for kind in Kind if kind.category is Category.PUBLIC}
    assert public == {Kind.BOOK_TICKER, Kind.DEPTH, Kind.PARTIAL_DEPTH, Kind.TRADE}
    assert {kind.category for kind in set(Kind) - public} == {Category.MARKET}


# ---- Payloads


@pytest.fixture(scope="module")
def played() -> Stage:
    """A market of which four bars and a liquidation have been played, with every stream subscribed."""
    stage = Stage()
    stage.subscribe(*MARKET_DATA, "btcusdt@trade", "btcusdt@depth5@100ms")
    stage.exchange.state.note_force_order(liquidation(1))
    stage.play(4)
    return stage


@pytest.mark.parametrize("name", MARKET_DATA)
def test_a_payload_has_the_documented_fields_and_types(name: str, played: Stage, recorded_data: Path) -> None:
    sample = documented(recorded_data, "market_streams")[MARKET_DATA[name]]
    event = next(event for event in played.events(name) if "b" not in event or (event["b"] and event["a"]))
    assert shape(event) == shape(sample)


def test_a_partial_book_has_the_fields_of_the_book_and_both_sides_with_amounts(
    played: Stage, recorded_data: Path
) -> None:
    samples = documented(recorded_data, "market_streams")
    event = played.events("btcusdt@depth5@100ms")[-1]
    assert event.keys() == samples["<symbol>@depth<levels>@<updateSpeed>"].keys()
    assert shape(event) == shape(samples["<symbol>@depth@<updateSpeed>"])


@pytest.mark.parametrize(
    ("ours", "recorded", "added"),
    [
        ("btcusdt@depth@100ms", "btcusdt@depth@0ms", {"st", "ps"}),
        ("btcusdt@bookTicker", "btcusdt@bookTicker", {"st", "ps"}),
        ("btcusdt@trade", "btcusdt@trade", {"st"}),
    ],
)
def test_a_payload_is_that_of_a_recorded_frame_with_what_was_added_since(
    ours: str, recorded: str, added: set[str], played: Stage, recorded_data: Path
) -> None:
    frame = next(frame for frame in recorded_frames(recorded_data) if frame["stream"] == recorded)["data"]
    event = next(event for event in played.events(ours) if ours.endswith("trade") or (event.get("b") and event["a"]))
    assert event.keys() - frame.keys() == added
    assert shape({name: event[name] for name in frame}) == shape(frame)


def recorded_frames(folder: Path) -> Iterator[Any]:
    with gzip.open(folder / "websocket_raw" / "btcusdt_20240808.jsonl.gz", "rt") as lines:
        for line in lines:
            frame = json.loads(line.split(" ", 1)[1])
            if "stream" in frame:
                yield frame


def test_combined_connections_get_the_payload_with_its_streams_name(played: Stage) -> None:
    message = played.messages[0]
    assert json.loads(message.combined) == {"stream": message.stream, "data": json.loads(message.text)}


# ---- Klines


def klines_of(stage: Stage, interval: str) -> list[Any]:
    return [event["k"] for event in stage.events(f"btcusdt@kline_{interval}")]


@pytest.mark.parametrize(("interval", "per_bar"), [("1m", 30), ("15m", 2), ("30m", 1), ("1h", 0.5), ("4h", 0.125)])
def test_every_candle_is_closed_exactly_once_and_before_anything_of_the_next(interval: str, per_bar: float) -> None:
    stage = Stage()
    stage.subscribe(f"btcusdt@kline_{interval}")
    stage.play(49)  # 48 bars, a day, are over and the next one has opened
    klines = klines_of(stage, interval)
    closed = [kline["t"] for kline in klines if kline["x"]]
    length = int(BAR_MS / per_bar)
    assert closed == list(range(stage.start_ms, stage.start_ms + 48 * BAR_MS, length))
    for before, after in pairwise(klines):
        follows = after["t"] == before["T"] + 1 if before["x"] else after["t"] == before["t"]
        assert follows, (before, after)


def test_a_closed_candle_is_the_one_that_is_asked_for_afterwards() -> None:
    stage = Stage()
    stage.subscribe("btcusdt@kline_1h", "btcusdt@kline_5m", "btcusdt_perpetual@continuousKline_1h")
    stage.play(11)
    for interval in ("1h", "5m"):
        candles = stage.market.klines("BTCUSDT", Series.LAST, interval, Window(1500))
        closed = [kline for kline in klines_of(stage, interval) if kline["x"]]
        assert [float(kline["c"]) for kline in closed] == candles.close[: len(closed)].tolist()
        assert [float(kline["h"]) for kline in closed] == candles.high[: len(closed)].tolist()
        assert [kline["n"] for kline in closed] == candles.trades[: len(closed)].tolist()
        assert len(closed) == (5 if interval == "1h" else 60)
    continuous = [event["k"] for event in stage.events("btcusdt_perpetual@continuousKline_1h")]
    assert continuous == [{k: v for k, v in kline.items() if k != "s"} for kline in klines_of(stage, "1h")]


def test_a_candle_with_a_hole_in_it_is_closed_when_the_market_goes_on() -> None:
    stage = Stage(missing=range(5, 12))  # the hour of bars 4 and 5 has only bar 4; then three hours are missing
    stage.subscribe("btcusdt@kline_1h", "btcusdt@kline_1m")
    stage.play(14)
    closed = [(kline["t"] - stage.start_ms) // BAR_MS for kline in klines_of(stage, "1h") if kline["x"]]
    assert closed == [0, 2, 4, 12, 14, 16, 18]
    minutes = [kline["t"] for kline in klines_of(stage, "1m") if kline["x"]]
    assert minutes == sorted(set(minutes))
    assert len(minutes) == 13 * 30


def test_a_candle_forms_with_every_corner_and_counts_the_trades_that_have_been_told() -> None:
    stage = Stage()
    stage.subscribe("btcusdt@kline_30m", "btcusdt@trade")
    stage.play(2)
    klines = [kline for kline in klines_of(stage, "30m") if kline["t"] == stage.start_ms]
    assert [kline["x"] for kline in klines] == [False, False, False, False, True]
    trades = stage.events("btcusdt@trade")
    assert [kline["L"] for kline in klines[:4]] == [trade["t"] for trade in trades[:4]]
    assert {kline["f"] for kline in klines} == {trades[0]["t"]}
    assert [kline["c"] for kline in klines[:4]] == [trade["p"] for trade in trades[:4]]


def test_who_subscribes_late_hears_nothing_of_candles_that_were_over() -> None:
    stage = Stage()
    stage.play(5)
    stage.subscribe("btcusdt@kline_30m")
    stage.play(2)
    klines = klines_of(stage, "30m")
    assert [kline["t"] for kline in klines if kline["x"]] == [stage.start_ms + 4 * BAR_MS, stage.start_ms + 5 * BAR_MS]


def test_in_real_time_a_forming_candle_comes_every_250_milliseconds() -> None:
    stage = Stage(replay=SmoothReplay)
    stage.subscribe("btcusdt@kline_30m")
    for elapsed in range(0, 2_000, 10):
        stage.replay.advance(stage.start_ms + elapsed)
        stage.hub.flush()
    times = [event["E"] - stage.start_ms for event in stage.events("btcusdt@kline_30m")]
    assert times == list(range(0, 2_000, 250))


# ---- Prices, trades, tickers


def test_every_public_trade_is_told_once() -> None:
    stage = Stage()
    trader, _ = stage.open_account()
    stage.subscribe("btcusdt@trade", "btcusdt@aggTrade")
    stage.play(1)
    stage.trade(trader, Side.BUY, "2")
    stage.trade(trader, Side.SELL, "1")
    stage.play(1)
    tape = [trade.trade_id for trade in stage.market.trades("BTCUSDT")]
    assert [event["t"] for event in stage.events("btcusdt@trade")] == tape
    assert [event["a"] for event in stage.events("btcusdt@aggTrade")] == tape
    own = stage.events("btcusdt@trade")[1:3]
    assert [(event["q"], event["m"]) for event in own] == [("2.0000", False), ("1.0000", True)]


def test_aggregates_of_one_slot_of_100_milliseconds_come_together_when_it_is_over() -> None:
    stage = Stage()
    trader, _ = stage.open_account()
    stage.subscribe("btcusdt@aggTrade")
    stage.play(1)
    stage.trade(trader, Side.BUY, "1")
    stage.trade(trader, Side.BUY, "1")
    assert len(stage.events("btcusdt@aggTrade")) == 1  # that of the open, whose slot is not over
    stage.replay.advance(stage.start_ms + 100)
    stage.hub.flush()
    assert [event["a"] for event in stage.events("btcusdt@aggTrade")] == [1, 2, 3]


@pytest.mark.parametrize(("name", "rate_ms"), [("btcusdt@markPrice", 3000), ("btcusdt@markPrice@1s", 1000)])
def test_the_mark_price_comes_at_its_rate_whether_it_moves_or_not(name: str, rate_ms: int) -> None:
    stage = Stage()
    stage.subscribe(name)
    for elapsed in range(0, 12_000, 100):
        stage.replay.advance(stage.start_ms + elapsed)
        stage.hub.flush()
    assert [event["E"] - stage.start_ms for event in stage.events(name)] == list(range(0, 12_000, rate_ms))


def test_a_jump_from_corner_to_corner_has_one_event_of_each_price() -> None:
    stage = Stage()
    names = ("btcusdt@markPrice", "btcusdt@bookTicker", "btcusdt@depth", "btcusdt@ticker")
    stage.subscribe(*names)
    for _ in range(4):
        stage.replay.step()
    for name in names:
        times = [event["E"] for event in stage.events(name)]
        assert times == sorted(set(times)), name
    assert len(stage.events("btcusdt@markPrice")) == 4


def test_streams_of_all_symbols_tell_of_each_that_has_gone_on_or_has_changed() -> None:
    stage = Stage("BTCUSDT", "ETHUSDT")
    stage.subscribe("!ticker@arr", "!markPrice@arr", "!bookTicker", "btcusdt@markPrice", "ethusdt@markPrice")
    stage.play(4)
    marks = [(entry["s"], entry["E"], entry["p"]) for event in stage.events("!markPrice@arr") for entry in event]
    single = [event for name in ("btcusdt", "ethusdt") for event in stage.events(f"{name}@markPrice")]
    assert sorted(marks) == sorted((event["s"], event["E"], event["p"]) for event in single)
    assert {entry["s"] for event in stage.events("!ticker@arr") for entry in event} == {"BTCUSDT", "ETHUSDT"}
    assert {event["s"] for event in stage.events("!bookTicker")} == {"BTCUSDT", "ETHUSDT"}
    stage.messages.clear()
    stage.replay.advance(stage.replay.now_ms + 20_000)  # nothing happens in these seconds
    stage.hub.flush()
    assert stage.events("!ticker@arr") == stage.events("!bookTicker") == []
    assert [[entry["s"] for entry in event] for event in stage.events("!markPrice@arr")] == [["BTCUSDT", "ETHUSDT"]]


def test_the_ticker_is_that_of_the_market() -> None:
    stage = Stage()
    stage.subscribe("btcusdt@ticker", "btcusdt@miniTicker")
    stage.play(3)
    ticker = stage.market.ticker("BTCUSDT")
    event, mini = stage.events("btcusdt@ticker")[-1], stage.events("btcusdt@miniTicker")[-1]
    assert (Decimal(event["c"]), Decimal(event["o"]), event["n"]) == (ticker.last, ticker.open, ticker.trades)
    assert Decimal(event["p"]) == ticker.last - ticker.open
    assert {name: event[name] for name in "ohlcvqs"} == {name: mini[name] for name in "ohlcvqs"}


# ---- Liquidations


def test_of_the_liquidations_of_one_second_the_latest_of_each_symbol_is_told() -> None:
    stage = Stage("BTCUSDT", "ETHUSDT")
    stage.play(1)
    stage.subscribe("btcusdt@forceOrder", "!forceOrder@arr")
    for number, symbol in enumerate(("BTCUSDT", "BTCUSDT", "ETHUSDT"), start=1):
        stage.exchange.state.note_force_order(liquidation(number, symbol))
    list(stage.exchange.force_orders)[1].quantity = Decimal("0.5")
    stage.hub.flush()
    assert [event["o"]["q"] for event in stage.events("btcusdt@forceOrder")] == ["0.5000"]
    assert [event["o"]["s"] for event in stage.events("!forceOrder@arr")] == ["BTCUSDT", "ETHUSDT"]
    stage.exchange.state.note_force_order(liquidation(9))
    stage.hub.flush()
    assert len(stage.events("btcusdt@forceOrder")) == 1
    stage.replay.advance(stage.replay.now_ms + 1000)
    stage.hub.flush()
    assert len(stage.events("btcusdt@forceOrder")) == 2


# ---- The book


def snapshot(stage: Stage) -> dict[str, object]:
    """Return what ``GET /fapi/v1/depth`` answers."""
    book = stage.market.book("BTCUSDT")
    sides = {"bids": book.bids, "asks": book.asks}
    levels = {side: [[str(price), str(amount)] for price, amount in found] for side, found in sides.items()}
    return {"lastUpdateId": stage.exchange.quotes["BTCUSDT"].update_id, **levels}


@pytest.mark.parametrize("rate", ["", "@0ms", "@100ms", "@500ms"])
def test_a_local_book_follows_the_differences(rate: str) -> None:
    stage = Stage()
    trader, _ = stage.open_account()
    name = f"btcusdt@depth{rate}"
    stage.subscribe(name)
    stage.play(2)
    book = OrderBook("BTCUSDT")
    num_fed = 0

    def feed() -> None:
        nonlocal num_fed
        for event in stage.events(name)[num_fed:]:
            book.apply_event(event)
            num_fed += 1

    feed()
    book.apply_snapshot(snapshot(stage))
    orders = []
    for number in range(30):
        bid = stage.market.book("BTCUSDT").bids[0][0]
        orders.append(stage.trade(trader, Side.BUY, "1", bid - Decimal(number % 7 + 1) / 100))
        stage.replay.step()
        stage.replay.advance(stage.replay.now_ms + 500)
        stage.hub.flush()
        feed()
        assert book.is_in_sync
        found = stage.market.book("BTCUSDT")
        assert ([tuple(level) for level in book.bids()], [tuple(level) for level in book.asks()]) == found
    assert book.num_resyncs == 0
    assert any(order.executed for order in orders)
    assert num_fed > 30


def test_a_snapshot_of_any_moment_is_joined_by_the_next_event() -> None:
    stage = Stage()
    trader, _ = stage.open_account()
    stage.subscribe("btcusdt@depth@100ms")
    stage.play(1)
    for number in range(12):  # between the events of a slot the book goes on
        stage.trade(trader, Side.BUY, "1", Decimal(800 + number))
        book = OrderBook("BTCUSDT")
        book.apply_snapshot(snapshot(stage))
        stage.messages.clear()
        if number % 3:
            stage.replay.step()
        else:
            stage.replay.advance(stage.replay.now_ms + 100)
            stage.hub.flush()
        for event in stage.events("btcusdt@depth@100ms"):
            book.apply_event(event)
        assert book.is_in_sync or not stage.messages
        assert not book.is_in_sync or tuple(book.best_bid or ()) == stage.market.book("BTCUSDT").bids[0]


def test_a_book_that_is_followed_over_sockets_is_the_exchanges() -> None:
    async def follow(local: LocalExchange) -> None:
        venue = local.assembly.venue

        def move() -> None:
            local.to_next_open()
            local.advance(venue.market_ms() + 1_000)  # so that the open is told, too, which has a slot of its own

        async with (
            aiohttp.ClientSession() as session,
            aclosing(follow_order_book("EMBEDDED", local.url, local.ws_url, session)) as books,
        ):
            for _ in range(3):
                following = asyncio.ensure_future(anext(books))
                while not following.done():
                    await asyncio.to_thread(move)
                    await asyncio.sleep(0.02)
                book = await following
                while (book.bids(), book.asks()) != venue.market.book("EMBEDDED"):  # or time is up
                    await anext(books)

    with LocalExchange(Setup()) as local:
        asyncio.run(asyncio.wait_for(follow(local), 30.0))


def test_update_ids_grow_and_each_event_names_the_one_before() -> None:
    stage = Stage()
    stage.subscribe("btcusdt@depth", "btcusdt@depth5", "btcusdt@bookTicker")
    stage.play(20)
    for name in ("btcusdt@depth", "btcusdt@depth5"):
        for before, after in pairwise(stage.events(name)):
            assert after["pu"] == before["u"] < after["u"]
            assert after["U"] <= after["u"]
    ids = [event["u"] for event in stage.events("btcusdt@bookTicker")]
    assert ids == sorted(set(ids))


def test_changes_of_one_slot_come_in_one_event() -> None:
    stage = Stage()
    trader, _ = stage.open_account()
    stage.play(1)
    stage.subscribe("btcusdt@depth@100ms", "btcusdt@depth@0ms", "btcusdt@bookTicker")
    for price in (900, 901, 902):
        stage.trade(trader, Side.BUY, "1", Decimal(price))
    assert [event["b"] for event in stage.events("btcusdt@depth@100ms")] == [[["900.00", "1.0000"]]]
    assert len(stage.events("btcusdt@depth@0ms")) == 3
    assert stage.events("btcusdt@bookTicker") == []  # the best levels are the same
    stage.replay.advance(stage.replay.now_ms + 100)
    stage.hub.flush()
    slots = stage.events("btcusdt@depth@100ms")
    assert sorted(slots[-1]["b"]) == [["901.00", "1.0000"], ["902.00", "1.0000"]]
    assert len(slots) == 2


# ---- Who is told


def test_nothing_is_published_that_nobody_has_subscribed_to() -> None:
    stage = Stage()
    subscription = stage.subscribe("btcusdt@trade", "nobody@trade", "btcusdt@nothing", "!contractInfo")
    stage.play(2)
    assert {message.stream for message in stage.messages} == {"btcusdt@trade"}
    subscription.close()
    num_messages = len(stage.messages)
    stage.play(1)
    assert len(stage.messages) == num_messages


def test_one_event_is_one_text_for_all_who_have_subscribed() -> None:
    stage = Stage()
    others: list[Any] = []
    stage.subscribe("btcusdt@trade")
    stage.hub.subscribe(["btcusdt@trade"], others.append)
    stage.play(2)
    assert len(others) == len(stage.messages) > 1
    assert all(one is other for one, other in zip(stage.messages, others, strict=True))


def test_a_replay_is_published_alike_every_time() -> None:
    texts = []
    for _ in range(2):
        stage = Stage()
        trader, key = stage.open_account()
        stage.subscribe(*MARKET_DATA, key)
        stage.play(3)
        stage.trade(trader, Side.BUY, "3")
        stage.play(3)
        texts.append([message.text for message in stage.messages])
    assert texts[0] == texts[1]
    assert len(texts[0]) > 100


def test_the_end_of_the_recording_closes_its_last_candle() -> None:
    stage = Stage()
    stage.subscribe("btcusdt@kline_30m")
    stage.play(NUM_BARS + 1)
    assert stage.replay.is_over
    assert klines_of(stage, "30m")[-1]["x"]
    assert sum(kline["x"] for kline in klines_of(stage, "30m")) == NUM_BARS


def test_a_candle_without_trades_names_none() -> None:
    stage = Stage()
    stage.subscribe("btcusdt@kline_1m")
    stage.play(2)
    ids = [(kline["f"], kline["L"]) for kline in klines_of(stage, "1m") if kline["x"]]
    assert ids[:2] == [(1, 1), (-1, -1)]  # the trade at the open, and the minute after it, which has no corner
