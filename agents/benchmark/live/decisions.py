"""From the close of a bar on a socket to the bytes of an order on another one, in whole and by stage.

The chain is the one that trades: frames, observation, policy, risk gate, journal with a sync to the disk, REST. The
exchange runs in a process of its own, the session in another one, and the two ends are timed between them by a proxy.
"""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from agents.benchmark.effort import Effort
from agents.benchmark.environment import config_hash
from agents.benchmark.live.proxy import Proxy
from agents.benchmark.live.session_run import OPEN
from agents.benchmark.live.session_run import STAGES as JOURNALLED
from agents.benchmark.live.stage import Place, exchange, live_env, write_stage
from agents.benchmark.market import SYMBOL
from agents.benchmark.measure import Contest
from rl_trader.contract import load_terms

WHOLE: Final = "whole"
STAGES: Final = ("read", "decide", "journal", "send")
"""A frame until the bar is journalled; then until the decision is; then until the order is, on the disk; then until its
bytes are at the other end."""
FLOOR: Final = "floor"

_NS_PER_MS: Final = 1e6
_CHILD: Final = "agents.benchmark.live.session_run"


class Round(NamedTuple):
    """Times in ms of one run: by stage, each (num_decisions,)."""

    times: dict[str, list[float]]

    def percentile(self, stage: str, share: float) -> float:
        """Return a percentile of a stage's times; ``share`` of 100."""
        return float(np.percentile(self.times[stage], share))


class SessionProcess:
    """A session at work in a process of its own; a context manager.

    Args:
        folder: With the recording and the run.
        place: Of the exchange.
        port: Through which it is reached.
        journal: File of the journal.
    """

    def __init__(self, folder: Path, place: Place, port: int, journal: Path) -> None:
        request = {"folder": str(folder), "place": list(place), "port": port, "journal": str(journal)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._write(json.dumps(request))
        self._read()

    def __enter__(self) -> "SessionProcess":
        """Do nothing: it could decide already."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        with suppress(BrokenPipeError):  # where it has died, its last words stand above
            self._write("")
        self._process.communicate()

    def play(self, num_bars: int) -> list[dict[str, int]]:
        """Let bars be decided upon, and return when what of each was journalled, in ns."""
        self._write(str(num_bars))
        times: list[dict[str, int]] = self._read()
        return times

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> Any:  # noqa: ANN401 - whatever it answers
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the session has ended with {self._process.wait()}; its last words stand above")
        return json.loads(line)


@contextmanager
def line(effort: Effort, stage: str, share: float) -> Iterator[Contest]:
    """Return a percentile of a stage beside that of the floor, of the same runs.

    Args:
        effort: How many decisions a run has.
        stage: One of ``STAGES``, or the whole.
        share: Percentile.
    """
    rounds = rounds_of(effort)
    subjects, references = iter(rounds), iter(rounds)
    yield Contest(
        subject=lambda: next(subjects).percentile(stage, share),
        reference=lambda: next(references).percentile(FLOOR, share),
        reference_name="a synced commit, and a request to a bare socket",
        config=live_hash(),
    )


def live_hash() -> str:
    """Return the hash of the run's configuration."""
    return config_hash(live_env(), [load_terms(SYMBOL, None)])


@lru_cache(maxsize=1)
def rounds_of(effort: Effort) -> tuple[Round, ...]:
    """Measure every run that the lines need; they share them, so that stages are those of the same decisions."""
    with tempfile.TemporaryDirectory(prefix="rl_trader_bench_") as name, ExitStack() as stack:
        folder = Path(name)
        write_stage(folder)
        place = stack.enter_context(exchange(folder))
        proxy = stack.enter_context(Proxy(place.port))
        session = stack.enter_context(SessionProcess(folder, place, proxy.port, folder / "bench.journal"))
        floor = stack.enter_context(_floor(folder))
        return tuple(_round(session, proxy, floor, effort) for _ in range(effort.repeats + 1))


def _round(session: SessionProcess, proxy: Proxy, floor: "Iterator[float]", effort: Effort) -> Round:
    times: dict[str, list[float]] = {name: [] for name in (WHOLE, *STAGES)}
    while len(times[WHOLE]) < effort.num_decisions:
        proxy.closes.clear()
        proxy.orders.clear()
        journalled = session.play(effort.num_decisions - len(times[WHOLE]))
        for stamps in _decided(journalled, proxy.closes, proxy.orders):
            for name, begin, end in zip(STAGES, stamps[:-1], stamps[1:], strict=True):
                times[name].append((end - begin) / _NS_PER_MS)
            times[WHOLE].append((stamps[-1] - stamps[0]) / _NS_PER_MS)
    times[FLOOR] = [next(floor) for _ in range(effort.num_decisions)]
    return Round(times)


def _decided(
    journalled: Sequence[dict[str, int]], closes: Mapping[int, int], orders: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """Yield the times of each bar that led to an order: at both ends, and of what was journalled between.

    Args:
        journalled: Of every bar.
        closes: By a bar's open time, when its end went to the trader.
        orders: When orders came from it.
    """
    for number, stamps in enumerate(journalled):
        closed = closes[stamps[OPEN]]
        until = closes[journalled[number + 1][OPEN]] if number + 1 < len(journalled) else sys.maxsize
        begun = stamps.get(JOURNALLED[-1], sys.maxsize)
        sent = next((order for order in orders if begun < order < until), None)
        if sent is not None:
            yield closed, *(stamps[name] for name in JOURNALLED), sent


@contextmanager
def _floor(folder: Path) -> Iterator[Iterator[float]]:
    """Yield what yields how long the disk and the loopback take alone, in ms."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE row (text)"):
            connection.execute(statement)
        with near, far:
            yield _floors(connection, near, far)
        connection.close()


def _floors(connection: sqlite3.Connection, near: socket.socket, far: socket.socket) -> Iterator[float]:
    text = os.urandom(500)
    while True:
        begin = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO row VALUES (?)", (text,))
        connection.execute("COMMIT")
        near.sendall(text)
        far.recv(len(text), socket.MSG_WAITALL)
        yield 1e3 * (time.perf_counter() - begin)
