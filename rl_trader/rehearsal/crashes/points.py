"""The points at which the trader's process is killed, in one table: by what it is doing, from decision to fill.

A point lies between two things that cannot be undone together: before and after an entry of the journal, before and
after its commit, before, within and after a request, before its answer is read, before an event is taken.
"""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

NOWHERE: Final = ""
HALFWAY: Final = "halfway through sending "

_COMMIT: Final = 2  # of a transaction's statements
_TRANSACTION: Final = "_transaction"
_COMMITS: Final = ("before the commit of ", "after the commit of ")


def _entry(name: str) -> tuple[str, ...]:
    """Return the points of an entry that books something."""
    return (f"before the journal has {name}", *(f"{side}{name}" for side in _COMMITS), f"after the journal has {name}")


def _note(name: str) -> tuple[str, ...]:
    """Return the points of an entry, without those of its commit."""
    return f"before the journal has {name}", f"after the journal has {name}"


def _call(name: str) -> tuple[str, ...]:
    """Return the points of a request that changes something."""
    return f"before sending {name}", f"{HALFWAY}{name}", f"after sending {name}", f"before reading the answer to {name}"


def _question(name: str) -> tuple[str, ...]:
    return f"before sending {name}", f"before reading the answer to {name}"


def _order(purpose: str) -> tuple[str, ...]:
    """Return the points of an order from its journalling to its acknowledgement."""
    return *_entry(f"Sending of {purpose}"), *_call(purpose), *_entry(f"Answered of {purpose}")


def _market_order(purpose: str) -> tuple[str, ...]:
    return *_order(purpose), *_entry(f"FillSeen of {purpose}"), *_note(f"OrderSeen of {purpose}")


_DECISION: Final = (
    "before taking BarClosed",
    "before the policy is asked",
    "before the policy's answer is taken",
    *_entry("Decided"),
)
_STOP: Final = (*_order("STOP"), *_note("OrderSeen of STOP"))
_CANCELLED: Final = (*_call("the cancellation of STOP"), *_note("OrderSeen of STOP"))
_READING: Final = tuple(
    point
    for name in ("v3/positionRisk", "v3/balance", "v1/userTrades", "v1/income", "v1/openOrders", "v1/openAlgoOrders")
    for point in _question(f"GET {name}")
)

FLOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "opening": (*_DECISION, *_market_order("ENTRY"), *_note("AccountSeen"), *_STOP),
    "closing": (*_DECISION, *_market_order("EXIT"), *_note("AccountSeen"), *_CANCELLED),
    "flipping": (
        *_DECISION,
        *_market_order("EXIT"),
        *_market_order("ENTRY"),
        *_call("the cancellation of STOP"),
        *_STOP,
    ),
    "stopping": (
        "before taking StopAsked",
        *_entry("StopAsked"),
        *_market_order("FLATTEN"),
        *_note("AccountSeen"),
        *_CANCELLED,
    ),
    "re-arming": (*_note("OrderSeen of STOP"), *_entry("TimerFired guard"), *_order("STOP")),
    "reconciling": (
        *_note("TimerFired query"),
        *_question("GET v1/order"),
        *_entry("Queried of ENTRY"),
        *_READING,
        *_entry("Snapshot"),
    ),
    "starting": (
        "before opening the journal",
        "after opening the journal",
        "before taking Started",
        *_entry("Started"),
        "before connecting",
        *_call("POST v1/listenKey"),
        *_question("GET v1/order"),
        *_note("OrderSeen of ENTRY"),
        *_READING,
        *_entry("Snapshot"),
        *_order("STOP"),
    ),
}
"""What the trader is doing, and the points that it passes meanwhile."""

PAIRS: Final = tuple((flow, point) for flow, points in FLOWS.items() for point in points)
"""Every flow with every point of it."""


def needs_answers_first(flow: str, point: str) -> bool:
    """Return whether a point is passed only where an answer comes before the account's events that tell the same."""
    return flow == "starting" or "Answered" in point


class Points:
    """Where this process is killed: the first time that it passes a point from then on.

    Args:
        point: Which; nowhere until it is told.
        ends_by: The signal that it gets there.
    """

    def __init__(self, point: str = NOWHERE, ends_by: signal.Signals = signal.SIGKILL) -> None:
        self.point = point
        self.is_asked_to_end = False  # by a signal that lets it do so itself
        self._ends_by = ends_by

    def at(self, name: str) -> None:
        """Pass a point."""
        if name == self.point:
            self._end()

    def _end(self) -> None:
        self.point, self.is_asked_to_end = NOWHERE, True
        os.kill(os.getpid(), self._ends_by)

    @contextmanager
    def commit_of(self, name: str) -> Iterator[None]:
        """Pass the points around the commit of an entry, which is written within."""
        side = next((side for side in _COMMITS if self.point == f"{side}{name}"), None)
        if side is None:
            yield
            return
        wanted = "c_call" if side == _COMMITS[0] else "c_return"
        count = 0

        def profile(frame: FrameType, event: str, function: Any) -> None:  # noqa: ANN401 - any callable
            nonlocal count
            if frame.f_code.co_name != _TRANSACTION or getattr(function, "__name__", "") != "execute":
                return
            count += event == wanted
            if count == _COMMIT:
                self._end()

        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)
