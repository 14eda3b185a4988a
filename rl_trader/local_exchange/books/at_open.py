"""What happens at a bar's open: a bankrupt position is liquidated, or else the order is filled, rested or refused.

That the liquidation engine is faster than an order at an open beyond the bankruptcy price is an assumption, as is that
a market order fills at the open whatever its size, beyond the slippage.

Units are those of :mod:`rl_trader.local_exchange.books.inputs`.
"""

from rl_trader.local_exchange.books.checks import (
    Event,
    cost_refusal,
    limit_band_refusal,
    market_band_refusal,
    size_refusal,
)
from rl_trader.local_exchange.books.inputs import Order
from rl_trader.local_exchange.books.money import ZERO, denoised
from rl_trader.local_exchange.books.play import Play
from rl_trader.local_exchange.books.prices import best_opposite_price


def open_bar(play: Play, order: Order) -> None:
    """Liquidate a position whose margin at the mark open is below zero, else carry the order out or rest it."""
    has_order = order.amount != 0
    mark_open = play.bar.mark_open
    if play.position.amount and denoised(play.account.position_margin(play.symbol, play.marks(mark_open))) < 0:
        play.liquidate(mark_open)
        if has_order:
            play.events.add(Event.ORDER_VOID)
    elif has_order and not play.bar.volume:
        play.events.add(Event.NO_TRADES)
    elif has_order and order.limit_price is None:
        _fill_market(play, order)
    elif has_order:
        _rest_limit(play, order)


def _fill_market(play: Play, order: Order) -> None:
    if not order.reduce_amount or _reduce_at_market(play, order):
        _open_at_market(play, order)


def _reduce_at_market(play: Play, order: Order) -> bool:
    terms = play.setting.terms
    price = play.market_price(order.reduce_amount, play.bar.open)
    if refusal := market_band_refusal(terms, order.reduce_amount, price, play.bar.mark_open):
        play.events.add(refusal)
        return False
    play.close(order.reduce_amount, price, terms.taker_fee)
    play.events.add(Event.REDUCED)
    return True


def _open_at_market(play: Play, order: Order) -> None:
    amount, terms, mark_open = order.open_amount, play.setting.terms, play.bar.mark_open
    if not amount:
        return
    price = play.market_price(amount, play.bar.open)
    refusal = (
        market_band_refusal(terms, amount, price, mark_open)
        or size_refusal(play.account, play.symbol, amount, notional_price=mark_open, mark_price=mark_open)
        or cost_refusal(
            play.account, play.symbol, amount, price=price, fee_rate=terms.taker_fee, marks=play.marks(mark_open)
        )
    )
    if refusal:
        play.events.add(refusal)
    else:
        play.open(amount, price, terms.taker_fee)


def _rest_limit(play: Play, order: Order) -> None:
    assert order.limit_price is not None
    refusal = limit_band_refusal(play.setting.terms, order.amount, order.limit_price, play.bar.mark_open)
    refusal = refusal or _crossing_refusal(play, order)
    if refusal:
        play.events.add(refusal)
        return
    if order.open_amount and (refusal := _opening_refusal(play, order)):
        play.events.add(refusal)
        order = Order(reduce_amount=order.reduce_amount, open_amount=ZERO, limit_price=order.limit_price)
    if order.amount:
        play.resting = order
        play.events.add(Event.RESTED)


def _crossing_refusal(play: Play, order: Order) -> Event | None:
    """Return whether the best price of the other side is the limit price or better: then it is no maker."""
    assert order.limit_price is not None
    price = best_opposite_price(play.setting.terms, play.conduct, order.amount, play.bar.open)
    would_cross = order.limit_price >= price if order.amount > 0 else order.limit_price <= price
    return Event.WOULD_CROSS if would_cross else None


def _opening_refusal(play: Play, order: Order) -> Event | None:
    """Return what the opening leg is refused for, on the account that the reducing leg would leave."""
    assert order.limit_price is not None
    account, terms, mark_open = play.account, play.setting.terms, play.bar.mark_open
    if order.reduce_amount:
        account = account.copy()
        account.fill(play.symbol, order.reduce_amount, order.limit_price, terms.maker_fee)
    return size_refusal(
        account, play.symbol, order.open_amount, notional_price=order.limit_price, mark_price=mark_open
    ) or cost_refusal(
        account,
        play.symbol,
        order.open_amount,
        price=order.limit_price,
        fee_rate=terms.maker_fee,
        marks=play.marks(mark_open),
    )
