"""Many accounts at once: their seeds, their starts, and what is drawn for an episode."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_HOUR
from rl_trader.config import Assumptions, EpisodeConfig, Slippage, TradingConfig
from rl_trader.contract import load_terms
from rl_trader.errors import ConfigError, ContractError
from rl_trader.klines import parse_date
from rl_trader.ledger import Account
from rl_trader.market import Period, SymbolTables, build_market
from rl_trader.observation import ObservationSchema
from rl_trader.observed_market import ObservedMarket, observe_market
from rl_trader.randomness import uniform
from rl_trader.simulator import FROM_FIRST_BAR, Simulator, replay_settings

START = parse_date("2024-01-01")
SCHEMA = ObservationSchema(features=("log_return_1", "log_return_4"), window=2)  # warm-up: 4 + 1 bars
ASSUMED = Assumptions(missing_mark="last", missing_funding="base", holes="split")
TRADING = TradingConfig(max_exposure=2.0, slippage=Slippage(half_spread=0.0003))


def observed_market(num_bars: int = 300, holes: tuple[int, ...] = (), num_symbols: int = 1) -> ObservedMarket:
    """Return hourly bars of a seeded random walk without the hours in ``holes``."""
    tables = []
    for symbol in range(num_symbols):
        rng = np.random.default_rng(symbol)
        close = np.round(50_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, num_bars))), 1)
        opens = np.concatenate([[50_000.0], close[:-1]])
        table = pd.DataFrame(
            {
                "open_time": START + np.arange(num_bars, dtype=np.int64) * MS_PER_HOUR,
                "open": opens,
                "high": np.maximum(opens, close) + 10.0,
                "low": np.minimum(opens, close) - 10.0,
                "close": close,
                "volume": np.full(num_bars, 900.0),
            }
        ).drop(index=list(holes))
        terms = replace(load_terms("BTCUSDT"), symbol=f"{'AB'[symbol]}USDT")
        tables.append(SymbolTables(terms=terms, klines=table.reset_index(drop=True)))
    return observe_market(build_market(tables, "1h", ASSUMED), SCHEMA)


@pytest.fixture(scope="module")
def observed() -> ObservedMarket:
    """Return 300 bars without a hole."""
    return observed_market()


def simulator(
    observed: ObservedMarket, num_accounts: int, episode: EpisodeConfig, *, num_threads: int = 1
) -> Simulator:
    return Simulator(observed, TRADING, episode, Period(), num_accounts, num_threads=num_threads)


def play(many: Simulator, seed: int, num_steps: int) -> tuple[list[NDArray[np.void]], list[NDArray[np.float32]]]:
    """Play accounts with the keys seed, seed + 1, ..., reset those that end; return outcomes and observations.

    Targets depend on what an account observes alone.
    """
    observations = many.new_observations()
    many.seed(seed + np.arange(many.num_accounts))
    many.reset(observations)
    outcomes, seen = [], [observations.array.copy()]
    for _ in range(num_steps):
        targets = np.clip(np.rint(3.0 * np.sin(40.0 * observations.array[:, :4].sum(axis=1))), -1.0, 1.0)
        if many.step(targets.astype(np.float64), observations):
            many.reset(observations, many.outcomes["terminated"] | many.outcomes["truncated"])
        outcomes.append(many.outcomes.copy())
        seen.append(observations.array.copy())
    return outcomes, seen


RANDOM = EpisodeConfig(episode_bars=23, fee_scale=(0.4, 1.7), slippage_scale=(0.0, 3.0))


def columns(rows: list[Any], which: slice) -> bytes:
    return b"".join(row[which].tobytes() for row in rows)


def test_one_seed_gives_one_course_and_another_seed_another(observed: ObservedMarket) -> None:
    every = slice(None)
    first, second, other = (play(simulator(observed, 5, RANDOM), seed, 60) for seed in (3, 3, 11))
    assert columns(first[0], every) == columns(second[0], every)
    assert columns(first[1], every) == columns(second[1], every)
    assert columns(first[1], every) != columns(other[1], every)


def test_account_i_of_a_seed_is_the_single_account_of_seed_plus_i(observed: ObservedMarket) -> None:
    many = simulator(observed, 7, RANDOM)
    outcomes, seen = play(many, 100, 60)
    assert min(many.states["episode"]) >= 2  # over the ends of episodes
    for i in range(7):
        alone = play(simulator(observed, 1, RANDOM), 100 + i, 60)
        assert columns(alone[0], slice(0, 1)) == columns(outcomes, slice(i, i + 1))
        assert columns(alone[1], slice(0, 1)) == columns(seen, slice(i, i + 1))


def test_threads_change_no_bit(observed: ObservedMarket) -> None:
    one = play(simulator(observed, 33, RANDOM), 5, 40)
    other = play(simulator(observed, 33, RANDOM, num_threads=2), 5, 40)
    assert columns(one[0], slice(None)) == columns(other[0], slice(None))
    assert columns(one[1], slice(None)) == columns(other[1], slice(None))


def test_targets_of_another_form_are_stepped_alike(observed: ObservedMarket) -> None:
    # The kernel is called as it was compiled for contiguous float64 targets, without a look at the types.
    usual, unusual = (simulator(observed, 6, RANDOM) for _ in range(2))
    seen, apart = (many.new_observations() for many in (usual, unusual))
    for many, observations in ((usual, seen), (unusual, apart)):
        many.seed(np.arange(6))
        many.reset(many.new_observations())
        for turn in range(10):
            whole = np.array([1, 0, -1, 1, -1, 0]) * (-1) ** turn
            every_other = np.repeat(whole.astype(np.float64), 2)[::2]
            many.step(whole.astype(np.float64) if many is usual else every_other, observations)
        many.step(np.array([0, 0, 1, 1, 1, 1]), observations)  # whole numbers
    assert usual.outcomes.tobytes() == unusual.outcomes.tobytes()
    np.testing.assert_array_equal(seen.array, apart.array)


def test_a_reset_touches_only_the_chosen_accounts(observed: ObservedMarket) -> None:
    many = simulator(observed, 4, RANDOM)
    play(many, 9, 5)
    before = many.states.copy()
    observations = many.new_observations()
    observations.memory[:] = 7.0
    many.states["episode"] += 1
    many.reset(observations, np.array([True, False, False, True]))
    assert (observations.array[[1, 2]] == 7.0).all()
    assert (observations.array[[0, 3]] != 7.0).any(axis=1).all()
    changed = many.states["bar"] != before["bar"]
    assert changed.tolist() == [True, False, False, True]
    for name in ("wallet_balance", "position_amount", "last_bar", "taker_fee"):
        assert (many.states[name][[1, 2]] == before[name][[1, 2]]).all()


def test_seeding_chosen_accounts_leaves_the_others_their_keys_and_episodes(observed: ObservedMarket) -> None:
    many = simulator(observed, 3, RANDOM)
    many.seed(np.array([10, 11, 12]))
    many.states["episode"] = 4
    many.seed(np.array([20, 21, 22]), np.array([False, True, False]))
    assert many.states["key"].tolist() == [10, 21, 12]
    assert many.states["episode"].tolist() == [4, 0, 4]


# What is drawn for an episode


def drawn(observed: ObservedMarket, episode: EpisodeConfig, num_accounts: int = 20_000) -> NDArray[np.void]:
    """Return the states of many accounts after a reset."""
    many = simulator(observed, num_accounts, episode)
    many.seed(np.arange(num_accounts))
    many.reset(many.new_observations())
    return many.states


def chi_square(counts: NDArray[np.int64]) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


# Plain Python resets an account a thousand times more slowly than compiled code.
NUM_DRAWS = 2_000 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 20_000


def limit(num_cells: int) -> float:
    """Return the mean of a chi-square number plus five of its standard deviations."""
    degrees = num_cells - 1
    return degrees + 5.0 * float(np.sqrt(2.0 * degrees))


def test_random_starts_cover_the_period_evenly(observed: ObservedMarket) -> None:
    # Rows of log_return_4 need 4 bars, the window of 2 one more: after bars 5 to 276 there are 23 bars to play.
    states = drawn(observed, RANDOM, NUM_DRAWS)
    counts = np.bincount(states["bar"], minlength=300)
    assert counts[:5].sum() == counts[277:].sum() == 0
    cells = counts[5:277]
    assert cells.min() > 0
    assert chi_square(cells) < limit(272)
    assert (states["last_bar"] == states["bar"] + 23).all()


def test_random_starts_are_even_over_segments_and_symbols() -> None:
    # Each symbol has hours 0 to 99 and 101 to 129: starts after rows 5 to 98 (94) and after the sixth to the last but
    # one of 29 (23). Episodes last to the end of their segment.
    observed = observed_market(130, holes=(100,), num_symbols=2)
    states = drawn(observed, replace(RANDOM, episode_bars=0), NUM_DRAWS)
    starts = [*range(5, 99), *range(105, 128), *range(134, 228), *range(234, 257)]
    counts = np.bincount(states["bar"], minlength=258)
    assert counts[starts].sum() == len(states)
    assert chi_square(counts[starts]) < limit(len(starts))
    assert set(states["last_bar"]) == {99, 128, 228, 257}
    assert (states["symbol"] == (states["bar"] > 128)).all()


def test_a_random_position_is_short_flat_or_long_alike_and_costs_nothing(observed: ObservedMarket) -> None:
    states = drawn(observed, RANDOM, NUM_DRAWS)
    sides = np.sign(states["position_amount"])
    counts = np.array([(sides == side).sum() for side in (-1.0, 0.0, 1.0)])
    assert chi_square(counts) < limit(3)
    assert (states["wallet_balance"] == 10_000.0).all()
    close = observed.market.bars["close"][states["bar"]]
    held = sides != 0.0
    assert (states["entry_price"][held] == close[held]).all()
    # Twice the balance in steps of 0.001: less than one step of it is missing.
    missing = 20_000.0 - np.abs(states["position_amount"][held]) * close[held]
    assert (missing >= -1e-6).all()
    assert (missing <= 0.001 * close[held] + 1e-6).all()
    np.testing.assert_allclose(
        states["isolated_wallet"], np.abs(states["position_amount"]) * states["entry_price"] / 5.0, atol=1e-8
    )


def test_a_random_position_keeps_the_reserve_of_the_brackets_limit_free(observed: ObservedMarket) -> None:
    # At leverage 150 the limit is 300 000, of which 98 % are 294 000; 100 times 2 970 would be 297 000.
    trading = replace(TRADING, initial_balance=2_970.0, leverage=150, max_exposure=100.0)
    many = Simulator(observed, trading, RANDOM, Period(), 50)
    many.seed(np.arange(50))
    many.reset(many.new_observations())
    held = many.states["position_amount"] != 0.0
    assert held.any()
    notional = np.abs(many.states["position_amount"]) * observed.market.bars["close"][many.states["bar"]]
    assert (notional[held] <= 294_000.0 + 1e-6).all()
    assert (notional[held] > 294_000.0 - 0.001 * 70_000.0).all()


def test_a_random_position_keeps_the_reserve_of_the_balance_free(observed: ObservedMarket) -> None:
    # Leverage 5 carries 50 000, of which 98 % are 49 000; an exposure of 5 would be 50 000.
    many = Simulator(observed, replace(TRADING, max_exposure=5.0), RANDOM, Period(), 50)
    many.seed(np.arange(50))
    many.reset(many.new_observations())
    held = many.states["position_amount"] != 0.0
    assert held.any()
    close = observed.market.bars["close"][many.states["bar"]]
    missing = 49_000.0 - np.abs(many.states["position_amount"]) * close
    assert (missing[held] >= -1e-6).all()
    assert (missing[held] <= 0.001 * close[held] + 1e-6).all()


def test_a_new_episode_has_held_its_position_for_no_bar(observed: ObservedMarket) -> None:
    many = simulator(observed, 20, RANDOM)
    many.seed(np.arange(20))
    many.states["bars_held"] = 7
    observations = many.new_observations()
    many.reset(observations)
    assert (many.states["bars_held"] == 0).all()
    assert (observations.array[:, -8:][:, 4] == 0.0).all()


def test_each_thing_that_is_random_in_an_episode_has_a_draw_of_its_own(observed: ObservedMarket) -> None:
    many = simulator(observed, 5, RANDOM)
    many.seed(np.arange(5) + 40)
    many.states["episode"] = 3
    many.reset(many.new_observations())
    for key, state in zip(range(40, 45), many.states, strict=True):
        start, position, fee, slippage = (uniform(key, 3, draw) for draw in range(4))
        assert state["bar"] == 5 + int(start * 272)
        assert np.sign(state["position_amount"]) == np.floor(position * 3.0) - 1.0
        assert state["taker_fee"] == pytest.approx(0.0005 * (0.4 + 1.3 * fee))
        assert state["maker_fee"] == pytest.approx(0.0002 * (0.4 + 1.3 * fee))
        assert state["slippage_scale"] == pytest.approx(3.0 * slippage)


def test_the_drawn_start_counts_through_the_segments_in_their_order() -> None:
    # Hours 0 to 59 and 61 to 129 are rows 0 to 59 and 60 to 128: starts after rows 5 to 58 (54) and 65 to 127 (63).
    many = simulator(observed_market(130, holes=(60,)), 40, replace(RANDOM, episode_bars=0))
    many.seed(np.arange(40))
    many.reset(many.new_observations())
    starts = [*range(5, 59), *range(65, 128)]
    assert many.states["bar"].tolist() == [starts[int(uniform(key, 0, 0) * 117)] for key in range(40)]


def test_without_randomness_an_account_begins_flat_at_the_first_bar(observed: ObservedMarket) -> None:
    states = drawn(observed, FROM_FIRST_BAR, 3)
    assert states["bar"].tolist() == [5] * 3
    assert states["last_bar"].tolist() == [299] * 3
    assert states["position_amount"].tolist() == [0.0] * 3
    assert states["taker_fee"].tolist() == [0.0005] * 3
    assert states["slippage_scale"].tolist() == [1.0] * 3


def test_without_randomness_episodes_go_through_the_segments_in_turn() -> None:
    many = simulator(observed_market(130, holes=(60, 100)), 1, FROM_FIRST_BAR)
    observations = many.new_observations()
    starts = []
    for episode in range(4):
        many.states["episode"] = episode
        many.reset(observations)
        starts.append(int(many.states["bar"][0]))
    assert starts == [5, 65, 104, 5]


def test_fees_and_slippage_are_scaled_by_numbers_drawn_evenly_from_their_ranges(observed: ObservedMarket) -> None:
    states = drawn(observed, RANDOM, NUM_DRAWS)
    fee, slippage = states["taker_fee"] / 0.0005, states["slippage_scale"]
    for values, low, high in ((fee, 0.4, 1.7), (slippage, 0.0, 3.0)):
        shares = (values - low) / (high - low)
        assert shares.min() >= 0.0
        assert shares.max() < 1.0
        assert chi_square(np.bincount((shares * 50).astype(np.int64), minlength=50)) < limit(50)
    # Independent of each other and of the start: correlations within five of 1 / sqrt(n).
    table = np.corrcoef([fee, slippage, states["bar"], states["position_amount"]])
    assert np.abs(table - np.eye(4)).max() < 5.0 / np.sqrt(len(states))


def test_scaled_costs_are_what_the_account_pays(observed: ObservedMarket) -> None:
    doubled = replace(FROM_FIRST_BAR, fee_scale=(2.0, 2.0), slippage_scale=(3.0, 3.0))
    paid = []
    for episode in (FROM_FIRST_BAR, doubled):
        many = simulator(observed, 1, episode)
        observations = many.new_observations()
        many.reset(observations)
        many.step(np.array([1.0]), observations)
        paid.append(many.outcomes[0].copy())
    bar = observed.market.bars[6]
    # 20 000 at the close of bar 5, in steps of 0.001, times the open; the fill is rounded to ticks of 0.1.
    amount = np.floor(20_000.0 / observed.market.bars[5]["close"] * 1000) / 1000
    for outcome, fee, slippage in ((paid[0], 0.0005, 0.0003), (paid[1], 0.001, 0.0009)):
        price = np.ceil(bar["open"] * (1.0 + slippage) * 10 - 1e-6) / 10
        assert outcome["slippage"] == pytest.approx(-amount * (price - bar["open"]))
        assert outcome["fees"] == pytest.approx(-amount * price * fee, abs=1e-8)


# Beginning an evaluation


def test_begin_starts_every_account_flat_with_its_own_balance_at_one_stretch() -> None:
    many = simulator(observed_market(130, holes=(100,)), 3, FROM_FIRST_BAR)
    observations = many.new_observations()
    balances = np.array([10_000.0, 5_000.0, 123.0])
    many.begin(many.episodes[1], balances, observations)
    assert many.states["bar"].tolist() == [105] * 3
    assert many.states["wallet_balance"].tolist() == many.states["margin_balance"].tolist() == balances.tolist()
    many.step(np.ones(3), observations)
    assert many.outcomes["margin_balance_before"].tolist() == balances.tolist()
    assert many.account(0).position_amount > 1.9 * many.account(1).position_amount > 0.0
    # The stretches of the simulator itself are as before.
    many.states["episode"] = 0
    many.reset(observations)
    assert many.states["bar"].tolist() == [5] * 3
    assert many.account(2) == Account(10_000.0, 0.0, 0.0, 0.0)


# What is refused


def test_a_balance_that_cannot_carry_the_smallest_order_is_refused(observed: ObservedMarket) -> None:
    # The smallest order is 50 USDT or 0.001 of about 50 000, rounded up to steps: 0.001 or 0.002 of the median close.
    median = float(np.median(observed.market.bars["close"]))
    smallest = 0.001 * median if 0.001 * median >= 50.0 else 0.002 * median
    enough = TradingConfig(initial_balance=smallest / 2.0 + 0.01, max_exposure=2.0)
    assert replay_settings(observed, enough, FROM_FIRST_BAR)["ruin_balance"] == pytest.approx(smallest / 2.0)
    message = f"cannot carry the smallest order of {smallest:.2f} USDT at max_exposure 2.0; give more than"
    with pytest.raises(ConfigError, match=message):
        replay_settings(observed, replace(enough, initial_balance=smallest / 2.0 - 0.01), FROM_FIRST_BAR)


def test_a_leverage_that_the_symbol_does_not_allow_is_refused(observed: ObservedMarket) -> None:
    trading = TradingConfig(leverage=151)
    with pytest.raises(ContractError, match="leverage of AUSDT must be a whole number from 1 to 150 and is 151"):
        Simulator(observed, trading, FROM_FIRST_BAR, Period(), 1)


def test_the_settings_are_those_of_the_configuration(observed: ObservedMarket) -> None:
    trading = TradingConfig(
        max_exposure=2.0,
        rebalance_band=0.15,
        slippage=Slippage(half_spread=0.0002, sqrt_impact=0.003, linear_impact=0.004),
        stop_loss=None,
        take_profit=0.07,
        stop_trigger="last",
    )
    row = replay_settings(observed, trading, RANDOM)[0]
    assert row["rebalance_band"] == pytest.approx(0.3)  # a fraction of max_exposure
    assert (row["half_spread"], row["sqrt_impact"], row["linear_impact"]) == (0.0002, 0.003, 0.004)
    assert (row["stop_loss"], row["take_profit"], bool(row["stop_on_mark"])) == (0.0, 0.07, False)
    assert (row["episode_bars"], row["window"]) == (23, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"episode_bars": -1}, "episode_bars must be a whole number from 0, was -1"),
        ({"fee_scale": (1.2, 0.8)}, r"fee_scale must be two rising factors from 0 on, was \(1.2, 0.8\)"),
        ({"slippage_scale": (-0.1, 1.0)}, "slippage_scale must be two rising factors"),
        ({"slippage_scale": (0.0, float("inf"))}, "slippage_scale must be two rising factors"),
    ],
)
def test_an_episode_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EpisodeConfig(**changes)


# The generator


@given(st.integers(0, 2**62), st.integers(0, 2**40), st.integers(0, 10))
def test_a_draw_is_a_number_from_0_to_below_1_and_the_same_in_plain_python(key: int, episode: int, draw: int) -> None:
    value = uniform(key, episode, draw)
    assert 0.0 <= value < 1.0
    assert getattr(uniform, "py_func", uniform)(key, episode, draw) == value
    assert uniform(np.int64(key), np.int64(episode), draw) == value  # type: ignore[arg-type]


def test_draws_of_neighbouring_keys_episodes_and_numbers_are_even_and_independent() -> None:
    for grid in (
        [(key, 0, 0) for key in range(NUM_DRAWS)],
        [(3, episode, 1) for episode in range(NUM_DRAWS)],
        [(key << 32, 5, 2) for key in range(NUM_DRAWS)],
        [(key, episode, draw) for key in range(NUM_DRAWS // 100) for episode in range(25) for draw in range(4)],
    ):
        values = np.array([uniform(*words) for words in grid])
        assert len(set(values)) > 0.999 * len(values)
        assert chi_square(np.bincount((values * 100).astype(np.int64), minlength=100)) < limit(100)
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 5.0 / np.sqrt(len(values))
