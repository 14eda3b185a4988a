"""The feed without sockets: every transition, in the order of a bar's life."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.bars import MS_PER_HOUR
from rl_trader.download.archive import Kind
from rl_trader.live.streams.market_feed import FeedLimits
from rl_trader.live.streams.market_news import (
    Alive,
    BarLate,
    BarReady,
    BarRevised,
    Call,
    DataRefused,
    KlineNews,
    Settled,
    Stale,
    Unreadable,
)
from rl_trader.live.streams.stamps import Lag, StampClock
from tests.live_feed_stage import BAR, START, FeedStage, candle

END = START + BAR  # of the first bar
SECOND = 1_000


# ---- The exchange's time


def test_the_first_stamp_counts_once_a_second_one_has_come() -> None:
    clock = StampClock(leap_ms=60_000)
    assert not clock.note(1_000, 0)
    assert clock.newest_ms is None
    assert clock.note(2_000, 0)
    assert clock.newest_ms == 1_000  # the earlier one is certain


@pytest.mark.parametrize("wrong_first", [True, False])
def test_one_wrong_stamp_never_counts(wrong_first: bool) -> None:
    clock, far = StampClock(leap_ms=60_000), 4_000_000_000_000
    stamps = [far, 1_000, 2_000] if wrong_first else [1_000, far, 2_000]
    for stamp in stamps:
        clock.note(stamp, 0)
    assert clock.newest_ms in (1_000, 2_000)
    assert clock.note(3_000, 0)
    assert not clock.note(far, 0)
    assert clock.note(4_000, 0)
    assert not clock.note(far, 0)
    assert clock.newest_ms == 4_000


def test_a_market_that_leaps_is_followed_once_two_stamps_say_so() -> None:
    clock = StampClock(leap_ms=60_000)
    clock.note(1_000, 0)
    clock.note(1_000, 0)
    assert not clock.note(500_000, 10)
    assert clock.note(501_000, 20)
    assert (clock.newest_ms, clock.estimate(25)) == (500_000, 500_005)


def test_a_time_that_was_asked_for_and_stands_still_is_believed() -> None:
    clock = StampClock(leap_ms=60_000)
    clock.note(1_000, 0)
    clock.note(1_000, 0)
    assert clock.estimate(10_000) == 11_000
    assert not clock.confirm(1_000, 10_000)
    assert clock.estimate(10_000) == 1_000


def test_lag_is_what_exceeds_the_shortest_way_of_the_last_minutes() -> None:
    lag = Lag()
    assert lag.note(1_000, 5_100) == 0
    assert lag.note(2_000, 6_150) == 50
    assert lag.note(3_000, 7_050) == 0
    # Two clocks that drift apart: after ten minutes the old shortest way is forgotten.
    assert lag.note(303_000, 308_000) == 950
    assert lag.note(903_000, 909_000) == 0


# ---- Beginning


def test_the_time_is_asked_for_before_anything_else() -> None:
    stage = FeedStage()
    stage.feed.connect(stage.now)
    assert stage.wants() == [Call("time")]
    assert stage.wants() == []  # it is on its way
    stage.feed.answer(Call("time"), {"serverTime": START}, stage.now)
    stage.go(START + 250)
    assert stage.wants() == [Call("time")]
    stage.feed.answer(Call("time"), {"serverTime": START + 250}, stage.now)
    series = {call.series.kind for call in stage.wants() if call.series}
    assert series == {Kind.KLINES, Kind.MARK_PRICE, Kind.FUNDING_RATE}


def test_only_bars_are_asked_for_that_are_over_for_certain() -> None:
    stage = FeedStage()
    stage.time = END + 5  # local clocks may say so; the stamps do not yet
    stage.feed.connect(stage.now)
    stage.mark(END - 20)
    stage.mark(END - 10)
    calls = {call.name: call.params for call in stage.wants()}
    assert calls["klines"] == {
        "symbol": "BTCUSDT",
        "interval": "30m",
        "startTime": START - 3 * BAR,
        "endTime": START - 1,
        "limit": 3,
    }
    assert calls["mark_klines"] == calls["klines"]
    assert calls["funding_rates"]["limit"] == 1_000


def test_a_long_window_is_fetched_in_pages_and_is_not_decided_upon_until_it_is_whole() -> None:
    stage = FeedStage(num_bars=2_500)
    stage.begin()
    series = stage.feed.series
    assert len(series.tables(stage.time).klines) == 2_500
    assert series.bar(START - 2_501 * BAR) is None


def test_the_bar_that_was_over_when_following_began_is_not_decided_upon() -> None:
    stage = FeedStage()
    stage.begin(before_end_ms=BAR - 3_000)  # three seconds after the end of the bar before
    assert stage.judged() == []
    stage.time = END
    stage.close(START)
    stage.time = END + 600
    stage.mark()
    stage.serve()
    assert stage.judged() == [("BarReady", 0)]


def test_funding_of_many_years_is_fetched_in_pages() -> None:
    stage = FeedStage(num_bars=400, interval="1d", marks=("1d",))
    stage.begin()
    funding = stage.feed.series.tables(stage.time).funding
    assert funding is not None
    assert len(funding) == 406 * 3 + 1  # 400 days and six more, thrice a day, and the one at the end


# ---- A bar's end


def test_a_bar_is_ready_once_the_stream_has_told_it_and_its_mark_price_was_fetched() -> None:
    stage = FeedStage()
    stage.begin()
    stage.time = END + 100
    assert stage.close(START) == []
    assert stage.wants() == []  # the mark price is asked for half a second after the end
    stage.go(END + 599)  # the frame was on its way for a tenth of a second
    assert stage.wants() == []
    stage.go(END + 600)
    calls = stage.wants()
    assert [(call.name, call.since_ms, call.until_ms) for call in calls] == [("mark_klines", START, END)]
    (event,) = stage.feed.answer(calls[0], stage.truth(calls[0]), stage.now)
    assert isinstance(event, BarReady)
    assert (event.open_time, event.bar["close"]) == (START, "50010.5")
    assert event.next_funding_ms == START + 8 * MS_PER_HOUR
    assert stage.feed.series.is_ready(END)


def test_a_run_that_takes_the_last_price_for_the_mark_price_asks_for_no_mark_price() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.time = END + 50
    assert [type(event) for event in stage.close(START)] == [BarReady]


def test_a_mark_price_in_longer_bars_is_fetched_before_the_bar_ends() -> None:
    stage = FeedStage(marks=("1h",))
    stage.begin()
    stage.time = END
    assert [type(event) for event in stage.close(START)] == [BarReady]
    # The hour's candle is of the first bar, and known since it began.
    stage.go(END + 1)
    stage.mark(END + 1)
    assert stage.serve() == []
    stage.time = END + BAR
    stage.close(END)
    assert stage.judged() == [("BarReady", 0), ("BarReady", 1)]
    assert [call.since_ms for call in stage.calls if call.name == "mark_klines"] == []


def test_a_mark_price_that_is_not_there_yet_is_asked_for_again_and_again_with_pauses() -> None:
    stage = FeedStage()
    stage.begin()
    stage.time = END + 500
    stage.close(START, stamp=stage.time)
    stage.missing.add(START)  # REST does not have the candle of the mark price
    asked = []
    for passed in range(500, 20_000, 50):
        stage.go(END + passed)
        if any(call.name == "mark_klines" and not call.is_audit for call in stage.wants()):
            asked.append(passed)
            call = next(call for call in stage.calls[::-1] if call.name == "mark_klines")
            stage.note(stage.feed.answer(call, [], stage.now))
        for call in [call for call in stage.calls if call.is_audit]:
            stage.calls.remove(call)
            stage.note(stage.feed.answer(call, [], stage.now))
    # Pauses of 250 ms, and twice as long each time.
    assert asked == [500, 750, 1_250, 2_250, 4_250, 8_250, 16_250]


def test_a_bar_that_the_stream_does_not_tell_is_fetched_after_two_seconds_and_decided_upon() -> None:
    stage = FeedStage()
    stage.begin()
    stage.time = END + 200
    stage.mark()
    stage.go(END + 600)
    stage.serve()
    assert {call.name for call in stage.calls} == {"mark_klines"}
    stage.go(END + 1_999)
    assert stage.serve() == []
    stage.go(END + 2_000)
    assert [type(event) for event in stage.serve()] == [BarReady]
    assert stage.calls[-1].name == "klines"


def test_a_bar_that_does_not_come_for_twenty_seconds_is_skipped_and_still_fetched() -> None:
    stage = FeedStage()
    stage.begin()
    stage.refuses = lambda call: call.name == "klines"
    for passed in range(0, 22_000, SECOND):
        stage.go(END + passed)
        stage.mark()
        stage.serve()
    assert stage.judged() == [("BarLate", 0)]
    (late,) = [event for event in stage.events if isinstance(event, BarLate)]
    assert late.reason == "missing klines_30m from 2024-01-01T00:00Z until 2024-01-01T00:30Z"
    assert not stage.feed.series.is_ready(END)
    stage.refuses = lambda call: False
    stage.go(END + 60_000)
    stage.serve()
    assert stage.feed.series.is_ready(END)
    assert stage.judged() == [("BarLate", 0)]  # it is not decided upon any more


@pytest.mark.parametrize(("passed", "said"), [(19_999, "BarReady"), (20_001, "BarLate")])
def test_a_bar_that_comes_late_is_decided_upon_until_twenty_seconds_have_passed(passed: int, said: str) -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.refuses = lambda call: True
    stage.go(END + passed)
    stage.close(START, stamp=END + passed)
    assert stage.judged() == [(said, 0)]


def test_every_bar_is_judged_once_and_in_order_while_everything_is_down() -> None:
    stage = FeedStage()
    stage.begin()
    stage.note(stage.feed.disconnect(stage.now))
    stage.refuses = lambda call: True
    for passed in range(0, 4 * BAR, 10_000):
        stage.go(END + passed)
        stage.serve()
    assert stage.judged() == [("BarLate", i) for i in range(4)]
    # It comes back in the middle of a bar: what was missed is fetched, and the next bar is decided upon.
    stage.refuses = lambda call: False
    stage.time = END + 4 * BAR + BAR // 2
    stage.note(stage.feed.connect(stage.now))
    stage.mark()
    stage.serve()
    stage.time = END + 5 * BAR
    stage.close(START + 5 * BAR)
    stage.go(END + 5 * BAR + 500)
    stage.serve()
    assert stage.judged()[4:] == [("BarLate", 4), ("BarReady", 5)]


def test_a_bar_that_ended_while_nothing_was_connected_is_fetched_at_once_and_decided_upon() -> None:
    stage = FeedStage()
    stage.begin()
    stage.note(stage.feed.disconnect(stage.now))
    stage.time = END + 3_000
    stage.note(stage.feed.connect(stage.now))
    stage.mark()
    assert [type(event) for event in stage.serve()] == [BarReady]


def test_the_time_is_asked_for_while_the_streams_tell_none_so_that_bars_are_still_fetched() -> None:
    stage = FeedStage()
    stage.begin()
    stage.note(stage.feed.disconnect(stage.now))
    stage.go(END + 4_000)
    stage.serve()
    assert stage.judged() == [("BarReady", 0)]
    assert [call.name for call in stage.calls][:3] == ["time", "klines", "mark_klines"]


def test_a_hole_that_the_exchange_has_no_bar_for_is_never_filled() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.missing.add(START)
    for number in range(5):
        end = END + number * BAR
        stage.time = end
        if number:
            stage.close(end - BAR)
        for passed in range(0, 40_000, SECOND):
            stage.go(end + passed)
            stage.mark()
            stage.serve()
    # The window has three bars: it has passed the hole with the third bar behind it.
    assert stage.judged() == [("BarLate", 0), ("BarLate", 1), ("BarLate", 2), ("BarReady", 3), ("BarReady", 4)]


# ---- Whatever is wrong with a frame


@pytest.mark.parametrize(
    "changes",
    [
        {"close": "nan"},
        {"high": "1"},
        {"volume": "-3"},
        {"open_time": START - BAR},
        {"open_time": START + BAR},
        {"open_time": "x"},
        {"close_time": START},
    ],
)
def test_a_corrupt_candle_is_told_and_fetched_instead(changes: dict[str, Any]) -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.time = END + 10
    events = stage.close(START, stamp=END + 10, **changes)
    assert [type(event) for event in events] == [DataRefused]
    stage.go(END + 2_000)
    stage.mark()
    stage.serve()
    assert stage.judged() == [("BarReady", 0)]
    assert stage.events[-1].bar["close"] == "50010.5"  # type: ignore[union-attr]


def test_a_candle_that_is_said_to_be_over_before_its_end_is_refused() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    (event,) = stage.close(START, stamp=END - 1_001)
    assert isinstance(event, DataRefused)
    assert "must have ended before the time of its frame" in event.reason
    assert stage.feed.series.bar(START) is None


def test_a_stamp_from_the_far_future_moves_nothing() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.mark(START + 1_000 * BAR)
    stage.note(stage.feed.receive(KlineNews("BTCUSDT", END - 900, "30m", False, ()), stage.now))
    stage.close(START, stamp=START + 3_000 * BAR)
    assert stage.judged() == []
    assert [call.name for call in stage.wants()] == []
    stage.time = END
    stage.close(START)
    assert stage.judged() == [("BarReady", 0)]


def test_other_symbols_and_intervals_and_bars_that_form_are_left_alone() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.time = END
    row = tuple(candle(START))
    for news in (
        KlineNews("ETHUSDT", END, "30m", True, row),
        KlineNews("BTCUSDT", END, "1h", True, row),
        KlineNews("BTCUSDT", END, "30m", False, row),
    ):
        assert stage.feed.receive(news, stage.now) == []
    assert stage.feed.series.bar(START) is None


def test_a_frame_that_cannot_be_read_is_told() -> None:
    stage = FeedStage()
    stage.begin()
    assert stage.note(stage.feed.receive(Unreadable("why"), stage.now)) == [DataRefused("BTCUSDT", "why")]


@pytest.mark.parametrize("answer", [None, {"code": -1}, "x"])
def test_an_answer_of_another_form_is_told_and_the_call_is_made_again(answer: Any) -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.go(END + 2_000)
    stage.mark()
    (call,) = stage.wants()
    (event,) = stage.feed.answer(call, answer, stage.now)
    assert isinstance(event, DataRefused)
    assert stage.wants() == []
    stage.go(END + 2_250)
    assert [again.name for again in stage.wants()] == ["klines"]


def test_rows_that_were_not_asked_for_do_not_get_in() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.go(END + 2_000)
    stage.mark()
    (call,) = stage.wants()
    rows = [candle(START + BAR), candle(START - 50 * BAR), None, [], ["x"], candle(START)]
    events = stage.note(stage.feed.answer(call, rows, stage.now))
    assert [type(event) for event in events] == [DataRefused, BarReady]
    assert "(5 rows in all)" in events[0].reason  # type: ignore[union-attr]
    assert stage.feed.series.bar(START + BAR) is None


@given(st.permutations([0, 1, 2, 3, 0, 1, 2, 3]), st.integers(0, 3))
def test_any_order_and_repetition_of_frames_gives_one_verdict_a_bar(order: list[int], drop: int) -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.time = END + 3 * BAR
    for number in order:
        if number != drop:
            stage.close(START + number * BAR, stamp=stage.time)
    stage.mark()
    stage.go(stage.time + 2_000)
    stage.serve()
    assert [number for _, number in stage.judged()] == [0, 1, 2, 3]
    assert stage.judged()[3] == ("BarReady", 3)
    assert all(stage.feed.series.bar(START + number * BAR) for number in range(4))


# ---- Audits


def test_a_bar_is_held_against_what_rest_says_five_seconds_and_an_hour_after_its_end() -> None:
    stage = FeedStage()
    stage.begin()
    stage.time = END
    stage.close(START)
    audits = []
    for passed in range(0, MS_PER_HOUR + 20_000, 500):
        stage.time = END + passed
        if passed and passed % BAR == 0:
            stage.close(END + passed - BAR)
        stage.mark()
        before = len(stage.calls)
        stage.serve()
        audits += [(passed, call.name) for call in stage.calls[before:] if call.is_audit and call.since_ms == START]
    assert audits == [(5_000, "klines"), (5_000, "mark_klines"), (MS_PER_HOUR, "klines"), (MS_PER_HOUR, "mark_klines")]
    assert not [event for event in stage.events if isinstance(event, BarRevised)]


def test_a_bar_that_rest_has_with_other_numbers_is_told_and_the_first_ones_stay() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.time = END
    stage.close(START)
    stage.changes[START] = {"close": "50020"}
    stage.go(END + 5_000)
    events = stage.serve()
    assert [(type(event), event.time_ms) for event in events if isinstance(event, BarRevised)] == [(BarRevised, START)]
    assert stage.feed.series.bar(START)["close"] == "50010.5"  # type: ignore[index]


def test_a_bar_that_the_stream_tells_again_with_other_numbers_is_told() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.time = END
    stage.close(START)
    stage.time = END + 1_000
    (event,) = stage.close(START, stamp=stage.time, close="50020")
    assert isinstance(event, BarRevised)


def test_an_audit_that_is_not_answered_is_made_again() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    stage.time = END
    stage.close(START)
    stage.refuses = lambda call: True
    stage.go(END + 5_000)
    stage.serve()
    stage.refuses = lambda call: False
    stage.go(END + 6_000)
    stage.changes[START] = {"close": "50020"}
    assert [type(event) for event in stage.serve()] == [BarRevised]


# ---- Funding


def test_funding_is_asked_for_when_its_time_has_passed() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    due = START + 8 * MS_PER_HOUR
    for number in range(15):
        stage.time = END + number * BAR
        stage.close(START + number * BAR)
        stage.mark()
        stage.serve()
    stage.calls.clear()
    stage.missing.add(due)  # not published yet
    stage.time = due
    stage.close(due - BAR)
    stage.mark()
    stage.serve()
    assert [call.name for call in stage.calls if not call.is_audit] == ["funding_rates"]
    assert stage.judged()[-1] == ("BarReady", 15)  # the bar that ends then does not wait for it
    stage.missing.clear()
    stage.go(due + 1_000)
    stage.mark()
    assert Settled("BTCUSDT", due) in stage.serve()


def test_a_bar_waits_for_the_funding_that_was_settled_when_it_opened() -> None:
    stage = FeedStage(marks=(), num_bars=1)
    due = START + 8 * MS_PER_HOUR
    stage.begin(number=15)
    stage.missing.add(due)
    stage.time = due
    stage.close(due - BAR)
    stage.time = due + BAR
    stage.close(due)
    stage.mark()
    stage.serve()
    assert stage.judged()[-1] == ("BarReady", 15)
    stage.missing.clear()
    stage.go(due + BAR + 3_000)
    stage.serve()
    assert stage.judged()[-1] == ("BarReady", 16)


def test_a_settlement_that_only_the_stream_announces_is_asked_for_and_holds_up_nothing() -> None:
    stage = FeedStage(marks=())
    stage.begin()
    one = START + MS_PER_HOUR  # the exchange has shortened the interval, the terms do not say so yet
    stage.mark(END - 1_000, due=one)
    stage.missing.add(one)
    for number in range(3):
        stage.time = END + number * BAR
        stage.close(START + number * BAR)
        stage.mark(due=one if stage.time < one else one + MS_PER_HOUR)
        stage.serve()
    assert stage.judged() == [("BarReady", i) for i in range(3)]
    spans = {(call.since_ms, call.until_ms) for call in stage.calls if call.name == "funding_rates"}
    assert spans == {(one, one + 1)}


def test_the_next_settlement_is_the_one_that_was_announced_before_the_bars_end() -> None:
    stage = FeedStage(marks=(), num_bars=1)
    due = START + 8 * MS_PER_HOUR
    stage.begin(number=15)
    stage.time = due + 200
    stage.mark()  # announces the one after it
    (ready,) = stage.close(due - BAR, stamp=due + 200)
    assert isinstance(ready, BarReady)
    assert ready.next_funding_ms == due


# ---- The heartbeat


def test_prices_that_come_are_alive_and_four_and_a_half_seconds_without_one_are_stale() -> None:
    stage = FeedStage()
    stage.time = START + 1_000
    stage.note(stage.feed.connect(stage.now))
    assert not stage.feed.is_alive
    stage.mark()
    assert stage.events == []  # one stamp alone is not believed
    stage.time += 1_000
    stage.mark()
    assert stage.events == [Alive("BTCUSDT", "50005.5")]
    assert stage.go(START + 6_500) == []
    assert stage.go(START + 6_501) == [Stale("BTCUSDT")]
    assert stage.go(START + 9_000) == []
    stage.note(stage.feed.receive(KlineNews("BTCUSDT", stage.time, "30m", False, ()), stage.now))
    assert not stage.feed.is_alive  # candles are no sign that the mark price is fresh
    assert stage.mark() == [Alive("BTCUSDT", "50005.5")]


def test_a_mark_price_that_comes_again_or_out_of_order_is_no_sign_of_life() -> None:
    stage = FeedStage()
    stage.begin()
    last = stage.time
    for passed in (2_000, 4_000):
        stage.time = last + passed
        stage.mark(last)
        stage.mark(last - 1_000)
    assert stage.go(last + 4_501) == [Stale("BTCUSDT")]


def test_mark_prices_that_come_late_are_as_old_as_they_are_late() -> None:
    stage = FeedStage()
    stage.begin()
    begun = stage.time
    for second in range(1, 30):
        stage.time = begun + second * SECOND
        delay = 0 if second < 10 else 6_000
        stage.mark(stage.time - delay)
    assert Stale("BTCUSDT") in stage.events
    assert not stage.feed.is_alive
    assert stage.feed.mark is not None
    assert stage.feed.mark.stamp_ms == stage.time - 6_000


def test_limits_can_be_others() -> None:
    stage = FeedStage(limits=FeedLimits(stale_ms=100, late_ms=1_000, audits_ms=()), marks=())
    stage.begin()
    last = stage.time
    assert stage.go(last + 101) == [Stale("BTCUSDT")]
    stage.go(END + 1_001)
    assert stage.judged() == [("BarLate", 0)]
