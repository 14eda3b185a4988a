"""A market with the scaled features that a policy observes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rl_trader.features import compute, resolve_features, warmup_bars
from rl_trader.market import MarketData, Period, episode_table
from rl_trader.observation import ObservationSchema
from rl_trader.scaling import Scaling, fit_scaling, scale


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
        DataError: If a feature is not finite.
    """
    rows = compute(market.bars, resolve_features(schema.features), market.signals)
    if scaling is None:
        table = episode_table(market, fit_on or Period(), schema_warmup(schema))
        fitted = [rows[episode["first_start"] : episode["last_bar"]] for episode in table]
        scaling = fit_scaling(fitted)
    scale(rows, scaling, out=rows)
    return ObservedMarket(market, schema, scaling, rows)
