"""When a fault happens: at the n-th call or frame of a kind, at a moment, or as a seed has it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.faults.reading import Count, Fraction, Moment

Facts = Mapping[str, frozenset[str]]  # what is known of a call or a frame: name of a condition -> its values

_SUBJECTS: Final = ("endpoint", "stream", "event", "time")
_CONDITIONS: Final = ("account", "symbol", "side", "type", "execution", "bar_closed")
_SEEDED_BITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """When a fault happens. Names may have ``*`` and ``?``; what is left out does not matter.

    Raises:
        ConfigError: If it has not exactly one subject, or fields that contradict each other.
    """

    endpoint: str | None = None  # "POST /fapi/v1/order", or a method of the WebSocket API
    stream: str | None = None  # of market data, or "user:" and an account
    event: str | None = None  # what a frame's "e" says
    time: Moment | None = None  # of the market
    account: str | None = None
    symbol: str | None = None
    side: str | None = None
    type: str | None = None  # of the order
    execution: str | None = None  # "x" of an order's event
    bar_closed: bool | None = None  # "x" of a candle
    nth: Count | None = None  # counted from 1, of those that the conditions allow
    every: Count | None = None  # each so many
    first: Count | None = None  # from this one on
    last: Count | None = None  # up to this one
    since: Moment | None = None  # of the market
    until: Moment | None = None  # of the market, excluded
    probability: Fraction | None = None
    most: Count | None = None  # times in all
    moment: Literal["before", "after"] = "before"  # the call is carried out; of what is no fault of the call itself

    def __post_init__(self) -> None:
        subjects = [name for name in _SUBJECTS if getattr(self, name) is not None]
        if len(subjects) != 1:
            found = " and ".join(subjects) or "none"
            raise ConfigError(f"must have one of {', '.join(_SUBJECTS)} and has {found}; keep one")
        others = [name for name in self.__slots__ if getattr(self, name) not in (None, "before") and name != "time"]
        if self.time is not None and others:
            raise ConfigError(f"must have time alone and has {' and '.join(others)} with it; leave the rest out")
        ranged = [name for name in ("every", "first", "last") if getattr(self, name) is not None]
        if self.nth is not None and ranged:
            raise ConfigError(f"must have nth or {' and '.join(ranged)} and has both; leave one out")
        if self.endpoint is None and self.moment != "before":
            raise ConfigError("must have an endpoint to act after its call and has none; leave moment out")

    def conditions(self) -> dict[str, str]:
        """Return what a call or a frame must be, by name."""
        values = {name: getattr(self, name) for name in _CONDITIONS}
        return {name: str(value) for name, value in values.items() if value is not None}


class Watch:
    """Counts what a trigger waits for.

    Args:
        trigger: Of a fault.
        seed: Of the fault alone; the same one gives the same choice at the same count.
    """

    def __init__(self, trigger: Trigger, seed: str) -> None:
        self.trigger = trigger
        self.num_met = self.num_fired = 0
        self._conditions = trigger.conditions()
        self._seed = seed

    def is_met_by_call(self, endpoint: str, facts: Callable[[], Facts], now_ms: int) -> bool:
        """Count a call if it is one that is waited for; return whether the fault happens to it."""
        pattern = self.trigger.endpoint
        return pattern is not None and fnmatchcase(endpoint, pattern) and self._meets(facts, now_ms)

    def is_met_by_frame(self, stream: str, event: str, facts: Callable[[], Facts], now_ms: int) -> bool:
        """Count a frame if it is one that is waited for; return whether the fault happens to it."""
        trigger = self.trigger
        is_of_stream = trigger.stream is not None and fnmatchcase(stream, trigger.stream)
        is_of_event = trigger.event is not None and fnmatchcase(event, trigger.event)
        return (is_of_stream or is_of_event) and self._meets(facts, now_ms)

    def is_met_at(self, now_ms: int) -> bool:
        """Return whether the moment has come; it comes once."""
        if self.trigger.time is None or self.num_fired or now_ms < self.trigger.time:
            return False
        self.num_met = self.num_fired = 1
        return True

    def _meets(self, facts: Callable[[], Facts], now_ms: int) -> bool:
        trigger = self.trigger
        if self._conditions:
            found, nobody = facts(), frozenset[str]()
            if any(value not in found.get(name, nobody) for name, value in self._conditions.items()):
                return False
        if (trigger.since is not None and now_ms < trigger.since) or (
            trigger.until is not None and now_ms >= trigger.until
        ):
            return False
        self.num_met += 1
        is_over = trigger.most is not None and self.num_fired >= trigger.most
        fires = not is_over and self._is_counted(self.num_met) and self._is_chosen(self.num_met)
        self.num_fired += fires
        return fires

    def _is_counted(self, number: int) -> bool:
        trigger = self.trigger
        if trigger.nth is not None:
            return number == trigger.nth
        first, every = trigger.first or 1, trigger.every
        if number < first or (trigger.last is not None and number > trigger.last):
            return False
        return every is None or (number - first + 1) % every == 0

    def _is_chosen(self, number: int) -> bool:
        if self.trigger.probability is None:
            return True
        digest = hashlib.sha256(f"{self._seed} {number}".encode()).digest()
        drawn = int.from_bytes(digest[: _SEEDED_BITS // 8], "big")
        return bool(drawn < self.trigger.probability * 2**_SEEDED_BITS)
