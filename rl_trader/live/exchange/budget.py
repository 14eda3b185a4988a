"""How much may still be asked and ordered: the exchange's limits, as its answers tell them.

Entries stop at half of a budget; questions may go on for another fifth; what reduces a position may use all that there
is, since to hold it back would leave what it is meant to end. Nothing at all is sent while the exchange has said to
wait, or has banned the address.

Limits: ``GET /fapi/v1/exchangeInfo`` of September 2026, until they are read. The documentation of USD-M futures,
"General Info": weight counts per address, orders per account; ``X-MBX-USED-WEIGHT-1M`` and ``X-MBX-ORDER-COUNT-*`` tell
what is used. Assumption: counts begin anew with each full minute, or ten seconds, of the exchange's clock.

Times in milliseconds since 1970 UTC on the exchange's clock. A state is plain data: it can be written down, so that a
ban outlasts a restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from rl_trader.live.exchange.endpoints import Endpoint, Texts, Use
from rl_trader.live.exchange.outcome import Kind, RawAnswer, classify

MINUTE_MS: Final = 60_000
TEN_SECONDS_MS: Final = 10_000
SHARE_PERCENT: Final[Mapping[Use, int]] = {Use.ENTRY: 50, Use.QUERY: 70, Use.EXIT: 100}

_PERCENT: Final = 100
_LIMITED: Final = 429
_SUCCESSES: Final = range(200, 300)
_TOO_MANY_ORDERS: Final = -1015
_USED_WEIGHT: Final = "x-mbx-used-weight-1m"
_ORDER_COUNTS: Final = ("x-mbx-order-count-10s", "x-mbx-order-count-1m")
_LIMIT_FIELDS: Final = {
    "REQUEST_WEIGHT 1 MINUTE": "weight_per_minute",
    "ORDERS 10 SECOND": "orders_per_10_s",
    "ORDERS 1 MINUTE": "orders_per_minute",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The exchange's limits."""

    weight_per_minute: int = 2_400
    orders_per_10_s: int = 300
    orders_per_minute: int = 1_200

    def told_by(self, exchange_info: object) -> "Limits":
        """Return the limits that an answer to ``exchange_info`` lists; those that it does not list stay."""
        rows = exchange_info.get("rateLimits") if isinstance(exchange_info, dict) else None
        told: dict[str, int] = {}
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and isinstance(limit := row.get("limit"), int) and limit > 0:
                kind = f"{row.get('rateLimitType')} {row.get('intervalNum')} {row.get('interval')}"
                told |= {_LIMIT_FIELDS[kind]: limit} if kind in _LIMIT_FIELDS else {}
        return replace(self, **told)


@dataclass(frozen=True, slots=True)
class Count:
    """What was used in a window of time."""

    length_ms: int
    window: int = -1  # number of the window since 1970
    used: int = 0

    def at(self, now_ms: int) -> int:
        """Return what is used in the present window, or in the next one if the clock was set back over its begin."""
        return self.used if self.window - now_ms // self.length_ms in (0, 1) else 0

    def added(self, amount: int, now_ms: int) -> "Count":
        """Return the count after a use."""
        return Count(self.length_ms, now_ms // self.length_ms, self.at(now_ms) + amount)

    def told(self, used: int, now_ms: int) -> "Count":
        """Return the count after the exchange has told it: what is on its way may not be in it yet."""
        return Count(self.length_ms, now_ms // self.length_ms, max(used, self.at(now_ms)))

    def ends_ms(self, now_ms: int) -> int:
        """Return when the present window ends."""
        return (now_ms // self.length_ms + 1) * self.length_ms


class Cost(NamedTuple):
    """What a call uses up, and what it is for."""

    weight: int
    orders: int
    use: Use

    @classmethod
    def of(cls, endpoint: Endpoint, texts: Texts) -> "Cost":
        """Return the cost of a call."""
        return cls(endpoint.weight_of(texts), int(endpoint.counts_as_order), endpoint.use_of(texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is used, and how long nothing may be sent."""

    limits: Limits = field(default_factory=Limits)
    weight: Count = field(default_factory=lambda: Count(MINUTE_MS))
    orders_10_s: Count = field(default_factory=lambda: Count(TEN_SECONDS_MS))
    orders_minute: Count = field(default_factory=lambda: Count(MINUTE_MS))
    paused_until_ms: int = 0  # every call
    orders_paused_until_ms: int = 0
    banned_until_ms: int = 0

    def wait_ms(self, cost: Cost, now_ms: int) -> int:
        """Return how long a call has to wait; 0 lets it go."""
        until_ms = max(self.banned_until_ms, self.paused_until_ms)
        counts = [(self.weight, cost.weight, self.limits.weight_per_minute)]
        if cost.orders:
            until_ms = max(until_ms, self.orders_paused_until_ms)
            counts.append((self.orders_10_s, cost.orders, self.limits.orders_per_10_s))
            counts.append((self.orders_minute, cost.orders, self.limits.orders_per_minute))
        for count, amount, limit in counts:
            allowed = limit * SHARE_PERCENT[cost.use] // _PERCENT
            if amount and count.at(now_ms) + amount > allowed:
                until_ms = max(until_ms, count.ends_ms(now_ms))
        return max(until_ms - now_ms, 0)

    def charged(self, cost: Cost, now_ms: int) -> "Budget":
        """Return the budget after a call is sent."""
        return self._counting(
            weight=self.weight.added(cost.weight, now_ms),
            orders_10_s=self.orders_10_s.added(cost.orders, now_ms) if cost.orders else self.orders_10_s,
            orders_minute=self.orders_minute.added(cost.orders, now_ms) if cost.orders else self.orders_minute,
        )

    def learned(self, answer: RawAnswer) -> "Budget":
        """Return the budget after an answer: what its headers count, its limits, and how long to wait."""
        now_ms, headers = answer.received_ms, answer.headers
        weight, ten_seconds, minute = (_whole(headers, name) for name in (_USED_WEIGHT, *_ORDER_COUNTS))
        counted = self._counting(
            weight=self.weight if weight is None else self.weight.told(weight, now_ms),
            orders_10_s=self.orders_10_s if ten_seconds is None else self.orders_10_s.told(ten_seconds, now_ms),
            orders_minute=self.orders_minute if minute is None else self.orders_minute.told(minute, now_ms),
        )
        return counted._limited(answer)

    def _counting(self, weight: Count, orders_10_s: Count, orders_minute: Count) -> "Budget":
        return Budget(
            limits=self.limits,
            weight=weight,
            orders_10_s=orders_10_s,
            orders_minute=orders_minute,
            paused_until_ms=self.paused_until_ms,
            orders_paused_until_ms=self.orders_paused_until_ms,
            banned_until_ms=self.banned_until_ms,
        )

    def _limited(self, answer: RawAnswer) -> "Budget":
        if answer.status in _SUCCESSES and answer.endpoint != "exchange_info":  # which says nothing of limits
            return self
        outcome, now_ms = classify(answer), answer.received_ms
        if outcome.kind is Kind.ACKED:
            is_info = answer.endpoint == "exchange_info"
            return replace(self, limits=self.limits.told_by(outcome.data)) if is_info else self
        if outcome.ban_until_ms is not None:
            return replace(self, banned_until_ms=max(self.banned_until_ms, outcome.ban_until_ms))
        if answer.status != _LIMITED:
            return self
        if outcome.code == _TOO_MANY_ORDERS:
            count = self.orders_10_s if "TEN_SECONDS" in outcome.reason else self.orders_minute
            until_ms = _until(count, outcome.retry_after_ms, now_ms)
            return replace(self, orders_paused_until_ms=max(self.orders_paused_until_ms, until_ms))
        until_ms = _until(self.weight, outcome.retry_after_ms, now_ms)
        return replace(self, paused_until_ms=max(self.paused_until_ms, until_ms))


def _until(count: Count, retry_after_ms: int | None, now_ms: int) -> int:
    """Return when to come back: as the exchange says, or with the next window."""
    return count.ends_ms(now_ms) if retry_after_ms is None else now_ms + retry_after_ms


def _whole(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    return int(text) if text and text.isascii() and text.isdigit() else None
