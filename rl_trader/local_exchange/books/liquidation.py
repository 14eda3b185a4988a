"""Where a position is liquidated, and what a liquidation does to the account.

The liquidation price is that of the FAQ of Binance futures "How to Calculate Liquidation Price of USD-M Futures
Contracts", in the bracket that applies at that price. How a position is taken away is described in the FAQ "Liquidation
Protocols" without numbers (both read in autumn 2026); that each step goes down to the floor of its bracket, and that
the insurance fund bears what is beyond the money behind the position, is an assumption.

Prices in USDT per unit of the base asset, amounts in base asset and signed, money in USDT with the sign of the
wallet's change. ``marks`` are mark prices by symbol, of the other cross positions at the least.
"""

from decimal import Decimal
from typing import Final

from rl_trader.local_exchange.books.account import Account
from rl_trader.local_exchange.books.income import IncomeKind, IncomeLine
from rl_trader.local_exchange.books.money import ZERO, booked, denoised, exact
from rl_trader.local_exchange.books.positions import FLAT, Marks, Position, checked_mark
from rl_trader.local_exchange.books.terms import Bracket, SymbolTerms

INFINITE: Final = Decimal("Infinity")


@exact
def liquidation_price(account: Account, symbol: str, marks: Marks) -> Decimal:
    """Return the mark price at which the position's margin equals its maintenance margin, 0 if there is none."""
    position = account.positions[account.setting(symbol).terms.symbol]
    if not position.amount:
        return ZERO
    brackets = account.setting(symbol).terms.brackets
    return max(solve_liquidation_price(position, account.collateral(symbol, marks), brackets), ZERO)


@exact
def solve_liquidation_price(position: Position, collateral: Decimal, brackets: tuple[Bracket, ...]) -> Decimal:
    """Return where collateral + q * (p - entry) = abs(q) * p * rate - amount; below zero, no price above it is one.

    A long's margin in excess of the maintenance margin rises with the price, a short's falls. The search begins where
    it is positive, so that where a rounded maintenance amount makes a step at a bracket's edge the first price counts
    that is not enough, and that is the edge where no bracket has a solution of its own.
    """
    q = position.amount
    size = abs(q)
    base = collateral - q * position.entry_price
    if q > 0:
        for bracket in brackets[:0:-1]:
            price = (base + bracket.amount) / (size * bracket.rate - q)
            if size * price > bracket.floor:
                return price if bracket is brackets[-1] else min(price, bracket.cap / size)
        price = base / (size * brackets[0].rate - q)
        return price if len(brackets) == 1 else min(price, brackets[0].cap / size)
    for bracket in brackets:
        price = (base + bracket.amount) / (size * bracket.rate - q)
        if size * price <= bracket.cap:
            break
    return price if bracket is brackets[0] else max(price, bracket.floor / size)


@exact
def bankruptcy_price(account: Account, symbol: str) -> Decimal:
    """Return the price at which the position has lost all that stands behind it, 0 if there is none."""
    backing, position = account.backing(symbol), account.positions[symbol]
    return position.entry_price - backing / position.amount if position.amount else ZERO


@exact
def margin_ratio(account: Account, symbol: str, marks: Marks) -> Decimal:
    """Return maintenance margin over position margin: at 1 the position is liquidated; infinite without margin."""
    margin = account.position_margin(symbol, marks)
    maintenance_margin = account.maintenance_margin(symbol, marks[symbol])
    if not maintenance_margin:
        return ZERO
    return maintenance_margin / margin if margin > 0 else INFINITE


@exact
def liquidate(account: Account, symbol: str, mark_price: Decimal, marks: Marks) -> tuple[IncomeLine, ...]:
    """Take away so much of a position, at a mark price, that the rest has enough margin.

    1. In any bracket but the lowest, and with a unit of margin left, what is above the bracket's floor goes; else
       everything.
    2. That part's profit is realised and the liquidation fee paid, out of the margin that was left, and out of the
       money behind the position, and no more.
    3. Where nothing is kept, the insurance fund bears the loss beyond what stood behind the position.
    4. It ends when nothing is left, or when the margin is above the maintenance margin.

    Args:
        account: Changed in place.
        symbol: Of a position that is held.
        mark_price: At which it is liquidated.
        marks: Of the other cross positions.
    """
    checked_mark(symbol, mark_price)
    lines: list[IncomeLine] = []
    while (position := account.positions[symbol]).amount:
        margin = account.collateral(symbol, marks) + position.unrealized_pnl(mark_price)
        if lines and denoised(margin - account.maintenance_margin(symbol, mark_price)) > 0:
            break
        lines += _liquidate_part(account, symbol, mark_price, margin)
    return tuple(lines)


def _liquidate_part(account: Account, symbol: str, mark_price: Decimal, margin: Decimal) -> list[IncomeLine]:
    terms, position = account.setting(symbol).terms, account.positions[symbol]
    isolated_wallet, is_isolated = position.isolated_wallet, account.setting(symbol).is_isolated
    # A trade at a last price far from the mark price may have left less in the wallet than is set aside.
    backing = min(account.backing(symbol), account.wallet_balance)
    kept = _kept_amount(terms, position, mark_price) if booked(margin) > 0 else ZERO
    part = position.amount - kept
    account.positions[symbol] = FLAT
    realized = account.book(IncomeKind.REALIZED_PNL, symbol, part * (mark_price - position.entry_price))
    left = backing + realized.amount
    fee = min(abs(part) * mark_price * terms.liquidation_fee, max(min(margin, left), ZERO))
    charged = account.book(IncomeKind.LIQUIDATION_FEE, symbol, -fee)
    left += charged.amount
    if kept:
        isolated_wallet += realized.amount + charged.amount
        account.positions[symbol] = Position(kept, position.entry_price, isolated_wallet if is_isolated else ZERO)
    elif left < 0:
        return [realized, charged, account.book(IncomeKind.INSURANCE, symbol, -left)]
    return [realized, charged]


def _kept_amount(terms: SymbolTerms, position: Position, mark_price: Decimal) -> Decimal:
    """Return the whole steps that have at most the notional of the bracket's floor; fewer than are held."""
    floor = terms.bracket(denoised(position.notional(mark_price))).floor
    steps = floor // (mark_price * terms.step_size)
    return (steps * terms.step_size).copy_sign(position.amount)
