"""Tasks side by side in processes of their own: none is lost with its process, and Ctrl-C lets each save what it has.

A worker process leaves the terminal's group, so that Ctrl-C reaches it once, through the process that started it, and
ends by itself when that process is gone. ``interrupt_if_asked`` turns the request into the signal that trainings know.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from typing import Final, Generic, TypeVar

from agents.training.interruption import TrainingInterruptedError
from rl_trader.errors import ConfigError
from rl_trader.processors import share_processors

T = TypeVar("T")
R = TypeVar("R")

MAX_LOSSES: Final = 3  # pools that may break before the tasks are taken to be the reason

_stop: list[Event] = []  # of this worker's pool; empty outside of one


def run_tasks(function: Callable[[T], R], tasks: Iterable[T], workers: int) -> Iterator[tuple[T, R]]:
    """Yield tasks with their results as they are done; a task is taken when a worker is free for it.

    Args:
        function: Importable; plays a task, and can play it again after its process was lost.
        tasks: Taken one by one, the next only after the results before it were yielded.
        workers: Processes; 1 plays the tasks in this one.

    Raises:
        ConfigError: If there is no worker, or worker processes end by themselves again and again.
        TrainingInterruptedError: If Ctrl-C was pressed; the tasks have saved what they have.
        Exception: What ``function`` raises, after the other tasks were asked to save.
    """
    if workers < 1:
        raise ConfigError(f"--workers must be at least 1, was {workers}; give a whole number from 1")
    if workers == 1:
        return ((task, function(task)) for task in tasks)
    return _Pool(function, workers).run(iter(tasks))


def interrupt_if_asked() -> None:
    """In a worker whose pool is asked to stop, press Ctrl-C once; elsewhere do nothing."""
    if _stop and _stop[0].is_set():
        _stop.clear()
        signal.raise_signal(signal.SIGINT)


def _begin(stop: Event, num_workers: int) -> None:
    """Prepare a worker process."""
    os.setpgrp()
    share_processors(num_workers)
    _stop[:] = [stop]
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


class _Pool(Generic[T, R]):
    """Worker processes, and what they are doing."""

    def __init__(self, function: Callable[[T], R], workers: int) -> None:
        self._function = function
        self._workers = workers
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._executor = self._new_executor()
        self._running: dict[Future[R], T] = {}
        self._lost: list[T] = []
        self._num_losses = 0

    def _new_executor(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers, self._context, initializer=_begin, initargs=(self._stop, self._workers)
        )

    def run(self, tasks: Iterator[T]) -> Iterator[tuple[T, R]]:
        """Yield as ``run_tasks`` does."""
        try:
            while self._fill(tasks):
                done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                yield from self._take(done)
        except KeyboardInterrupt:
            raise TrainingInterruptedError from None
        finally:
            self._stop.set()
            self._executor.shutdown(cancel_futures=True)

    def _fill(self, tasks: Iterator[T]) -> bool:
        """Give every free worker a task, those of lost workers first; return whether any is running."""
        while len(self._running) < self._workers:
            if self._lost:
                task = self._lost.pop()
            else:
                try:
                    task = next(tasks)
                except StopIteration:
                    break
            try:
                self._running[self._executor.submit(self._function, task)] = task
            except BrokenProcessPool:  # since the last result
                self._lost.append(task)
                self._replace()
        return bool(self._running)

    def _take(self, done: Iterable[Future[R]]) -> Iterator[tuple[T, R]]:
        """Yield what is done; after the loss of a process, note whose task must be played again."""
        is_broken = False
        for future in done:
            task = self._running.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                is_broken = True
                self._lost.append(task)
            else:
                yield task, result
        if is_broken:
            self._replace()

    def _replace(self) -> None:
        """Start new workers after one was lost, which ends all of its pool."""
        self._num_losses += 1
        if self._num_losses > MAX_LOSSES:
            raise ConfigError(
                f"worker processes ended by themselves {self._num_losses} times, perhaps for want of memory; give fewer"
                " --workers, and the same command goes on"
            )
        self._executor.shutdown()
        self._lost += self._running.values()
        self._running.clear()
        self._executor = self._new_executor()
