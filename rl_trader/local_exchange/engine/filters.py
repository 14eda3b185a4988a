"""What an order is refused for by its own numbers: the filters of ``exchangeInfo``.

Sources: the API documentation of USD-M futures, "Filters" and "Error Codes" (read in autumn 2026). The order of the
checks is an assumption.
"""

from decimal import Decimal

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.books.checks import limit_band_refusal, market_band_refusal
from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.engine.words import OrderType
from rl_trader.local_exchange.refusal_texts import refused


def decimals(step: Decimal) -> int:
    """Return how many decimals a price or an amount may be written with."""
    return max(-int(step.as_tuple().exponent), 0)


@exact
def check_price(contract: ContractTerms, price: Decimal) -> None:
    """Refuse a price that breaks PRICE_FILTER.

    Raises:
        RefusedError: -4001, -4013, -4002, -1111 or -4014.
    """
    if price <= 0:
        raise refused(-4001)
    if price < contract.min_price:
        raise refused(-4013)
    if price > contract.max_price:
        raise refused(-4002)
    if not _fits(price, decimals(contract.tick_size)):
        raise refused(-1111)
    if (price - contract.min_price) % contract.tick_size:
        raise refused(-4014)


@exact
def check_quantity(contract: ContractTerms, order_type: OrderType, quantity: Decimal) -> None:
    """Refuse a quantity that breaks LOT_SIZE, or of a market order MARKET_LOT_SIZE.

    Raises:
        RefusedError: -4003, -1111, -4004, -4005 or -4023.
    """
    least, most, step = contract.limit_min_quantity, contract.limit_max_quantity, contract.limit_step_size
    if order_type.is_market:
        least, most, step = contract.min_quantity, contract.max_quantity, contract.step_size
    if quantity <= 0:
        raise refused(-4003)
    if not _fits(quantity, decimals(step)):
        raise refused(-1111)
    if quantity < least:
        raise refused(-4004)
    if quantity > most:
        raise refused(-4005)
    if quantity % step:
        raise refused(-4023)


def _fits(value: Decimal, places: int) -> bool:
    return decimals(value.normalize()) <= places


@exact
def check_limit_band(quotes: Quotes, signed: Decimal, price: Decimal) -> None:
    """Refuse a limit price too far from the mark price (PERCENT_PRICE).

    Raises:
        RefusedError: -4016 or -4024.
    """
    refusal = limit_band_refusal(quotes.terms, signed, price, quotes.mark)
    if refusal and refusal.code:
        raise refused(refusal.code)


@exact
def check_market_band(quotes: Quotes, signed: Decimal) -> None:
    """Refuse a market order that would fill too far from the mark price.

    Raises:
        RefusedError: -2020 if nothing is traded, or -4131.
    """
    if not quotes.is_trading:
        raise refused(-2020)
    refusal = market_band_refusal(quotes.terms, signed, quotes.market_price(signed), quotes.mark)
    if refusal and refusal.code:
        raise refused(refusal.code)
