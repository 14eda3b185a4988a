"""An exchange that changes how often funding is settled: noticed when it announces so, and no bar is left undecided."""

from dataclasses import replace

import numpy as np
import pytest

from rl_trader.bars import MS_PER_HOUR
from rl_trader.contract import load_terms
from rl_trader.funding import funding_holes
from rl_trader.live.streams.funding_interval import FUNDING_INFO, terms_between, terms_told
from rl_trader.live.streams.market_news import BarLate, Call, IntervalChanged
from rl_trader.market import build_market
from tests.live_feed_stage import BAR, START, FeedStage

TERMS = load_terms("BTCUSDT")  # every eight hours


def hours_after(time: int) -> float:
    return (time - START) / MS_PER_HOUR


def stage_of(before: int, after: int) -> FeedStage:
    """Return a feed of an exchange that settles funding at another interval from START on."""
    stage = FeedStage()
    stage.feed.series.change_terms(replace(TERMS, funding_interval_hours=before))
    stage.hours = after
    stage.settles = lambda hour: hour % ((before if hour <= START else after) * MS_PER_HOUR) == 0
    return stage


def live(stage: FeedStage, num_hours: int, after: int) -> None:
    """Let hours pass in which bars close and the stream announces when funding is settled next."""
    for half in range(2 * num_hours):
        for second in (1, 600, 1_799):
            stage.time = START + half * BAR + second * 1_000
            due = START + (int(hours_after(stage.time)) // after + 1) * after * MS_PER_HOUR
            stage.mark(due=due)
            stage.serve()
        stage.time = START + (half + 1) * BAR + 600
        stage.close(START + half * BAR)
        stage.mark(due=START + (int(hours_after(stage.time)) // after + 1) * after * MS_PER_HOUR)
        stage.go(stage.time + 600)
        stage.serve()


@pytest.mark.parametrize(("before", "after"), [(8, 4), (4, 8), (8, 1), (1, 8)])
def test_where_the_interval_of_funding_changes_every_bar_is_decided_upon(before: int, after: int) -> None:
    stage = stage_of(before, after)
    stage.time = START + 1
    stage.note(stage.feed.connect(stage.now))
    live(stage, 40, after)
    assert [event for event in stage.events if isinstance(event, IntervalChanged)] == [
        IntervalChanged("BTCUSDT", after, before)
    ]
    assert stage.feed.series.needs.terms.funding_interval_hours == after
    judged = stage.judged()
    assert [number for _, number in judged][-79:] == list(range(1, 80))
    assert not [event for event in stage.events if isinstance(event, BarLate) and event.open_time >= START]
    # A settlement that is due and not told is waited for.
    assert after == 8 or stage.feed.series.newest_settlement == START + 40 * MS_PER_HOUR


def test_a_settlement_that_is_due_by_the_new_interval_is_waited_for() -> None:
    stage = stage_of(8, 4)
    stage.missing = {START + 4 * MS_PER_HOUR}
    stage.time = START + 1
    stage.note(stage.feed.connect(stage.now))
    live(stage, 5, 4)
    assert ("BarReady", 7) in stage.judged()
    assert ("BarLate", 8) in stage.judged()  # the bar that opens at 04:00


def test_a_bar_that_is_over_when_the_interval_changes_can_still_be_observed() -> None:
    stage = stage_of(8, 1)
    stage.time = START + 1
    stage.note(stage.feed.connect(stage.now))
    live(stage, 1, 1)
    assert stage.feed.series.needs.terms.funding_interval_hours == 1
    market = build_market([stage.feed.series.tables(START)], "30m", played_from=START)
    assert market.bars["open_time"][-1] == START - BAR
    assert stage.feed.series.newest_settlement == START + MS_PER_HOUR


def test_an_interval_that_grows_before_the_next_settlement_holds_up_no_bar() -> None:
    stage = stage_of(4, 8)
    stage.time = START + 1
    stage.note(stage.feed.connect(stage.now))
    live(stage, 1, 4)  # 04:00 is announced at first
    stage.events.clear()
    for half in range(2, 12):
        stage.time = START + half * BAR + 1_000
        stage.mark(due=START + 8 * MS_PER_HOUR)
        stage.serve()
        stage.time = START + (half + 1) * BAR + 600
        stage.close(START + half * BAR)
        stage.mark(due=START + 8 * MS_PER_HOUR)
        stage.go(stage.time + 600)
        stage.serve()
    assert ("BarLate", 9) not in stage.judged()
    assert [number for kind, number in stage.judged() if kind == "BarReady"] == list(range(2, 12))


def test_the_interval_is_asked_for_where_it_is_doubted_and_not_otherwise() -> None:
    stage = stage_of(8, 8)
    stage.time = START + 1
    stage.note(stage.feed.connect(stage.now))
    live(stage, 7, 8)
    assert Call(FUNDING_INFO) not in stage.calls
    stage.mark(due=START + 12 * MS_PER_HOUR)
    assert Call(FUNDING_INFO) in stage.wants()
    assert stage.feed.fail(Call(FUNDING_INFO), stage.now) == []
    assert Call(FUNDING_INFO) not in stage.wants()
    stage.go(stage.time + 300)
    assert Call(FUNDING_INFO) in stage.wants()
    assert stage.feed.answer(Call(FUNDING_INFO), "no list", stage.now) == []
    assert stage.feed.series.needs.terms.funding_interval_hours == 8


@pytest.mark.parametrize(
    ("data", "hours"),
    [
        ([{"symbol": "ETHUSDT", "fundingIntervalHours": 1}, {"symbol": "BTCUSDT", "fundingIntervalHours": 4}], 4),
        ([{"symbol": "ETHUSDT", "fundingIntervalHours": 1}], 8),  # what is not listed is as usual
        ([{"symbol": "BTCUSDT", "fundingIntervalHours": "4"}], None),
        ([{"symbol": "BTCUSDT", "fundingIntervalHours": 0}], None),
        ([{"symbol": "BTCUSDT", "fundingIntervalHours": 25}], None),
        ([{"symbol": "BTCUSDT"}], None),
        ({}, None),
    ],
)
def test_the_interval_is_read_from_the_exchanges_answer(data: object, hours: int | None) -> None:
    told = terms_told(TERMS, data)
    assert (told and told.funding_interval_hours) == hours


@pytest.mark.parametrize(("apart", "hours"), [(4.0, 4), (8.0, 8), (1.0, 1), (9.0, 8), (0.5, 8), (-4.0, 8)])
def test_two_settlements_tell_the_interval(apart: float, hours: int) -> None:
    assert terms_between(TERMS, START, START + int(apart * MS_PER_HOUR)).funding_interval_hours == hours


def test_longer_spacings_in_the_end_are_no_holes_where_they_are_the_contracts() -> None:
    hours = np.array([*range(0, 44, 4), 48, 56]) * MS_PER_HOUR
    assert funding_holes(hours) == [(40 * MS_PER_HOUR, 48 * MS_PER_HOUR, 1), (48 * MS_PER_HOUR, 56 * MS_PER_HOUR, 1)]
    assert funding_holes(hours, 8 * MS_PER_HOUR) == []
    assert funding_holes(hours, 4 * MS_PER_HOUR) == funding_holes(hours)
    later = np.array([*range(0, 48, 4), 52, 56]) * MS_PER_HOUR  # every four hours again
    assert funding_holes(later, 8 * MS_PER_HOUR) == [(44 * MS_PER_HOUR, 52 * MS_PER_HOUR, 1)]
