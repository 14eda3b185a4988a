"""What a person sees of a trader at one moment: plain values, for the terminal, the page and the commands alike.

Prices in USDT per unit of the base asset, amounts in base asset and signed, money in USDT, times in milliseconds since
1970 UTC on the exchange's clock, durations in milliseconds. As JSON (:func:`as_json`) decimals are text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rl_trader.live.core.codec import decode, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """The account and its position, at the mark price."""

    equity: Decimal
    wallet_balance: Decimal
    amount: Decimal
    entry_price: Decimal  # 0 without a position
    mark_price: Decimal
    unrealized_pnl: Decimal
    exposure: float  # notional over equity, signed
    margin_ratio: float  # maintenance margin over the position's margin; 0 without a position
    liquidation_price: float | None  # by the run's terms; None where no price liquidates
    day_pnl: Decimal  # since 00:00 UTC, unrealised profit included
    drawdown: float  # fraction of the highest equity


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """What the policy wanted."""

    t_ms: int
    open_ms: int  # of the bar that was observed
    action: str
    target: Decimal  # fraction of the largest exposure
    reduce_amount: Decimal
    open_amount: Decimal
    fault: str  # why nothing was decided; empty where all was well


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """An order as it is meant, how far it has come, and how long that took."""

    client_id: str
    t_ms: int  # when it was journalled
    purpose: str
    side: str
    amount: Decimal
    trigger_price: Decimal | None  # of a protective order
    state: str
    executed: Decimal  # not negative
    reason: str  # of a refusal
    latency_ms: float | None = None  # from the journal to the exchange's answer, on this machine's clock
    after_close_ms: int | None = None  # from the end of the decided bar until it was sent; None if nothing was decided


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthView:
    """Whether all that the trader needs is there."""

    is_market_alive: bool
    is_user_stream_up: bool
    is_reconciled: bool
    reconciled_age_ms: int | None  # since the account was what its bookings sum to; None if it never was
    failed_readings: int  # of the account, in a row
    unknown_orders: int
    clock_error_ms: int | None  # of the exchange's time as it is known here, at most
    weight_used: int  # of the exchange's limit, this minute
    weight_limit: int
    loop_lag_ms: float  # the longest of the last half minute
    monitor_faults: int  # what could not be shown


@dataclass(frozen=True, slots=True, kw_only=True)
class StopView:
    """Why nothing is entered any more."""

    kind: str  # HALT or KILL
    reason: str
    since_ms: int | None  # None if it is from before this start


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """What a person was told."""

    t_ms: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that is shown."""

    run: str
    mode: str  # the venue
    symbol: str
    interval: str
    epoch: int  # how often the journal was opened
    started_ms: int
    time_ms: int
    phase: str  # TRADING, WAITING, HALTED or KILLED
    armed_until_ms: int | None  # when entries end; None where no money is at stake
    account: AccountView | None  # None until it is known
    decisions: tuple[DecisionView, ...]  # newest first
    open_orders: tuple[OrderView, ...]
    open_stops: tuple[OrderView, ...]
    last_orders: tuple[OrderView, ...]  # newest first, whether they are over or not
    health: HealthView
    stop: StopView | None
    curve_ms: tuple[int, ...]  # of the equity since the start, oldest first
    curve_equity: tuple[float, ...]  # USDT, at each of these times
    alerts: tuple[AlertView, ...]  # newest first

    @property
    def decision_age_ms(self) -> int | None:
        """Age of the last decision; None if there is none."""
        return self.time_ms - self.decisions[0].t_ms if self.decisions else None


def as_json(view: View) -> dict[str, Any]:
    """Return a view as JSON values."""
    return encode(view)


def from_json(body: Mapping[str, Any]) -> View:
    """Return the view that :func:`as_json` made.

    Raises:
        CodecError: If its fields are others.
    """
    return decode(View, body)
