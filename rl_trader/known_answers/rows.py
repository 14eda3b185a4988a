"""The known-answer markets that are scored, by the symbols they trade under: the market's name and its row."""

from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.known_answers.markets import (
    FundingTelegraph,
    HiddenTelegraph,
    KellyCoin,
    KnownMarket,
    LinearImpact,
    MeanReversion,
    QuadraticRisk,
    Telegraph,
)

_K7_SCALE: Final = 0.02

ROWS: Final[dict[str, KnownMarket]] = {
    "K0-1": Telegraph(mu=0.0, taker_fee=5e-4),
    "K1-1": Telegraph(mu=5e-4, taker_fee=5e-4),
    "K1-2": Telegraph(mu=5e-4, taker_fee=4e-3),
    "K1-3": Telegraph(mu=5e-4, taker_fee=6e-3),
    "K2-1": FundingTelegraph(rate=1e-3, flip=0.1, taker_fee=5e-4),
    "K2-2": FundingTelegraph(rate=1e-4, flip=0.05, taker_fee=5e-4),
    "K2-3": FundingTelegraph(rate=1e-4, flip=0.2, taker_fee=5e-4),
    "K3-1": MeanReversion(phi=0.95, sigma=0.01, taker_fee=5e-4),
    "K3-2": MeanReversion(phi=0.95, sigma=0.01, taker_fee=2e-3),
    "K3-3": MeanReversion(phi=0.99, sigma=0.003, taker_fee=5e-4),
    "K3-4": MeanReversion(phi=0.99, sigma=0.003, taker_fee=2e-3),
    "K4-1": LinearImpact(phi=0.9, risk_aversion=1.0, kappa=5.0),
    "K4-2": LinearImpact(phi=0.95, risk_aversion=0.5, kappa=10.0, scale=0.005, max_exposure=16.0),
    "K5-1": KellyCoin(up=0.55, size=0.02),
    "K5-2": KellyCoin(up=0.52, size=0.01),
    "K6-1": HiddenTelegraph(mu=1e-3, flip=0.01, taker_fee=5e-4),
    "K6-2": HiddenTelegraph(mu=2e-3, flip=0.02, taker_fee=5e-4),
    "K7-1": QuadraticRisk(taker_fee=0.25 * _K7_SCALE**2, scale=_K7_SCALE),
    "K7-2": QuadraticRisk(taker_fee=1.0 * _K7_SCALE**2, scale=_K7_SCALE),
    "K7-3": QuadraticRisk(taker_fee=2.0 * _K7_SCALE**2, scale=_K7_SCALE),
}
"""By market and row, as in K1-2."""


def find_rows(names: list[str]) -> list[str]:
    """Return the rows of markets (``K1``) and of rows (``K1-2``), in the order of the table; all where none is named.

    Raises:
        ConfigError: If there is none of a name.
    """
    for name in names:
        if not any(name in (row, row.partition("-")[0]) for row in ROWS):
            markets = ", ".join(dict.fromkeys(row.partition("-")[0] for row in ROWS))
            raise ConfigError(f"unknown market {name!r}; choose from {markets}, or name a row as K1-2")
    wanted = set(names)
    return [row for row in ROWS if not wanted or wanted & {row, row.partition("-")[0]}]
