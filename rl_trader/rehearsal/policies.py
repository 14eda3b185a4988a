"""A policy that wants something else every few bars, by a seed and the bar alone, and the caps that it may meet."""

from decimal import Decimal
from random import Random
from typing import Final

from rl_trader.live.core.caps import Caps
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.events import Decided
from rl_trader.rehearsal.minutes import SYMBOL

CAP: Final = Decimal(12_000)  # USDT, of the position
STOP_LOSS: Final = Decimal("0.004")
TAKE_PROFIT: Final = Decimal("0.006")
CAPS: Final = Caps(
    symbols=(SYMBOL,),
    max_order_notional=CAP,
    max_position_notional=CAP,
    max_leverage=Decimal(3),
    price_band=Decimal("0.1"),
    orders_per_minute=60,
    orders_per_day=20_000,
    turnover_per_day=Decimal(1_000_000_000),
    max_daily_loss=Decimal("0.03"),
    max_drawdown=Decimal("0.9"),
    max_mark_age_ms=70_000,
    min_liquidation_distance=Decimal("0.001"),
)

_LEVELS: Final = tuple(Decimal(level) for level in ("-0.2", "-0.1", "0", "0", "0.05", "0.1", "0.2", "0.25"))
_FAULT: Final = 0.02
_HOLD: Final = 0.3
_ZERO: Final = Decimal(0)


def decide(seed: int, command: Decide, now_ms: int) -> Decided:
    """Return what is wanted at a bar's close."""
    chance = Random(f"{seed} {command.open_ms}")
    target = command.amount if chance.random() < _HOLD else chance.choice(_LEVELS)
    reduce_amount, open_amount = legs(command.amount, target)
    is_faulty = chance.random() < _FAULT
    return Decided(
        t_ms=now_ms,
        open_ms=command.open_ms,
        observation_sha="",
        action=str(target),
        target=target,
        reduce_amount=_ZERO if is_faulty else reduce_amount,
        open_amount=_ZERO if is_faulty else open_amount,
        fault="the action is no number" if is_faulty else "",
    )


def legs(held: Decimal, target: Decimal) -> tuple[Decimal, Decimal]:
    """Return what has to be reduced, and what opened then, to hold a target; a turn takes both."""
    if held * target < 0:
        return -held, target
    if abs(target) < abs(held):
        return target - held, _ZERO
    return _ZERO, target - held
