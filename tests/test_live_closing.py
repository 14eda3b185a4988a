"""A position is closed whatever its size, and whatever became of the order before."""

from dataclasses import replace
from decimal import Decimal

import pytest

from rl_trader.contract import load_terms
from rl_trader.live.core.events import MarketSeen, StopAsked, SymbolSeen, TimerFired
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import State
from rl_trader.live.core.step import Core
from rl_trader.live.core.words import IntentState, Purpose
from rl_trader.rehearsal.policies import CAPS
from tests.test_live_core import CONDUCT, Desk, alerts, places

D = Decimal
LARGE = replace(CONDUCT, max_quantity=D(120))  # as BTCUSDT has it


def kill(desk: Desk) -> list[Intent]:
    """Let a person kill, and return what goes."""
    return places(desk.do(StopAsked(t_ms=desk.now, kind="KILL", reason="enough", by="a test")))


def test_a_kill_closes_in_slices_what_no_market_order_may_hold() -> None:
    desk = Desk(LARGE)
    desk.begin("300")
    slices = kill(desk)
    assert [(o.purpose, o.amount) for o in slices] == [(Purpose.FLATTEN, D(-120))] * 2 + [(Purpose.FLATTEN, D(-60))]
    assert len({order.client_id for order in slices}) == 3
    for order in slices[:-1]:
        desk.send(order)
        desk.answer(order)
        assert places(desk.do(MarketSeen(t_ms=desk.now, is_alive=True, mark_price=D(50_000)))) == []


def test_a_slice_that_is_refused_is_tried_again_with_what_is_left() -> None:
    desk = Desk(LARGE)
    desk.begin("200")
    first, second = kill(desk)
    for order, outcome in ((first, "ACKED"), (second, "REJECTED")):
        desk.send(order)
        desk.answer(order, outcome, code=-1008)
    desk.hold("80")
    desk.now += 1_000
    (rest,) = places(desk.do(TimerFired(t_ms=desk.now, name="flatten")))
    assert rest.amount == D(-80)


def test_the_largest_order_is_the_one_of_today() -> None:
    desk = Desk(LARGE)
    desk.begin("200")
    today = {"tick_size": D("0.1"), "step_size": D("0.001"), "min_notional": D(5), "max_quantity": D("100.0005")}
    desk.do(SymbolSeen(t_ms=desk.now, status="TRADING", **today))
    assert [order.amount for order in kill(desk)] == [D("-100"), D("-100")]


def test_an_exit_of_a_decision_goes_in_slices_which_the_gate_lets_through_and_the_entry_behind_them() -> None:
    terms = load_terms("BTCUSDT")
    assert terms.max_quantity == D(120)
    desk = Desk(LARGE)
    caps = replace(CAPS, max_order_notional=D(10**9), max_position_notional=D(10**9), max_leverage=D(10**9))
    desk.core = Core(State(LARGE), gate_of(terms))
    desk.begin("200")
    desk.state.caps = caps
    desk.close_bar()
    (order,) = places(desk.decide(reduce="-200", open_="-0.01"))
    sent = [order]
    for _ in range(2):
        desk.send(sent[-1])
        sent += places(desk.answer(sent[-1]))
    assert [(o.purpose, o.amount) for o in sent] == [
        (Purpose.EXIT, D(-120)),
        (Purpose.EXIT, D(-80)),
        (Purpose.ENTRY, D("-0.01")),
    ]
    assert len({o.client_id for o in sent}) == 3


def test_an_exit_whose_slice_ends_unfilled_ends_its_decision() -> None:
    desk = Desk(LARGE)
    desk.begin("200")
    order = desk.order(reduce="-200", open_="-0.01")
    desk.send(order)
    assert places(desk.answer(order, status="EXPIRED")) == []
    assert desk.state.waiting == []


def test_a_kill_does_not_wait_for_an_exit_of_which_nobody_knows() -> None:
    desk = Desk()
    desk.begin("0.1")
    order = desk.order(reduce="-0.05")
    desk.send(order)
    desk.answer(order, "UNKNOWN")
    (out,) = kill(desk)
    assert (out.purpose, out.amount) == (Purpose.FLATTEN, D("-0.1"))


@pytest.mark.parametrize("purpose", [Purpose.EXIT, Purpose.FLATTEN])
def test_what_is_on_its_way_to_close_is_waited_for(purpose: Purpose) -> None:
    desk = Desk()
    desk.begin("0.1")
    order = desk.order(reduce="-0.1") if purpose is Purpose.EXIT else kill(desk)[0]
    desk.send(order)
    assert kill(desk) == []
    assert places(desk.do(TimerFired(t_ms=desk.now, name="flatten"))) == []


def test_a_close_of_which_nobody_knows_is_followed_by_another_after_five_seconds() -> None:
    desk = Desk()
    desk.begin("0.1")
    (out,) = kill(desk)
    desk.send(out)
    assert "nobody knows" in alerts(desk.answer(out, "UNKNOWN"))
    alive = MarketSeen(t_ms=desk.now, is_alive=True, mark_price=D(50_000))
    assert places(desk.do(alive)) == []
    desk.now += 5_000
    (again,) = places(desk.do(TimerFired(t_ms=desk.now, name="flatten")))
    assert again.purpose is Purpose.FLATTEN
    assert again.client_id != out.client_id
    assert desk.state.intents[out.client_id].state is IntentState.UNKNOWN
