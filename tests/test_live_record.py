"""What is kept of the events that are watched: latencies, the last orders, what could not be noted."""

from decimal import Decimal

from rl_trader.live.core.events import Answered, Decided, Resumed, Sending, StopAsked
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.stopping import resume, stop
from rl_trader.live.core.words import IntentState, Purpose
from rl_trader.live.monitor.record import MOST_ORDERS, Record

BAR_MS = 60_000
OPEN_MS = 1_738_540_800_000
CLOSE_MS = OPEN_MS + BAR_MS


class Machine:
    """A clock that goes on when it is told to."""

    now_ms = 0.0

    def __call__(self) -> float:
        """Return its time."""
        return self.now_ms


def new_state() -> State:
    conduct = Conduct(
        symbol="BTCUSDT",
        bar_ms=BAR_MS,
        tick_size=Decimal("0.1"),
        step_size=Decimal("0.001"),
        stop_loss=None,
        take_profit=None,
        leverage=5,
        margin_type="ISOLATED",
    )
    return State(conduct)


def entry_of(number: int) -> Intent:
    return Intent(
        client_id=f"rlt1-{number}-1",
        decision=str(OPEN_MS),
        leg="ENTRY",
        attempt=1,
        purpose=Purpose.ENTRY,
        amount=Decimal("0.25"),
    )


def decided() -> Decided:
    return Decided(
        t_ms=CLOSE_MS + 3,
        open_ms=OPEN_MS,
        observation_sha="",
        action="1",
        target=Decimal("0.5"),
        reduce_amount=Decimal(0),
        open_amount=Decimal("0.25"),
        fault="",
    )


def answered(intent: Intent) -> Answered:
    return Answered(
        t_ms=CLOSE_MS + 40,
        client_id=intent.client_id,
        outcome="ACKED",
        code=None,
        reason="",
        order_id=7,
        status="FILLED",
        executed=Decimal("0.25"),
    )


def test_an_order_has_the_time_from_the_journal_to_the_answer_and_from_the_bar_to_the_socket() -> None:
    machine, state, intent = Machine(), new_state(), entry_of(1)
    record = Record(BAR_MS, machine, str)
    state.keep(intent)
    record.watch(decided(), state)
    state.changes.clear()
    state.keep(intent.moved(IntentState.SENT))
    record.watch(Sending(t_ms=CLOSE_MS + 12, client_id=intent.client_id, fence_ms=0), state)
    machine.now_ms = 31.26
    state.keep(intent.moved(IntentState.SENT).moved(IntentState.FILLED, executed=Decimal("0.25")))
    record.watch(answered(intent), state)
    (order,) = record.last_orders()
    assert (order.latency_ms, order.after_close_ms) == (31.3, 12)
    assert (order.state, order.executed, order.t_ms) == ("FILLED", Decimal("0.25"), CLOSE_MS + 3)
    assert record.decisions[0].target == Decimal("0.5")
    assert record.num_faults == 0


def test_the_newest_orders_are_kept() -> None:
    state = new_state()
    record = Record(BAR_MS, Machine(), str)
    for number in range(MOST_ORDERS + 5):
        state.changes.clear()
        state.keep(entry_of(number))
        record.watch(decided(), state)
    kept = [order.client_id for order in record.last_orders()]
    assert kept == [f"rlt1-{number}-1" for number in range(MOST_ORDERS + 4, 4, -1)]


def test_a_stop_has_its_time_until_it_is_cleared() -> None:
    state = new_state()
    record = Record(BAR_MS, Machine(), str)
    asked = StopAsked(t_ms=OPEN_MS, kind="KILL", reason="why", by="me")
    stop(state, asked)
    record.watch(asked, state)
    assert record.stopped_ms == OPEN_MS
    state.changes.clear()
    again = Resumed(t_ms=CLOSE_MS, reason="why", by="me")
    resume(state, again)
    record.watch(again, state)
    assert record.stopped_ms is None


def test_what_cannot_be_noted_is_counted_and_raises_nothing() -> None:
    record = Record(BAR_MS, Machine(), str)
    record.watch(Sending(t_ms=CLOSE_MS, client_id="nobody's", fence_ms=0), new_state())
    assert record.num_faults == 1
