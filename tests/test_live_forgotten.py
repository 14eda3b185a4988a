"""Orders that the exchange has forgotten while the trader was away: over by proof, and never before."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from rl_trader.live.core.commands import Cancel, CancelAll, Command, Decide, Query, ReadAccount
from rl_trader.live.core.events import AllCancelled, MarketSeen, Queried, Started, TimerFired
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.state import DAY_MS
from rl_trader.live.core.words import IntentState
from tests.test_live_core import Desk, places

D = Decimal


def open_entry(desk: Desk, price: str | None) -> Intent:
    """Let an entry be open at the exchange."""
    desk.close_bar()
    (entry,) = places(desk.decide(open_="0.01", price=price))
    desk.send(entry)
    desk.answer(entry, status="NEW")
    return entry


def answer_all(desk: Desk, commands: list[Command], read: Callable[[], list[Command]]) -> None:
    """Let the exchange answer as one that knows no order."""
    for command in commands:
        match command:
            case Query(client_id, _) | Cancel(client_id, False):
                answer_all(desk, desk.do(Queried(t_ms=desk.now, client_id=client_id, is_absent=True)), read)
            case CancelAll():
                answer_all(desk, desk.do(AllCancelled(t_ms=desk.now)), read)
            case ReadAccount():
                answer_all(desk, read(), read)


def come_back(desk: Desk, entry: Intent, away_ms: int, amount: str = "0") -> IntentState:
    """Let the trader begin again after a time, and live for ten minutes; return how the order stands then."""

    def read() -> list[Command]:
        return desk.read(amount, searched=(entry.client_id,))

    desk.now += away_ms
    answer_all(desk, desk.do(Started(t_ms=desk.now, epoch=2)), read)
    desk.do(MarketSeen(t_ms=desk.now, is_alive=True, mark_price=D(50_000)))
    for _ in range(75):
        desk.now += 8_000
        for name in ("poll", "resting", f"query {entry.client_id}"):
            answer_all(desk, desk.do(TimerFired(t_ms=desk.now, name=name)), read)
    return desk.state.intents[entry.client_id].state


@pytest.mark.parametrize("price", ["49900", None])
def test_an_order_that_the_exchange_has_forgotten_is_over_and_the_trader_trades_on(price: str | None) -> None:
    desk = Desk()
    desk.begin()
    entry = open_entry(desk, price)
    assert come_back(desk, entry, 4 * DAY_MS) is IntentState.ENDED
    assert any(isinstance(command, Decide) for command in desk.close_bar())


@pytest.mark.parametrize("price", ["49900", None])
def test_an_order_that_the_exchange_cannot_have_forgotten_yet_stays_unknown(price: str | None) -> None:
    desk = Desk()
    desk.begin()
    entry = open_entry(desk, price)
    assert come_back(desk, entry, 3 * DAY_MS - 1_000_000) is IntentState.UNKNOWN


def test_an_order_stays_unknown_while_the_position_is_not_explained_without_it() -> None:
    desk = Desk()
    desk.begin()
    entry = open_entry(desk, "49900")
    desk.now += 4 * DAY_MS
    desk.do(Started(t_ms=desk.now, epoch=2))
    for _ in range(4):
        desk.now += 8_000
        desk.do(Queried(t_ms=desk.now, client_id=entry.client_id, is_absent=True))
        desk.do(AllCancelled(t_ms=desk.now))
    desk.read("0.01", searched=(entry.client_id,))  # the position has moved, and no trade says why
    assert desk.state.intents[entry.client_id].state is IntentState.UNKNOWN
    desk.read("0", searched=(entry.client_id,))
    assert desk.state.intents[entry.client_id].state is IntentState.ENDED


def test_an_order_whose_trades_are_not_all_told_stays_unknown() -> None:
    desk = Desk()
    desk.begin()
    desk.close_bar()
    (entry,) = places(desk.decide(open_="0.01"))
    desk.send(entry)
    desk.answer(entry, status="PARTIALLY_FILLED")
    told = desk.state.intents[entry.client_id]
    desk.state.keep(told.moved(told.state, executed=D("0.005")))
    assert come_back(desk, entry, 4 * DAY_MS) is IntentState.UNKNOWN
