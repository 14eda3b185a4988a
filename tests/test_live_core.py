"""The trader's core, event by event: what it does, and what it never does."""

from decimal import Decimal
from typing import Any, get_args

import pytest

from rl_trader.live.core.codec import CodecError, decode, decode_event, encode
from rl_trader.live.core.commands import Alert, Cancel, Command, Decide, Place, Query, ReadAccount, SetTimer
from rl_trader.live.core.events import (
    AccountSeen,
    Answered,
    BarClosed,
    Decided,
    Event,
    FillSeen,
    IncomeSeen,
    MarketSeen,
    OrderSeen,
    Queried,
    Resumed,
    Sending,
    Snapshot,
    Started,
    StopAsked,
    TimerFired,
)
from rl_trader.live.core.intents import Intent, TransitionError, client_id, epoch_of
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.step import Core
from rl_trader.live.core.words import IntentState, Purpose, StopKind

D = Decimal
BAR_MS = 60_000
T0 = 1_700_000_040_000 // BAR_MS * BAR_MS
CONDUCT = Conduct(
    symbol="BTCUSDT",
    bar_ms=BAR_MS,
    tick_size=D("0.1"),
    step_size=D("0.001"),
    stop_loss=D("0.1"),
    take_profit=None,
)


def let_go(_state: State, _intent: Intent) -> str | None:
    return None


class Desk:
    """A core, and what it has commanded."""

    def __init__(self, conduct: Conduct = CONDUCT) -> None:
        self.core = Core(State(conduct), let_go)
        self.now = T0
        self.trades = 100

    @property
    def state(self) -> State:
        """The core's state."""
        return self.core.state

    def do(self, event: Event) -> list[Command]:
        """Let an event happen."""
        return self.core.step(event)

    def read(self, amount: str = "0", wallet: str = "1000", **more: Any) -> list[Command]:
        """Let the account be read: flat, or with a position from 50 000."""
        entry = "50000" if D(amount) else "0"
        facts: dict[str, Any] = {
            "entry_price": D(entry),
            "isolated_wallet": D(0),
            "fills": (),
            "income": (),
            "open_orders": (),
            "open_stops": (),
            "is_user_stream_healthy": True,
        }
        return self.do(Snapshot(t_ms=self.now, wallet_balance=D(wallet), amount=D(amount), **(facts | more)))

    def begin(self, amount: str = "0") -> list[Command]:
        """Start, and read the account."""
        self.do(Started(t_ms=self.now, epoch=1))
        self.do(MarketSeen(t_ms=self.now, is_alive=True, mark_price=D(50_000)))
        commands = self.read(amount)
        for stop in places(commands):
            self.send(stop)
            self.answer(stop, status="NEW")
        return commands

    def close_bar(self) -> list[Command]:
        """Let the next bar close."""
        self.now += BAR_MS
        return self.do(BarClosed(t_ms=self.now, open_ms=self.now - BAR_MS, close=D(50_000), mark_close=D(50_000)))

    def decide(self, reduce: str = "0", open_: str = "0", fault: str = "", price: str | None = None) -> list[Command]:
        """Let the policy answer, with limit orders if there is a price."""
        return self.do(
            Decided(
                t_ms=self.now,
                open_ms=self.now - BAR_MS,
                observation_sha="",
                action="1",
                target=D(1),
                reduce_amount=D(reduce),
                open_amount=D(open_),
                fault=fault,
                limit_price=None if price is None else D(price),
            )
        )

    def order(self, reduce: str = "0", open_: str = "0") -> Intent:
        """Let a bar close and the policy want something; return the order that goes."""
        assert any(isinstance(command, Decide) for command in self.close_bar())
        (placed,) = places(self.decide(reduce, open_))
        return placed

    def send(self, intent: Intent) -> None:
        """Let an order be on its way."""
        self.do(Sending(t_ms=self.now, client_id=intent.client_id, fence_ms=self.now + 18_000))

    def answer(
        self, intent: Intent, outcome: str = "ACKED", status: str = "FILLED", code: int | None = None
    ) -> list[Command]:
        """Let the exchange answer."""
        return self.do(
            Answered(
                t_ms=self.now,
                client_id=intent.client_id,
                outcome=outcome,
                code=code,
                reason="as the test wants it",
                order_id=7 if outcome == "ACKED" else None,
                status=status if outcome == "ACKED" else "",
                executed=abs(intent.amount) if status == "FILLED" and outcome == "ACKED" else D(0),
            )
        )

    def hold(self, amount: str, entry: str = "50000") -> list[Command]:
        """Let the exchange tell of a position."""
        return self.do(
            AccountSeen(
                t_ms=self.now,
                wallet_balance=D(1000),
                amount=D(amount),
                entry_price=D(entry) if D(amount) else D(0),
                isolated_wallet=D(0),
                reason="ORDER",
            )
        )

    def fill(self, intent: Intent, amount: str | None = None) -> FillSeen:
        """Let a trade be told."""
        self.trades += 1
        event = FillSeen(
            t_ms=self.now,
            trade_id=self.trades,
            order_id=7,
            client_id=intent.client_id,
            amount=D(amount) if amount else intent.amount,
            price=D(50_000),
            realized=D(0),
            commission=D("0.25"),
        )
        self.do(event)
        return event


def places(commands: list[Command]) -> list[Intent]:
    return [command.intent for command in commands if isinstance(command, Place)]


def alerts(commands: list[Command]) -> str:
    return "; ".join(command.text for command in commands if isinstance(command, Alert))


def test_nothing_is_decided_before_the_account_has_been_read() -> None:
    desk = Desk()
    commands = desk.do(Started(t_ms=desk.now, epoch=1))
    assert ReadAccount("the start") in commands
    desk.do(MarketSeen(t_ms=desk.now, is_alive=True, mark_price=D(50_000)))
    assert "not reconciled" in alerts(desk.close_bar())


def test_a_decision_becomes_one_order_and_its_bar_is_never_decided_again() -> None:
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    assert (order.purpose, order.amount, order.side) == (Purpose.ENTRY, D("0.01"), "BUY")
    assert desk.decide(open_="0.01") == []  # the answer of the policy, once more
    again = BarClosed(t_ms=desk.now, open_ms=desk.now - BAR_MS, close=D(1), mark_close=D(1))
    assert desk.do(again) == []


@pytest.mark.parametrize("is_read", [False, True])
def test_a_funding_that_is_told_before_the_bar_that_ended_at_it_is_not_observed_yet(is_read: bool) -> None:
    # Short 0.1 with 1 000, 500 of it isolated; at the bar's end 2.5 are received, and told before the bar is.
    desk = Desk()
    desk.begin("-0.1")
    end = desk.now + BAR_MS
    account = {"amount": D("-0.1"), "entry_price": D(50_000)}
    desk.do(AccountSeen(t_ms=desk.now, wallet_balance=D(1000), isolated_wallet=D(500), reason="ORDER", **account))
    if is_read:
        income = (IncomeSeen(t_ms=end, kind="FUNDING_FEE", tran_id=1, amount=D("2.5")),)
        desk.now = end
        desk.read("-0.1", "1002.5", isolated_wallet=D("502.5"), income=income)
        desk.now = end - BAR_MS
    else:
        paid = {"wallet_balance": D("1002.5"), "isolated_wallet": D("502.5")}
        desk.do(AccountSeen(t_ms=end + 4, reason="FUNDING_FEE", **paid, **account))
    (first,) = (command for command in desk.close_bar() if isinstance(command, Decide))
    assert (first.wallet_balance, first.isolated_wallet) == (D(1000), D(500))
    desk.decide()
    (second,) = (command for command in desk.close_bar() if isinstance(command, Decide))
    assert (second.wallet_balance, second.isolated_wallet) == (D("1002.5"), D("502.5"))


def test_a_flip_sends_its_second_leg_only_when_the_first_is_filled() -> None:
    desk = Desk()
    desk.begin("0.02")
    close = desk.order(reduce="-0.02", open_="-0.01")
    assert (close.purpose, close.amount) == (Purpose.EXIT, D("-0.02"))
    desk.send(close)
    (entry,) = places(desk.answer(close))
    assert (entry.purpose, entry.amount) == (Purpose.ENTRY, D("-0.01"))


@pytest.mark.parametrize(("outcome", "status"), [("REJECTED", ""), ("UNKNOWN", ""), ("ACKED", "EXPIRED")])
def test_a_flip_ends_where_its_first_leg_is_not_filled(outcome: str, status: str) -> None:
    desk = Desk()
    desk.begin("0.02")
    close = desk.order(reduce="-0.02", open_="-0.01")
    desk.send(close)
    assert places(desk.answer(close, outcome, status)) == []
    if outcome != "UNKNOWN":
        assert desk.state.waiting == []


def test_an_unknown_order_is_asked_for_and_freezes_entries_and_is_never_sent_again() -> None:
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    desk.send(order)
    commands = desk.answer(order, "UNKNOWN")
    assert SetTimer(f"query {order.client_id}", 500) in commands
    sent = places(commands)
    for _ in range(40):
        desk.now += 1_000
        commands = desk.do(TimerFired(t_ms=desk.now, name=f"query {order.client_id}"))
        assert Query(order.client_id, is_conditional=False) in commands
        sent += places(commands)
    assert "unknown state" in alerts(desk.close_bar())
    assert sent == []


def test_an_order_is_absent_only_after_fence_questions_and_a_reading_that_explains_everything() -> None:
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    desk.send(order)
    desk.answer(order, "UNKNOWN")
    for _ in range(3):
        desk.do(Queried(t_ms=desk.now, client_id=order.client_id, is_absent=True))
    desk.read()  # before the fence
    assert desk.state.intents[order.client_id].state is IntentState.UNKNOWN
    desk.now += 31_000
    commands = desk.do(TimerFired(t_ms=desk.now, name=f"query {order.client_id}"))
    assert any(isinstance(command, ReadAccount) for command in commands)
    desk.read("0.01", is_user_stream_healthy=True)  # the position has moved and no trade says why
    assert desk.state.intents[order.client_id].state is IntentState.UNKNOWN
    desk.read("0", is_user_stream_healthy=False)  # nobody has listened
    assert desk.state.intents[order.client_id].state is IntentState.UNKNOWN
    desk.read("0")  # it was not looked for among all orders
    assert desk.state.intents[order.client_id].state is IntentState.UNKNOWN
    desk.read("0", searched=(order.client_id,))
    assert desk.state.intents[order.client_id].state is IntentState.ABSENT


def test_an_unknown_order_that_has_filled_is_found_by_its_event() -> None:
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    desk.send(order)
    desk.answer(order, "UNKNOWN")
    desk.do(OrderSeen(t_ms=desk.now, client_id=order.client_id, order_id=7, status="FILLED", executed=D("0.01")))
    assert desk.state.intents[order.client_id].state is IntentState.FILLED
    # An answer that comes late, and says less, changes nothing.
    desk.answer(order, "UNKNOWN")
    assert desk.state.intents[order.client_id].state is IntentState.FILLED


def test_every_position_has_a_stop_and_a_changed_entry_price_another_one() -> None:
    desk = Desk()
    desk.begin()
    (stop,) = places(desk.hold("0.01"))
    assert (stop.purpose, stop.side, stop.trigger_price) == (Purpose.STOP, "SELL", D("45000.0"))
    desk.send(stop)
    desk.answer(stop, status="NEW")
    assert desk.hold("0.01") == []
    commands = desk.hold("0.02", "50100.05")
    assert commands[0] == Cancel(stop.client_id, is_conditional=True)
    (second,) = places(commands)
    assert second.trigger_price == D("45090.1")  # 45 090.045, up to the tick
    commands = desk.hold("0")
    assert commands == [Cancel(second.client_id, is_conditional=True)]


def test_a_short_positions_stop_is_above_it_and_rounded_down() -> None:
    desk = Desk()
    desk.begin()
    (stop,) = places(desk.hold("-0.01", "50000.77"))
    assert (stop.side, stop.trigger_price) == ("BUY", D("55000.8"))  # 55 000.847


def test_a_stop_that_ends_while_there_is_a_position_is_placed_again() -> None:
    desk = Desk()
    desk.begin()
    (stop,) = places(desk.hold("0.01"))
    desk.send(stop)
    desk.answer(stop, status="NEW")
    gone = OrderSeen(t_ms=desk.now, client_id=stop.client_id, order_id=7, status="CANCELED", executed=D(0))
    assert SetTimer("guard", 500) in desk.do(gone)
    (again,) = places(desk.do(TimerFired(t_ms=desk.now, name="guard")))
    assert again.client_id != stop.client_id


def test_a_position_whose_stop_is_met_already_is_closed() -> None:
    desk = Desk()
    desk.begin()
    (stop,) = places(desk.hold("0.01"))
    desk.send(stop)
    (out,) = places(desk.answer(stop, "REJECTED", code=-2021))
    assert (out.purpose, out.amount) == (Purpose.FLATTEN, D("-0.01"))


def test_fills_and_income_count_once_however_often_they_are_told() -> None:
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    fill = desk.fill(order)
    desk.do(fill)
    funding = IncomeSeen(t_ms=desk.now, kind="FUNDING_FEE", tran_id=9, amount=D("-0.5"))
    desk.do(funding)
    desk.do(funding)
    books = desk.state.books
    assert (books.filled, books.ledger_balance) == (D("0.01"), D("999.25"))
    assert alerts(desk.read("0.01", "999.25", fills=(fill,), income=(funding,))) == ""
    assert not desk.state.is_stopped


@pytest.mark.parametrize(
    ("amount", "wallet", "words"),
    [("0.01", "1000", "the position is 0.01 and its trades sum to 0"), ("0", "999", "its bookings sum to 1000")],
)
def test_a_difference_that_nothing_explains_ends_entries(amount: str, wallet: str, words: str) -> None:
    desk = Desk()
    desk.begin()
    again = desk.read(amount, wallet)
    assert "it is read again" in alerts(again)
    assert SetTimer("poll", 2_000) in again
    desk.now += 9_999
    assert "it is read again" in alerts(desk.read(amount, wallet))
    assert not desk.state.is_stopped
    assert not any(isinstance(command, Decide) for command in desk.close_bar())
    assert words in alerts(desk.read(amount, wallet))
    assert desk.state.stop_kind is StopKind.HALT
    assert desk.state.books.amount == D(amount)  # the exchange is believed


@pytest.mark.parametrize("client", ["web_123", client_id(2, "x", "y", 1)])
def test_orders_of_others_on_the_account_end_entries(client: str) -> None:
    desk = Desk()
    desk.begin()
    other = OrderSeen(t_ms=desk.now, client_id=client, order_id=3, status="NEW", executed=D(0))
    desk.read(open_orders=(other,))
    assert desk.state.stop_kind is StopKind.HALT


def test_a_kill_cancels_closes_and_stays_until_a_person_resumes() -> None:
    desk = Desk()
    desk.begin("0.01")
    order = desk.order(open_="0.01")
    desk.send(order)
    desk.answer(order, status="NEW")
    commands = desk.do(StopAsked(t_ms=desk.now, kind="KILL", reason="enough", by="a test"))
    assert Cancel(order.client_id, is_conditional=False) in commands
    (out,) = places(commands)
    assert (out.purpose, out.amount) == (Purpose.FLATTEN, D("-0.01"))
    desk.send(out)
    desk.answer(out)
    desk.fill(out)
    gone = OrderSeen(t_ms=desk.now, client_id=order.client_id, order_id=7, status="CANCELED", executed=D(0))
    desk.do(gone)
    desk.hold("0")
    for event in (Started(t_ms=desk.now, epoch=2), MarketSeen(t_ms=desk.now, is_alive=True, mark_price=D(1))):
        assert places(desk.do(event)) == []
    desk.read(wallet="999.75")
    desk.close_bar()
    assert places(desk.decide(open_="0.01")) == []
    desk.do(Resumed(t_ms=desk.now, reason="looked at it", by="a test"))
    assert any(isinstance(command, Decide) for command in desk.close_bar())


def test_an_open_order_that_the_exchange_does_not_list_is_asked_for_and_then_doubted() -> None:
    desk = Desk()
    desk.begin()
    order = desk.order(open_="0.01")
    desk.send(order)
    desk.answer(order, status="NEW")
    assert Query(order.client_id, is_conditional=False) in desk.read()
    for _ in range(2):
        desk.do(Queried(t_ms=desk.now, client_id=order.client_id, is_absent=True))
    assert desk.state.intents[order.client_id].state is IntentState.UNKNOWN


def test_a_stop_that_the_exchange_has_lost_is_placed_again() -> None:
    desk = Desk()
    desk.begin()
    (stop,) = places(desk.hold("0.01"))
    desk.send(stop)
    desk.answer(stop, status="NEW")
    desk.do(
        FillSeen(
            t_ms=desk.now,
            trade_id=1,
            order_id=1,
            client_id=None,
            amount=D("0.01"),
            price=D(1),
            realized=D(0),
            commission=D(0),
        )
    )
    assert Query(stop.client_id, is_conditional=True) in desk.read("0.01")
    desk.do(Queried(t_ms=desk.now, client_id=stop.client_id, is_absent=True))
    commands = desk.do(Queried(t_ms=desk.now, client_id=stop.client_id, is_absent=True))
    assert SetTimer("guard", 500) in commands
    assert len(places(desk.do(TimerFired(t_ms=desk.now, name="guard")))) == 1


def test_what_was_being_sent_when_the_process_ended_is_unknown() -> None:
    desk = Desk()
    desk.begin()
    planned = desk.order(open_="0.01")
    commands = desk.do(Started(t_ms=desk.now, epoch=2))
    assert desk.state.intents[planned.client_id].state is IntentState.UNKNOWN
    assert SetTimer(f"query {planned.client_id}", 500) in commands
    assert places(commands) == []


def test_three_decisions_without_an_action_or_three_refused_entries_end_entries() -> None:
    desk = Desk()
    desk.begin()
    for _ in range(3):
        desk.close_bar()
        desk.decide(fault="the action is not a number")
    assert "3 decisions in a row" in desk.state.stop_reason
    desk = Desk()
    desk.begin()
    for _ in range(3):
        order = desk.order(open_="0.01")
        desk.send(order)
        desk.answer(order, "REJECTED", code=-2019)
    assert "3 entries in a row" in desk.state.stop_reason


def test_a_decision_that_no_longer_fits_the_position_is_void() -> None:
    desk = Desk()
    desk.begin("0.02")
    desk.close_bar()
    desk.hold("0")  # the stop was met meanwhile
    assert "void" in alerts(desk.decide(reduce="-0.02", open_="-0.01"))


def test_client_ids_are_short_tell_their_instance_and_differ_by_what_they_are_for() -> None:
    ids = {client_id(epoch, d, leg, n) for epoch in (1, 500) for d in "ab" for leg in "xy" for n in (1, 2)}
    assert len(ids) == 16
    assert all(len(made) <= 36 for made in ids)
    assert epoch_of(client_id(500, "a", "x", 1)) == 500
    assert [epoch_of(text) for text in ("web_1", "rlt-1-1", "rltzz-a-1", "rlt1-a")] == [None] * 4


def test_an_order_that_is_over_stays_over() -> None:
    intent = Intent(client_id="a", decision="1", leg="x", attempt=1, purpose=Purpose.ENTRY, amount=D(1))
    over = intent.moved(IntentState.SENT).moved(IntentState.FILLED)
    with pytest.raises(TransitionError, match="is FILLED and cannot become OPEN"):
        over.moved(IntentState.OPEN)


def test_every_event_survives_the_journal() -> None:
    fill = FillSeen(
        t_ms=1,
        trade_id=2,
        order_id=3,
        client_id=None,
        amount=D("-0.010"),
        price=D("1E-8"),
        realized=D(0),
        commission=D(0),
    )
    snapshot = Snapshot(
        t_ms=1,
        wallet_balance=D("1.10"),
        amount=D(0),
        entry_price=D(0),
        isolated_wallet=D(0),
        fills=(fill, fill),
        income=(),
        open_orders=(OrderSeen(t_ms=1, client_id="a", order_id=None, status="NEW", executed=D(0)),),
        open_stops=(),
        is_user_stream_healthy=False,
    )
    for event in (fill, snapshot, Started(t_ms=1, epoch=1)):
        assert decode_event(type(event).__name__, encode(event)) == event
    intent = Intent(client_id="a", decision="1", leg="x", attempt=1, purpose=Purpose.STOP, amount=D(1))
    assert decode(Intent, encode(intent)) == intent
    with pytest.raises(CodecError, match="missing or unknown field"):
        decode_event("Started", {"t_ms": 1})
    with pytest.raises(CodecError, match="does not know"):
        decode_event("Nothing", {})
    assert len(get_args(Event)) == 24
