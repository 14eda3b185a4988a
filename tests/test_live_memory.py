"""What a deployed policy remembers: it comes back after a restart, and begins anew after a bar that was missed."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.parity import run_parity
from rl_trader.ledger import Account
from rl_trader.live.core.codec import decode_event, encode
from rl_trader.live.core.commands import Command, Decide
from rl_trader.live.core.events import BarSkipped, Decided, Started
from rl_trader.live.drift.report import read_drift
from rl_trader.live.drift.totals import totals_of
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.journal.rows import DecisionRow
from rl_trader.live.policy.decider import Decider
from rl_trader.live.policy.deployment import Deployment, load_deployment
from rl_trader.live.policy.observer import Observation
from rl_trader.parity.bars import ParityError
from rl_trader.recurrent import RecurrentNetworkPolicy
from tests.deploy_stage import embedded_exchange, embedded_run
from tests.random_runs import random_recurrent
from tests.test_live_core import Desk
from tests.test_live_drift import CALM, trade


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with a random recurrent policy."""
    return embedded_run(tmp_path_factory.mktemp("run"), seed=5, make=random_recurrent)


# ---- The core


def asked(commands: list[Command]) -> Decide:
    (decide,) = [command for command in commands if isinstance(command, Decide)]
    return decide


def answer(desk: Desk, memory: str, fault: str = "") -> None:
    event = Decided(
        t_ms=desk.now,
        open_ms=desk.now - desk.state.conduct.bar_ms,
        observation_sha="",
        action="hold",
        target=desk.state.books.amount,
        reduce_amount=desk.state.books.amount,
        open_amount=desk.state.books.amount,
        fault=fault,
        memory=memory,
    )
    desk.do(decode_event("Decided", encode(event)))


def begun() -> Desk:
    desk = Desk()
    desk.begin()
    return desk


def test_what_a_decision_leaves_is_given_to_the_next_one_also_after_a_start() -> None:
    desk = begun()
    assert asked(desk.close_bar()).memory == ""
    answer(desk, "0a")
    assert asked(desk.close_bar()).memory == "0a"
    answer(desk, "0b")
    desk.do(Started(t_ms=desk.now, epoch=2))
    desk.read()
    assert asked(desk.close_bar()).memory == "0b"


def test_a_bar_without_a_decision_lets_memory_begin_anew() -> None:
    for miss in (skip, fail, answer_too_late):
        desk = begun()
        desk.close_bar()
        answer(desk, "0a")
        miss(desk)
        assert asked(desk.close_bar()).memory == ""
        answer(desk, "0c")
        assert asked(desk.close_bar()).memory == "0c"


def skip(desk: Desk) -> None:
    desk.now += desk.state.conduct.bar_ms
    desk.do(BarSkipped(t_ms=desk.now, open_ms=desk.now - desk.state.conduct.bar_ms, reason="late"))


def fail(desk: Desk) -> None:
    desk.close_bar()
    answer(desk, "0b", fault="no usable action")


def answer_too_late(desk: Desk) -> None:
    """The next bar closes before the policy has answered."""
    desk.close_bar()
    late = desk.now
    desk.close_bar()
    desk.now, now = late, desk.now
    answer(desk, "0b")
    desk.now = now


def test_an_event_of_a_journal_from_before_there_was_memory_is_read() -> None:
    desk = begun()
    desk.close_bar()
    none = desk.state.books.amount
    made = Decided(
        t_ms=1,
        open_ms=0,
        observation_sha="",
        action="hold",
        target=none,
        reduce_amount=none,
        open_amount=none,
        fault="",
    )
    body = encode(made)
    del body["memory"]
    event = decode_event("Decided", body)
    assert isinstance(event, Decided)
    assert event.memory == ""


# ---- The policy


def observation(deployment: Deployment, number: int) -> Observation:
    values = np.random.default_rng(number).normal(size=deployment.schema.size).astype(np.float32)
    account = Account(10_000.0, 0.0, 0.0, 0.0)
    return Observation(open_ms=number, values=values, account=account, close=1_000.0, mark_close=1_000.0, taker_fee=0.0)


def test_a_policy_goes_on_from_the_bytes_of_its_memory(run: Path) -> None:
    deployment = load_deployment(run)
    policy = deployment.checkpoint.policy
    assert isinstance(policy, RecurrentNetworkPolicy)
    decider, memory = Decider(deployment), b""
    memories = np.zeros((1, policy.memory_size), np.float32)
    for number in range(5):
        seen = observation(deployment, number)
        decision = decider.decide(seen, memory)
        wanted, memories = policy.advance(seen.values[np.newaxis], memories)
        assert decision.fault == ""
        assert decision.target == wanted[0]
        assert decision.memory == memories.tobytes()
        memory = decision.memory
    assert decider.decide(observation(deployment, 4)).target != decision.target


def test_a_memory_that_is_none_decides_nothing(run: Path) -> None:
    deployment = load_deployment(run)
    seen = observation(deployment, 0)
    short = Decider(deployment).decide(seen, bytes(4))
    assert (short.target, short.memory) == (None, b"")
    assert "a memory must be 22 numbers of float32, found 4 bytes" in short.fault
    broken = Decider(deployment).decide(seen, np.full(22, np.nan, np.float32).tobytes())
    assert (broken.target, broken.legs) == (None, ())
    assert broken.fault


# ---- Whole


def test_a_deployed_run_remembers_what_its_back_test_does(run: Path) -> None:
    report = run_parity(run).check(300)
    assert report.bars == report.observations == 300
    assert report.orders > 100
    assert set(report.targets) == {"long", "short"}


class Forgetful:
    """Decides as a run does, but remembers nothing where the client asks: first of three at a bar."""

    def __init__(self, policy: RecurrentNetworkPolicy) -> None:
        self.policy = policy
        self.memory_size = policy.memory_size
        self.num_calls = 0

    def advance(
        self, observations: NDArray[np.float32], memories: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Decide."""
        self.num_calls += 1
        return self.policy.advance(observations, memories * (self.num_calls % 3 != 1))


def test_a_client_that_forgets_is_found(run: Path) -> None:
    compared = run_parity(run)
    policy = compared.deployment.checkpoint.policy
    assert isinstance(policy, RecurrentNetworkPolicy)
    checkpoint = replace(compared.deployment.checkpoint, policy=Forgetful(policy))  # type: ignore[arg-type]
    with pytest.raises(ParityError, match=r"(memory after bar|action at the close).* must be equal"):
        replace(compared, deployment=replace(compared.deployment, checkpoint=checkpoint)).check(20)


def test_a_session_is_the_simulation_across_a_restart_and_after_a_missed_bar(run: Path, tmp_path: Path) -> None:
    deployment = load_deployment(run)
    with embedded_exchange() as (exchange, _):
        first = asyncio.run(trade(exchange, deployment, tmp_path, 6, band=CALM))
        second = asyncio.run(trade(exchange, deployment, tmp_path, 4, band=CALM))
        exchange.to_next_open()  # while nobody trades
        exchange.to_next_open()
        third = asyncio.run(trade(exchange, deployment, tmp_path, 4, band=None))
    assert [len(first), len(second)] == [5, 3]
    assert third == []
    with open_read_only(tmp_path / "paper.journal") as journal:
        journal.verify()
        rows = [row for _, row in journal.rows(DecisionRow)]
    begins = [i for i, row in enumerate(rows) if row.memory is None]
    assert begins == [0, 10]  # the restart after six bars is none of them
    assert all(len(row.memory) == 88 for row in rows if row.memory is not None)
    account, policy = np.zeros((1, 22), np.float32), deployment.checkpoint.policy
    assert isinstance(policy, RecurrentNetworkPolicy)
    for i, row in enumerate(rows):
        account = np.zeros_like(account) if i in begins else account
        assert row.memory in (None, account.tobytes())
        seen = np.frombuffer(row.observation, np.float32)[np.newaxis]
        targets, account = policy.advance(seen, account)
        assert float(row.target) == targets[0]
    total = totals_of(read_drift(tmp_path / "paper.journal", deployment))
    assert total.repeated == total.rebuilt == total.compared >= 11
    assert total.same_actions == total.compared
