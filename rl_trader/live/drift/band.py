"""How far live trading may be from the simulation before nothing is entered any more."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.live.drift.comparison import BarDrift
from rl_trader.numeric import shown

_COUNTS: Final = ("trades", "decisions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Bounds of the drift.

    Raises:
        ConfigError: If one is out of range.
    """

    max_slippage: float = 0.001
    """Fraction of the notional that the newest trades may cost beyond the simulation."""
    trades: int = 20
    """Number of trades over which that is the mean; fewer are not judged."""
    max_disagreement: float = 0.2
    """Share of the newest decisions whose target may differ from the simulation's by more than the rebalance band."""
    decisions: int = 50
    """Number of decisions of which that is the share; fewer are not judged."""
    max_equity_gap: float = 0.05
    """Fraction of the simulated equity by which the live one may differ from it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if field.name in _COUNTS:
                is_right, wanted = isinstance(value, int) and is_number and value >= 1, "a whole number from 1"
            else:
                is_right, wanted = is_number and 0 < value < 1, "a fraction between 0 and 1"
            if not is_right:
                raise ConfigError(f"{field.name} of the band must be {wanted}, was {shown(value)}; change it")

    def why_outside(self, bars: Sequence[BarDrift], rebalance_band: float) -> str | None:
        """Return in words how live trading has left the band; None where it has not.

        Args:
            bars: Since the comparison began, the oldest first.
            rebalance_band: Difference of targets up to which no order differs.
        """
        return self._slippage(bars) or self._disagreement(bars, rebalance_band) or self._gap(bars)

    def _slippage(self, bars: Sequence[BarDrift]) -> str | None:
        trades = [trade for bar in bars for trade in bar.trades if trade.simulated is not None][-self.trades :]
        if len(trades) < self.trades:
            return None
        mean = float(sum(trade.fraction for trade in trades)) / len(trades)
        if mean <= self.max_slippage:
            return None
        return f"the last {len(trades)} trades have cost {mean:.4%} more than in the simulation"

    def _disagreement(self, bars: Sequence[BarDrift], rebalance_band: float) -> str | None:
        made = [bar.decisions for bar in bars if bar.decisions is not None][-self.decisions :]
        if len(made) < self.decisions:
            return None
        differing = sum(abs(each.target - each.simulated) > rebalance_band for each in made)
        if differing <= self.max_disagreement * len(made):
            return None
        return f"{differing} of the last {len(made)} decisions are not the simulation's"

    def _gap(self, bars: Sequence[BarDrift]) -> str | None:
        newest = bars[-1] if bars else None
        if newest is None or newest.simulated_equity is None:
            return None
        gap = float(newest.equity_gap) / max(abs(float(newest.simulated_equity)), 1.0)
        if abs(gap) <= self.max_equity_gap:
            return None
        return f"the equity is {newest.equity:.2f} USDT and in the simulation {newest.simulated_equity:.2f} USDT"


def load_band(path: Path) -> Band:
    """Return the band of an operator's file; what it leaves out is as it is without a file.

    Raises:
        ConfigError: If it cannot be read, or something in it is unknown or out of range.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"band file {path} cannot be read: {error}; write one, see the documentation") from error
    names = {field.name for field in fields(Band)}
    if not isinstance(data, dict) or not set(data) <= names:
        found = sorted(data) if isinstance(data, dict) else shown(data)
        raise ConfigError(f"band file {path} may have {', '.join(sorted(names))} and has {found}; mend it")
    return Band(**data)
