"""How much a caller may ask for: request weights per address, orders per account, and bans.

Sources: ``GET /fapi/v1/exchangeInfo`` of September 2026 (2400 of weight a minute, 300 orders in 10 seconds and 1200 a
minute), the API documentation of USD-M futures, "General Info" and the endpoints' pages (500 requests in 5 minutes for
``fundingRate`` and ``fundingInfo`` together, 1000 for ``/futures/data``; bans of 2 minutes up to 3 days, longer with
repetition). Texts as recorded by users.

Assumptions, since the exchange does not publish them: counts start again with each full minute, 10 seconds or 5 minutes
of the clock; what is refused counts as well, except for orders; an address is banned when it was refused more than
``tolerated_refusals`` times with no quiet minute in between; each further ban is twice as long.

Times are milliseconds of the session's clock.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rl_trader.local_exchange.protocol.statuses import StatusError

MINUTE_MS: Final = 60_000
TEN_SECONDS_MS: Final = 10_000
FUNDING_BUDGET: Final = "funding"
DATA_BUDGET: Final = "data"

_MS_PER_S: Final = 1_000
_REQUESTS: Final = (
    "Too many requests; current limit of IP({}) is {} requests per {}. Please use the websocket for live updates to "
    "avoid polling the API."
)
_BANNED: Final = (
    "Way too many requests; IP({}) banned until {}. Please use the websocket for live updates to avoid bans."
)
_ORDERS: Final = "Too many new orders; current limit is {} orders per {}."
_LIMITED: Final = 429
_BAN: Final = 418


@dataclass(frozen=True, slots=True)
class Budget:
    """So many in such a time."""

    most: int
    per_ms: int


def _request_budgets() -> dict[str, Budget]:
    return {FUNDING_BUDGET: Budget(500, 5 * MINUTE_MS), DATA_BUDGET: Budget(1_000, 5 * MINUTE_MS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitTerms:
    """The limits; by default the exchange's."""

    weight_per_minute: int = 2_400
    """Request weight per address."""
    orders_per_10_s: int = 300
    """New and changed orders per account."""
    orders_per_minute: int = 1_200
    """New and changed orders per account."""
    budgets: Mapping[str, Budget] = field(default_factory=_request_budgets)
    """Name of a group of endpoints -> how many requests an address may send to it."""
    tolerated_refusals: int = 100
    """How often an address may go on after it was refused before it is banned."""
    first_ban_ms: int = 2 * MINUTE_MS
    """How long the first ban is."""
    longest_ban_ms: int = 3 * 24 * 60 * MINUTE_MS
    """No ban is longer."""

    def rows(self) -> list[dict[str, object]]:
        """Return the limits as ``GET /fapi/v1/exchangeInfo`` lists them."""
        return [
            _row("REQUEST_WEIGHT", "MINUTE", 1, self.weight_per_minute),
            _row("ORDERS", "MINUTE", 1, self.orders_per_minute),
            _row("ORDERS", "SECOND", 10, self.orders_per_10_s),
        ]


UNLIMITED: Final = LimitTerms(
    weight_per_minute=2**62, orders_per_10_s=2**62, orders_per_minute=2**62, budgets={}
)  # for benches; everything is still counted


class Counter:
    """A count that starts again with every full window of the clock."""

    __slots__ = ("_count", "_length_ms", "_window")

    def __init__(self, length_ms: int) -> None:
        self._length_ms = length_ms
        self._window = -1
        self._count = 0

    def at(self, now_ms: int) -> int:
        """Return the count in the present window."""
        return self._count if now_ms // self._length_ms == self._window else 0

    def add(self, amount: int, now_ms: int) -> int:
        """Count, and return the new count."""
        self._count = self.at(now_ms) + amount
        self._window = now_ms // self._length_ms
        return self._count

    def ends_ms(self, now_ms: int) -> int:
        """Return when the present window ends."""
        return (now_ms // self._length_ms + 1) * self._length_ms


@dataclass(slots=True)
class _Address:
    weight: Counter = field(default_factory=lambda: Counter(MINUTE_MS))
    requests: dict[str, Counter] = field(default_factory=dict)
    num_refusals: int = 0
    refused_minute: int = 0  # of the last refusal
    num_bans: int = 0
    banned_until_ms: int = 0


@dataclass(slots=True)
class _Account:
    ten_seconds: Counter = field(default_factory=lambda: Counter(TEN_SECONDS_MS))
    minute: Counter = field(default_factory=lambda: Counter(MINUTE_MS))


class Limits:
    """The counts of all addresses and accounts.

    Args:
        terms: The limits.
    """

    def __init__(self, terms: LimitTerms | None = None) -> None:
        self.terms = LimitTerms() if terms is None else terms
        self._addresses: defaultdict[str, _Address] = defaultdict(_Address)
        self._accounts: defaultdict[str, _Account] = defaultdict(_Account)

    def charge(self, address: str, weight: int, now_ms: int) -> None:
        """Count a request's weight.

        Raises:
            StatusError: -1003, with 429 if it is too much and 418 if the address is banned; then it is not counted.
        """
        state = self._addresses[address]
        if now_ms < state.banned_until_ms:
            raise _banned(address, state.banned_until_ms, now_ms)
        if state.weight.add(weight, now_ms) > self.terms.weight_per_minute:
            self._refuse(address, Budget(self.terms.weight_per_minute, MINUTE_MS), state.weight, now_ms)

    def charge_request(self, address: str, budget: str, now_ms: int) -> None:
        """Count a request to a group of endpoints that has a budget of its own; a group without one is free.

        Raises:
            StatusError: -1003.
        """
        terms = self.terms.budgets.get(budget)
        if terms is None:
            return
        counter = self._addresses[address].requests.setdefault(budget, Counter(terms.per_ms))
        if counter.add(1, now_ms) > terms.most:
            self._refuse(address, terms, counter, now_ms)

    def charge_orders(self, account: str, order_count: tuple[int, int], now_ms: int) -> None:
        """Count orders against the budgets of 10 seconds and of a minute; what is refused is not counted.

        Raises:
            StatusError: -1015, with 429.
        """
        state = self._accounts[account]
        for counter, count, most, words in (
            (state.ten_seconds, order_count[0], self.terms.orders_per_10_s, "TEN_SECONDS"),
            (state.minute, order_count[1], self.terms.orders_per_minute, "MINUTE"),
        ):
            if counter.at(now_ms) + count > most:
                retry_at_ms = counter.ends_ms(now_ms)
                raise StatusError(
                    _LIMITED, -1015, _ORDERS.format(most, words), _seconds(retry_at_ms - now_ms), retry_at_ms
                )
        state.ten_seconds.add(order_count[0], now_ms)
        state.minute.add(order_count[1], now_ms)

    def used_weight(self, address: str, now_ms: int) -> int:
        """Return the weight that an address has used in this minute."""
        return self._addresses[address].weight.at(now_ms)

    def order_counts(self, account: str, now_ms: int) -> tuple[int, int]:
        """Return an account's orders in these 10 seconds and in this minute."""
        state = self._accounts[account]
        return state.ten_seconds.at(now_ms), state.minute.at(now_ms)

    def _refuse(self, address: str, budget: Budget, counter: Counter, now_ms: int) -> None:
        state = self._addresses[address]
        minute = now_ms // MINUTE_MS
        if minute > state.refused_minute + 1:
            state.num_refusals = 0
        state.num_refusals += 1
        state.refused_minute = minute
        if state.num_refusals > self.terms.tolerated_refusals:
            length_ms = min(self.terms.first_ban_ms * 2**state.num_bans, self.terms.longest_ban_ms)
            state.banned_until_ms = now_ms + length_ms
            state.num_bans += 1
            state.num_refusals = 0
            raise _banned(address, state.banned_until_ms, now_ms)
        minutes = budget.per_ms // MINUTE_MS
        text = _REQUESTS.format(address, budget.most, "minute" if minutes == 1 else f"{minutes} minutes")
        retry_at_ms = counter.ends_ms(now_ms)
        raise StatusError(_LIMITED, -1003, text, _seconds(retry_at_ms - now_ms), retry_at_ms)


def _banned(address: str, until_ms: int, now_ms: int) -> StatusError:
    return StatusError(_BAN, -1003, _BANNED.format(address, until_ms), _seconds(until_ms - now_ms), until_ms)


def _seconds(duration_ms: int) -> int:
    return -(-duration_ms // _MS_PER_S)  # rounded up


def _row(kind: str, interval: str, number: int, limit: int) -> dict[str, object]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
