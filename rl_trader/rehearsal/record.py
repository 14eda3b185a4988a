"""What is left of a rehearsal: the exchange's own history, every request, the journal, and the trader's state.

The checkers look at nothing else. Prices in USDT per unit of the base asset, amounts in base asset and signed, money in
USDT, times in milliseconds since 1970 UTC.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from rl_trader.live.core.codec import decode_event
from rl_trader.live.core.commands import Decide
from rl_trader.live.core.deciding import Gate
from rl_trader.live.core.events import Decided, Event
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.step import Core
from rl_trader.local_exchange.engine.orders import AlgoOrder, Fill, Income, Order
from rl_trader.rehearsal.network import Asked
from rl_trader.rehearsal.stage import digest


@dataclass(frozen=True, kw_only=True)
class Record:
    """One rehearsal."""

    # The exchange
    orders: Sequence[Order]
    algo_orders: Sequence[AlgoOrder]
    open_order_ids: frozenset[int]
    open_algo_ids: frozenset[int]
    fills: Sequence[Fill]
    income: Sequence[Income]
    wallet_balance: Decimal
    amount: Decimal
    entry_price: Decimal
    closes: Mapping[int, Decimal]  # of bars that are over, by open time
    listens: bool  # whether an open connection carries the account's valid listen key
    # Between
    asked: Sequence[Asked]
    end_ms: int
    faults_end_ms: int
    latency_ms: int  # of a way, at most
    # The trader
    conduct: Conduct
    gate: Gate
    cap: Decimal  # USDT, of the position
    max_leverage: Decimal
    max_daily_loss: Decimal  # of the equity at 00:00 UTC
    lines: Sequence[str]  # of the journal
    keys: Mapping[tuple[object, ...], int]  # how often a natural key was journalled
    booked: Mapping[str, Decimal]  # by account of the double entries
    states: Mapping[str, Sequence[tuple[int, str]]]  # of every order, one after the other, with the entry's number
    stops: Sequence[tuple[int, str | None]]  # what was latched, or None cleared, with the entry's number
    digests: Mapping[int, str]  # of the state, by the number of the last entry
    state: State
    is_up: bool
    alerts: Sequence[str]
    failure: str  # what the trader has died of, apart from being killed; empty of nothing
    fired: Mapping[str, int] = field(default_factory=dict)  # faults by their action
    faulty_ms: Sequence[int] | None = None  # when something went wrong; None where that is not known
    killed: Sequence[str] = ()  # points
    decide: Callable[[Decide, int], Decided] | None = None  # the policy, asked with the time, where there is one
    origin: str = ""  # of the venue that is traded on; empty where it is not known
    secrets: Sequence[str] = ()  # key, secret, listen keys

    @cached_property
    def events(self) -> list[Event]:
        """The journal's events."""
        entries: list[dict[str, Any]] = [json.loads(line) for line in self.lines]
        return [decode_event(entry["kind"], entry["body"]) for entry in entries]

    @cached_property
    def _replay(self) -> "tuple[dict[int, str], list[tuple[Decide, Decided]]]":
        core, digests = Core(State(self.conduct), self.gate), {}
        asked: dict[int, Decide] = {}
        questions = []
        for number, event in enumerate(self.events, start=1):
            if isinstance(event, Decided) and event.open_ms in asked:
                questions.append((asked[event.open_ms], event))
            asked |= {command.open_ms: command for command in core.step(event) if isinstance(command, Decide)}
            if number in self.digests or number == len(self.lines):
                digests[number] = digest(core.state)
        return digests, questions

    def replayed_digests(self) -> dict[int, str]:
        """Return the digests that the journal leads to: wherever the trader has one, and at the end."""
        return self._replay[0]

    @property
    def questions(self) -> "list[tuple[Decide, Decided]]":
        """Every decision with what the policy is asked where the journal alone is followed."""
        return self._replay[1]

    @cached_property
    def changes_ms(self) -> list[int]:
        """When the account has changed, by the exchange's history."""
        return [fill.time_ms for fill in self.fills] + [income.time_ms for income in self.income]

    def wallet_at(self, time_ms: int) -> Decimal:
        """Return the wallet at a time, by the exchange's history."""
        return self.wallet_balance - sum((i.amount for i in self.income if i.time_ms > time_ms), Decimal(0))

    def price_at(self, time_ms: int) -> Decimal | None:
        """Return the close of the newest bar that was over at a time; None before the first."""
        over = [opened for opened in self.closes if opened + self.conduct.bar_ms - 1 <= time_ms]
        return self.closes[max(over)] if over else None

    def unknown_at(self, number: int) -> list[str]:
        """Return the orders that are unknown by the journal's rows up to an entry."""
        latest = (
            (client_id, [state for entry, state in states if entry <= number][-1:])
            for client_id, states in self.states.items()
        )
        return sorted(client_id for client_id, state in latest if state == ["UNKNOWN"])

    def stop_at(self, number: int) -> str | None:
        """Return the stop that is in force by the journal's rows up to an entry."""
        found = None
        for entry, kind in self.stops:
            found = kind if entry <= number else found
        return found

    @property
    def sent_orders(self) -> list[Asked]:
        """Every request for an order, whether or not it arrived."""
        return [asked for asked in self.asked if asked.is_order]
