"""What a person sees of a session that trades, and what ends it."""

import asyncio
import io
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
    ScalarEvent,
)

from rl_trader.live.core.codec import decode_event
from rl_trader.live.exchange.secrets import Secret
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.monitor.client import Client, NoTraderError
from rl_trader.live.monitor.contact import Contact, contact_path
from rl_trader.live.monitor.leaving import OnExit
from rl_trader.live.monitor.lines import Lines
from rl_trader.live.monitor.live_log import log_folder
from rl_trader.live.monitor.monitor import LOG_AFTER_S, WatchOptions
from rl_trader.live.monitor.table import LiveTable, table
from rl_trader.live.monitor.view import View, from_json
from rl_trader.live.policy.deployment import Deployment
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.browser import Browser
from tests.live_session_stage import DEADLINE_S, random_deployment, recorded_exchange, trader_of, until
from tests.monitor_stage import Watched, watched
from tests.test_parity_run import TRADING

NUM_BARS = 6
NUM_POINTS = 3
SECRET_PATH = "/hooks/T0KEN-of-the-webhook"
STRANGE: dict[str, tuple[int, dict[str, str]]] = {
    "no token": (401, {}),
    "another token": (401, {"Authorization": "Bearer something"}),
    "a token that is no ASCII": (401, {"Authorization": "Bearer \u00fc"}),
    "a name that leads here": (403, {"Host": "rebound.example:80"}),
    "another site's page": (403, {"Origin": "https://evil.example"}),
    "a sandboxed page": (403, {"Origin": "null"}),
}


@dataclass
class Played:
    """What was seen of one session."""

    journal: Path
    view: View
    status: dict[str, Any]
    contact: Contact
    lines: str
    posted: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)  # to strange requests
    headers: dict[str, str] = field(default_factory=dict)  # of the page
    amount: str = ""  # at the exchange, at the end
    num_stops: int = 0  # likewise
    mode: int = 0  # of the contact file, while it ran


@pytest.fixture(scope="module")
def deployment(recorded_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return random_deployment(recorded_data, tmp_path_factory.mktemp("run"))


@pytest.fixture
def exchange(recorded_data: Path) -> Iterator[LocalExchange]:
    with recorded_exchange(recorded_data) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def played(recorded_data: Path, deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Played:
    with recorded_exchange(recorded_data) as exchange:
        return asyncio.run(_play(exchange, deployment, tmp_path_factory.mktemp("journal")))


async def _play(exchange: LocalExchange, deployment: Deployment, folder: Path) -> Played:
    posted: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        posted.append(await request.json())
        return web.Response(status=204)

    app = web.Application()
    app.add_routes([web.post(SECRET_PATH, take)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    options = WatchOptions(webhook=Secret(f"http://127.0.0.1:{runner.addresses[0][1]}{SECRET_PATH}"))
    out = io.StringIO()
    try:
        async with watched(exchange, deployment, folder, Lines(out), options) as work:
            await work.play(NUM_BARS)
            await _play_until_logged(work, folder / "paper.journal")
            await work.play_until_held()
            seen = await _seen(work, folder / "paper.journal")
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.wait([work.task])
            work.task.result()
    finally:
        await runner.cleanup()
    held = trader_of(exchange)
    seen.lines, seen.posted = out.getvalue(), posted
    seen.amount, seen.num_stops = str(held.position("BTCUSDT").amount), len(held.open_algo_orders)
    return seen


async def _play_until_logged(work: Watched, journal: Path) -> None:
    """Let bars close until TensorBoard has points; bars close faster here than the account is known after each."""
    async with asyncio.timeout(DEADLINE_S):
        while len(_points(journal, "account/margin_balance")) < NUM_POINTS:
            await work.play(1)
            await asyncio.sleep(2 * LOG_AFTER_S)


def _points(journal: Path, tag: str) -> list[ScalarEvent]:
    """Return the points of a tag that are written so far."""
    if not log_folder(journal).exists():
        return []
    events = EventAccumulator(str(log_folder(journal)), size_guidance={"scalars": 0})
    events.Reload()
    points: list[ScalarEvent] = events.Scalars(tag) if tag in events.Tags()["scalars"] else []
    return points


async def _seen(work: Watched, journal: Path) -> Played:
    contact = work.monitor.contact
    assert contact is not None
    status = await asyncio.to_thread(lambda: Client(journal).status())
    seen = Played(journal, work.monitor.view(), status, contact, "", mode=contact_path(journal).stat().st_mode & 0o777)
    address = f"http://127.0.0.1:{contact.port}"
    async with aiohttp.ClientSession() as session:
        for name, (_, headers) in STRANGE.items():
            known = {"Authorization": f"Bearer {contact.token.reveal()}"} if "oken" not in name else {}
            async with session.get(f"{address}/api/status", headers=known | headers) as answer:
                seen.answers[name] = answer.status
        async with session.post(f"{address}/api/kill", headers=STRANGE["another token"][1], json={"reason": "x"}) as no:
            seen.answers["a kill without the token"] = no.status
        known = {"Authorization": f"Bearer {contact.token.reveal()}"}
        for name, body in (("no reason", {"reason": " "}), ("lines", {"reason": "a\nb"}), ("a list", [])):
            async with session.post(f"{address}/api/kill", headers=known, json=body) as answer:
                seen.answers[name] = answer.status
        async with session.post(f"{address}/api/kill", headers=known, data="reason=x") as answer:
            seen.answers["a form"] = answer.status
        async with session.post(f"{address}/api/resume", headers=known, json={"reason": "x"}) as answer:
            seen.answers["nothing to resume"] = answer.status
        async with session.get(address) as answer:
            seen.headers = dict(answer.headers)
    return seen


# ---- What is seen


def test_the_account_is_shown_as_the_exchange_has_it(played: Played) -> None:
    account = played.view.account
    assert account is not None
    assert str(account.amount) == played.amount
    assert account.equity == account.wallet_balance + account.unrealized_pnl
    pnl = account.amount * (account.mark_price - account.entry_price)
    assert abs(account.unrealized_pnl - pnl) <= Decimal("1e-8")
    assert account.exposure == pytest.approx(float(account.amount * account.mark_price / account.equity))
    assert 0.0 < account.margin_ratio < 1.0
    assert account.liquidation_price is not None
    assert (account.liquidation_price < account.mark_price) == (account.amount > 0)


def test_decisions_and_orders_are_shown_newest_first_with_their_latency(played: Played) -> None:
    view = played.view
    bars = [decision.open_ms for decision in view.decisions]
    assert len(bars) >= NUM_BARS - 1
    assert bars == sorted(bars, reverse=True)
    assert view.decision_age_ms == view.time_ms - view.decisions[0].t_ms
    filled = [order for order in view.last_orders if order.state == "FILLED"]
    assert filled
    assert all(order.latency_ms is not None and 0 < order.latency_ms < 60_000 for order in filled)
    # The exchange replays hours in seconds, so that only the first bars close before its clock.
    assert all(order.after_close_ms is None or order.after_close_ms >= 0 for order in view.last_orders)
    assert {order.purpose for order in view.open_stops} == {"STOP", "TAKE_PROFIT"}
    assert all(order.trigger_price for order in view.open_stops)


def test_health_is_shown(played: Played) -> None:
    health = played.view.health
    assert health.is_user_stream_up
    assert health.is_reconciled
    assert health.unknown_orders == health.monitor_faults == 0
    assert 0 < health.weight_used < health.weight_limit
    assert health.clock_error_ms is not None


def test_what_the_server_tells_is_the_view(played: Played) -> None:
    told = from_json(json.loads(json.dumps(played.status)))
    assert told.account is not None
    assert played.view.account is not None
    assert told.account.amount == played.view.account.amount
    assert told.decisions == played.view.decisions
    assert told.run == "random"
    assert told.mode == "paper"


def test_the_table_has_every_figure(played: Played) -> None:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(table(played.view))
    drawn = console.export_text()
    account = played.view.account
    assert account is not None
    for text in ("random", "BTCUSDT 30m", "paper", f"{account.equity:,.2f} USDT", "margin ratio", "STOP", "loop lag"):
        assert text in drawn, drawn
    assert max(map(len, drawn.splitlines())) <= 120


def test_a_trader_that_is_armed_says_until_when(played: Played) -> None:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(table(replace(played.view, mode="live", armed_until_ms=1_738_800_000_000)))
    assert "live  armed until 2025-02-06T00:00Z" in console.export_text()
    assert played.view.armed_until_ms is None


def test_the_table_is_drawn_over_itself_without_clearing_the_screen(played: Played) -> None:
    out = io.StringIO()
    with LiveTable(Console(width=120, height=40, file=out, force_terminal=True)) as display:
        display.show(played.view)
        display.say("something has happened")
        display.show(played.view)
    assert "\x1b[1A" in out.getvalue()  # up a line
    assert "\x1b[2J" not in out.getvalue()  # clear the screen
    assert out.getvalue().count("something has happened") == 1


def test_without_a_terminal_each_decision_is_a_line(played: Played) -> None:
    lines = played.lines.splitlines()
    assert sum(line.startswith("bar of 2025-02-03T") for line in lines) >= NUM_BARS - 1
    assert sum("random trades BTCUSDT 30m on paper" in line for line in lines) == 1
    assert any(", TRADING, equity " in line for line in lines)


def test_tensorboard_has_at_most_a_point_a_bar(played: Played) -> None:
    points = _points(played.journal, "account/margin_balance")
    steps = [point.step for point in points]
    assert len(steps) >= NUM_POINTS
    assert steps == sorted(set(steps))
    shared = ["eval/margin_balance", "eval/max_drawdown", "account/exposure"]
    assert all(_points(played.journal, tag) for tag in [*shared, "live/order_latency_ms", "live/target_position"])
    returns = _points(played.journal, "eval/total_return")
    assert returns[-1].value == pytest.approx(points[-1].value / 10_000 - 1.0, abs=1e-6)


def test_alerts_are_posted_and_the_webhooks_address_is_nowhere(played: Played) -> None:
    texts = [post["text"] for post in played.posted]
    assert any(text.startswith("ended; the position of") for text in texts)
    assert {(post["run"], post["mode"], post["symbol"]) for post in played.posted} == {("random", "paper", "BTCUSDT")}
    assert "T0KEN" not in json.dumps(played.status) + played.lines + json.dumps(played.posted)
    for path in played.journal.parent.rglob("*"):
        assert not path.is_file() or b"T0KEN" not in path.read_bytes(), path


# ---- Who may ask


def test_only_who_has_the_token_and_comes_from_here_is_answered(played: Played) -> None:
    strange = {name: status for name, (status, _) in STRANGE.items()}
    bad = {"a kill without the token": 401, "no reason": 400, "lines": 400, "a list": 400, "a form": 415}
    assert played.answers == strange | bad | {"nothing to resume": 409}
    assert played.view.stop is None


def test_the_page_may_load_nothing_from_elsewhere_and_be_shown_in_no_frame(played: Played) -> None:
    policy = played.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert played.headers["Referrer-Policy"] == "no-referrer"


def test_the_token_is_in_one_file_for_its_user_alone_and_only_while_it_runs(played: Played) -> None:
    token = played.contact.token.reveal()
    assert played.mode == 0o600
    assert not contact_path(played.journal).exists()
    assert token not in played.lines + json.dumps(played.status)
    with pytest.raises(NoTraderError, match=r"a trader must run on .* and none does"):
        Client(played.journal)


# ---- Its end


def test_ctrl_c_holds_the_position_with_its_stop(played: Played) -> None:
    assert played.amount != "0"
    assert played.num_stops == 2  # stop and take-profit
    assert f"ended; the position of {played.amount} stays, with its stop at " in played.lines


def test_flatten_closes_the_position_before_the_end_and_latches_nothing(
    exchange: LocalExchange, deployment: Deployment, tmp_path: Path
) -> None:
    out = io.StringIO()

    async def live() -> None:
        async with watched(exchange, deployment, tmp_path, Lines(out), WatchOptions(on_exit=OnExit.FLATTEN)) as work:
            await work.play_until_held()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait([work.task])
            work.task.result()

    asyncio.run(live())
    assert not trader_of(exchange).position("BTCUSDT").amount
    assert not trader_of(exchange).open_algo_orders
    last = list(trader_of(exchange).orders.values())[-1]
    assert last.reduce_only
    with open_read_only(tmp_path / "paper.journal") as reader:
        assert reader.latched_stops() == []
        kinds = {type(decode_event(event.kind, event.body)).__name__ for event in reader.events()}
    assert "StopAsked" not in kinds
    assert "ended; no position is held" in out.getvalue()


def test_a_position_without_a_stop_is_not_left_alone_unless_somebody_insists(
    exchange: LocalExchange, recorded_data: Path, tmp_path: Path
) -> None:
    trading = replace(TRADING, stop_loss=None, take_profit=None)
    deployment = random_deployment(recorded_data, tmp_path, trading)
    out = io.StringIO()

    async def live() -> None:
        async with watched(exchange, deployment, tmp_path, Lines(out)) as work:
            while not trader_of(exchange).position("BTCUSDT").amount:
                await work.play(1)
            os.kill(os.getpid(), signal.SIGINT)
            await until(lambda: "has none; the trader goes on" in out.getvalue(), work.task)
            await work.play(1)
            assert not work.task.done()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.wait([work.task])
            assert work.task.cancelled()

    asyncio.run(live())


# ---- The page


def test_the_page_shows_live_figures_kills_and_resumes(
    exchange: LocalExchange, deployment: Deployment, tmp_path: Path
) -> None:
    async def live() -> None:
        async with watched(exchange, deployment, tmp_path, Lines(io.StringIO())) as work, Browser(tmp_path) as tab:
            await work.play_until_held()
            contact = work.monitor.contact
            assert contact is not None
            await tab.go(f"http://127.0.0.1:{contact.port}/")
            await tab.until("!document.querySelector('#token-form').hidden")
            await tab.go(contact.page)
            await tab.until("document.querySelector('#equity').innerText.length > 3")
            await _compare(tab, work)
            assert await tab.evaluate("location.hash + document.cookie") == ""
            equity = await tab.text("#equity")
            await work.play(1)
            await tab.until(f"document.querySelector('#equity').innerText !== {equity!r}")
            await work.play_until_held()
            await _answer(tab, "kill", "seen enough")
            await work.until_flat()
            await tab.until("document.querySelector('#phase').innerText === 'killed'")
            await tab.until("document.querySelector('#position').innerText === 'Flat'")
            assert "seen enough (by the page)" in await tab.text("#stop-reason")
            await _answer(tab, "resume", "understood")
            await tab.until("document.querySelector('#stop').hidden")
            state = work.monitor.session.trader
            assert state is not None
            assert not state.core.state.is_stopped
            assert tab.messages == []
            work.monitor.ask_to_leave()
            work.monitor.ask_to_leave()
            await asyncio.wait([work.task])
            assert work.task.cancelled()
            await tab.until("!document.querySelector('#lost').hidden")
            assert "No answer from the trader." in await tab.text("#lost")

    asyncio.run(live())


async def _compare(tab: Browser, work: Watched) -> None:
    """Compare what the page shows with the view."""
    view = work.monitor.view()
    assert view.account is not None
    await tab.until(f"document.querySelector('#equity').innerText === '{view.account.equity:,.2f}'")
    side = "Long" if view.account.amount > 0 else "Short"
    assert await tab.text("#position") == f"{side} {abs(view.account.amount).normalize():f}"
    assert await tab.evaluate("document.querySelectorAll('#orders tr.open').length") == len(view.open_stops)
    assert await tab.evaluate("document.querySelectorAll('#decisions tbody tr').length") == len(view.decisions)
    await tab.until("document.querySelector('#curve .line')?.getAttribute('d').length > 10")  # two points: two seconds
    for width in (1280, 390):
        await tab.size(width, 900)
        assert await tab.evaluate("document.documentElement.scrollWidth") <= width


async def _answer(tab: Browser, name: str, reason: str) -> None:
    """Click a button, give the reason, and confirm."""
    await tab.until(f"!document.querySelector('#{name}').disabled")
    await tab.evaluate(f"document.querySelector('#{name}').click()")
    await tab.evaluate(f"document.querySelector('#{name}-reason').value = {reason!r}")
    await tab.evaluate(f"document.querySelector('#{name}-dialog [type=submit]').click()")
    await tab.until(f"!document.querySelector('#{name}-dialog').open")


# ---- A terminal that is gone


def test_what_cannot_be_shown_is_counted_and_the_trader_goes_on(
    exchange: LocalExchange, deployment: Deployment, tmp_path: Path
) -> None:
    out = io.StringIO()

    async def live() -> None:
        async with watched(exchange, deployment, tmp_path, Lines(out)) as work:
            out.close()
            await work.play(2)
            await until(lambda: work.monitor.view().health.monitor_faults > 0, work.task)
            assert len(work.monitor.view().decisions) >= 1

    asyncio.run(live())
