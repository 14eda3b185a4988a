"""Training through noise and at other costs: the account is exact, and an evaluation knows neither."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.config import MarketConfig, TrainConfig
from agents.training.interruption import TrainingInterruptedError
from agents.training.noisy_env import NoisyVecEnv
from agents.training.run import new_run, resumed_run
from agents.training.sb3_env import TradingVecEnv
from envs.embedded import embedded_market_data
from envs.vector_env import TradingVectorEnv
from rl_trader.backtest import backtest_policy
from rl_trader.config import EMBEDDED_ENV, EpisodeConfig
from rl_trader.errors import ConfigError
from rl_trader.trading import charged_fees
from tests.small_runs import small_config, train, training_state, weights
from tests.test_training import press_ctrl_c_at

ENV = replace(EMBEDDED_ENV, features=("log_return_1", "hour_sin"), window=3, episode=EpisodeConfig(episode_bars=20))
NUM_ENVS = 50


def make(deviation: float | None) -> TradingVecEnv:
    env = TradingVectorEnv(NUM_ENVS, embedded_market_data(900, 3), ENV, copy=False)
    adapted = TradingVecEnv(env) if deviation is None else NoisyVecEnv(env, deviation, seed=4)
    adapted.seed(7)
    return adapted


def play(env: TradingVecEnv, num_steps: int) -> list[tuple[NDArray[Any], ...]]:
    """Return observations, rewards, ends and the observations at the ends."""
    rng = np.random.default_rng(1)
    found: list[tuple[NDArray[Any], ...]] = [(np.array(env.reset()), *np.zeros((3, 0)))]
    for _ in range(num_steps):
        result: Any = env.step(rng.integers(0, 3, NUM_ENVS))
        last = [info["terminal_observation"] for info in result[3] if info]
        found.append((result[0].copy(), result[1].copy(), result[2].copy(), np.array(last)))
    return found


def test_noise_is_on_the_market_alone_and_the_account_is_exact() -> None:
    plain, noisy = play(make(None), 60), play(make(0.25), 60)
    differences = []
    for (shown, rewards, ends, last), (seen, own_rewards, own_ends, own_last) in zip(plain, noisy, strict=True):
        assert rewards.tobytes() == own_rewards.tobytes()
        assert ends.tobytes() == own_ends.tobytes()
        assert shown[:, 6:].tobytes() == seen[:, 6:].tobytes()
        differences.append(seen[:, :6] - shown[:, :6])
        if len(last):
            assert last[:, 6:].tobytes() == own_last[:, 6:].tobytes()
            differences.append(own_last[:, :6] - last[:, :6])
    assert sum(len(last) for *_, last in plain) >= 3 * NUM_ENVS
    noise = np.concatenate(differences)
    assert noise.std() == pytest.approx(0.25, rel=0.03)
    assert abs(noise.mean()) < 0.01
    table = np.corrcoef(np.concatenate([noise[:-1], noise[1:]], axis=1).T)
    assert np.abs(table - np.eye(12)).max() < 0.1  # of entries, and of one account and the next


def test_what_is_shown_stays_within_the_observations_limits() -> None:
    seen = np.concatenate([shown for shown, *_ in play(make(100.0), 5)])
    assert np.abs(seen).max() == 10.0


def noisy_config(runs: Path, name: str) -> TrainConfig:
    config = small_config(runs, name)
    return replace(config, market=replace(config.market, feature_noise=0.5))


def test_a_noisy_training_goes_on_as_if_it_had_not_been_interrupted(tmp_path: Path) -> None:
    whole = train(noisy_config(tmp_path, "whole"))
    with pytest.raises(TrainingInterruptedError):
        new_run(noisy_config(tmp_path, "cut"), "demo").learn(press_ctrl_c_at(180))
    run = resumed_run(tmp_path / "cut")
    run.learn(lambda _done, _total: None)
    assert weights(run.folder.checkpoint("last")) == weights(whole.checkpoint("last"))
    assert training_state(run.folder) == training_state(whole)
    calm = train(small_config(tmp_path, "calm"))
    assert weights(calm.checkpoint("last")) != weights(whole.checkpoint("last"))


def test_an_evaluation_is_without_noise_and_at_the_fees_of_the_terms(tmp_path: Path) -> None:
    run = new_run(noisy_config(tmp_path, "run"), "demo")  # whose episodes draw their fees
    run.learn(lambda _done, _total: None)
    checkpoint, trading = run.folder.checkpoint("last"), run.config.env.trading
    assert run.config.env.episode.fee_scale == (0.5, 1.5)
    (result,) = backtest_policy("x", checkpoint.policy, run.observed, trading, run.validation_period)
    assert checkpoint.facts["validation"]["final_balance"] == result.margin_balance[-1]
    traded = result.outcomes["traded_notional"]
    fee = charged_fees(checkpoint.terms[0], trading).taker
    assert traded.sum() > 0.0
    np.testing.assert_allclose(-result.outcomes["fees"], fee * traded, atol=1e-6)


@pytest.mark.parametrize("deviation", [-0.1, float("nan"), float("inf")])
def test_a_deviation_that_is_none_is_refused(deviation: float) -> None:
    with pytest.raises(ConfigError, match="feature_noise must be a number from 0"):
        MarketConfig(feature_noise=deviation)
