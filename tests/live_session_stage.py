"""A checkpoint deployed over sockets on a local exchange that replays recorded bars, one after the other."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from agents.presets import BTCUSDT_30M
from rl_trader.config import TradingConfig
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


def random_deployment(recorded_data: Path, folder: Path, trading: TradingConfig = TRADING) -> Deployment:
    """Return a random policy on recorded bars of BTCUSDT; its run is ``runs/random`` of a folder."""
    env = replace(ENV, features=tuple(name for name in ENV.features if "taker" not in name), trading=trading)
    config = replace(BTCUSDT_30M, env=env, market=RECORDED, data=recorded_data, runs=folder / "runs", name="random")
    return load_deployment(random_run(config).path)


def recorded_exchange(recorded_data: Path) -> LocalExchange:
    """Return the exchange on which it trades."""
    return LocalExchange(
        Setup(
            data=recorded_data,
            interval="30m",
            since_ms=parse_date("2025-02-03"),
            balance=Decimal(10_000),
            slippage=TRADING.slippage,
        )
    )


def session_on(exchange: LocalExchange, deployment: Deployment, folder: Path, tell: Callable[[str], object]) -> Session:
    """Return a session whose journal lies in a folder."""
    return Session(setup_on(exchange, deployment, folder), tell)


def setup_on(exchange: LocalExchange, deployment: Deployment, folder: Path) -> SessionSetup:
    """Return what is deployed on an exchange, with its journal in a folder."""
    venue = Venue.paper(exchange.url, exchange.ws_url)
    key = exchange.key
    return SessionSetup(
        deployment=deployment,
        venue=venue,
        gate=Gate(venue),
        credentials=Credentials(key=Secret(key.key), secret=Secret(key.secret)),
        account=key.account,
        caps=CAPS,
        journal=folder / "paper.journal",
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
        await until(lambda: state.books.amount == trader_of(exchange).position(state.conduct.symbol).amount, task)
        await until(lambda: not any(is_on_its_way(intent) for intent in state.intents.values()), task)


def is_on_its_way(intent: Intent) -> bool:
    """Return whether an order is between the journal and the exchange's answer."""
    return intent.state in (IntentState.PLANNED, IntentState.SENT)


def trader_of(exchange: LocalExchange) -> Trader:
    """Return the account as the exchange has it."""
    return exchange.assembly.venue.trader("main")
