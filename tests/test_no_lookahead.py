"""No feature knows a later bar, and the test that says so finds those that do."""

import os
from typing import cast

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from rl_trader.bars import BAR_DTYPE, MS_PER_HOUR
from rl_trader.errors import ConfigError, DataError
from rl_trader.feature_kernels import Bars, RowKernel
from rl_trader.features import FAMILIES, SINGLE_BARS, Feature, resolve_features
from rl_trader.lookahead import check_causal
from rl_trader.observation import DEFAULT_FEATURES

IS_PLAIN = os.environ.get("NUMBA_DISABLE_JIT") == "1"


def walk(num_bars: int, segment_bars: int = 10**9) -> NDArray[np.void]:
    """Return bars of a seeded random walk from 2023-11-14T22:00Z on."""
    rng = np.random.default_rng(num_bars)
    bars = np.zeros(num_bars, BAR_DTYPE)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, num_bars)))
    for name, factor in (("open", 1.0), ("high", 1.01), ("low", 0.99), ("close", 1.002)):
        bars[name] = bars[f"mark_{name}"] = close * factor
    bars["open_time"] = 1_699_999_200_000 + np.arange(num_bars) * MS_PER_HOUR
    bars["volume"] = rng.lognormal(size=num_bars)
    bars["taker_buy_volume"] = 0.4 * bars["volume"]
    bars["segment"] = np.arange(num_bars) // segment_bars
    return bars


def test_no_built_in_feature_looks_ahead_or_outside_its_window() -> None:
    names = {*DEFAULT_FEATURES, *(f"{stem}_5" for stem in FAMILIES), *SINGLE_BARS, "log_close_over_1000"}
    check_causal(resolve_features(sorted(names)), walk(450), rows=5)


def _honest(bars: Bars, t: int, window: int) -> float:
    return float(bars[t].close - bars[t - window + 1].close)


def _next_bar(bars: Bars, t: int, window: int) -> float:
    return float(bars[t + 1].close)


def _next_bar_if_any(bars: Bars, t: int, window: int) -> float:
    return float(bars[min(t + 1, bars.size - 1)].close)


def _far_beyond(bars: Bars, t: int, window: int) -> float:
    return float(bars[t + 10**12].close)


def _global_mean(bars: Bars, t: int, window: int) -> float:
    total = 0.0
    for i in range(bars.size):
        total += bars[i].close
    return float(bars[t].close) / (total / bars.size)


def _mean_so_far(bars: Bars, t: int, window: int) -> float:
    total = 0.0
    for i in range(t + 1):
        total += bars[i].close
    return total / (t + 1)


def _row_before_the_window(bars: Bars, t: int, window: int) -> float:
    return float(bars[t - window].volume)


def _length_of_the_table(bars: Bars, t: int, window: int) -> float:
    return float(bars.size)


def _row_number(bars: Bars, t: int, window: int) -> float:
    return float(t)


FAULTY = [
    (_next_bar, "reads bars beyond the table"),
    (_next_bar_if_any, "changes with later bars"),
    (_far_beyond, "reads bars beyond the table"),
    (_global_mean, "changes with later bars"),
    (_mean_so_far, "reads bars before its window of 3 rows"),
    (_row_before_the_window, "reads bars before its window of 3 rows"),
    (_length_of_the_table, "changes when later bars are cut off"),
    (_row_number, "changes when its window of 3 rows stands alone"),
]


@pytest.mark.parametrize(("row_kernel", "fault"), FAULTY)
def test_a_users_feature_that_knows_too_much_is_found_out(row_kernel: RowKernel, fault: str) -> None:
    for kernel in (row_kernel, cast(RowKernel, numba.njit(row_kernel))):
        feature = Feature("mine", 3, kernel)
        with pytest.raises(DataError, match=rf"'mine' {fault}.* the bar of 20[0-9-]+T[0-9:]+Z; let its kernel only"):
            check_causal([feature], walk(60))


def test_a_users_honest_feature_and_a_signal_pass() -> None:
    features = (Feature("mine", 3, _honest), *resolve_features(["signal:alpha"]))
    check_causal(features, walk(60), {"alpha": np.arange(60.0)})
    check_causal(features, walk(3), {"alpha": np.arange(3.0)})  # a table of one window


def test_a_feature_of_one_bar_can_be_tested_on_one_bar() -> None:
    check_causal([Feature("mine", 1, _honest)], walk(1))
    with pytest.raises(DataError, match="beyond the table"):
        check_causal([Feature("mine", 1, _next_bar)], walk(1))


def test_the_stretch_that_is_tested_lies_within_one_segment() -> None:
    check_causal([Feature("mine", 9, _honest)], walk(100, segment_bars=9))
    with pytest.raises(DataError, match="needs 10 bars without a hole, the longest window, found 9"):
        check_causal([Feature("mine", 10, _honest)], walk(100, segment_bars=9))
    with pytest.raises(DataError, match="found 0"):
        check_causal([Feature("mine", 10, _honest)], walk(100)[:0])


def _uncompilable(bars: Bars, t: int, window: int) -> float:
    return float(eval("1.0"))


# With NUMBA_DISABLE_JIT there is no compiler whose error could be named.
@pytest.mark.skipif(IS_PLAIN, reason="nothing is compiled")
def test_a_kernel_that_cannot_be_compiled_is_named() -> None:
    with pytest.raises(ConfigError, match="kernel of feature 'mine' cannot be compiled"):
        check_causal([Feature("mine", 1, _uncompilable)], walk(10))


def _writes(bars: Bars, t: int, window: int) -> float:
    bars[t].close = 0.0
    return 0.0


# Compiled code ignores the read-only flag, so only it needs the copy that is looked at.
@pytest.mark.skipif(IS_PLAIN, reason="NumPy itself refuses to write into read-only bars")
def test_a_kernel_that_writes_into_the_bars_is_found_out_on_a_copy() -> None:
    bars = walk(10)
    with pytest.raises(DataError, match="'mine' writes into the bars"):
        check_causal([Feature("mine", 1, _writes)], bars)
    assert bars.tobytes() == walk(10).tobytes()
