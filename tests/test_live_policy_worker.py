"""A policy that takes its time: it holds up nothing, and after a deadline its bar goes by without it."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rl_trader.live.core.events import Decided
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.session import Session
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.live_session_stage import BAR_MS, play, random_deployment, recorded_exchange, setup_on, trader_of, until

DEADLINE_S = 0.3


class SlowPolicy:
    """A policy that answers only while it is let."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self.is_let = threading.Event()
        self.is_asked = threading.Event()
        self.is_let.set()

    def targets(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the policy's targets, once it is let."""
        self.is_asked.set()
        self.is_let.wait()
        targets: NDArray[np.float32] = self._policy.targets(observations)
        return targets

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)


def slow(deployment: Deployment) -> tuple[Deployment, SlowPolicy]:
    """Return a deployment with a policy that can be held up."""
    policy = SlowPolicy(deployment.checkpoint.policy)
    return replace(deployment, checkpoint=replace(deployment.checkpoint, policy=policy)), policy  # type: ignore[arg-type]


@pytest.fixture
def exchange(recorded_data: Path) -> LocalExchange:
    return recorded_exchange(recorded_data)


def test_a_policy_that_hangs_holds_up_no_kill_and_its_bars_go_by(
    exchange: LocalExchange, recorded_data: Path, tmp_path: Path
) -> None:
    deployment, policy = slow(random_deployment(recorded_data, tmp_path))
    alerts: list[str] = []

    async def live() -> None:
        setup = replace(setup_on(exchange, deployment, tmp_path), policy_deadline_s=DEADLINE_S)
        async with Session(setup, alerts.append) as session:
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, 1)
            assert session.trader is not None
            state = session.trader.core.state
            while not trader_of(exchange).position("BTCUSDT").amount:
                await play(exchange, session, task, 1)
            assert trader_of(exchange).open_algo_orders
            num_placed = count_placed(exchange)
            policy.is_let.clear()
            try:
                await play(exchange, session, task, 2)  # each bar is over once nobody waits for its decision any more
                assert count_placed(exchange) == num_placed
                assert not state.is_stopped
                policy.is_let.set()
                policy.is_asked.clear()
                await asyncio.sleep(0.1)
                await play(exchange, session, task, 1)
                assert policy.is_asked.is_set()
                policy.is_let.clear()
                while not trader_of(exchange).position("BTCUSDT").amount:
                    policy.is_let.set()
                    await play(exchange, session, task, 1)
                    policy.is_let.clear()
                policy.is_asked.clear()
                await close_bar(session, task)
                await until(policy.is_asked.is_set, task)
                assert state.deciding_ms is not None
                session.ask_to_stop("KILL", "enough", "a test")
                await until(lambda: not trader_of(exchange).position("BTCUSDT").amount, task)
                assert not policy.is_let.is_set()
            finally:
                policy.is_let.set()
            task.cancel()
            await asyncio.wait([task])

    async def close_bar(session: Session, task: "asyncio.Task[None]") -> None:
        begin = exchange.call(exchange.assembly.venue.market_ms) // BAR_MS * BAR_MS
        exchange.advance(begin + BAR_MS - 1)
        exchange.to_next_open()
        assert session.trader is not None
        state = session.trader.core.state
        await until(lambda: state.decided_ms >= begin, task)

    with exchange:
        asyncio.run(live())
    with open_read_only(tmp_path / "paper.journal") as reader:
        faults = [str(event.body["fault"]) for event in reader.events() if event.kind == Decided.__name__]
    assert faults.count("the policy has not answered within 0.3 s") >= 1
    assert any(fault.startswith("the policy is still at work on the bar of 2025-02-0") for fault in faults)
    assert "" in faults[faults.index("the policy has not answered within 0.3 s") :]
    assert any("the policy has not answered" in text for text in alerts)


def count_placed(exchange: LocalExchange) -> int:
    """Return how many orders the account has sent, but for protective ones."""
    return sum(order.algo_id is None for order in trader_of(exchange).orders.values())
