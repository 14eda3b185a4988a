"""Snapshots of the core's state in the journal, so that a restart does not replay all that has ever happened.

A snapshot is an aid and never the record: it counts only if it is whole, belongs to its event, and was made by this
very program for this very deployment. Where none does, everything is replayed, to the same state. Snapshots are taken
while nothing is on its way to the exchange and no bar is about to close.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rl_trader.contract_terms import ContractTerms
from rl_trader.live.core.codec import decode_event
from rl_trader.live.core.deciding import Gate
from rl_trader.live.core.state import Conduct, State
from rl_trader.live.core.state_text import StateTextError, state_of, state_text
from rl_trader.live.core.step import Core
from rl_trader.live.core.words import IntentState
from rl_trader.live.journal.chain import JournalError
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.reader import JournalReader
from rl_trader.live.streams.sockets import Clock

EVENTS: Final = 5_000  # from one snapshot to the next
LOOK_MS: Final = 1_000  # between two looks whether one is due
CALM_MS: Final = 3_000  # before a bar's close, in which none is taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The core as the journal leaves it."""

    core: Core
    from_seq: int  # of the snapshot; 0 where everything was replayed
    num_replayed: int


def snapshot_key(build: str, conduct: Conduct, terms: ContractTerms) -> str:
    """Return what a snapshot's maker must have in common with who begins with it.

    Args:
        build: Digest of the program.
        conduct: How the trader trades.
        terms: By which the gate judges.
    """
    return hashlib.sha256(f"{build} {conduct!r} {terms!r}".encode()).hexdigest()


def restored(
    journal: JournalReader, conduct: Conduct, gate: Gate, key: str, tell: Callable[[str], object] = lambda _text: None
) -> Restored:
    """Return the core as the journal leaves it, from its newest snapshot that counts.

    Args:
        journal: Of the trader.
        conduct: How it trades.
        gate: Says which orders must not go.
        key: By which a snapshot counts.
        tell: Told of snapshots that are damaged.

    Raises:
        JournalError: If it tells of an order that this program would not have sent.
    """
    state, from_seq = _newest_state(journal, conduct, key, tell)
    core, num_replayed = Core(state, gate), 0
    for stored in journal.events(from_seq):
        try:
            core.step(decode_event(stored.kind, stored.body))
        except KeyError as error:
            raise JournalError(
                f"a journal must have been written by this version's rules, and event {stored.seq} tells of an order"
                " that they would not have sent; close the position with the version that wrote it, then give"
                " another file with --journal"
            ) from error
        num_replayed += 1
    return Restored(core=core, from_seq=from_seq, num_replayed=num_replayed)


def _newest_state(
    journal: JournalReader, conduct: Conduct, key: str, tell: Callable[[str], object]
) -> tuple[State, int]:
    for seq, text in journal.snapshots():
        if text is None:
            tell(f"the snapshot after event {seq} of the journal is damaged; an older one or the whole is replayed")
            continue
        made_by, _, state = text.partition("\n")
        if made_by != key:
            continue
        try:
            return state_of(state, conduct), seq
        except StateTextError as error:
            tell(f"the snapshot after event {seq} of the journal cannot be used: {error}")
    return State(conduct), 0


def check_replayed(journal: Journal, done: Restored) -> None:
    """Check all of a journal of which more was replayed than its opening has checked.

    Args:
        journal: Which.
        done: What it was replayed to.

    Raises:
        JournalError: If it is not what was written, or cannot be read.
    """
    if done.from_seq < journal.checked_from:
        for _ in journal.older:
            pass


def check_older(journal: Journal) -> str | None:
    """Check some more of what the opening of a journal has left; return what is wrong with it, once."""
    try:
        next(journal.older, None)
    except JournalError as error:
        return str(error)
    return None


class SnapshotKeeper:
    """Takes snapshots, each when enough has happened since the one before.

    Args:
        save: Writes a state's text, made after an event, into the journal.
        last_seq: The number of the newest event.
        from_seq: Of the snapshot from which the core was restored.
        key: By which the snapshots will count.
        events: From one snapshot to the next.
    """

    def __init__(
        self,
        save: Callable[[int, str], object],
        last_seq: Callable[[], int],
        *,
        from_seq: int,
        key: str,
        events: int = EVENTS,
    ) -> None:
        self._save, self._last_seq = save, last_seq
        self._newest, self._key, self._events = from_seq, key, events

    def look(self, state: State, now_ms: int) -> None:
        """Take one, if it is due and nothing is kept waiting by it.

        Args:
            state: After the journal's newest event.
            now_ms: The exchange's time.
        """
        seq = self._last_seq()
        if seq - self._newest >= self._events and _is_calm(state, now_ms):
            self._save(seq, f"{self._key}\n{state_text(state)}")
            self._newest = seq


def _is_calm(state: State, now_ms: int) -> bool:
    bar_ms = state.conduct.bar_ms
    is_sending = any(i.state in (IntentState.PLANNED, IntentState.SENT) for i in state.intents.values())
    return state.deciding_ms is None and not is_sending and CALM_MS <= now_ms % bar_ms <= bar_ms - CALM_MS


async def keep_snapshots(look: Callable[[], object], clock: Clock) -> None:
    """Look again and again whether a snapshot is due, until it is cancelled."""
    while True:
        await clock.sleep(LOOK_MS)
        look()
