"""A checkpoint deployed over sockets on a local exchange: it decides, trades, keeps its stop, and goes on."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from agents.presets import BTCUSDT_30M
from rl_trader.klines import parse_date
from rl_trader.live.core.caps import Caps
from rl_trader.live.core.intents import Intent
from rl_trader.live.core.words import IntentState
from rl_trader.live.exchange.secrets import Credentials, Secret
from rl_trader.live.exchange.venue import Gate, Venue
from rl_trader.live.policy.deployment import Deployment, load_deployment
from rl_trader.live.session import Session, SessionSetup
from rl_trader.local_exchange.assembly import Setup
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.random_runs import random_run
from tests.test_parity_run import ENV, RECORDED, TRADING

BAR_MS = 1_800_000
DEADLINE_S = 120.0
CAPS = Caps(
    symbols=("BTCUSDT",),
    max_order_notional=Decimal(1_000_000),
    max_position_notional=Decimal(1_000_000),
    max_leverage=Decimal(50),
    price_band=Decimal("0.1"),
    orders_per_minute=1_000,
    orders_per_day=10_000,
    turnover_per_day=Decimal(1_000_000_000),
    max_daily_loss=Decimal("0.9"),
    max_drawdown=Decimal("0.9"),
    max_mark_age_ms=60_000_000,
    min_liquidation_distance=Decimal("0.001"),
)


@pytest.fixture
def deployment(recorded_data: Path, tmp_path: Path) -> Deployment:
    env = replace(ENV, features=tuple(name for name in ENV.features if "taker" not in name))
    config = replace(BTCUSDT_30M, env=env, market=RECORDED, data=recorded_data, runs=tmp_path / "runs", name="random")
    return load_deployment(random_run(config).path)


@pytest.fixture
def exchange(recorded_data: Path) -> LocalExchange:
    return LocalExchange(
        Setup(
            data=recorded_data,
            interval="30m",
            since_ms=parse_date("2025-02-03"),
            balance=Decimal(10_000),
            slippage=TRADING.slippage,
        )
    )


def session_on(exchange: LocalExchange, deployment: Deployment, folder: Path, alerts: list[str]) -> Session:
    venue = Venue.paper(exchange.url, exchange.ws_url)
    key = exchange.key
    return Session(
        SessionSetup(
            deployment=deployment,
            venue=venue,
            gate=Gate(venue),
            credentials=Credentials(key=Secret(key.key), secret=Secret(key.secret)),
            account=key.account,
            caps=CAPS,
            journal=folder / "paper.journal",
        ),
        alerts.append,
    )


async def until(is_so: Callable[[], bool], task: "asyncio.Task[None]") -> None:
    """Wait for a condition while a session is at work."""
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():
            if task.done():
                task.result()
            await asyncio.sleep(0.01)


async def play(exchange: LocalExchange, session: Session, task: "asyncio.Task[None]", num_bars: int) -> None:
    """Let bars close, each when the last one is decided upon and its orders are over."""
    assert session.trader is not None
    state = session.trader.core.state
    await until(lambda: session.is_user_stream_up and state.is_reconciled, task)
    for _ in range(num_bars):
        begin = exchange.call(exchange.assembly.venue.market_ms) // BAR_MS * BAR_MS
        exchange.advance(begin + BAR_MS - 1)
        exchange.to_next_open()
        await until(lambda opened=begin: state.decided_ms >= opened, task)  # type: ignore[misc]
        await until(lambda: not state.working() and not state.waiting and state.deciding_ms is None, task)
        await until(lambda: state.books.amount == trader_of(exchange).position("BTCUSDT").amount, task)
        await until(lambda: not any(is_on_its_way(intent) for intent in state.intents.values()), task)


def is_on_its_way(intent: Intent) -> bool:
    return intent.state in (IntentState.PLANNED, IntentState.SENT)


def trader_of(exchange: LocalExchange) -> Trader:
    return exchange.assembly.venue.trader("main")


def test_a_deployed_checkpoint_trades_keeps_a_stop_and_goes_on_where_it_ended(
    exchange: LocalExchange, deployment: Deployment, tmp_path: Path
) -> None:
    alerts: list[str] = []

    async def live(num_bars: int) -> None:
        async with session_on(exchange, deployment, tmp_path, alerts) as session:
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
    assert {text[:5] for text in ids} <= {"rlt1-", "rlt2-"}


def test_a_kill_closes_the_position_and_no_restart_enters_again(
    exchange: LocalExchange, deployment: Deployment, tmp_path: Path
) -> None:
    alerts: list[str] = []

    async def live(*, kills: bool) -> None:
        async with session_on(exchange, deployment, tmp_path, alerts) as session:
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
        async with session_on(exchange, deployment, tmp_path, alerts) as session:
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
