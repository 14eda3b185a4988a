"""The look-ahead test: no feature may read a later bar, or one outside the window it declares.

It runs on the features of every training run, a user's own included, and needs no knowledge of their code.
Each chosen row is computed again after every bar that the feature must not know has been replaced by noise,
then with those bars cut off. A feature whose value moves has read them.

Compiled kernels do not check bounds, so a user's kernel is compiled again with a check, and bars are cut off by
ending the view: what lies behind it is noise, and still the test's own memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MARK_OHLC, OHLC
from rl_trader.errors import DataError
from rl_trader.feature_kernels import RowKernel
from rl_trader.features import Feature, compute, warmup_bars
from rl_trader.klines import utc

SPARE_BARS: Final = 256  # that the test looks at beside twice the longest window
_ADVICE: Final = "let its kernel only read, rows t - window + 1 to t"


class LookaheadError(DataError):
    """A feature reads what is not known at its bar, or more than it declares."""


Signals = Mapping[str, NDArray[np.floating]]


def check_causal(
    features: Sequence[Feature],
    bars: NDArray[np.void],
    signals: Signals | None = None,
    *,
    rows: int = 8,
    seed: int = 0,
) -> None:
    """Refuse features that read what is not known at the bar, or more than they declare.

    Args:
        features: What to test.
        bars: (num_rows,) of BAR_DTYPE; the test takes a stretch of the longest segment.
        signals: Named columns, each (num_rows,).
        rows: How many rows to test: the first and the last with a full window, and random ones between.
        seed: Of the noise and the random rows.

    Raises:
        LookaheadError: If a feature is found out, with its name and the bar.
        DataError: If no segment is long enough.
    """
    rng = np.random.default_rng(seed)
    stretch = _stretch(bars, warmup_bars(features) + 1, rng)
    table = bars[stretch].copy()
    columns = {name: np.asarray(column)[stretch] for name, column in (signals or {}).items()}
    for feature in features:
        tested = _bounds_checked(feature)
        candidates = rng.integers(feature.window - 1, len(table), max(rows - 2, 0)).tolist()
        for t in [*candidates, len(table) - 1, feature.window - 1]:
            _check_row(tested, table, columns, t, rng)


def find_lookahead(
    feature: Feature, bars: NDArray[np.void], signals: Signals | None = None, *, rows: int = 8, seed: int = 0
) -> str | None:
    """Return in a sentence what a feature knows that it must not, or None; as :func:`check_causal` tests it.

    Args:
        feature: What to test.
        bars: (num_rows,) of BAR_DTYPE.
        signals: Named columns, each (num_rows,).
        rows: How many rows to test.
        seed: Of the noise and the random rows.

    Raises:
        DataError: If no segment is long enough to test the feature.
    """
    try:
        check_causal([feature], bars, signals, rows=rows, seed=seed)
    except LookaheadError as error:
        return str(error)
    return None


def _stretch(bars: NDArray[np.void], longest: int, rng: np.random.Generator) -> slice:
    """Return a random stretch of the longest segment, not much longer than the longest window."""
    segment = bars["segment"]
    borders = np.concatenate([[0], np.flatnonzero(np.diff(segment)) + 1, [len(bars)]])
    lengths = np.diff(borders)
    if not lengths.size or lengths.max() < longest:
        raise DataError(
            f"the look-ahead test needs {longest} bars without a hole, the longest window, found "
            f"{max(lengths, default=0)}; pass more bars or shorter features"
        )
    widest = int(lengths.argmax())
    size = min(int(lengths[widest]), 2 * longest + SPARE_BARS)
    start = int(borders[widest]) + int(rng.integers(lengths[widest] - size + 1))
    return slice(start, start + size)


def _bounds_checked(feature: Feature) -> Feature:
    if feature.kernel is None:  # built in, or a signal
        return feature
    source: RowKernel = getattr(feature.kernel, "py_func", feature.kernel)
    return replace(feature, kernel=numba.njit(boundscheck=True, error_model="numpy")(source))


def _check_row(feature: Feature, bars: NDArray[np.void], signals: Signals, t: int, rng: np.random.Generator) -> None:
    when = utc(int(bars["open_time"][t]))
    untouched = bars.tobytes()
    value = _value(feature, bars, signals, t, when)
    if bars.tobytes() != untouched:
        raise LookaheadError(f"feature {feature.name!r} writes into the bars, at the bar of {when}; {_ADVICE}")
    oldest = t - feature.window + 1
    noise = _noise(bars, rng)
    later = np.concatenate([bars[: t + 1], noise[t + 1 :]])
    earlier = np.concatenate([noise[:oldest], bars[oldest:]])
    alone = np.concatenate([bars[oldest : t + 1], noise])[: feature.window]
    signals_later = {
        name: np.concatenate([column[: t + 1], rng.normal(size=len(bars) - t - 1)]) for name, column in signals.items()
    }
    variants = (
        ("changes with later bars", later, signals_later, t),
        ("changes when later bars are cut off", later[: t + 1], _cut(signals, 0, t), t),
        (f"reads bars before its window of {feature.window} rows", earlier, signals, t),
        (
            f"changes when its window of {feature.window} rows stands alone",
            alone,
            _cut(signals, oldest, t),
            feature.window - 1,
        ),
    )
    for fault, variant, columns, row in variants:
        other = _value(feature, variant, columns, row, when)
        if value.tobytes() != other.tobytes() and not (np.isnan(value) and np.isnan(other)):
            raise LookaheadError(f"feature {feature.name!r} {fault}, at the bar of {when}; {_ADVICE}")


def _cut(signals: Signals, start: int, last: int) -> Signals:
    return {name: column[start : last + 1] for name, column in signals.items()}


def _value(feature: Feature, bars: NDArray[np.void], signals: Signals, t: int, when: str) -> np.float32:
    try:
        rows = compute(bars, [feature], signals, first=t, parallel=False)
    except IndexError as error:
        raise LookaheadError(
            f"feature {feature.name!r} reads bars beyond the table, at or after the bar of {when}; {_ADVICE}"
        ) from error
    return np.float32(rows[0, 0])


def _noise(bars: NDArray[np.void], rng: np.random.Generator) -> NDArray[np.void]:
    """Return bars of the same number that share no value with the given ones."""
    size = len(bars)
    noise = bars.copy()
    for name in (*OHLC, *MARK_OHLC):
        noise[name] *= np.exp(rng.normal(size=size))
    noise["open_time"] += rng.integers(1, 1 << 40, size)
    for name in ("volume", "taker_buy_volume"):
        noise[name] = rng.lognormal(size=size)
    for name in ("last_funding_rate", "hours_to_funding"):
        noise[name] = rng.normal(size=size)
    noise["num_settled"] = rng.integers(1 << 30, size=size)
    noise["segment"] = rng.integers(1 << 30, size=size)
    return noise
