"""Rewards as a user writes them, named by import path in the tests."""

import numba

from envs.rewards import Mark, RewardState

NUMBER = 7


def change_of_exposure(state: RewardState, before: Mark, after: Mark) -> tuple[RewardState, float]:
    """Return the change of exposure times 10, plus the number of steps of the episode so far."""
    return RewardState(state.first + 1.0, 0.0), (after.exposure - before.exposure) * 10.0 + state.first


@numba.njit  # type: ignore[untyped-decorator]
def compiled(state: RewardState, before: Mark, after: Mark) -> tuple[RewardState, float]:
    """Return the margin balance."""
    return state, after.margin_balance


def without_state(state: RewardState, before: Mark, after: Mark) -> float:
    """Return a reward alone, which is not the form."""
    return after.margin_balance
