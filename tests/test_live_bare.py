"""A position without a stop at the exchange: it is not added to, and closed when none can be placed."""

from decimal import Decimal

import pytest

from rl_trader.live.core.events import Banned, MarketSeen, OrderSeen, Resumed, Started, TimerFired
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.words import IntentState, Purpose, StopKind
from tests.test_live_core import Desk, alerts, places

D = Decimal
MARGIN_TYPE = -4045  # a code that says nothing of the price, as "reach max stop order limit"


def held_desk() -> tuple[Desk, Intent]:
    """Return a desk with a position, and the stop that it wants to place."""
    desk = Desk()
    desk.do(Started(t_ms=desk.now, epoch=1))
    desk.do(MarketSeen(t_ms=desk.now, is_alive=True, mark_price=D(50_000)))
    (stop,) = places(desk.read("0.01"))
    return desk, stop


def bare_desk(outcome: str) -> tuple[Desk, list[tuple[int, Intent]]]:
    """Return a desk with a position, and what it sends in 40 s, with when; every stop ends with an outcome."""
    desk, stop = held_desk()
    begun, sent, waiting = desk.now, list[tuple[int, Intent]](), [stop]
    for _ in range(40):
        for order in waiting:
            sent.append((desk.now - begun, order))
            desk.send(order)
            if order.purpose is Purpose.STOP:
                desk.answer(order, outcome, "EXPIRED", MARGIN_TYPE)
        desk.now += 1_000
        waiting = [o for name in ("guard", "bare") for o in places(desk.do(TimerFired(t_ms=desk.now, name=name)))]
    return desk, sent


@pytest.mark.parametrize("outcome", ["REJECTED", "ACKED", "UNKNOWN"])
def test_a_position_whose_stop_is_never_taken_is_closed_within_twenty_seconds_and_entries_end(outcome: str) -> None:
    desk, sent = bare_desk(outcome)
    (out,) = [(after, order) for after, order in sent if order.purpose is Purpose.FLATTEN]
    assert out[0] <= 20_000
    assert out[1].amount == D("-0.01")
    assert desk.state.stop_kind is StopKind.HALT
    assert "no stop could be placed" in desk.state.stop_reason


def test_a_close_that_is_refused_is_tried_again_while_the_position_is_bare() -> None:
    desk, sent = bare_desk("REJECTED")
    (out,) = [order for _, order in sent if order.purpose is Purpose.FLATTEN]
    desk.answer(out, "REJECTED", code=-1008)
    (again,) = [o for o in places(desk.do(TimerFired(t_ms=desk.now, name="bare"))) if o.purpose is Purpose.FLATTEN]
    assert again.client_id != out.client_id


def test_a_position_that_has_got_its_stop_in_time_is_kept() -> None:
    desk = Desk()
    desk.begin("0.01")
    desk.now += 20_000
    assert places(desk.do(TimerFired(t_ms=desk.now, name="bare"))) == []
    assert not desk.state.is_stopped


def test_while_the_address_is_banned_a_stop_is_waited_for_until_after_the_ban() -> None:
    desk, stop = held_desk()
    desk.send(stop)
    until = desk.now + 60_000
    desk.do(Banned(t_ms=desk.now, until_ms=until, machine_until_ms=until))
    desk.answer(stop, "REJECTED", code=-1003)
    desk.now = until
    assert not desk.state.is_stopped
    assert places(desk.do(TimerFired(t_ms=desk.now, name="bare"))) == []
    (again,) = places(desk.do(TimerFired(t_ms=desk.now, name="guard")))
    desk.send(again)
    desk.answer(again, status="NEW")
    desk.now += 20_000
    assert places(desk.do(TimerFired(t_ms=desk.now, name="bare"))) == []
    assert not desk.state.is_stopped


@pytest.mark.parametrize("outcome", ["", "REJECTED"])
def test_a_position_without_a_stop_is_not_added_to_and_may_be_reduced(outcome: str) -> None:
    desk, stop = held_desk()
    desk.send(stop)
    if outcome:
        desk.answer(stop, outcome, code=MARGIN_TYPE)
    desk.close_bar()
    commands = desk.decide(open_="0.01")
    assert places(commands) == []
    assert "has no stop yet" in alerts(commands)
    desk.close_bar()
    assert [order.purpose for order in places(desk.decide(reduce="-0.01"))] == [Purpose.EXIT]


def test_an_entry_that_waits_while_the_stop_is_lost_is_withdrawn() -> None:
    desk = Desk()
    desk.begin("0.01")
    entry = desk.order(open_="0.01")
    stop_id = desk.state.stop_id
    assert stop_id is not None
    desk.do(OrderSeen(t_ms=desk.now, client_id=stop_id, order_id=7, status="CANCELED", executed=D(0)))
    desk.send(entry)
    assert desk.state.intents[entry.client_id].state is IntentState.REJECTED


def test_after_a_person_has_resumed_a_position_that_is_still_bare_is_closed_again() -> None:
    desk, _ = bare_desk("REJECTED")
    (out,) = [i for i in desk.state.intents.values() if i.purpose is Purpose.FLATTEN]
    desk.answer(out)
    desk.fill(out)
    desk.hold("0")
    desk.do(Resumed(t_ms=desk.now, reason="looked at it", by="a test"))
    (stop,) = places(desk.hold("0.01"))
    desk.send(stop)
    desk.answer(stop, "REJECTED", code=MARGIN_TYPE)
    desk.now += 15_000
    assert [o.purpose for o in places(desk.do(TimerFired(t_ms=desk.now, name="bare")))] == [Purpose.FLATTEN]
    assert desk.state.stop_kind is StopKind.HALT
