"""The live trader in virtual time on a local exchange that fails: a few seeds, and bugs that must be caught.

``python -m scripts.faults`` plays as many as wanted, and ``--self-test`` plants every bug.
"""

import pytest

from rl_trader.errors import ConfigError
from rl_trader.rehearsal.many import rehearse_many
from rl_trader.rehearsal.planted import catch


def test_no_invariant_is_broken_in_a_few_seeds() -> None:
    total = rehearse_many(range(3))
    assert (total.seeds, total.broken) == (3, {})
    assert all(total.looked.values())
    assert sum(total.fired.values()) > 0


def test_nothing_to_play_is_refused() -> None:
    with pytest.raises(ConfigError, match="seeds and workers must be 1 at least"):
        rehearse_many(range(0))


@pytest.mark.parametrize("bug", ["an order is sent again on a time-out"])
def test_a_planted_bug_is_caught_by_the_invariant_that_names_it(bug: str) -> None:
    caught = catch(bug)
    assert caught.invariant in caught.wanted
