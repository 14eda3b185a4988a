"""Straight legs of last and mark price, and what is met first on one.

Prices in USDT per unit of the base asset.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

from rl_trader.local_exchange.books.money import ZERO, denoised

Act = TypeVar("Act")


class Point(NamedTuple):
    """Where both prices stand."""

    last: Decimal
    mark: Decimal


class Trigger(NamedTuple, Generic[Act]):
    """A price at which something happens."""

    act: Act  # what happens
    level: Decimal
    is_above: bool  # whether it is met by a rising price; else by a falling one
    is_on_mark: bool  # whether the mark price meets it; else the last price
    is_beyond: bool = False  # whether the price must pass it; else reach it


class Hit(NamedTuple, Generic[Act]):
    """A trigger that is met on a leg of the path."""

    trigger: Trigger[Act]
    fraction: Decimal  # of the way to the leg's end
    at: Point
    is_at_start: bool  # whether the leg begins there already


def first_hit(triggers: Iterable[Trigger[Act]], start: Point, end: Point) -> Hit[Act] | None:
    """Return the trigger that the leg meets first, of several at one point the first; None if it meets none."""
    first: Hit[Act] | None = None
    for trigger in triggers:
        hit = _hit(trigger, start, end)
        if hit and (first is None or hit.fraction < first.fraction):
            first = hit
    return first


def _hit(trigger: Trigger[Act], start: Point, end: Point) -> Hit[Act] | None:
    if trigger.is_on_mark:
        to_level, way = trigger.level - start.mark, end.mark - start.mark
    else:
        to_level, way = trigger.level - start.last, end.last - start.last
    if not trigger.is_above:
        to_level, way = -to_level, -way
    if to_level < 0 or (to_level == 0 and not trigger.is_beyond):
        return Hit(trigger, ZERO, start, is_at_start=True)
    if way < to_level or (way == to_level and trigger.is_beyond):
        return None
    fraction = to_level / way
    last = denoised(start.last + fraction * (end.last - start.last))
    mark = denoised(start.mark + fraction * (end.mark - start.mark))
    at = Point(last, trigger.level) if trigger.is_on_mark else Point(trigger.level, mark)
    return Hit(trigger, denoised(fraction), at, is_at_start=False)
