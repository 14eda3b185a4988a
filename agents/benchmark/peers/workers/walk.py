"""The bars that trading peers are given: a random walk, the same for all."""

from typing import Any

import numpy as np

NUM_STEPS = 8  # of the walk inside a bar
FIRST_PRICE = 20_000.0


def random_walk(num_bars: int, volatility: float) -> dict[str, Any]:
    """Return open, high, low, close and volume, (num_bars,) each; ``volatility`` is a bar's."""
    rng = np.random.default_rng(0)
    steps = rng.normal(0.0, volatility / NUM_STEPS**0.5, (num_bars, NUM_STEPS))
    price = FIRST_PRICE * np.exp(np.cumsum(steps.ravel()).reshape(num_bars, NUM_STEPS))
    opened = np.concatenate([[FIRST_PRICE], price[:-1, -1]])
    return {
        "open": opened,
        "high": np.maximum(price.max(axis=1), opened),
        "low": np.minimum(price.min(axis=1), opened),
        "close": price[:, -1],
        "volume": rng.lognormal(3.0, 1.0, num_bars),
    }
