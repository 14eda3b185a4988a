"""Kernel and books as witnesses of one account: the quick part of ``scripts.differential``, and its arithmetic."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from rl_trader.differential.cases import draw_case
from rl_trader.differential.comparison import HALF_UNIT, Comparison, Tally, is_near_half
from rl_trader.differential.orders import NO_ORDER
from rl_trader.differential.run import compare_witnesses, play_case
from rl_trader.differential.witnesses import Books, BooksBar, Kernel, KernelBar
from rl_trader.errors import ConfigError
from rl_trader.local_exchange.books.income import IncomeKind
from rl_trader.state import EVENT_NAMES, NOT_REACHED, RUINED

REPO = Path(__file__).parents[1]
SEED = 2026


def test_kernel_and_books_agree_on_every_booking_of_random_bars() -> None:
    tally = compare_witnesses(6_000, SEED, 1)
    print(f"seed {SEED}: {tally.steps} bars, {tally.bookings.total()} bookings, {dict(tally.reasons)}")  # noqa: T201
    assert tally.unexplained == []
    assert tally.steps >= 6_000
    # Everything that can happen in a bar did; ruin is judged after it, and an unreached order shows as one that rested.
    wanted = {name for bit, name in EVENT_NAMES.items() if bit not in (RUINED, NOT_REACHED)}
    assert set(tally.events) == wanted
    assert set(tally.bookings) == {kind.value for kind in IncomeKind}
    assert sum(tally.reasons.values()) < 0.01 * sum(tally.bookings.values())


def test_one_seed_draws_one_case() -> None:
    one, same = (draw_case(np.random.default_rng([3, 5])) for _ in range(2))
    assert one.terms == same.terms
    assert one.trading == same.trading
    assert one.bars.tobytes() == same.bars.tobytes()
    assert draw_case(np.random.default_rng([3, 6])).terms != one.terms


def test_a_booking_that_differs_by_more_than_a_unit_is_unexplained() -> None:
    for amount, booked, exact, reasons, unexplained in (
        (-1_000, -1_000, "-1000.2", {}, 0),
        (-1_001, -1_000, "-1000.5", {HALF_UNIT: 1}, 0),
        (-1_001, -1_000, "-1000.4999999999", {HALF_UNIT: 1}, 0),
        (-1_001, -1_000, "-1000.3", {}, 1),
        (-1_002, -1_000, "-1000.5", {}, 1),
    ):
        tally = Tally()
        case = draw_case(np.random.default_rng([1, 1]))
        kernel, books = Kernel(case), Books(case)
        comparison = Comparison(case, kernel, books, tally, "here")
        played = KernelBar(kernel.account, 0, ((IncomeKind.COMMISSION, amount),))
        comparison.bar(
            kernel.account, NO_ORDER, played, BooksBar(0, ((IncomeKind.COMMISSION, booked, Decimal(exact)),)), 1
        )
        assert dict(tally.reasons) == reasons
        assert len(tally.unexplained) == unexplained


def test_a_line_or_an_event_that_only_one_of_them_has_is_unexplained() -> None:
    case = draw_case(np.random.default_rng([1, 1]))
    kernel, books = Kernel(case), Books(case)
    tally = Tally()
    comparison = Comparison(case, kernel, books, tally, "here")
    comparison.bar(kernel.account, NO_ORDER, KernelBar(kernel.account, 1, ()), BooksBar(0, ()), 1)
    comparison.bar(
        kernel.account, NO_ORDER, KernelBar(kernel.account, 0, ((IncomeKind.COMMISSION, 0),)), BooksBar(0, ()), 1
    )
    assert len(tally.unexplained) == 2
    assert all(sentence.startswith("here bar 1: events") for sentence in tally.unexplained)


def test_an_account_that_drifts_is_noticed() -> None:
    case = draw_case(np.random.default_rng([1, 1]))
    kernel, books = Kernel(case), Books(case)
    tally = Tally()
    books.account.wallet_balance += Decimal("0.00000001")
    Comparison(case, kernel, books, tally, "here").bar(
        kernel.account, NO_ORDER, KernelBar(kernel.account, 0, ()), BooksBar(0, ()), 1
    )
    assert tally.unexplained == ["here bar 1: wallet off by -1 units, though every booking is equal"]
    # The books go on from the kernel's account.
    assert books.account.wallet_balance == Decimal(repr(kernel.account.wallet_balance))


def test_a_half_is_told_by_its_distance() -> None:
    # At a notional of 10 000 USDT binary error is 1e-10, a hundredth of a unit.
    assert is_near_half(Decimal("7.505"), 1e4)
    assert is_near_half(Decimal("-7.495"), 1e4)
    assert not is_near_half(Decimal("7.52"), 1e4)
    assert not is_near_half(Decimal("8"), 1e4)


@pytest.mark.parametrize("numbers", [(0, 1, 1), (10, -1, 1), (10, 1, 0)])
def test_numbers_that_are_none_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        compare_witnesses(*numbers)


def test_the_command_prints_its_seed_and_what_it_counted_whatever_the_number_of_processes() -> None:
    results = []
    for workers in ("1", "2"):
        command = ["-m", "scripts.differential", "--steps", "300", "--seed", "4", "--workers", workers, "--json"]
        done = subprocess.run([sys.executable, *command], cwd=REPO, capture_output=True, text=True, check=True)
        results.append(json.loads(done.stdout))
    assert results[0] == results[1]
    assert results[0]["seed"] == 4
    assert results[0]["steps"] >= 300
    assert results[0]["unexplained"] == []
    tally = Tally()
    for number in range(20):
        play_case(4, number, tally)
    assert tally.steps == results[0]["steps"]
