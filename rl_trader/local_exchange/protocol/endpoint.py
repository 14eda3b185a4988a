"""What an endpoint is: where it is reached, who may, what it takes, what it weighs and who answers it.

Sources: the API documentation of USD-M futures, "General Info" (read in autumn 2026): NONE needs nothing,
MARKET_DATA and USER_STREAM need a key, TRADE and USER_DATA need a key, a timestamp and a signature.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from rl_trader.local_exchange.engine.trader import Trader
    from rl_trader.local_exchange.venue import Venue


class Security(Enum):
    """What a caller must show."""

    NONE = "NONE"
    MARKET_DATA = "MARKET_DATA"
    USER_STREAM = "USER_STREAM"
    TRADE = "TRADE"
    USER_DATA = "USER_DATA"

    @property
    def is_signed(self) -> bool:
        """Whether a timestamp and a signature are needed."""
        return self in (Security.TRADE, Security.USER_DATA)


class Kind(Enum):
    """What a parameter is read as."""

    TEXT = "text"  # str
    WHOLE = "whole"  # int, 64 bits
    DECIMAL = "decimal"  # Decimal, below 1e14 in size
    TRUTH = "truth"  # bool, from "true" or "false" in any case; anything else is refused with ``choice_code``
    SYMBOL = "symbol"  # str; one of the venue's symbols, else -1121
    INTERVAL = "interval"  # str; one of the exchange's kline intervals, else -1120
    JSON = "json"  # list or dict; numbers with a point or an exponent are str, as they were written


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an endpoint."""

    name: str
    kind: Kind = Kind.TEXT
    is_required: bool = False
    default: object = None
    choices: tuple[str, ...] = ()  # of a text or, as text, a whole number; another is refused with ``choice_code``
    choice_code: int = -1130
    least: int | None = None  # of a whole number
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that has passed every check of the protocol."""

    venue: "Venue"
    account: "Trader | None"  # whose key it was; None where no key is needed
    arguments: Mapping[str, object]  # every parameter of the endpoint; None where it was not sent
    address: str  # of the caller
    sent: frozenset[str] = field(default_factory=frozenset)  # names that were sent, also unknown ones

    @property
    def trader(self) -> "Trader":
        """The account of a call that needs one."""
        assert self.account is not None
        return self.account

    def text(self, name: str) -> str:
        """Return a text that is there."""
        return cast("str", self.arguments[name])

    def whole(self, name: str) -> int:
        """Return a whole number that is there."""
        return cast("int", self.arguments[name])

    def decimal(self, name: str) -> Decimal:
        """Return a decimal that is there."""
        return cast("Decimal", self.arguments[name])

    def maybe_text(self, name: str) -> str | None:
        """Return a text or None."""
        return cast("str | None", self.arguments[name])

    def maybe_whole(self, name: str) -> int | None:
        """Return a whole number or None."""
        return cast("int | None", self.arguments[name])

    def maybe_decimal(self, name: str) -> Decimal | None:
        """Return a decimal or None."""
        return cast("Decimal | None", self.arguments[name])

    def truth(self, name: str) -> bool:
        """Return a truth value, False where it was not sent."""
        return bool(self.arguments[name])


Weight = int | Callable[[Mapping[str, object]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path, or one method of the WebSocket API (``path`` is its name then)."""

    method: str  # GET, POST, PUT, DELETE; "" in the WebSocket API
    path: str
    answer: Callable[[Call], object]  # plain data for JSON; raises RefusedError
    security: Security = Security.NONE
    weight: Weight = 1  # of the address's budget
    budget: str = ""  # of requests, besides the weight; its name in the terms of the limits
    order_count: tuple[int, int] = (0, 0)  # of the account's budgets of 10 seconds and of a minute
    parameters: tuple[Parameter, ...] = ()
