"""The words of the live trader's core; each value is what the journal writes."""

from enum import StrEnum
from typing import Final


class Purpose(StrEnum):
    """What an order is for."""

    ENTRY = "ENTRY"  # opens or adds
    EXIT = "EXIT"  # the reducing leg of a decision
    STOP = "STOP"  # rests at the exchange for as long as there is a position
    TAKE_PROFIT = "TAKE_PROFIT"
    FLATTEN = "FLATTEN"  # closes everything: kill, shutdown, or no stop could be placed

    @property
    def is_conditional(self) -> bool:
        """Whether it is an order of the algo service."""
        return self in _CONDITIONAL

    @property
    def adds_exposure(self) -> bool:
        """Whether it may make the position larger."""
        return self is Purpose.ENTRY


class IntentState(StrEnum):
    """How far an order has come, as far as is known."""

    PLANNED = "PLANNED"  # journalled, not sent
    SENT = "SENT"
    UNKNOWN = "UNKNOWN"  # nobody knows whether the exchange has it
    OPEN = "OPEN"  # the exchange has it, and more may come of it
    FILLED = "FILLED"
    ENDED = "ENDED"  # cancelled, expired or triggered, wholly or partly unfilled
    REJECTED = "REJECTED"
    ABSENT = "ABSENT"  # proved never to have been accepted

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come of it."""
        return self in _OVER


# Looked up for every order at every event: members are found slowly.
_CONDITIONAL: Final = (Purpose.STOP, Purpose.TAKE_PROFIT)
_OVER: Final = (IntentState.FILLED, IntentState.ENDED, IntentState.REJECTED, IntentState.ABSENT)


class StopKind(StrEnum):
    """Why the trader enters no more; latched until a person clears it."""

    HALT = "HALT"  # something is not as it should be
    KILL = "KILL"  # somebody wants out


class Outcome(StrEnum):
    """How a decision ended."""

    HELD = "HELD"  # the position is what is wanted
    SENT = "SENT"
    REFUSED = "REFUSED"  # by the risk gate
    SKIPPED = "SKIPPED"  # late bar, hole, stale market, unknown order, halted
