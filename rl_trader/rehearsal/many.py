"""Many seeds on several processes, some of them twice, and what came of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from logging import CRITICAL, disable
from multiprocessing import get_context
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.rehearsal.run import BARS, Result, rehearse
from rl_trader.rehearsal.tally import Breach

SAME_JOURNAL: Final = "C10 same seed, same journal"
TWICE_EVERY: Final = 10  # seeds; one of them is played twice, on whichever process is free
WAITING: Final = 4  # seeds that wait for a process


@dataclass(slots=True)
class Total:
    """What came of many seeds."""

    seeds: int = 0
    broken: dict[int, list[str]] = field(default_factory=dict)  # by seed
    looked: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    played: Counter[str] = field(default_factory=Counter)
    _journals: dict[int, str] = field(default_factory=dict)  # digests of seeds that are played twice

    def add(self, result: Result) -> None:
        """Count a seed; one that was counted before must have the same journal."""
        if result.seed in self._journals:
            self.looked[SAME_JOURNAL] += 1
            if self._journals.pop(result.seed) != result.journal_sha:
                self._break(result.seed, [Breach(SAME_JOURNAL, "two runs of the seed have written different journals")])
            return
        if is_twice(result.seed):
            self._journals[result.seed] = result.journal_sha
        self.seeds += 1
        for name in ("looked", "fired", "killed", "played"):
            getattr(self, name).update(getattr(result, name))
        self._break(result.seed, result.breaches)

    def _break(self, seed: int, breaches: Sequence[Breach]) -> None:
        if breaches:
            self.broken.setdefault(seed, []).extend(map(str, breaches))


def is_twice(seed: int) -> bool:
    """Return whether a seed is played twice."""
    return seed % TWICE_EVERY == 0


def rehearse_many(
    seeds: range,
    num_bars: int = BARS,
    num_workers: int = 1,
    report: Callable[[Result], object] = lambda _result: None,
) -> Total:
    """Play seeds, and some of them twice.

    Args:
        seeds: Which.
        num_bars: Of one minute, of every seed.
        num_workers: Processes; the result does not depend on their number.
        report: Told of every result.

    Raises:
        ConfigError: If there is no seed or no worker, or too few bars.
    """
    if not seeds or num_workers < 1 or num_bars < BARS:
        raise ConfigError(
            f"seeds and workers must be 1 at least and bars {BARS}, were {len(seeds)}, {num_workers} and {num_bars}"
        )
    total = Total()
    for result in _results([seed for seed in seeds for _ in range(1 + is_twice(seed))], num_bars, num_workers):
        total.add(result)
        report(result)
    return total


def _results(seeds: Sequence[int], num_bars: int, num_workers: int) -> Iterator[Result]:
    play = partial(rehearse, num_bars=num_bars)
    if num_workers == 1:
        yield from map(play, seeds)
        return
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=_be_quiet) as pool:
        waiting: list[Future[Result]] = []
        for seed in seeds:
            waiting.append(pool.submit(play, seed))
            if len(waiting) >= WAITING * num_workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _be_quiet() -> None:
    """Let nothing be logged: faults make connections end a thousand times."""
    disable(CRITICAL)
