"""The path of a bar's prices, and what is met on it: liquidation, stop-loss, take-profit and the resting order.

Last and mark price go together in straight lines: open, low, high, close if the bar does not fall, else open, high,
low, close; klines do not tell the order, so this is an assumption. Liquidation is triggered by the mark price (FAQ
"Liquidation Protocols"), protective orders by mark or last price (``workingType`` of the API), a resting order by
trades beyond its price. What is met at the same point happens in that order, the worst first, which is an assumption.

Units are those of :mod:`rl_trader.local_exchange.books.inputs`.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

from rl_trader.local_exchange.books.checks import Event, cost_refusal
from rl_trader.local_exchange.books.inputs import BookBar
from rl_trader.local_exchange.books.legs import Hit, Point, Trigger, first_hit
from rl_trader.local_exchange.books.liquidation import solve_liquidation_price
from rl_trader.local_exchange.books.money import denoised
from rl_trader.local_exchange.books.play import Play
from rl_trader.local_exchange.books.prices import stop_level, take_profit_level

Act = Callable[[Play, Hit[Any]], None]


def walk_path(play: Play) -> None:
    """Let the prices of the bar happen to the position and to the resting order."""
    if play.resting is None and _is_quiet(play):
        return
    triggers = _triggers(play)
    for start, end in pairwise(path(play.bar)):
        at = start
        while hit := first_hit(triggers, at, end):
            at = hit.at
            hit.trigger.act(play, hit)
            triggers = _triggers(play)


def path(bar: BookBar) -> tuple[Point, Point, Point, Point]:
    """Return the corners of the path, from the open to the close."""
    low, high = Point(bar.low, bar.mark_low), Point(bar.high, bar.mark_high)
    turns = (low, high) if bar.close >= bar.open else (high, low)
    return (Point(bar.open, bar.mark_open), *turns, Point(bar.close, bar.mark_close))


def _is_quiet(play: Play) -> bool:
    """Return whether no price of the bar can meet anything of the position; False where it would take a closer look.

    The margin at the worst mark price is compared with the highest notional of the bar times the rate of its bracket,
    which is at least the maintenance margin at every price of the bar.
    """
    position, bar = play.position, play.bar
    if not position.amount:
        return True
    worst = bar.mark_low if position.amount > 0 else bar.mark_high
    margin = play.account.collateral(play.symbol, play.other_marks) + position.unrealized_pnl(worst)
    notional = position.notional(bar.mark_high)
    if margin <= notional * play.setting.terms.bracket(notional).rate:
        return False
    for trigger in _protective_triggers(play):
        low, high = (bar.mark_low, bar.mark_high) if trigger.is_on_mark else (bar.low, bar.high)
        if high >= trigger.level if trigger.is_above else low <= trigger.level:
            return False
    return True


def _triggers(play: Play) -> tuple[Trigger[Act], ...]:
    """Return what the prices can meet now; at the same point the first of them happens."""
    position = play.position
    triggers: list[Trigger[Act]] = []
    if position.amount:
        level = denoised(_liquidation_price(play))
        triggers.append(Trigger(_liquidate, level, is_above=position.amount < 0, is_on_mark=True))
        triggers += _protective_triggers(play)
    if play.resting and play.resting.limit_price is not None:
        is_sold = play.resting.amount < 0
        level = play.resting.limit_price
        triggers.append(Trigger(_fill_resting, level, is_above=is_sold, is_on_mark=False, is_beyond=True))
    return tuple(triggers)


def _protective_triggers(play: Play) -> Iterator[Trigger[Act]]:
    """Yield stop-loss and take-profit; without trades in the bar they do not trigger."""
    position, terms, conduct = play.position, play.setting.terms, play.conduct
    if not play.bar.volume:
        return
    is_long, is_on_mark = position.amount > 0, conduct.stop_on_mark
    if conduct.stop_loss is not None:
        yield Trigger(_stop, stop_level(terms, position, conduct.stop_loss), not is_long, is_on_mark)
    if conduct.take_profit is not None:
        yield Trigger(_take_profit, take_profit_level(terms, position, conduct.take_profit), is_long, is_on_mark)


def _liquidation_price(play: Play) -> Decimal:
    collateral = play.account.collateral(play.symbol, play.other_marks)
    return solve_liquidation_price(play.position, collateral, play.setting.terms.brackets)


def _liquidate(play: Play, hit: Hit[Act]) -> None:
    play.liquidate(hit.at.mark if hit.is_at_start else _liquidation_price(play))


def _stop(play: Play, hit: Hit[Act]) -> None:
    _close_at_market(play, hit.at.last)
    play.events.add(Event.STOP_LOSS)


def _take_profit(play: Play, hit: Hit[Act]) -> None:
    _close_at_market(play, hit.at.last)
    play.events.add(Event.TAKE_PROFIT)


def _close_at_market(play: Play, last_price: Decimal) -> None:
    amount = -play.position.amount
    play.close(amount, play.market_price(amount, last_price), play.setting.terms.taker_fee)


def _fill_resting(play: Play, hit: Hit[Act]) -> None:
    """Fill the reducing leg as far as its position is still held, then the opening leg if there is the money."""
    order, fee_rate = play.resting, play.setting.terms.maker_fee
    assert order is not None
    assert order.limit_price is not None
    play.resting = None
    held = play.position.amount
    if order.reduce_amount * held < 0:
        amount = order.reduce_amount if abs(order.reduce_amount) <= abs(held) else -held
        play.close(amount, order.limit_price, fee_rate)
        play.events.add(Event.REDUCED)
    if not order.open_amount:
        return
    refusal = cost_refusal(
        play.account,
        play.symbol,
        order.open_amount,
        price=order.limit_price,
        fee_rate=fee_rate,
        marks=play.marks(hit.at.mark),
    )
    if refusal:
        play.events.add(refusal)
    else:
        play.open(order.open_amount, order.limit_price, fee_rate)
