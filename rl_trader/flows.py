"""What a bar books: sums by kind, events, and every line where lines are kept.

Money carries the sign of the wallet's change. A function for each thing that can be booked; ``fills`` and ``path`` say
when it is.
"""

from typing import NamedTuple

from rl_trader.bookings import sum_of_bookings
from rl_trader.income import (
    COMMISSION,
    FUNDING_FEE,
    INSURANCE,
    LIQUIDATION_FEE,
    REALIZED_PNL,
    Lines,
    write_line,
)
from rl_trader.kernels import kernel
from rl_trader.ledger import Account, Fill, Liquidation


class Flows(NamedTuple):
    """What a bar booked so far, and its events."""

    realized_pnl: float  # USDT, of fills and liquidations, before fees
    fees: float  # USDT, not positive
    slippage: float  # USDT, not positive; no booking, but a part of the realized or unrealized PnL
    funding: float  # USDT
    liquidation: float  # USDT: liquidation fees and what the insurance fund bore
    insurance: float  # USDT, not negative: the part of it that the insurance fund bore
    traded_notional: float  # USDT
    events: int  # sum of the event bits of ``state``
    num_lines: int
    lines: Lines


class Progress(NamedTuple):
    """An account somewhere inside a bar."""

    account: Account
    flows: Flows


@kernel
def begin(account: Account, lines: Lines) -> Progress:
    """Return an account at the begin of a bar, before anything is booked."""
    return Progress(account, Flows(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, lines))


@kernel
def with_event(progress: Progress, event: int) -> Progress:
    """Note an event."""
    f = progress.flows
    flows = Flows(
        f.realized_pnl,
        f.fees,
        f.slippage,
        f.funding,
        f.liquidation,
        f.insurance,
        f.traded_notional,
        f.events | event,
        f.num_lines,
        f.lines,
    )
    return Progress(progress.account, flows)


@kernel
def with_funding(progress: Progress, account: Account, cash: float) -> Progress:
    """Book a funding settlement that left ``account``."""
    f = progress.flows
    num_lines = f.num_lines
    if account.position_amount != 0.0:
        num_lines = write_line(f.lines, num_lines, FUNDING_FEE, cash, account.wallet_balance)
    flows = Flows(
        f.realized_pnl,
        f.fees,
        f.slippage,
        f.funding + cash,
        f.liquidation,
        f.insurance,
        f.traded_notional,
        f.events,
        num_lines,
        f.lines,
    )
    return Progress(account, flows)


@kernel
def with_fill(progress: Progress, fill: Fill, notional: float, slippage: float, event: int) -> Progress:
    """Book a fill of an order."""
    f = progress.flows
    num_lines = f.num_lines
    before = progress.account
    if abs(fill.account.position_amount) < abs(before.position_amount):
        wallet_balance = sum_of_bookings(before.wallet_balance, fill.realized_pnl)
        num_lines = write_line(f.lines, num_lines, REALIZED_PNL, fill.realized_pnl, wallet_balance)
    num_lines = write_line(f.lines, num_lines, COMMISSION, fill.fee, fill.account.wallet_balance)
    flows = Flows(
        f.realized_pnl + fill.realized_pnl,
        f.fees + fill.fee,
        f.slippage + slippage,
        f.funding,
        f.liquidation,
        f.insurance,
        f.traded_notional + notional,
        f.events | event,
        num_lines,
        f.lines,
    )
    return Progress(fill.account, flows)


@kernel
def with_liquidation(progress: Progress, part: Liquidation, event: int) -> Progress:
    """Book what a liquidation took at once."""
    f = progress.flows
    before = progress.account.wallet_balance
    realized = sum_of_bookings(before, part.realized_pnl)
    charged = sum_of_bookings(realized, part.fee)
    num_lines = write_line(f.lines, f.num_lines, REALIZED_PNL, part.realized_pnl, realized)
    num_lines = write_line(f.lines, num_lines, LIQUIDATION_FEE, part.fee, charged)
    if part.insurance > 0.0:
        num_lines = write_line(f.lines, num_lines, INSURANCE, part.insurance, part.account.wallet_balance)
    flows = Flows(
        f.realized_pnl + part.realized_pnl,
        f.fees,
        f.slippage,
        f.funding,
        f.liquidation + part.fee + part.insurance,
        f.insurance + part.insurance,
        f.traded_notional + part.notional,
        f.events | event,
        num_lines,
        f.lines,
    )
    return Progress(part.account, flows)


@kernel
def with_deficit_borne(progress: Progress) -> Progress:
    """Let the insurance fund bear what the wallet of a flat account is below zero.

    That can arise where an order closes a position at a last price which has left the mark price behind.
    """
    account = progress.account
    if account.wallet_balance >= 0.0 or account.position_amount != 0.0:
        return progress
    borne = -account.wallet_balance
    f = progress.flows
    num_lines = write_line(f.lines, f.num_lines, INSURANCE, borne, 0.0)
    flows = Flows(
        f.realized_pnl,
        f.fees,
        f.slippage,
        f.funding,
        f.liquidation + borne,
        f.insurance + borne,
        f.traded_notional,
        f.events,
        num_lines,
        f.lines,
    )
    return Progress(Account(0.0, 0.0, 0.0, 0.0), flows)
