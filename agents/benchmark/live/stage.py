"""What the live trader is measured on: a recording, a run that decides anew at every bar, and an exchange beside it.

The run observes what the default configuration does and has a network of the usual size, with random weights, so that
it moves at almost every bar. The recording's mark-price candles are longer than its bars, as in the recordings that the
presets train on; where they are of the bars' own interval, the trader waits half a second for a candle before it
decides (``FeedLimits.marks_ms``).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from agents.benchmark.environment import account_config
from agents.benchmark.market import SYMBOL, synthetic_tables
from rl_trader.checkpoint import Checkpoint, save_checkpoint
from rl_trader.config import EnvConfig, Slippage
from rl_trader.decision import ActionMap
from rl_trader.live.core.caps import Caps
from rl_trader.live.exchange.secrets import Credentials, Secret
from rl_trader.live.exchange.venue import Gate, Venue
from rl_trader.live.policy.deployment import load_deployment
from rl_trader.live.session import SessionSetup
from rl_trader.local_exchange.assembly import Setup, assemble_lock_step, machine_ms
from rl_trader.local_exchange.protocol.limits import UNLIMITED
from rl_trader.local_exchange.shells.local import make_server
from rl_trader.market import build_market
from rl_trader.network import Layer, NetworkPolicy
from rl_trader.observed_market import observe_market
from rl_trader.store import DataStore

INTERVAL: Final = "30m"
MARK_INTERVAL: Final = "8h"
BAR_MS: Final = 1_800_000
NUM_BARS: Final = 12_000
FIRST_BAR: Final = 2_000  # that is played; what is before can be asked for
HIDDEN: Final = 64
BALANCE: Final = Decimal(100_000)
CAPS: Final = Caps(
    symbols=(SYMBOL,),
    max_order_notional=Decimal(100_000_000),
    max_position_notional=Decimal(100_000_000),
    max_leverage=Decimal(50),
    price_band=Decimal("0.1"),
    orders_per_minute=100_000,
    orders_per_day=1_000_000,
    turnover_per_day=Decimal(1_000_000_000_000),
    max_daily_loss=Decimal("0.99"),
    max_drawdown=Decimal("0.99"),
    max_mark_age_ms=10**12,
    min_liquidation_distance=Decimal("0.001"),
)


class Place(NamedTuple):
    """Where an exchange listens, and the first account's key."""

    port: int
    key: str
    secret: str


def live_env() -> EnvConfig:
    """Return the configuration of the run: the default, with a continuous action."""
    env = account_config()
    return replace(
        env, trading=replace(env.trading, levels=(), rebalance_band=0.02, slippage=Slippage(half_spread=0.0001))
    )


def write_stage(folder: Path) -> None:
    """Write the recording and the run's checkpoint."""
    tables = synthetic_tables(NUM_BARS, INTERVAL, MARK_INTERVAL)
    store = DataStore(folder / "data")
    store.write(f"klines_{INTERVAL}", SYMBOL, tables.klines)
    store.write(f"mark_price_{MARK_INTERVAL}", SYMBOL, tables.mark_prices[MARK_INTERVAL])
    assert tables.funding is not None
    store.write("funding_rate", SYMBOL, tables.funding)
    env = live_env()
    observed = observe_market(build_market([tables], INTERVAL), env.schema)
    policy = _policy(env.schema.size)
    golden = np.random.default_rng(1).normal(0.0, 1.0, (4, env.schema.size)).astype(np.float32)
    series = {SYMBOL: {"mark_price": [MARK_INTERVAL], "taker_buy_volume": True}}
    checkpoint = Checkpoint(
        policy=policy,
        env=env,
        scaling=observed.scaling,
        interval=INTERVAL,
        terms=observed.market.terms,
        golden_observations=golden,
        golden_targets=policy.targets(golden),
        facts={"timesteps": 0, "series": series},
    )
    save_checkpoint(folder / "checkpoint", checkpoint)


def _policy(size: int) -> NetworkPolicy:
    rng = np.random.default_rng(0)
    shapes = ((HIDDEN, size), (HIDDEN, HIDDEN), (1, HIDDEN))
    layers = tuple(
        Layer(rng.normal(0.0, 0.3, shape).astype(np.float32), np.zeros(shape[0], np.float32)) for shape in shapes
    )
    return NetworkPolicy(layers, "tanh", "mean", ActionMap(levels=()))


def session_setup(folder: Path, place: Place, journal: Path, port: int | None = None) -> SessionSetup:
    """Return what is deployed.

    Args:
        folder: That :func:`write_stage` has filled.
        place: The exchange.
        journal: File of the journal.
        port: Through which the exchange is reached; None is its own.
    """
    address = f"127.0.0.1:{port or place.port}"
    venue = Venue.paper(f"http://{address}", f"ws://{address}")
    return SessionSetup(
        deployment=load_deployment(folder / "checkpoint"),
        venue=venue,
        gate=Gate(venue),
        credentials=Credentials(key=Secret(place.key), secret=Secret(place.secret)),
        account="main",
        caps=CAPS,
        journal=journal,
    )


@contextmanager
def exchange(folder: Path) -> Iterator[Place]:
    """Run a local exchange in lock-step, at a bar's open, in a process of its own."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(folder, theirs), daemon=True)
    process.start()
    theirs.close()  # so that its end is noticed
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def _serve(folder: Path, connection: Connection) -> None:
    asyncio.run(_serve_until_told(folder, connection))


async def _serve_until_told(folder: Path, connection: Connection) -> None:
    opens = DataStore(folder / "data").klines(SYMBOL, INTERVAL)["open_time"]
    setup = Setup(
        data=folder / "data",
        symbols=(SYMBOL,),
        interval=INTERVAL,
        since_ms=int(opens.iloc[FIRST_BAR]),
        slippage=live_env().trading.slippage,
        balance=BALANCE,
        limits=UNLIMITED,
    )
    assembly = assemble_lock_step(setup, machine_ms)
    key = assembly.keys[0]
    async with make_server(assembly) as server:
        connection.send(Place(server.port, key.key, key.secret))
        await asyncio.to_thread(connection.recv)
