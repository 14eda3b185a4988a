"""Two traders on one account: of one journal on one host, and of two journals that know nothing of each other."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from rl_trader.errors import ConfigError
from rl_trader.live.core.commands import Cancel
from rl_trader.live.core.events import OrderSeen, Resumed
from rl_trader.live.core.intents import client_id, epoch_of, instance_of
from rl_trader.live.core.state import State
from rl_trader.live.core.words import StopKind
from rl_trader.live.session import Session
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.live_session_stage import (
    DEADLINE_S,
    play,
    random_deployment,
    recorded_exchange,
    session_on,
    trader_of,
)
from tests.test_live_core import Desk


def test_client_ids_tell_the_starts_of_two_journals_apart_and_fit() -> None:
    longest = client_id(0xFFFF, "1700000000000", "TAKE_PROFIT", 0xFF, "abcdef")
    assert len(longest) <= 36
    assert epoch_of(longest) == 0xFFFF
    ours, theirs = (client_id(1, "1700000000000", "ENTRY", 1, tag) for tag in ("000001", "000002"))
    assert instance_of(ours) != instance_of(theirs)
    assert ours.partition("-")[2] == theirs.partition("-")[2]


def test_a_second_trader_on_a_journal_is_refused_and_sends_no_order(recorded_data: Path, tmp_path: Path) -> None:
    deployment, exchange = random_deployment(recorded_data, tmp_path), recorded_exchange(recorded_data)
    told: list[str] = []

    async def live() -> None:
        async with session_on(exchange, deployment, tmp_path, told.append) as session:
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, 1)
            num_orders = len(trader_of(exchange).orders)
            with pytest.raises(ConfigError, match="must have one trader and process"):
                async with session_on(exchange, deployment, tmp_path, told.append):
                    pass
            assert len(trader_of(exchange).orders) == num_orders
            await play(exchange, session, task, 1)
            task.cancel()
            await asyncio.wait([task])

    with exchange:
        asyncio.run(live())


def state_of(session: Session) -> State:
    assert session.trader is not None
    return session.trader.core.state


def read_account(session: Session) -> None:
    """Let the account be read now."""
    assert session.trader is not None
    session.trader.fire("poll", state_of(session).now_ms)


async def trade_until_both_halt(
    exchange: LocalExchange, sessions: list[Session], tasks: list["asyncio.Task[None]"]
) -> None:
    """Let bars close for both at once, until each has stopped beside the other's orders."""
    for session, task in zip(sessions, tasks, strict=True):
        await play(exchange, session, task, 0)
    async with asyncio.timeout(DEADLINE_S):
        while not all(state_of(session).stop_kind is StopKind.HALT for session in sessions):
            exchange.to_next_open()
            await asyncio.sleep(0.3)


def test_two_traders_of_different_folders_on_one_account_both_stop_and_take_no_stop_of_the_other(
    recorded_data: Path, tmp_path: Path
) -> None:
    deployment, exchange = random_deployment(recorded_data, tmp_path), recorded_exchange(recorded_data)
    told: list[str] = []
    folders = tmp_path / "one", tmp_path / "other"
    for folder in folders:
        folder.mkdir()

    async def live() -> None:
        async with AsyncExitStack() as stack:
            each = [session_on(exchange, deployment, folder, told.append) for folder in folders]
            sessions = [await stack.enter_async_context(session) for session in each]
            tasks = [asyncio.create_task(session.run()) for session in sessions]
            await trade_until_both_halt(exchange, sessions, tasks)
            assert all("is of another instance or journal" in state_of(s).stop_reason for s in sessions)
            await asyncio.sleep(1.0)  # for the stops of what was filled last
            before = set(trader_of(exchange).orders), set(trader_of(exchange).open_algo_orders)
            for session in sessions:
                read_account(session)
            exchange.to_next_open()
            await asyncio.sleep(1.0)
            assert (set(trader_of(exchange).orders), set(trader_of(exchange).open_algo_orders)) == before
            assert bool(before[1]) == bool(trader_of(exchange).position("BTCUSDT").amount)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    with exchange:
        asyncio.run(live())


def test_what_another_instance_has_left_is_taken_back_once_a_person_has_looked() -> None:
    desk = Desk()
    desk.begin("0.01")
    left = client_id(1, "guard 1", "STOP", 1, "other")
    seen = OrderSeen(t_ms=desk.now, client_id=left, order_id=3, status="NEW", executed=Decimal(0))
    assert Cancel(left, is_conditional=True) not in desk.read("0.01", open_stops=(seen,))
    assert desk.state.stop_kind is StopKind.HALT
    desk.do(Resumed(t_ms=desk.now, reason="it is of a journal that is gone", by="me"))
    assert Cancel(left, is_conditional=True) in desk.read("0.01", open_stops=(seen,))
    assert not desk.state.is_stopped
    again = replace(seen, client_id=client_id(1, "guard 2", "STOP", 1, "other"))
    desk.read("0.01", open_stops=(again,))
    assert desk.state.stop_kind is StopKind.HALT
