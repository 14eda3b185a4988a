"""The environments: Gymnasium's own checks, one account and many, seeds, episodes, rendering."""

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from envs import ENV_ID
from envs.embedded import embedded_market_data
from envs.trading_env import TradingEnv, observation_table
from envs.vector_env import TradingVectorEnv
from rl_trader.config import EMBEDDED_ENV, Assumptions, EnvConfig, EpisodeConfig, Slippage, TradingConfig
from rl_trader.embedded import INTERVAL, embedded_market, embedded_terms
from rl_trader.errors import ConfigError
from rl_trader.market import MarketData, Period, SymbolTables, build_market
from rl_trader.observation import ACCOUNT_FEATURES
from rl_trader.state import LIQUIDATED, RUINED

REPO = Path(__file__).parents[1]
FLOWS = ("price_pnl", "fees", "slippage", "funding", "liquidation")


@lru_cache(maxsize=1)
def two_symbols() -> MarketData:
    """Return 700 bars each of two markets, the second with a hole of 3 bars and a lower fee."""
    tables = []
    for seed, symbol, fee in ((3, "ONEUSDT", 2e-3), (4, "TWOUSDT", 5e-4)):
        made = embedded_market(700, seed)
        klines = made.klines.drop(index=[330, 331, 332]).reset_index(drop=True) if seed == 4 else made.klines
        terms = replace(embedded_terms(), symbol=symbol, taker_fee=fee)
        tables.append(
            SymbolTables(terms=terms, klines=klines, mark_prices={INTERVAL: made.mark_price}, funding=made.funding)
        )
    return build_market(tables, INTERVAL, Assumptions(holes="split"))


# Every random choice is on, and the leverage is so high that accounts are liquidated within the test.
RISKY = EnvConfig(
    features=("log_return_1", "realised_volatility_4", "hour_sin"),
    account_features=tuple(ACCOUNT_FEATURES),
    window=3,
    trading=TradingConfig(
        initial_balance=2_000.0,
        leverage=20,
        max_exposure=18.0,
        stop_loss=None,
        slippage=Slippage(half_spread=0.0002, sqrt_impact=0.001, linear_impact=0.01),
    ),
    episode=EpisodeConfig(episode_bars=37, fee_scale=(0.5, 1.5), slippage_scale=(0.0, 2.0)),
)
CONTINUOUS = replace(RISKY, trading=replace(RISKY.trading, levels=()))
CONFIGS = pytest.mark.parametrize("config", [RISKY, CONTINUOUS], ids=["discrete", "continuous"])


def actions_of(config: EnvConfig, num_steps: int, num_envs: int) -> NDArray[Any]:
    """Return random actions, each taken for 8 steps, so that positions live long enough to be liquidated."""
    rng = np.random.default_rng(11)
    num_choices = -(-num_steps // 8)
    if config.trading.levels:
        choices: NDArray[Any] = rng.integers(0, len(config.trading.levels), (num_choices, num_envs))
    else:
        choices = rng.uniform(-1.0, 1.0, (num_choices, num_envs, 1)).astype(np.float32)
    return choices.repeat(8, axis=0)[:num_steps]


def played(env: TradingVectorEnv, seed: int, num_steps: int = 60) -> bytes:
    """Return the bits of all that a vector environment answers."""
    observations, _ = env.reset(seed=seed)
    bits = [observations.tobytes()]
    for action in actions_of(env.config, num_steps, env.num_envs):
        observations, rewards, terminated, truncated, info = env.step(action)
        bits += [array.tobytes() for array in (observations, rewards, terminated, truncated, *info_arrays(info))]
    return b"".join(bits)


def info_arrays(info: dict[str, Any]) -> Iterator[NDArray[Any]]:
    for value in info.values():
        yield from value.values() if isinstance(value, dict) else (value,)


# ---- Gymnasium's and Stable-Baselines3's checks; a warning is an error in this suite


@CONFIGS
@pytest.mark.parametrize("window", [1, 4])
def test_the_checks_of_gymnasium_and_sb3_find_nothing(config: EnvConfig, window: int) -> None:
    config = replace(config, window=window)
    check_env(gymnasium.make(ENV_ID, market=two_symbols(), config=config, render_mode="rgb_array").unwrapped)
    check_env_sb3(TradingEnv(two_symbols(), config, render_mode="rgb_array"))


def test_make_without_arguments_is_the_embedded_market() -> None:
    env = gymnasium.make(ENV_ID)
    assert isinstance(env.unwrapped, TradingEnv)
    assert env.unwrapped.config == replace(EMBEDDED_ENV, reward_scale=env.unwrapped.config.reward_scale)
    assert env.unwrapped.core.observed.market.symbols == ("EMBEDDED",)
    observation, info = env.reset(seed=5)
    assert env.observation_space.contains(observation)
    assert info == {}
    assert len(env.step(env.action_space.sample())) == 5
    env.close()


def test_make_vec_is_the_native_vector_environment() -> None:
    env: Any = gymnasium.make_vec(ENV_ID, num_envs=3, market=two_symbols(), config=RISKY)
    assert type(env.unwrapped) is TradingVectorEnv
    assert env.num_envs == 3
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observations, _ = env.reset(seed=5)
    assert observations in env.observation_space
    assert observations.shape == (3, 3 * 3 + 8)
    env.close()


def test_a_vectoriser_of_single_environments_agrees_with_the_native_one() -> None:
    sync: Any = gymnasium.make_vec(
        ENV_ID,
        num_envs=3,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        market=two_symbols(),
        config=RISKY,
    )
    native = TradingVectorEnv(3, two_symbols(), RISKY)
    first, _ = sync.reset(seed=9)
    assert first.tobytes() == native.reset(seed=9)[0].tobytes()
    for action in actions_of(RISKY, 80, 3):
        answers = zip(sync.step(action)[:4], native.step(action)[:4], strict=True)
        assert all(np.array_equal(one, other) for one, other in answers)
    sync.close()


# ---- One account and many


@CONFIGS
def test_many_accounts_are_as_many_single_environments_bit_for_bit(config: EnvConfig) -> None:
    num_envs, seed = 5, 123
    many = TradingVectorEnv(num_envs, two_symbols(), config)
    singles = [TradingEnv(two_symbols(), config) for _ in range(num_envs)]
    observations, _ = many.reset(seed=seed)
    for i, single in enumerate(singles):
        assert single.reset(seed=seed + i)[0].tobytes() == observations[i].tobytes()
    num_ended = {"terminated": 0, "truncated": 0}
    symbols, segments = set(), set()
    for action in actions_of(config, 520, num_envs):
        observations, rewards, terminated, truncated, info = many.step(action)
        for i, single in enumerate(singles):
            observation, reward, is_terminated, is_truncated, one = single.step(action[i])
            assert reward == rewards[i]
            assert (is_terminated, is_truncated) == (terminated[i], truncated[i])
            assert {name: info[name][i] for name in one if name != "event_names"} == {
                name: value for name, value in one.items() if name != "event_names"
            }
            symbols.add(one["symbol"])
            segments.add(int(two_symbols().bars["segment"][one["bar"]]))
            if is_terminated or is_truncated:
                num_ended["terminated"] += is_terminated
                num_ended["truncated"] += is_truncated
                assert info["_final_obs"][i]
                assert info["_final_info"][i]
                assert info["final_obs"][i].tobytes() == observation.tobytes()
                assert {name: values[i] for name, values in info["final_info"].items()} == {
                    name: value for name, value in one.items() if name != "event_names"
                }
                observation, _ = single.reset()
            elif "_final_obs" in info:
                assert not info["_final_obs"][i]
            assert observation.tobytes() == observations[i].tobytes()
    assert min(num_ended.values()) > 10
    assert symbols == {0, 1}
    assert segments == {0, 1, 2}


@CONFIGS
def test_a_seed_decides_every_bit(config: EnvConfig) -> None:
    first = played(TradingVectorEnv(4, two_symbols(), config), 77)
    assert played(TradingVectorEnv(4, two_symbols(), config), 77) == first
    assert played(TradingVectorEnv(4, two_symbols(), config), 78) != first


def test_an_account_does_not_depend_on_how_many_others_there_are() -> None:
    few, many = (TradingVectorEnv(n, two_symbols(), RISKY) for n in (2, 40))
    assert few.reset(seed=6)[0].tobytes() == many.reset(seed=6)[0][:2].tobytes()
    for action in actions_of(RISKY, 80, 40):
        for one, other in zip(few.step(action[:2])[:4], many.step(action)[:4], strict=True):
            assert one.tobytes() == other[:2].tobytes()


def test_threads_change_no_bit() -> None:
    one = TradingVectorEnv(33, two_symbols(), RISKY)
    other = TradingVectorEnv(33, two_symbols(), RISKY, num_threads=2)
    assert played(one, 5) == played(other, 5)


def test_a_list_of_seeds_gives_every_account_its_own() -> None:
    env = TradingVectorEnv(3, two_symbols(), RISKY)
    observations, _ = env.reset(seed=[40, 7, 40])
    assert observations[0].tobytes() == observations[2].tobytes()
    for i, seed in enumerate((40, 7)):
        assert TradingEnv(two_symbols(), RISKY).reset(seed=seed)[0].tobytes() == observations[i].tobytes()


# ---- Episodes


def test_reset_without_a_seed_goes_on_with_the_next_episode() -> None:
    # The second is the same, whether the first was played to its end, left after some steps or not played at all.
    env = TradingEnv(two_symbols(), RISKY)
    many = TradingVectorEnv(1, two_symbols(), RISKY)
    seconds = []
    for num_steps in (RISKY.episode.episode_bars, 5, 0):
        first, _ = env.reset(seed=3)
        has_ended = [env.step(1)[3] for _ in range(num_steps)]
        assert has_ended == [False] * (num_steps - 1) + [num_steps == 37] * (num_steps > 0)
        second, _ = env.reset()
        assert second.tobytes() != first.tobytes()
        seconds.append(second.tobytes())
        if num_steps < 37:  # else the vector environment has begun the second by itself
            many.reset(seed=3)
            for _ in range(num_steps):
                many.step(np.array([1]))
            assert many.reset()[0].tobytes() == second.tobytes()
    assert len(set(seconds)) == 1
    unseeded = [TradingEnv(two_symbols(), RISKY) for _ in range(2)]
    firsts = [one.reset()[0].tobytes() for one in unseeded]
    assert firsts[0] != firsts[1]


def test_a_masked_reset_leaves_the_others_in_their_episodes() -> None:
    env = TradingVectorEnv(3, two_symbols(), RISKY)
    other = TradingVectorEnv(3, two_symbols(), RISKY)
    for one in (env, other):
        one.reset(seed=8)
    before = env.step(np.array([1, 1, 1]))[0]
    other.step(np.array([1, 1, 1]))
    mask = np.array([False, True, False])
    observations, _ = env.reset(seed=50, options={"reset_mask": mask})
    assert observations[~mask].tobytes() == before[~mask].tobytes()
    assert observations[1].tobytes() == TradingEnv(two_symbols(), RISKY).reset(seed=51)[0].tobytes()
    after = [one.step(np.array([0, 0, 0]))[0][~mask].tobytes() for one in (env, other)]
    assert after[0] == after[1]


def test_an_episode_is_truncated_after_its_bars_and_at_the_end_of_a_stretch_never_terminated() -> None:
    flat = replace(RISKY, episode=EpisodeConfig(episode_bars=12, random_position=False))
    env = TradingEnv(two_symbols(), flat)
    env.reset(seed=1)
    ends = [env.step(1)[2:4] for _ in range(12)]
    assert ends == [(False, False)] * 11 + [(False, True)]
    whole = replace(flat, episode=EpisodeConfig(episode_bars=0, random_start=False, random_position=False))
    env = TradingEnv(two_symbols(), whole)
    # The features of the window need 6 bars before the first decision's own: 4 for the volatility and 2 of the window.
    lengths: list[tuple[int, int]] = []
    for _ in range(3):
        env.reset(seed=1 if not lengths else None)
        steps, truncated = 0, False
        while not truncated:
            _, _, terminated, truncated, info = env.step(1)
            assert not terminated
            steps += 1
        lengths.append((steps, info["bar"]))
    # 700 bars; then 330 before the hole and 367 after it. The last row of each is played.
    assert lengths == [(700 - 7, 699), (330 - 7, 700 + 329), (367 - 7, 700 + 696)]


def test_a_liquidated_account_is_terminated_and_not_truncated() -> None:
    env = TradingVectorEnv(20, two_symbols(), RISKY)
    env.reset(seed=0)
    num_terminated = 0
    for _ in range(200):
        _, rewards, terminated, truncated, info = env.step(np.full(20, 2))
        assert not (terminated & truncated).any()
        is_over = info["events"] & (LIQUIDATED | RUINED) != 0
        assert (terminated == is_over).all()
        assert np.isfinite(rewards).all()
        num_terminated += int(terminated.sum())
    assert num_terminated > 20


def test_the_period_bounds_the_bars_that_are_played() -> None:
    market = two_symbols()
    times = market.bars["open_time"]
    period = Period(int(times[100]), int(times[160]))
    env = TradingVectorEnv(30, market, RISKY, period)
    env.reset(seed=4)
    seen: set[int] = set()
    for action in actions_of(RISKY, 150, 30):
        *_, info = env.step(action)
        seen |= set(info["final_info"]["bar"].tolist() if "final_info" in info else info["bar"].tolist())
    assert {int(times[bar]) for bar in seen} == {int(time) for time in times[100:160]}


def test_a_step_outside_of_an_episode_is_refused() -> None:
    env = TradingEnv(two_symbols(), replace(RISKY, episode=EpisodeConfig(episode_bars=1)))
    with pytest.raises(ResetNeeded):
        env.step(1)
    env.reset(seed=1)
    env.step(1)
    with pytest.raises(ResetNeeded):
        env.step(1)


# ---- What is observed, paid and told


@CONFIGS
def test_observations_and_rewards_are_finite_and_lie_in_the_space(config: EnvConfig) -> None:
    env = TradingVectorEnv(16, two_symbols(), config)
    space = env.single_observation_space
    observations, _ = env.reset(seed=2)
    for action in actions_of(config, 120, 16):
        assert all(space.contains(row) for row in observations)
        observations, rewards, *_, info = env.step(action)
        if "final_obs" in info:
            assert all(space.contains(row) for row in info["final_obs"][info["_final_obs"]])
        assert np.isfinite(rewards).all()


def test_the_flows_of_a_step_sum_to_the_change_of_the_margin_balance() -> None:
    env = TradingEnv(two_symbols(), RISKY)
    env.reset(seed=12)
    balance = None
    seen: dict[str, float] = dict.fromkeys(FLOWS, 0.0)
    for (action,) in actions_of(RISKY, 400, 1):
        *_, terminated, truncated, info = env.step(action)
        assert balance is None or info["margin_balance_before"] == balance
        change = info["margin_balance"] - info["margin_balance_before"]
        assert sum(info[name] for name in FLOWS) == pytest.approx(change, abs=1e-7)
        assert info["fees"] <= 0.0
        assert info["slippage"] <= 0.0
        assert (info["traded_notional"] > 0.0) == (info["fees"] < 0.0)
        seen = {name: seen[name] + abs(info[name]) for name in FLOWS}
        balance = info["margin_balance"]
        if terminated or truncated:
            env.reset()
            balance = None
    assert min(seen.values()) > 0.0


def test_randomised_fees_reach_account_and_observation() -> None:
    # The embedded fee is 0.002, so the level in units of 0.1 % is 2 times the factor: from 1 to 4.
    config = replace(
        EMBEDDED_ENV, account_features=("exposure", "fee_level"), episode=EpisodeConfig(fee_scale=(0.5, 2.0))
    )
    env = TradingVectorEnv(400, embedded_market_data(600, 3), config)
    observations, _ = env.reset(seed=0)
    levels = observations[:, -1].astype(np.float64)
    assert levels.min() == pytest.approx(1.0, abs=0.05)
    assert levels.max() == pytest.approx(4.0, abs=0.05)
    assert levels.mean() == pytest.approx(2.5, abs=0.15)  # 3.5 standard errors: 3 / sqrt(12) / sqrt(400) = 0.043
    *_, info = env.step(np.where(observations[:, -2] > 0.0, 0, 2))
    paid = -info["fees"] / info["traded_notional"]
    assert paid == pytest.approx(levels * 0.001, rel=1e-5)


def test_without_randomisation_all_accounts_pay_the_fee_of_the_terms() -> None:
    config = replace(EMBEDDED_ENV, account_features=("fee_level",))
    observations, _ = TradingVectorEnv(9, embedded_market_data(600, 3), config).reset(seed=0)
    assert observations[:, -1].tolist() == [2.0] * 9


def test_random_starts_and_positions_are_drawn_from_all_that_there_are() -> None:
    config = replace(RISKY, account_features=("exposure",), episode=EpisodeConfig(episode_bars=20))
    env = TradingVectorEnv(3_000, two_symbols(), config)
    observations, _ = env.reset(seed=0)
    signs = np.sign(observations[:, -1])
    # A third each: standard error sqrt(1 / 3 * 2 / 3 / 3000) = 0.0086.
    assert [np.mean(signs == sign) for sign in (-1, 0, 1)] == pytest.approx([1 / 3] * 3, abs=0.035)
    states = env.core.simulator.states
    # Starts: 700 - 7 - 19 of the first symbol, 330 - 7 - 19 and 367 - 7 - 19 of the second.
    assert np.mean(states["symbol"] == 0) == pytest.approx(674 / (674 + 304 + 341), abs=0.04)
    assert states["bar"].min() < 20
    assert states["bar"].max() > 1_330
    fixed = replace(config, episode=EpisodeConfig(random_start=False, random_position=False))
    observations, _ = TradingVectorEnv(3, two_symbols(), fixed).reset(seed=0)
    assert (observations == observations[0]).all()
    assert observations[0, -1] == 0.0


def test_a_continuous_action_is_a_target_and_is_cut_at_one() -> None:
    config = replace(EMBEDDED_ENV, trading=replace(EMBEDDED_ENV.trading, levels=(), rebalance_band=0.0))
    exposures = []
    for target in (0.4, 1.0, 7.0):
        env = TradingEnv(embedded_market_data(600, 3), replace(config, episode=EpisodeConfig(random_position=False)))
        env.reset(seed=1)
        *_, info = env.step(np.array([target], np.float32))
        exposures.append(info["exposure"])
    assert exposures[0] == pytest.approx(0.4, abs=0.02)  # of which a bar's move and the fee take some
    assert exposures[1] == exposures[2] == pytest.approx(1.0, abs=0.05)


def test_an_action_that_is_no_number_is_refused() -> None:
    env = TradingVectorEnv(3, two_symbols(), CONTINUOUS)
    env.reset(seed=1)
    with pytest.raises(ConfigError, match="found NaN for account 1"):
        env.step(np.array([[0.5], [np.nan], [0.0]], np.float32))


@pytest.mark.parametrize("action", [-1, 3, 10**12])
def test_a_discrete_action_that_is_no_level_is_refused_and_plays_no_bar(action: int) -> None:
    many = TradingVectorEnv(3, two_symbols(), RISKY)
    many.reset(seed=1)
    before = many.core.simulator.states.copy()
    with pytest.raises(ConfigError, match=f"numbers from 0 to 2, one an account, found {action} for account 1; check"):
        many.step(np.array([0, action, 2]))
    assert many.core.simulator.states.tobytes() == before.tobytes()
    one = TradingEnv(two_symbols(), RISKY)
    one.reset(seed=1)
    with pytest.raises(ConfigError, match=f"found {action} for account 0"):
        one.step(action)


def test_buffers_alternate_unless_copies_are_asked_for() -> None:
    env = TradingVectorEnv(3, two_symbols(), RISKY, copy=False)
    copying = TradingVectorEnv(3, two_symbols(), RISKY)
    for one in (env, copying):
        one.reset(seed=5)
    actions = actions_of(RISKY, 6, 3)
    answers = [env.step(action) for action in actions[:2]]
    kept = [copying.step(action) for action in actions[:2]]
    for k in range(2):  # what the last two steps returned is valid
        for array, other in zip(answers[k][:4], kept[k][:4], strict=True):
            assert array.tobytes() == other.tobytes()
    third = env.step(actions[2])
    expected = copying.step(actions[2])
    assert all(np.shares_memory(third[k], answers[0][k]) for k in range(4))
    assert not any(np.shares_memory(third[k], answers[1][k]) for k in range(4))
    assert answers[1][0].tobytes() == kept[1][0].tobytes()
    assert not any(np.shares_memory(kept[0][k], expected[k]) for k in range(4))
    assert kept[0][0].tobytes() != expected[0].tobytes()


# ---- Rendering


def test_a_line_says_time_price_exposure_and_balance() -> None:
    market = embedded_market_data(600, 3)
    env = TradingEnv(
        market,
        replace(EMBEDDED_ENV, episode=EpisodeConfig(random_start=False, random_position=False)),
        render_mode="ansi",
    )
    env.reset(seed=0)
    # The market begins on 2020-01-01 at 00:00; its first bar closes half an hour later.
    price = market.bars["close"][0]
    assert env.render() == (
        f"2020-01-01T00:30Z EMBEDDED {price:,.2f} USDT | exposure +0.000 | margin balance 10,000.00 USDT"
    )
    *_, info = env.step(2)
    line = env.render()
    assert line.startswith("2020-01-01T01:00Z EMBEDDED ")
    assert line.endswith(f"exposure {info['exposure']:+.3f} | margin balance {info['margin_balance']:,.2f} USDT")


def test_the_first_line_has_the_exposure_that_the_episode_begins_with() -> None:
    env = TradingEnv(two_symbols(), replace(RISKY, account_features=("exposure",)), render_mode="ansi")
    for seed in range(6):
        observation, _ = env.reset(seed=seed)
        assert f"exposure {float(observation[-1]) * 18.0:+.3f} |" in env.render()


def test_a_picture_grows_with_the_episode() -> None:
    env = TradingEnv(two_symbols(), RISKY, render_mode="rgb_array")
    env.reset(seed=3)
    first = env.render()
    assert first.shape == (480, 640, 3)
    assert first.dtype == np.uint8
    for _ in range(5):
        env.step(2)
    assert (env.render() != first).any()


def test_rendering_must_be_asked_for_in_a_mode_that_there_is() -> None:
    env = TradingEnv(two_symbols(), RISKY)
    with pytest.raises(ConfigError, match="make the environment with render_mode ansi or rgb_array"):
        env.render()
    with pytest.raises(ConfigError, match="must be ansi or rgb_array, was 'human'"):
        TradingEnv(two_symbols(), RISKY, render_mode="human")


# ---- Documentation and configuration


def test_the_docstring_has_the_observation_table_of_the_default() -> None:
    doc = TradingEnv.__doc__ or ""
    assert "{observation_table}" not in doc
    rows = re.findall(r"^ +\| +(\d+) \| (\S+) +\| (.+) \|$", doc, re.MULTILINE)
    assert [(int(number), name) for number, name, _ in rows] == list(enumerate(EnvConfig().schema.names()))
    assert len(rows) == 24 + 7
    assert dict((name, meaning.strip()) for _, name, meaning in rows)["exposure"] == ACCOUNT_FEATURES["exposure"]
    table = observation_table(RISKY)
    assert [line.split("|")[2].strip() for line in table.splitlines()] == RISKY.schema.names()


@pytest.mark.parametrize("kind", [EnvConfig, TradingConfig, EpisodeConfig, Slippage, Assumptions])
def test_every_field_of_the_configuration_is_read(kind: Any) -> None:
    checked = r"    def __post_init__.*?(?=\n    def |\n@|\Z)"  # a field that is only checked is not read
    sources = [
        re.sub(checked, "", path.read_text(), flags=re.DOTALL)
        for package in ("rl_trader", "envs", "agents")
        for path in (REPO / package).glob("*.py")
    ]
    for field in fields(kind):
        assert any(re.search(rf"\.{field.name}\b", source) for source in sources), field.name


def test_no_accounts_at_all_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_envs must be at least 1, was 0"):
        TradingVectorEnv(0, two_symbols(), RISKY)
