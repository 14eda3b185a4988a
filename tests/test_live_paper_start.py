"""Paper in two commands: a local exchange tells its keys, caps are made out of the run, and live does not take them."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web

from rl_trader.errors import ConfigError
from rl_trader.live.core.caps import NOT_FOR_LIVE, load_caps
from rl_trader.live.exchange.local_keys import ask_local_keys
from rl_trader.live.exchange.venue import DEMO, Venue, VenueName
from rl_trader.live.launch import Launch, Order, prepare
from rl_trader.live.paper_caps import keep_paper_caps, paper_caps
from rl_trader.live.policy.deployment import Deployment, load_deployment
from rl_trader.live.redaction import Redactor
from tests.deploy_stage import SYMBOL, TRADING, embedded_exchange, embedded_run, write_caps

REPO = Path(__file__).parents[1]
PATIENCE_S = 240.0
LIVE_KEYS = {"RL_TRADER_LIVE_API_KEY": "k" * 64, "RL_TRADER_LIVE_API_SECRET": "s" * 64}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedded_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def deployment(run: Path) -> Deployment:
    return load_deployment(run)


def prepared(run: Path, mode: VenueName, caps: Path | None) -> Launch:
    hours = 1.0 if mode is VenueName.LIVE else None
    return prepare(Order(run=run, mode=mode, caps=caps, hours=hours), LIVE_KEYS, None, Redactor())


# ---- Caps


def test_caps_for_paper_let_a_run_trade_as_it_was_trained_and_not_by_much_more(deployment: Deployment) -> None:
    # Trained with 10,000 USDT, exposure 5 at most, leverage 10 and bars of 30 minutes, of which a day has 48.
    caps = paper_caps(deployment)
    caps.check_run(SYMBOL, deployment.trading)
    assert caps.symbols == (SYMBOL,)
    assert caps.max_leverage == Decimal("7.5")
    assert caps.max_order_notional == caps.max_position_notional == Decimal(75_000)
    assert caps.orders_per_day == 192
    assert caps.turnover_per_day == 2 * 48 * Decimal(75_000)
    assert caps.min_liquidation_distance == Decimal("0.025")  # a quarter of what leverage 10 leaves


def test_caps_that_the_run_was_trained_under_are_those_of_paper(deployment: Deployment) -> None:
    trading = replace(TRADING, max_order_notional=123.5, max_position_notional=456.0, max_leverage=5.0)
    checkpoint = replace(deployment.checkpoint, env=replace(deployment.checkpoint.env, trading=trading))
    caps = paper_caps(replace(deployment, checkpoint=checkpoint))
    assert caps.max_order_notional == Decimal("123.5")
    assert caps.max_position_notional == Decimal(456)
    assert caps.max_leverage == Decimal(5)


def test_caps_for_paper_are_written_told_and_kept_as_a_person_changes_them(
    deployment: Deployment, tmp_path: Path
) -> None:
    path, said = keep_paper_caps(tmp_path, deployment)
    assert load_caps(path).caps == paper_caps(deployment)
    assert str(path) in said
    assert "max_order_notional 75000" in said
    assert "max_daily_loss 0.1" in said
    write_caps(path, replace(paper_caps(deployment), orders_per_day=7))
    again, said = keep_paper_caps(tmp_path, deployment)
    assert again == path
    assert "those of" in said
    assert load_caps(path).caps.orders_per_day == 7
    with pytest.raises(ConfigError, match=r"cannot be .*; give your own by --caps"):
        keep_paper_caps(tmp_path / "nowhere", deployment)


def test_live_refuses_caps_that_were_made_for_paper_until_somebody_has_changed_the_file(
    run: Path, deployment: Deployment, tmp_path: Path
) -> None:
    path, _ = keep_paper_caps(tmp_path, deployment)
    with pytest.raises(ConfigError, match="made for paper and nobody has weighed them"):
        prepared(run, VenueName.LIVE, path)
    data = json.loads(path.read_text())
    del data[NOT_FOR_LIVE]
    path.write_text(json.dumps(data))
    assert prepared(run, VenueName.LIVE, path).caps == paper_caps(deployment)


@pytest.mark.parametrize("mode", [VenueName.LIVE, VenueName.DEMO])
def test_no_caps_are_made_where_the_exchange_is_not_ones_own(run: Path, mode: VenueName) -> None:
    before = sorted(run.iterdir())
    with pytest.raises(ConfigError, match=f"mode {mode} needs the operator's caps and there are none; give --caps"):
        prepared(run, mode, None)
    assert sorted(run.iterdir()) == before


# ---- Keys


def test_a_local_exchange_tells_the_keys_of_its_accounts() -> None:
    with embedded_exchange(accounts=("main", "other")) as (exchange, asked):
        venue = Venue.paper(exchange.url, exchange.ws_url)
        for own in exchange.assembly.keys:
            told = asyncio.run(ask_local_keys(venue, own.account))
            assert (told.key.reveal(), told.secret.reveal()) == (own.key, own.secret)
        with pytest.raises(ConfigError, match="has no account 'third'; name one of it by --account: main, other"):
            asyncio.run(ask_local_keys(venue, "third"))
        assert asked.changes == []
    with pytest.raises(ConfigError, match=r"no local exchange answers at .*; start one by"):
        asyncio.run(ask_local_keys(venue, "main"))


@pytest.mark.parametrize("body", ["", "{}", "[1]", '[{"account": "main"}]', '[{"account": "main", "apiKey": ""}]'])
def test_what_is_no_local_exchange_is_said_to_be_none(body: str) -> None:
    asyncio.run(ask_what_answers(body))


async def ask_what_answers(body: str) -> None:
    """Ask something that is no local exchange for keys, which is refused."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=body)

    application = web.Application()
    application.router.add_get("/local/v1/keys", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        with pytest.raises(ConfigError, match=r"does not tell the keys|has no account"):
            await ask_local_keys(Venue.paper(address, "ws://127.0.0.1:1"), "main")
    finally:
        await runner.cleanup()


def test_no_other_venue_is_asked_for_keys() -> None:
    with pytest.raises(ConfigError, match="keys for venue demo must be given"):
        asyncio.run(ask_local_keys(DEMO, "main"))


# ---- Both together


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a process of its own, without any key in its environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RL_TRADER_")}
    with subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        cwd=REPO,
        env=environment | {"PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Return what a process writes up to the line that has a pattern."""
    assert process.stdout is not None
    said, until = "", time.monotonic() + PATIENCE_S
    while not re.search(pattern, said):
        line = process.stdout.readline()
        said += line
        assert line, said
        assert time.monotonic() < until, said
    return said


def test_a_run_trades_on_paper_by_two_commands_without_keys_or_caps(run: Path) -> None:
    with started("scripts.local_exchange", "--speed", 600, "--port", 0) as exchange:
        said = read_until(exchange, "client = Client")
        url, streams = (re.search(rf"^{name}: +(\S+)$", said, re.MULTILINE) for name in ("REST", "WebSocket"))
        assert url is not None
        assert streams is not None
        with started("scripts.deploy", run, "--rest", url[1], "--streams", streams[1], "--lines") as trader:
            said = read_until(trader, r"bar of \S+: target")
            trader.send_signal(signal.SIGINT)
            assert trader.stdout is not None
            said += trader.stdout.read()
            assert trader.wait(PATIENCE_S) == 0, said
    assert "keys of the account main: those of the local exchange" in said
    assert f"written to {run / f'paper-caps-{SYMBOL}.json'}" in said
