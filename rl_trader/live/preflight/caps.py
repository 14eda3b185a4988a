"""The operator's caps beside those that a run was trained under."""

from collections.abc import Iterator
from decimal import Decimal

from rl_trader.config import CAPS, TradingConfig
from rl_trader.live.core.caps import Caps
from rl_trader.live.preflight.finding import Finding


def compare_caps(caps: Caps, trading: TradingConfig) -> list[Finding]:
    """Return where caps differ from those of the training; none of it stands against trading.

    Args:
        caps: The operator's.
        trading: Of training.
    """
    return list(_compared(caps, trading))


def _compared(caps: Caps, trading: TradingConfig) -> Iterator[Finding]:
    for name in CAPS:
        today, trained = getattr(caps, name), getattr(trading, name)
        if trained is None:
            yield Finding("note", f"cap {name} is {today}, and the run was trained without it")
        elif Decimal(repr(float(trained))) == today:
            yield Finding("ok", f"cap {name} is {today}, as in training")
        else:
            word = "looser" if today > Decimal(repr(float(trained))) else "tighter"
            yield Finding("note", f"cap {name} is {today}, {word} than the {trained} that the run was trained under")
