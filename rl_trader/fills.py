"""Fills, fundings and refusals inside a bar: events 1, 2 and 5 of the replay's order of events."""

from rl_trader import ledger
from rl_trader.kernels import inlined, kernel
from rl_trader.ledger import Account, Terms
from rl_trader.slippage import slippage_fraction
from rl_trader.state import (
    FILLED,
    REFUSED_BRACKET,
    REFUSED_MARGIN,
    REFUSED_NO_TRADES,
    REFUSED_NOTIONAL,
    Bar,
    Costs,
    Flows,
    Progress,
    Settings,
)


@kernel
def settled(progress: Progress, mark_price: float, funding_rate: float, terms: Terms) -> Progress:
    """Settle one funding."""
    account, cash = ledger.settle_funding(progress.account, mark_price, funding_rate, terms)
    f = progress.flows
    flows = Flows(f.fees, f.slippage, f.funding + cash, f.liquidation, f.insurance, f.traded_notional, f.events)
    return Progress(account, flows)


@kernel
def filled(
    progress: Progress, amount: float, reference: float, price: float, event: int, costs: Costs, terms: Terms
) -> Progress:
    """Fill ``amount`` at ``price``, which slippage and tick have moved away from ``reference``."""
    fill = ledger.apply_fill(progress.account, amount, price, costs.taker_fee, terms)
    f = progress.flows
    flows = Flows(
        f.fees + fill.fee,
        f.slippage - amount * (price - reference),
        f.funding,
        f.liquidation,
        f.insurance,
        f.traded_notional + abs(amount) * price,
        f.events | event,
    )
    return Progress(fill.account, flows)


@kernel
def _noted(progress: Progress, event: int) -> Progress:
    f = progress.flows
    flows = Flows(f.fees, f.slippage, f.funding, f.liquidation, f.insurance, f.traded_notional, f.events | event)
    return Progress(progress.account, flows)


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
    """Fill a market order that only reduces; the wallet stops at zero, and the rest is the insurance fund's.

    A rest can arise where the last price has left the mark price behind.
    """
    slippage = slippage_fraction(amount, volume, settings) * costs.slippage_scale
    progress = filled(progress, amount, price, ledger.fill_price(price, amount, slippage, terms), event, costs, terms)
    after = progress.account
    if after.wallet_balance >= 0.0:
        return progress
    borne = -after.wallet_balance
    f = progress.flows
    flows = Flows(
        f.fees, f.slippage, f.funding, f.liquidation + borne, f.insurance + borne, f.traded_notional, f.events
    )
    return Progress(Account(0.0, after.position_amount, after.entry_price, after.isolated_wallet), flows)


@kernel
def _refusal(account: Account, amount: float, price: float, mark_price: float, costs: Costs, terms: Terms) -> int:
    """Return the event with which the exchange refuses an opening order, or 0."""
    if abs(amount) * mark_price < terms.min_notional:
        return REFUSED_NOTIONAL
    if (abs(account.position_amount) + abs(amount)) * mark_price > terms.max_notional:
        return REFUSED_BRACKET
    cost = ledger.opening_cost(amount, price, mark_price, costs.taker_fee, terms)
    if cost > ledger.available_balance(account, mark_price, terms):
        return REFUSED_MARGIN
    return 0


@inlined
def order_at_open(
    progress: Progress,
    reduce_amount: float,
    open_amount: float,
    bar: Bar,
    costs: Costs,
    settings: Settings,
    terms: Terms,
) -> Progress:
    """Play event 2 of a bar."""
    if reduce_amount == 0.0 and open_amount == 0.0:
        return progress
    if bar.volume <= 0.0:
        return _noted(progress, REFUSED_NO_TRADES)
    if reduce_amount != 0.0:
        progress = reduce_order(progress, reduce_amount, bar.open, bar.volume, FILLED, costs, settings, terms)
    if open_amount != 0.0:
        slippage = slippage_fraction(open_amount, bar.volume, settings) * costs.slippage_scale
        price = ledger.fill_price(bar.open, open_amount, slippage, terms)
        refusal = _refusal(progress.account, open_amount, price, bar.mark_open, costs, terms)
        if refusal != 0:
            return _noted(progress, refusal)
        progress = filled(progress, open_amount, bar.open, price, FILLED, costs, terms)
    return progress
