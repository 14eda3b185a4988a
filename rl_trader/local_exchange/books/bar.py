"""One bar of one symbol, in the exchange's order.

1. Funding due at the opening instant is settled on the position before the order.
2. A position that is bankrupt at the mark open is liquidated there; otherwise the order fills, rests or is refused.
3. Last and mark price walk through the bar and trigger stop-loss, take-profit and the resting order,
4. and the liquidation.
5. Funding due later in the bar is settled on the position then held, which is liquidated at that mark price if its
   margin is no longer enough. What still rests is taken back.

Sources are those of the modules that each step is in. Units are those of :mod:`rl_trader.local_exchange.books.inputs`.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from rl_trader.errors import DataError
from rl_trader.local_exchange.books.account import Account
from rl_trader.local_exchange.books.at_open import open_bar
from rl_trader.local_exchange.books.checks import Event as Event
from rl_trader.local_exchange.books.income import IncomeKind as IncomeKind
from rl_trader.local_exchange.books.income import IncomeLine as IncomeLine
from rl_trader.local_exchange.books.inputs import NO_ORDER as NO_ORDER
from rl_trader.local_exchange.books.inputs import BookBar as BookBar
from rl_trader.local_exchange.books.inputs import Conduct as Conduct
from rl_trader.local_exchange.books.inputs import Order as Order
from rl_trader.local_exchange.books.inputs import Settlement as Settlement
from rl_trader.local_exchange.books.money import denoised, exact
from rl_trader.local_exchange.books.play import Play
from rl_trader.local_exchange.books.positions import Marks
from rl_trader.local_exchange.books.refusals import OrderError
from rl_trader.local_exchange.books.walk import walk_path


class BarResult(NamedTuple):
    """What a bar did to an account."""

    events: frozenset[Event]
    lines: tuple[IncomeLine, ...]  # in booking order


@exact
def play_bar(
    account: Account,
    symbol: str,
    bar: BookBar,
    order: Order,
    settlements: Sequence[Settlement],
    conduct: Conduct,
    other_marks: Marks | None = None,
) -> BarResult:
    """Play one bar against an account, which is changed in place.

    Args:
        account: Whose symbol is set.
        symbol: Which the bar is of.
        bar: Its prices.
        order: Decided before the bar; ``NO_ORDER`` if there is none.
        settlements: Funding due in the bar, in order, from its opening instant on.
        conduct: How orders fill.
        other_marks: Mark prices of the account's other symbols, needed where it holds cross positions in them; they
            stand still during the bar.

    Raises:
        ConfigError: If the symbol is not set.
        DataError: If settlements are out of order or before the bar, or a mark price is missing.
        OrderError: If the order's reducing leg is not against the position or larger, or its opening leg is against
            what that would leave.
    """
    other_marks = other_marks or {}
    play = Play(account, symbol, bar, conduct, other_marks)
    _check_order(symbol, order, play.position.amount)
    _check_settlements(bar, settlements)
    account.check_marks(symbol, other_marks)
    due = [settlement for settlement in settlements if settlement.time_ms == bar.open_time]
    _settle(play, due)
    open_bar(play, order)
    walk_path(play)
    for settlement in settlements[len(due) :]:
        _settle(play, [settlement])
        _liquidate_if_short(play, settlement.mark_price)
    return BarResult(frozenset(play.events), tuple(play.lines))


def _settle(play: Play, settlements: Sequence[Settlement]) -> None:
    for settlement in settlements:
        play.lines += play.account.settle_funding(play.symbol, settlement.rate, settlement.mark_price)


def _liquidate_if_short(play: Play, mark_price: Decimal) -> None:
    """Liquidate the position if a settlement has left it no more than its maintenance margin."""
    if not play.position.amount:
        return
    margin = play.account.position_margin(play.symbol, play.marks(mark_price))
    if denoised(margin - play.account.maintenance_margin(play.symbol, mark_price)) <= 0:
        play.liquidate(mark_price)


def _check_order(symbol: str, order: Order, held: Decimal) -> None:
    reduce_amount = order.reduce_amount
    if reduce_amount and not (reduce_amount * held < 0 and abs(reduce_amount) <= abs(held)):
        raise OrderError(
            f"reduce_amount of {symbol} must be against the position of {held} and no larger and is {reduce_amount}; "
            "reduce less"
        )
    left = held + reduce_amount
    if order.open_amount * left < 0:
        raise OrderError(
            f"open_amount of {symbol} must not be against the position of {left} that it meets and is "
            f"{order.open_amount}; reduce first"
        )


def _check_settlements(bar: BookBar, settlements: Sequence[Settlement]) -> None:
    times = [bar.open_time, *(settlement.time_ms for settlement in settlements)]
    for earlier, later in pairwise(times):
        if later < earlier:
            raise DataError(
                f"settlements of the bar at {bar.open_time} must be in order and not before it, and one of {later} "
                f"follows {earlier}; sort them"
            )
