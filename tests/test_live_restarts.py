"""Starts in quick succession: they wait, and after too many deaths nothing is entered until a person has looked."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from rl_trader.live.core.words import StopKind
from rl_trader.live.exchange.budget import SHARE_PERCENT, Limits
from rl_trader.live.exchange.endpoints import Use
from rl_trader.live.preflight.clocks import wall_ms
from rl_trader.live.restarts import LONGEST_PAUSE_MS, MOST_DEATHS, WINDOW_MS, Restarts
from rl_trader.live.session import Session
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.live_session_stage import play, random_deployment, recorded_exchange, session_on, trader_of, until

MINUTE_MS = 60_000
MOST_A_MINUTE = 6  # starts of a loop
NOW = 1_700_000_000_000


def starts_of_a_loop(journal: Path, until_ms: int, *, works: bool) -> list[int]:
    """Start at once whenever a start has died, until a time, and return when it asked the exchange."""
    now, asked = NOW, list[int]()
    while now < NOW + until_ms:
        restarts = Restarts(journal)
        now += restarts.begin(now)
        if works:
            restarts.work()
        asked.append(now)
    return asked


@pytest.mark.parametrize("works", [False, True])
def test_a_loop_of_restarts_starts_less_and_less_often(tmp_path: Path, works: bool) -> None:
    asked = starts_of_a_loop(tmp_path / "journal", 3_600_000, works=works)
    assert [time - NOW for time in asked[:7]] == [0, 1_000, 3_000, 7_000, 15_000, 31_000, 63_000]
    busiest = max(sum(first <= time < first + MINUTE_MS for time in asked) for first in asked)
    assert busiest == MOST_A_MINUTE
    late = [later - earlier for earlier, later in pairwise(asked[7:])]
    assert set(late) == {LONGEST_PAUSE_MS}


def test_a_start_long_after_the_last_and_one_after_an_end_that_was_asked_for_wait_for_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    for _ in range(3):
        ended = Restarts(journal)
        assert ended.begin(NOW) == 0
        ended.work()
        ended.end()
    assert Restarts(journal).begin(NOW) == 0
    assert Restarts(journal).begin(NOW + 400) == 600
    assert Restarts(journal).begin(NOW + 300_000) == 0
    assert Restarts(journal).begin(NOW + 300_000 + WINDOW_MS) == 0
    assert Restarts(journal).begin(NOW) == 0  # the clock was set back


def test_only_deaths_of_a_trader_that_traded_end_the_entries(tmp_path: Path) -> None:
    starts_of_a_loop(tmp_path / "refused", 100_000, works=False)
    refused = Restarts(tmp_path / "refused")
    refused.begin(NOW + 100_000)
    assert refused.halt(NOW) == []
    starts_of_a_loop(tmp_path / "died", 100_000, works=True)
    died = Restarts(tmp_path / "died")
    died.begin(NOW + 100_000)
    (stop,) = died.halt(7)
    assert (stop.t_ms, stop.kind, stop.by) == (7, "HALT", "the start")
    assert stop.reason == f"the trader has died {died.num_deaths} times within 10 minutes; see why"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"\xff\x00 nonsense\n17\n-4 begun\n1e9 begun\n\n"),
        lambda path: path.mkdir(),
    ],
)
def test_a_file_of_starts_that_cannot_be_used_holds_nobody_up(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(tmp_path / "journal.starts")
    restarts = Restarts(tmp_path / "journal")
    assert restarts.begin(NOW) == 0
    restarts.work()
    restarts.end()


# ---- With the trader


def note_deaths(journal: Path, number: int) -> None:
    """Let the trader have died some minutes ago."""
    earlier = wall_ms() - 5 * MINUTE_MS
    text = "".join(f"{earlier + second * 1_000} at-work\n" for second in range(number))
    journal.with_name(f"{journal.name}.starts").write_text(text)


def entries(exchange: LocalExchange) -> list[Order]:
    """Return the account's orders that could make a position larger."""
    return [order for order in trader_of(exchange).orders.values() if not order.reduce_only and order.algo_id is None]


def test_after_a_storm_of_deaths_the_trader_guards_its_position_and_enters_nothing(
    recorded_data: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    deployment, exchange = random_deployment(recorded_data, tmp_path), recorded_exchange(recorded_data)
    starts = tmp_path / "paper.journal.starts"

    async def live(work: Callable[[Session, "asyncio.Task[None]"], object]) -> None:
        async with session_on(exchange, deployment, tmp_path, told.append) as session:
            task = asyncio.create_task(session.run())
            await play(exchange, session, task, 0)
            assert starts.read_text().endswith("at-work\n")
            await work(session, task)  # type: ignore[misc]
            task.cancel()
            await asyncio.wait([task])

    async def enter(session: Session, task: "asyncio.Task[None]") -> None:
        used = session.condition().weight_used
        assert 0 < MOST_A_MINUTE * used < Limits().weight_per_minute * SHARE_PERCENT[Use.ENTRY] // 100
        while not trader_of(exchange).position("BTCUSDT").amount:
            await play(exchange, session, task, 1)

    async def only_guard(session: Session, task: "asyncio.Task[None]") -> None:
        assert session.trader is not None
        state = session.trader.core.state
        assert state.stop_kind is StopKind.HALT
        assert f"died {MOST_DEATHS} times" in state.stop_reason
        num_entries = len(entries(exchange))
        await play(exchange, session, task, 2)
        assert len(entries(exchange)) == num_entries
        account = trader_of(exchange)
        await until(lambda: bool(account.open_algo_orders) == bool(account.position("BTCUSDT").amount), task)

    with exchange:
        asyncio.run(live(enter))
        assert starts.read_text() == ""
        note_deaths(tmp_path / "paper.journal", MOST_DEATHS)
        asyncio.run(live(only_guard))
