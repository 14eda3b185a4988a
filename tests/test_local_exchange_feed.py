"""Paper trading: the local exchange follows another one's public market data.

The one that is followed is a local exchange, too. Without sockets it replays in lock-step, and the test hands on every
frame and answer; over sockets it does so by itself, on loopback.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from rl_trader.config import Slippage
from rl_trader.contract import load_terms
from rl_trader.errors import ConfigError, ContractError, DataError
from rl_trader.local_exchange.books.inputs import Settlement
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.market.happenings import BarClosed, BarOpened, FundingSettled, Halted, Happening
from rl_trader.local_exchange.market.live_bar import LiveBar
from rl_trader.local_exchange.market.live_news import (
    BookNews,
    Kline,
    KlineNews,
    MarkNews,
    TradeNews,
    parse_news,
    read_kline,
    read_premium_index,
)
from rl_trader.local_exchange.market.live_questions import Question, ask_snapshot
from rl_trader.local_exchange.market.live_symbol import Missing
from rl_trader.local_exchange.market.live_terms import ask_beginnings, describe_terms
from rl_trader.local_exchange.market.replay import SmoothReplay
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.local_exchange.shells.signed_client import AnsweredError, SignedClient
from tests.feed_stage import CONDUCT, FeedStage, Upstream, frame, kline_frame, mark_frame, trade_frame
from tests.market_tables import HOUR, MINUTE, START, random_bars, recording
from tests.stream_stage import documented

BAR = 30 * MINUTE
FLAT = "50000 50000 50000 50000 1000"
KLINES = {
    "klines": "symbol",
    "markPriceKlines": "symbol",
    "indexPriceKlines": "pair",
    "premiumIndexKlines": "symbol",
}


def marks_beside(bars: list[str]) -> list[str]:
    """Return mark prices that lie a thousandth over the last ones."""
    return [" ".join(f"{float(price) * 1.001:.8f}" for price in bar.split()[:4]) for bar in bars]


def random_upstream(num_bars: int = 60, num_past: int = 20, **options: Any) -> Upstream:
    bars = random_bars(num_bars, 3)
    rates = {hours * HOUR: 0.0001 * (1 + hours) for hours in range(0, num_bars // 2, 8)}
    made = recording(bars, marks=marks_beside(bars), fundings=rates)
    return Upstream(made, start_ms=START + num_past * BAR, **options)


def upstream_of(*bars: str, num_past: int = 2, **options: Any) -> Upstream:
    """Return a replay at the open of the bar after some flat ones."""
    made = recording([*[FLAT] * num_past, *bars], **options)
    return Upstream(made, start_ms=START + num_past * BAR)


def opens_of(stage: FeedStage, kind: type[BarOpened | BarClosed | Halted]) -> list[int]:
    """Return the open times of the bars that have opened or closed since following began, or the times of halts."""
    told = [each for each in stage.happenings if isinstance(each, kind)]
    return [each.open_time if isinstance(each, BarClosed) else each.time_ms for each in told]


def client_of(upstream: Upstream) -> SignedClient:
    """Return a client of a new account of an exchange that is not followed."""
    key = upstream.venue.open_account("main", Decimal(10_000))
    return SignedClient(MemoryTransport(upstream.assembly.dispatcher), key, upstream.venue.session_ms)


def order(stage: FeedStage, side: str, quantity: str) -> str:
    """Send a market order and return what it filled at."""
    sent = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
    stage.call("POST", "v1/order", **sent)
    return fills_of(stage)[-1][1]


def rest_order(stage: FeedStage, side: str, quantity: str, price: str) -> None:
    sent = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC"}
    stage.call("POST", "v1/order", **sent, quantity=quantity, price=price)


def is_trading(stage: FeedStage) -> bool:
    """Return whether the symbol trades; where it does not it is halted."""
    assert stage.quotes.is_trading != bool(stage.market.halted)
    return stage.quotes.is_trading


def fills_of(stage: FeedStage) -> list[tuple[str, str]]:
    return [(trade["side"], trade["price"]) for trade in stage.call("GET", "v1/userTrades", symbol="BTCUSDT")]


def frames_of(stage: FeedStage, *topics: str) -> list[str]:
    """Take what the upstream has said about some topics; the rest is lost."""
    texts = [text for text in stage.upstream.texts if any(f"@{topic}" in text for topic in topics)]
    stage.upstream.texts.clear()
    return texts


# ---- The same market


@pytest.mark.parametrize("endpoint", KLINES)
def test_candles_that_are_over_are_those_of_the_followed_exchange_digit_by_digit(endpoint: str) -> None:
    upstream = random_upstream()
    stage = FeedStage(upstream, num_bars=10)
    stage.play(30)
    asked = {KLINES[endpoint]: "BTCUSDT", "interval": "30m", "startTime": START + 10 * BAR, "limit": 100}
    theirs, ours = (each.get(f"v1/{endpoint}", **asked) for each in (upstream, stage))
    assert len(theirs) == 41
    assert ours == theirs  # the forming one, too


@pytest.mark.parametrize("replay", [None, SmoothReplay])
def test_prices_funding_and_tickers_are_those_of_the_followed_exchange(replay: Any) -> None:
    upstream = random_upstream(**({"replay": replay} if replay else {}))
    stage = FeedStage(upstream, num_bars=48)
    stage.play(17)
    for endpoint in ("v1/premiumIndex", "v2/ticker/price", "v1/fundingInfo"):
        assert stage.get(endpoint, symbol="BTCUSDT") == upstream.get(endpoint, symbol="BTCUSDT")
    settled = stage.get("v1/fundingRate", symbol="BTCUSDT")
    assert settled == upstream.get("v1/fundingRate", symbol="BTCUSDT")
    assert [row["fundingTime"] - START for row in settled] == [0, 8 * HOUR, 16 * HOUR]
    theirs, ours = (each.get("v1/ticker/24hr", symbol="BTCUSDT") for each in (upstream, stage))
    numbers = {name: theirs[name] for name in ("firstId", "lastId")}  # ours begin with following
    assert ours | numbers == theirs
    assert upstream.get("v1/exchangeInfo")["symbols"] == stage.get("v1/exchangeInfo")["symbols"]


def test_every_candle_is_closed_once_and_in_order() -> None:
    stage = FeedStage(random_upstream(), num_bars=5)
    closed: list[Any] = []
    stage.venue.hub.subscribe(
        ["btcusdt@kline_30m", "btcusdt@kline_1h"], lambda message: closed.append(json.loads(message.text)["k"])
    )
    stage.play(12)
    for interval, length in (("30m", BAR), ("1h", 2 * BAR)):
        over = [kline for kline in closed if kline["i"] == interval and kline["x"]]
        assert [kline["t"] for kline in over] == list(range(START + 20 * BAR, START + 32 * BAR, length))
        rows = stage.upstream.get(
            "v1/klines", symbol="BTCUSDT", interval=interval, startTime=START + 20 * BAR, limit=len(over)
        )
        assert [[kline[name] for name in "tohlcvTqnVQB"] for kline in over] == rows


def test_longer_candles_are_made_of_bars_and_shorter_ones_are_not_made_up() -> None:
    upstream = random_upstream()
    stage = FeedStage(upstream, num_bars=16)
    stage.play(9)
    for interval in ("1h", "2h", "4h"):
        asked = {"symbol": "BTCUSDT", "interval": interval, "startTime": START + 8 * HOUR, "limit": 100}
        assert stage.get("v1/klines", **asked) == upstream.get("v1/klines", **asked)
    assert stage.get("v1/klines", symbol="BTCUSDT", interval="1m") == []
    assert stage.get("v1/klines", symbol="BTCUSDT", interval="30m", limit=1)[0][0] == START + 29 * BAR


def test_the_same_orders_at_the_same_opens_leave_the_same_account_as_in_the_replay() -> None:
    twin = random_upstream(num_past=10)  # is traded on; the followed one's tape would have its fills
    stage = FeedStage(random_upstream(num_past=10))
    account = client_of(twin)
    rng = np.random.default_rng(1)
    for _ in range(40):
        side, quantity = str(rng.choice(["BUY", "SELL"])), f"{rng.integers(2, 20) / 1000:.3f}"
        if twin.market.quotes("BTCUSDT").is_trading:
            sent = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity}
            stage.call("POST", "v1/order", **sent)
            account.call("POST", "/fapi/v1/order", **sent)
        twin.venue.to_next_open()
        stage.play()
    ours, theirs = stage.call("GET", "v1/income"), cast("Any", account.call("GET", "/fapi/v1/income"))
    booked = [[(row["incomeType"], row["income"], row["time"]) for row in rows] for rows in (ours, theirs)]
    assert {kind for kind, _, _ in booked[0]} == {"TRANSFER", "COMMISSION", "REALIZED_PNL", "FUNDING_FEE"}
    assert booked[0] == booked[1]


def test_samples_of_the_mark_price_make_its_candle_until_the_exchanges_own_is_answered() -> None:
    bars = ["50000 50500 49000 50200 1000", FLAT]
    stage = FeedStage(upstream_of(*bars, marks=marks_beside([FLAT, FLAT, *bars])))
    stage.upstream.venue.to_next_open()
    stage.hear()
    assert [(need.missing, need.since_ms) for need in stage.needed()] == [(Missing.DERIVED, START + 2 * BAR)]
    asked = {"symbol": "BTCUSDT", "interval": "30m", "limit": 2}
    ours, theirs = (each.get("v1/markPriceKlines", **asked) for each in (stage, stage.upstream))
    assert [row[1:5] for row in ours] == [row[1:5] for row in theirs]
    assert ours != theirs  # theirs have one sample a second
    stage.answer()
    assert stage.get("v1/markPriceKlines", **asked) == theirs
    assert stage.needed() == []


def test_one_symbol_waits_for_its_last_candle_while_another_goes_on(recorded_data: Path) -> None:
    made = [
        recording([FLAT, FLAT, *[f"{price} {price} {price} {price} 1000"] * 3], symbol=symbol)
        for symbol, price in (("BTCUSDT", 51000), ("ETHUSDT", 49000))
    ]
    stage = FeedStage(Upstream(*made, start_ms=START + BAR), data=recorded_data)
    stage.upstream.venue.to_next_open()
    told = list(stage.upstream.texts)
    stage.upstream.texts.clear()
    stage.hear(text for text in told if "btcusdt@kline" not in text)
    btc, eth = (stage.venue.exchange.quotes[symbol] for symbol in ("BTCUSDT", "ETHUSDT"))
    assert [btc.last, eth.last] == [50000, 49000]
    opens = START + 2 * BAR
    assert [stage.market.played_ms(symbol) - opens for symbol in ("BTCUSDT", "ETHUSDT")] == [-1, 0]
    stage.hear(text for text in told if "btcusdt@kline" in text)
    assert btc.last == 51000
    stage.play(2)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        asked = {"symbol": symbol, "interval": "30m", "limit": 9}
        assert stage.get("v1/klines", **asked) == stage.upstream.get("v1/klines", **asked)


# ---- Orders


def test_a_market_order_fills_at_the_last_price_moved_by_the_slippage() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT))
    assert order(stage, "BUY", "0.010") == "50010.00"  # 50 000 * 1.0002
    stage.hear([trade_frame("49000.0", START + 2 * BAR + 1)])
    assert order(stage, "SELL", "0.010") == "48990.20"
    book = stage.get("v1/ticker/bookTicker", symbol="BTCUSDT")
    assert (book["bidPrice"], book["askPrice"]) == ("48990.20", "49009.80")  # its own, not the followed one's


def test_the_share_of_an_order_is_counted_of_the_bar_before_until_the_open_one_has_more() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT), slippage=Slippage(half_spread=0.0, linear_impact=0.5))
    now = START + 2 * BAR
    # The bar before had 1000: an order of 1 moves the price by half a thousandth.
    assert order(stage, "BUY", "1") == "50025.00"
    stage.hear([kline_frame(now, "50000 50000 50000 50000 999", now + 1)])
    assert order(stage, "SELL", "1") == "49975.00"
    stage.hear([kline_frame(now, "50000 50000 50000 50000 2000", now + 2)])
    assert order(stage, "BUY", "1") == "50012.50"
    # The bar is over with 500, and the next one begins with a trade: an order moves the price by a thousandth.
    over = kline_frame(now, "50000 50000 50000 50000 500", now + BAR, is_closed=True)
    stage.hear([over, trade_frame("50000.0", now + BAR)])
    assert order(stage, "SELL", "1") == "49950.00"


def test_resting_orders_and_stops_see_every_price_of_trades_that_come_together() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT))
    order(stage, "BUY", "0.010")
    rest_order(stage, "SELL", "0.010", "50500")
    rest_order(stage, "BUY", "0.010", "49500")
    stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "algoType": "CONDITIONAL"}
    stage.call("POST", "v1/algoOrder", **stop, triggerPrice="49000", quantity="0.010", workingType="CONTRACT_PRICE")
    now = START + 2 * BAR
    # Up beyond the sale, down beyond purchase and stop, and back, all heard at once.
    prices = ("50100.0", "50600.0", "50200.0", "48900.0", "49800.0")
    stage.hear([trade_frame(price, now + number, number) for number, price in enumerate(prices, 1)])
    # The stop sells at 49 000 * 0.9998.
    assert fills_of(stage)[1:] == [("SELL", "50500.00"), ("BUY", "49500.00"), ("SELL", "48990.20")]
    assert stage.quotes.last == Decimal("49800.0")
    public = [trade["price"] for trade in stage.get("v1/trades", symbol="BTCUSDT")]
    assert [price for price in public if price in {f"{price}0" for price in prices}] == [
        f"{price}0" for price in prices
    ]


def test_what_has_passed_of_the_first_bar_when_following_begins_is_not_met_again() -> None:
    exchange = Exchange([load_terms("BTCUSDT")], CONDUCT)
    told: list[Happening] = []
    bar = LiveBar(exchange, "BTCUSDT", BAR, told.append)
    zero = Decimal(0)
    opened, high, low, closed = map(Decimal, (50000, 51000, 49000, 50500))
    passed = Kline(START, opened, high, low, closed, Decimal(7), zero, 1, zero, zero)
    bar.begin(passed, Decimal(50400), Decimal(9), START + 5)
    bar.meet(passed, None, START + 6)
    assert [type(each) for each in told] == [BarOpened]
    quotes = exchange.quotes["BTCUSDT"]
    assert (quotes.last, quotes.mark, quotes.volume) == (Decimal(50500), Decimal(50400), Decimal(9))
    bar.meet(passed._replace(low=Decimal(48000)), None, START + 7)
    assert exchange.quotes["BTCUSDT"].last == 48000


def test_what_a_candle_tells_of_prices_that_no_trade_told_is_met_too() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT))
    rest_order(stage, "BUY", "0.010", "49500")
    rest_order(stage, "SELL", "0.010", "50500")
    now = START + 2 * BAR
    stage.hear([kline_frame(now, "50000 50600 49400 50200 10", now + 250)])
    assert fills_of(stage) == [("BUY", "49500.00"), ("SELL", "50500.00")]  # the low first, as the bar rises
    assert stage.quotes.last == Decimal(50200)


def test_a_candle_that_is_older_than_the_last_trade_does_not_bring_the_price_back() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT))
    now = START + 2 * BAR
    stage.hear(
        [trade_frame("50300.0", now + 5, 20), kline_frame(now, "50000 50300 50000 50100 10", now + 6, last_id=19)]
    )
    assert stage.quotes.last == Decimal("50300.0")
    stage.hear([kline_frame(now, "50000 50300 50000 50100 10", now + 7, last_id=21)])
    assert stage.quotes.last == Decimal(50100)


def test_a_position_is_liquidated_by_the_mark_price_that_is_told() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT))
    stage.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=100)
    stage.call("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    order(stage, "BUY", "0.100")
    stage.hear([mark_frame("49750", START + 2 * BAR + 1)])
    assert stage.call("GET", "v2/positionRisk", symbol="BTCUSDT")[0]["positionAmt"] == "0.100"
    stage.hear([mark_frame("49600", START + 2 * BAR + 2)])  # its margin of 50 USDT is too little from 49 710 on
    assert stage.call("GET", "v2/positionRisk", symbol="BTCUSDT")[0]["positionAmt"] == "0.000"
    assert stage.call("GET", "v1/forceOrders")[0]["status"] == "FILLED"


# ---- From bar to bar


def test_nothing_of_the_next_bar_happens_before_the_last_candle_of_the_open_one() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT, FLAT))
    opens, ends = START + 2 * BAR, START + 3 * BAR
    rest_order(stage, "BUY", "0.010", "49500")
    within = trade_frame("50080.0", ends - 5, 9)
    stage.hear([within, trade_frame("49000.0", ends + 5, 10), mark_frame("49001", ends + 6)])
    assert stage.quotes.last == Decimal("50080.0")
    assert opens_of(stage, BarClosed) == []
    stage.hear([kline_frame(opens, "50000 50100 50000 50050 1000", ends + 50, last_id=9, is_closed=True)])
    assert opens_of(stage, BarClosed) == [opens]
    assert opens_of(stage, BarOpened) == [ends]
    assert (stage.quotes.last, stage.quotes.mark) == (Decimal("49000.0"), Decimal(49001))
    # The bar opens with a jump over the order's price.
    assert fills_of(stage) == [("BUY", "49500.00")]
    candles = stage.get("v1/klines", symbol="BTCUSDT", interval="30m", limit=2)
    assert [row[1:5] for row in candles] == [
        ["50000.00", "50100.00", "50000.00", "50050.00"],
        ["49000.00"] * 4,
    ]


def test_a_trade_that_comes_after_its_bar_is_over_is_written_but_moves_no_price() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT, FLAT))
    stage.play()
    stage.hear([trade_frame("10000.0", START + 3 * BAR - 1)])
    assert stage.quotes.last == 50000
    assert stage.get("v1/trades", symbol="BTCUSDT")[-1]["price"] == "10000.00"


def test_a_bar_without_a_price_opens_at_the_last_one_once_the_mark_price_goes_on() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT, FLAT))
    opens, ends = START + 2 * BAR, START + 3 * BAR
    stage.hear([kline_frame(opens, FLAT, ends, is_closed=True), mark_frame("50001", ends + 1000)])
    assert opens_of(stage, BarOpened) == []
    stage.hear([mark_frame("50002", ends + 2000)])
    assert opens_of(stage, BarOpened) == [ends]
    assert stage.quotes.last == 50000
    assert stage.quotes.mark == 50002


def test_a_last_candle_that_does_not_come_is_asked_for() -> None:
    upstream = upstream_of("50000 50000 49000 49500 1000", "49500 49500 49500 49500 1000", FLAT)
    stage = FeedStage(upstream)
    rest_order(stage, "BUY", "0.010", "49100")
    upstream.venue.to_next_open()
    stage.hear(frames_of(stage, "markPrice", "aggTrade")[-2:])  # those of the next bar's open
    assert stage.needed() == []
    stage.pass_time(3001)
    assert [(need.missing, need.since_ms) for need in stage.needed()] == [(Missing.SNAPSHOT, START + 2 * BAR)]
    stage.answer()
    assert fills_of(stage) == [("BUY", "49100.00")]
    assert stage.quotes.last == Decimal(49500)
    assert opens_of(stage, BarClosed) == [START + 2 * BAR]
    assert stage.needed() == []


def test_a_candle_of_a_later_bar_than_the_next_one_asks_for_what_was_missed() -> None:
    upstream = upstream_of(FLAT, *[f"{price} {price} {price} {price} 1000" for price in (51000, 52000, 53000)])
    stage = FeedStage(upstream)
    upstream.venue.to_next_open()
    stage.hear(frames_of(stage, "kline")[-2:-1])  # closes the bar; the others are lost
    for _ in range(2):
        upstream.venue.to_next_open()
    stage.hear(frames_of(stage, "kline")[-1:])
    assert [need.missing for need in stage.needed()] == [Missing.SNAPSHOT]
    stage.follow()
    assert opens_of(stage, BarOpened) == [START + number * BAR for number in range(3, 6)]
    assert stage.quotes.last == 53000


# ---- Funding


def funded_upstream(*bars: str, rate: float = 0.001) -> Upstream:
    """Return a replay at the open of a bar at whose end funding is settled."""
    past = [FLAT] * 15
    made = recording([*past, FLAT, *bars], fundings={0: 0.0, 8 * HOUR: rate})
    return Upstream(made, start_ms=START + 15 * BAR)


def test_funding_is_settled_at_the_settled_rate_on_what_was_held_before_the_bar_opens() -> None:
    stage = FeedStage(funded_upstream(FLAT, FLAT))
    order(stage, "BUY", "0.100")
    stage.upstream.venue.to_next_open()
    stage.hear()  # the settled rate is 0.001; the streams only told an estimate
    assert opens_of(stage, BarClosed) == []
    assert [(need.missing, need.since_ms) for need in stage.needed()] == [(Missing.RATE, START + 8 * HOUR)]
    stage.answer()
    kinds = [type(each) for each in stage.happenings if isinstance(each, BarClosed | FundingSettled | BarOpened)]
    assert kinds == [BarClosed, FundingSettled, BarOpened]
    (paid,) = stage.call("GET", "v1/income", incomeType="FUNDING_FEE")
    assert (paid["income"], paid["time"]) == ("-5.00000000", START + 8 * HOUR)  # 0.1 * 50 000 * 0.001
    stage.follow()
    for endpoint in ("v1/fundingRate", "v1/premiumIndex"):
        assert stage.get(endpoint, symbol="BTCUSDT") == stage.upstream.get(endpoint, symbol="BTCUSDT")


def test_a_rate_that_is_not_answered_in_time_is_the_last_estimate_and_is_noted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = FeedStage(funded_upstream(FLAT, FLAT))
    order(stage, "BUY", "0.100")
    due = START + 8 * HOUR
    stage.hear([mark_frame("50000", due - 1000, rate="0.00020000", next_ms=due)])
    stage.upstream.venue.to_next_open()
    stage.hear(frames_of(stage, "kline", "aggTrade"))
    stage.pass_time(5_000)
    assert stage.call("GET", "v1/income", incomeType="FUNDING_FEE") == []
    with caplog.at_level(logging.WARNING):
        stage.pass_time(1)
    (paid,) = stage.call("GET", "v1/income", incomeType="FUNDING_FEE")
    assert paid["income"] == "-1.00000000"  # 0.1 * 50 000 * 0.0002
    assert "settled funding rate of BTCUSDT" in caplog.text
    assert opens_of(stage, BarOpened)[-1] == due


def test_a_settlement_is_not_called_off_by_a_later_time_that_is_told_right_before_it() -> None:
    stage = FeedStage(funded_upstream(FLAT, FLAT))
    order(stage, "BUY", "0.100")
    opens, due = START + 15 * BAR, START + 8 * HOUR
    stage.hear([mark_frame("50000", due - 10, next_ms=due), mark_frame("50000", due - 5, next_ms=due + 8 * HOUR)])
    stage.hear([kline_frame(opens, FLAT, due, is_closed=True)])
    assert [(need.missing, need.since_ms) for need in stage.needed()] == [(Missing.RATE, due)]


def test_funding_within_a_bar_is_settled_before_what_comes_after_it() -> None:
    made = recording([FLAT] * 4, "4h", fundings={0: 0.0})
    stage = FeedStage(Upstream(made, start_ms=START + 8 * HOUR))
    order(stage, "BUY", "0.100")
    due = START + 9 * HOUR
    stage.hear([mark_frame("50000", due - 1, next_ms=due), mark_frame("40000", due + 5, next_ms=due + HOUR)])
    assert [need.missing for need in stage.needed()] == [Missing.RATE]
    assert stage.quotes.mark == 50000
    stage.market.learn_rates("BTCUSDT", [Settlement(time_ms=due, rate=Decimal("0.001"), mark_price=Decimal(50000))])
    stage.pass_time(0)
    assert stage.quotes.mark == 40000
    assert stage.call("GET", "v1/income", incomeType="FUNDING_FEE")[0]["income"] == "-5.00000000"


def test_a_settlement_that_leaves_too_little_margin_within_a_bar_liquidates() -> None:
    made = recording([FLAT] * 4, "4h", fundings={0: 0.0})
    stage = FeedStage(Upstream(made, start_ms=START + 8 * HOUR))
    stage.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=100)
    stage.call("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    order(stage, "BUY", "0.100")
    opens, due, ends = START + 8 * HOUR, START + 9 * HOUR, START + 12 * HOUR
    # 0.1 * 50 000 * 0.01: the whole margin. The next bar opens where there would be enough again.
    stage.market.learn_rates("BTCUSDT", [Settlement(time_ms=due, rate=Decimal("0.01"), mark_price=Decimal(50000))])
    over = kline_frame(opens, FLAT, ends, interval="4h", is_closed=True)
    stage.hear([over, mark_frame("50600", ends, next_ms=ends + 4 * HOUR), trade_frame("50600.0", ends + 1)])
    assert opens_of(stage, BarOpened) == [ends]
    assert stage.call("GET", "v2/positionRisk", symbol="BTCUSDT")[0]["positionAmt"] == "0.000"


def test_a_settlement_that_is_called_off_long_before_is_not_waited_for() -> None:
    stage = FeedStage(funded_upstream(FLAT, FLAT))
    opens, due = START + 15 * BAR, START + 8 * HOUR
    stage.hear([mark_frame("50000", opens + 1, next_ms=due + 4 * HOUR)])
    stage.hear([kline_frame(opens, FLAT, due, is_closed=True), trade_frame("50000.0", due + 1)])
    assert opens_of(stage, BarOpened) == [due]
    assert not any(need.missing is Missing.RATE for need in stage.needed())


def test_funding_that_was_due_before_following_began_is_not_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = Upstream(recording([FLAT] * 18, fundings={0: 0.0, 8 * HOUR: 0.001}), start_ms=START + 16 * BAR)
    answered = upstream.ask

    async def ask_early(question: Question) -> object:
        answer: Any = await answered(question)
        asked = sum(each.endpoint == "fundingRate" for each in upstream.questions)
        return answer[:-1] if question.endpoint == "fundingRate" and asked == 1 else answer

    monkeypatch.setattr(upstream, "ask", ask_early)  # the newest settlement is answered the second time only
    stage = FeedStage(upstream)
    assert [question.endpoint for question in upstream.questions].count("fundingRate") == 2
    stage.play()
    assert not any(isinstance(each, FundingSettled) for each in stage.happenings)


# ---- Lost connections


def test_everything_is_the_same_again_after_a_time_without_news() -> None:
    upstream = random_upstream()
    stage = FeedStage(upstream, num_bars=10)
    for num_missed, offset in ((1, BAR // 2), (9, BAR - 1), (2, BAR - 1), (3, 0), (4, BAR - 1)):
        stage.miss(num_missed)
        upstream.replay.advance(upstream.replay.now_ms + offset)
        upstream.texts.clear()
        stage.follow()
        for endpoint, name in KLINES.items():
            asked = {name: "BTCUSDT", "interval": "30m", "startTime": START + 10 * BAR}
            assert stage.get(f"v1/{endpoint}", **asked) == upstream.get(f"v1/{endpoint}", **asked)
        for endpoint in ("premiumIndex", "fundingRate"):
            assert stage.get(f"v1/{endpoint}", symbol="BTCUSDT") == upstream.get(f"v1/{endpoint}", symbol="BTCUSDT")
        stage.play()


def test_funding_due_at_the_open_of_a_missed_bar_is_paid_on_what_was_held_before() -> None:
    stage = FeedStage(funded_upstream("50000 51000 50000 50500 1000", FLAT))
    order(stage, "BUY", "0.100")
    rest_order(stage, "SELL", "0.100", "50900")
    stage.miss(2)
    stage.follow()
    assert fills_of(stage)[1:] == [("SELL", "50900.00")]
    (paid,) = stage.call("GET", "v1/income", incomeType="FUNDING_FEE")
    assert (paid["income"], paid["time"]) == ("-5.00000000", START + 8 * HOUR)


def test_a_snapshot_that_is_older_than_the_last_trade_does_not_bring_the_price_back() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT))
    stage.hear([trade_frame("50300.0", START + 2 * BAR + 5000)])
    stage.market.lose()
    stage.follow()
    assert stage.quotes.last == Decimal("50300.0")


def test_a_snapshot_of_a_bar_that_is_over_is_refused() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT, FLAT))
    old = asyncio.run(ask_snapshot(stage.upstream.ask, "BTCUSDT", "30m", START))
    stage.play()
    with pytest.raises(
        DataError, match="must not be older than the bar of 2024-01-01T01:30Z and is of 2024-01-01T01:00Z"
    ):
        stage.market.catch_up("BTCUSDT", old, stage.clock_ms)


def test_a_bar_whose_end_waits_for_a_rate_is_ended_by_a_snapshot_and_only_once() -> None:
    stage = FeedStage(funded_upstream(FLAT, FLAT, FLAT))
    stage.upstream.venue.to_next_open()
    stage.hear()
    assert [need.missing for need in stage.needed()] == [Missing.RATE]
    stage.miss(1)
    stage.follow()
    opens = [START + number * BAR for number in range(15, 18)]
    assert opens_of(stage, BarClosed) == opens[:2]
    assert opens_of(stage, BarOpened) == opens[1:]


def test_candles_of_bars_that_have_not_opened_here_wait_for_them() -> None:
    bars = ["50000 50500 49000 50200 1000"] * 3
    upstream = upstream_of(*bars, FLAT, marks=marks_beside([FLAT, FLAT, *bars, FLAT]))
    stage = FeedStage(upstream)
    upstream.venue.to_next_open()
    heard = list(upstream.texts)
    upstream.texts.clear()
    upstream.venue.to_next_open()
    stage.hear(heard)
    stage.answer()  # of a time when the upstream is a bar farther
    stage.hear()
    asked = {"symbol": "BTCUSDT", "interval": "30m"}
    ours, theirs = (each.get("v1/markPriceKlines", **asked) for each in (stage, upstream))
    assert [row[:5] for row in ours] == [row[:5] for row in theirs]


def test_stops_and_resting_orders_of_a_time_without_news_happen_along_the_path_of_its_bars() -> None:
    bars = ("50000 50000 50000 50000 1000", "50000 51000 48000 49000 1000", "49000 52000 49000 51500 1000")
    stage = FeedStage(upstream_of(FLAT, *bars, FLAT))
    order(stage, "BUY", "0.010")
    rest_order(stage, "BUY", "0.010", "48500")
    rest_order(stage, "SELL", "0.010", "51800")
    stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "algoType": "CONDITIONAL", "quantity": "0.010"}
    stage.call("POST", "v1/algoOrder", **stop, triggerPrice="49500", workingType="CONTRACT_PRICE")
    stage.miss(4)
    assert stage.quotes.last == 50000
    stage.follow()
    # 49 500 * 0.9998; the falling bar goes up, down and back, the rising one down and up.
    assert fills_of(stage)[1:] == [("SELL", "49490.10"), ("BUY", "48500.00"), ("SELL", "51800.00")]
    theirs, ours = (
        each.get("v1/klines", symbol="BTCUSDT", interval="30m", limit=9) for each in (stage.upstream, stage)
    )
    assert ours == theirs
    assert opens_of(stage, BarClosed) == [START + number * BAR for number in range(2, 6)]


def test_a_position_is_liquidated_and_funding_paid_in_a_time_without_news() -> None:
    low = "50000 50000 40000 49000 1000"
    stage = FeedStage(funded_upstream(FLAT, low, FLAT))
    stage.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=50)
    stage.call("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    order(stage, "BUY", "0.100")
    stage.miss(3)
    stage.follow()
    kinds = [row["incomeType"] for row in stage.call("GET", "v1/income")]
    assert kinds[:3] == ["TRANSFER", "COMMISSION", "FUNDING_FEE"]
    assert "INSURANCE_CLEAR" in kinds[3:]
    assert stage.call("GET", "v2/positionRisk", symbol="BTCUSDT")[0]["positionAmt"] == "0.000"


def test_prices_of_the_open_bar_that_were_met_already_are_not_met_again() -> None:
    stage = FeedStage(upstream_of("50000 50500 49000 50200 1000", FLAT, FLAT))
    upstream = stage.upstream
    upstream.replay.advance(START + 2 * BAR + 2 * BAR // 3)  # low and high are over
    stage.follow()
    rest_order(stage, "BUY", "0.010", "49500")  # under the price, over the bar's low
    rest_order(stage, "SELL", "0.010", "50600")
    stage.miss(1)
    stage.follow()
    assert fills_of(stage) == []
    assert stage.quotes.last == 50000


def test_news_of_the_time_before_a_snapshot_are_known_already() -> None:
    upstream = upstream_of("50000 51000 49000 50000 1000", FLAT)
    stage = FeedStage(upstream)
    stage.market.lose()
    upstream.replay.advance(START + 2 * BAR + 2 * BAR // 3)
    late = list(upstream.texts)
    upstream.texts.clear()
    stage.answer()
    rest_order(stage, "SELL", "0.010", "51100")
    rest_order(stage, "BUY", "0.010", "49500")
    assert stage.quotes.last == 51000
    stage.hear(late)  # the way to 49 000 and 51 000, which has been gone
    assert fills_of(stage) == []
    assert stage.quotes.last == 51000


def test_what_is_told_while_a_snapshot_is_asked_for_happens_after_it() -> None:
    upstream = upstream_of("50000 51000 49000 50000 1000", FLAT)
    stage = FeedStage(upstream)
    stage.market.lose()
    stage.hear([trade_frame("50400.0", START + 2 * BAR + 5, 10**6)])
    assert stage.quotes.last == 50000
    stage.answer()
    assert stage.quotes.last == Decimal("50400.0")


# ---- Old prices


def test_prices_that_grow_old_halt_the_symbol_until_there_are_new_ones() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT, FLAT))
    rest_order(stage, "BUY", "0.010", "49500")
    stage.pass_time(10_000)
    assert is_trading(stage)
    stage.pass_time(1)
    assert not is_trading(stage)
    assert opens_of(stage, Halted) == [START + 2 * BAR]
    with pytest.raises(AnsweredError, match="-2020"):
        order(stage, "BUY", "0.010")
    assert stage.get("v1/ticker/bookTicker", symbol="BTCUSDT")["askPrice"] == "0.00"
    stage.hear([trade_frame("49000.0", START + 2 * BAR + 11_000)])  # without a mark price
    assert fills_of(stage) == []
    stage.hear([mark_frame("49000", START + 2 * BAR + 12_000)])
    assert is_trading(stage)
    assert order(stage, "BUY", "0.010") == "49009.80"


def test_orders_rest_on_while_a_symbol_is_halted_and_what_was_missed_meets_them() -> None:
    stage = FeedStage(upstream_of("50000 50000 49000 49500 1000", FLAT, FLAT))
    rest_order(stage, "BUY", "0.010", "49100")
    stage.pass_time(10_001)
    assert not is_trading(stage)
    stage.miss(1)
    stage.follow()
    assert is_trading(stage)
    assert fills_of(stage) == [("BUY", "49100.00")]


def test_prices_that_come_late_are_old_although_they_keep_coming() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT))
    opens = START + 2 * BAR
    for second in range(1, 12):
        stage.clock_ms += 1000
        stage.hear([mark_frame("50000", opens + second * 1000)])
    stage.clock_ms += 10_000
    stage.hear([mark_frame("50000", opens + 12_000)])  # 9 s late
    assert is_trading(stage)
    stage.clock_ms += 3_000
    stage.hear([mark_frame("50000", opens + 13_000)])  # 11 s
    assert not is_trading(stage)


def test_prices_are_old_while_a_snapshot_cannot_be_had() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT))
    stage.market.lose()
    stage.clock_ms += 10_001
    stage.hear([mark_frame("50000", START + 2 * BAR + 10_001)])  # what it belongs to is not known
    assert not is_trading(stage)


def test_after_the_machines_clock_was_set_a_snapshot_compares_the_clocks_anew() -> None:
    stage = FeedStage(upstream_of(FLAT, FLAT, FLAT))
    stage.pass_time(60_000)
    assert not is_trading(stage)
    stage.upstream.replay.advance(START + 2 * BAR + 1000)
    stage.market.lose()
    stage.follow()
    assert is_trading(stage)


def test_a_last_price_outside_the_followed_book_is_doubted_and_asked_for() -> None:
    upstream = upstream_of("50000 50000 49000 49500 1000", FLAT)
    stage = FeedStage(upstream)
    upstream.replay.advance(START + 2 * BAR + 2 * BAR // 3)  # down to 49 000
    texts = frames_of(stage, "bookTicker")
    assert texts
    stage.hear(texts)
    assert stage.needed() == []
    assert stage.quotes.last == 50000
    stage.pass_time(9_000)
    stage.hear([mark_frame("49000", upstream.replay.now_ms - 1)])
    stage.pass_time(6_001)
    assert [need.missing for need in stage.needed()] == [Missing.SNAPSHOT]
    stage.answer()
    assert stage.needed() == []
    assert stage.quotes.last == 49000


# ---- Terms


def test_terms_are_those_that_are_answered_and_brackets_those_at_hand() -> None:
    upstream = upstream_of(FLAT)
    stage = FeedStage(upstream)
    ours, theirs = stage.quotes.contract, upstream.market.quotes("BTCUSDT").contract
    assert ours == replace(theirs, read_on="2024-01-01", inferred=("taker_fee", "maker_fee"))
    assert describe_terms(ours) == (
        f"BTCUSDT: filters of 2024-01-01 as answered, brackets of {theirs.brackets_read_on}, fees assumed "
        "(no key is used to ask for them)"
    )


def test_brackets_are_read_from_the_data_folder(recorded_data: Path) -> None:
    upstream = Upstream(recording([FLAT] * 3, symbol="ETHUSDT"))
    with pytest.raises(ContractError, match="terms of ETHUSDT are not shipped"):
        FeedStage(upstream)
    stage = FeedStage(upstream, data=recorded_data)
    assert "brackets without a date" in describe_terms(stage.quotes.contract)
    assert len(stage.quotes.contract.brackets) > 5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda entry: entry | {"symbol": "XRPUSDT"}, "does not list BTCUSDT; choose one such as XRPUSDT"),
        (lambda entry: entry | {"status": "SETTLING"}, "has with the status SETTLING BTCUSDT"),
    ],
)
def test_a_symbol_that_is_not_traded_there_is_refused(change: Callable[[Any], Any], sentence: str) -> None:
    upstream = upstream_of(FLAT)

    async def ask(question: Question) -> object:
        answer: Any = await upstream.ask(question)
        if question.endpoint == "exchangeInfo":
            return answer | {"symbols": [change(entry) for entry in answer["symbols"]]}
        return answer

    with pytest.raises(ConfigError, match=sentence):
        asyncio.run(ask_beginnings(ask, ["BTCUSDT"], "30m", 5, None))


# ---- What is read


def test_the_documented_events_are_read(recorded_data: Path) -> None:
    samples = documented(recorded_data, "market_streams")
    read: dict[type, Any] = {}
    for sample in samples.values():
        for payload in sample if isinstance(sample, list) else [sample]:
            news = parse_news(json.dumps(payload))
            if news is not None:
                read[type(news)] = news
    assert read.keys() == {TradeNews, MarkNews, KlineNews, BookNews}
    assert read[MarkNews].index_price == Decimal("11784.62659091")
    assert read[TradeNews] == TradeNews("BNBUSDT", 123456785, Decimal("0.001"), Decimal(100), True, 105)


def test_the_exchanges_real_answers_are_read(recorded_data: Path) -> None:
    answers = json.loads((recorded_data / "reference" / "live_rest_responses_2026-09-15.json").read_text())
    for row in answers["GET /fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=3"]:
        kline = read_kline(row, "klines")
        assert [str(price) for price in kline[1:6]] == row[1:6]
    assert read_premium_index(answers["GET /fapi/v1/premiumIndex?symbol=BTCUSDT"]).mark == Decimal("76916.95122464")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "a frame must be a JSON object and is '\\[\\]'"),
        ("{", "a frame must be a JSON object"),
        (trade_frame("nan", 1), "p of an event aggTrade of BTCUSDT must be the text of a number and is 'nan'"),
        (trade_frame("-1", 1), "p of .* must be the text of a positive number"),
        (frame("markPriceUpdate", E=1, p=7), "p of an event markPriceUpdate of BTCUSDT must be the text of a number"),
        (frame("kline", E=1), "k of an event kline of BTCUSDT must be an object and is None"),
        (frame("bookTicker", E="1", b="1", a="1"), "E of .* must be a whole number and is '1'"),
    ],
)
def test_frames_that_are_not_the_exchanges_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        parse_news(text)


@pytest.mark.parametrize("text", ['{"result": null, "id": 1}', '{"e": "depthUpdate", "s": "BTCUSDT"}', '{"data": []}'])
def test_other_frames_say_nothing(text: str) -> None:
    assert parse_news(text) is None


@pytest.mark.parametrize(
    ("endpoint", "answer", "sentence"),
    [
        ("klines", {"code": 0}, "klines must be a list"),
        ("klines", [[1, 2]], "a row of klines must have 12 columns"),
        ("klines", [[START, "5", "4", "3", "4", "1", 0, "1", 1, "1", "1", "0"]], "must be one of prices"),
        ("klines", [[START, "5", "5", "5", "5", "1", 0, "1", 1, "1", "1", "0"]] * 2, "klines of BTCUSDT must ascend"),
        ("klines", [], "BTCUSDT must have klines of 30m to be followed"),
        ("premiumIndex", [], "the premiumIndex must be an object"),
        ("exchangeInfo", 7, "exchangeInfo must list symbols"),
    ],
)
def test_answers_that_are_not_the_exchanges_are_refused(endpoint: str, answer: object, sentence: str) -> None:
    upstream = upstream_of(FLAT)

    async def ask(question: Question) -> object:
        return answer if question.endpoint == endpoint else await upstream.ask(question)

    with pytest.raises(DataError, match=sentence):
        asyncio.run(ask_beginnings(ask, ["BTCUSDT"], "30m", 5, None))


def test_a_past_of_more_candles_than_one_answer_holds_is_asked_for_in_pages() -> None:
    bars = [FLAT] * 2000
    upstream = Upstream(recording(bars, "1m"), start_ms=START + 1900 * MINUTE)
    stage = FeedStage(upstream, num_bars=1800)
    asked = [question.parameters for question in upstream.questions if question.endpoint == "klines"]
    assert [(page["startTime"], page["limit"]) for page in asked[:2]] == [
        (START + 100 * MINUTE, 1500),
        (START + 1599 * MINUTE + 1, 1500),
    ]
    assert asked[2]["limit"] == 5  # of the first snapshot: a question weighs by what it may answer
    rows = stage.get("v1/klines", symbol="BTCUSDT", interval="1m", startTime=START, limit=1500)
    assert (rows[0][0], len(rows)) == (START + 100 * MINUTE, 1500)


def test_following_begins_once_and_is_never_over() -> None:
    stage = FeedStage(upstream_of(FLAT))
    assert not stage.market.to_next_open()
    assert not stage.market.is_over


# ---- Together


@pytest.mark.parametrize("is_mark_first", [True, False])
def test_a_trade_and_a_mark_price_of_the_same_millisecond_happen_together(is_mark_first: bool) -> None:
    stage = FeedStage(upstream_of(*[FLAT] * 3))
    stage.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=2)
    order(stage, "SELL", "0.010")
    sent = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "BUY", "type": "STOP_MARKET"}
    trigger = {"triggerPrice": "51000", "workingType": "MARK_PRICE", "closePosition": "true"}
    stage.call("POST", "v1/algoOrder", **sent, **trigger)
    time_ms = stage.market.now_ms + 1_000
    frames = [mark_frame("52000", time_ms), trade_frame("52000", time_ms)]
    stage.hear(frames if is_mark_first else frames[::-1])
    assert fills_of(stage)[-1] == ("BUY", "51010.20")  # at the trigger price, on the way of both


def test_a_mark_price_alone_meets_a_stop_at_the_last_price() -> None:
    stage = FeedStage(upstream_of(*[FLAT] * 3))
    stage.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=2)
    order(stage, "SELL", "0.010")
    sent = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "BUY", "type": "STOP_MARKET"}
    trigger = {"triggerPrice": "51000", "workingType": "MARK_PRICE", "closePosition": "true"}
    stage.call("POST", "v1/algoOrder", **sent, **trigger)
    stage.hear([mark_frame("52000", stage.market.now_ms + 1_000), trade_frame("52000", stage.market.now_ms + 2_000)])
    assert fills_of(stage)[-1] == ("BUY", "50010.00")
