"""Scaling of the features: fitted on the training period, frozen, stored in the checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from rl_trader.errors import CheckpointError, DataError

CLIP: Final = 10.0
"""Scaled features are cut here, in standard deviations: a crash looks large, not unlike all seen before."""

CONSTANT: Final = 1e-6
"""A feature whose deviation is less than this part of its mean is constant as far as float32 can tell."""

_CHUNK_ROWS: Final = 8_192  # rows that are held in float64 at a time


@dataclass(frozen=True, slots=True)
class Scaling:
    """``(x - mean) / scale``, cut at ``clip`` on both sides."""

    mean: NDArray[np.float32]  # (num_features,)
    scale: NDArray[np.float32]  # (num_features,), positive
    clip: float = CLIP

    def to_json(self) -> dict[str, object]:
        """Return plain lists and numbers; float32 values survive the way there and back."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist(), "clip": self.clip}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Scaling":
        """Return the scaling that :meth:`to_json` wrote."""
        try:
            mean = np.asarray(data["mean"], np.float32)
            scale = np.asarray(data["scale"], np.float32)
            clip = float(cast(float, data["clip"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"a scaling needs mean, scale and clip, found {sorted(data)}; the checkpoint is damaged"
            ) from error
        usable = mean.ndim == 1 and mean.shape == scale.shape and clip > 0.0
        if not usable or not np.isfinite(mean).all() or not (np.isfinite(scale) & (scale > 0.0)).all():
            raise CheckpointError(
                f"a scaling needs finite means and positive scales of one length, found {mean.size} and "
                f"{scale.size} values; the checkpoint is damaged"
            )
        return cls(mean, scale, clip)


def no_scaling(num_features: int) -> Scaling:
    """Return the scaling that leaves features as they are, but for the cut."""
    return Scaling(np.zeros(num_features, np.float32), np.ones(num_features, np.float32))


def fit_scaling(rows: NDArray[np.float32] | Sequence[NDArray[np.float32]], *, clip: float = CLIP) -> Scaling:
    """Return mean and standard deviation of every feature, pooled over all rows.

    Rows with a NaN (warm-up) are left out; a constant feature gets the scale 1. Sums are float64.

    Args:
        rows: (num_rows, num_features) of the training period, or several of them, one a symbol.
        clip: Where scaled features are cut, in standard deviations.

    Raises:
        DataError: If there is no complete row, or a value is infinite.
    """
    matrices = [rows] if isinstance(rows, np.ndarray) else list(rows)
    chunks = [matrix[k : k + _CHUNK_ROWS] for matrix in matrices for k in range(0, len(matrix), _CHUNK_ROWS)]
    num_rows = sum(len(_complete(chunk)) for chunk in chunks)
    if num_rows == 0:
        raise DataError("scaling needs rows with every feature, found none; pass a period longer than the warm-up")
    mean = np.sum([_complete(chunk).sum(axis=0) for chunk in chunks], axis=0) / num_rows
    if not np.isfinite(mean).all():
        column = int(np.argmin(np.isfinite(mean)))
        raise DataError(
            f"features must be finite, found an infinite value in column {column}; guard that feature's divisions"
        )
    variance = np.sum([np.square(_complete(chunk) - mean).sum(axis=0) for chunk in chunks], axis=0) / num_rows
    deviation = np.sqrt(variance)
    is_constant = deviation <= CONSTANT * np.abs(mean)
    scale = np.where(is_constant, 1.0, deviation).astype(np.float32)
    scale[scale == 0.0] = 1.0
    return Scaling(mean.astype(np.float32), scale, clip)


def _complete(chunk: NDArray[np.float32]) -> NDArray[np.float64]:
    return chunk[~np.isnan(chunk).any(axis=1)].astype(np.float64)


def scale(
    features: NDArray[np.float32], scaling: Scaling, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the scaled features; every element by itself, so a batch and a row have the same bits.

    Args:
        features: (num_features,) or (num_rows, num_features); NaN stays NaN.
        scaling: As fitted on the training period.
        out: Where to write; may be ``features`` itself.
    """
    scaled = np.subtract(features, scaling.mean, out=out)
    np.divide(scaled, scaling.scale, out=scaled)
    return cast(
        NDArray[np.float32],
        np.clip(scaled, np.float32(-scaling.clip), np.float32(scaling.clip), out=scaled),
    )
