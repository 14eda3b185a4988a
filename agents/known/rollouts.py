"""What a policy earns in the environment of a known-answer market, beside the best policy on the same seeds.

The mean of the rewards is an estimate of the solver's figure. The surprise of every bar's price times the exposure that
was held is taken off them: its mean is 0 whatever the policy does, since no policy knows it, and most of the noise goes
with it. The errors are those of the means of the market's stretches, which share no bar.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from agents.training.denoising import held_exposure
from envs import ENV_ID
from rl_trader.config import EpisodeConfig
from rl_trader.known_answers.markets import KnownMarket
from rl_trader.known_answers.series import KnownSeries
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.optimum import Optimum, Score
from rl_trader.policy import AnyPolicy
from rl_trader.remembering import Remembering
from rl_trader.scaling import Scaling

Floats = NDArray[np.float64]
Decide = Callable[[NDArray[np.float32], NDArray[np.int64], Floats, NDArray[np.bool_]], NDArray[Any]]

BURN_IN: Final = 0.5  # of an episode: bars that are not counted, since it begins flat


@dataclass(frozen=True, slots=True)
class Rollout:
    """A policy's means over bars, and the sums that their errors come from."""

    score: Score
    error: float  # standard error of the growth per bar
    sums: Floats  # (num_stretches,) of the rewards less the surprises
    counts: Floats  # (num_stretches,) bars

    def less(self, other: "Rollout") -> tuple[float, float]:
        """Return by how much the growth per bar is higher than that of another on the same seeds, and its error."""
        return _mean_and_error(self.sums - other.sums, self.counts)


def _mean_and_error(sums: Floats, counts: Floats) -> tuple[float, float]:
    """Return the mean of all bars, and its error from the spread between stretches."""
    mean = float(sums.sum() / counts.sum())
    played = counts > 0.0
    spread = (sums - mean * counts)[played]
    number = spread.size
    return mean, float(np.sqrt((spread**2).sum() * number / (number - 1)) / counts.sum())


def best_decisions(optimum: Optimum, series: KnownSeries, max_exposure: float) -> Decide:
    """Return the best policy, which knows the state behind every bar."""

    def decide(
        _observations: NDArray[np.float32], bar: NDArray[np.int64], exposure: Floats, _begins: NDArray[np.bool_]
    ) -> Floats:
        return optimum.target(series.state[bar], exposure) / max_exposure

    return decide


def policy_decisions(policy: AnyPolicy) -> Decide:
    """Return a policy that sees its observations, and remembers those of an episode."""
    accounts = Remembering(policy, 0)

    def decide(
        observations: NDArray[np.float32], _bar: NDArray[np.int64], _exposure: Floats, begins: NDArray[np.bool_]
    ) -> Floats:
        nonlocal accounts
        if len(accounts.memories) != len(observations):
            accounts = Remembering(policy, len(observations))
        accounts.forget(begins)
        return accounts.targets(observations)

    return decide


def roll_out(
    decide: Decide,
    market: KnownMarket,
    series: KnownSeries,
    scaling: Scaling | None,
    *,
    num_bars: int,
    seed: int,
) -> Rollout:
    """Play a policy in many accounts at once, from random bars on.

    Args:
        decide: Targets (num_accounts,) in [-1, 1] from observations, bars, exposures, and where an episode begins.
        market: Whose environment is played.
        series: Its bars.
        scaling: Of the observations; None fits one.
        num_bars: In all accounts together, about, without those that are not counted.
        seed: Of the first account.
    """
    config = market.env_config()
    length = config.episode.episode_bars
    burn_in = int(length * BURN_IN)
    episode = EpisodeConfig(episode_bars=length, random_position=False)
    observed = observe_market(series.market, config.schema, scaling=scaling)
    env = _environment(observed, config, episode, max(num_bars // (length - burn_in), 1))
    levels = np.array(config.trading.levels)
    observations, _ = env.reset(seed=seed)
    simulator = env.unwrapped.core.simulator
    tally = _Tally(series, config.trading.max_exposure)
    exposure = np.zeros(env.num_envs)
    begins = np.ones(env.num_envs, np.bool_)
    for t in range(length):
        bar = simulator.states["bar"].copy()
        targets = decide(observations, bar, exposure, begins)
        if levels.size:
            actions: NDArray[Any] = np.abs(targets[:, None] - levels).argmin(axis=1)
        else:
            actions = targets[:, None]
        observations, rewards, terminated, truncated, info = env.step(actions)
        begins = terminated | truncated
        if t >= burn_in:
            tally.add(rewards, info)
        exposure = info["exposure"]
    return tally.result()


def _environment(observed: ObservedMarket, config: Any, episode: EpisodeConfig, num_envs: int) -> Any:  # noqa: ANN401
    from dataclasses import replace

    unscaled = replace(config, reward_scale=1.0, episode=episode)
    return gymnasium.make_vec(ENV_ID, num_envs=num_envs, market=observed, config=unscaled)


class _Tally:
    """Sums over the bars that are played."""

    def __init__(self, series: KnownSeries, max_exposure: float) -> None:
        self._series = series
        self._max_exposure = max_exposure
        num_stretches = len(series.market.segments)
        self._sums = np.zeros(num_stretches)
        self._counts = np.zeros(num_stretches)
        self._turnover = 0.0
        self._exposure = 0.0

    def add(self, rewards: Floats, info: dict[str, NDArray[Any]]) -> None:
        bars = self._series.market.bars[info["bar"]]
        returned = bars["close"] / bars["open"] - 1.0
        held = held_exposure(info["exposure"], returned)
        corrected = rewards - held * self._series.surprise[info["bar"]]
        np.add.at(self._sums, bars["segment"], corrected)
        np.add.at(self._counts, bars["segment"], 1.0)
        self._turnover += float((info["traded_notional"] / info["margin_balance_before"]).sum())
        self._exposure += float(np.abs(held).sum())

    def result(self) -> Rollout:
        number = float(self._counts.sum())
        growth, error = _mean_and_error(self._sums, self._counts)
        return Rollout(Score(growth, self._turnover / number, self._exposure / number), error, self._sums, self._counts)
