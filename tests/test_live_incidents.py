"""What seeded rehearsals found in the trader's core, each as it was found: what went wrong once, and never again."""

from dataclasses import replace
from decimal import Decimal

import pytest

from rl_trader.live.core.commands import (
    Cancel,
    Command,
    Decide,
    QueryNumber,
    ReadAccount,
    RebuildStream,
    SetTimer,
)
from rl_trader.live.core.events import (
    AccountSeen,
    FillSeen,
    IncomeSeen,
    MarketSeen,
    OrderSeen,
    Queried,
    Sending,
    SnapshotFailed,
    StopAsked,
    TimerFired,
)
from rl_trader.live.core.intents import Intent, client_id
from rl_trader.live.core.words import IntentState, Purpose
from tests.test_live_core import CONDUCT, Desk, alerts, places

D = Decimal
ONE_ALREADY = -4130
OWN = client_id(1, "1700000000000", "ENTRY", 1)  # of an order that is long over


def trade(desk: Desk, number: int, amount: str, order_id: int = 7, client_id: str | None = None) -> FillSeen:
    return FillSeen(
        t_ms=desk.now,
        trade_id=number,
        order_id=order_id,
        client_id=client_id,
        amount=D(amount),
        price=D(50_000),
        realized=D(0),
        commission=D(0),
    )


def refused(desk: Desk, intent: Intent, code: int = ONE_ALREADY) -> list[Command]:
    desk.send(intent)
    return desk.answer(intent, "REJECTED", code=code)


def unknown_entry(desk: Desk) -> Intent:
    order = desk.order(open_="0.01")
    desk.send(order)
    desk.answer(order, "UNKNOWN")
    return order


def asks_policy(commands: list[Command]) -> bool:
    return any(isinstance(command, Decide) for command in commands)


# Trades and money


def test_a_trade_whose_event_was_lost_is_read_although_a_later_one_was_told() -> None:
    # The trades were asked for from the newest one on that any event had told, so that one before it was never found.
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.02")
    desk.send(order)
    lost, told = trade(desk, 101, "0.01"), trade(desk, 102, "0.01", client_id=order.client_id)
    desk.do(told)
    assert desk.state.books.last_trade_id == 0
    desk.hold("0.02")
    desk.read("0.02", fills=(lost, told))
    assert desk.state.books.filled == D("0.02")
    desk.now += 60_000
    desk.read("0.02", fills=(lost, told))
    assert desk.state.books.last_trade_id == 102  # by now no older one can come up any more


def test_what_is_told_before_the_ledger_begins_is_in_its_opening_balance_alone() -> None:
    desk = Desk()
    early = trade(desk, 100, "0.01")
    desk.do(early)
    desk.now += 1
    desk.begin("0.01")
    assert desk.state.books.filled == D("0.01")
    late = IncomeSeen(t_ms=desk.now - 1, kind="TRANSFER", tran_id=1, amount=D(1000))  # listed after the beginning
    assert alerts(desk.read("0.01", income=(late,), fills=(early,))) == ""
    assert desk.state.books.ledger_balance == 1000


def test_a_difference_that_the_next_readings_explain_ends_nothing() -> None:
    desk = Desk()
    desk.begin()
    for _ in range(4):
        assert SetTimer("poll", 2_000) in desk.read("0.01")
        desk.now += 2_000
    desk.read("0.01", fills=(trade(desk, 100, "0.01", client_id=OWN),))
    assert not desk.state.is_stopped
    assert asks_policy(desk.close_bar())


def test_an_old_event_of_the_account_changes_nothing() -> None:
    desk = Desk()
    desk.begin()
    old = AccountSeen(
        t_ms=desk.now,
        wallet_balance=D(1),
        amount=D(0),
        entry_price=D(0),
        isolated_wallet=D(0),
        reason="ORDER",
    )
    desk.now += 40_000
    desk.hold("0.01")
    assert desk.do(old) == []
    assert (desk.state.books.amount, desk.state.books.wallet_balance) == (D("0.01"), D(1000))


# Decisions on what is not known


def test_nothing_is_decided_while_trades_of_an_answered_order_are_not_told() -> None:
    # The order had filled, its events and every reading were lost, and the next bar's order was sized for a position
    # that was not there any more: it went through zero, or above the caps.
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    desk.send(order)
    commands = desk.answer(order)
    (timer,) = (command for command in commands if isinstance(command, SetTimer))
    assert timer.name == f"told {order.client_id}"
    desk.now += timer.after_ms
    asked = desk.do(TimerFired(t_ms=desk.now, name=timer.name))
    assert [type(command) for command in asked] == [RebuildStream, ReadAccount]
    assert "are not known yet" in alerts(desk.close_bar())
    desk.read("0.01", fills=(trade(desk, 100, "0.01"),))
    assert asks_policy(desk.close_bar())


def test_nothing_is_decided_while_the_position_is_not_what_its_trades_sum_to() -> None:
    desk = Desk()
    desk.begin()
    desk.do(trade(desk, 100, "0.01", client_id=OWN))
    assert "not what its bookings sum to" in alerts(desk.close_bar())
    desk.hold("0.01")
    assert asks_policy(desk.close_bar())


def test_nothing_is_decided_when_the_account_could_not_be_read_three_times() -> None:
    desk = Desk()
    desk.begin()
    for _ in range(3):
        assert asks_policy(desk.close_bar())
        desk.do(SnapshotFailed(t_ms=desk.now, reason="the test wants it"))
    assert "could not be read 3 times" in alerts(desk.close_bar())
    desk.read()
    assert asks_policy(desk.close_bar())


def test_a_reading_that_is_wanted_during_a_reading_comes_after_it() -> None:
    # A reading that had begun before the stream was there hid what happened until the stream was.
    desk = Desk()
    desk.begin()
    poll = TimerFired(t_ms=desk.now, name="poll")
    assert any(isinstance(command, ReadAccount) for command in desk.do(poll))
    assert not any(isinstance(command, ReadAccount) for command in desk.do(poll))
    assert ReadAccount("once more") in desk.read()
    assert not any(isinstance(command, ReadAccount) for command in desk.read())


def test_a_trade_that_the_stream_has_not_told_makes_another_stream() -> None:
    desk = Desk()
    desk.begin()
    untold = trade(desk, 100, "0.01")
    desk.now += 9_000
    assert not any(isinstance(command, RebuildStream) for command in desk.read("0.01", fills=(untold,)))
    desk = Desk()
    desk.begin()
    desk.now += 2_000
    untold = trade(desk, 100, "0.01")
    desk.now += 11_000
    assert any(isinstance(command, RebuildStream) for command in desk.read("0.01", fills=(untold,)))
    assert not any(isinstance(command, RebuildStream) for command in desk.read("0.01", fills=(untold,)))


# Orders that wait, and orders that nobody knows of


@pytest.mark.parametrize("what", ["halt", "stale", "unknown", "old"])
def test_an_entry_that_waited_is_withdrawn_where_it_may_no_longer_go(what: str) -> None:
    # Orders go one after the other; while one waited for a lost answer there was a halt, and the next one went.
    desk = Desk()
    desk.begin("0.02")
    first = desk.order(reduce="-0.02", open_="-0.01")
    desk.send(first)
    (entry,) = places(desk.answer(first))
    match what:
        case "halt":
            desk.do(StopAsked(t_ms=desk.now, kind="HALT", reason="enough", by="a test"))
        case "stale":
            desk.do(MarketSeen(t_ms=desk.now, is_alive=False, mark_price=D(0)))
        case "unknown":
            stop = desk.state.stop_id
            assert stop is not None
            for _ in range(2):
                desk.do(Queried(t_ms=desk.now, client_id=stop, is_absent=True))
            (another,) = places(desk.do(TimerFired(t_ms=desk.now, name="guard")))
            desk.send(another)
            desk.answer(another, "UNKNOWN")
        case "old":
            desk.now += CONDUCT.late_ms + 1
    commands = desk.do(Sending(t_ms=desk.now, client_id=entry.client_id, fence_ms=desk.now + 18_000))
    assert "is withdrawn" in alerts(commands)
    assert desk.state.intents[entry.client_id].state is IntentState.REJECTED


def test_an_order_that_the_exchange_has_numbered_is_never_absent() -> None:
    # Its event had come, the process ended, and the exchange did not find it for a minute.
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    desk.send(order)
    desk.do(OrderSeen(t_ms=desk.now, client_id=order.client_id, order_id=7, status="NEW", executed=D(0)))
    desk.read()
    for _ in range(4):
        desk.do(Queried(t_ms=desk.now, client_id=order.client_id, is_absent=True))
    assert desk.state.intents[order.client_id].state is IntentState.UNKNOWN
    desk.now += 60_000
    desk.read()
    assert desk.state.intents[order.client_id].state is IntentState.UNKNOWN


def test_a_trade_that_may_be_of_an_unknown_order_keeps_it_from_being_absent() -> None:
    # The trade explained the position, so the order that had made it counted as never accepted.
    desk = Desk()
    desk.begin()
    order = unknown_entry(desk)
    for _ in range(3):
        desk.do(Queried(t_ms=desk.now, client_id=order.client_id, is_absent=True))
    fill = trade(desk, 100, "0.01", order_id=4711)
    desk.now += 31_000
    desk.read("0.01", fills=(fill,))
    assert desk.state.intents[order.client_id].state is IntentState.UNKNOWN
    asked = desk.do(TimerFired(t_ms=desk.now, name=f"query {order.client_id}"))
    assert QueryNumber(4711) in asked
    # It is somebody else's: now nothing speaks for the order.
    desk.do(OrderSeen(t_ms=desk.now, client_id="web_1", order_id=4711, status="FILLED", executed=D("0.01")))
    desk.read("0.01", fills=(fill,), searched=(order.client_id,))
    assert desk.state.intents[order.client_id].state is IntentState.ABSENT


def test_an_order_that_counted_as_absent_and_is_found_ends_entries() -> None:
    desk = Desk()
    desk.begin()
    order = unknown_entry(desk)
    for _ in range(3):
        desk.do(Queried(t_ms=desk.now, client_id=order.client_id, is_absent=True))
    desk.now += 31_000
    desk.read(searched=(order.client_id,))
    assert desk.state.intents[order.client_id].state is IntentState.ABSENT
    gone = OrderSeen(t_ms=desk.now, client_id=order.client_id, order_id=7, status="EXPIRED", executed=D(0))
    assert desk.do(gone) == []  # nothing has come of it
    ended = desk.state.intents[order.client_id]
    assert (ended.state, ended.order_id, ended.executed) == (IntentState.ENDED, 7, D(0))
    assert "the exchange has it" in alerts(desk.do(replace(gone, status="FILLED", executed=D("0.01"))))
    assert desk.state.is_stopped


def test_an_order_whose_trades_were_told_is_filled_whatever_questions_say() -> None:
    # The process ended between the trade's event and the order's, and the exchange did not find the order.
    desk = Desk()
    desk.begin("0.02")
    close = desk.order(reduce="-0.02", open_="-0.01")
    desk.send(close)
    desk.answer(close, "UNKNOWN")
    half, rest = (trade(desk, number, "-0.01", client_id=close.client_id) for number in (100, 101))
    assert desk.do(half) == []
    assert desk.state.intents[close.client_id].order_id == 7
    (entry,) = places(desk.do(rest))
    assert entry.purpose is Purpose.ENTRY
    assert desk.state.intents[close.client_id].state is IntentState.FILLED
    assert desk.do(rest) == []


def test_a_trade_that_was_read_before_its_order_is_known_is_that_orders() -> None:
    desk = Desk()
    desk.begin()
    order = unknown_entry(desk)
    desk.read("0.01", fills=(trade(desk, 100, "0.01", order_id=4711),))
    desk.do(OrderSeen(t_ms=desk.now, client_id=order.client_id, order_id=4711, status="FILLED", executed=D("0.01")))
    found = desk.state.intents[order.client_id]
    assert (found.state, found.traded) == (IntentState.FILLED, D("0.01"))
    assert asks_policy(desk.close_bar())


# Stops


def test_a_stop_that_is_refused_when_its_price_is_met_has_ended() -> None:
    # It went from open to refused, which no order could, and the trader died.
    desk = Desk()
    desk.begin("0.01")
    stop = desk.state.stop_id
    assert stop is not None
    met = OrderSeen(t_ms=desk.now, client_id=stop, order_id=7, status="REJECTED", executed=D(0))
    assert SetTimer("guard", 500) in desk.do(met)


def test_a_refused_stop_is_tried_later_each_time_and_readings_do_not_hurry_it() -> None:
    # Every reading of the account tried once more, and every refusal asked for a reading: a thousand orders an hour.
    desk = Desk()
    desk.begin()
    (stop,) = places(desk.hold("0.01"))
    waits = []
    for _ in range(6):
        commands = refused(desk, stop)
        (wait,) = (command.after_ms for command in commands if isinstance(command, SetTimer))
        waits.append(wait)
        assert any(isinstance(command, ReadAccount) for command in commands)
        assert places(desk.read("0.01", fills=(trade(desk, 100, "0.01"),))) == []
        desk.now += wait
        (stop,) = places(desk.do(TimerFired(t_ms=desk.now, name="guard")))
    assert waits == [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]


def test_the_stop_stays_where_only_the_take_profit_is_missing() -> None:
    # Both were taken back and placed again with every reading, and the position was bare meanwhile.
    desk = Desk(replace(CONDUCT, take_profit=D("0.2")))
    desk.begin()
    stop, take_profit = places(desk.hold("0.01"))
    desk.send(stop)
    desk.answer(stop, status="NEW")
    refused(desk, take_profit, code=-1008)
    desk.now += 1_000
    commands = desk.do(TimerFired(t_ms=desk.now, name="guard"))
    (again,) = places(commands)
    assert again.purpose is Purpose.TAKE_PROFIT
    assert not any(isinstance(command, Cancel) for command in commands)


def test_a_stop_that_nobody_knows_of_is_placed_again_soon_since_a_second_one_is_refused() -> None:
    desk = Desk()
    desk.begin()
    (stop,) = places(desk.hold("0.01"))
    desk.send(stop)
    desk.answer(stop, "UNKNOWN")
    desk.do(Queried(t_ms=desk.now, client_id=stop.client_id, is_absent=True))
    commands = desk.do(Queried(t_ms=desk.now, client_id=stop.client_id, is_absent=True))
    assert SetTimer("guard", 500) in commands
    assert desk.state.intents[stop.client_id].state is IntentState.ABSENT


def test_a_stop_that_is_found_again_is_doubted_from_the_beginning() -> None:
    desk = Desk()
    desk.begin("0.01")
    stop = desk.state.stop_id
    assert stop is not None
    for _ in range(3):  # hours apart
        desk.do(Queried(t_ms=desk.now, client_id=stop, is_absent=True))
        found = OrderSeen(t_ms=desk.now, client_id=stop, order_id=7, status="NEW", executed=D(0))
        desk.read("0.01", open_stops=(found,))
    assert desk.state.intents[stop].state is IntentState.OPEN
