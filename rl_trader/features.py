"""The market's part of the observation: named, causal features of finite window.

Training computes them over the whole table, live trading over the trailing window, by the same
:func:`compute` with equal bits. A feature is known by its name:

- a built-in of :data:`FEATURES`, with its number of bars or its value appended (``log_return_48``,
  ``log_close_over_1000``);
- ``signal:<column>``, a copy of a named signal column of the market;
- ``package.module:attribute``, a user's own :class:`Feature`.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

import numba
import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from rl_trader.bars import BAR_DTYPE
from rl_trader.errors import ConfigError, DataError
from rl_trader.extensions import import_object
from rl_trader.feature_kernels import (
    Bars,
    FeatureKind,
    RowKernel,
    fill_matrix,
    fill_matrix_parallel,
    segment_start,
)

SIGNAL_PREFIX: Final = "signal:"


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature matrix.

    A user's own feature is ``Feature("name", window, kernel)``; the other fields are the built-ins'.
    """

    name: str
    window: int
    """Rows that the kernel reads: ``t - window + 1`` to ``t``."""
    kernel: RowKernel | None = None
    """A user's ``kernel(bars, t, window) -> float``, plain or compiled by ``numba.njit``."""
    description: str = ""
    kind: FeatureKind = FeatureKind.OWN
    parameter: float = 0.0
    """What the name of a ``log_close_over_...`` ends in, USDT."""

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError(
                f"feature {self.name!r} needs a window of at least 1 row, found {self.window}; "
                "declare how many rows its kernel reads"
            )
        if self.kind is FeatureKind.OWN and not callable(self.kernel):
            raise ConfigError(
                f"feature {self.name!r} needs a kernel(bars, t, window), found {self.kernel!r}; pass the function"
            )

    @property
    def column(self) -> str:
        """The signal column that a ``signal:`` feature copies."""
        return self.name.removeprefix(SIGNAL_PREFIX)


@dataclass(frozen=True, slots=True)
class Family:
    """A built-in feature before its number of bars is known."""

    kind: FeatureKind
    extra_rows: int
    """Rows that the window has over the number in the name."""
    smallest: int
    """Least number that makes sense in the name."""
    description: str


@dataclass(frozen=True, slots=True)
class SingleBar:
    """A built-in feature that reads one bar."""

    kind: FeatureKind
    description: str


FAMILIES: Final[Mapping[str, Family]] = {
    "log_return": Family(FeatureKind.LOG_RETURN, 1, 1, "log return of the close over {n} bars"),
    "moving_average_gap": Family(FeatureKind.MOVING_AVERAGE_GAP, 0, 2, "close over its mean of {n} bars, less 1"),
    "channel_position": Family(
        FeatureKind.CHANNEL_POSITION, 0, 1, "close between lowest low (-1) and highest high (1) of {n} bars"
    ),
    "trend_strength": Family(FeatureKind.TREND_STRENGTH, 0, 3, "correlation of close and time over {n} bars, -1 to 1"),
    "relative_strength": Family(
        FeatureKind.RELATIVE_STRENGTH, 1, 2, "net move over the sum of moves of {n} bars, -1 to 1"
    ),
    "realised_volatility": Family(
        FeatureKind.REALISED_VOLATILITY, 1, 1, "root mean square of the simple returns of {n} bars"
    ),
    "parkinson_volatility": Family(
        FeatureKind.PARKINSON_VOLATILITY, 0, 1, "volatility of a bar from the highs and lows of {n} bars"
    ),
    "garman_klass_volatility": Family(
        FeatureKind.GARMAN_KLASS_VOLATILITY, 0, 1, "volatility of a bar from all four prices of {n} bars"
    ),
    "volume_ratio": Family(
        FeatureKind.VOLUME_RATIO, 0, 2, "log((1 + r) / 2) of r, the volume over its mean of {n} bars"
    ),
    "taker_imbalance": Family(
        FeatureKind.TAKER_IMBALANCE, 0, 1, "taker buys less sells over their sum, {n} bars; 0 if not recorded"
    ),
}

SINGLE_BARS: Final[Mapping[str, SingleBar]] = {
    "bar_range": SingleBar(FeatureKind.BAR_RANGE, "high less low, over close"),
    "close_location": SingleBar(FeatureKind.CLOSE_LOCATION, "close between the bar's low (-1) and high (1)"),
    "mark_premium": SingleBar(FeatureKind.MARK_PREMIUM, "mark close over last close, less 1"),
    "last_funding_rate": SingleBar(FeatureKind.LAST_FUNDING_RATE, "newest settled funding rate, fraction"),
    "hour_sin": SingleBar(FeatureKind.HOUR_SIN, "sine of the time of day (UTC) at the bar's open"),
    "hour_cos": SingleBar(FeatureKind.HOUR_COS, "cosine of the time of day (UTC) at the bar's open"),
    "weekday_sin": SingleBar(FeatureKind.WEEKDAY_SIN, "sine of the time of week (from Monday UTC) at the open"),
    "weekday_cos": SingleBar(FeatureKind.WEEKDAY_COS, "cosine of the time of week (from Monday UTC) at the open"),
}

ANCHORED: Final = "log_close_over"

FEATURES: Final[Mapping[str, str]] = {
    **{f"{stem}_<bars>": family.description.format(n="<bars>") for stem, family in FAMILIES.items()},
    **{name: single.description for name, single in SINGLE_BARS.items()},
    f"{ANCHORED}_<price>": "log of the close over a fixed price",
}
"""Every built-in feature by the form of its name, with its description."""


def resolve_features(names: Sequence[str]) -> tuple[Feature, ...]:
    """Return the features of these names, in their order.

    Raises:
        ConfigError: If a name is unknown, given twice, or its import path leads to no :class:`Feature`.
    """
    features = tuple(_resolve(name) for name in names)
    seen: set[str] = set()
    for feature in features:
        if feature.name in seen:
            raise ConfigError(f"feature names must be unique, found {feature.name!r} twice; remove or rename one")
        seen.add(feature.name)
    return features


def warmup_bars(features: Sequence[Feature]) -> int:
    """Return how many bars must precede the first row that has every feature."""
    return max((feature.window for feature in features), default=1) - 1


def _resolve(name: str) -> Feature:
    if name.startswith(SIGNAL_PREFIX) and name != SIGNAL_PREFIX:
        column = name.removeprefix(SIGNAL_PREFIX)
        return Feature(name, 1, description=f"signal column {column}", kind=FeatureKind.SIGNAL)
    if ":" in name:
        return _import_feature(name)
    if name in SINGLE_BARS:
        single = SINGLE_BARS[name]
        return Feature(name, 1, description=single.description, kind=single.kind)
    feature = _windowed(name) or _anchored(name)
    if feature is None:
        raise ConfigError(
            f"unknown feature {name!r}; choose from {', '.join(FEATURES)}, signal:<column>, or name your "
            "own as package.module:attribute"
        )
    return feature


def _windowed(name: str) -> Feature | None:
    match = re.fullmatch(r"([a-z_]+)_([1-9][0-9]{0,5})", name)
    if match is None or match[1] not in FAMILIES:
        return None
    family, num_bars = FAMILIES[match[1]], int(match[2])
    if num_bars < family.smallest:
        raise ConfigError(
            f"feature {name!r} needs at least {family.smallest} bars, found {num_bars}; take a longer one"
        )
    return Feature(
        name,
        num_bars + family.extra_rows,
        description=family.description.format(n=num_bars),
        kind=family.kind,
    )


def _anchored(name: str) -> Feature | None:
    match = re.fullmatch(rf"{ANCHORED}_([0-9]+(?:\.[0-9]+)?)", name)
    if match is None or float(match[1]) <= 0.0:
        return None
    return Feature(
        name,
        1,
        description=f"log of the close over {match[1]} USDT",
        kind=FeatureKind.LOG_CLOSE_OVER,
        parameter=float(match[1]),
    )


def _import_feature(path: str) -> Feature:
    found = import_object(path, "feature")
    if not isinstance(found, Feature):
        raise ConfigError(
            f"{path!r} must be an rl_trader.features.Feature, found {type(found).__name__}; wrap your kernel in one"
        )
    return found


def compute(
    bars: NDArray[np.void],
    features: Sequence[Feature],
    signals: Mapping[str, NDArray[np.floating]] | None = None,
    *,
    first: int = 0,
    parallel: bool = True,
) -> NDArray[np.float32]:
    """Return the feature matrix of rows ``first`` on, (num_rows - first, num_features).

    A value is NaN where its window would begin before its row's segment does. Its bits depend on nothing but
    the rows of its window: ``compute(trailing_bars, features, first=len(trailing_bars) - 1)`` is the last row
    of a batch.

    Args:
        bars: (num_rows,) of BAR_DTYPE, in order of time within each segment.
        features: The columns, as :func:`resolve_features` gives them.
        signals: Named columns, each (num_rows,), for the ``signal:`` features.
        first: First row to compute.
        parallel: Whether the built-in features run on all threads.

    Raises:
        DataError: If the bars are of another type, or a signal column is missing or of another length.
        ConfigError: If a user's kernel cannot be compiled.
    """
    if bars.dtype != BAR_DTYPE or bars.ndim != 1:
        raise DataError(f"features need a one-dimensional array of BAR_DTYPE, found {bars.dtype}; build it first")
    if not 0 <= first <= len(bars):
        raise DataError(f"features of rows from {first} on were wanted, found {len(bars)} bars; pass fewer")
    rows = _read_only(bars)
    out = np.empty((len(bars) - first, len(features)), np.float32)
    _fill_builtins(rows, features, first, out, parallel=parallel)
    for j, feature in enumerate(features):
        if feature.kind is FeatureKind.SIGNAL:
            out[:, j] = _signal(feature, signals or {}, len(bars))[first:]
        elif feature.kind is FeatureKind.OWN:
            _fill_own(rows, feature, first, out[:, j])
    return out


def _read_only(bars: NDArray[np.void]) -> Bars:
    # Kernels are compiled for one type of array: read-only, as a memory map is.
    rows = np.ascontiguousarray(bars).view(np.recarray)
    rows.flags.writeable = False
    return cast(Bars, rows)


def _fill_builtins(
    bars: Bars, features: Sequence[Feature], first: int, out: NDArray[np.float32], *, parallel: bool
) -> None:
    columns = [j for j, feature in enumerate(features) if feature.kind >= 0]
    if not columns or first == len(bars):
        return
    fill = fill_matrix_parallel if parallel else fill_matrix
    fill(
        bars,
        np.array([features[j].kind for j in columns], np.int64),
        np.array([features[j].window for j in columns], np.int64),
        np.array([features[j].parameter for j in columns], np.float64),
        np.array(columns, np.int64),
        first,
        out,
    )


def _signal(feature: Feature, signals: Mapping[str, NDArray[np.floating]], num_rows: int) -> NDArray[np.floating]:
    if feature.column not in signals:
        raise DataError(
            f"feature {feature.name!r} needs the signal column {feature.column!r}, found "
            f"{', '.join(sorted(signals)) or 'none'}; add it to the market or drop the feature"
        )
    column = signals[feature.column]
    if column.shape != (num_rows,):
        raise DataError(
            f"signal column {feature.column!r} needs one value a bar, {num_rows}, found shape "
            f"{column.shape}; align it with the bars"
        )
    return column


def _fill_own(bars: Bars, feature: Feature, first: int, out: NDArray[np.float32]) -> None:
    assert feature.kernel is not None
    try:
        _own_driver(feature.kernel)(bars, feature.window, first, out)
    except NumbaError as error:
        reason = str(error).strip().splitlines()
        raise ConfigError(
            f"the kernel of feature {feature.name!r} cannot be compiled by numba "
            f"({reason[-1] if reason else error}); write it as kernel(bars, t, window) -> float"
        ) from error


@lru_cache(maxsize=256)
def _own_driver(row_kernel: RowKernel) -> Callable[[Bars, int, int, NDArray[np.float32]], None]:
    # Compiled once a process: a closure over a user's function has no place in the disk cache.
    value_of = row_kernel if hasattr(row_kernel, "py_func") else numba.njit(error_model="numpy")(row_kernel)

    def fill(bars: Bars, window: int, first: int, out: NDArray[np.float32]) -> None:
        start = segment_start(bars, first, max(0, first - window + 1)) if first < bars.size else first
        for t in range(first, bars.size):
            if t > first and bars[t].segment != bars[t - 1].segment:
                start = t
            out[t - first] = value_of(bars, t, window) if t - window + 1 >= start else math.nan

    return cast(
        Callable[[Bars, int, int, NDArray[np.float32]], None],
        numba.njit(nogil=True, error_model="numpy")(fill),
    )
