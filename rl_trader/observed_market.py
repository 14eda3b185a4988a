"""A market with the scaled features that a policy observes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.errors import DataError
from rl_trader.features import Feature, compute, resolve_features, warmup_bars
from rl_trader.klines import utc
from rl_trader.market import MarketData, Period, episode_table
from rl_trader.observation import ObservationSchema
from rl_trader.scaling import Scaling, fit_scaling, scale

CHUNK_ROWS: Final = 65_536  # that are looked at together


@dataclass(frozen=True, slots=True)
class ObservedMarket:
    """Market data, and the rows of features from which observations are made."""

    market: MarketData
    schema: ObservationSchema
    scaling: Scaling
    rows: NDArray[np.float32]  # (num_bars, num_features), scaled; NaN before a segment's warm-up ends

    @property
    def warmup(self) -> int:
        """Return how many bars of a segment lie before the first that can be observed."""
        return schema_warmup(self.schema)

    def episodes(self, period: Period, episode_bars: int = 0) -> NDArray[np.void]:
        """Return where episodes may begin in a period, as ``market.episode_table`` does."""
        return episode_table(self.market, period, self.warmup, episode_bars)


def schema_warmup(schema: ObservationSchema) -> int:
    """Return how many bars before the decision's own bar an observation needs."""
    return warmup_bars(resolve_features(schema.features)) + schema.window - 1


def observe_market(
    market: MarketData, schema: ObservationSchema, *, fit_on: Period | None = None, scaling: Scaling | None = None
) -> ObservedMarket:
    """Compute and scale the features of a market.

    Args:
        market: The bars.
        schema: What is observed.
        fit_on: Period on which the scaling is fitted, pooled over the symbols; None is everything.
        scaling: A scaling that was fitted before; ``fit_on`` is not used then.

    Raises:
        ConfigError: If a feature is unknown or the period has no bar that can be played.
        DataError: If a feature is not finite at a bar whose segment is longer than the warm-up.
    """
    features = resolve_features(schema.features)
    rows = compute(market.bars, features, market.signals)
    check_finite(rows, features, market)
    if scaling is None:
        table = episode_table(market, fit_on or Period(), schema_warmup(schema))
        fitted = [rows[episode["first_start"] : episode["last_bar"]] for episode in table]
        scaling = fit_scaling(fitted)
    scale(rows, scaling, out=rows)
    return ObservedMarket(market, schema, scaling, rows)


def check_finite(rows: NDArray[np.float32], features: Sequence[Feature], market: MarketData) -> None:
    """Refuse features that are not finite where they can be observed; scaling would cut infinity to a number.

    Args:
        rows: (num_bars, num_features), not yet scaled; those before the end of a segment's warm-up are not looked at.
        features: The columns.
        market: Where the bars are.

    Raises:
        DataError: With the first such bar of the first such feature.
    """
    warmup = warmup_bars(features)
    for segment in market.segments:
        for start in range(segment.start + warmup, segment.stop, CHUNK_ROWS):
            is_finite = np.isfinite(rows[start : min(start + CHUNK_ROWS, segment.stop)])
            if is_finite.all():
                continue
            column = int(is_finite.all(axis=0).argmin())
            row = start + int(is_finite[:, column].argmin())
            raise DataError(
                f"feature {features[column].name!r} must be finite, found {rows[row, column]} at the bar of"
                f" {utc(int(market.bars['open_time'][row]))} of {market.symbols[segment.symbol]}; guard its divisions"
                " and logarithms, or fill the signal column that it reads"
            )
