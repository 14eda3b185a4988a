"""Alerts to a webhook arrive, or are counted as lost; the trader waits for none, and nobody reads the address."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from rl_trader.errors import ConfigError
from rl_trader.live.exchange.secrets import Secret
from rl_trader.live.monitor import webhook
from rl_trader.live.monitor.curve import Curve, Point
from rl_trader.live.monitor.webhook import MOST_WAITING, Webhook, webhook_address

Answer = Callable[[web.Request], Awaitable[web.Response]]
PATH = "/hook/s3cret"


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    """Let a server answer what is posted, and return its address."""
    app = web.Application()
    app.add_routes([web.post(PATH, answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def posting(hook: Webhook) -> AsyncIterator[None]:
    task = asyncio.create_task(hook.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)


def test_what_fails_is_told_once_without_the_address_and_so_is_its_end() -> None:
    told: list[str] = []
    statuses = iter([500, 302, 200, 200])

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=next(statuses), headers={"Location": "http://127.0.0.1:1/elsewhere"})

    async def deliver() -> Webhook:
        async with listening(answer) as address:
            hook = Webhook(Secret(address), {"run": "a"}, told.append)
            async with posting(hook):
                for number in range(4):
                    hook.post(number, "text")
                await until(lambda: hook.num_delivered + hook.num_lost == 4)
        return hook

    hook = asyncio.run(deliver())
    assert (hook.num_delivered, hook.num_lost) == (2, 2)
    assert told == ["the webhook takes no alerts: it answers with status 500", "the webhook takes alerts again"]


def test_nobody_who_listens_is_told_without_the_address() -> None:
    told: list[str] = []

    async def deliver() -> None:
        hook = Webhook(Secret(f"http://127.0.0.1:1{PATH}"), {}, told.append)
        async with posting(hook):
            hook.post(0, "text")
            await until(lambda: hook.num_lost == 1)

    asyncio.run(deliver())
    assert told == ["the webhook takes no alerts: it cannot be reached (ClientConnectorError)"]


def test_a_slow_webhook_holds_nobody_up_and_what_is_too_much_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "LAST_S", 0.05)
    taken: list[object] = []

    async def deliver() -> Webhook:
        may_answer = asyncio.Event()

        async def answer(request: web.Request) -> web.Response:
            taken.append(await request.json())
            await may_answer.wait()
            return web.Response()

        async with listening(answer) as address:
            hook = Webhook(Secret(address), {"mode": "paper"}, lambda _text: None)
            async with posting(hook):
                hook.post(7, "first")
                await until(lambda: bool(taken))
                for number in range(MOST_WAITING + 5):  # returns at once, though nobody answers
                    hook.post(number, "more")
                assert hook.num_lost == 5
            may_answer.set()
        return hook

    hook = asyncio.run(deliver())
    assert taken[0] == {"text": "first", "mode": "paper", "t_ms": 7}
    assert hook.num_delivered == 0
    assert hook.num_lost >= MOST_WAITING


def test_what_waits_at_the_end_is_posted_yet() -> None:
    taken: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        taken.append((await request.json())["text"])
        return web.Response()

    async def deliver() -> None:
        async with listening(answer) as address:
            hook = Webhook(Secret(address), {}, lambda _text: None)
            async with posting(hook):
                await asyncio.sleep(0)
                hook.post(0, "killed")
                hook.post(1, "ended")

    asyncio.run(deliver())
    assert taken == ["killed", "ended"]


@pytest.mark.parametrize("text", ["https://hooks.example/T0/B1?x=1", "http://127.0.0.1:8000/a", "http://[::1]:1/"])
def test_an_address_is_taken(text: str) -> None:
    assert webhook_address(f" {text} ").reveal() == text


@pytest.mark.parametrize(
    "text",
    [
        "http://hooks.example/s3cret",
        "ftp://127.0.0.1/s3cret",
        "s3cret",
        "https://",
        "http://localhost/s3cret",
        "http://[s3cret",
    ],
)
def test_another_address_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="the webhook must be an https address") as caught:
        webhook_address(text)
    assert "s3cret" not in str(caught.value)


# ---- The equity curve


@given(st.lists(st.integers(-50, 400), min_size=1, max_size=300))
def test_a_curve_has_few_points_in_order_and_its_ends(steps: list[int]) -> None:
    curve, now, newest = Curve(most=10, spacing_ms=100), 1_000, 0
    for step in steps:
        now += step
        curve.add(now, float(now))
        newest = max(newest, now)
    points = curve.points()
    times = [point.t_ms for point in points]
    assert 1 <= len(points) <= 11
    assert times == sorted(set(times))
    assert times[0] == 1_000 + steps[0]
    assert points[-1] == Point(newest, float(newest))
