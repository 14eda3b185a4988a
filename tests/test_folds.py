"""Folds in time order and their combinations."""

from itertools import pairwise

import pytest

from rl_trader.bars import MS_PER_DAY
from rl_trader.errors import ConfigError
from rl_trader.folds import combinatorial_folds, num_paths, paths, walk_forward_folds
from rl_trader.market import Period

DAY = MS_PER_DAY
WHOLE = Period(100 * DAY, 1_100 * DAY)


def length(period: Period) -> int:
    assert period.since is not None
    assert period.until is not None
    return (period.until - period.since) // DAY


@pytest.mark.parametrize("scheme", ["anchored", "rolling"])
def test_tests_tile_the_end_and_periods_are_purged(scheme: str) -> None:
    folds = walk_forward_folds(WHOLE, 4, scheme=scheme, purge_ms=int(2.5 * DAY), unit_ms=DAY)  # type: ignore[arg-type]
    assert folds[-1].test.until == WHOLE.until
    for fold in folds:
        # 1 000 days, half of them trained on: four tests and half a validation's length share the other half.
        assert (length(fold.test), length(fold.validation)) == (111, 55)
        assert fold.train.until is not None
        assert fold.validation.since == fold.train.until + 3 * DAY  # two and a half days, in whole days
        assert fold.validation.until is not None
        assert fold.test.since == fold.validation.until + 3 * DAY
    for before, after in pairwise(folds):
        assert before.test.until == after.test.since
    lengths = [length(fold.train) for fold in folds]
    if scheme == "anchored":
        assert {fold.train.since for fold in folds} == {WHOLE.since}
        assert lengths == sorted(set(lengths))
    else:
        assert len(set(lengths)) == 1
        assert folds[0].train.since == WHOLE.since


def test_folds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not leave more than the purge"):
        walk_forward_folds(WHOLE, 50, purge_ms=20 * DAY, unit_ms=DAY)
    with pytest.raises(ConfigError, match="at least one test"):
        walk_forward_folds(WHOLE, 0)
    with pytest.raises(ConfigError, match="cannot be tested"):
        combinatorial_folds(WHOLE, 3, 3)
    with pytest.raises(ConfigError, match="not longer than purge and embargo"):
        combinatorial_folds(WHOLE, 100, 2, purge_ms=5 * DAY)


def test_six_groups_over_two_are_fifteen_folds_and_five_paths() -> None:
    folds = combinatorial_folds(WHOLE, 6, 2)
    assert len(folds) == 15
    assert num_paths(6, 2) == 5
    found = paths(folds, 6)
    assert len(found) == 5
    for path in found:
        assert all(group in folds[row].groups for group, row in enumerate(path))
    assert len({(group, row) for path in found for group, row in enumerate(path)}) == 30


def test_no_training_touches_a_tested_group_its_purge_or_its_embargo() -> None:
    purge, embargo = 3 * DAY, 7 * DAY
    for fold in combinatorial_folds(WHOLE, 6, 2, purge_ms=purge, embargo_ms=embargo):
        for tested in fold.test:
            assert tested.since is not None
            assert tested.until is not None
            for trained in fold.train:
                assert trained.since is not None
                assert trained.until is not None
                before, after = trained.until <= tested.since - purge, trained.since >= tested.until + purge + embargo
                assert before or after
        # Groups that lie side by side are trained on as one stretch.
        assert all(a.until != b.since for a, b in pairwise(fold.train))
