"""What must be known before an order counts as absent, how long it is looked after, and what a standstill means."""

from dataclasses import replace
from decimal import Decimal

import pytest

from rl_trader.live.core.answering import SKEW_MS, sought
from rl_trader.live.core.commands import Decide, Query, ReadAccount, SetTimer
from rl_trader.live.core.events import OrderSeen, Queried, Sending, Started, Suspended, TimerFired
from rl_trader.live.core.fencing import RECV_WINDOW_MS, fence_ms
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.tombstones import AGAIN_MS
from rl_trader.live.core.words import IntentState
from rl_trader.live.pulse import EVERY_MS, STILL_MS, Pulse
from tests.rehearsal_stage import ORDER, Play, on
from tests.test_live_core import Desk, places

D = Decimal
MINUTE_MS = 60_000


def doubted(desk: Desk) -> Intent:
    """Return an order of which nobody knows, past its fence, that three questions have not found."""
    desk.begin()
    order = desk.order(open_="0.01")
    desk.send(order)
    desk.answer(order, "UNKNOWN")
    for _ in range(3):
        desk.do(Queried(t_ms=desk.now, client_id=order.client_id, is_absent=True))
    desk.now += 31_000
    desk.do(TimerFired(t_ms=desk.now, name=f"query {order.client_id}"))
    return order


def buried(desk: Desk) -> Intent:
    """Return an order that counts as never accepted."""
    order = doubted(desk)
    commands = desk.read(searched=(order.client_id,))
    assert desk.state.intents[order.client_id].state is IntentState.ABSENT
    assert SetTimer(f"tombstone {order.client_id}", AGAIN_MS[0]) in commands
    return order


def test_an_order_is_looked_for_among_all_of_its_time_and_found_there() -> None:
    desk = Desk()
    order = doubted(desk)
    sent = desk.state.intents[order.client_id]
    assert sought(desk.state) == [(order.client_id, sent.sent_ms - SKEW_MS, sent.fence_ms + SKEW_MS)]
    listed = OrderSeen(t_ms=desk.now, client_id=order.client_id, order_id=7, status="CANCELED", executed=D(0))
    desk.read(listed=(listed,), searched=(order.client_id,))
    assert desk.state.intents[order.client_id].state is IntentState.ENDED
    assert sought(desk.state) == []
    assert not desk.state.is_stopped


def test_an_absent_order_is_asked_for_again_for_a_day_also_after_a_start() -> None:
    desk = Desk()
    order = buried(desk)
    since, asked = desk.now, []
    due: int | None = since + AGAIN_MS[0]
    while due is not None:
        desk.now = due
        commands = desk.do(TimerFired(t_ms=desk.now, name=f"tombstone {order.client_id}"))
        assert commands[0] == Query(order.client_id, is_conditional=False)
        asked.append(desk.now - since)
        waits = [c.after_ms for c in commands if isinstance(c, SetTimer)]
        due = desk.now + waits[0] if waits else None
        if len(asked) == 2:
            desk.now += 2 * MINUTE_MS
            commands = desk.do(Started(t_ms=desk.now, epoch=2))
            assert SetTimer(f"tombstone {order.client_id}", since + AGAIN_MS[2] - desk.now) in commands
    assert asked == [minutes * MINUTE_MS for minutes in (1, 5, 15, 60, 24 * 60)]
    assert desk.state.tombstones == {}


def test_an_absent_order_that_is_found_after_hours_ends_the_entries() -> None:
    desk = Desk()
    order = buried(desk)
    desk.now += 60 * MINUTE_MS
    found = OrderSeen(t_ms=desk.now, client_id=order.client_id, order_id=7, status="FILLED", executed=D("0.01"))
    desk.do(found)
    assert "counted as never accepted, and the exchange has it" in desk.state.stop_reason


def test_an_order_that_was_planned_when_the_process_ended_has_the_whole_fence() -> None:
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    planned = desk.now
    desk.now += 500
    desk.do(Started(t_ms=desk.now, epoch=2))
    intent = desk.state.intents[order.client_id]
    assert intent.state is IntentState.UNKNOWN
    assert intent.fence_ms == fence_ms(desk.now) == desk.now + RECV_WINDOW_MS + 15_000
    assert intent.planned_ms == planned


def test_after_a_standstill_nothing_goes_before_the_account_is_read() -> None:
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    commands = desk.do(Suspended(t_ms=desk.now, gap_ms=3_000))
    assert any(isinstance(command, ReadAccount) for command in commands)
    desk.do(Sending(t_ms=desk.now, client_id=order.client_id, fence_ms=desk.now + 18_000))
    assert desk.state.intents[order.client_id].state is IntentState.REJECTED
    assert not any(isinstance(command, Decide) for command in desk.close_bar())
    desk.state.is_market_alive = True
    desk.read()
    assert any(isinstance(command, Decide) for command in desk.close_bar())


def test_a_standstill_voids_a_decision_that_is_being_made_and_a_leg_that_waits() -> None:
    desk = Desk()
    desk.begin("0.01")
    desk.close_bar()
    desk.do(Suspended(t_ms=desk.now, gap_ms=3_000))
    assert places(desk.decide(reduce="-0.01")) == []
    desk.read("0.01")
    desk.close_bar()
    (leg,) = places(desk.decide(reduce="-0.01", open_="-0.01"))
    assert len(desk.state.waiting) == 1
    desk.do(Suspended(t_ms=desk.now, gap_ms=3_000))
    assert desk.state.waiting == []
    desk.send(leg)  # it can only reduce
    assert desk.state.intents[leg.client_id].state is IntentState.SENT


def test_a_reading_that_ended_before_the_standstill_does_not_count() -> None:
    desk = Desk()
    desk.begin()
    desk.now += 10_000
    desk.do(Suspended(t_ms=desk.now, gap_ms=9_000))
    desk.now -= 9_500
    desk.read()
    assert not desk.state.is_reconciled
    desk.now += 9_500
    desk.read()
    assert desk.state.is_reconciled


@pytest.mark.parametrize(("still_ms", "told_ms"), [(STILL_MS + EVERY_MS, 0), (STILL_MS + EVERY_MS + 1, 2_251)])
def test_a_process_that_stood_still_knows_it_before_it_does_anything(still_ms: int, told_ms: int) -> None:
    now = 0
    pulse = Pulse(lambda: now)
    now = 10**6
    assert pulse.take_gap_ms() == 0  # it has not begun
    pulse.beat()
    now += still_ms
    assert pulse.take_gap_ms() == told_ms
    assert pulse.take_gap_ms() == (0 if told_ms else still_ms - STILL_MS - EVERY_MS)


def test_an_order_that_never_arrived_is_absent_only_after_all_orders_were_listed() -> None:
    def look(play: Play) -> None:
        (absent,) = (i for i in play.state.intents.values() if i.state is IntentState.ABSENT)
        lists = [asked for asked in play.stage.network.asked if asked.name == "GET /fapi/v1/allOrders"]
        assert 1 <= len(lists) < 4
        assert {asked.sent["startTime"] for asked in lists} == {str(absent.sent_ms - SKEW_MS)}
        assert all(asked.sent_ms > absent.fence_ms for asked in lists)
        questions = [asked.sent_ms for asked in play.stage.network.asked if asked.name == "GET /fapi/v1/order"]
        assert [ms for ms in questions if ms >= lists[-1].sent_ms + MINUTE_MS - 1_000]
        play.is_in_order()

    Play({0: "0.1"}, [on(ORDER, {"action": "drop_request"}, nth=1)]).until((9, look))


def test_a_list_that_is_not_answered_costs_no_reading_and_proves_nothing() -> None:
    listing = "GET /fapi/v1/allOrders"

    def look(play: Play) -> None:
        lists = [asked for asked in play.stage.network.asked if asked.name == listing]
        (absent,) = (since for since in play.state.tombstones.values())
        assert [asked.num_arrivals for asked in lists[:3]] == [0, 0, 1]
        assert absent > lists[2].sent_ms - MINUTE_MS // 60
        assert not [text for text in play.stage.alerts if "could not be read" in text]
        play.is_in_order()

    broken = {"action": "status", "status": 500, "carried_out": False}
    faults = [on(ORDER, {"action": "drop_request"}, nth=1), on(listing, broken, every=1, most=2)]
    Play({0: "0.1"}, faults).until((9, look))


@pytest.mark.parametrize(
    ("status", "executed", "end", "is_stopped"),
    [
        ("NEW", "0", IntentState.ABSENT, True),
        ("CANCELED", "0", IntentState.ENDED, False),
        ("EXPIRED", "0", IntentState.ENDED, False),
        ("EXPIRED", "0.004", IntentState.ENDED, True),
        ("REJECTED", "0", IntentState.REJECTED, False),
        ("FILLED", "0.01", IntentState.FILLED, True),
    ],
)
def test_an_absent_order_that_is_found_has_the_end_that_the_exchange_tells(
    status: str, executed: str, end: IntentState, is_stopped: bool
) -> None:
    desk = Desk()
    order = buried(desk)
    seen = OrderSeen(t_ms=desk.now, client_id=order.client_id, order_id=7, status=status, executed=D(executed))
    desk.do(seen)
    found = desk.state.intents[order.client_id]
    assert (found.state, found.executed, found.order_id) == (end, D(executed), 7)
    assert desk.state.is_stopped == is_stopped
    desk.do(replace(seen, status="CANCELED"))  # of one that was open: an orphan is taken back
    last = IntentState.ENDED if end is IntentState.ABSENT else end
    assert desk.state.intents[order.client_id].state is last


def test_an_order_of_before_days_off_is_looked_for_in_a_day_that_may_be_asked_for() -> None:
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    planned = desk.now
    desk.now += 9 * 24 * 60 * MINUTE_MS
    desk.do(Started(t_ms=desk.now, epoch=2))
    for _ in range(3):
        desk.do(Queried(t_ms=desk.now, client_id=order.client_id, is_absent=True))
    desk.now += 31_000
    desk.do(TimerFired(t_ms=desk.now, name=f"query {order.client_id}"))
    (wanted,) = sought(desk.state)
    assert wanted.since_ms == planned - SKEW_MS
    assert wanted.until_ms - wanted.since_ms == 24 * 60 * MINUTE_MS
