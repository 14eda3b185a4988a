"""A disk that fails while the trader is at work: it closes its position out of the reserve, and enters no more.

How much the journal may hold is limited as a full disk would, and the limit goes when the reserve is given back.
"""

import asyncio
from pathlib import Path

import pytest

from rl_trader.live.core.words import IntentState, Purpose
from rl_trader.live.journal.chain import JournalError
from rl_trader.live.journal.file import ballast_path
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.journal.rows import IntentRow
from rl_trader.live.session import Session
from tests.live_session_stage import play, random_deployment, recorded_exchange, session_on, trader_of, until

PLENTY = 1_000_000  # pages


def limit(session: Session, num_pages: int = 0) -> None:
    """Let the journal have so many pages, or no more than it has."""
    connection = session._journal._connection
    pages = num_pages or connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_left_by_a_reducing_order_and_nothing_is_entered_any_more(
    recorded_data: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    deployment, exchange = random_deployment(recorded_data, tmp_path), recorded_exchange(recorded_data)
    sessions: list[Session] = []

    def tell(text: str) -> None:
        told.append(text)
        if "from its reserve" in text:
            limit(sessions[0], PLENTY)

    async def live() -> None:
        async with session_on(exchange, deployment, tmp_path, tell) as session:
            sessions.append(session)
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, 1)
            while not trader_of(exchange).position("BTCUSDT").amount:
                await play(exchange, session, task, 1)
            assert session.trader is not None
            state = session.trader.core.state
            limit(session)
            while not state.is_stopped:  # the market stands still, so that nothing but this closes the position
                session._fire("poll")
                await asyncio.sleep(0.01)
                session._flush()
            await until(lambda: not trader_of(exchange).position("BTCUSDT").amount, task)
            await until(lambda: not state.working(), task)
            num_orders = len(trader_of(exchange).orders)
            for _ in range(3):
                exchange.to_next_open()
                await asyncio.sleep(0.1)
            assert len(trader_of(exchange).orders) == num_orders
            task.cancel()
            await asyncio.wait([task])

    with exchange:
        asyncio.run(live())
    journal = tmp_path / "paper.journal"
    assert not ballast_path(journal).exists()
    with open_read_only(journal) as reader:
        reader.verify()
        (stop,) = reader.latched_stops()
        assert stop.kind == "KILL"
        assert "cannot be written" in stop.reason
        intents = [(number, row) for number, row in reader.rows(IntentRow) if number >= stop.seq]
        assert all(row.reduce_only for _, row in intents)
        last = intents[-1][1]
        assert last.purpose == Purpose.FLATTEN
        assert reader.intent_state(last.client_order_id) == IntentState.FILLED
    assert len([text for text in told if "from its reserve" in text]) == 1


def test_a_disk_that_fails_for_good_ends_the_trader_before_what_is_not_written_is_sent(
    recorded_data: Path, tmp_path: Path
) -> None:
    deployment, exchange = random_deployment(recorded_data, tmp_path), recorded_exchange(recorded_data)

    async def live() -> None:
        async with session_on(exchange, deployment, tmp_path, lambda _text: None) as session:
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, 2)
            limit(session)
            async with asyncio.timeout(60.0):
                while not task.done():
                    exchange.to_next_open()
                    await asyncio.sleep(0.05)
            with pytest.raises(ExceptionGroup) as ended:  # one or more of the trader's parts find it out
                await task
            assert ended.group_contains(JournalError)

    with exchange:
        asyncio.run(live())
    with open_read_only(tmp_path / "paper.journal") as reader:
        written = {row.client_order_id for _, row in reader.rows(IntentRow)}
    sent = {order.client_order_id for order in trader_of(exchange).orders.values()}
    assert len(sent) > 1
    assert sent <= written
