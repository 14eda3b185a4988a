"""Memory of a market that eight processes play at the same time, beside one copy of its arrays."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from agents.benchmark.effort import Effort
from agents.benchmark.environment import account_config, account_hash, bench_market
from agents.benchmark.measure import Contest
from agents.benchmark.peers.venvs import AbsentPeerError
from envs.vector_env import TradingVectorEnv
from rl_trader.mapped_market import MappedMarket, map_market

NUM_WORKERS: Final = 8
NUM_ENVS: Final = 16
SMALL: Final = 2_000  # bars
BYTES_PER_MIB: Final = 2**20
BYTES_PER_KIB: Final = 1024
SHARES: Final = Path("/proc/self/smaps_rollup")


@contextmanager
def workers(effort: Effort) -> Iterator[Contest]:
    """Memory in MiB that the market takes in eight processes together, over what they took without it.

    Raises:
        AbsentPeerError: If the system does not tell how pages are shared.
    """
    if not SHARES.exists():
        raise AbsentPeerError("only Linux tells how much of a process's memory is shared")
    observed = bench_market(effort.num_shared)
    arrays = observed.rows.nbytes + observed.market.bars.nbytes
    with tempfile.TemporaryDirectory(prefix="rl_trader_bench_") as name, ExitStack() as stack:
        small = map_market(bench_market(SMALL), Path(name) / "small")
        mapped = map_market(observed, Path(name) / "whole")
        connections = [stack.enter_context(_worker()) for _ in range(NUM_WORKERS)]
        _let_play(connections, small)  # loads the kernels
        before = _sum_of_shares(connections)
        _let_play(connections, mapped)
        yield Contest(
            subject=lambda: (_sum_of_shares(connections) - before) / BYTES_PER_MIB,
            reference=lambda: arrays / BYTES_PER_MIB,
            reference_name="one copy of its bars and features",
            config=account_hash(),
        )


@contextmanager
def _worker() -> Iterator[Connection]:
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_play, args=(theirs,))
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join()


def _let_play(connections: list[Connection], market: MappedMarket) -> None:
    for connection in connections:
        connection.send(market)
    for connection in connections:
        connection.recv()


def _sum_of_shares(connections: list[Connection]) -> float:
    for connection in connections:
        connection.send(None)
    return float(sum(connection.recv() for connection in connections))


def _play(connection: Connection) -> None:
    """Tell this process's share of memory whenever asked, and play a market that is sent."""
    market: MappedMarket | None = None
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        if asked is None:
            connection.send(_own_share())
            continue
        market = asked
        env = TradingVectorEnv(NUM_ENVS, market, account_config(), copy=False)
        env.reset(seed=0)
        connection.send(float(market.rows.sum()) + float(market.market.bars["close"].sum()))  # reads every page


def _own_share() -> int:
    """Return the bytes of this process in memory, pages that are shared divided by those who share them."""
    line = next(line for line in SHARES.read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * BYTES_PER_KIB
