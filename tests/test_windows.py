"""Windows that slide through memory show what windows show that are written whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.embedded import embedded_market_data
from rl_trader.config import EMBEDDED_ENV, EpisodeConfig
from rl_trader.market import Period
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.simulator import Simulator
from rl_trader.windows import Observations

FEATURES = ("log_return_1", "realised_volatility_4", "hour_sin")
NUM_ACCOUNTS = 7
NUM_STEPS = 60


def observed_market(num_features: int, window: int) -> ObservedMarket:
    schema = ObservationSchema(
        features=FEATURES[:num_features], account_features=("exposure", "bars_held"), window=window
    )
    return observe_market(embedded_market_data(300, 5), schema)


def simulator(observed: ObservedMarket, num_threads: int) -> Simulator:
    episode = EpisodeConfig(episode_bars=23)
    return Simulator(observed, EMBEDDED_ENV.trading, episode, Period(), NUM_ACCOUNTS, num_threads=num_threads)


@given(
    seed=st.integers(0, 2**31),
    num_features=st.integers(1, 3),
    window=st.integers(1, 12),
    num_buffers=st.integers(1, 3),
    num_threads=st.integers(1, 2),
)
def test_sliding_windows_are_those_that_are_written_whole(
    seed: int, num_features: int, window: int, num_buffers: int, num_threads: int
) -> None:
    rng = np.random.default_rng(seed)
    observed = observed_market(num_features, window)
    sliding, whole = simulator(observed, num_threads), simulator(observed, 1)
    buffers = [sliding.new_observations(every=num_buffers) for _ in range(num_buffers)]
    expected = whole.new_observations()
    for many, observations in ((sliding, buffers[0]), (whole, expected)):
        many.seed(np.arange(NUM_ACCOUNTS) + seed)
        many.reset(observations)
    for step in range(1, NUM_STEPS):
        observations = buffers[step % num_buffers]
        targets = rng.choice([-1.0, 0.0, 1.0], NUM_ACCOUNTS)
        sliding.step(targets, observations)
        whole.step(targets, expected)
        ended = whole.outcomes["terminated"] | whole.outcomes["truncated"]
        is_seen = rng.random() < 0.8  # some stand still for a while before they begin anew
        assert observations.array[~ended].tobytes() == expected.array[~ended].tobytes()
        if is_seen and (which := ended | (rng.random(NUM_ACCOUNTS) < 0.05)).any():
            for many, written in ((sliding, observations), (whole, expected)):
                many.reset(written, which)
            assert observations.array[which].tobytes() == expected.array[which].tobytes()


def test_a_step_writes_only_what_is_new() -> None:
    observed = observed_market(3, 8)
    many = simulator(observed, 1)
    many.seed(np.arange(NUM_ACCOUNTS))
    observations = many.new_observations(every=1)
    many.reset(observations)
    many.step(np.zeros(NUM_ACCOUNTS), observations)
    observations.array[:, :3] = 7.0  # the oldest bar, and the one after it
    observations.array[:, 3:6] = 9.0
    many.step(np.zeros(NUM_ACCOUNTS), observations)
    assert (observations.array[:, :3] == 9.0).all()
    assert not (observations.array[:, 3:] == 9.0).any()


def test_an_episode_that_begins_where_the_next_bars_would_be_is_shown_whole() -> None:
    observed = observed_market(3, 8)
    many = simulator(observed, 1)
    many.seed(np.arange(NUM_ACCOUNTS))
    observations, expected = many.new_observations(every=2), many.new_observations()
    many.reset(observations)
    observations.memory[:] = np.nan  # of another episode, which ended two bars before the next begins
    observations.newest -= 2
    many.reset(observations)
    many.reset(expected)
    assert observations.array.tobytes() == expected.array.tobytes()


def test_an_account_that_has_stood_still_is_shown_whole() -> None:
    observed = observed_market(3, 8)
    many = simulator(observed, 1)
    many.seed(np.arange(NUM_ACCOUNTS))
    observations, expected = many.new_observations(every=1), many.new_observations()
    many.reset(observations)
    last = many.states["last_bar"].copy()
    many.states["last_bar"] = many.states["bar"]
    for _ in range(3):
        many.step(np.zeros(NUM_ACCOUNTS), observations)
    many.states["last_bar"] = last
    many.step(np.zeros(NUM_ACCOUNTS), observations)  # a bar after the one that it has shown four steps before
    whole = simulator(observed, 1)
    whole.seed(np.arange(NUM_ACCOUNTS))
    whole.reset(expected)
    whole.step(np.zeros(NUM_ACCOUNTS), expected)
    assert observations.array.tobytes() == expected.array.tobytes()


@pytest.mark.parametrize("every", [None, 8, 9])
def test_windows_that_would_be_new_as_a_whole_have_no_room_ahead(every: int | None) -> None:
    schema = observed_market(2, 8).schema
    observations = Observations(4, schema, every=every)
    assert observations.memory.shape == (4, schema.size)
    observations.advance()
    assert observations.array.flags.c_contiguous
    assert np.shares_memory(observations.array, observations.memory)


def test_the_room_ahead_is_of_two_windows_and_used_up_to_its_end() -> None:
    schema = observed_market(2, 9).schema
    observations = Observations(4, schema, every=2)
    assert observations.memory.shape == (4, schema.size + 18 * 2)
    columns = []
    for _ in range(11):
        observations.advance()
        columns.append(observations.column)
        assert observations.array.shape == (4, schema.size)
    assert columns == [4, 8, 12, 16, 20, 24, 28, 32, 36, 0, 4]
