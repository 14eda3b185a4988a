"""The engine of the local exchange does with an account what the replay does, order by order."""

import numpy as np
import pytest

from rl_trader.differential.cases import NUM_BARS, Case, Rng, draw_case
from rl_trader.differential.orders import NO_ORDER, draw_margin_move, draw_order
from rl_trader.differential.witnesses import Books, Kernel
from rl_trader.local_exchange.books.income import IncomeKind
from rl_trader.local_exchange.books.money import UNIT
from rl_trader.state import Order
from tests.engine_witness import EngineWitness

LEAST_SHARE = 0.02  # of the initial balance; with less left a case ends
INSURANCE_CLEAR = {IncomeKind.LIQUIDATION_FEE, IncomeKind.INSURANCE}


def word(kind: IncomeKind) -> str:
    return "INSURANCE_CLEAR" if kind in INSURANCE_CLEAR else kind.value


def drawn_order(rng: Rng, case: Case, kernel: Kernel, t: int) -> Order:
    """Draw an order, but none that rests where a stop would have to follow its fill within the same leg."""
    order = draw_order(rng, case, kernel.account, t)
    has_stops = case.trading.stop_loss or case.trading.take_profit
    return NO_ORDER if order.limit_price and has_stops else order


def play_case(seed: int, number: int) -> int:
    """Play one case on the books' bars and on the engine, and return the number of bars that were compared."""
    rng = np.random.default_rng([seed, number])
    case = draw_case(rng)
    kernel, books, engine = Kernel(case), Books(case), EngineWitness(case)
    for t in range(1, NUM_BARS):
        mark = float(case.bars[t - 1]["mark_close"])
        if cash := draw_margin_move(rng, kernel.account):
            for witness in (kernel, books, engine):
                witness.move_margin(cash, mark)
        order = drawn_order(rng, case, kernel, t - 1)
        kernel.play(order, t)
        booked, done = books.play(order, t), engine.play(order, t)
        if done.is_unguarded:  # the replay's stop rests all the same
            return t - 1
        where = f"seed {seed} case {number} bar {t}: {order}"
        assert done.lines == tuple((word(kind), amount) for kind, amount, _ in booked.lines), where
        assert engine.trader.books.wallet_balance == books.account.wallet_balance, where
        assert engine.position == books.position, where
        if kernel.account.wallet_balance < LEAST_SHARE * case.trading.initial_balance:
            return t
    return NUM_BARS - 1


@pytest.mark.parametrize("seed", range(4))
def test_the_engine_books_to_the_unit_what_the_books_bar_by_bar_book(seed: int) -> None:
    assert sum(play_case(seed, number) for number in range(35)) > 1_500


def test_the_engines_income_sums_to_its_wallet() -> None:
    rng = np.random.default_rng([9, 9])
    case = draw_case(rng)
    engine = EngineWitness(case)
    kernel = Kernel(case)
    for t in range(1, NUM_BARS):
        order = drawn_order(rng, case, kernel, t - 1)
        kernel.play(order, t)
        engine.play(order, t)
    assert sum(line.amount for line in engine.trader.income) == engine.trader.books.wallet_balance
    assert engine.trader.books.wallet_balance % UNIT == 0
    assert len(engine.trader.fills) > 10
