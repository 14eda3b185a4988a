"""Everything that can change the trader's state, in the form in which it is journalled.

Each event is a frozen record of plain values: the journal writes it as JSON and reads it back (:mod:`codec`). Prices in
USDT per unit of the base asset, amounts in base asset and signed, money in USDT, times in milliseconds since 1970 UTC
on the exchange's clock.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from rl_trader.live.core.caps import Caps

USDT: Final = "USDT"  # the wallet's asset


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The process has begun, or begun again; nothing is known of what happened since."""

    t_ms: int
    epoch: int  # number of the start by this journal
    tag: str = ""  # by which its client ids are told from those of another journal's
    caps: Caps | None = None  # that hold from now on; none leaves those of before


@dataclass(frozen=True, slots=True, kw_only=True)
class FillSeen:
    """One trade of the account, by an event or a question."""

    t_ms: int
    trade_id: int
    order_id: int
    client_id: str | None  # None where only the order's number is known
    amount: Decimal  # signed
    price: Decimal
    realized: Decimal
    commission: Decimal  # positive where it was paid
    commission_asset: str = USDT

    @property
    def fee(self) -> Decimal:
        """What the wallet of USDT has paid; fees in BNB are taken from BNB of the account, and not from it."""
        return self.commission if self.commission_asset == USDT else Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSeen:
    """Where an order stands, by an event or a question."""

    t_ms: int
    client_id: str
    order_id: int | None
    status: str  # the exchange's word
    executed: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSeen:
    """Wallet and position, by an event of the account."""

    t_ms: int
    wallet_balance: Decimal
    amount: Decimal
    entry_price: Decimal
    isolated_wallet: Decimal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomeSeen:
    """A booking that is no trade: funding, insurance, transfer."""

    t_ms: int
    kind: str
    tran_id: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the exchange says of the account in one consistent reading."""

    t_ms: int
    wallet_balance: Decimal
    amount: Decimal
    entry_price: Decimal
    isolated_wallet: Decimal
    fills: tuple[FillSeen, ...]  # since the newest that was known
    income: tuple[IncomeSeen, ...]  # likewise
    open_orders: tuple[OrderSeen, ...]
    open_stops: tuple[OrderSeen, ...]
    is_user_stream_healthy: bool  # since before it was read
    liquidation_price: Decimal = Decimal(0)  # of the position; 0 is none, or not told
    listed: tuple[OrderSeen, ...] = ()  # orders that were looked for among all of their time, and are there
    searched: tuple[str, ...] = ()  # client ids of those that were looked for so, whether or not they are there


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFailed:
    """The account could not be read."""

    t_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """The process stood still: what it knows is old, and what it was about to do was meant for another moment."""

    t_ms: int
    gap_ms: int  # for so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """An intent is being written to a socket."""

    t_ms: int
    client_id: str
    fence_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back for an intent."""

    t_ms: int
    client_id: str
    outcome: str  # ACKED, REJECTED or UNKNOWN
    code: int | None
    reason: str
    order_id: int | None
    status: str  # the exchange's word, empty where there is none
    executed: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Queried:
    """What came back for the question where an order is."""

    t_ms: int
    client_id: str
    is_absent: bool  # the exchange said that there is no such order; else the question was not answered


@dataclass(frozen=True, slots=True, kw_only=True)
class AllCancelled:
    """The exchange has cancelled every ordinary order of the symbol: nothing that it had by then rests any more."""

    t_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BarClosed:
    """A bar is over and the series has no hole before it."""

    t_ms: int
    open_ms: int
    close: Decimal
    mark_close: Decimal
    mark_ms: int | None = None  # of when the mark price is; None is the bar's end, 0 that there was none


@dataclass(frozen=True, slots=True, kw_only=True)
class BarSkipped:
    """Nothing is decided on a bar."""

    t_ms: int
    open_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRevised:
    """The exchange tells a bar with other numbers than those that were decided upon."""

    t_ms: int
    open_ms: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the policy wants."""

    t_ms: int
    open_ms: int  # of the bar that was observed
    observation_sha: str
    action: str
    target: Decimal  # fraction of the largest exposure
    reduce_amount: Decimal  # signed; 0 is no leg
    open_amount: Decimal
    fault: str  # why nothing is decided; empty where all is well
    limit_price: Decimal | None = None  # of both legs, post-only until the next bar's end; None are market orders
    memory: str = ""  # what the policy remembers at the next bar, hexadecimal; empty where it remembers nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A timer that a command has set."""

    t_ms: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSeen:
    """Whether market data arrive; only changes are events."""

    t_ms: int
    is_alive: bool
    mark_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsSeen:
    """How account and symbol are set up; None is what was not told."""

    t_ms: int
    leverage: int | None = None
    margin_type: str | None = None  # the exchange's word
    is_hedged: bool | None = None
    is_multi_assets: bool | None = None
    can_trade: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolSeen:
    """The symbol's status and filters."""

    t_ms: int
    status: str  # the exchange's word
    tick_size: Decimal
    step_size: Decimal  # of market orders
    min_notional: Decimal
    max_quantity: Decimal | None = None  # of a market order; None was not told
    min_quantity: Decimal | None = None  # likewise
    limit_step_size: Decimal | None = None  # of limit orders; None was not told
    limit_min_quantity: Decimal | None = None
    limit_max_quantity: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Banned:
    """The exchange answers nothing before a time."""

    t_ms: int
    until_ms: int
    machine_until_ms: int  # the same on the machine's clock, which a process that begins anew has alone


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    """Somebody, or a limit, wants no more entries, or out."""

    t_ms: int
    kind: str  # HALT or KILL
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A person has cleared the stop."""

    t_ms: int
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmedUntil:
    """A person lets the trader enter until a time, and not after it."""

    t_ms: int
    until_ms: int
    how: str


Event = (
    Started
    | FillSeen
    | OrderSeen
    | AccountSeen
    | IncomeSeen
    | Snapshot
    | SnapshotFailed
    | Suspended
    | Sending
    | Answered
    | Queried
    | AllCancelled
    | BarClosed
    | BarSkipped
    | BarRevised
    | Decided
    | TimerFired
    | MarketSeen
    | SettingsSeen
    | SymbolSeen
    | Banned
    | StopAsked
    | Resumed
    | ArmedUntil
)
