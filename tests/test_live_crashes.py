"""The live trader's process under SIGKILL at every named point, with the exchange alive beside it."""

import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from rl_trader.errors import ConfigError
from rl_trader.live.core import answering, reconciling
from rl_trader.live.core.commands import Command, Place
from rl_trader.live.core.intents import Intent, client_id
from rl_trader.live.core.state import State
from rl_trader.live.core.words import IntentState
from rl_trader.live.journal.journal import Journal
from rl_trader.live.journal.rows import NewEvent
from rl_trader.rehearsal.crashes.many import crash_many, plan
from rl_trader.rehearsal.crashes.points import FLOWS, HALFWAY, PAIRS
from rl_trader.rehearsal.crashes.run import AS_WANTED, Crash, crash_once
from rl_trader.rehearsal.invariants import CHECKERS
from scripts import crashes
from tests.called_scripts import script_caller

KILLS = 100
ENDS_EVERY = 20
ASKED = (
    "I1 one order a leg",
    "I2 journalled first",
    "I3 frozen while unknown",
    "I5 only out after a stop",
    "I9 client ids",
    "I10 natural keys",
    "I13 transitions",
    "C1 same account",
    "C2 same money",
    "C3 nothing unexplained",
    "C4 guarded",
    "C5 nothing open-ended",
    "C6 replayed",
    "L1 lives on",
    "L2 decides again",
    AS_WANTED,
)


def test_after_a_kill_at_any_point_every_invariant_holds() -> None:
    total = crash_many(KILLS)
    assert sum(total.hit.values()) == KILLS
    assert not total.missed
    assert not total.broken
    assert {flow for flow, _ in total.hit} == set(FLOWS)
    assert all(total.looked[name] for name in ASKED)
    assert set(ASKED) <= {*CHECKERS, AS_WANTED}
    assert total.played["starts"] >= 2 * KILLS


def test_many_kills_cover_every_point_of_every_flow_and_few_lie_evenly_among_them() -> None:
    assert len(PAIRS) == len(set(PAIRS)) >= 60
    assert {(crash.flow, crash.point) for crash in plan(600)} == set(PAIRS)
    assert len(plan(600)) == len(set(plan(600))) == 600
    few = plan(len(FLOWS) * 10)
    assert {crash.flow for crash in few} == set(FLOWS)
    with pytest.raises(ConfigError, match="kills must be 1 at least and were 0"):
        plan(0)


# ---- An end that is asked for


@pytest.fixture
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


def end_at_points(ends_by: signal.Signals, first: int) -> tuple[int, list[str]]:
    """Ask for an end at points that lie evenly among all; return how many were reached, and what is broken then."""
    num_hit, broken = 0, list[str]()
    for flow, point in PAIRS[first::ENDS_EVERY]:
        if point.startswith(HALFWAY):
            continue
        result = crash_once(Crash(flow=flow, point=point, seed=1, ends_by=ends_by))
        num_hit += result.is_hit
        broken += [f"{flow}, {point}: {breach}" for breach in result.breaches]
    return num_hit, broken


@pytest.mark.parametrize(("ends_by", "first"), [(signal.SIGTERM, 3), (signal.SIGINT, 11)])
def test_after_an_end_that_was_asked_for_at_any_point_every_invariant_holds(
    elsewhere: ProcessPoolExecutor, ends_by: signal.Signals, first: int
) -> None:
    num_hit, broken = elsewhere.submit(end_at_points, ends_by, first).result()
    assert not broken
    assert num_hit > len(PAIRS) // ENDS_EVERY - 4  # but for the points within a request, which is sent whole


# ---- Each bug must be caught


def _write_later(self: Journal, events: Sequence[NewEvent]) -> int:
    """Let every event wait for a later commit, as a journal does that is not written ahead."""
    self._waiting += self._staged(events)
    return self.last_seq


def _send_again(state: State, intent: Intent, reason: str) -> list[Command]:
    """Take what was on its way for refused, and send it once more."""
    state.keep(intent.moved(IntentState.REJECTED, reason=reason))
    attempt = intent.attempt + 1
    twin = Intent(
        client_id=client_id(state.epoch, intent.decision, intent.leg, attempt),
        decision=intent.decision,
        leg=intent.leg,
        attempt=attempt,
        purpose=intent.purpose,
        amount=intent.amount,
    )
    state.keep(twin)
    return [Place(twin)]


def _forget_the_kill(self: State, kind: object, reason: str) -> None:
    """Stop in memory alone, so that the next process knows nothing of it."""
    self.waiting.clear()


BUGS: dict[str, list[tuple[object, str, Any]]] = {
    "journalled after it is sent": [(Journal, "append", _write_later)],
    "sent again by the next process": [  # which also asks for no reading before it sends
        (reconciling, "doubt", _send_again),
        (answering, "_why_withdrawn", lambda _state, _intent: None),
    ],
    "a kill that is not latched": [(State, "latch", _forget_the_kill)],
}


def broken_by(bug: str, crash: Crash) -> set[str]:
    """Return what a kill breaks in a trader with a bug; in a process of its own."""
    for change in BUGS[bug]:
        setattr(*change)
    return {breach.invariant for breach in crash_once(crash).breaches}


@pytest.mark.parametrize(
    ("bug", "flow", "point", "invariant"),
    [
        ("journalled after it is sent", "opening", "after sending ENTRY", "I2 journalled first"),
        ("sent again by the next process", "opening", "after sending ENTRY", "I1 one order a leg"),
        ("a kill that is not latched", "stopping", "before sending FLATTEN", AS_WANTED),
    ],
)
def test_a_planted_bug_is_caught(
    elsewhere: ProcessPoolExecutor, bug: str, flow: str, point: str, invariant: str
) -> None:
    broken = elsewhere.submit(broken_by, bug, Crash(flow=flow, point=point, seed=0)).result()
    assert invariant in broken


# ---- By command


def test_the_command_says_what_was_hit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call = script_caller(monkeypatch, capsys, tmp_path)
    said = call(crashes, "--kills", 7, "--workers", 1, "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert (told["kills"], told["points"], told["missed"], told["broken"]) == (7, 7, [], {})
    assert sum(times for points in told["hit"].values() for times in points.values()) == 7
