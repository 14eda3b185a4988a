"""Where market orders fill, and where protective orders trigger.

That a market order fills at a price moved by half the spread and by its share of the bar's volume is an assumption. A
fill is rounded to the tick against the trader (PRICE_FILTER of ``exchangeInfo``). The levels of stop-loss and
take-profit are rounded up for a long and down for a short, so that a stop triggers rather early than late.

Prices in USDT per unit of the base asset, amounts and volume in base asset, signed (positive is bought or long).
"""

from decimal import Decimal

from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.books.positions import Position
from rl_trader.local_exchange.books.terms import SymbolTerms


@exact
def slippage_fraction(conduct: Conduct, amount: Decimal, volume: Decimal) -> Decimal:
    """Return by what fraction of the price a market order of this amount fills worse."""
    fraction = conduct.half_spread
    if conduct.sqrt_impact or conduct.linear_impact:
        share = abs(amount) / volume
        fraction += conduct.sqrt_impact * share.sqrt() + conduct.linear_impact * share
    return conduct.slippage_scale * fraction


@exact
def market_price(
    terms: SymbolTerms, conduct: Conduct, amount: Decimal, volume: Decimal, reference_price: Decimal
) -> Decimal:
    """Return what a market order fills at: the reference price after slippage, on the tick against the trader."""
    fraction = slippage_fraction(conduct, amount, volume)
    if amount > 0:
        return terms.tick_at_or_above(reference_price * (1 + fraction))
    return max(terms.tick_at_or_below(reference_price * (1 - fraction)), terms.tick_size)


@exact
def best_opposite_price(terms: SymbolTerms, conduct: Conduct, amount: Decimal, reference_price: Decimal) -> Decimal:
    """Return at what the smallest order of this side would be taken: half the spread away, on the tick."""
    fraction = conduct.slippage_scale * conduct.half_spread
    if amount > 0:
        return terms.tick_at_or_above(reference_price * (1 + fraction))
    return max(terms.tick_at_or_below(reference_price * (1 - fraction)), terms.tick_size)


@exact
def stop_level(terms: SymbolTerms, position: Position, stop_loss: Decimal) -> Decimal:
    """Return where the position's stop-loss triggers."""
    if position.amount > 0:
        return terms.tick_at_or_above(position.entry_price * (1 - stop_loss))
    return terms.tick_at_or_below(position.entry_price * (1 + stop_loss))


@exact
def take_profit_level(terms: SymbolTerms, position: Position, take_profit: Decimal) -> Decimal:
    """Return where the position's take-profit triggers."""
    if position.amount > 0:
        return terms.tick_at_or_above(position.entry_price * (1 + take_profit))
    return terms.tick_at_or_below(position.entry_price * (1 - take_profit))
