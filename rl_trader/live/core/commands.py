"""What the core wants done; shells do it and tell what came of it as events."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from rl_trader.live.core.intents import Intent


class Sought(NamedTuple):
    """An order that is looked for among all orders of its time."""

    client_id: str
    since_ms: int  # when it can have been accepted first
    until_ms: int


@dataclass(frozen=True, slots=True)
class Place:
    """Send an order. Its intent is journalled before; it is sent once and never again."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take an order back; harmless where there is none."""

    client_id: str
    is_conditional: bool


@dataclass(frozen=True, slots=True)
class Countdown:
    """Have the exchange cancel the symbol's open orders after a time, unless this is said again; 0 calls it off."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class CancelAll:
    """Take back every ordinary order of the symbol, also one that the exchange does not find by its client id."""


@dataclass(frozen=True, slots=True)
class Query:
    """Ask where an order is."""

    client_id: str
    is_conditional: bool


@dataclass(frozen=True, slots=True)
class QueryNumber:
    """Ask whose an order is of which only the exchange's number is known, from a trade."""

    order_id: int


@dataclass(frozen=True, slots=True)
class ReadAccount:
    """Read everything that the exchange says of the account, as a :class:`~rl_trader.live.core.events.Snapshot`."""

    why: str


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """Read how account and symbol are set up, as :class:`~rl_trader.live.core.events.SettingsSeen`."""


@dataclass(frozen=True, slots=True)
class ReadSymbol:
    """Read the symbol's status and filters, as a :class:`~rl_trader.live.core.events.SymbolSeen`."""

    why: str


@dataclass(frozen=True, slots=True)
class Decide:
    """Ask the policy, on a bar and the account at its close."""

    open_ms: int
    wallet_balance: Decimal
    amount: Decimal
    entry_price: Decimal
    isolated_wallet: Decimal
    bars_held: int
    memory: str = ""  # of the policy, as its decision on the bar before has left it; empty where there was none


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire an event after a time; a timer of the same name is replaced."""

    name: str
    after_ms: int


@dataclass(frozen=True, slots=True)
class RebuildStream:
    """Make another connection for the account's events: something has happened that the present one has not told."""

    why: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell a person."""

    text: str


Command = (
    Place
    | Cancel
    | CancelAll
    | Countdown
    | Query
    | QueryNumber
    | ReadAccount
    | ReadSettings
    | ReadSymbol
    | Decide
    | SetTimer
    | RebuildStream
    | Alert
)
