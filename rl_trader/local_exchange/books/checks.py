"""What the exchange refuses an order for.

The filters are those of ``exchangeInfo`` (PRICE_FILTER, PERCENT_PRICE, MIN_NOTIONAL, ``marketTakeBound``), the limit of
a position follows from ``leverageBracket``, the cost of opening from the FAQ "How to Calculate Cost Required to Open a
Position in Perpetual Futures Contracts", codes from the API documentation (all read in autumn 2026). The order of the
checks is an assumption, and so is a market order's band: the stricter of PERCENT_PRICE and ``marketTakeBound``, for its
fill price.
Whether amounts are whole steps and limit prices whole ticks is asked where orders come in, not here.

Prices in USDT per unit of the base asset, amounts in base asset and signed (positive is bought), money in USDT.
"""

from decimal import Decimal
from enum import Enum

from rl_trader.local_exchange.books.account import Account
from rl_trader.local_exchange.books.money import ZERO, denoised, exact
from rl_trader.local_exchange.books.positions import Marks
from rl_trader.local_exchange.books.terms import SymbolTerms


class Event(Enum):
    """What happened in a bar."""

    REDUCED = "the order's reducing leg filled"
    OPENED = "the order's opening leg filled"
    RESTED = "a limit order, or one leg of it, rested in the book"
    STOP_LOSS = "the stop-loss closed the position"
    TAKE_PROFIT = "the take-profit closed the position"
    LIQUIDATED = "the position was liquidated, and nothing is left"
    REDUCED_BY_LIQUIDATION = "the position was liquidated in part"
    ORDER_VOID = "the order came too late, after the liquidation at the open"
    NO_TRADES = "the order was refused, as nothing traded in the bar"
    MARKET_PRICE_BAND = "-4131"
    BELOW_MIN_PRICE = "-4013"
    ABOVE_MAX_PRICE = "-4002"
    LIMIT_TOO_HIGH = "-4016"
    LIMIT_TOO_LOW = "-4024"
    WOULD_CROSS = "-5022"
    BELOW_MIN_NOTIONAL = "-4164"
    ABOVE_MAX_NOTIONAL = "-2027"
    MARGIN_INSUFFICIENT = "-2019"

    @property
    def code(self) -> int | None:
        """The exchange's error code, if it refused something with one."""
        return int(self.value) if self.value.startswith("-") else None


@exact
def market_band_refusal(terms: SymbolTerms, amount: Decimal, price: Decimal, mark_price: Decimal) -> Event | None:
    """Return what a market order is refused for that would fill at this price."""
    if amount > 0:
        is_outside = price > mark_price * min(terms.multiplier_up, 1 + terms.market_take_bound)
    else:
        is_outside = price < mark_price * max(terms.multiplier_down, 1 - terms.market_take_bound)
    return Event.MARKET_PRICE_BAND if is_outside else None


@exact
def limit_band_refusal(terms: SymbolTerms, amount: Decimal, limit_price: Decimal, mark_price: Decimal) -> Event | None:
    """Return what a limit order is refused for, given its price."""
    if limit_price < terms.min_price:
        return Event.BELOW_MIN_PRICE
    if limit_price > terms.max_price:
        return Event.ABOVE_MAX_PRICE
    if amount > 0 and limit_price > mark_price * terms.multiplier_up:
        return Event.LIMIT_TOO_HIGH
    if amount < 0 and limit_price < mark_price * terms.multiplier_down:
        return Event.LIMIT_TOO_LOW
    return None


@exact
def opening_cost(amount: Decimal, price: Decimal, mark_price: Decimal, leverage: int, fee_rate: Decimal) -> Decimal:
    """Return what must be available to open: initial margin, loss against the mark price, and the fee."""
    notional = abs(amount) * price
    return notional / leverage + max(amount * (price - mark_price), ZERO) + notional * fee_rate


@exact
def size_refusal(
    account: Account, symbol: str, amount: Decimal, *, notional_price: Decimal, mark_price: Decimal
) -> Event | None:
    """Return what an opening order is refused for, given its size.

    Args:
        account: Before the order, with what its reducing leg left.
        symbol: Which.
        amount: Of the order.
        notional_price: At which its own notional is measured: a limit order's price, for a market order the mark price.
        mark_price: At which the position that would come out is measured.
    """
    setting = account.setting(symbol)
    if abs(amount) * notional_price < setting.terms.min_notional:
        return Event.BELOW_MIN_NOTIONAL
    size = abs(account.positions[symbol].amount) + abs(amount)
    if size * mark_price > setting.terms.max_notional(setting.leverage):
        return Event.ABOVE_MAX_NOTIONAL
    return None


@exact
def cost_refusal(
    account: Account, symbol: str, amount: Decimal, *, price: Decimal, fee_rate: Decimal, marks: Marks
) -> Event | None:
    """Return what an opening order is refused for, given its cost at this price."""
    cost = opening_cost(amount, price, marks[symbol], account.setting(symbol).leverage, fee_rate)
    return Event.MARGIN_INSUFFICIENT if denoised(cost - account.available_balance(marks)) > 0 else None
