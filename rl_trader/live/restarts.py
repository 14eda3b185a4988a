"""Starts in quick succession: each waits longer, and after too many nothing is entered until a person has looked.

A supervisor starts again what has ended. A trader that ends soon after every start would ask the exchange for
everything again and again, until its address is banned. So the times of the starts are kept in a file beside the
journal, which a start that fails never opens; a start that ended as it was asked to is taken off. The file is an aid:
where it cannot be read or written, as on a full disk, nothing waits.

Times in milliseconds since 1970 UTC, on the machine's clock.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from rl_trader.live.core.events import StopAsked
from rl_trader.live.core.words import StopKind
from rl_trader.live.streams.sockets import Clock

WINDOW_MS: Final = 600_000
FIRST_PAUSE_MS: Final = 1_000  # from one start to the next; doubled with every further one in the window
LONGEST_PAUSE_MS: Final = 60_000
MOST_DEATHS: Final = 5  # in the window, before nothing is entered

_BEGUN: Final = "begun"
_AT_WORK: Final = "at-work"
_MOST_KEPT: Final = 64


class Start(NamedTuple):
    """One start that has not ended as it was asked to, as far as is known."""

    time_ms: int
    word: str  # how far it has come


class Restarts:
    """The starts of one trader.

    Args:
        journal: Of the trader, beside which they are kept.
    """

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(f"{journal.name}.starts")
        self._earlier: list[Start] = []
        self._this: Start | None = None

    def begin(self, machine_ms: int) -> int:
        """Note a start, and return how long it has to wait before it asks the exchange anything."""
        self._earlier = [s for s in self._read() if -LONGEST_PAUSE_MS <= machine_ms - s.time_ms < WINDOW_MS]
        wait_ms = self._wait_ms(machine_ms)
        self._note(Start(machine_ms + wait_ms, _BEGUN))
        return wait_ms

    def _wait_ms(self, machine_ms: int) -> int:
        if not self._earlier:
            return 0
        pause_ms = min(FIRST_PAUSE_MS << (len(self._earlier) - 1), LONGEST_PAUSE_MS)
        return min(max(self._earlier[-1].time_ms + pause_ms - machine_ms, 0), LONGEST_PAUSE_MS)

    async def wait(self, machine_ms: int, clock: Clock, tell: Callable[[str], object]) -> None:
        """Note a start, and wait before it asks the exchange anything, if others were shortly before it."""
        if wait_ms := self.begin(machine_ms):
            tell(
                f"this is start {len(self._earlier) + 1} within {WINDOW_MS // 60_000} minutes; it waits "
                f"{wait_ms / 1_000:g} s before it asks the exchange anything"
            )
            await clock.sleep(wait_ms)

    def work(self) -> None:
        """Note that the start has come so far that it trades."""
        if self._this is not None:
            self._note(self._this._replace(word=_AT_WORK))

    def end(self) -> None:
        """Take the start off: it ends as it was asked to."""
        self._note(None)

    @property
    def num_deaths(self) -> int:
        """How many of the earlier starts have traded, and have not ended as they were asked to."""
        return sum(start.word == _AT_WORK for start in self._earlier)

    def halt(self, now_ms: int) -> list[StopAsked]:
        """Return the event that ends the entries, if a person must look before anything is entered.

        Args:
            now_ms: The exchange's time.
        """
        if self.num_deaths < MOST_DEATHS:
            return []
        reason = f"the trader has died {self.num_deaths} times within {WINDOW_MS // 60_000} minutes; see why"
        return [StopAsked(t_ms=now_ms, kind=StopKind.HALT.value, reason=reason, by="the start")]

    def _note(self, this: Start | None) -> None:
        self._this = this
        kept = [*self._earlier, *([this] if this else [])][-_MOST_KEPT:]
        draft = self._path.with_name(f"{self._path.name}.new")
        with suppress(OSError):
            draft.write_text("".join(f"{start.time_ms} {start.word}\n" for start in kept))
            draft.replace(self._path)

    def _read(self) -> list[Start]:
        try:
            lines = self._path.read_text("ascii", "replace").splitlines()
        except OSError:
            return []
        return [Start(int(time), word) for time, _, word in (line.partition(" ") for line in lines) if time.isdecimal()]
