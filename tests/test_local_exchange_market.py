"""The local exchange's market: recordings, their replay, and the history that it shows."""

from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.bars import BAR_DTYPE
from rl_trader.config import Assumptions
from rl_trader.contract import load_terms
from rl_trader.differential.witnesses import decimal
from rl_trader.embedded import embedded_market
from rl_trader.errors import DataError
from rl_trader.klines import INTERVAL_MS, parse_date, resample
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.quotes import PublicTrade, Quotes
from rl_trader.local_exchange.market import candles as candles_module
from rl_trader.local_exchange.market.amounts import BarAmounts
from rl_trader.local_exchange.market.candles import Candles, Series
from rl_trader.local_exchange.market.happenings import (
    BarClosed,
    BarOpened,
    FundingSettled,
    Halted,
    Happening,
    Moved,
    Traded,
)
from rl_trader.local_exchange.market.history import History, Window
from rl_trader.local_exchange.market.intervals import INTERVALS, candle_opens, ending_times, opening_times
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.market.recording import Recording, record_embedded, record_folder
from rl_trader.local_exchange.market.replay import Replay, SmoothReplay
from rl_trader.market import Period, SymbolTables, build_market
from rl_trader.store import DataStore
from tests.market_tables import HOUR, MINUTE, OHLC, START, random_bars, recording

D = Decimal
CONDUCT = Conduct(half_spread=D("0.0001"), sqrt_impact=D(0), linear_impact=D(0), slippage_scale=D(1))
ALL = Window(10**9)
RISING = "100.0 130.0 90.0 120.0 6.000"
FALLING = "120.0 125.0 80.0 110.0 3.000"
BAR = 30 * MINUTE


class Told:
    """An engine that writes down what it is told, times in minutes after START."""

    def __init__(self, *recordings: Recording) -> None:
        self.quotes = {each.symbol: Quotes(each.contract, CONDUCT) for each in recordings}
        self.calls: list[tuple[object, ...]] = []

    def open_bar(self, symbol: str, *, last: Decimal, mark: Decimal, volume: Decimal, now_ms: int) -> None:
        """A bar opens."""
        self.quotes[symbol].last, self.quotes[symbol].mark = last, mark
        self.calls.append(("open", symbol, minutes(now_ms), last, mark, volume))

    def move(self, symbol: str, *, last: Decimal, mark: Decimal, now_ms: int) -> None:
        """The prices move."""
        self.quotes[symbol].last, self.quotes[symbol].mark = last, mark
        self.calls.append(("move", symbol, minutes(now_ms), last, mark))

    def settle_funding(self, symbol: str, *, rate: Decimal, mark: Decimal, time_ms: int) -> None:
        """Funding is settled."""
        self.calls.append(("fund", symbol, minutes(time_ms), rate, mark))

    def enforce_margin(self, symbol: str, *, mark: Decimal, now_ms: int) -> None:
        """Margin is enforced."""
        self.calls.append(("enforce", symbol, minutes(now_ms), mark))


def minutes(time_ms: int) -> float:
    """Return minutes after START; the last millisecond of a minute counts as the next minute."""
    return (time_ms + time_ms % 2 - START) / MINUTE


def played(*recordings: Recording) -> list[tuple[object, ...]]:
    engine = Told(*recordings)
    replay = Replay(engine, recordings)
    while replay.step():
        pass
    return engine.calls


def engine_of(*recordings: Recording) -> Exchange:
    return Exchange([each.contract for each in recordings], CONDUCT)


def rows_of(candles: Candles) -> list[tuple[float, ...]]:
    return list(zip(*(column.tolist() for column in candles), strict=True))


# ---- Recordings


def test_a_bar_is_in_the_decimals_that_its_floats_are_printed_as() -> None:
    made = recording(["100.1 100.7 99.3 100.6 0.123"])
    bar = made.bar(0)
    assert (bar.open, bar.high, bar.low, bar.close) == (D("100.1"), D("100.7"), D("99.3"), D("100.6"))
    assert bar.volume == decimal(float(np.float32(0.123)))  # as the training's bars have it
    assert made.volume.tolist() == [0.123]


def test_marks_are_aligned_as_in_training(recorded_data: Path) -> None:
    # The mark price is recorded in 8-hour candles only: bars of 30 minutes get it by the ratio rule of training.
    store = DataStore.open(recorded_data)
    since, until = parse_date("2023-03-01"), parse_date("2023-03-05")
    made = record_folder(store, ["ETHUSDT"], "30m", Period(since, until))[0]
    klines = store.klines("ETHUSDT", "30m")
    rows = ((klines["open_time"] >= since) & (klines["open_time"] < until)).to_numpy()
    tables = SymbolTables(
        terms=load_terms("ETHUSDT", store),
        klines=klines[rows].reset_index(drop=True),
        mark_prices={"8h": store.mark_price("ETHUSDT", "8h")},
        funding=store.funding("ETHUSDT"),
    )
    market = build_market([tables], "30m")
    same = made.bars[-len(market.bars) :]
    prices = [name for name in BAR_DTYPE.names or () if name not in ("num_settled", "segment")]
    for name in prices:
        assert np.array_equal(same[name], market.bars[name], equal_nan=True), name
    assert not np.array_equal(same["mark_high"], same["high"])
    assert np.array_equal(made.fundings[-len(market.fundings) :], market.fundings)
    assert made.open_time[0] == parse_date("2023-01-01")  # what was before is the past


def test_two_symbols_of_a_folder_have_their_own_bars_and_settlements(recorded_data: Path) -> None:
    store = DataStore.open(recorded_data)
    period = Period(parse_date("2024-03-01"), parse_date("2024-03-03"))
    both = record_folder(store, ["BTCUSDT", "ETHUSDT"], "30m", period)
    alone = record_folder(store, ["ETHUSDT"], "30m", period)[0]
    assert np.array_equal(both[1].bars["close"], alone.bars["close"])
    assert np.array_equal(both[1].fundings, alone.fundings)
    assert both[0].listing.info is not None
    assert alone.listing.info is None  # only BTCUSDT's is shipped


def test_a_folder_without_the_mark_price_of_the_period_is_refused(recorded_data: Path) -> None:
    store = DataStore.open(recorded_data)
    period = Period(parse_date("2025-02-01"), parse_date("2025-02-02"))
    with pytest.raises(DataError, match="XRPUSDT 30m mark price is not recorded"):
        record_folder(store, ["XRPUSDT"], "30m", period)
    assumed = Assumptions(missing_mark="last", missing_funding="base")
    made = record_folder(store, ["XRPUSDT"], "30m", period, assumed)[0]
    assert made.bars["mark_low"][-1] == made.bars["low"][-1]
    assert [float(made.settlement(-1).rate)] == [0.0001]


def test_a_period_without_a_bar_is_refused(recorded_data: Path) -> None:
    store = DataStore.open(recorded_data)
    with pytest.raises(DataError, match="no bar of the period 2026-01-01"):
        record_folder(store, ["BTCUSDT"], "30m", Period(parse_date("2026-01-01"), None))
    with pytest.raises(DataError, match="where no bar opens in the period"):
        Replay(Told(made := recording([RISING])), [made], start_ms=START + 1)


def test_the_embedded_market_needs_no_folder() -> None:
    made = record_embedded(100, 7)
    tables = embedded_market(100, 7)
    assert made.bars["close"].tolist() == tables.klines["close"].tolist()
    assert len(made.fundings) == -(-100 // 16)  # every 8 hours


# ---- The replay


def test_a_rising_bar_goes_by_its_low_and_a_falling_one_by_its_high() -> None:
    made = recording([RISING, FALLING], marks=["101 131 91 121", "121 126 81 111"])
    opens = [call for call in played(made) if call[0] in ("open", "move")]
    assert opens == [
        ("open", "BTCUSDT", 0, D("100.0"), D("101.0"), D("6.0")),
        ("move", "BTCUSDT", 10, D("90.0"), D("91.0")),
        ("move", "BTCUSDT", 20, D("130.0"), D("131.0")),
        ("move", "BTCUSDT", 30, D("120.0"), D("121.0")),
        ("open", "BTCUSDT", 30, D("120.0"), D("121.0"), D("3.0")),
        ("move", "BTCUSDT", 40, D("125.0"), D("126.0")),
        ("move", "BTCUSDT", 50, D("80.0"), D("81.0")),
        ("move", "BTCUSDT", 60, D("110.0"), D("111.0")),
    ]


def test_a_bar_closes_at_its_last_millisecond() -> None:
    made = recording([RISING])
    replay = Replay(Told(made), [made])
    times = []
    while (time := replay.next_ms) is not None:
        times.append(time - START)
        replay.step()
    assert times == [0, 10 * MINUTE, 20 * MINUTE, BAR - 1]


def test_funding_at_the_opening_instant_comes_before_the_open_and_funding_within_the_bar_at_its_close() -> None:
    rates = {0: 0.0001, 8 * HOUR: -0.0002, 16 * HOUR: 0.0003, 24 * HOUR: 0.0004}
    made = recording([RISING, FALLING], "1d", fundings=rates)
    day = 24 * 60
    calls = played(made)
    assert [(call[0], call[2]) for call in calls[:9]] == [
        ("fund", 0),
        ("open", 0),
        ("move", day / 3),
        ("move", 2 * day / 3),
        ("move", day),
        ("fund", day),
        ("enforce", day),
        ("fund", day),
        ("enforce", day),
    ]
    assert [call[3] for call in calls if call[0] == "fund"] == [D("0.0001"), D("-0.0002"), D("0.0003"), D("0.0004")] + [
        D("0.0")
    ] * 2
    assert calls[6] == ("enforce", "BTCUSDT", day, D("100.0"))  # at the settlement's own mark price
    assert calls[9][:2] == ("fund", "BTCUSDT")
    assert calls[10][0] == "open"


def test_symbols_go_by_time_and_at_one_instant_in_the_order_of_the_recordings() -> None:
    slow = recording([RISING, FALLING], "1h", symbol="SLOWUSDT")
    fast = recording([FALLING, RISING], "30m", symbol="FASTUSDT")
    calls = [(call[1], call[2]) for call in played(slow, fast) if call[0] in ("open", "move")]
    assert calls[:9] == [
        ("SLOWUSDT", 0),
        ("FASTUSDT", 0),
        ("FASTUSDT", 10),
        ("SLOWUSDT", 20),
        ("FASTUSDT", 20),
        ("FASTUSDT", 30),
        ("FASTUSDT", 30),
        ("SLOWUSDT", 40),
        ("FASTUSDT", 40),
    ]
    assert len(calls) == 16


def test_nothing_trades_in_a_hole() -> None:
    made = recording([RISING, FALLING], skipped=[1, 2])
    engine = Told(made)
    replay = Replay(engine, [made])
    heard: list[Happening] = []
    replay.listeners.append(heard.append)
    replay.advance(START + 89 * MINUTE)
    assert engine.calls[-1] == ("open", "BTCUSDT", 30, D("120.0"), D("120.0"), D(0))
    assert heard[-1] == Halted("BTCUSDT", START + BAR)
    assert replay.to_next_open()
    assert engine.calls[-1][:3] == ("open", "BTCUSDT", 90)


def test_a_replay_plays_the_bars_that_open_in_its_period() -> None:
    made = recording([RISING, FALLING, RISING, FALLING])
    engine = Told(made)
    replay = Replay(engine, [made], start_ms=START + 1, end_ms=START + 3 * BAR)
    assert replay.now_ms == START + BAR - 1
    while replay.step():
        pass
    assert [call[2] for call in engine.calls if call[0] == "open"] == [30, 60]
    assert replay.is_over
    assert replay.next_ms is None
    assert not replay.to_next_open()


def test_advancing_plays_up_to_and_including_a_moment_and_never_goes_back() -> None:
    made = recording([RISING])
    engine = Told(made)
    replay = Replay(engine, [made])
    replay.advance(START - 5)
    assert engine.calls == []
    replay.advance(START + 10 * MINUTE)
    assert engine.calls[-1] == ("move", "BTCUSDT", 10, D("90.0"), D("90.0"))
    replay.advance(START + 15 * MINUTE)
    assert engine.calls[-1][2] == 10  # prices stand still between the corners
    assert (replay.now_ms, replay.played_ms("BTCUSDT")) == (START + 15 * MINUTE, START + 10 * MINUTE)
    replay.advance(START)
    assert replay.now_ms == START + 15 * MINUTE


def test_lock_step_goes_from_open_to_open() -> None:
    made = recording([RISING, FALLING])
    engine = Told(made)
    replay = Replay(engine, [made])
    assert replay.to_next_open()
    assert (replay.now_ms, engine.quotes["BTCUSDT"].last) == (START, D("100.0"))
    assert replay.to_next_open()
    assert (replay.now_ms, engine.quotes["BTCUSDT"].last) == (START + BAR, D("120.0"))
    assert not replay.to_next_open()
    assert replay.now_ms == START + 2 * BAR - 1


def test_a_smooth_replay_is_on_its_way_between_the_corners() -> None:
    made = recording([RISING], marks=["100.00000001 130.00000001 90.00000001 120.00000001"])
    engine = Told(made)
    replay = SmoothReplay(engine, [made])
    replay.advance(START + 5 * MINUTE)
    replay.advance(START + 15 * MINUTE + 10)
    # From 90 to 130 in ten minutes; after 5 minutes and 10 ms it is at 110 and 40 * 10 / 600 000.
    assert engine.calls[-3:] == [
        ("move", "BTCUSDT", 5, D("95.0"), D("95.00000001")),
        ("move", "BTCUSDT", 10, D("90.0"), D("90.00000001")),
        ("move", "BTCUSDT", minutes(START + 15 * MINUTE + 10), D("110.0"), D("110.00066668")),
    ]
    assert replay.played_ms("BTCUSDT") == replay.now_ms


def test_smooth_replays_of_symbols_never_go_back_in_time() -> None:
    one, other = recording([RISING] * 3, "1h", symbol="AUSDT"), recording([FALLING] * 4, symbol="BUSDT")
    exchange = engine_of(one, other)  # refuses to go back
    replay = SmoothReplay(exchange, [one, other])
    replay.step()
    replay.step()
    assert replay.now_ms == START + 10 * MINUTE
    replay.advance(START + 5 * MINUTE)
    assert replay.played_ms("AUSDT") == START + 10 * MINUTE
    replay.advance(START + 3 * HOUR)
    assert exchange.quotes["AUSDT"].last == D("120.0")


def test_listeners_hear_what_happens_in_order() -> None:
    made = recording([RISING], "8h", fundings={0: 0.0001})
    replay = Replay(Told(made), [made])
    heard: list[Happening] = []
    replay.listeners.append(heard.append)
    while replay.step():
        pass
    close = START + 8 * HOUR - 1
    assert [type(each) for each in heard] == [
        FundingSettled,
        *(BarOpened, Traded),
        *(Moved, Traded) * 3,
        BarClosed,
    ]
    assert heard[-1] == BarClosed("BTCUSDT", START, close)
    assert heard[0] == FundingSettled("BTCUSDT", made.settlement(0), START)


def test_quotes_know_the_last_settled_rate_and_the_next_time_but_not_the_next_rate() -> None:
    made = recording([RISING] * 18, "1h", fundings={0: 0.0001, 8 * HOUR: 0.0002, 12 * HOUR: 0.0003})
    engine = Told(made)
    quotes = engine.quotes["BTCUSDT"]
    replay = Replay(engine, [made], start_ms=START + 2 * HOUR)
    assert (quotes.last_funding_rate, quotes.next_funding_ms) == (D("0.0001"), START + 8 * HOUR)
    replay.advance(START + 8 * HOUR - 1)
    assert (quotes.funding_rate, quotes.next_funding_ms) == (D("0.0001"), START + 8 * HOUR)
    replay.advance(START + 8 * HOUR)
    assert (quotes.funding_rate, quotes.last_funding_rate) == (D("0.0002"), D("0.0002"))
    assert quotes.next_funding_ms == START + 12 * HOUR  # as recorded, not on the contract's grid
    replay.advance(START + 12 * HOUR)
    assert quotes.next_funding_ms == START + 16 * HOUR  # on the grid, since nothing more is recorded
    assert quotes.index == quotes.mark == D("100.0")


# ---- What the public trades


def test_a_bars_volume_is_traded_at_its_corners_by_who_moves_the_price() -> None:
    made = recording([RISING, "120.0 120.0 120.0 120.0 0.000", "120.0 120.0 120.0 120.0 0.002"])
    engine = Told(made)
    replay = Replay(engine, [made])
    while replay.step():
        pass
    # 6000 steps in 1 800 000 ms: one at the first millisecond; after 600 001 ms 2000.003, so 2001.
    first, second = START + 10 * MINUTE, START + 20 * MINUTE
    assert list(engine.quotes["BTCUSDT"].tape) == [
        PublicTrade(1, START, D("100.0"), D("0.001"), is_buyer_maker=True),  # on the way down
        PublicTrade(2, first, D("90.0"), D("2.000"), is_buyer_maker=True),
        PublicTrade(3, second, D("130.0"), D("2.000"), is_buyer_maker=False),  # on the way up
        PublicTrade(4, START + BAR - 1, D("120.0"), D("1.999"), is_buyer_maker=True),
        PublicTrade(5, START + 2 * BAR, D("120.0"), D("0.001"), is_buyer_maker=True),  # ceil(2 * 1 / 1 800 000)
        PublicTrade(6, START + 2 * BAR + 20 * MINUTE, D("120.0"), D("0.001"), is_buyer_maker=True),
    ]


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 4 * BAR), max_size=12))
def test_however_a_replay_is_watched_candle_and_tape_and_price_tell_the_same(seed: int, cuts: list[int]) -> None:
    made = recording(random_bars(4, seed))
    exchange = engine_of(made)
    replay = SmoothReplay(exchange, [made])
    quotes, history = exchange.quotes["BTCUSDT"], History(made)
    for cut in sorted(cuts):
        replay.advance(START + cut)
        now = replay.played_ms("BTCUSDT")
        candles = history.klines(Series.LAST, "30m", ALL, now)
        seen = [trade for trade in quotes.tape if trade.time_ms >= candles.open_time[-1]]
        assert D(repr(float(candles.close[-1]))) == quotes.last
        assert D(int(candles.volume[-1])) / 1000 == sum(trade.amount for trade in seen)
        bought = sum(trade.amount for trade in seen if not trade.is_buyer_maker)
        assert D(int(candles.taker_buy_volume[-1])) / 1000 == bought
        assert all(candles.low[-1] <= float(trade.price) <= candles.high[-1] for trade in seen)
        marks = history.klines(Series.MARK, "30m", ALL, now)
        assert D(repr(float(marks.close[-1]))) == quotes.mark
    while replay.step():
        pass
    assert sum(trade.amount for trade in quotes.tape) == sum(D(repr(float(volume))) for volume in made.volume)


# ---- Intervals


def test_weeks_open_on_mondays_and_months_on_their_first_day() -> None:
    thursday = np.array([parse_date("2024-02-29T13:14")], np.int64)
    for interval, opens, ends in (
        ("1w", "2024-02-26", "2024-03-04"),
        ("1M", "2024-02-01", "2024-03-01"),
        ("1d", "2024-02-29", "2024-03-01"),
        ("12h", "2024-02-29T12:00", "2024-03-01"),
        ("3m", "2024-02-29T13:12", "2024-02-29T13:15"),
    ):
        opened = opening_times(interval, thursday)
        assert opened.tolist() == [parse_date(opens)]
        assert ending_times(interval, opened).tolist() == [parse_date(ends)]
    months = candle_opens("1M", parse_date("2023-11-15"), parse_date("2024-02-01"))
    assert months.tolist() == [parse_date(f"{month}-01") for month in ("2023-11", "2023-12", "2024-01", "2024-02")]


@pytest.mark.parametrize("interval", INTERVALS)
def test_the_candles_of_an_interval_follow_each_other(interval: str) -> None:
    opens = candle_opens(interval, START + 1, START + 100 * 24 * HOUR)
    assert np.array_equal(ending_times(interval, opens)[:-1], opens[1:])
    assert np.array_equal(opening_times(interval, opens), opens)
    assert np.array_equal(opening_times(interval, opens[1:] - 1), opens[:-1])


# ---- Candles


def test_a_recorded_bar_is_a_candle_as_it_is() -> None:
    made = recording([RISING, FALLING], extras={"quote_volume": [650.5, 300.25], "trades": [9, 4]})
    candles = History(made).klines(Series.LAST, "30m", ALL, made.end_ms)
    # Where takers' volume is not recorded: what is traded while the price rises, 20 minutes of 30 in a rising bar's
    # second leg alone: 2000 of 6000 steps, in a falling bar its first and last leg, 2001 - 1000 of 3000 apart.
    assert rows_of(candles)[0][:8] == (START, 100.0, 130.0, 90.0, 120.0, 6000, 65_050_000, 9)
    assert rows_of(candles)[1][:8] == (START + BAR, 120.0, 125.0, 80.0, 110.0, 3000, 30_025_000, 4)
    assert candles.taker_buy_volume.tolist() == [2000, 1001 + 999]


def test_what_is_not_recorded_is_derived() -> None:
    # 6000 steps, one every 300 ms, each at the path's price then: 100 to 90, to 130, to 120 in ten minutes each.
    times, prices = [0, 10 * MINUTE, 20 * MINUTE, BAR - 1], [100, 90, 130, 120]
    paid = np.interp(np.arange(6000) * 300.0, times, prices).sum() / 1000
    made = recording([RISING, "120.0 120.0 120.0 120.0 0.002"])
    candles = History(made).klines(Series.LAST, "30m", ALL, made.end_ms)
    assert candles.quote_volume[0] / 1e5 == pytest.approx(paid, abs=1e-5)
    assert paid == pytest.approx(6 * 110.0, rel=1e-4)
    assert candles.quote_volume[1] == 24_000  # 0.002 * 120 in units of 1e-5
    assert candles.trades.tolist() == [1800, 2]  # one a second, but no more than steps
    assert candles.taker_buy_volume.tolist() == [2000, 0]


def test_recorded_taker_volume_is_shared_out_by_volume() -> None:
    made = recording([RISING], extras={"taker_buy_volume": [1.5]})
    half = History(made).klines(Series.LAST, "15m", ALL, made.end_ms)
    assert half.taker_buy_volume.tolist() == [750, 750]
    assert half.volume.tolist() == [3000, 3000]
    assert half.taker_buy_quote.sum() == pytest.approx(half.quote_volume.sum() / 4, abs=1)


def test_fine_candles_follow_the_path_within_a_bar() -> None:
    made = recording([RISING])
    candles = History(made).klines(Series.LAST, "5m", ALL, made.end_ms)
    # 100 -> 90 in ten minutes, -> 130 in ten, -> 120 in ten; a candle ends a millisecond before the next one.
    assert [row[1:5] for row in rows_of(candles)] == [
        (100.0, 100.0, 95.0, 95.0),
        (95.0, 95.0, 90.0, 90.0),
        (90.0, 110.0, 90.0, 110.0),
        (110.0, 130.0, 110.0, 130.0),
        (130.0, 130.0, 125.0, 125.0),
        (125.0, 125.0, 120.0, 120.0),
    ]
    assert candles.volume.tolist() == [1000] * 6


FINER = {"30m": ["1m", "3m", "5m", "15m"], "6h": ["1h", "4h"], "1d": ["8h", "12h"], "8h": ["3m", "6h"]}


@given(seed=st.integers(0, 10**6), interval=st.sampled_from(sorted(FINER)), is_recorded=st.booleans())
def test_fine_candles_add_up_to_the_recorded_bars_exactly(seed: int, interval: str, is_recorded: bool) -> None:
    bars = random_bars(4, seed)
    volumes = [float(bar.split()[4]) for bar in bars]
    extras = {
        "quote_volume": [50_000.0 * volume for volume in volumes],
        "trades": [float(int(volume * 100)) for volume in volumes],
        "taker_buy_volume": [int(volume * 300) / 1000 for volume in volumes],
    }
    made = recording(bars, interval, extras=extras if is_recorded else None)
    history = History(made)
    whole = history.klines(Series.LAST, interval, ALL, made.end_ms - 1)
    assert whole.close.tolist() == made.bars["close"].tolist()
    for finer in FINER[interval]:
        parts = history.klines(Series.LAST, finer, ALL, made.end_ms - 1)
        assert [column.sum() for column in parts[5:]] == [column.sum() for column in whole[5:]]
        if INTERVAL_MS[interval] % INTERVAL_MS[finer] == 0:
            count = INTERVAL_MS[interval] // INTERVAL_MS[finer]
            grouped = [column.reshape(-1, count) for column in parts]
            assert np.array_equal(grouped[1][:, 0], whole.open)
            assert np.array_equal(grouped[2].max(axis=1), whole.high)
            assert np.array_equal(grouped[3].min(axis=1), whole.low)
            assert np.array_equal(grouped[4][:, -1], whole.close)
            for ours, theirs in zip(grouped[5:], whole[5:], strict=True):
                assert np.array_equal(ours.sum(axis=1), theirs)
        assert (parts.taker_buy_volume <= parts.volume).all()
        assert min(column.min() for column in parts[5:]) >= 0
        traded = parts.volume > 0
        price = parts.quote_volume[traded] / 1e5 / (parts.volume[traded] / 1e3)
        slack = 0.05 + 0.01  # half a tick, to which the path is rounded; a unit of quote volume over one of volume
        assert (price >= parts.low[traded] - slack).all() or is_recorded
        assert (price <= parts.high[traded] + slack).all() or is_recorded


@pytest.mark.parametrize("interval", ["1m", "5m", "30m"])
def test_long_candles_are_those_of_the_resampled_table(interval: str) -> None:
    length = INTERVAL_MS[interval]
    made = recording(random_bars(9 * 24 * HOUR // length // (1 if length > MINUTE else 4), 3), interval)
    table = pd.DataFrame({"open_time": made.open_time, "volume": made.volume})
    table = table.assign(**{name: made.bars[name] for name in OHLC})
    for coarse, coarse_ms in INTERVAL_MS.items():
        if coarse == "3d" or coarse_ms % length:
            continue
        theirs = resample(table, interval, coarse)
        ours = History(made).klines(Series.LAST, coarse, ALL, made.end_ms - 1)
        for name in ("open_time", *OHLC):
            assert np.array_equal(getattr(ours, name)[: len(theirs)], theirs[name]), (coarse, name)
        assert np.allclose(ours.volume[: len(theirs)] / 1000, theirs["volume"], rtol=0, atol=1e-6)
        assert len(ours.open_time) - len(theirs) == (made.end_ms % coarse_ms != 0 if coarse != "1w" else 1)


def test_long_recordings_are_read_in_blocks(recorded_data: Path) -> None:
    # 73 138 bars of a minute, of which the first 65 536 are the first block.
    store = DataStore.open(recorded_data)
    made = record_folder(store, ["BTCUSDT"], "1m", Period(parse_date("2025-06-01"), None))[0]
    assert len(made.bars) > 65_536
    table = store.klines("BTCUSDT", "1m")
    edge = int(made.open_time[65_536])
    for interval in ("15m", "4h"):
        theirs = resample(table, "1m", interval)
        late = theirs["open_time"] > edge  # of the second block alone
        window = Window(10**9, since_ms=int(theirs["open_time"][late].iloc[0]))
        for ours, wanted in (
            (History(made).klines(Series.LAST, interval, window, made.end_ms - 1), theirs[late]),
            (History(made).klines(Series.LAST, interval, ALL, made.end_ms - 1), theirs),
        ):
            first = int(np.searchsorted(ours.open_time, wanted["open_time"].iloc[0]))
            part = slice(first, first + len(wanted))
            for name in ("open_time", *OHLC):
                assert np.array_equal(getattr(ours, name)[part], wanted[name]), (interval, name)
            assert np.array_equal(ours.volume[part], np.rint(wanted["volume"] * 1000))


def test_a_month_is_made_of_all_its_days() -> None:
    made = recording(random_bars(70, 5), "1d")
    months = History(made).klines(Series.LAST, "1M", ALL, made.end_ms - 1)
    assert months.open_time.tolist() == [parse_date(f"2024-0{month}-01") for month in (1, 2, 3)]
    days = History(made).klines(Series.LAST, "1d", ALL, made.end_ms - 1)
    assert months.volume.tolist() == [part.sum() for part in np.split(days.volume, [31, 60])]
    assert months.high.tolist() == [part.max() for part in np.split(days.high, [31, 60])]


def test_the_forming_candle_has_what_has_happened_and_no_more() -> None:
    made = recording([RISING, FALLING])
    history = History(made)

    def hour(minute: float) -> tuple[float, ...]:
        return rows_of(history.klines(Series.LAST, "1h", ALL, START + int(minute * MINUTE)))[-1][:6]

    assert hour(0) == (START, 100.0, 100.0, 100.0, 100.0, 1)
    assert hour(5) == (START, 100.0, 100.0, 95.0, 95.0, 1001)
    assert hour(20) == (START, 100.0, 130.0, 90.0, 130.0, 4001)
    assert hour(45) == (START, 100.0, 130.0, 90.0, 102.5, 6000 + 1501)  # 125 -> 80 in ten minutes
    # A minute that falls by half a dollar a millisecond: a millisecond before the turn it has not been at the low.
    steep = History(recording(["50000.0 60000.0 40000.0 55000.0 1.000"], "1m"))
    before, at = (rows_of(steep.klines(Series.LAST, "1m", ALL, START + 20_000 - early))[0][1:5] for early in (1, 0))
    assert before == (50_000.0, 50_000.0, 40_000.5, 40_000.5)
    assert at == (50_000.0, 50_000.0, 40_000.0, 40_000.0)


@given(seed=st.integers(0, 10**6), minute=st.integers(0, 6 * 30 - 1), interval=st.sampled_from(INTERVALS))
def test_nothing_of_a_later_bar_shows(seed: int, minute: int, interval: str) -> None:
    bars = random_bars(6, seed)
    now = START + minute * MINUTE
    begun = minute // 30 + 1
    full = recording(bars)
    cut = recording(bars[:begun])
    for series in Series:
        ours = History(full).klines(series, interval, ALL, now)
        assert rows_of(ours) == rows_of(History(cut).klines(series, interval, ALL, now))
        assert ours.open_time[-1] <= now
    assert History(full).fundings(ALL, now) == History(cut).fundings(ALL, now)
    assert rows_of(History(full).day(now, now)[1]) == rows_of(History(cut).day(now, now)[1])


def test_windows_ask_as_the_exchange_understands_them() -> None:
    made = recording(random_bars(10, 1))
    history = History(made)
    now = START + 8 * BAR + 5

    def numbers(window: Window) -> list[int]:
        return [(time - START) // BAR for time in history.klines(Series.LAST, "30m", window, now).open_time.tolist()]

    assert numbers(Window(3)) == [6, 7, 8]
    assert numbers(Window(3, since_ms=START + 1)) == [1, 2, 3]
    assert numbers(Window(3, until_ms=START + 5 * BAR)) == [3, 4, 5]
    assert numbers(Window(3, since_ms=START + BAR, until_ms=START + 2 * BAR)) == [1, 2]
    assert numbers(Window(3, since_ms=START + 8 * BAR)) == [8]
    assert numbers(Window(3, since_ms=START + 9 * BAR)) == []
    assert numbers(Window(3, since_ms=START + 5 * BAR, until_ms=START)) == []
    assert numbers(Window(3, until_ms=START - 1)) == []


@pytest.mark.parametrize("is_recorded", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_what_was_asked_before_changes_no_candle(seed: int, is_recorded: bool) -> None:
    bars = random_bars(30, seed)
    extras = {"trades": [100.0] * 30, "quote_volume": [5e4 * float(bar.split()[4]) for bar in bars]}
    made = recording(bars, "1m", skipped=(9, 10, 17), extras=extras if is_recorded else None)
    asked = History(made)
    random = Random(seed)
    for _ in range(150):
        series, interval = random.choice(list(Series)), random.choice(("1m", "3m", "5m", "15m", "1h"))
        moment, window = random.randrange(START, made.end_ms), Window(random.randint(1, 8))
        found, fresh = (each.klines(series, interval, window, moment) for each in (asked, History(made)))
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(found, fresh, strict=True))


@pytest.mark.parametrize(("interval", "num_reads"), [("1m", 1), ("5m", 1), ("1h", 2)])
def test_a_forming_candle_reads_its_bars_once_however_often_it_is_asked_for(
    interval: str, num_reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recording(random_bars(60, 5), "1m")
    history, reads = History(made), []

    def read(*arguments: Any) -> BarAmounts:
        reads.append(arguments)
        return BarAmounts(*arguments)

    monkeypatch.setattr(candles_module, "BarAmounts", read)
    for elapsed in range(1, 50):
        history.klines(Series.LAST, interval, Window(1), START + 38 * MINUTE + elapsed * 1000)
    assert len(reads) == num_reads  # of an hour also those of the five minutes that are kept, all of them at once


def test_a_hole_has_no_candles_and_a_long_candle_has_both_sides_of_it() -> None:
    made = recording([RISING, FALLING], skipped=[1, 2])
    history = History(made)
    assert history.klines(Series.LAST, "30m", ALL, made.end_ms).open_time.tolist() == [START, START + 3 * BAR]
    assert len(history.klines(Series.LAST, "5m", ALL, made.end_ms).open_time) == 12
    two_hours = rows_of(history.klines(Series.LAST, "2h", ALL, made.end_ms))
    assert [row[:6] for row in two_hours] == [(START, 100.0, 130.0, 80.0, 110.0, 9000)]
    assert history.klines(Series.LAST, "30m", Window(1), START + 2 * BAR).open_time.tolist() == [START]


def test_mark_and_index_and_premium_have_candles_of_samples() -> None:
    made = recording([RISING], marks=["101.0 131.0 91.0 121.0"])
    history = History(made)
    mark = rows_of(history.klines(Series.MARK, "30m", ALL, START + 20 * MINUTE))
    assert mark == [(START, 101.0, 131.0, 91.0, 131.0, 0, 0, 1201, 0, 0)]  # a sample a second has begun
    assert rows_of(history.klines(Series.INDEX, "30m", ALL, START + 20 * MINUTE)) == mark
    premium = rows_of(history.klines(Series.PREMIUM, "30m", ALL, made.end_ms))[0]
    # last / mark - 1: 100/101, 90/91, 130/131, 120/121
    assert premium[1:5] == pytest.approx((-0.00990099, -1 / 131, -1 / 91, -0.00826446), abs=1e-8)


# ---- The market


def market_of(*recordings: Recording, start_ms: int | None = None) -> tuple[Exchange, Replay, Market]:
    exchange = engine_of(*recordings)
    replay = Replay(exchange, recordings, start_ms=start_ms)
    return exchange, replay, Market(exchange, recordings, replay)


def test_a_ticker_has_the_24_hours_before_now() -> None:
    # 30 hourly bars, each one dollar above the last; now is the open of bar 26.
    bars = [f"{100 + n}.0 {102 + n}.0 {99 + n}.0 {101 + n}.0 1.000" for n in range(30)]
    _, replay, market = market_of(made := recording(bars, "1h"))
    replay.advance(START + 26 * HOUR)
    ticker = market.ticker(made.symbol)
    assert (ticker.open_ms, ticker.close_ms) == (START + 2 * HOUR, START + 26 * HOUR)
    assert (ticker.open, ticker.high, ticker.low, ticker.last) == (D(102), D(127), D(101), D(126))
    assert ticker.volume == D("24.001")
    assert (ticker.change, round(ticker.change_percent, 3)) == (D(24), D("23.529"))
    assert ticker.low < ticker.weighted_price < ticker.high
    assert ticker.trades == 24 * 1000 + 1  # as many as steps, being fewer than seconds
    assert ticker.last_id == 26 * 4 + 1


def test_between_corners_history_stands_still_as_the_prices_do() -> None:
    exchange, replay, market = market_of(recording([RISING]))
    replay.advance(START + 15 * MINUTE)  # the path has turned at 90 after ten minutes
    minutes_seen = market.klines("BTCUSDT", Series.LAST, "1m", ALL)
    assert minutes_seen.open_time[-1] == START + 10 * MINUTE
    assert D(repr(float(minutes_seen.close[-1]))) == exchange.quotes["BTCUSDT"].last == market.ticker("BTCUSDT").last


def test_a_ticker_before_the_first_bar_shows_the_past() -> None:
    _, _, market = market_of(recording([RISING, FALLING]), start_ms=START + BAR)
    ticker = market.ticker("BTCUSDT")
    assert (ticker.open, ticker.high, ticker.low, ticker.last) == (D(100), D(130), D(90), D(120))
    _, _, market = market_of(recording([RISING, FALLING]))
    assert market.ticker("BTCUSDT").volume == 0


def test_settled_funding_shows_once_it_is_played() -> None:
    rates = {8 * HOUR: 0.0001, 16 * HOUR: 0.0002, 24 * HOUR: 0.0003, 32 * HOUR: 0.0004}
    made = recording([RISING, FALLING], "1d", fundings=rates)
    _, replay, market = market_of(made)

    def settled(window: Window = ALL) -> list[Decimal]:
        return [each.rate for each in market.fundings(made.symbol, window)]

    replay.advance(START + 23 * HOUR)
    assert settled() == [D(0)]  # at START, assumed
    replay.advance(START + 24 * HOUR - 1)
    assert settled() == [D(0), D("0.0001"), D("0.0002")]
    replay.advance(START + 24 * HOUR)
    assert settled() == [D(0), D("0.0001"), D("0.0002"), D("0.0003")]
    assert settled(Window(2)) == [D("0.0002"), D("0.0003")]
    assert settled(Window(2, since_ms=START + 1)) == [D("0.0001"), D("0.0002")]
    assert settled(Window(2, until_ms=START + 16 * HOUR)) == [D("0.0001"), D("0.0002")]


def test_the_book_has_one_level_where_the_replay_fills() -> None:
    exchange, replay, market = market_of(recording([RISING, "120.0 120.0 120.0 120.0 0.000"]))
    assert market.book("BTCUSDT") == ([], [])  # nothing has opened
    replay.step()
    # Half a spread of 0.0001 around 100, on the tick of 0.1 against the trader.
    assert market.book("BTCUSDT") == ([(D("99.9"), D(1000))], [(D("100.1"), D(1000))])
    exchange.quotes["BTCUSDT"].available = D("0.5")
    assert market.book("BTCUSDT").bids == [(D("99.9"), D("0.5"))]
    exchange.quotes["BTCUSDT"].available = D(0)
    assert market.book("BTCUSDT") == ([], [])
    exchange.quotes["BTCUSDT"].available = None
    replay.advance(START + BAR)
    assert market.book("BTCUSDT") == ([], [])  # a bar without volume fills nothing
