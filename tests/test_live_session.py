"""A checkpoint deployed over sockets on a local exchange: it decides, trades, keeps its stop, and goes on."""

import asyncio
import os
from pathlib import Path

import pytest

from rl_trader.live.policy.deployment import Deployment
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.live_session_stage import play, random_deployment, recorded_exchange, session_on, trader_of, until


@pytest.fixture
def deployment(recorded_data: Path, tmp_path: Path) -> Deployment:
    return random_deployment(recorded_data, tmp_path)


@pytest.fixture
def exchange(recorded_data: Path) -> LocalExchange:
    return recorded_exchange(recorded_data)


def test_a_deployed_checkpoint_trades_keeps_a_stop_and_goes_on_where_it_ended(
    exchange: LocalExchange, deployment: Deployment, tmp_path: Path
) -> None:
    alerts: list[str] = []

    async def live(num_bars: int) -> None:
        async with session_on(exchange, deployment, tmp_path, alerts.append) as session:
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, num_bars)
            task.cancel()
            await asyncio.wait([task])
            assert session.trader is not None
            state = session.trader.core.state
            assert not state.is_stopped, state.stop_reason
            assert state.books.wallet_balance == trader_of(exchange).books.wallet_balance

    with exchange:
        asyncio.run(live(8))
        first = len(trader_of(exchange).fills)
        assert first > 3
        position = trader_of(exchange).position("BTCUSDT")
        stops = list(trader_of(exchange).open_algo_orders.values())
        assert bool(stops) == bool(position.amount)
        asyncio.run(live(6))
        assert len(trader_of(exchange).fills) > first, "\n".join(alerts[-40:])
    ids = [order.client_order_id for order in trader_of(exchange).orders.values()]
    assert len(ids) == len(set(ids))
    assert {text.partition(".")[0] for text in ids} <= {"rlt1", "rlt2"}


def test_a_kill_closes_the_position_and_no_restart_enters_again(
    exchange: LocalExchange, deployment: Deployment, tmp_path: Path
) -> None:
    alerts: list[str] = []

    async def live(*, kills: bool) -> None:
        async with session_on(exchange, deployment, tmp_path, alerts.append) as session:
            task = asyncio.create_task(session.run())
            assert session.trader is not None
            if kills:
                while not trader_of(exchange).position("BTCUSDT").amount:
                    await play(exchange, session, task, 1)
                session.ask_to_stop("KILL", "enough", "a test")
                await until(lambda: not trader_of(exchange).position("BTCUSDT").amount, task)
            else:
                state = session.trader.core.state
                await until(lambda: session.is_user_stream_up and state.is_reconciled, task)
                num_orders = len(trader_of(exchange).orders)
                for _ in range(3):
                    exchange.to_next_open()
                    await asyncio.sleep(0.1)
                assert len(trader_of(exchange).orders) == num_orders
                assert state.stop_reason == "enough (by a test)"
            task.cancel()
            await asyncio.wait([task])

    with exchange:
        asyncio.run(live(kills=True))
        asyncio.run(live(kills=False))
        assert not trader_of(exchange).open_algo_orders


def test_nothing_of_a_session_shows_a_secret(exchange: LocalExchange, deployment: Deployment, tmp_path: Path) -> None:
    alerts: list[str] = []

    async def live() -> None:
        async with session_on(exchange, deployment, tmp_path, alerts.append) as session:
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, 2)
            task.cancel()
            await asyncio.wait([task])

    with exchange:
        asyncio.run(live())
        key = exchange.key
        listen_key = exchange.call(lambda: exchange.assembly.venue.hub.listen_keys.key_of("main"))
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert files
    for secret in (key.key, key.secret, str(listen_key)):
        assert all(secret.encode() not in path.read_bytes() for path in files if os.access(path, os.R_OK))
        assert all(secret not in text for text in alerts)
