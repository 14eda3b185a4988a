"""Folds in time order, purged and embargoed, and combinations of them.

A fold trains on the past, chooses on what follows and is tested on what follows that. Between two of its periods lies a
purge: bars whose features, or whose positions, reach from one into the other are in neither. Combinatorial folds train
on both sides of what they are tested on; after a tested group an embargo is added, since what follows it remembers it.
Lopez de Prado 2018, "Advances in financial machine learning", chapters 7 and 12.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from rl_trader.errors import ConfigError
from rl_trader.market import Period


@dataclass(frozen=True, slots=True)
class Fold:
    """Three periods that follow each other."""

    train: Period
    validation: Period
    test: Period


@dataclass(frozen=True, slots=True)
class CombinatorialFold:
    """Groups that are tested, and the stretches around them that are left for training."""

    train: tuple[Period, ...]
    test: tuple[Period, ...]
    groups: tuple[int, ...]  # numbers of the tested groups


def walk_forward_folds(
    whole: Period,
    num_folds: int,
    *,
    scheme: Literal["anchored", "rolling"] = "anchored",
    train_share: float = 0.5,
    validation_share: float = 0.5,
    purge_ms: int = 0,
    unit_ms: int = 1,
) -> list[Fold]:
    """Return folds whose tests tile the end of a stretch of time.

    Args:
        whole: From the first bar of training to the last of the last test.
        num_folds: Number of tests, of equal length.
        scheme: Whether every training begins at the begin of ``whole``, or all trainings are equally long.
        train_share: Part of ``whole`` before the first validation.
        validation_share: Length of a validation, in lengths of a test.
        purge_ms: Time that is left out between training and validation, and between validation and test.
        unit_ms: Length that every border is a multiple of, such as a day.

    Raises:
        ConfigError: If the folds do not fit into the time.
    """
    since, until = _ends(whole)
    if num_folds < 1 or not 0.0 < train_share < 1.0 or validation_share <= 0.0:
        raise ConfigError(
            f"folds need at least one test, a training share within (0, 1) and a validation, found {num_folds},"
            f" {train_share} and {validation_share}; change them"
        )
    rest = (until - since) * (1.0 - train_share)
    length = int(rest / (num_folds + validation_share)) // unit_ms * unit_ms
    validated = int(length * validation_share) // unit_ms * unit_ms
    purge = -(-purge_ms // unit_ms) * unit_ms
    folds = []
    first_train = until - num_folds * length - validated - purge - since  # of the first fold, before its purge
    for n in range(num_folds):
        begin = until - (num_folds - n) * length
        choice = Period(begin - purge - validated, begin - purge)
        assert choice.since is not None
        end = choice.since - purge
        start = since if scheme == "anchored" else end - (first_train - purge)
        folds.append(Fold(Period(start, end), choice, Period(begin, begin + length)))
    if length <= purge or validated <= purge or first_train <= 2 * purge:
        raise ConfigError(
            f"{num_folds} folds of {length / 86_400_000:.1f} days do not leave more than the purge of"
            f" {purge / 86_400_000:.1f} days between them; choose fewer folds or a longer time"
        )
    return folds


def combinatorial_folds(
    whole: Period, num_groups: int = 6, num_tested: int = 2, *, purge_ms: int = 0, embargo_ms: int = 0
) -> list[CombinatorialFold]:
    """Return one fold for every choice of tested groups; 6 over 2 are 15 folds and 5 paths through all groups.

    Args:
        whole: The time that is cut into groups of equal length.
        num_groups: Number of groups.
        num_tested: Groups that are tested in each fold.
        purge_ms: Time on either side of a tested group that is not trained on.
        embargo_ms: Further time after a tested group that is not trained on.

    Raises:
        ConfigError: If there is no group to train on, or a group is not longer than purge and embargo.
    """
    since, until = _ends(whole)
    if not 0 < num_tested < num_groups:
        raise ConfigError(f"of {num_groups} groups {num_tested} cannot be tested; test at least one and not all")
    length = (until - since) // num_groups
    if length <= 2 * purge_ms + embargo_ms:
        raise ConfigError(
            f"groups of {length / 86_400_000:.1f} days are not longer than purge and embargo; choose fewer groups"
        )
    groups = [Period(since + n * length, since + (n + 1) * length) for n in range(num_groups)]
    folds = []
    for tested in combinations(range(num_groups), num_tested):
        kept = [_kept(groups[n], n, tested, num_groups, purge_ms, embargo_ms) for n in range(num_groups)]
        train = tuple(period for n, period in enumerate(kept) if n not in tested)
        folds.append(CombinatorialFold(_joined(train), tuple(groups[n] for n in tested), tested))
    return folds


def num_paths(num_groups: int, num_tested: int) -> int:
    """Return through how many paths the tests of combinatorial folds lead, each over every group once."""
    return len(list(combinations(range(num_groups), num_tested))) * num_tested // num_groups


def paths(folds: Sequence[CombinatorialFold], num_groups: int) -> list[list[int]]:
    """Return the paths, each with the row of ``folds`` that tests group 0, 1, 2 and so on."""
    of_group = [[row for row, fold in enumerate(folds) if group in fold.groups] for group in range(num_groups)]
    return [list(path) for path in zip(*of_group, strict=True)]


def _ends(period: Period) -> tuple[int, int]:
    assert period.since is not None
    assert period.until is not None
    return period.since, period.until


def _kept(
    group: Period, number: int, tested: tuple[int, ...], num_groups: int, purge_ms: int, embargo_ms: int
) -> Period:
    since, until = _ends(group)
    if number > 0 and number - 1 in tested:
        since += purge_ms + embargo_ms
    if number < num_groups - 1 and number + 1 in tested:
        until -= purge_ms
    return Period(since, until)


def _joined(periods: tuple[Period, ...]) -> tuple[Period, ...]:
    """Return periods with those joined that touch."""
    joined: list[Period] = []
    for period in periods:
        if joined and joined[-1].until == period.since:
            joined[-1] = Period(joined[-1].since, period.until)
        else:
            joined.append(period)
    return tuple(joined)
