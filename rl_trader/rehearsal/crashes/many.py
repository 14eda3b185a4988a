"""Many kills on several processes, over every flow and point, and what came of them.

Each worker is a fork server: it has imported everything, holds the exchange, and forks the trader's processes.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from logging import CRITICAL, disable
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.rehearsal.crashes.points import PAIRS
from rl_trader.rehearsal.crashes.run import Crash, Result, crash_once

Pair = tuple[str, str]
WAITING: Final = 4  # kills that wait for a process

_IN_MEMORY: Final = Path("/dev/shm")


@dataclass(slots=True)
class Total:
    """What came of many kills."""

    planned: Counter[Pair] = field(default_factory=Counter)  # by flow and point
    hit: Counter[Pair] = field(default_factory=Counter)
    broken: dict[Crash, list[str]] = field(default_factory=dict)
    looked: Counter[str] = field(default_factory=Counter)  # by invariant
    played: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result) -> None:
        """Count a kill."""
        crash = result.crash
        pair = crash.flow, crash.point
        self.planned[pair] += 1
        self.hit[pair] += result.is_hit
        self.looked.update(result.looked)
        self.played.update(result.played)
        if result.breaches:
            self.broken[crash] = list(map(str, result.breaches))

    @property
    def missed(self) -> list[Pair]:
        """Flows and points of which no kill has come about."""
        return [pair for pair in self.planned if not self.hit[pair]]


def plan(num_kills: int) -> list[Crash]:
    """Return which kills there are: of all flows and points alike, or of some that lie evenly among them.

    Raises:
        ConfigError: If there is none.
    """
    if num_kills < 1:
        raise ConfigError(f"kills must be 1 at least and were {num_kills}")
    rounds, rest = divmod(num_kills, len(PAIRS))
    pairs = [(pair, seed) for seed in range(rounds) for pair in PAIRS]
    pairs += [(PAIRS[number * len(PAIRS) // rest], rounds) for number in range(rest)]
    return [Crash(flow=flow, point=point, seed=seed) for (flow, point), seed in pairs]


def crash_many(
    num_kills: int,
    num_workers: int = 1,
    report: Callable[[Result], object] = lambda _result: None,
    folder: Path | None = None,
) -> Total:
    """Kill, start again and ask, many times.

    Args:
        num_kills: How often.
        num_workers: Processes; the result does not depend on their number.
        report: Told of every result.
        folder: In which the journals are; None is the memory's file system where there is one, since a kill loses
            nothing that was written to any.

    Raises:
        ConfigError: If there is no kill or no worker.
    """
    if num_workers < 1:
        raise ConfigError(f"workers must be 1 at least and were {num_workers}")
    if folder is None and _IN_MEMORY.is_dir():
        folder = _IN_MEMORY
    total = Total()
    for result in _results(plan(num_kills), num_workers, folder):
        total.add(result)
        report(result)
    return total


def _results(crashes: Sequence[Crash], num_workers: int, folder: Path | None) -> Iterator[Result]:
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=_be_fork_server) as pool:
        waiting: list[Future[Result]] = []
        for crash in crashes:
            waiting.append(pool.submit(partial(crash_once, crash, folder)))
            if len(waiting) >= WAITING * num_workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _be_fork_server() -> None:
    """Be quiet, and let no child copy what none of them changes."""
    disable(CRITICAL)
    gc.freeze()
