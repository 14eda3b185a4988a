"""The features: their values by hand, their windows, and equal bits in a batch and in a trailing window."""

import hashlib
import math
import os
import subprocess
import sys
from typing import cast

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from rl_trader.bars import BAR_DTYPE, MS_PER_HOUR
from rl_trader.errors import CheckpointError, ConfigError, DataError
from rl_trader.feature_kernels import CHUNK_ROWS, Bars, RowKernel
from rl_trader.features import (
    FAMILIES,
    FEATURES,
    SINGLE_BARS,
    Feature,
    compute,
    resolve_features,
    warmup_bars,
)
from rl_trader.observation import DEFAULT_FEATURES
from rl_trader.scaling import Scaling, fit_scaling, scale

BUILT_INS = (
    *(f"{stem}_{family.smallest}" for stem, family in FAMILIES.items()),
    *(f"{stem}_11" for stem in FAMILIES),
    *SINGLE_BARS,
    "log_close_over_97.5",
)


def float32(values: ArrayLike) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def random_bars(num_bars: int, seed: int, segment_bars: int = 10**9) -> NDArray[np.void]:
    """Return bars of a random walk that trades in most of them, with taker volume in most of those."""
    rng = np.random.default_rng(seed)
    bars = np.zeros(num_bars, BAR_DTYPE)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, num_bars))), 1)
    bars["open_time"] = 1_700_000_000_000 + np.arange(num_bars) * MS_PER_HOUR // 2
    bars["close"] = close
    bars["open"] = np.concatenate([[100.0], close[:-1]])
    bars["high"] = np.maximum(bars["open"], close) + rng.integers(0, 3, num_bars) * 0.1
    bars["low"] = np.minimum(bars["open"], close) - rng.integers(0, 3, num_bars) * 0.1
    for name in ("open", "high", "low", "close"):
        bars[f"mark_{name}"] = bars[name] * (1.0 + rng.normal(0.0, 1e-4))
    bars["volume"] = rng.lognormal(0.0, 1.0, num_bars) * (rng.random(num_bars) > 0.1)
    bars["taker_buy_volume"] = np.where(rng.random(num_bars) > 0.2, rng.random(num_bars) * bars["volume"], np.nan)
    bars["last_funding_rate"] = rng.normal(0.0, 1e-4, num_bars)
    bars["segment"] = np.arange(num_bars) // segment_bars
    return bars


def four_bars() -> NDArray[np.void]:
    """Return four bars whose features are worked out by hand below."""
    bars = np.zeros(4, BAR_DTYPE)
    bars["open"] = [100.0, 100.0, 110.0, 99.0]
    bars["high"] = [104.0, 112.0, 110.0, 108.0]
    bars["low"] = [98.0, 100.0, 96.0, 98.0]
    bars["close"] = [100.0, 110.0, 99.0, 103.0]
    bars["mark_close"] = [100.0, 110.0, 99.0, 103.103]
    bars["volume"] = [2.0, 4.0, 0.0, 6.0]
    bars["taker_buy_volume"] = [1.5, 1.0, np.nan, 5.0]
    bars["last_funding_rate"] = [0.0, 0.0, 0.0, 0.00025]
    bars["open_time"] = np.array([4.5, 5.0, 5.5, 6.0]) * MS_PER_HOUR  # Thursday 1970-01-01
    return bars


LOG_2 = math.log(2.0)
WORKED = {
    "log_return_2": math.log(103 / 110),
    "moving_average_gap_4": 0.0,  # mean (100 + 110 + 99 + 103) / 4 = 103
    "channel_position_3": (2 * 103 - 112 - 96) / (112 - 96),
    # x = -1.5, -.5, .5, 1.5 and y - 103 = -3, 7, -4, 0: Sxy = 4.5 - 3.5 - 2 = -1, Sxx = 5, Syy = 9 + 49 + 16 = 74.
    "trend_strength_4": -1.0 / math.sqrt(5 * 74),
    "relative_strength_3": 3 / 25,  # net 103 - 100; moves 10 + 11 + 4
    "realised_volatility_2": math.sqrt(((99 / 110 - 1) ** 2 + (103 / 99 - 1) ** 2) / 2),
    "parkinson_volatility_2": math.sqrt((math.log(110 / 96) ** 2 + math.log(108 / 98) ** 2) / (2 * 4 * LOG_2)),
    "garman_klass_volatility_1": math.sqrt(math.log(108 / 98) ** 2 / 2 - (2 * LOG_2 - 1) * math.log(103 / 99) ** 2),
    "volume_ratio_4": math.log((1 + 2) / 2),  # 6 over the mean 3
    "taker_imbalance_4": (15 - 12) / 12,  # bought 1.5 + 1 + 5 = 7.5 of 12; the third bar is not recorded
    "bar_range": 10 / 103,
    "close_location": 0.0,  # in the middle of 98 and 108
    "mark_premium": 0.001,
    "last_funding_rate": 0.00025,
    "hour_sin": 1.0,  # 06:00 is a quarter of the day
    "hour_cos": 0.0,
    "weekday_sin": math.sin(2 * math.pi * 3.25 / 7),  # Thursday 06:00, from Monday
    "weekday_cos": math.cos(2 * math.pi * 3.25 / 7),
    "log_close_over_50": math.log(2.06),
}


@pytest.mark.parametrize(("name", "expected"), WORKED.items())
def test_a_built_in_feature_has_the_value_worked_by_hand(name: str, expected: float) -> None:
    value = compute(four_bars(), resolve_features([name]))[-1, 0]
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-7)  # float32 has 24 bits


def test_the_worked_examples_cover_every_built_in() -> None:
    forms = {name.rpartition("_")[0] if name[-1].isdigit() else name for name in WORKED}
    assert forms == {form.removesuffix("_<bars>").removesuffix("_<price>") for form in FEATURES}


def test_the_default_features_are_24_and_look_back_a_week_of_half_hours_at_most() -> None:
    features = resolve_features(DEFAULT_FEATURES)
    assert len({feature.name for feature in features}) == 24
    assert warmup_bars(features) + 1 == 336
    assert all(feature.description for feature in features)


@given(seed=st.integers(0, 2**32), num_bars=st.integers(1, 60), segment_bars=st.integers(1, 40))
def test_a_trailing_window_has_the_bits_of_the_batch(seed: int, num_bars: int, segment_bars: int) -> None:
    bars = random_bars(num_bars, seed, segment_bars)
    features = resolve_features(BUILT_INS)
    batch = compute(bars, features)
    for t in range(num_bars):
        trailing = bars[max(0, t - warmup_bars(features)) : t + 1]
        row = compute(trailing, features, first=len(trailing) - 1, parallel=False)
        assert row.tobytes() == batch[t].tobytes()


def test_threads_and_chunks_do_not_move_a_bit() -> None:
    bars = random_bars(2 * CHUNK_ROWS + 500, seed=1, segment_bars=CHUNK_ROWS - 7)
    features = resolve_features(DEFAULT_FEATURES)
    single = compute(bars, features, parallel=False)
    assert compute(bars, features).tobytes() == single.tobytes()
    assert compute(bars, features, first=701).tobytes() == single[701:].tobytes()


@given(seed=st.integers(0, 2**32), segment_bars=st.integers(1, 30))
def test_a_row_is_nan_exactly_where_its_window_would_cross_its_segments_start(seed: int, segment_bars: int) -> None:
    features = resolve_features(BUILT_INS)
    values = compute(random_bars(50, seed, segment_bars), features)
    for j, feature in enumerate(features):
        for t in range(50):
            assert np.isnan(values[t, j]) == (t % segment_bars < feature.window - 1)


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_in_reads_its_oldest_row_and_none_before(name: str) -> None:
    (feature,) = resolve_features([name])
    t = 40
    before_moves, oldest_moves = set(), set()
    for seed in range(20):
        bars, other = random_bars(t + 1, seed), random_bars(t + 1, seed + 100)
        other["open_time"] += 5 * MS_PER_HOUR
        other["mark_close"] += seed + 1.0
        oldest = t - feature.window + 1
        value = compute(bars, [feature])[t, 0]
        before = np.concatenate([other[:oldest], bars[oldest:]])
        within = np.concatenate([bars[:oldest], other[oldest : oldest + 1], bars[oldest + 1 :]])
        before_moves.add(bool(compute(before, [feature])[t, 0] != value))
        oldest_moves.add(bool(compute(within, [feature])[t, 0] != value))
    assert before_moves == {False}
    assert True in oldest_moves  # in some draws of the bars, not in all: a maximum is moved by a new one alone


def test_flat_prices_without_volume_give_finite_values() -> None:
    bars = random_bars(400, seed=3)
    for name in BAR_DTYPE.names or ():
        if name not in ("open_time", "segment"):
            bars[name] = 0.0 if "volume" in name else 100.0
    values = compute(bars, resolve_features([*DEFAULT_FEATURES, "close_location", "bar_range"]))
    assert np.isfinite(values[335:]).all()
    assert np.isnan(values[334]).any()


def test_compiled_and_plain_features_have_the_same_bits() -> None:
    script = (
        "import hashlib, test_features as t;"
        "print(hashlib.sha256(t.compute(t.random_bars(80, 5), t.resolve_features(t.BUILT_INS))).hexdigest())"
    )
    path = os.pathsep.join([os.getcwd(), os.path.dirname(__file__)])
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": path}
    plain = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    values = compute(random_bars(80, 5), resolve_features(BUILT_INS))
    assert plain.stdout.strip() == hashlib.sha256(values.tobytes()).hexdigest()


# --- signals and a user's own features


def _two_bar_sum(bars: Bars, t: int, window: int) -> float:
    return float(bars[t].close + bars[t - window + 1].close)


TWO_BAR_SUM = Feature("two_bar_sum", 2, _two_bar_sum)
COMPILED_SUM = Feature("compiled_sum", 2, cast(RowKernel, numba.njit(_two_bar_sum)))


def test_a_users_own_feature_is_found_by_its_import_path_and_fills_its_column() -> None:
    bars = four_bars()
    bars["segment"] = [0, 0, 1, 1]
    features = resolve_features(["log_return_1", f"{__name__}:TWO_BAR_SUM", f"{__name__}:COMPILED_SUM"])
    values = compute(bars, features)
    for column in (1, 2):  # 100 + 110 in the first segment, 99 + 103 in the second
        np.testing.assert_array_equal(values[:, column], float32([np.nan, 210.0, np.nan, 202.0]))
    assert compute(bars, features, first=3)[0, 1] == 202.0
    assert compute(bars[:0], features).shape == (0, 3)


def test_a_signal_feature_copies_its_column() -> None:
    features = resolve_features(["signal:alpha", "bar_range"])
    signals = {"alpha": np.array([1.0, 2.0, 3.0, 4.0])}
    np.testing.assert_array_equal(compute(four_bars(), features, signals, first=1)[:, 0], [2.0, 3.0, 4.0])
    with pytest.raises(DataError, match="'alpha', found none"):
        compute(four_bars(), features)
    with pytest.raises(DataError, match=r"one value a bar, 4, found shape \(3,\)"):
        compute(four_bars(), features, {"alpha": np.ones(3)})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sharpness_3"], "unknown feature 'sharpness_3'; choose from log_return_<bars>"),
        (["log_return"], "unknown feature"),
        (["log_return_0"], "unknown feature"),
        (["log_return_07"], "unknown feature"),
        (["hour_sin_3"], "unknown feature"),
        (["signal:"], "feature 'signal:' must be an import path"),
        (["log_close_over_0"], "unknown feature"),
        (["trend_strength_2"], "at least 3 bars, found 2"),
        (["bar_range", "bar_range"], "found 'bar_range' twice"),
        (["nowhere.to_be:FOUND"], "feature 'nowhere.to_be:FOUND' cannot be imported"),
        (["math:nothing"], "feature 'math:nothing' cannot be imported"),
        (["math:pi"], "found float; wrap your kernel"),
    ],
)
def test_a_name_that_leads_to_no_feature_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_features(names)


def test_a_feature_without_window_or_kernel_and_bars_of_another_type_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 row, found 0"):
        Feature("empty", 0, _two_bar_sum)
    with pytest.raises(ConfigError, match="found None; pass the function"):
        Feature("idle", 1)
    with pytest.raises(DataError, match="BAR_DTYPE"):
        compute(np.zeros(3, np.dtype([("close", np.float64)])), resolve_features(["bar_range"]))
    with pytest.raises(DataError, match="from 5 on were wanted, found 4 bars"):
        compute(four_bars(), resolve_features(["bar_range"]), first=5)


# --- scaling


def test_scaling_pools_complete_rows_and_leaves_constants_alone() -> None:
    first = float32([[np.nan, 7.0, 0.1], [1.0, 7.0, 0.1]])
    second = float32([[2.0, 7.0, 0.1], [6.0, 7.0, 0.1]])
    scaling = fit_scaling([first, second])
    # 1, 2, 6: mean 3, variance (4 + 1 + 9) / 3
    np.testing.assert_array_equal(scaling.mean, float32([3.0, 7.0, 0.1]))
    np.testing.assert_array_equal(scaling.scale, float32([math.sqrt(14 / 3), 1.0, 1.0]))
    scaled = scale(float32([[3.0 + math.sqrt(14 / 3), 7.5, 0.1], [np.nan, 99.0, -99.0]]), scaling)
    np.testing.assert_allclose(scaled[0], [1.0, 0.5, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(scaled[1], float32([np.nan, 10.0, -10.0]))


@given(seed=st.integers(0, 2**32), num_rows=st.integers(1, 70))
def test_a_scaled_row_has_the_bits_of_the_scaled_batch(seed: int, num_rows: int) -> None:
    rows = np.random.default_rng(seed).standard_t(2.0, (num_rows, 5)).astype(np.float32)
    scaling = fit_scaling(rows, clip=3.5)
    batch = scale(rows, scaling)
    for t in range(num_rows):
        assert scale(rows[t], scaling).tobytes() == batch[t].tobytes()
    assert scale(rows, scaling, out=rows) is rows
    assert rows.tobytes() == batch.tobytes()
    assert batch.dtype == np.float32


def test_scaling_survives_json_to_the_bit_and_refuses_damage() -> None:
    scaling = fit_scaling(np.random.default_rng(2).normal(size=(9, 3)).astype(np.float32), clip=7.25)
    data = scaling.to_json()
    back = Scaling.from_json(data)
    assert (back.mean.tobytes(), back.scale.tobytes()) == (scaling.mean.tobytes(), scaling.scale.tobytes())
    assert back.clip == 7.25
    with pytest.raises(CheckpointError, match="needs mean, scale and clip"):
        Scaling.from_json({"mean": [1.0]})
    with pytest.raises(CheckpointError, match="positive scales"):
        Scaling.from_json(data | {"scale": [1.0, 0.0, 1.0]})


def test_scaling_needs_finite_rows() -> None:
    with pytest.raises(DataError, match="longer than the warm-up"):
        fit_scaling(float32([[np.nan, 1.0]]))
    with pytest.raises(DataError, match="infinite value in column 1"):
        fit_scaling(float32([[1.0, np.inf], [1.0, 2.0]]))
