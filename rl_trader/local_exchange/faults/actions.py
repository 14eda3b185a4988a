"""What a fault can do: to a call, to a frame, or to the venue."""

from abc import ABC, abstractmethod

from rl_trader.local_exchange.faults.forms import ApiCall
from rl_trader.local_exchange.faults.stage import Inner, Stage, Steps
from rl_trader.local_exchange.faults.wires import StreamFrame


class CallAction(ABC):
    """Something that happens to a call."""

    def spares(self, call: ApiCall) -> bool:
        """Return whether it never happens to a call; such a call is not counted either."""
        return False

    @abstractmethod
    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Let a call pass, or not.

        Args:
            stage: Where.
            call: Which.
            inner: Carries it out.
        """


class FrameAction(ABC):
    """Something that happens to a frame on its way to a client."""

    @abstractmethod
    def passes(self, stage: Stage, frame: StreamFrame, texts: list[str]) -> list[str]:
        """Return what is sent in the place of texts that would be sent for a frame."""


class Deed(ABC):
    """Something that is done to the venue."""

    @abstractmethod
    def act(self, stage: Stage) -> str:
        """Do it, and return what has become of it.

        Raises:
            RlTraderError: If the exchange refuses it.
        """
