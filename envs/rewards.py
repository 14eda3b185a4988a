"""Rewards: pure functions ``(state, before, after) -> (state, reward)`` of an account's marks, and their table.

A user's own reward is a function of this form (plain or compiled by ``numba.njit``), named by its import path
``package.module:function``. The state is what the reward remembers of the episode; it is zero at its start.

The default, the change of the log margin balance, sums over an episode to its log growth. The other rewards change the
objective: what they earn is not comparable with it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple, cast

import numba
import numpy as np
from numpy.typing import NDArray

from rl_trader.errors import ConfigError
from rl_trader.extensions import import_object
from rl_trader.kernels import closure_kernel, records, without_lookup
from rl_trader.market import MarketData, Period, episode_table
from rl_trader.state import OUTCOME_DTYPE

RUIN_FRACTION: Final = 1e-4  # of the initial balance: what a ruined account counts as
SHARPE_RATE: Final = 0.01  # weight of the newest return in the moving moments
DRAWDOWN_PENALTY: Final = 0.1  # of the drawdown, a bar
LEAST_VARIANCE: Final = 1e-12
# What numba raises on what it cannot compile; the second is not derived from the first.
UNCOMPILED: Final = (numba.core.errors.NumbaError, numba.core.errors.UnsupportedBytecodeError, TypeError)


class RewardState(NamedTuple):
    """What a reward remembers of an episode."""

    first: float
    second: float


class Mark(NamedTuple):
    """An account at a bar's close."""

    margin_balance: float  # USDT, at least ``RUIN_FRACTION`` of the initial balance
    exposure: float  # signed notional over margin balance; of the mark before, 0 at an episode's start


RewardFunction = Callable[[RewardState, Mark, Mark], tuple[RewardState, float]]


@closure_kernel
def log_return(state: RewardState, before: Mark, after: Mark) -> tuple[RewardState, float]:
    """Return the change of the log margin balance."""
    return state, np.log(after.margin_balance / before.margin_balance)


@closure_kernel
def simple_return(state: RewardState, before: Mark, after: Mark) -> tuple[RewardState, float]:
    """Return the relative change of the margin balance."""
    return state, after.margin_balance / before.margin_balance - 1.0


@closure_kernel
def differential_sharpe(state: RewardState, before: Mark, after: Mark) -> tuple[RewardState, float]:
    """Return the newest return's influence on a moving Sharpe ratio (Moody and Saffell 2001).

    With the moving mean A and second moment B: ``(B * dA - A * dB / 2) / (B - A * A) ** 1.5``.
    """
    change = after.margin_balance / before.margin_balance - 1.0
    to_mean = change - state.first
    to_square = change * change - state.second
    variance = state.second - state.first * state.first
    reward = 0.0
    if variance > LEAST_VARIANCE:
        reward = (state.second * to_mean - 0.5 * state.first * to_square) / variance**1.5 * SHARPE_RATE
    return RewardState(state.first + SHARPE_RATE * to_mean, state.second + SHARPE_RATE * to_square), reward


@closure_kernel
def drawdown_penalised(state: RewardState, before: Mark, after: Mark) -> tuple[RewardState, float]:
    """Return the log return less a part of the present drawdown from the episode's highest balance."""
    peak = max(state.first, before.margin_balance, after.margin_balance)
    drawdown = 1.0 - after.margin_balance / peak
    reward = np.log(after.margin_balance / before.margin_balance) - DRAWDOWN_PENALTY * drawdown
    return RewardState(peak, 0.0), reward


REWARDS: Final[dict[str, RewardFunction]] = {
    "log_return": log_return,
    "simple_return": simple_return,
    "differential_sharpe": differential_sharpe,
    "drawdown_penalised": drawdown_penalised,
}


def find_reward(name: str) -> RewardFunction:
    """Return a reward by its name in ``REWARDS`` or by its import path ``package.module:function``.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name in REWARDS:
        return REWARDS[name]
    if ":" not in name:
        raise ConfigError(f"unknown reward {name!r}; choose from {', '.join(REWARDS)} or name package.module:function")
    function = import_object(name, "reward")
    if not callable(function):
        raise ConfigError(f"reward {name!r} must be a function, found {type(function).__name__}; name the function")
    return cast(RewardFunction, function)


WriteRewards = Callable[[NDArray[np.void], float, float, NDArray[np.float64], NDArray[np.float64]], None]


@lru_cache(maxsize=16)
def reward_kernel(name: str) -> WriteRewards:
    """Return the compiled loop of a reward over all accounts.

    The loop takes the outcomes (num_accounts,) of ``OUTCOME_DTYPE``, the initial balance in USDT, the scale by which
    rewards are divided, the states (num_accounts, 3) that it keeps (the reward's two numbers and the exposure of the
    mark before) and the rewards (num_accounts,) that it writes.

    Raises:
        ConfigError: If the reward is unknown or cannot be compiled.
    """
    function = find_reward(name)
    reward = function if hasattr(function, "py_func") or numba.config.DISABLE_JIT else closure_kernel(function)

    @closure_kernel
    def write_rewards(
        outcomes: NDArray[np.void],
        initial_balance: float,
        scale: float,
        states: NDArray[np.float64],
        rewards: NDArray[np.float64],
    ) -> None:
        least = RUIN_FRACTION * initial_balance
        for i in range(outcomes.shape[0]):
            outcome = outcomes[i]
            before = Mark(max(outcome.margin_balance_before, least), states[i, 2])
            after = Mark(max(outcome.margin_balance, least), outcome.exposure)
            state, unscaled = reward(RewardState(states[i, 0], states[i, 1]), before, after)
            rewards[i] = unscaled / scale
            if outcome.terminated or outcome.truncated:
                states[i, 0] = states[i, 1] = states[i, 2] = 0.0
            else:
                states[i, 0], states[i, 1], states[i, 2] = state.first, state.second, after.exposure

    def checked(
        outcomes: NDArray[np.void],
        initial_balance: float,
        scale: float,
        states: NDArray[np.float64],
        rewards: NDArray[np.float64],
    ) -> None:
        write_known(records(outcomes), initial_balance, scale, states, rewards)

    def compiled() -> WriteRewards:
        """Return the loop, compiled without an account: before a run begins and not at its first step."""
        nothing = (records(np.zeros(0, OUTCOME_DTYPE)), 1.0, 1.0, np.zeros((0, 3)), np.zeros(0))
        try:
            write_rewards(*nothing)
        except UNCOMPILED as error:
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ConfigError(
                f"reward {name!r} must compile as (state, before, after) -> (state, reward), and numba says:"
                f" {' '.join(said[:3])}"
            ) from error
        return without_lookup(write_rewards, *nothing)

    write_known = compiled()
    return checked


def bar_volatility(market: MarketData, period: Period) -> float:
    """Return the standard deviation of the log returns of a period's bars, pooled over the symbols."""
    returns = []
    for episode in episode_table(market, period, 0):
        close = market.bars["close"][episode["first_start"] : episode["last_bar"] + 1]
        returns.append(np.diff(np.log(close)))
    volatility = float(np.std(np.concatenate(returns)))
    if volatility == 0.0:
        raise ConfigError(f"the prices of {', '.join(market.symbols)} do not move in the period; give a reward_scale")
    return volatility
