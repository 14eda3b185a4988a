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
    "num_steps",
    *FLOWS,
    "margin_balance",
    "net_exposure",
    "exposure",
    "turnover",
    "liquidations",
    "stops",
    "refusals",
)
NUM_BINS: Final = 51
BIN_WIDTH: Final = 0.05  # of the exposure over max_exposure; short, flat and long at full size are centres of bins
FIRST_EDGE: Final = -0.5 * NUM_BINS * BIN_WIDTH


@kernel
def _add(
    outcomes: NDArray[np.void],
    bins_per_exposure: float,
    liquidations: int,
    stops: int,
    refusals: int,
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    """Add outcomes (num_envs,) to the sums, in the order of ``FIELDS``, and count exposures, the centre bin at 0."""
    price_pnl = fees = slippage = funding = liquidation = margin_balance = net_exposure = exposure = turnover = 0.0
    num_liquidations = num_stops = num_refusals = 0
    last = counts.size - 1
    for i in range(outcomes.size):
        outcome = outcomes[i]
        price_pnl += outcome.price_pnl
        fees += outcome.fees
        slippage += outcome.slippage
        funding += outcome.funding
        liquidation += outcome.liquidation
        margin_balance += outcome.margin_balance
        net_exposure += outcome.exposure
        exposure += abs(outcome.exposure)
        if outcome.traded_notional > 0.0 and outcome.margin_balance_before > 0.0:
            turnover += outcome.traded_notional / outcome.margin_balance_before
        num_liquidations += outcome.events & liquidations != 0
        num_stops += outcome.events & stops != 0
        num_refusals += outcome.events & refusals != 0
        place = outcome.exposure * bins_per_exposure + 0.5 * counts.size
        counts[int(min(max(place, 0.0), last))] += 1  # what lies outside counts for the outermost bin
    sums[0] += outcomes.size
    sums[1] += price_pnl
    sums[2] += fees
    sums[3] += slippage
    sums[4] += funding
    sums[5] += liquidation
    sums[6] += margin_balance
    sums[7] += net_exposure
    sums[8] += exposure
    sums[9] += turnover
    sums[10] += num_liquidations
    sums[11] += num_stops
    sums[12] += num_refusals


class AccountMeans:
    """Sums over the steps since the last reset."""

    def __init__(self, interval_ms: int, max_exposure: float) -> None:
        """Begin at zero.

        Args:
            interval_ms: Length of a bar.
            max_exposure: Notional over margin balance at a target of 1.
        """
        self._bars_per_day = MS_PER_DAY / interval_ms
        self._bins_per_exposure = 1.0 / (BIN_WIDTH * max_exposure)
        self._sums = np.zeros(len(FIELDS))
        self._counts = np.zeros(NUM_BINS, np.int64)

    def add(self, outcomes: NDArray[np.void]) -> None:
        """Add one step of every account, (num_envs,) of ``OUTCOME_DTYPE``."""
        rows = records(outcomes)
        _add(rows, self._bins_per_exposure, LIQUIDATIONS, STOPPED, REFUSALS, self._sums, self._counts)

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
