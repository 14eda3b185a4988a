"""A policy that wants something else every few bars, by a seed and the bar alone, and the caps that it may meet."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from hashlib import sha256
from random import Random
from typing import Final, NamedTuple

from rl_trader.live.core.caps import Caps
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.events import Decided
from rl_trader.rehearsal.minutes import SYMBOL

CAP: Final = Decimal(12_000)  # USDT, of the position
LIMIT_DISTANCE: Final = Decimal("0.0003")  # of the close
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
    max_daily_loss=Decimal("0.2"),
    max_drawdown=Decimal("0.9"),
    max_mark_age_ms=70_000,
    min_liquidation_distance=Decimal("0.001"),
)

_LEVELS: Final = tuple(Decimal(level) for level in ("-0.2", "-0.1", "0", "0", "0.05", "0.1", "0.2", "0.25"))
_FAULT: Final = 0.02
_HOLD: Final = 0.3
_ZERO: Final = Decimal(0)


class Limits(NamedTuple):
    """At which prices limit orders are wanted: a little away from the close, so that many fill and some do not."""

    closes: Mapping[int, Decimal]  # by the bars' open times
    tick_size: Decimal

    def price(self, open_ms: int, amount: Decimal) -> Decimal:
        """Return the price of an order that is decided upon a bar, on the tick away from the market."""
        wanted = self.closes[open_ms] * (1 - LIMIT_DISTANCE.copy_sign(amount))
        rounding = ROUND_FLOOR if amount > 0 else ROUND_CEILING
        return (wanted / self.tick_size).to_integral_value(rounding) * self.tick_size


def decide(seed: int, command: Decide, now_ms: int, limits: Limits | None = None) -> Decided:
    """Return what is wanted at a bar's close.

    Args:
        seed: Of what is wanted.
        command: Asks.
        now_ms: When.
        limits: Of limit orders; None wants market orders.
    """
    chance = Random(f"{seed} {command.open_ms}")
    target = command.amount if chance.random() < _HOLD else chance.choice(_LEVELS)
    reduce_amount, open_amount = legs(command.amount, target)
    is_faulty = chance.random() < _FAULT
    is_order = reduce_amount + open_amount != 0 and not is_faulty
    price = limits.price(command.open_ms, reduce_amount + open_amount) if limits and is_order else None
    return Decided(
        t_ms=now_ms,
        open_ms=command.open_ms,
        observation_sha=sha256(repr(command).encode()).hexdigest(),
        action=str(target),
        target=target,
        reduce_amount=_ZERO if is_faulty else reduce_amount,
        open_amount=_ZERO if is_faulty else open_amount,
        fault="the action is no number" if is_faulty else "",
        limit_price=price,
    )


def legs(held: Decimal, target: Decimal) -> tuple[Decimal, Decimal]:
    """Return what has to be reduced, and what opened then, to hold a target; a turn takes both."""
    if held * target < 0:
        return -held, target
    if abs(target) < abs(held):
        return target - held, _ZERO
    return _ZERO, target - held
