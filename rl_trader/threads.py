"""Threads that share the accounts of one step.

A step lasts some hundred microseconds: a helper is woken by a lock, without queues or futures, and the caller takes the
larger share, since it need not be woken. Nothing here waits busily, so that the threads of torch are left in peace.
"""

import threading
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from rl_trader.errors import ConfigError

Work = Callable[[slice], None]

CALLERS_SURPLUS: Final = 0.2  # how much larger than a helper's share the caller's is, as a fraction of it


class Helper:
    """One thread that waits for work."""

    def __init__(self) -> None:
        self._begin = threading.Lock()
        self._end = threading.Lock()
        self._begin.acquire()
        self._end.acquire()
        self._work: tuple[Work, slice] | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def start(self, work: Work, share: slice) -> None:
        """Begin ``work(share)``."""
        self._work = (work, share)
        self._begin.release()

    def wait(self) -> None:
        """Wait until it is done."""
        self._end.acquire()

    def stop(self) -> None:
        """End the thread, which must not be at work."""
        self._work = None
        self._begin.release()

    def _serve(self) -> None:
        while True:
            self._begin.acquire()
            if self._work is None:
                return
            work, share = self._work
            self._work = None
            try:
                work(share)
            finally:
                del work
                self._end.release()


class Crew:
    """The caller and its helpers, each with its share of ``num_items``."""

    def __init__(self, num_items: int, num_threads: int) -> None:
        """Start the helpers.

        Raises:
            ConfigError: If there are fewer items than threads, or no thread.
        """
        if not 1 <= num_threads <= num_items:
            raise ConfigError(f"num_threads must be from 1 to the {num_items} accounts, was {num_threads}")
        first = round(num_items * (1.0 + CALLERS_SURPLUS) / (num_threads + CALLERS_SURPLUS))
        rest = num_items - first
        borders = [first + rest * i // max(num_threads - 1, 1) for i in range(num_threads)]
        self._own = slice(0, borders[0])
        self._shares = [slice(begin, end) for begin, end in pairwise(borders)]
        self._helpers = [Helper() for _ in self._shares]
        for helper in self._helpers:
            weakref.finalize(self, helper.stop)

    def run(self, work: Work) -> None:
        """Call ``work`` with every share, each in its thread, and return when all are done."""
        for helper, share in zip(self._helpers, self._shares, strict=True):
            helper.start(work, share)
        work(self._own)
        for helper in self._helpers:
            helper.wait()
