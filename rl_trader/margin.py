"""What the exchange's margin calculator answers about one position, out of the account arithmetic of the replay.

``scripts.margin`` prints it. A position stands for itself: nothing is recorded, and no fee is charged.

Sources (read 2026-10): Binance FAQ "Leverage and Margin" and "How to Calculate Liquidation Price", whose cross wallet
also bears the other positions: their unrealized PnL counts towards the margin, and their maintenance margin is needed
beside the position's own.

Units: prices in USDT per unit of the base asset, amounts in the base asset, money in USDT, ratios as fractions.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from rl_trader import ledger
from rl_trader.config import TradingConfig
from rl_trader.contract import ContractTerms
from rl_trader.errors import ConfigError
from rl_trader.ledger import Account
from rl_trader.numeric import is_number
from rl_trader.trading import kernel_terms

Side = Literal["long", "short"]
Mode = Literal["isolated", "cross"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionMargin:
    """A position, and what it needs, where it ends and what it has earned."""

    symbol: str
    side: Side
    mode: Mode
    leverage: int
    entry_price: float  # USDT
    amount: float  # base asset, not signed
    wallet_balance: float  # USDT that back the position: its isolated wallet, or the cross wallet
    notional: float  # USDT at the entry price
    initial_margin: float  # USDT at the entry price
    maintenance_margin: float  # USDT at ``price``, or at the entry price where there is none
    margin_ratio: float  # of maintenance margin to margin balance, there; 1 where the position is liquidated
    liquidation_price: float  # USDT, of the mark price; 0 where no price liquidates
    bankruptcy_price: float  # USDT, of the mark price; 0 where no price takes all that backs the position
    max_notional: float  # USDT, the brackets' limit at this leverage
    price: float | None  # USDT, of the mark price at which the position is looked at
    unrealized_pnl: float | None  # USDT at ``price``
    roe: float | None  # unrealized PnL over the initial margin
    terms_read_on: str  # ISO date
    brackets_read_on: str | None  # ISO date; None where the file that recorded them has none
    inferred: tuple[str, ...]  # terms that no answer of the exchange about the symbol and the account has

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(
                    f"{field.name} must be a number that a computer can hold and comes out as {value}; "
                    "give an amount and prices of ordinary size"
                )


@np.errstate(over="ignore")  # an infinite figure is refused when it is stored
def position_margin(
    terms: ContractTerms,
    *,
    side: Side,
    mode: Mode,
    leverage: float,
    entry_price: float,
    amount: float,
    wallet_balance: float,
    price: float | None = None,
    other_maintenance_margin: float = 0.0,
    other_unrealized_pnl: float = 0.0,
) -> PositionMargin:
    """Return the margin figures of a position.

    Args:
        terms: Of the position's symbol.
        side: ``long`` or ``short``.
        mode: ``isolated`` or ``cross``.
        leverage: Set on the symbol.
        entry_price: USDT; as an average it may lie between ticks.
        amount: Base asset, positive on either side; may lie between steps.
        wallet_balance: USDT, of the isolated or the cross wallet.
        price: Mark price in USDT at which to look at the position, if not at its entry.
        other_maintenance_margin: USDT, of all other positions of the cross wallet.
        other_unrealized_pnl: USDT, likewise.

    Raises:
        ConfigError: If a number is not positive or not finite, a word is none of those above, the isolated wallet is
            said to bear other positions, or the exchange refuses a position of this size at the leverage.
        ContractError: If the symbol does not allow the leverage.
    """
    _check_choices(side, mode)
    entry_price, amount = _positive("entry price", entry_price), _positive("amount", amount)
    wallet_balance = _positive("wallet balance", wallet_balance)
    price = None if price is None else _positive("price", price)
    _check_others(mode, other_maintenance_margin, other_unrealized_pnl)
    terms.check_leverage(leverage)
    notional = amount * entry_price
    _check_notional(terms, leverage, notional)
    table, brackets = kernel_terms([terms], TradingConfig(leverage=int(leverage), margin_mode=mode))
    record: Any = table.view(np.recarray)[0]
    position_amount = amount if side == "long" else -amount
    backing = wallet_balance + other_unrealized_pnl
    account = _account(backing, position_amount, entry_price, mode)
    at_liquidation = _account(backing - other_maintenance_margin, position_amount, entry_price, mode)
    mark_price = entry_price if price is None else price
    initial_margin = ledger.initial_margin(account, entry_price, record)
    margin = ledger.position_margin(account, mark_price, record)
    ratio = ledger.margin_ratio(account, mark_price, record, brackets)
    pnl = None if price is None else ledger.unrealized_pnl(account, price)
    return PositionMargin(
        symbol=terms.symbol,
        side=side,
        mode=mode,
        leverage=int(leverage),
        entry_price=entry_price,
        amount=amount,
        wallet_balance=wallet_balance,
        notional=notional,
        initial_margin=initial_margin,
        maintenance_margin=ledger.maintenance_margin(account, mark_price, record, brackets),
        margin_ratio=min(ratio + other_maintenance_margin / margin, 1.0) if margin > 0.0 else ratio,
        liquidation_price=ledger.liquidation_price(at_liquidation, record, brackets),
        bankruptcy_price=ledger.bankruptcy_price(account, record),
        max_notional=terms.max_notional(leverage),
        price=price,
        unrealized_pnl=pnl,
        roe=None if pnl is None else pnl / initial_margin,
        terms_read_on=terms.read_on,
        brackets_read_on=terms.brackets_read_on,
        inferred=terms.inferred,
    )


def _account(backing: float, position_amount: float, entry_price: float, mode: Mode) -> Account:
    return Account(backing, position_amount, entry_price, backing if mode == "isolated" else 0.0)


def _check_choices(side: str, mode: str) -> None:
    for name, value, choices in (("side", side, get_args(Side)), ("mode", mode, get_args(Mode))):
        if value not in choices:
            raise ConfigError(f"{name} must be {' or '.join(choices)}, was {value!r}; choose one of them")


def _positive(name: str, value: float) -> float:
    if not (is_number(value) and value > 0.0):
        raise ConfigError(f"{name} must be a positive number, was {value!r}; give one")
    return float(value)


def _check_others(mode: Mode, maintenance_margin: float, unrealized_pnl: float) -> None:
    if not (is_number(maintenance_margin) and maintenance_margin >= 0.0):
        raise ConfigError(f"other maintenance margin must be a number from 0 on, was {maintenance_margin!r}; give one")
    if not is_number(unrealized_pnl):
        raise ConfigError(f"other unrealized PnL must be a number, was {unrealized_pnl!r}; give one")
    if mode == "isolated" and (maintenance_margin, unrealized_pnl) != (0.0, 0.0):
        raise ConfigError(
            f"an isolated position must stand for itself, but other positions were given maintenance margin "
            f"{maintenance_margin!r} and unrealized PnL {unrealized_pnl!r}; leave them out, or choose mode cross"
        )


def _check_notional(terms: ContractTerms, leverage: float, notional: float) -> None:
    limit = terms.max_notional(leverage)
    if not (notional / leverage > 0.0 and notional <= limit):
        raise ConfigError(
            f"the notional of a {terms.symbol} position must be above 0 and at most {limit:,.10g} USDT at leverage "
            f"{leverage:g} (the exchange refuses more with code -2027), was {notional:,.10g}; change one of the two"
        )
