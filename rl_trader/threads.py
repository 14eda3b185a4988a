"""Threads that share the accounts of one step.

A step lasts some hundred microseconds, and waking a thread that sleeps takes tens of them, whether it sleeps on a lock
of its own or on the interpreter's. Therefore nobody waits for the interpreter: whoever waits watches a counter in
memory from compiled code, for longer than a step lasts, and only then sleeps. A helper begins when the caller has left
the interpreter, and the caller goes on when the last helper has left it too.
"""

import threading
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.errors import ConfigError
from rl_trader.intrinsics import load, store
from rl_trader.kernels import kernel

WATCHES: Final = 1_000_000  # looks at a counter before a thread sleeps, some hundred microseconds
APART: Final = 16  # entries between two counters, so that each has a cache line of its own
BEGUN: Final = 0  # entry of the counter of steps that have begun; a helper's entry counts those that it has done

Counters = NDArray[np.int64]
Work = Callable[[slice, Counters, int], None]  # of a share; raises the counter BEGUN to a number, unless that is 0


@kernel
def raise_begun(counters: Counters, number: int) -> None:
    """Let the helpers begin with a step; 0 is none."""
    if number > 0:
        store(counters, BEGUN, number)


@kernel
def _watch(counters: Counters, entry: int, wanted: int, num_looks: int) -> bool:
    """Return whether a counter has reached a number within so many looks."""
    for _ in range(num_looks):  # noqa: SIM110 - a kernel
        if load(counters, entry) >= wanted:
            return True
    return False


@kernel
def _tell_and_watch(counters: Counters, entry: int, num_done: int, num_looks: int) -> bool:
    """Tell that a helper has done so many steps, and return whether the next one has begun within so many looks."""
    store(counters, entry, num_done)
    return _watch(counters, BEGUN, num_done + 1, num_looks)


class Helper:
    """One thread that waits for its share of a step's work."""

    def __init__(self, counters: Counters, entry: int, share: slice) -> None:
        self._counters = counters
        self._entry = entry
        self._share = share
        self._work: Work | None = None
        self._begin = threading.Lock()
        self._begin.acquire()
        threading.Thread(target=self._serve, daemon=True).start()

    def hand(self, work: Work) -> None:
        """Give it work, which begins when the caller's own does."""
        self._work = work
        self._begin.release()

    def wait(self, number: int) -> None:
        """Wait until the work of a step is done; signal handlers run meanwhile."""
        while not _watch(self._counters, self._entry, number, WATCHES):
            pass

    def stop(self) -> None:
        """End the thread, which must not be at work."""
        self._work = None
        self._begin.release()

    def _serve(self) -> None:
        num_done = 0
        while True:
            _tell_and_watch(self._counters, self._entry, num_done, WATCHES)
            self._begin.acquire()
            work, self._work = self._work, None
            if work is None:
                return
            try:
                work(self._share, self._counters, 0)
            finally:
                del work
                num_done += 1


class Crew:
    """The caller and its helpers, each with its share of ``num_items``."""

    def __init__(self, num_items: int, num_threads: int) -> None:
        """Start the helpers.

        Raises:
            ConfigError: If there are fewer items than threads, or no thread.
        """
        if not 1 <= num_threads <= num_items:
            raise ConfigError(f"num_threads must be from 1 to the {num_items} accounts, was {num_threads}")
        borders = [num_items * i // num_threads for i in range(num_threads + 1)]
        self._own, *others = (slice(begin, end) for begin, end in pairwise(borders))
        self._counters = np.zeros(APART * num_threads, np.int64)
        self._helpers = [Helper(self._counters, APART * (i + 1), share) for i, share in enumerate(others)]
        self._number = 0
        for helper in self._helpers:
            weakref.finalize(self, helper.stop)

    def run(self, work: Work) -> None:
        """Call ``work`` with every share, each in its thread, and return when all are done."""
        self._number += 1
        for helper in self._helpers:
            helper.hand(work)
        work(self._own, self._counters, self._number)
        for helper in self._helpers:
            helper.wait(self._number)
