"""Fills, fundings and refusals inside a bar: events 1, 2 and 5 of the replay's order of events."""

from rl_trader import ledger
from rl_trader.flows import Progress, with_deficit_borne, with_event, with_fill, with_funding
from rl_trader.kernels import inlined, kernel
from rl_trader.ledger import Account, Terms
from rl_trader.slippage import slippage_fraction
from rl_trader.state import (
    FILLED,
    REFUSED_BRACKET,
    REFUSED_MARGIN,
    REFUSED_NO_TRADES,
    REFUSED_NOTIONAL,
    REFUSED_POST_ONLY,
    REFUSED_PRICE,
    Bar,
    Costs,
    Order,
    Settings,
)


@kernel
def no_order() -> Order:
    """Return the order that is none."""
    return Order(0.0, 0.0, 0.0)


@kernel
def settled(progress: Progress, mark_price: float, funding_rate: float, terms: Terms) -> Progress:
    """Settle one funding."""
    account, cash = ledger.settle_funding(progress.account, mark_price, funding_rate, terms)
    return with_funding(progress, account, cash)


@kernel
def market_price(amount: float, price: float, volume: float, costs: Costs, settings: Settings, terms: Terms) -> float:
    """Return the price at which a market order fills: moved by slippage and rounded to the tick, both against it."""
    slippage = slippage_fraction(amount, volume, settings) * costs.slippage_scale
    return ledger.fill_price(price, amount, slippage, terms)


@kernel
def filled(
    progress: Progress, amount: float, reference: float, price: float, fee_rate: float, event: int, terms: Terms
) -> Progress:
    """Fill ``amount`` at ``price``, which slippage and tick have moved away from ``reference``."""
    fill = ledger.apply_fill(progress.account, amount, price, fee_rate, terms)
    return with_fill(progress, fill, abs(amount) * price, -amount * (price - reference), event)


@kernel
def reduce_order(
    progress: Progress,
    amount: float,
    price: float,
    volume: float,
    event: int,
    costs: Costs,
    settings: Settings,
    terms: Terms,
) -> Progress:
    """Fill a market order that only reduces; where it closes, the wallet stops at zero."""
    at = market_price(amount, price, volume, costs, settings, terms)
    return with_deficit_borne(filled(progress, amount, price, at, costs.taker_fee, event, terms))


@kernel
def _is_within(amount: float, price: float, mark_price: float, highest: float, lowest: float) -> bool:
    """Return whether an order's price is not too far on its own side of the mark price."""
    if amount > 0.0:
        return not ledger.exceeds(price, mark_price * highest)
    return not ledger.exceeds(mark_price * lowest, price)


@kernel
def _is_affordable(
    account: Account, amount: float, price: float, mark_price: float, fee_rate: float, terms: Terms
) -> bool:
    """Return whether the available balance carries an opening order."""
    cost = ledger.opening_cost(amount, price, mark_price, fee_rate, terms)
    return not ledger.exceeds(cost, max(ledger.available_balance(account, mark_price, terms), 0.0))


@kernel
def _refusal(
    account: Account, amount: float, price: float, valued_at: float, mark_price: float, fee_rate: float, terms: Terms
) -> int:
    """Return the event with which the exchange refuses an opening order, or 0.

    ``valued_at`` is the price at which the minimum notional counts: a limit order's own, else the mark price.
    """
    if ledger.exceeds(terms.min_notional, abs(amount) * valued_at):
        return REFUSED_NOTIONAL
    if ledger.exceeds((abs(account.position_amount) + abs(amount)) * mark_price, terms.max_notional):
        return REFUSED_BRACKET
    if not _is_affordable(account, amount, price, mark_price, fee_rate, terms):
        return REFUSED_MARGIN
    return 0


@inlined
def market_order(
    progress: Progress, order: Order, bar: Bar, costs: Costs, settings: Settings, terms: Terms
) -> Progress:
    """Play event 2 of a bar for a market order: the reduce-only leg, then the opening leg."""
    if order.reduce_amount == 0.0 and order.open_amount == 0.0:
        return progress
    if bar.volume <= 0.0:
        return with_event(progress, REFUSED_NO_TRADES)
    if order.reduce_amount != 0.0:
        price = market_price(order.reduce_amount, bar.open, bar.volume, costs, settings, terms)
        if not _is_within(order.reduce_amount, price, bar.mark_open, terms.highest_buy, terms.lowest_sell):
            return with_event(progress, REFUSED_PRICE)
        progress = filled(progress, order.reduce_amount, bar.open, price, costs.taker_fee, FILLED, terms)
        progress = with_deficit_borne(progress)
    if order.open_amount != 0.0:
        price = market_price(order.open_amount, bar.open, bar.volume, costs, settings, terms)
        if not _is_within(order.open_amount, price, bar.mark_open, terms.highest_buy, terms.lowest_sell):
            return with_event(progress, REFUSED_PRICE)
        refusal = _refusal(
            progress.account, order.open_amount, price, bar.mark_open, bar.mark_open, costs.taker_fee, terms
        )
        if refusal != 0:
            return with_event(progress, refusal)
        progress = filled(progress, order.open_amount, bar.open, price, costs.taker_fee, FILLED, terms)
    return progress


@kernel
def limit_order(
    progress: Progress, order: Order, bar: Bar, costs: Costs, settings: Settings, terms: Terms
) -> tuple[Progress, Order]:
    """Play event 2 of a bar for a post-only limit order; return what was noted, and what of it rests in the book.

    It is refused where its price is beyond the filters, and where it would fill at once, at the best price of the other
    side: the open moved by half the spread. The opening leg alone is dropped where the account does not carry it after
    the reduce-only leg has filled.
    """
    amount = order.reduce_amount + order.open_amount
    price = order.limit_price
    if amount == 0.0:
        return progress, no_order()
    if bar.volume <= 0.0:
        return with_event(progress, REFUSED_NO_TRADES), no_order()
    is_in_range = terms.min_price <= price <= terms.max_price
    if not (is_in_range and _is_within(amount, price, bar.mark_open, terms.highest_limit, terms.lowest_limit)):
        return with_event(progress, REFUSED_PRICE), no_order()
    taken_at = ledger.fill_price(bar.open, amount, settings.half_spread * costs.slippage_scale, terms)
    if (price - taken_at) * amount >= 0.0:
        return with_event(progress, REFUSED_POST_ONLY), no_order()
    if order.open_amount != 0.0:
        after = progress.account
        if order.reduce_amount != 0.0:
            after = ledger.apply_fill(after, order.reduce_amount, price, costs.maker_fee, terms).account
        refusal = _refusal(after, order.open_amount, price, price, bar.mark_open, costs.maker_fee, terms)
        if refusal != 0:
            progress = with_event(progress, refusal)
            order = Order(order.reduce_amount, 0.0, price if order.reduce_amount != 0.0 else 0.0)
    return progress, order


@kernel
def limit_filled(progress: Progress, order: Order, mark_price: float, costs: Costs, terms: Terms) -> Progress:
    """Fill a resting order at its price, as a maker: the leg that reduces, then the other if the account carries it.

    The position that is reduced is the one of the bar's open, or none where a stop has closed it; a liquidation would
    have cancelled the order.
    """
    price = order.limit_price
    if progress.account.position_amount * order.reduce_amount < 0.0:
        progress = filled(progress, order.reduce_amount, price, price, costs.maker_fee, FILLED, terms)
        progress = with_deficit_borne(progress)
    if order.open_amount != 0.0:
        if not _is_affordable(progress.account, order.open_amount, price, mark_price, costs.maker_fee, terms):
            return with_event(progress, REFUSED_MARGIN)
        progress = filled(progress, order.open_amount, price, price, costs.maker_fee, FILLED, terms)
    return progress
