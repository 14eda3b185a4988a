"""Rewards of training without the part of a bar's return that nobody could foresee."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.config import TrainConfig
from agents.known.cells import Cell, cell_config
from agents.markets import known_market
from agents.training.denoising import RewardDenoiser
from agents.training.noisy_env import NoisyVecEnv
from agents.training.run import new_run
from agents.training.sb3_env import TradingVecEnv
from envs.vector_env import TradingVectorEnv
from rl_trader.config import EpisodeConfig
from rl_trader.errors import ConfigError
from rl_trader.known_answers.rows import ROWS
from rl_trader.market import Period
from rl_trader.observed_market import ObservedMarket, observe_market
from tests.small_runs import small_config

NUM_ENVS = 100
NUM_BARS = 60_000


def observed_row(row: str, seed: int = 3) -> ObservedMarket:
    return observe_market(known_market(row, NUM_BARS, seed).market, ROWS[row].env_config().schema)


def make(row: str, observed: ObservedMarket, *, denoised: bool) -> TradingVecEnv:
    config = replace(ROWS[row].env_config(), reward_scale=2.0, episode=EpisodeConfig(episode_bars=64))
    env = TradingVectorEnv(NUM_ENVS, observed, config, copy=False)
    made = TradingVecEnv(env, RewardDenoiser(observed, Period(), 2.0)) if denoised else TradingVecEnv(env)
    made.seed(5)
    return made


def play(env: TradingVecEnv, num_steps: int) -> tuple[NDArray[np.float64], list[dict[str, Any]]]:
    """Return rewards (num_steps, num_envs) of accounts that trade at random, and infos of ended episodes."""
    rng = np.random.default_rng(1)
    env.reset()
    rewards, ended = [], []
    for _ in range(num_steps):
        is_discrete = bool(env.env.config.trading.levels)
        actions = rng.integers(0, 3, NUM_ENVS) if is_discrete else rng.uniform(-1.0, 1.0, (NUM_ENVS, 1))
        result: Any = env.step(actions)
        rewards.append(result[1].copy())
        ended += [info["episode"] for info in result[3] if info]
    return np.array(rewards), ended


@pytest.mark.parametrize("row", ["K1-1", "K2-1", "K4-1"])
def test_the_surprise_is_taken_off_the_rewards_and_their_mean_stays(row: str) -> None:
    observed = observed_row(row)
    plain, _ = play(make(row, observed, denoised=False), 640)
    denoised, _ = play(make(row, observed, denoised=True), 640)
    difference = plain - denoised
    by_account = difference.mean(axis=0)
    assert abs(by_account.mean()) < 4.0 * by_account.std() / np.sqrt(NUM_ENVS)
    assert denoised.var() < 0.1 * plain.var()


def test_what_is_taken_off_is_the_exposure_times_the_true_surprise() -> None:
    series = known_market("K1-1", NUM_BARS, 3)
    observed = observe_market(series.market, ROWS["K1-1"].env_config().schema)
    env = TradingVectorEnv(NUM_ENVS, observed, replace(ROWS["K1-1"].env_config(), reward_scale=1.0), copy=False)
    denoiser = RewardDenoiser(observed, Period(), 1.0)
    env.reset(seed=2)
    env.step(np.arange(NUM_ENVS) % 3)  # short, flat, long: with simple returns
    outcomes = env.core.simulator.outcomes
    rewards = np.zeros(NUM_ENVS)
    denoiser(rewards, outcomes)
    expected = -(np.arange(NUM_ENVS) % 3 - 1.0) * series.surprise[outcomes["bar"]]
    assert rewards == pytest.approx(expected, abs=3e-4)  # of moves of 5e-3; fee and forecast make the rest
    assert np.corrcoef(rewards, expected)[0, 1] > 0.999


def test_the_forecast_knows_nothing_of_bars_after_its_period() -> None:
    observed = observed_row("K1-1")
    open_time = observed.market.bars["open_time"]
    until = int(open_time[len(open_time) // 2])
    short = RewardDenoiser(observed, Period(until=until), 1.0).weights
    later = observed.market.bars["open_time"] >= until
    bars = observed.market.bars.copy()
    bars["close"][later] *= 3.0
    changed = replace(observed, market=replace(observed.market, bars=bars))
    assert RewardDenoiser(changed, Period(until=until), 1.0).weights.tobytes() == short.tobytes()
    assert RewardDenoiser(changed, Period(), 1.0).weights.tobytes() != short.tobytes()


def test_the_forecast_is_the_drift_of_the_signal() -> None:
    observed = observed_row("K1-1")
    weights = RewardDenoiser(observed, Period(), 1.0).weights
    signal, mean = weights
    assert signal == pytest.approx(5e-4, abs=1e-4)  # its error is 5e-3 over the root of 60,000
    assert mean == pytest.approx(0.0, abs=1e-4)


def test_features_that_depend_on_each_other_are_forecast_from_too() -> None:
    observed = observed_row("K1-1")
    doubled = replace(observed, rows=np.concatenate([observed.rows, observed.rows], axis=1))
    once, twice = (RewardDenoiser(market, Period(), 1.0).weights for market in (observed, doubled))
    assert twice[:2] == pytest.approx([once[0] / 2, once[0] / 2], rel=1e-6)


def test_the_sums_of_an_episode_are_of_the_rewards_as_they_are() -> None:
    observed = observed_row("K1-1")
    plain, denoised = (play(make("K1-1", observed, denoised=which), 200)[1] for which in (False, True))
    assert len(plain) >= NUM_ENVS
    assert [(episode["r"], episode["l"]) for episode in plain] == [(own["r"], own["l"]) for own in denoised]


def denoising_config(tmp_path: Path) -> TrainConfig:
    config = small_config(tmp_path, "denoised")
    return replace(config, market=replace(config.market, denoise_rewards=True))


@pytest.mark.parametrize("field", ["stop_loss", "take_profit", "limit_distance"])
def test_orders_that_fill_within_a_bar_are_refused(field: str, tmp_path: Path) -> None:
    config = denoising_config(tmp_path)
    bare = replace(config.env.trading, stop_loss=None, take_profit=None, limit_distance=None)
    trading = replace(bare, **{field: 0.01})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=rf"env.trading.{field} may end or begin one within it"):
        new_run(replace(config, env=replace(config.env, trading=trading)), "demo")


@pytest.mark.parametrize("reward", ["differential_sharpe", "drawdown_penalised"])
def test_a_reward_that_is_no_return_is_refused(reward: str, tmp_path: Path) -> None:
    config = denoising_config(tmp_path)
    with pytest.raises(ConfigError, match=f"and env.reward is {reward}; choose one of them"):
        new_run(replace(config, env=replace(config.env, reward=reward)), "demo")


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_run_trains_on_rewards_without_the_surprise(noise: float, tmp_path: Path) -> None:
    config = cell_config(Cell(row="K2-2", algo="ppo", seed=0), tmp_path)
    days = ("2020-01-01", "2020-05-01"), ("2020-05-01", "2020-06-01"), ("2020-06-01", "2020-07-01")
    market = replace(config.market, train=days[0], validation=days[1], test=days[2])
    small = replace(config.ppo, num_envs=64, n_steps=8, batch_size=512, total_timesteps=1_024)
    variances = []
    for denoised in (False, True):
        own = replace(market, denoise_rewards=denoised, feature_noise=noise)
        run = new_run(replace(config, market=own, ppo=small, name=f"denoised-{denoised}"), "demo")
        assert isinstance(run.env, NoisyVecEnv) is bool(noise)
        run.learn(lambda _done, _total: None)
        variances.append(run.model.rollout_buffer.rewards.var())  # type: ignore[attr-defined]
    assert variances[1] < 0.1 * variances[0]
