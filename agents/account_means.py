"""What the accounts do while the agent explores, as means over accounts and steps.

Thousands of accounts report in every step, so a kernel adds them up; nothing else is kept.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.bars import MS_PER_DAY
from rl_trader.kernels import kernel, records
from rl_trader.metrics import DAYS_PER_YEAR, FLOWS, LIQUIDATIONS, REFUSALS
from rl_trader.state import STOPPED

FIELDS: Final = (
    *FLOWS,
    "margin_balance",
    "exposure",
    "net_exposure",
    "turnover",
    "liquidations",
    "stops",
    "refusals",
    "num_steps",
)
NUM_BINS: Final = 51
BIN_WIDTH: Final = 0.05  # of the exposure over max_exposure; short, flat and long at full size are centres of bins
FIRST_EDGE: Final = -0.5 * NUM_BINS * BIN_WIDTH


@kernel
def _add(
    outcomes: NDArray[np.void], liquidations: int, stops: int, refusals: int, sums: NDArray[np.float64]
) -> None:
    """Add the outcomes (num_envs,) to the sums, in the order of ``FIELDS``."""
    for i in range(outcomes.size):
        outcome = outcomes[i]
        sums[0] += outcome.price_pnl
        sums[1] += outcome.fees
        sums[2] += outcome.slippage
        sums[3] += outcome.funding
        sums[4] += outcome.liquidation
        sums[5] += outcome.margin_balance
        sums[6] += abs(outcome.exposure)
        sums[7] += outcome.exposure
        if outcome.margin_balance_before > 0.0:
            sums[8] += outcome.traded_notional / outcome.margin_balance_before
        sums[9] += 1.0 if outcome.events & liquidations else 0.0
        sums[10] += 1.0 if outcome.events & stops else 0.0
        sums[11] += 1.0 if outcome.events & refusals else 0.0
    sums[12] += outcomes.size


@kernel
def _count(
    outcomes: NDArray[np.void], max_exposure: float, first_edge: float, width: float, counts: NDArray[np.int64]
) -> None:
    """Count the exposures in bins; what lies outside counts for the outermost."""
    for i in range(outcomes.size):
        place = int((outcomes[i].exposure / max_exposure - first_edge) // width)
        counts[min(max(place, 0), counts.size - 1)] += 1


class AccountMeans:
    """Sums over the steps since the last reset."""

    def __init__(self, interval_ms: int, max_exposure: float) -> None:
        """Begin at zero.

        Args:
            interval_ms: Length of a bar.
            max_exposure: Notional over margin balance at a target of 1.
        """
        self._bars_per_day = MS_PER_DAY / interval_ms
        self._max_exposure = max_exposure
        self._sums = np.zeros(len(FIELDS))
        self._counts = np.zeros(NUM_BINS, np.int64)

    def add(self, outcomes: NDArray[np.void]) -> None:
        """Add one step of every account, (num_envs,) of ``OUTCOME_DTYPE``."""
        rows = records(outcomes)
        _add(rows, LIQUIDATIONS, STOPPED, REFUSALS, self._sums)
        _count(rows, self._max_exposure, FIRST_EDGE, BIN_WIDTH, self._counts)

    def take_scalars(self) -> dict[str, float]:
        """Return the means by name and begin anew; nothing where no step was added.

        Shares are those of ``rl_trader.metrics``, of the sums over all accounts; counts of events are a year of one
        account, the turnover is a day's.
        """
        sums = dict(zip(FIELDS, self._sums.tolist(), strict=True))
        self._sums[:] = 0.0
        num_steps = sums["num_steps"]
        if not num_steps:
            return {}
        gross = sum(abs(sums[name]) for name in FLOWS) or 1.0  # without any flow every share is 0
        steps_per_year = self._bars_per_day * DAYS_PER_YEAR
        return {
            **{name: sums[name] / num_steps for name in ("margin_balance", "exposure", "net_exposure")},
            "turnover": sums["turnover"] / num_steps * self._bars_per_day,
            "fees_share": abs(sums["fees"]) / gross,
            "slippage_share": abs(sums["slippage"]) / gross,
            "funding_share": sums["funding"] / gross,
            "liquidations_per_year": sums["liquidations"] / num_steps * steps_per_year,
            "stops_per_year": sums["stops"] / num_steps * steps_per_year,
            "refused_share": sums["refusals"] / num_steps,
        }

    def take_exposures(self) -> NDArray[np.int64]:
        """Return how often each bin of the exposure was held, (NUM_BINS,), and begin anew."""
        counts = self._counts.copy()
        self._counts[:] = 0
        return counts
