"""Orders as they are meant: journalled before they are sent, found again by their client ids.

A client id is made of the decision it carries out, so that it can be computed again, of the instance that made it, and
of the number of the attempt. It finds an order; it does not protect against sending one twice, since the exchange keeps
client ids unique among open orders only.

Prices in USDT per unit of the base asset, amounts in base asset, times in milliseconds since 1970 UTC.
"""

import hashlib
from base64 import b32encode
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from rl_trader.errors import RlTraderError
from rl_trader.live.core.words import IntentState, Purpose

PREFIX: Final = "rlt"  # of every client id of this program
ZERO: Final = Decimal(0)

_DIGEST_BYTES: Final = 10

_NEXT: Final[dict[IntentState, frozenset[IntentState]]] = {
    IntentState.PLANNED: frozenset({IntentState.SENT, IntentState.UNKNOWN, IntentState.REJECTED}),
    IntentState.SENT: frozenset(set(IntentState) - {IntentState.PLANNED, IntentState.SENT, IntentState.ABSENT}),
    IntentState.UNKNOWN: frozenset(
        {IntentState.OPEN, IntentState.FILLED, IntentState.ENDED, IntentState.REJECTED, IntentState.ABSENT}
    ),
    IntentState.OPEN: frozenset(  # a conditional order may be refused when its price is met
        {IntentState.FILLED, IntentState.ENDED, IntentState.REJECTED, IntentState.UNKNOWN}
    ),
    IntentState.ABSENT: frozenset({IntentState.FILLED, IntentState.ENDED, IntentState.REJECTED}),  # found all the same
}


class TransitionError(RlTraderError):
    """An order is said to have gone where none can go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One order, as it is meant and as far as it has come."""

    client_id: str
    decision: str  # what it carries out: the open time of the decided bar, or a word for what was no decision
    leg: str
    attempt: int
    purpose: Purpose
    amount: Decimal  # signed; of a closing stop the side alone counts
    price: Decimal | None = None  # of a limit order, post-only until the bar's end; None is a market order
    trigger_price: Decimal | None = None  # of a conditional order
    state: IntentState = IntentState.PLANNED
    order_id: int | None = None  # the exchange's
    executed: Decimal = ZERO  # not negative, as the exchange says of the order
    executed_ms: int = 0  # server time, when that grew last
    traded: Decimal = ZERO  # not negative, of the trades that were told
    planned_ms: int = 0  # server time
    sent_ms: int = 0  # server time
    fence_ms: int = 0  # server time after which the exchange can no longer accept it
    num_queries: int = 0  # that said there is no such order
    reason: str = ""  # of a rejection

    @property
    def side(self) -> str:
        """BUY or SELL."""
        return "BUY" if self.amount > 0 else "SELL"

    def moved(self, state: IntentState, **changes: object) -> "Intent":
        """Return it further on; from an end nothing leads on, and the same state is no move.

        Raises:
            TransitionError: If no order can go there.
        """
        if state is not self.state and state not in _NEXT.get(self.state, frozenset()):
            raise TransitionError(
                f"order {self.client_id} is {self.state} and cannot become {state}; nothing leads there"
            )
        return replace(self, state=state, **changes)  # type: ignore[arg-type]


def client_id(epoch: int, decision: str, leg: str, attempt: int, tag: str = "") -> str:
    """Return the client id of one attempt at one leg of a decision: at most 36 of the letters that may be used.

    Args:
        epoch: Number of the start by this journal.
        decision: What it carries out.
        leg: Which order of it.
        attempt: From 1; the next only when the last is proved to be over.
        tag: Of the start, by chance, since another journal has the same numbers; 6 letters at most.
    """
    digest = hashlib.blake2b(f"{decision} {leg}".encode(), digest_size=_DIGEST_BYTES).digest()
    return f"{instance_name(epoch, tag)}-{b32encode(digest).decode().lower()}-{attempt:x}"


def instance_name(epoch: int, tag: str) -> str:
    """Return what the client ids of a start begin with."""
    return f"{PREFIX}{epoch:x}.{tag}" if tag else f"{PREFIX}{epoch:x}"


def instance_of(client_order_id: str) -> str:
    """Return what stands for the instance in a client id of this program's."""
    return client_order_id.partition("-")[0]


def epoch_of(client_order_id: str) -> int | None:
    """Return which instance made a client id; None if this program did not."""
    head, _, _ = client_order_id.partition("-")
    if not head.startswith(PREFIX) or client_order_id.count("-") != 2:  # noqa: PLR2004
        return None
    try:
        return int(head.removeprefix(PREFIX).partition(".")[0], 16)
    except ValueError:
        return None
