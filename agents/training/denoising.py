"""Rewards of training without the part of the market's move that nobody could foresee.

The market does not mind what the agent does. What a bar's return turns out to be, less its expectation at the bar's
decision, has the mean 0 whatever was decided; times the exposure that was held it is a control variate: taken off the
reward, it leaves the objective as it is and most of the noise goes with it. The expectation is a linear forecast from
the features that the agent sees, by least squares over the training period.

So the objective is left as it is only as far as the forecast is right. What a linear forecast does not see in the
features, the agent is not shown in its rewards: for features that are forecasts themselves, not for raw ones.

Source: Glasserman, Monte Carlo Methods in Financial Engineering (2003), section 4.1.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.config import EnvConfig
from rl_trader.errors import ConfigError
from rl_trader.market import Period
from rl_trader.observed_market import ObservedMarket

Floats = NDArray[np.float64]

CHUNK_BARS: Final = 65_536  # that are looked at together
RETURNS: Final = ("log_return", "simple_return")  # rewards that an exposure's return is a part of


def check_denoisable(env: EnvConfig) -> None:
    """Refuse an environment whose rewards are not the return of one exposure over the bar.

    Raises:
        ConfigError: If the reward is no return, or the account has a stop, a take-profit or resting entries.
    """
    if env.reward not in RETURNS:
        raise ConfigError(
            f"market.denoise_rewards needs a reward that is a return, {' or '.join(RETURNS)}, and env.reward is"
            f" {env.reward}; choose one of them, or leave denoise_rewards out"
        )
    orders = ("stop_loss", "take_profit", "limit_distance")
    resting = [name for name in orders if getattr(env.trading, name) is not None]
    if resting:
        raise ConfigError(
            f"market.denoise_rewards needs positions that are held through the bar, and env.trading.{resting[0]} may"
            " end or begin one within it; set it to None, or leave denoise_rewards out"
        )


def held_exposure(exposure: Floats, returned: Floats) -> Floats:
    """Return the exposures (num_accounts,) after the order and before the bar's move.

    Args:
        exposure: (num_accounts,) after the move, signed notional over margin balance.
        returned: (num_accounts,) relative change of the price over the bar.
    """
    return exposure / (1.0 + returned - exposure * returned)


class RewardDenoiser:
    """Takes the surprise of a bar's return, times the exposure held, off the rewards.

    An account that was liquidated holds nothing at the bar's end: the reward of that bar is left as it is.
    """

    def __init__(self, observed: ObservedMarket, period: Period, reward_scale: float) -> None:
        """Fit the forecast.

        Args:
            observed: The market that is trained on.
            period: Whose bars the forecast is fitted on.
            reward_scale: What rewards are divided by.
        """
        bars = observed.market.bars
        decided = _decision_bars(observed, period)
        self._returned: Floats = bars["close"] / bars["open"] - 1.0
        self.weights = _least_squares(observed.rows, self._returned, decided)
        """(num_features + 1,) of the scaled features of the decision's bar, and the mean."""
        self._surprise = np.zeros(len(bars))
        for chunk in _chunks(decided):
            self._surprise[chunk + 1] = self._returned[chunk + 1] - _design(observed.rows, chunk) @ self.weights
        self._reward_scale = reward_scale

    def __call__(self, rewards: Floats, outcomes: NDArray[np.void]) -> None:
        """Correct rewards (num_accounts,) in place.

        Args:
            rewards: Of the bar that was played.
            outcomes: (num_accounts,) of ``OUTCOME_DTYPE``.
        """
        bar, exposure = outcomes["bar"], outcomes["exposure"]
        rewards -= held_exposure(exposure, self._returned[bar]) * self._surprise[bar] / self._reward_scale


def _decision_bars(observed: ObservedMarket, period: Period) -> NDArray[np.int64]:
    """Return the bars (num_decisions,) of a period at whose close an agent may decide."""
    table = observed.episodes(period)
    return np.concatenate([np.arange(row["first_start"], row["last_bar"]) for row in table])


def _least_squares(rows: NDArray[np.float32], returned: Floats, decided: NDArray[np.int64]) -> Floats:
    """Return the weights by the normal equations; of columns that depend on each other the shortest."""
    size = rows.shape[1] + 1
    products, moments = np.zeros((size, size)), np.zeros(size)
    for chunk in _chunks(decided):
        design = _design(rows, chunk)
        products += design.T @ design
        moments += design.T @ returned[chunk + 1]
    weights: Floats = np.linalg.lstsq(products, moments, rcond=None)[0]
    return weights


def _design(rows: NDArray[np.float32], decided: NDArray[np.int64]) -> Floats:
    """Return (num_decisions, num_features + 1): the features, and one."""
    return np.column_stack([rows[decided].astype(np.float64), np.ones(len(decided))])


def _chunks(decided: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return np.array_split(decided, max(len(decided) // CHUNK_BARS, 1))
