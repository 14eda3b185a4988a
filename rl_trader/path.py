"""The way of last and mark price inside a bar: stops, resting orders and liquidation, events 3 and 4 of a bar.

Both prices move together in straight lines: open, low, high, close if the bar closes at or above its open, else open,
high, low, close (assumption: klines do not tell the order).
"""

from typing import Final, NamedTuple

from rl_trader import ledger
from rl_trader.fills import limit_filled, no_order, reduce_order
from rl_trader.flows import Progress, with_event, with_liquidation
from rl_trader.kernels import kernel
from rl_trader.ledger import Account, Brackets, Terms
from rl_trader.state import (
    LIQUIDATED,
    NOT_REACHED,
    REDUCED_BY_LIQUIDATION,
    STOPPED,
    TOOK_PROFIT,
    Bar,
    Costs,
    Order,
    Settings,
)

NEVER: Final = 2.0  # a fraction of a straight line that is never reached
SURE_SURPLUS: Final = 1e-9  # of wallet balance and notional: margin beyond what rounding can hide


@kernel
def _crossing(start: float, end: float, level: float, falling: bool) -> float:
    """Return at which fraction of the way from ``start`` to ``end`` a level is reached; 0 if it lies behind."""
    if level <= 0.0:
        return NEVER
    if falling:
        if start <= level:
            return 0.0
        return (start - level) / (start - end) if end <= level else NEVER
    if start >= level:
        return 0.0
    return (level - start) / (end - start) if end >= level else NEVER


class Levels(NamedTuple):
    """The prices that end or cut a position; 0 is none."""

    stop: float
    take_profit: float
    liquidation: float


@kernel
def stop_price(account: Account, stop_loss: float, terms: Terms) -> float:
    """Return the trigger of the protective stop: ``stop_loss`` below a long's or above a short's entry; 0 is none.

    Rounded to the tick on the side of the entry price.
    """
    if stop_loss == 0.0 or account.position_amount == 0.0:
        return 0.0
    if account.position_amount > 0.0:
        return ledger.round_price_up(account.entry_price * (1.0 - stop_loss), terms)
    return ledger.round_price_down(account.entry_price * (1.0 + stop_loss), terms)


@kernel
def take_profit_price(account: Account, take_profit: float, terms: Terms) -> float:
    """Return the trigger of the take-profit, rounded to the tick away from the entry price; 0 is none."""
    if take_profit == 0.0 or account.position_amount == 0.0:
        return 0.0
    if account.position_amount > 0.0:
        return ledger.round_price_up(account.entry_price * (1.0 + take_profit), terms)
    return ledger.round_price_down(account.entry_price * (1.0 - take_profit), terms)


@kernel
def levels_of(account: Account, settings: Settings, terms: Terms, brackets: Brackets) -> Levels:
    """Return the prices that end or cut the position."""
    return Levels(
        stop_price(account, settings.stop_loss, terms),
        take_profit_price(account, settings.take_profit, terms),
        ledger.liquidation_price(account, terms, brackets),
    )


@kernel
def is_quiet(account: Account, bar: Bar, settings: Settings, terms: Terms, brackets: Brackets) -> bool:
    """Return whether surely no stop, take-profit or liquidation lies within the bar, so that nothing walks its path.

    A cheap test that errs on the side of walking: triggers are compared a tick early, and the margin at the worst mark
    price with a small surplus over the maintenance margin.
    """
    low = bar.mark_low if settings.stop_on_mark else bar.low
    high = bar.mark_high if settings.stop_on_mark else bar.high
    is_long = account.position_amount > 0.0
    adverse = low if is_long else -high
    favourable = high if is_long else -low
    entry = account.entry_price if is_long else -account.entry_price
    if settings.stop_loss > 0.0 and adverse <= entry - settings.stop_loss * account.entry_price + terms.tick_size:
        return False
    if (
        settings.take_profit > 0.0
        and favourable >= entry + settings.take_profit * account.entry_price - terms.tick_size
    ):
        return False
    worst = bar.mark_low if is_long else bar.mark_high
    surplus = ledger.position_margin(account, worst, terms) - ledger.maintenance_margin(account, worst, terms, brackets)
    size = abs(account.wallet_balance) + abs(account.position_amount) * worst
    return surplus > SURE_SURPLUS * size


@kernel
def _passing(start: float, end: float, order: Order) -> float:
    """Return at which fraction of the way from ``start`` to ``end`` the price passes a resting order's."""
    price = order.limit_price
    if price == 0.0:
        return NEVER
    if order.reduce_amount + order.open_amount > 0.0:
        if start < price:
            return 0.0
        return (start - price) / (start - end) if end < price else NEVER
    if start > price:
        return 0.0
    return (price - start) / (end - start) if end > price else NEVER


@kernel
def liquidated(progress: Progress, mark_price: float, terms: Terms, brackets: Brackets) -> Progress:
    """Liquidate the position part by part at a mark price, until its margin is enough or it is closed."""
    while True:
        part = ledger.liquidate(progress.account, mark_price, terms, brackets)
        if part.account.position_amount == 0.0:
            return with_liquidation(progress, part, LIQUIDATED)
        if not ledger.is_to_be_liquidated(part.account, mark_price, terms, brackets):
            return with_liquidation(progress, part, REDUCED_BY_LIQUIDATION)
        progress = with_liquidation(progress, part, 0)


@kernel
def _walk_leg(
    progress: Progress,
    resting: Order,
    last_start: float,
    last_end: float,
    mark_start: float,
    mark_end: float,
    volume: float,
    costs: Costs,
    settings: Settings,
    terms: Terms,
    brackets: Brackets,
) -> tuple[Progress, Order]:
    """Move last and mark price in a straight line and play whatever they trigger on the way.

    A liquidation cancels the resting order; where several things are reached at once, it comes first, then the stop,
    the take-profit and the resting order.
    """
    while progress.account.position_amount != 0.0 or resting.limit_price != 0.0:
        account = progress.account
        levels = levels_of(account, settings, terms, brackets)
        is_long = account.position_amount > 0.0
        start = mark_start if settings.stop_on_mark else last_start
        end = mark_end if settings.stop_on_mark else last_end
        at_stop = _crossing(start, end, levels.stop, is_long) if volume > 0.0 else NEVER
        at_profit = _crossing(start, end, levels.take_profit, not is_long) if volume > 0.0 else NEVER
        at_liquidation = _crossing(mark_start, mark_end, levels.liquidation, is_long)
        at_limit = _passing(last_start, last_end, resting)
        first = min(at_stop, at_profit, at_liquidation, at_limit)
        if first == NEVER:
            break
        mark_start += first * (mark_end - mark_start)
        last_start += first * (last_end - last_start)
        if at_liquidation == first:
            price = mark_start if first == 0.0 else levels.liquidation
            progress = liquidated(progress, price, terms, brackets)
            if resting.limit_price != 0.0:
                progress = with_event(progress, NOT_REACHED)
                resting = no_order()
        elif at_stop == first or at_profit == first:
            is_stop = at_stop == first
            price = last_start
            if first > 0.0 and not settings.stop_on_mark:
                price = levels.stop if is_stop else levels.take_profit
            event = STOPPED if is_stop else TOOK_PROFIT
            progress = reduce_order(progress, -account.position_amount, price, volume, event, costs, settings, terms)
        else:
            progress = limit_filled(progress, resting, mark_start, costs, terms)
            resting = no_order()
    return progress, resting


@kernel
def walk_path(
    progress: Progress,
    resting: Order,
    bar: Bar,
    costs: Costs,
    settings: Settings,
    terms: Terms,
    brackets: Brackets,
) -> Progress:
    """Play events 3 and 4 of a bar: the path through its two extremes, with the nearer one in its direction last.

    The order that still rests at its end is cancelled.
    """
    is_rising = bar.close >= bar.open
    last_1 = bar.low if is_rising else bar.high
    last_2 = bar.high if is_rising else bar.low
    mark_1 = bar.mark_low if is_rising else bar.mark_high
    mark_2 = bar.mark_high if is_rising else bar.mark_low
    volume = bar.volume
    progress, resting = _walk_leg(
        progress, resting, bar.open, last_1, bar.mark_open, mark_1, volume, costs, settings, terms, brackets
    )
    progress, resting = _walk_leg(
        progress, resting, last_1, last_2, mark_1, mark_2, volume, costs, settings, terms, brackets
    )
    progress, resting = _walk_leg(
        progress, resting, last_2, bar.close, mark_2, bar.mark_close, volume, costs, settings, terms, brackets
    )
    return progress if resting.limit_price == 0.0 else with_event(progress, NOT_REACHED)
