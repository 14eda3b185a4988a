"""Play many cases on both witnesses, on several processes, and count."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

import numpy as np

from rl_trader.differential.cases import NUM_BARS, draw_case
from rl_trader.differential.comparison import Comparison, Tally
from rl_trader.differential.orders import draw_margin_move, draw_order
from rl_trader.differential.witnesses import Books, Kernel
from rl_trader.errors import ConfigError
from rl_trader.state import EVENT_NAMES

CASES_AT_ONCE: Final = 20  # that a process plays before it reports
ASKED_EVERY: Final = 5  # bars between two questions about the account
LEAST_SHARE: Final = 0.02  # of the initial balance; with less left a case ends


def play_case(seed: int, number: int, tally: Tally) -> None:
    """Play one case to its end, or until nothing is left to trade with."""
    rng = np.random.default_rng([seed, number])
    case = draw_case(rng)
    kernel, books = Kernel(case), Books(case)
    comparison = Comparison(case, kernel, books, tally, f"seed {seed} case {number}")
    for t in range(1, NUM_BARS):
        mark = float(case.bars[t - 1]["mark_close"])
        cash = draw_margin_move(rng, kernel.account)
        if cash != 0.0:
            kernel.move_margin(cash, mark)
            books.move_margin(cash, mark)
        before = kernel.account
        order = draw_order(rng, case, before, t - 1)
        played = kernel.play(order, t)
        comparison.bar(before, order, played, books.play(order, t), t)
        for bit, name in EVENT_NAMES.items():
            if played.events & bit:
                tally.events[name] += 1
        if t % ASKED_EVERY == 0:
            close = float(case.bars[t]["mark_close"])
            comparison.answers(kernel.answers(close), books.answers(close), t)
        if played.account.wallet_balance < LEAST_SHARE * case.trading.initial_balance:
            break


def _play_cases(seed: int, numbers: range) -> Tally:
    tally = Tally()
    for number in numbers:
        play_case(seed, number, tally)
    return tally


def compare_witnesses(
    num_steps: int, seed: int, num_workers: int, report: Callable[[int], object] = lambda _steps: None
) -> Tally:
    """Play at least ``num_steps`` bars on both witnesses.

    Args:
        num_steps: Bars to play; whole cases are.
        seed: Of everything that is drawn.
        num_workers: Processes; the result does not depend on their number.
        report: Told the number of bars that every batch of cases played.

    Raises:
        ConfigError: If a number is not positive.
    """
    if num_steps < 1 or num_workers < 1 or seed < 0:
        raise ConfigError(
            f"steps and workers must be positive and the seed not negative, were {num_steps}, {num_workers} and {seed}"
        )
    total = Tally()
    for tally in _batches(num_steps, seed, num_workers):
        total.add(tally)
        report(tally.steps)
        if total.steps >= num_steps:
            break
    return total


def _batches(num_steps: int, seed: int, num_workers: int) -> Iterator[Tally]:
    """Yield the tallies of one batch of cases after another, in order."""
    starts = range(0, num_steps, CASES_AT_ONCE)  # more than are played
    if num_workers == 1:
        for start in starts:
            yield _play_cases(seed, range(start, start + CASES_AT_ONCE))
        return
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(_play_cases, seed, range(s, s + CASES_AT_ONCE)) for s in starts[: 2 * num_workers]]
        for start in starts[2 * num_workers :]:
            yield waiting.pop(0).result()
            waiting.append(pool.submit(_play_cases, seed, range(start, start + CASES_AT_ONCE)))
        for future in waiting:
            yield future.result()
