"""Leverage brackets of a symbol, and what must hold between them.

Bracket n covers the notionals above its floor and up to its cap. Source: ``GET /fapi/v1/leverageBracket``
and the FAQ "Leverage and Margin" of Binance futures, read in autumn 2026.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final

from rl_trader.errors import ContractError
from rl_trader.numeric import is_real, is_whole

_CENT: Final = 0.01  # USDT; what the exchange's rounding may move a maintenance amount
_ADVICE: Final = "read the terms again with scripts.download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """One leverage bracket: the notionals above its floor and up to its cap."""

    notional_floor: float  # USDT, excluded
    notional_cap: float  # USDT, included
    maint_margin_rate: float  # of the notional
    maint_amount: float  # USDT; maintenance margin = notional * maint_margin_rate - maint_amount
    initial_leverage: int  # the highest leverage that may carry such a notional


def bracket_ladder(steps: Iterable[tuple[Decimal, Decimal, int]]) -> tuple[Bracket, ...]:
    """Return the brackets of (cap, maintenance margin rate, leverage), the lowest first, each from the last one's cap.

    The maintenance amounts follow: the maintenance margin has no step from one bracket to the next.
    """
    brackets: list[Bracket] = []
    floor, rate_before, amount = Decimal(0), Decimal(0), Decimal(0)
    for cap, rate, leverage in steps:
        amount += floor * (rate - rate_before)
        brackets.append(
            Bracket(
                notional_floor=float(floor),
                notional_cap=float(cap),
                maint_margin_rate=float(rate),
                maint_amount=float(amount),
                initial_leverage=leverage,
            )
        )
        floor, rate_before = cap, rate
    return tuple(brackets)


def check_brackets(symbol: str, brackets: tuple[Bracket, ...]) -> None:
    """Check that a symbol's brackets follow each other and that their maintenance amounts fit their rates.

    The maintenance margin has no step where one bracket ends and the next begins: ``maint_amount`` grows
    there by the floor times the growth of the rate.

    Raises:
        ContractError: Naming the first faulty bracket, by its number from 1.
    """
    if not brackets:
        raise ContractError(f"{symbol} must have a leverage bracket and has none; {_ADVICE}")
    for number, bracket in enumerate(brackets, start=1):
        for fault in _bracket_faults(bracket):
            raise ContractError(f"{symbol} bracket {number} {fault}; {_ADVICE}")
    first = brackets[0]
    if first.notional_floor != 0.0 or first.maint_amount != 0.0:
        raise ContractError(
            f"{symbol} bracket 1 must have notional_floor and maint_amount 0 and has {first.notional_floor:g} "
            f"and {first.maint_amount:g}; {_ADVICE}"
        )
    for number, (lower, upper) in enumerate(pairwise(brackets), start=2):
        for fault in _step_faults(lower, upper):
            raise ContractError(f"{symbol} bracket {number} {fault}; {_ADVICE}")


def _bracket_faults(bracket: Bracket) -> Iterable[str]:
    for name in Bracket.__slots__:
        value = getattr(bracket, name)
        if not is_real(value):
            yield f"must have a number as {name} and has {value!r}"
            return
    if not bracket.notional_floor < bracket.notional_cap < math.inf:
        yield (
            f"must have a finite notional_cap above its floor {bracket.notional_floor:g} and has "
            f"{bracket.notional_cap:g}"
        )
    if not 0.0 < bracket.maint_margin_rate < 1.0:
        yield f"must have a maint_margin_rate between 0 and 1 and has {bracket.maint_margin_rate:g}"
    if not (is_whole(bracket.initial_leverage) and bracket.initial_leverage >= 1):
        yield f"must have an initial_leverage of at least 1, a whole number, and has {bracket.initial_leverage}"


def _step_faults(lower: Bracket, upper: Bracket) -> Iterable[str]:
    rates = lower.maint_margin_rate, upper.maint_margin_rate
    amount = lower.maint_amount + upper.notional_floor * (rates[1] - rates[0])
    if upper.notional_floor != lower.notional_cap:
        yield f"must begin at {lower.notional_cap:g}, where the last one ends, and begins at {upper.notional_floor:g}"
    if upper.initial_leverage >= lower.initial_leverage:
        yield f"must have a leverage below {lower.initial_leverage} and has {upper.initial_leverage}"
    if rates[1] <= rates[0]:
        yield f"must have a maint_margin_rate above {rates[0]:g} and has {rates[1]:g}"
    if not abs(upper.maint_amount - amount) <= _CENT:
        yield f"must have the maint_amount {amount:.2f} that its rate implies and has {upper.maint_amount:.2f}"
