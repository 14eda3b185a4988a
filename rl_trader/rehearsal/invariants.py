"""Every invariant by its name, and what asks them all.

A checker that never looks at anything proves nothing: what each has looked at is counted.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rl_trader.rehearsal import boundary, convergence, exposure, observing, safety
from rl_trader.rehearsal.day import day_opening, lost_day
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.tally import Breach, Tally

Checker = Callable[[Record, Tally], Iterator[str]]

CHECKERS: Final[Mapping[str, Checker]] = {
    "I1 one order a leg": safety.one_order_a_leg,
    "I2 journalled first": safety.journalled_first,
    "I3 frozen while unknown": safety.frozen_while_unknown,
    "I4 within the caps": exposure.within_caps,
    "I4 within the caps at worst": exposure.within_caps_at_worst,
    "I5 only out after a stop": safety.only_out_after_a_stop,
    "I5 the day's loss": day_opening,
    "I5 a lost day": lost_day,
    "I6 no turn in one order": safety.no_turn_in_one_order,
    "I7 nowhere else": boundary.nowhere_else,
    "I8 decided once": safety.decided_once,
    "I9 client ids": safety.client_ids,
    "I10 natural keys": safety.natural_keys,
    "I11 never hot": safety.never_hot,
    "I11 silent while banned": safety.silent_while_banned,
    "I12 no secret told": boundary.no_secret_told,
    "I13 transitions": safety.transitions,
    "C1 same account": convergence.same_account,
    "C2 same money": convergence.same_money,
    "C3 nothing unexplained": convergence.nothing_unexplained,
    "C4 guarded": convergence.guarded,
    "C4 never bare": convergence.never_bare,
    "C5 nothing open-ended": convergence.nothing_open_ended,
    "C6 replayed": convergence.replayed,
    "C7 observed": observing.observed,
    "C8 whole series": observing.whole_series,
    "C9 recovered": observing.recovered,
    "C11 hears": convergence.hears,
    "L1 lives on": convergence.lives_on,
    "L2 decides again": convergence.decides_again,
}


def check(record: Record, tally: Tally) -> list[Breach]:
    """Return everything that is broken."""
    breaches = []
    for name, checker in CHECKERS.items():
        tally.name = name
        tally.look(0)
        breaches += [Breach(name, sentence) for sentence in checker(record, tally)]
    return breaches
