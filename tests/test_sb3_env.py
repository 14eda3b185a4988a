"""The adapter for Stable-Baselines3: what SB3 is told, and that nothing but the form differs from the environment."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from agents.training.sb3_env import TradingVecEnv
from envs.embedded import embedded_market_data
from envs.vector_env import TradingVectorEnv
from rl_trader.config import EMBEDDED_ENV, EpisodeConfig, TradingConfig

NUM_ENVS = 4
# Some accounts are liquidated, the others truncated after 15 bars.
CONFIG = replace(
    EMBEDDED_ENV,
    trading=TradingConfig(initial_balance=2_000.0, leverage=20, max_exposure=18.0, stop_loss=None),
    episode=EpisodeConfig(episode_bars=15),
)


def make(*, copy: bool = False) -> TradingVectorEnv:
    return TradingVectorEnv(NUM_ENVS, embedded_market_data(900, 3), CONFIG, copy=copy)


def seeded(seed: int = 21) -> TradingVecEnv:
    env = TradingVecEnv(make())
    env.seed(seed)
    env.reset()
    return env


def actions(num_steps: int) -> NDArray[Any]:
    return np.random.default_rng(5).integers(0, 3, (-(-num_steps // 8), NUM_ENVS)).repeat(8, axis=0)[:num_steps]


def test_the_adapter_hands_on_what_the_environment_answers_and_tells_the_ends_apart() -> None:
    env, plain = TradingVecEnv(make()), make(copy=True)
    env.seed(21)
    first: Any = env.reset()
    assert first.tobytes() == plain.reset(seed=21)[0].tobytes()
    returns, lengths = np.zeros(NUM_ENVS), np.zeros(NUM_ENVS, int)
    num_ends = {True: 0, False: 0}
    for action in actions(200):
        found: Any = env.step(action)
        observations, rewards, dones, infos = found
        wanted, wanted_rewards, terminated, truncated, info = plain.step(action)
        assert observations.tobytes() == wanted.tobytes()
        assert rewards.tobytes() == wanted_rewards.tobytes()
        assert (dones == (terminated | truncated)).all()
        returns += wanted_rewards
        lengths += 1
        for i in range(NUM_ENVS):
            if not dones[i]:
                assert infos[i] == {}
                continue
            assert set(infos[i]) == {"terminal_observation", "TimeLimit.truncated", "episode"}
            assert infos[i]["terminal_observation"].tobytes() == info["final_obs"][i].tobytes()
            assert infos[i]["TimeLimit.truncated"] is bool(truncated[i])
            assert infos[i]["episode"]["r"] == returns[i]
            assert infos[i]["episode"]["l"] == lengths[i]
            assert infos[i]["episode"]["t"] >= 0.0
            num_ends[bool(truncated[i])] += 1
            returns[i] = lengths[i] = 0
    assert min(num_ends.values()) >= 3


def test_a_terminal_observation_outlives_the_steps_after_it() -> None:
    env = seeded()
    kept: list[tuple[NDArray[np.float32], bytes]] = []
    for action in actions(60):
        result: Any = env.step(action)
        kept += [(info["terminal_observation"], info["terminal_observation"].tobytes()) for info in result[3] if info]
    assert len(kept) >= 8
    assert all(array.tobytes() == bits for array, bits in kept)


def test_what_a_step_returned_is_valid_until_the_step_after_the_next() -> None:
    # SB3 adds the observations and dones of one step to its buffer after the next one.
    env, copying = seeded(), make(copy=True)
    copying.reset(seed=21)
    before: Any = env.step(np.ones(NUM_ENVS, int))
    wanted = copying.step(np.ones(NUM_ENVS, int))
    for action in actions(40):
        result: Any = env.step(action)
        assert before[0].tobytes() == wanted[0].tobytes()
        assert before[1].tobytes() == wanted[1].tobytes()
        assert (before[2] == (wanted[2] | wanted[3])).all()
        before, wanted = result, copying.step(action)


def test_windows_are_handed_on_in_one_piece() -> None:
    config = replace(CONFIG, features=("log_return_1", "hour_sin"), window=5)
    apart, copying = (
        TradingVectorEnv(NUM_ENVS, embedded_market_data(900, 3), config, copy=copy) for copy in (False, True)
    )
    env = TradingVecEnv(apart)
    env.seed(21)
    seen: Any = env.reset()
    wanted, _ = copying.reset(seed=21)
    for action in actions(40):
        assert seen.flags.c_contiguous
        assert seen.tobytes() == wanted.tobytes()
        seen, *_ = env.step(action)
        wanted, *_ = copying.step(action)
    assert not apart.step(actions(1)[0])[0].flags.c_contiguous


def test_a_seed_counts_once() -> None:
    env = TradingVecEnv(make())
    assert env.seed(7) == [7, 8, 9, 10]
    first: Any = env.reset()
    bits = first.tobytes()
    second: Any = env.reset()
    assert second.tobytes() != bits
    env.seed(7)
    again: Any = env.reset()
    assert again.tobytes() == bits


def test_a_state_put_back_goes_on_as_before() -> None:
    env = seeded()
    for action in actions(40)[:20]:
        env.step(action)
    state = env.state()
    answers = [env.step(action) for action in actions(40)[20:]]
    bits = [(o.tobytes(), r.tobytes(), d.tobytes()) for o, r, d, _ in _copies(env, state)]
    other = seeded(99)
    other.step(np.zeros(NUM_ENVS, int))
    assert [(o.tobytes(), r.tobytes(), d.tobytes()) for o, r, d, _ in _copies(other, state)] == bits
    ends = [[info["episode"]["r"] for info in answer[3] if info] for answer in answers]
    assert [[info["episode"]["r"] for info in answer[3] if info] for answer in _copies(other, state)] == ends


def _copies(env: TradingVecEnv, state: dict[str, NDArray[Any]]) -> list[tuple[Any, Any, Any, Any]]:
    env.set_state(state)
    found = []
    for action in actions(40)[20:]:
        result: Any = env.step(action)
        found.append((result[0].copy(), result[1].copy(), result[2].copy(), result[3]))
    return found


def test_the_rest_of_the_interface_answers_for_all_accounts_or_the_chosen_ones() -> None:
    env = seeded()
    assert env.num_envs == NUM_ENVS
    assert env.get_attr("num_envs") == [NUM_ENVS] * NUM_ENVS
    assert env.get_attr("render_mode", [0, 2]) == [None, None]
    assert env.get_attr("num_envs", 1) == [NUM_ENVS]
    env.set_attr("label", "x")
    assert env.get_attr("label", 0) == ["x"]
    assert env.env_is_wrapped(VecMonitor, [0, 1]) == [False, False]
    assert env.get_images() == [None] * NUM_ENVS
    assert len(env.env_method("step", np.ones(NUM_ENVS, int), indices=2)) == 1
    env.close()


@pytest.mark.parametrize("wrapper", [VecMonitor, VecNormalize])
def test_sb3s_wrappers_fit_on_it(wrapper: Any) -> None:
    env = wrapper(TradingVecEnv(make()))
    assert env.reset().shape == (NUM_ENVS, 2)
    for action in actions(30):
        observations, rewards, dones, infos = env.step(action)
        assert observations.shape == (NUM_ENVS, 2)
        assert rewards.shape == dones.shape == (NUM_ENVS,)
        assert all(("terminal_observation" in info) == done for info, done in zip(infos, dones, strict=True))
