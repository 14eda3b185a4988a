"""Where faults act: the venue, what goes on for a while, and the connections of streams.

A call passes through generators that yield the milliseconds that are to pass and return what the caller gets, so that
the same faults serve callers that wait and callers for whom the market's time moves.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING

from rl_trader.errors import RlTraderError
from rl_trader.local_exchange.faults.forms import ApiCall
from rl_trader.local_exchange.faults.log import FaultLog, Fired
from rl_trader.local_exchange.faults.wires import Wires
from rl_trader.local_exchange.market.happenings import Happening
from rl_trader.local_exchange.shells.interception import Outcome
from rl_trader.local_exchange.venue import Venue

if TYPE_CHECKING:
    from rl_trader.local_exchange.faults.actions import Deed

Steps = Generator[int, None, Outcome]
Inner = Callable[[], Steps]


class Effect:
    """Something that goes on for a while; by itself it does nothing and never ends."""

    def is_over(self, stage: "Stage") -> bool:
        """Return whether it has ended."""
        return False

    def around(self, stage: "Stage", call: ApiCall, inner: Inner) -> Steps:
        """Let a call pass."""
        return inner()

    def happen(self, stage: "Stage", happening: Happening) -> None:
        """Look at what the replay has done."""

    def end(self, stage: "Stage") -> None:
        """Put things back."""


class Stage:
    """What faults act on.

    Args:
        venue: Whose calls and streams they meet.
    """

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.log = FaultLog()
        self.wires = Wires(venue)
        self.effects: list[Effect] = []

    def record(self, fault: str, met: str) -> None:
        """Note that a fault has happened."""
        self.log.entries.append(Fired(fault, self.venue.market_ms(), self.venue.session_ms(), met))

    def perform(self, fault: str, deed: "Deed") -> None:
        """Do something to the venue, note what became of it, and tell the accounts."""
        try:
            met = deed.act(self)
        except RlTraderError as error:  # another hand is refused what anybody is refused
            met = f"refused: {error}"
        self.record(fault, met)
        self.venue.deliver()

    def through_effects(self, call: ApiCall, inner: Inner) -> Steps:
        """Let a call pass through what goes on."""
        for effect in self.effects:
            inner = partial(effect.around, self, call, inner)
        return inner()

    def happen(self, happening: Happening) -> None:
        """Let what goes on look at what the replay has done."""
        for effect in self.effects:
            effect.happen(self, happening)

    def on_time(self) -> None:
        """End what is over, and send what was held back until now."""
        if self.effects:
            for effect in [effect for effect in self.effects if effect.is_over(self)]:
                self.effects.remove(effect)
                effect.end(self)
        self.wires.on_time()
