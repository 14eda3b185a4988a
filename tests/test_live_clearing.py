"""Resuming while no trader runs: a kill that has not closed the position stays, whatever is typed."""

from decimal import Decimal
from pathlib import Path

import pytest

from rl_trader.errors import ConfigError
from rl_trader.live.core.events import AccountSeen, Event, FillSeen, MarketSeen, OrderSeen, Snapshot, Started, StopAsked
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.step import Core
from rl_trader.live.core.words import Purpose
from rl_trader.live.entries import entry
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.schema import JournalIdentity
from rl_trader.live.monitor.clearing import latched_stops
from rl_trader.live.monitor.kill_file import NAME
from scripts import _deploy_resume

D = Decimal
T0 = 1_738_540_800_000
IDENTITY = JournalIdentity(mode="paper", account="main", checkpoint="0")
CONDUCT = Conduct(
    symbol="BTCUSDT",
    bar_ms=60_000,
    tick_size=D("0.1"),
    step_size=D("0.001"),
    stop_loss=None,
    take_profit=None,
)


class Account:
    """A core and its journal, whose position is read and killed.

    Args:
        journal: File that is written.
        amount: Position.
    """

    def __init__(self, journal: Path, amount: str) -> None:
        self.journal = journal
        self.core = Core(State(CONDUCT), lambda _state, _intent: None)
        self.do(
            Started(t_ms=T0, epoch=1),
            MarketSeen(t_ms=T0, is_alive=True, mark_price=D(50_000)),
            Snapshot(
                t_ms=T0,
                wallet_balance=D(1_000),
                amount=D(amount),
                entry_price=D(50_000) if D(amount) else D(0),
                isolated_wallet=D(0),
                fills=(),
                income=(),
                open_orders=(),
                open_stops=(),
                is_user_stream_healthy=True,
            ),
        )

    def do(self, *events: Event) -> None:
        """Let events happen, and journal them."""
        with Journal.open(self.journal, IDENTITY, reserve_bytes=0) as file:
            for event in events:
                self.core.step(event)
                file.append([entry(event, self.core.state, 0, [])])

    def kill(self) -> None:
        """Ask for a kill."""
        self.do(StopAsked(t_ms=T0 + 5, kind="KILL", reason="enough", by="me"))

    def say_flat(self) -> None:
        """Let the exchange say that nothing is held any more."""
        facts = {"wallet_balance": D(1_000), "amount": D(0), "entry_price": D(0), "isolated_wallet": D(0)}
        self.do(AccountSeen(t_ms=T0 + 20, reason="ORDER", **facts))

    def end_orders(self) -> None:
        """Let every order be filled."""
        for order in self.core.state.working():
            self.do(
                OrderSeen(
                    t_ms=T0 + 21, client_id=order.client_id, order_id=7, status="FILLED", executed=abs(order.amount)
                )
            )


def resume(journal: Path) -> int:
    return _deploy_resume.main([str(journal.parent), "--journal", str(journal), "--reason", "because"])


def refused(journal: Path) -> str:
    """Return the sentence with which a resumption is refused, after which all is as before."""
    before = [stop.reason for stop in latched_stops(journal)]
    with pytest.raises(ConfigError, match="a kill must have closed the position before the trader resumes") as caught:
        resume(journal)
    assert [stop.reason for stop in latched_stops(journal)] == before
    return str(caught.value)


def test_a_kill_is_not_cleared_before_the_position_is_closed_and_its_orders_are_over(tmp_path: Path) -> None:
    journal = tmp_path / "main.journal"
    account = Account(journal, "0.5")
    account.kill()
    (tmp_path / NAME).touch()
    assert "by the journal 0.5 is still held" in refused(journal)
    assert (tmp_path / NAME).exists()
    assert [order.purpose for order in account.core.state.working()] == [Purpose.FLATTEN]
    account.say_flat()
    assert "an order of it is still held or on its way; start the trader, which closes it" in refused(journal)
    account.end_orders()
    assert resume(journal) == 0
    assert latched_stops(journal) == []
    assert not (tmp_path / NAME).exists()


def test_a_trade_after_the_newest_word_on_the_account_may_have_opened_something(tmp_path: Path) -> None:
    journal = tmp_path / "main.journal"
    account = Account(journal, "0")
    account.kill()
    account.do(
        FillSeen(
            t_ms=T0 + 9,
            trade_id=1,
            order_id=3,
            client_id=None,
            amount=D("0.5"),
            price=D(50_000),
            realized=D(0),
            commission=D(0),
        )
    )
    assert "what was traded last is still held" in refused(journal)
    account.say_flat()
    assert resume(journal) == 0


def test_a_file_that_no_trader_has_seen_counts_as_a_kill(tmp_path: Path) -> None:
    journal = tmp_path / "main.journal"
    Account(journal, "-0.25")
    (tmp_path / NAME).touch()
    assert "by the journal -0.25 is still held" in refused(journal)
    assert (tmp_path / NAME).exists()


def test_a_halt_is_cleared_while_a_position_is_held(tmp_path: Path) -> None:
    journal = tmp_path / "main.journal"
    Account(journal, "0.5").do(StopAsked(t_ms=T0 + 5, kind="HALT", reason="look", by="me"))
    assert resume(journal) == 0
    assert latched_stops(journal) == []
