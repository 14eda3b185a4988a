"""Caps for paper, where the operator gave none: made out of the run, written to a file, and not good for real money.

They let the run trade as it was trained, at about the balance of its training, and stop what is far from that. Nobody
has weighed them: the file says so, and live refuses it until a person has read it and taken that line out.
"""

import json
import os
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Final

from rl_trader.bars import MS_PER_DAY
from rl_trader.errors import ConfigError
from rl_trader.live.core.caps import NOT_FOR_LIVE, Caps
from rl_trader.live.policy.deployment import Deployment

_ROOM: Final = Decimal("1.5")  # above the exposure of training
_PRICE_BAND: Final = Decimal("0.01")
_MOST_PER_MINUTE: Final = 10
_ORDERS_PER_BAR: Final = 4  # both legs of a flip, a stop, and one that is placed again
_LEAST_PER_DAY: Final = 100
_MOST_DAILY_LOSS: Final = Decimal("0.1")
_MOST_DRAWDOWN: Final = Decimal("0.3")
_MOST_MARK_AGE_MS: Final = 10_000
_MOST_DISTANCE: Final = Decimal("0.05")
_OF_THE_MARGIN: Final = Decimal("0.25")  # least distance to the liquidation, of what the leverage leaves

WARNING: Final = "made for paper out of the run; weigh every cap and take this line out before real money is traded"


def paper_caps(deployment: Deployment) -> Caps:
    """Return caps under which a run can trade as it was trained, and not by much more."""
    trading, symbol = deployment.trading, deployment.symbol
    exposure = _ROOM * Decimal(repr(float(trading.max_exposure)))
    notional = exposure * Decimal(repr(float(trading.initial_balance)))
    bars_per_day = -(-MS_PER_DAY // deployment.interval_ms)
    return Caps(
        symbols=(symbol,),
        max_order_notional=_trained(trading.max_order_notional, notional),
        max_position_notional=_trained(trading.max_position_notional, notional),
        max_leverage=_trained(trading.max_leverage, exposure),
        price_band=_PRICE_BAND,
        orders_per_minute=_MOST_PER_MINUTE,
        orders_per_day=max(_LEAST_PER_DAY, _ORDERS_PER_BAR * bars_per_day),
        turnover_per_day=2 * notional * bars_per_day,
        max_daily_loss=_MOST_DAILY_LOSS,
        max_drawdown=_MOST_DRAWDOWN,
        max_mark_age_ms=_MOST_MARK_AGE_MS,
        min_liquidation_distance=min(_MOST_DISTANCE, _OF_THE_MARGIN / trading.leverage_of(symbol)),
    )


def keep_paper_caps(folder: Path, deployment: Deployment) -> tuple[Path, str]:
    """Return the file of the caps for paper, which is written if it is not there, and what a person is told of it.

    Args:
        folder: Of the run.
        deployment: What is traded.

    Raises:
        ConfigError: If it cannot be written.
    """
    path = folder / f"paper-caps-{deployment.symbol}.json"
    if path.exists():
        return path, f"caps for paper: those of {path}"
    data = {name: _plain(value) for name, value in asdict(paper_caps(deployment)).items()}
    beside = path.with_name(f"{path.name}.part")
    try:
        beside.write_text(json.dumps({NOT_FOR_LIVE: WARNING, **data}, indent=1) + "\n")
        os.replace(beside, path)
    except OSError as error:
        raise ConfigError(
            f"caps for paper are written to {path} and cannot be ({error.strerror}); give your own by --caps"
        ) from error
    shown = ", ".join(f"{name} {value}" for name, value in data.items() if name != "symbols")
    return path, f"caps for paper, made out of the run and written to {path}: {shown}"


def _trained(trained: float | None, otherwise: Decimal) -> Decimal:
    """Return a cap that the policy was trained under, or another."""
    return otherwise if trained is None else Decimal(repr(float(trained)))


def _plain(value: object) -> object:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else value
