"""Account arithmetic of a USD-M perpetual contract, as pure functions.

One symbol, one-way mode, USDT collateral, isolated or cross margin. Whatever moves or measures money in the replay goes
through this file: the replay kernel and the order sizing of the decision code.

Sources (read 2026-10): Binance USD-M FAQ "Leverage and Margin", "How to Calculate Liquidation Price", "Liquidation
Protocols", "Introduction to Funding Rates"; field names follow ``GET /fapi/v3/account`` and
``GET /fapi/v1/leverageBracket``. What the exchange does not publish is marked "assumption".

Units: prices in USDT per unit of the base asset, amounts in the base asset, money in USDT, rates as fractions. Amounts
are signed: positive long, negative short. Cash flows carry the sign of the wallet's change, as the exchange's income
does: a fee and paid funding are negative.

``terms`` is a record of ``TERMS_DTYPE``; ``brackets`` is (num_rows, 4) with the columns cap, rate, amount and floor of
all symbols one below the other, of which a symbol owns ``terms.first_bracket`` to ``terms.last_bracket``.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rl_trader.bookings import BINARY_ERROR, booked, booked_profit, sum_of_bookings
from rl_trader.kernels import kernel

TERMS_DTYPE: Final = np.dtype(
    [
        ("tick_size", np.float64),  # USDT
        ("price_scale", np.float64),  # 10 ** decimals of a price
        ("step_size", np.float64),  # base asset, of the orders that decisions send
        ("amount_scale", np.float64),  # 10 ** decimals of an amount
        ("min_quantity", np.float64),  # base asset, of one order
        ("max_quantity", np.float64),  # base asset, of one order
        ("min_notional", np.float64),  # USDT
        ("taker_fee", np.float64),  # fraction of the notional
        ("maker_fee", np.float64),
        ("liquidation_fee", np.float64),  # fraction of the liquidated notional
        ("leverage", np.float64),  # set on the symbol
        ("max_notional", np.float64),  # USDT, the bracket's limit at this leverage
        ("highest_buy", np.float64),  # of the mark price: a market order fills at most so high
        ("lowest_sell", np.float64),  # of the mark price: a market order fills at least so high
        ("min_price", np.float64),  # USDT, of a limit order
        ("max_price", np.float64),  # USDT, of a limit order
        ("highest_limit", np.float64),  # of the mark price: the limit price of a buy order
        ("lowest_limit", np.float64),  # of the mark price: the limit price of a sell order
        ("is_isolated", np.bool_),
        ("first_bracket", np.int64),
        ("last_bracket", np.int64),
    ]
)

CAP: Final = 0
RATE: Final = 1
AMOUNT: Final = 2
FLOOR: Final = 3

GRID_TOLERANCE: Final = 1e-9  # ticks or steps: what binary fractions may miss a grid point by, besides BINARY_ERROR
BOUND_TOLERANCE: Final = 1e-12  # of a bound: what binary fractions may miss it by

Brackets = NDArray[np.float64]


class Terms(Protocol):
    """What the functions of this file read from a record of ``TERMS_DTYPE``."""

    tick_size: float
    price_scale: float
    step_size: float
    amount_scale: float
    min_quantity: float
    max_quantity: float
    min_notional: float
    taker_fee: float
    maker_fee: float
    liquidation_fee: float
    leverage: float
    max_notional: float
    highest_buy: float
    lowest_sell: float
    min_price: float
    max_price: float
    highest_limit: float
    lowest_limit: float
    is_isolated: bool
    first_bracket: int
    last_bracket: int


class Account(NamedTuple):
    """One account with at most one position."""

    wallet_balance: float  # USDT, without unrealized PnL, with the isolated wallet
    position_amount: float  # base asset, signed
    entry_price: float  # USDT; 0 when flat
    isolated_wallet: float  # USDT assigned to the position; 0 when flat or in cross margin


class Fill(NamedTuple):
    """An account after a fill, and what the fill booked."""

    account: Account
    realized_pnl: float  # USDT
    fee: float  # USDT, not positive


class Liquidation(NamedTuple):
    """An account after a part of its position was liquidated, and what that booked."""

    account: Account
    realized_pnl: float  # USDT
    notional: float  # USDT that was liquidated
    fee: float  # USDT, not positive: the liquidation fee
    insurance: float  # USDT, not negative: loss beyond the margin, borne by the insurance fund


@kernel
def exceeds(value: float, bound: float) -> bool:
    """Return whether a value lies above a bound that is not negative by more than binary fractions may miss it."""
    return value > bound * (1.0 + BOUND_TOLERANCE)


@kernel
def _whole(number: float) -> float:
    """Return the largest whole number not above one that is not negative, but for what binary fractions miss."""
    return float(np.floor(number * (1.0 + BINARY_ERROR) + GRID_TOLERANCE))


@kernel
def round_price_down(price: float, terms: Terms) -> float:
    """Return the highest tick not above a price."""
    ticks = _whole(price / terms.tick_size)
    return float(np.rint(ticks * terms.tick_size * terms.price_scale) / terms.price_scale)


@kernel
def round_price_up(price: float, terms: Terms) -> float:
    """Return the lowest tick not below a price."""
    ticks = np.ceil(price / terms.tick_size * (1.0 - BINARY_ERROR) - GRID_TOLERANCE)
    return float(np.rint(ticks * terms.tick_size * terms.price_scale) / terms.price_scale)


@kernel
def round_amount(amount: float, terms: Terms) -> float:
    """Return a signed amount rounded toward zero to the step size."""
    steps = _whole(abs(amount) / terms.step_size)
    size = np.rint(steps * terms.step_size * terms.amount_scale) / terms.amount_scale
    return float(np.copysign(size, amount))


@kernel
def sum_of_amounts(first: float, second: float, terms: Terms) -> float:
    """Return the sum of two amounts on the step grid, on the grid again."""
    return float(np.rint((first + second) * terms.amount_scale) / terms.amount_scale)


@kernel
def fill_price(price: float, amount: float, slippage: float, terms: Terms) -> float:
    """Return a price moved by ``slippage`` (fraction) and rounded to the tick, both against the trader."""
    if amount > 0.0:
        return round_price_up(price * (1.0 + slippage), terms)
    return max(round_price_down(price * (1.0 - slippage), terms), terms.tick_size)


@kernel
def unrealized_pnl(account: Account, mark_price: float) -> float:
    """Return the open position's profit at a mark price."""
    return account.position_amount * (mark_price - account.entry_price)


@kernel
def margin_balance(account: Account, mark_price: float) -> float:
    """Return wallet balance and unrealized PnL."""
    return account.wallet_balance + unrealized_pnl(account, mark_price)


@kernel
def position_margin(account: Account, mark_price: float, terms: Terms) -> float:
    """Return the margin balance that backs the position: its isolated wallet, or in cross margin the whole wallet."""
    backing = account.isolated_wallet if terms.is_isolated else account.wallet_balance
    return backing + unrealized_pnl(account, mark_price)


@kernel
def initial_margin(account: Account, mark_price: float, terms: Terms) -> float:
    """Return ``notional / leverage`` of the open position."""
    return abs(account.position_amount) * mark_price / terms.leverage


@kernel
def bracket_of(notional: float, terms: Terms, brackets: Brackets) -> int:
    """Return the row of the bracket with floor < notional <= cap; the last one beyond all caps."""
    row = terms.first_bracket
    while row < terms.last_bracket and exceeds(notional, brackets[row, CAP]):
        row += 1
    return row


@kernel
def maintenance_margin(account: Account, mark_price: float, terms: Terms, brackets: Brackets) -> float:
    """Return ``notional * rate - amount`` of the notional's bracket."""
    notional = abs(account.position_amount) * mark_price
    row = bracket_of(notional, terms, brackets)
    return float(notional * brackets[row, RATE] - brackets[row, AMOUNT])


@kernel
def margin_ratio(account: Account, mark_price: float, terms: Terms, brackets: Brackets) -> float:
    """Return maintenance margin over the margin that backs the position; 1 from there on where it is liquidated."""
    if account.position_amount == 0.0:
        return 0.0
    margin = position_margin(account, mark_price, terms)
    maintenance = maintenance_margin(account, mark_price, terms, brackets)
    return maintenance / margin if margin > maintenance else 1.0


@kernel
def available_balance(account: Account, mark_price: float, terms: Terms) -> float:
    """Return what new orders may use; unrealized profit counts in cross margin."""
    if terms.is_isolated:
        return account.wallet_balance - account.isolated_wallet
    return margin_balance(account, mark_price) - initial_margin(account, mark_price, terms)


@kernel
def removable_margin(account: Account, mark_price: float, terms: Terms) -> float:
    """Return what may be taken out of an isolated wallet.

    What stays carries the initial margin at the mark price; an unrealized loss counts, a profit does not (assumption).
    """
    covered = account.isolated_wallet + min(unrealized_pnl(account, mark_price), 0.0)
    return max(covered - initial_margin(account, mark_price, terms), 0.0)


@kernel
def move_margin(account: Account, cash: float, mark_price: float, terms: Terms) -> Account:
    """Return the account after ``cash`` was added to its isolated wallet, or taken out of it where negative.

    A move that the exchange refuses leaves the account as it was: without an isolated position, beyond the available
    balance, or beyond ``removable_margin``. ``POST /fapi/v1/positionMargin``.
    """
    is_possible = -removable_margin(account, mark_price, terms) <= cash <= available_balance(account, mark_price, terms)
    if not terms.is_isolated or account.position_amount == 0.0 or not is_possible:
        return account
    isolated_wallet = sum_of_bookings(account.isolated_wallet, booked(cash))
    return Account(account.wallet_balance, account.position_amount, account.entry_price, isolated_wallet)


@kernel
def liquidation_price(account: Account, terms: Terms, brackets: Brackets) -> float:
    """Return the mark price at which the position's margin equals its maintenance margin; 0 if there is none.

    Solves ``W + q * (p - entry) = |q| * p * rate - amount`` in the bracket that applies at the solution. The left side
    less the right is monotone in ``p``, so that walking from bracket to bracket towards the solution ends.
    """
    q = account.position_amount
    if q == 0.0:
        return 0.0
    backing = account.isolated_wallet if terms.is_isolated else account.wallet_balance
    row = bracket_of(abs(q) * account.entry_price, terms, brackets)
    direction = 0
    while True:
        price = (backing + brackets[row, AMOUNT] - q * account.entry_price) / (abs(q) * brackets[row, RATE] - q)
        notional = abs(q) * price
        if notional > brackets[row, CAP] and row < terms.last_bracket and direction >= 0:
            direction = 1
        elif notional <= brackets[row, FLOOR] and row > terms.first_bracket and direction <= 0:
            direction = -1
        else:
            return float(max(price, 0.0))
        row += direction


@kernel
def bankruptcy_price(account: Account, terms: Terms) -> float:
    """Return the mark price at which nothing is left of what backs the position; 0 if there is none."""
    if account.position_amount == 0.0:
        return 0.0
    backing = account.isolated_wallet if terms.is_isolated else account.wallet_balance
    return max(account.entry_price - backing / account.position_amount, 0.0)


@kernel
def apply_fill(account: Account, amount: float, price: float, fee_rate: float, terms: Terms) -> Fill:
    """Return the account after a fill that adds to, reduces or closes the position; a flip is two fills.

    Adding averages the entry price and assigns the initial margin to an isolated position; reducing releases the
    isolated wallet in proportion.
    """
    held = account.position_amount
    fee = -booked(abs(amount) * price * fee_rate)
    remaining = sum_of_amounts(held, amount, terms)
    if held * amount >= 0.0:
        entry_price = price
        if held != 0.0:
            entry_price = (abs(held) * account.entry_price + abs(amount) * price) / abs(remaining)
        added = booked(abs(amount) * price / terms.leverage) if terms.is_isolated else 0.0
        isolated_wallet = sum_of_bookings(account.isolated_wallet, added)
        wallet_balance = sum_of_bookings(account.wallet_balance, fee)
        return Fill(Account(wallet_balance, remaining, entry_price, isolated_wallet), 0.0, fee)
    realized = booked_profit(-amount * (price - account.entry_price), abs(amount) * max(price, account.entry_price))
    wallet_balance = sum_of_bookings(sum_of_bookings(account.wallet_balance, realized), fee)
    if remaining == 0.0:
        return Fill(Account(wallet_balance, 0.0, 0.0, 0.0), realized, fee)
    isolated_wallet = booked(account.isolated_wallet * abs(remaining) / abs(held))
    return Fill(Account(wallet_balance, remaining, account.entry_price, isolated_wallet), realized, fee)


@kernel
def opening_cost(amount: float, price: float, mark_price: float, fee_rate: float, terms: Terms) -> float:
    """Return what an opening market order needs: initial margin, open loss against the mark price, and the fee."""
    notional = abs(amount) * price
    open_loss = max(amount * (price - mark_price), 0.0)
    return notional / terms.leverage + open_loss + notional * fee_rate


@kernel
def settle_funding(account: Account, mark_price: float, funding_rate: float, terms: Terms) -> tuple[Account, float]:
    """Return the account after one settlement, and the cash flow; longs pay shorts when the rate is positive."""
    cash = -booked(account.position_amount * mark_price * funding_rate)
    isolated_wallet = account.isolated_wallet
    if terms.is_isolated and account.position_amount != 0.0:
        isolated_wallet = sum_of_bookings(isolated_wallet, cash)
    wallet_balance = sum_of_bookings(account.wallet_balance, cash)
    return Account(wallet_balance, account.position_amount, account.entry_price, isolated_wallet), cash


@kernel
def liquidate(account: Account, price: float, terms: Terms, brackets: Brackets) -> Liquidation:
    """Return the account after the exchange has liquidated a part of its position, or all of it, at a mark price.

    Assumption (the exchange publishes no exact algorithm): the position is reduced to the cap of the next lower
    bracket, and closed in the lowest or where no margin is left; ``is_to_be_liquidated`` tells whether another part
    follows. The fee is paid out of what is left: of the margin, and of the wallet that backs the position. Isolated,
    never more than the isolated wallet is lost; cross, the wallet stops at zero.
    """
    held = account.position_amount
    row = bracket_of(abs(held) * price, terms, brackets)
    margin_left = max(booked_profit(position_margin(account, price, terms), abs(held) * price), 0.0)
    kept = 0.0
    if row > terms.first_bracket and margin_left > 0.0:
        kept = round_amount(held * (brackets[row, FLOOR] / (abs(held) * price)), terms)
        if kept == held:  # less than the tolerance above the cap
            kept = round_amount(held - np.sign(held) * terms.step_size, terms)
    amount = sum_of_amounts(kept, -held, terms)
    notional = abs(amount) * price
    realized = booked_profit(-amount * (price - account.entry_price), notional)
    # An order at a last price far from the mark price may have left the wallet with less than the isolated wallet.
    backing = min(account.isolated_wallet, account.wallet_balance) if terms.is_isolated else account.wallet_balance
    left_of_backing = sum_of_bookings(backing, realized)
    left = max(min(margin_left, left_of_backing), 0.0)
    fee = -min(booked(notional * terms.liquidation_fee), left)
    insurance = 0.0
    if kept == 0.0:
        insurance = max(-sum_of_bookings(left_of_backing, fee), 0.0)
    cash = sum_of_bookings(sum_of_bookings(realized, fee), insurance)
    isolated_wallet = sum_of_bookings(account.isolated_wallet, cash) if terms.is_isolated and kept != 0.0 else 0.0
    entry_price = account.entry_price if kept != 0.0 else 0.0
    after = Account(sum_of_bookings(account.wallet_balance, cash), kept, entry_price, isolated_wallet)
    return Liquidation(after, realized, notional, fee, insurance)


@kernel
def is_to_be_liquidated(account: Account, mark_price: float, terms: Terms, brackets: Brackets) -> bool:
    """Return whether a position's margin does not exceed its maintenance margin."""
    if account.position_amount == 0.0:
        return False
    maintenance = maintenance_margin(account, mark_price, terms, brackets)
    return position_margin(account, mark_price, terms) <= maintenance
