"""Snapshots of the core's state: a restart begins at the newest, to the same state as a replay of everything."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rl_trader.live.arming.paper_time import build_sha256
from rl_trader.live.conducting import conduct_of
from rl_trader.live.core.gating import gate_of
from rl_trader.live.core.state import State
from rl_trader.live.core.state_text import StateTextError, state_of, state_text
from rl_trader.live.core.step import Core
from rl_trader.live.core.words import IntentState
from rl_trader.live.journal.chain import JournalError
from rl_trader.live.journal.reader import StoredSnapshot, open_read_only
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.session import Session
from rl_trader.live.snapshots import CALM_MS, Restored, SnapshotKeeper, restored, snapshot_key
from rl_trader.local_exchange.shells.local import LocalExchange
from rl_trader.rehearsal.plans import draw_plan
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.run import Rehearsal
from tests.live_session_stage import play, random_deployment, recorded_exchange, setup_on, until

EVENTS = 20  # from one snapshot of a session to the next
SEEDS = range(3, 6)
EVERY = 97  # events of a rehearsal


@pytest.fixture
def deployment(recorded_data: Path, tmp_path: Path) -> Deployment:
    return random_deployment(recorded_data, tmp_path)


@pytest.fixture
def exchange(recorded_data: Path) -> LocalExchange:
    return recorded_exchange(recorded_data)


@pytest.fixture(scope="module", params=SEEDS)
def record(request: pytest.FixtureRequest) -> Record:
    return Rehearsal(draw_plan(request.param, 60)).play()


def test_from_any_snapshot_the_tail_leads_to_the_state_of_the_whole(record: Record) -> None:
    whole = Core(State(record.conduct), record.gate)
    begun: list[Core] = []
    for number, event in enumerate(record.events):
        if number % EVERY == 0:
            state = state_of(state_text(whole.state), record.conduct)
            assert replace(state, changes=whole.state.changes) == whole.state
            begun.append(Core(state, record.gate))
        commands = whole.step(event)
        assert all(core.step(event) == commands for core in begun)
    assert len(begun) > 5
    assert whole.state.intents
    assert whole.state.books.trade_ids
    assert all(core.state == whole.state for core in begun)
    assert {state_text(core.state) for core in begun} == {state_text(whole.state)}


def test_text_of_another_version_is_none(record: Record) -> None:
    text = state_text(record.state)
    for other in (
        "",
        "[]",
        text[:-1],
        text.replace('"tag"', '"name"', 1),
        text.replace('"epoch":', '"epoch":"x","other":', 1),
        text.replace('"num_told":', '"num_told":null,"num_told":', 1).replace('"mark_ms":', '"mark_ms":"x', 1),
    ):
        assert other != text
        with pytest.raises(StateTextError, match="replay the journal instead"):
            state_of(other, record.conduct)


def test_a_snapshot_is_taken_when_enough_has_happened_and_nothing_is_kept_waiting(record: Record) -> None:
    saved: list[int] = []
    seq = 0
    keeper = SnapshotKeeper(lambda number, _text: saved.append(number), lambda: seq, from_seq=7, key="k", events=10)
    state, bar_ms = Core(State(record.conduct), record.gate).state, record.conduct.bar_ms
    seq = 16
    keeper.look(state, CALM_MS)
    assert saved == []
    seq = 17
    for now_ms in (0, CALM_MS - 1, bar_ms - CALM_MS + 1):
        keeper.look(state, now_ms)
    state.deciding_ms = 0
    keeper.look(state, CALM_MS)
    state.deciding_ms = None
    sent = next(iter(record.state.intents.values()))
    for is_in in (IntentState.PLANNED, IntentState.SENT):
        state.intents = {"a": replace(sent, state=is_in)}
        keeper.look(state, CALM_MS)
    assert saved == []
    state.intents = {"a": replace(sent, state=IntentState.OPEN)}
    keeper.look(state, CALM_MS)
    keeper.look(state, CALM_MS)
    assert saved == [17]
    seq = 27
    keeper.look(state, bar_ms - CALM_MS)
    assert saved == [17, 27]


def test_a_session_goes_on_from_its_snapshot_and_without_one_from_the_beginning(
    exchange: LocalExchange, deployment: Deployment, tmp_path: Path
) -> None:
    told: list[str] = []

    async def live(num_bars: int) -> Restored:
        setup = replace(setup_on(exchange, deployment, tmp_path), snapshot_events=EVENTS)
        async with Session(setup, told.append) as session:
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, num_bars)
            await until(lambda: has_snapshot(session), task)
            task.cancel()
            await asyncio.wait([task])
        return session.restored

    def again(key: str) -> Restored:
        with open_read_only(journal) as reader:
            return restored(reader, conduct, gate_of(deployment.terms), key, told.append)

    conduct, journal = conduct_of(deployment), tmp_path / "paper.journal"
    with exchange:
        assert asyncio.run(live(3)).from_seq == 0
        with open_read_only(journal) as reader:
            num_events = sum(1 for _ in reader.events())
            newest = next(reader.snapshots()).seq
        second = asyncio.run(live(2))
    assert second.from_seq == newest > EVENTS
    assert second.num_replayed == num_events - newest
    key = snapshot_key(build_sha256(), conduct, deployment.terms)
    tail, whole = again(key), again("of another build")
    assert tail.from_seq > newest
    assert whole.from_seq == 0
    assert whole.num_replayed == tail.from_seq + tail.num_replayed > num_events
    assert state_text(tail.core.state) == state_text(whole.core.state)
    assert whole.core.state.books.trade_ids
    assert not [text for text in told if "snapshot" in text]
    with open_read_only(journal) as reader, pytest.raises(JournalError, match="must have been written by this version"):
        restored(reader, conduct, lambda _state, _intent: "by other rules", "of another build")
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE snapshot SET state = replace(state, '1', '2') WHERE seq > ?", (newest,))
    assert again(key).from_seq == newest
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE snapshot SET state = replace(state, '1', '2')")
    damaged = again(key)
    assert damaged.from_seq == 0
    assert state_text(damaged.core.state) == state_text(whole.core.state)
    assert [text for text in told if text.startswith(f"the snapshot after event {newest} of the journal is damaged")]


def test_what_tells_builds_runs_and_contracts_apart_is_the_key(deployment: Deployment) -> None:
    conduct, terms = conduct_of(deployment), deployment.terms
    keys = {
        snapshot_key("a", conduct, terms),
        snapshot_key("b", conduct, terms),
        snapshot_key("a", replace(conduct, stop_loss=None), terms),
        snapshot_key("a", conduct, replace(terms, tick_size=terms.tick_size * 2)),
    }
    assert len(keys) == 4
    assert snapshot_key("a", conduct_of(deployment), deployment.terms) in keys


def has_snapshot(session: Session) -> bool:
    """Return whether the journal has a newer snapshot than the one that the session began with."""
    return next(session._journal.snapshots(), StoredSnapshot(0, None)).seq > session.restored.from_seq
