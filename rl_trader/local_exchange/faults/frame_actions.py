"""What a fault can do to a frame; each class is an action of the plan, its fields are those of the action."""

from dataclasses import dataclass
from typing import Final

from rl_trader.local_exchange.faults.actions import FrameAction
from rl_trader.local_exchange.faults.reading import CloseCode, Count
from rl_trader.local_exchange.faults.stage import Stage
from rl_trader.local_exchange.faults.wires import Mute, StreamFrame


@dataclass(frozen=True, kw_only=True)
class Duplicate(FrameAction):
    """The frame comes twice."""

    def passes(self, stage: Stage, frame: StreamFrame, texts: list[str]) -> list[str]:
        """Return the texts twice."""
        return [*texts, *texts]


@dataclass(frozen=True, kw_only=True)
class Drop(FrameAction):
    """The frame never comes."""

    def passes(self, stage: Stage, frame: StreamFrame, texts: list[str]) -> list[str]:
        """Return nothing."""
        return []


@dataclass(frozen=True, kw_only=True)
class Reorder(FrameAction):
    """The frame comes behind the next one of its stream on its connection, however late that is."""

    def passes(self, stage: Stage, frame: StreamFrame, texts: list[str]) -> list[str]:
        """Return nothing, unless there is one already that waits for this frame."""
        return [] if texts and stage.wires.hold(frame) else texts


@dataclass(frozen=True, kw_only=True)
class DelayFrame(FrameAction):
    """The frame comes late; later ones overtake it."""

    ms: Count  # of the session

    def passes(self, stage: Stage, frame: StreamFrame, texts: list[str]) -> list[str]:
        """Return nothing until then."""
        for _ in texts:
            stage.wires.send_later(frame, self.ms)
        return []


@dataclass(frozen=True, kw_only=True)
class MuteFrames(FrameAction):
    """Neither this frame comes nor any other for a while; the connection stays open."""

    for_ms: Count  # of the session
    whole_connection: bool = False  # else the stream alone; also answers and pings

    def passes(self, stage: Stage, frame: StreamFrame, texts: list[str]) -> list[str]:
        """Return nothing, as from now on."""
        pattern = "*" if self.whole_connection else frame.stream
        until_ms = stage.venue.session_ms() + self.for_ms
        stage.wires.mutes.append(Mute(until_ms=until_ms, connection=frame.connection, pattern=pattern))
        return []


@dataclass(frozen=True, kw_only=True)
class Disconnect(FrameAction):
    """The connection ends before the frame."""

    close_code: CloseCode | None = None  # None cuts it without a word

    def passes(self, stage: Stage, frame: StreamFrame, texts: list[str]) -> list[str]:
        """Return nothing, and end the connection."""
        stage.wires.end(frame.connection, self.close_code)
        return []


FRAME_ACTIONS: Final[dict[str, type[FrameAction]]] = {
    "duplicate": Duplicate,
    "drop": Drop,
    "reorder": Reorder,
    "delay": DelayFrame,
    "mute": MuteFrames,
    "disconnect": Disconnect,
}
