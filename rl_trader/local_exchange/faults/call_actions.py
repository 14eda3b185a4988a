"""What a fault can do to a call; each class is an action of the plan, its fields are those of the action."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.faults import effects
from rl_trader.local_exchange.faults.actions import CallAction
from rl_trader.local_exchange.faults.forms import ApiCall
from rl_trader.local_exchange.faults.paths import PLACING
from rl_trader.local_exchange.faults.reading import Amount, Count, Fraction, Length, Shift
from rl_trader.local_exchange.faults.stage import Inner, Stage, Steps
from rl_trader.local_exchange.protocol.request import Response
from rl_trader.local_exchange.protocol.statuses import StatusError
from rl_trader.local_exchange.refusal_texts import refused
from rl_trader.local_exchange.shells import interception
from rl_trader.local_exchange.shells.interception import Dropped, Outcome

_MESSAGES: Final = {
    "unknown": "Unknown error, please check your request or try again later.",
    "service": "Service Unavailable.",
}
_CODES: Final = {"internal": -1001, "throttled": -1008}
_UNAVAILABLE: Final = 503
_LIMITED: Final = 429
_FORBIDDEN: Final = 403
_TIMEOUT: Final = 408


def settled(outcome: Outcome) -> Steps:
    """Let a call have an outcome at once."""
    yield from ()
    return outcome


def instead(inner: Inner, answer: Response, carried_out: bool | None) -> Steps:
    """Let a call have another answer; one whose answer is lost in another way stays lost."""
    outcome = (yield from inner()) if carried_out else answer
    return answer if isinstance(outcome, Response) else outcome


@dataclass(frozen=True, kw_only=True)
class Delay(CallAction):
    """The request reaches the exchange late, or the answer the caller."""

    ms: Length
    of: Literal["request", "answer"] = "request"

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Wait before or behind the call."""
        if self.of == "request":
            yield self.ms
            return (yield from inner())
        outcome = yield from inner()
        yield self.ms
        return outcome


@dataclass(frozen=True, kw_only=True)
class DropRequest(CallAction):
    """The request is lost."""

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Carry nothing out and answer nothing."""
        return settled(Dropped())


@dataclass(frozen=True, kw_only=True)
class DropAnswer(CallAction):
    """The request is carried out and its answer lost."""

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Carry the call out and answer nothing."""
        yield from inner()
        return Dropped()


@dataclass(frozen=True, kw_only=True)
class Cut(CallAction):
    """The request is carried out and the connection ends within its answer."""

    at_byte: Length  # of the answer's body

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Carry the call out and answer in part."""
        outcome = yield from inner()
        return interception.Cut(outcome, self.at_byte) if isinstance(outcome, Response) else outcome


@dataclass(frozen=True, kw_only=True)
class Unavailable(CallAction):
    """Status 503 in one of its kinds.

    ``unknown`` says nothing of whether the call was carried out; ``service`` and ``internal`` say that it was not;
    ``throttled`` spares orders that only reduce or close.

    Raises:
        ConfigError: If ``carried_out`` is missing of ``unknown``, or there of another kind.
    """

    which: Literal["unknown", "service", "internal", "throttled"]
    carried_out: bool | None = None
    code: Shift | None = -1000  # of unknown and service, whose texts came with several codes and with none

    def __post_init__(self) -> None:
        if (self.which == "unknown") != (self.carried_out is not None):
            raise ConfigError(
                f"must have carried_out where which is unknown, and only there, and has {self.carried_out} where it is "
                f"{self.which}; correct it"
            )

    def spares(self, call: ApiCall) -> bool:
        """Return whether the call is of orders that only reduce or close, and those are exempt."""
        return self.which == "throttled" and call.endpoint in PLACING and all(map(_only_closes, call.orders))

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Answer with 503."""
        if self.which in _CODES:
            return settled(call.form.refuse(refused(_CODES[self.which])))
        code = {} if self.code is None else {"code": self.code}
        return instead(inner, call.form.says(_UNAVAILABLE, {**code, "msg": _MESSAGES[self.which]}), self.carried_out)


def _only_closes(order: Mapping[str, str]) -> bool:
    if "true" in (order.get("reduceOnly", "").lower(), order.get("closePosition", "").lower()):
        return True
    return (order.get("positionSide"), order.get("side")) in (("LONG", "SELL"), ("SHORT", "BUY"))


@dataclass(frozen=True, kw_only=True)
class Status(CallAction):
    """Another status: 408 with -1007, the others with a page of HTML.

    Raises:
        ConfigError: If a call that is forbidden would be carried out.
    """

    status: Literal[403, 408, 500, 502, 504]
    carried_out: bool

    def __post_init__(self) -> None:
        if self.carried_out and self.status == _FORBIDDEN:
            raise ConfigError("must have carried_out false with status 403 and has true; correct it")

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Answer with the status."""
        is_timeout = self.status == _TIMEOUT
        answer = call.form.refuse(refused(-1007)) if is_timeout else call.form.page(self.status)
        return instead(inner, answer, self.carried_out)


@dataclass(frozen=True, kw_only=True)
class RateLimit(CallAction):
    """Status 429: -1003 for the weight of requests, or -1015 for orders."""

    of: Literal["weight", "orders"] = "weight"
    retry_after_s: Length | None = None  # None sends no header

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Answer with 429."""
        terms = stage.venue.limits.terms
        error = refused(-1003, call.address, terms.weight_per_minute)
        if self.of == "orders":
            error = refused(-1015, terms.orders_per_10_s, "TEN_SECONDS")
        return settled(call.form.refuse(StatusError(_LIMITED, error.code, str(error), self.retry_after_s)))


@dataclass(frozen=True, kw_only=True)
class Ban(CallAction):
    """Status 418: the caller's address is banned, from this call on."""

    for_ms: Count  # of the session

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Ban the address, which is refused the call as well."""
        venue = stage.venue
        ban = effects.Banned(venue.limits.terms, call.address, self.for_ms, venue.session_ms())
        stage.effects.append(ban)
        return ban.around(stage, call, inner)


@dataclass(frozen=True, kw_only=True)
class Timestamp(CallAction):
    """The request is too late: for the exchange (-1021), or for its matching engine (-5028)."""

    code: Literal[-1021, -5028] = -1021

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Answer with the refusal."""
        return settled(call.form.refuse(refused(self.code)))


@dataclass(frozen=True, kw_only=True)
class ClockSkew(CallAction):
    """The server's clock is said to be elsewhere."""

    ms: Shift  # what is added

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Move ``serverTime`` of the answer."""
        outcome = yield from inner()
        result = call.form.result(outcome) if isinstance(outcome, Response) else None
        if isinstance(outcome, Response) and isinstance(result, dict) and isinstance(result.get("serverTime"), int):
            return call.form.with_result(outcome, result | {"serverTime": result["serverTime"] + self.ms})
        return outcome


@dataclass(frozen=True, kw_only=True)
class PartialFill(CallAction):
    """The order finds only an amount at the book's level, or a fraction of its own.

    Raises:
        ConfigError: If it has not one of both.
    """

    amount: Amount | None = None  # base asset
    fraction: Fraction | None = None

    def __post_init__(self) -> None:
        if (self.amount is None) == (self.fraction is None):
            raise ConfigError("must have amount or fraction and has both or none; keep one")

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Let the book be thin while the order is placed."""
        order = call.orders[0]
        quotes = stage.venue.exchange.quotes.get(order.get("symbol", ""))
        if quotes is not None and call.endpoint in PLACING:
            amount = self.amount if self.amount is not None else self._part(order.get("quantity", "0"), quotes)
            call.during.append(_thin(quotes, amount))
        return inner()

    @exact
    def _part(self, quantity: str, quotes: Quotes) -> Decimal:
        """Return whole steps of a quantity; nothing of what is no number."""
        assert self.fraction is not None
        step = quotes.contract.limit_step_size
        try:
            wanted = Decimal(quantity) * self.fraction
        except ArithmeticError:
            return Decimal(0)
        return wanted // step * step if wanted.is_finite() else Decimal(0)


@contextmanager
def _thin(quotes: Quotes, amount: Decimal) -> Iterator[None]:
    before = quotes.available
    quotes.available = amount if before is None else min(amount, before)
    try:
        yield
    finally:
        quotes.available = before


@dataclass(frozen=True, kw_only=True)
class ForgetOrder(CallAction):
    """The order is accepted, and queries do not find it for a while."""

    for_ms: Count  # of the session

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Forget what the call has placed."""
        outcome = yield from inner()
        result = call.form.result(outcome) if isinstance(outcome, Response) else None
        placed = result if isinstance(result, list) else [result]
        orders = [order for order in placed if isinstance(order, dict)]
        names = {str(order[name]) for order in orders for name in effects.ORDER_NAMES if name in order}
        if names and call.account is not None:
            until_ms = stage.venue.session_ms() + self.for_ms
            stage.effects.append(effects.Forgotten(call.account, frozenset(names), until_ms))
        return outcome


CALL_ACTIONS: Final[dict[str, type[CallAction]]] = {
    "delay": Delay,
    "drop_request": DropRequest,
    "drop_answer": DropAnswer,
    "cut": Cut,
    "unavailable": Unavailable,
    "status": Status,
    "rate_limit": RateLimit,
    "ban": Ban,
    "timestamp": Timestamp,
    "clock_skew": ClockSkew,
    "partial_fill": PartialFill,
    "forget_order": ForgetOrder,
}
