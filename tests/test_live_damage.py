"""A trader whose journal is damaged: it is refused in a sentence, nothing is sent, and nothing of it is changed."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rl_trader.errors import RlTraderError
from rl_trader.live.core.words import StopKind
from rl_trader.live.journal.chain import DamagedJournalError
from rl_trader.live.journal.file import move_aside
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.journal.rows import IntentRow
from tests.live_session_stage import play, random_deployment, recorded_exchange, session_on, trader_of, until


def flip(path: Path, share: float) -> None:
    """Flip a bit at a place that is so far in the file."""
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 0x10
    path.write_bytes(content)


def flip_digest(path: Path) -> None:
    """Flip a bit of what was sent, wherever it lies."""
    with open_read_only(path) as reader:
        client_id = next(row.client_order_id for _, row in reader.rows(IntentRow))
    content = path.read_bytes()
    assert client_id.encode() in content
    path.write_bytes(content.replace(client_id.encode(), client_id[:-1].encode() + b"7"))


PROTECTIVE = 2  # orders of a position: stop and take profit
DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "a bit of its first page": lambda path: flip(path, 0.0),
    "the client ids of an order": flip_digest,
    "its second half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "all of its content": lambda path: path.write_bytes(b""),
    "its tip": lambda path: path.with_name(f"{path.name}.tip").unlink(),
}


def test_a_damaged_journal_is_refused_until_it_is_moved_aside_and_then_a_person_has_to_look(
    recorded_data: Path, tmp_path: Path
) -> None:
    deployment, exchange = random_deployment(recorded_data, tmp_path), recorded_exchange(recorded_data)
    journal = tmp_path / "paper.journal"
    told: list[str] = []

    async def enter() -> None:
        async with session_on(exchange, deployment, tmp_path, told.append) as session:
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, 1)
            while not trader_of(exchange).position("BTCUSDT").amount:
                await play(exchange, session, task, 1)
            await until(lambda: len(trader_of(exchange).open_algo_orders) == PROTECTIVE, task)
            task.cancel()
            await asyncio.wait([task])

    async def be_refused() -> RlTraderError:
        with pytest.raises(RlTraderError) as refused:
            async with session_on(exchange, deployment, tmp_path, told.append):
                pass
        return refused.value

    async def begin_anew() -> None:
        async with session_on(exchange, deployment, tmp_path, told.append) as session:
            task = asyncio.create_task(session.run())
            assert session.trader is not None
            state = session.trader.core.state
            await until(lambda: state.is_reconciled, task)
            await until(lambda: state.stop_kind is StopKind.HALT, task)
            assert "is of another instance or journal" in state.stop_reason
            assert set(trader_of(exchange).open_algo_orders) >= left
            session.resume("it is of the damaged journal", "a test")
            await until(lambda: not left & set(trader_of(exchange).open_algo_orders), task)
            await until(lambda: len(trader_of(exchange).open_algo_orders) == PROTECTIVE, task)
            assert not state.is_stopped
            task.cancel()
            await asyncio.wait([task])

    with exchange:
        asyncio.run(enter())
        whole = {path: path.read_bytes() for path in tmp_path.glob("paper.journal*") if path.suffix != ".ballast"}
        num_orders, left = len(trader_of(exchange).orders), set(trader_of(exchange).open_algo_orders)
        for name, damage in DAMAGES.items():
            damage(journal)
            damaged = journal.read_bytes()
            refused = asyncio.run(be_refused())
            assert isinstance(refused, DamagedJournalError), (name, refused)
            assert str(journal) in str(refused)
            assert journal.read_bytes() == damaged, name
            for path, content in whole.items():
                path.write_bytes(content)
        journal.write_bytes(b"")
        asyncio.run(be_refused())
        move_aside(journal)
        asyncio.run(begin_anew())
        assert len(trader_of(exchange).orders) == num_orders
