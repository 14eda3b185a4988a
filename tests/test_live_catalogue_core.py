"""What fails in live trading, fault by fault, in the trader's core; and what has gone wrong elsewhere."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.contract import load_terms
from rl_trader.live.core.commands import Alert, Cancel, Command, Decide, QueryNumber, ReadAccount, ReadSymbol, SetTimer
from rl_trader.live.core.events import (
    AccountSeen,
    Banned,
    BarRevised,
    Event,
    FillSeen,
    MarketSeen,
    OrderSeen,
    Queried,
    Resumed,
    SettingsSeen,
    Started,
    SymbolSeen,
    TimerFired,
)
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.intents import Intent, client_id
from rl_trader.live.core.owning import GIVEN_UP_MS
from rl_trader.live.core.state import State
from rl_trader.live.core.step import Core
from rl_trader.live.core.words import IntentState, Purpose, StopKind
from rl_trader.live.reading import UnreadableError, user_events
from rl_trader.rehearsal.policies import CAPS
from tests.test_live_core import BAR_MS, CONDUCT, T0, Desk, alerts, places

D = Decimal
SYMBOL = SymbolSeen(t_ms=T0, status="TRADING", tick_size=D("0.1"), step_size=D("0.001"), min_notional=D(50))


def asks_policy(commands: list[Command]) -> bool:
    return any(isinstance(command, Decide) for command in commands)


def trade(desk: Desk, number: int, amount: str, order_id: int, client: str | None) -> FillSeen:
    return FillSeen(
        t_ms=desk.now,
        trade_id=number,
        order_id=order_id,
        client_id=client,
        amount=D(amount),
        price=D(50_000),
        realized=D(0),
        commission=D("0.25"),
    )


# Market data


def test_nothing_is_decided_while_no_fresh_price_comes() -> None:
    desk = Desk()
    desk.begin()
    desk.do(MarketSeen(t_ms=desk.now, is_alive=False, mark_price=D(0)))
    assert "market data are stale" in alerts(desk.close_bar())
    desk.do(MarketSeen(t_ms=desk.now, is_alive=True, mark_price=D(50_000)))
    assert asks_policy(desk.close_bar())


def test_one_bar_of_a_thousand_may_be_revised_and_no_more() -> None:
    desk = Desk(replace(CONDUCT, bar_ms=BAR_MS))
    desk.begin()
    first = BarRevised(t_ms=desk.now, open_ms=desk.now - BAR_MS, reason="its close is another")
    assert "told with other numbers" in alerts(desk.do(first))
    desk.do(first)  # an hour later, once more
    assert asks_policy(desk.close_bar())
    desk.do(BarRevised(t_ms=desk.now, open_ms=desk.now - BAR_MS, reason="its close is another"))
    assert desk.state.stop_kind is StopKind.HALT


def test_revised_bars_of_the_day_before_are_forgotten() -> None:
    desk = Desk()
    desk.begin()
    desk.do(BarRevised(t_ms=desk.now, open_ms=1, reason=""))
    desk.now += 86_400_000
    desk.do(BarRevised(t_ms=desk.now, open_ms=2, reason=""))
    assert not desk.state.is_stopped


# Orders and trades in any order


def story() -> tuple[Desk, list[Event]]:
    """Return a desk with an order that was sent, and everything that the account's stream tells of it."""
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.03")
    desk.send(order)
    parts = [trade(desk, number, "0.01", 7, order.client_id) for number in (1, 2, 3)]
    seen = [
        OrderSeen(t_ms=desk.now, client_id=order.client_id, order_id=7, status=status, executed=D(executed))
        for status, executed in (("NEW", "0"), ("PARTIALLY_FILLED", "0.01"), ("FILLED", "0.03"))
    ]
    held = AccountSeen(
        t_ms=desk.now,
        wallet_balance=D("999.25"),
        amount=D("0.03"),
        entry_price=D(50_000),
        isolated_wallet=D(0),
        reason="ORDER",
    )
    return desk, [*parts, *seen, held]


@given(st.lists(st.integers(0, 6), max_size=12), st.permutations(range(7)))
def test_any_order_and_repetition_of_an_accounts_events_leads_to_the_same_account(
    before: list[int], order: list[int]
) -> None:
    desk, events = story()
    for number in (*before, *order):
        desk.do(events[number])
    (entry,) = (intent for intent in desk.state.intents.values() if intent.purpose is Purpose.ENTRY)
    books = desk.state.books
    assert (entry.state, entry.executed, entry.traded) == (IntentState.FILLED, D("0.03"), D("0.03"))
    assert (books.amount, books.filled, books.booked) == (D("0.03"), D("0.03"), D("-0.75"))
    assert not desk.state.is_stopped


def test_an_event_that_is_none_means_that_the_account_is_read() -> None:
    for payload in ({}, {"e": 7}, {"e": "ORDER_TRADE_UPDATE"}, {"e": "ACCOUNT_UPDATE", "a": None}):
        with pytest.raises(UnreadableError):
            user_events(payload, "BTCUSDT")
    assert user_events({"e": "TRADE_LITE"}, "BTCUSDT") == []


def test_settings_are_read_from_events() -> None:
    leverage = {"e": "ACCOUNT_CONFIG_UPDATE", "T": 1, "ac": {"s": "BTCUSDT", "l": 25}}
    assert user_events(leverage, "BTCUSDT") == [SettingsSeen(t_ms=1, leverage=25)]
    assert user_events(leverage, "ETHUSDT") == []
    several = {"e": "ACCOUNT_CONFIG_UPDATE", "T": 1, "ai": {"j": True}}
    assert user_events(several, "BTCUSDT") == [SettingsSeen(t_ms=1, is_multi_assets=True)]
    position = {"s": "BTCUSDT", "pa": "0", "ep": "0", "iw": "0", "ps": "BOTH", "mt": "isolated"}
    margin = {"e": "ACCOUNT_UPDATE", "T": 1, "a": {"m": "MARGIN_TYPE_CHANGE", "B": [], "P": [position]}}
    assert user_events(margin, "BTCUSDT") == [SettingsSeen(t_ms=1, margin_type="ISOLATED")]


# Settings and filters


def test_a_setting_that_a_person_has_changed_ends_entries_and_setting_it_back_and_resuming_lets_them_go() -> None:
    desk = Desk(replace(CONDUCT, leverage=5))
    desk.begin()
    desk.do(SettingsSeen(t_ms=desk.now, leverage=5, margin_type="ISOLATED", is_hedged=False))
    assert asks_policy(desk.close_bar())
    assert "must be 5 and is 50" in alerts(desk.do(SettingsSeen(t_ms=desk.now, leverage=50)))
    desk.do(Resumed(t_ms=desk.now, reason="too soon", by="a test"))
    assert "must be 5 and is 50" in alerts(desk.close_bar())  # whatever anybody says
    desk.do(SettingsSeen(t_ms=desk.now, leverage=5))
    assert asks_policy(desk.close_bar())


def test_settings_are_looked_at_every_minute_and_filters_every_hour() -> None:
    desk = Desk()
    started = desk.do(Started(t_ms=desk.now, epoch=1))
    assert SetTimer("settings", 60_000) in started
    assert SetTimer("symbol", 3_600_000) in started
    assert SetTimer("settings", 60_000) in desk.do(TimerFired(t_ms=desk.now, name="settings"))
    desk.do(replace(SYMBOL, status="SETTLING"))
    assert SetTimer("symbol", 60_000) in desk.do(TimerFired(t_ms=desk.now, name="symbol"))  # soon, while it does not


def test_a_stop_that_is_off_a_new_grid_is_placed_on_it() -> None:
    desk = Desk()
    desk.begin()
    (stop,) = places(desk.hold("0.01", entry="50001.3"))
    desk.send(stop)
    commands = desk.answer(stop, "REJECTED", code=-4014)
    assert any(isinstance(command, ReadSymbol) for command in commands)
    desk.do(replace(SYMBOL, tick_size=D(5)))
    desk.now += 1_000
    (again,) = places(desk.do(TimerFired(t_ms=desk.now, name="guard")))
    assert again.trigger_price == D(45_005)  # 0.9 * 50001.3 = 45001.17, up on a grid of 5


# Whose orders are


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("autoclose-1596107620040000020", "was liquidated"),
        ("adl_autoclose", "reduced for somebody else's loss"),
        ("settlement_autoclose-3", "was delivered"),
        ("web_1", "is not this program's"),
        (client_id(9, "1", "ENTRY", 1), "of another instance"),
    ],
)
@pytest.mark.parametrize("is_told", [True, False])
def test_a_trade_of_somebody_elses_is_booked_and_ends_entries(name: str, words: str, is_told: bool) -> None:
    desk = Desk()
    desk.begin("0.02")
    if is_told:
        commands = desk.do(trade(desk, 1, "-0.02", 99, name))
    else:
        read = desk.read("0", wallet="999.75", fills=(trade(desk, 1, "-0.02", 99, None),))
        assert QueryNumber(99) in read
        assert "nobody knows yet whose order 99 is" in alerts(desk.close_bar())
        told = OrderSeen(t_ms=desk.now, client_id=name, order_id=99, status="FILLED", executed=D("0.02"))
        commands = desk.do(told)
    assert words in alerts(commands)
    assert (desk.state.stop_kind, desk.state.books.filled) == (StopKind.HALT, D(0))
    assert places(commands) == []


def test_an_order_that_nobody_can_name_for_an_hour_ends_entries() -> None:
    desk = Desk()
    desk.begin()
    read = desk.read("0.01", wallet="999.75", fills=(trade(desk, 1, "0.01", 99, None),))
    assert QueryNumber(99) in read
    desk.now += GIVEN_UP_MS
    assert QueryNumber(99) in desk.read("0.01", wallet="999.75")
    desk.now += 1
    assert "nobody can say whose it was" in alerts(desk.read("0.01", wallet="999.75"))


def test_a_trade_of_the_stop_that_only_a_list_tells_is_the_stops() -> None:
    desk = Desk()
    desk.begin("0.01")
    stop = desk.state.stop_id
    assert stop is not None
    assert QueryNumber(4711) in desk.read("0", wallet="999.75", fills=(trade(desk, 1, "-0.01", 4711, None),))
    desk.do(OrderSeen(t_ms=desk.now, client_id=stop, order_id=4711, status="FILLED", executed=D("0.01")))
    assert desk.state.strangers == {}
    assert not desk.state.is_stopped
    assert asks_policy(desk.close_bar())


def test_a_refusal_for_margin_leads_to_a_reading_and_the_third_in_a_row_ends_entries() -> None:
    desk = Desk()
    desk.begin()
    for times in (1, 2, 3):
        order = desk.order(open_="0.01")
        desk.send(order)
        commands = desk.answer(order, "REJECTED", code=-2019)
        assert any(isinstance(command, ReadAccount) for command in commands)
        desk.read()
        assert desk.state.is_stopped is (times == 3)


# The process


def test_a_days_loss_outlasts_any_number_of_restarts() -> None:
    desk = Desk()
    events: list[Event] = []
    step = desk.core.step
    for event in losing_day(desk.now):
        events.append(event)
        step(event)
        again = Core(State(CONDUCT), lambda _state, _intent: None)
        for earlier in [*events, Started(t_ms=event.t_ms, epoch=2)]:
            again.step(earlier)
        assert again.state.performance == desk.state.performance
    assert desk.state.performance.day_pnl == D(-40)


def losing_day(now: int) -> list[Event]:
    """Return what happens on a day on which 40 USDT are lost."""
    desk = Desk()
    desk.now = now
    kept: list[Event] = []
    step = desk.core.step
    desk.core.step = lambda event: kept.append(event) or step(event)  # type: ignore[method-assign,func-returns-value]
    desk.begin("0.02")
    for price in (49_500, 48_000):
        desk.now += 10_000
        desk.do(MarketSeen(t_ms=desk.now, is_alive=True, mark_price=D(price)))
    return kept


def test_a_ban_is_kept_over_a_restart_and_no_order_goes_in_it() -> None:
    core = Core(State(CONDUCT), gate_of(load_terms("BTCUSDT")))
    until = T0 + 1_800_000
    (alert,) = core.step(Banned(t_ms=T0, until_ms=until, machine_until_ms=until))
    assert isinstance(alert, Alert)
    core.step(Started(t_ms=T0 + 1, epoch=2, caps=CAPS))
    assert core.state.banned_until_ms == until
    intent = Intent(client_id="a", decision="1", leg="EXIT", attempt=1, purpose=Purpose.EXIT, amount=D("-0.01"))
    refusal = gate_of(load_terms("BTCUSDT"))(core.state, intent)
    assert refusal is not None
    assert "banned this address" in refusal


class Journalled(Desk):
    """A core with a risk gate, and all that has happened to it."""

    def __init__(self) -> None:
        super().__init__()
        self.core = Core(State(CONDUCT), gate_of(load_terms("BTCUSDT")))
        self.told: list[Event] = []

    def do(self, event: Event) -> list[Command]:
        """Let an event happen, and keep it."""
        self.told.append(event)
        return super().do(event)


def test_a_replay_of_the_journal_asks_the_caps_of_then_and_not_those_of_today() -> None:
    desk = Journalled()
    num_placed = []
    for epoch, caps in enumerate((replace(CAPS, max_order_notional=D(10)), CAPS), 1):
        desk.do(Started(t_ms=desk.now, epoch=epoch, caps=caps))
        desk.do(MarketSeen(t_ms=desk.now, is_alive=True, mark_price=D(50_000)))
        desk.read()
        desk.close_bar()
        num_placed.append(len(places(desk.decide(open_="0.001"))))
    assert num_placed == [0, 1]  # the small caps refuse what the others let go
    again = Core(State(CONDUCT), gate_of(load_terms("BTCUSDT")))
    for event in desk.told:
        again.step(event)
    assert again.state == desk.state


def test_nothing_is_entered_without_caps() -> None:
    desk = Journalled()
    desk.begin()
    desk.close_bar()
    assert "no caps were given" in alerts(desk.decide(open_="0.001"))


# What has gone wrong elsewhere


def test_the_trade_of_an_old_positions_stop_is_not_taken_for_the_new_positions() -> None:
    # A recovery attached the last trade's stop to a new, reversed trade, and crashed again and again.
    desk = Desk()
    desk.begin("0.01")
    old = desk.state.stop_id
    assert old is not None
    desk.do(trade(desk, 1, "-0.01", 50, old))
    desk.hold("0")
    (new,) = places(desk.hold("-0.01"))
    late = OrderSeen(t_ms=desk.now, client_id=old, order_id=50, status="FINISHED", executed=D("0.01"))
    assert desk.do(late) == []
    assert desk.state.stop_id == new.client_id
    assert desk.state.intents[new.client_id].state is IntentState.PLANNED


def test_a_position_that_only_a_reading_shows_gets_its_stop() -> None:
    # An order was said to have executed nothing, its trade was deleted, and the position stayed without a stop.
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    desk.send(order)
    desk.answer(order, status="EXPIRED")
    commands = desk.read("0.01", fills=(trade(desk, 1, "0.01", 7, None),))
    (stop,) = places(commands)
    assert (stop.purpose, stop.amount) == (Purpose.STOP, D("-0.01"))


def test_when_a_position_is_gone_its_stop_and_its_take_profit_are_taken_back() -> None:
    # Orphans of a position that was closed opened another one.
    desk = Desk(replace(CONDUCT, take_profit=D("0.2")))
    desk.begin()
    guards = places(desk.hold("0.01"))
    for guard in guards:
        desk.send(guard)
        desk.answer(guard, status="NEW")
    cancelled = [command.client_id for command in desk.hold("0") if isinstance(command, Cancel)]
    assert cancelled == [guard.client_id for guard in guards]


def test_a_position_that_has_changed_while_the_policy_thought_voids_its_decision() -> None:
    # A loop of two minutes sized the same entry twice from an old position.
    desk = Desk()
    desk.begin()
    assert asks_policy(desk.close_bar())
    desk.hold("-0.02")
    assert "is void" in alerts(desk.decide(open_="0.01"))


def test_a_live_stop_that_a_question_does_not_find_once_stays_a_live_stop() -> None:
    # Stops in a service of their own were not found, and declared rejected.
    desk = Desk()
    desk.begin("0.01")
    stop = desk.state.stop_id
    assert stop is not None
    assert places(desk.do(Queried(t_ms=desk.now, client_id=stop, is_absent=True))) == []
    assert desk.state.intents[stop].state is IntentState.OPEN


def test_a_stop_of_a_person_is_obeyed_and_no_event_undoes_it() -> None:
    # Positions were opened again after a person had closed them and stopped the program.
    desk = Desk()
    desk.begin("0.01")
    desk.do(trade(desk, 1, "-0.01", 99, "web_1"))
    desk.hold("0")
    desk.read("0")
    assert desk.state.stop_kind is StopKind.HALT
    assert places(desk.close_bar()) == []
