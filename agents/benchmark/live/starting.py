"""How soon the live trader is at work again: a whole restart, and the bars that it has missed."""

import asyncio
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from agents.benchmark.effort import Effort
from agents.benchmark.live.decisions import SessionProcess, live_hash
from agents.benchmark.live.long_journal import lengthen
from agents.benchmark.live.stage import BAR_MS, INTERVAL, MARK_INTERVAL, Place, exchange, write_stage
from agents.benchmark.market import SYMBOL
from agents.benchmark.measure import Contest
from rl_trader.contract import load_terms
from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.server_clock import ServerClock
from rl_trader.live.exchange.venue import Gate, Venue
from rl_trader.live.exchange.wire import AiohttpTransport
from rl_trader.live.journal.reader import open_read_only
from rl_trader.live.policy.deployment import load_deployment
from rl_trader.live.redaction import Redactor
from rl_trader.live.streams.bar_series import BarSeries, SeriesNeeds
from rl_trader.live.streams.line_keeper import Backoff
from rl_trader.live.streams.market_feed import MarketFeed
from rl_trader.live.streams.market_news import FeedEvent
from rl_trader.live.streams.market_stream import MarketData, MarketStream
from rl_trader.live.streams.sockets import Dialer, MachineClock

NUM_MISSED: Final = 1_500
PAGE: Final = 1_000  # rows of an answer

_MODULES: Final = "import rl_trader.live.session, rl_trader.live.policy.deployment"
_LOOK_S: Final = 0.002
_CALM_S: Final = 6.0  # in which a snapshot that is due is taken
_MS_PER_DAY: Final = 86_400_000
_PATIENCE_S: Final = 60.0


@contextmanager
def restart(effort: Effort) -> Iterator[Contest]:
    """Seconds from the start of a process until it could decide, with a long journal, a position and a stop.

    By then checkpoint and journal are loaded, the account is reconciled, the streams are up, and every bar of the
    window is there. The journal has days of 1-minute bars, and a snapshot that the trader itself has taken of them.
    """
    with tempfile.TemporaryDirectory(prefix="rl_trader_bench_") as name, ExitStack() as stack:
        folder = Path(name)
        write_stage(folder)
        place = stack.enter_context(exchange(folder))
        journal = folder / "bench.journal"
        with SessionProcess(folder, place, place.port, journal):
            pass
        num_events = lengthen(journal, load_deployment(folder / "checkpoint"), effort.num_days)
        _advance(place, effort.num_days * _MS_PER_DAY // BAR_MS)
        with SessionProcess(folder, place, place.port, journal) as session:
            session.play(effort.num_decisions)
            time.sleep(_CALM_S)
        _require_snapshot(journal, num_events)

        def start() -> float:
            begin = time.perf_counter()
            with SessionProcess(folder, place, place.port, journal):
                return time.perf_counter() - begin

        yield Contest(
            subject=start,
            reference=_import_modules,
            reference_name="starting Python and importing the trader",
            config=live_hash(),
        )


def _require_snapshot(journal: Path, num_events: int) -> None:
    with open_read_only(journal) as reader:
        newest = next(reader.snapshots(), None)
    if newest is None or newest.seq < num_events:
        raise RuntimeError(f"the trader must take a snapshot after {num_events} events, and the newest is {newest}")


def _advance(place: Place, num_bars: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", place.port)
    for _ in range(num_bars):
        connection.request("POST", "/local/v1/advance?bars=1")
        connection.getresponse().read()
    connection.close()


def _import_modules() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", _MODULES], check=True)
    return time.perf_counter() - begin


@contextmanager
def backfill(_effort: Effort) -> Iterator[Contest]:
    """Seconds from connecting until a window of ``NUM_MISSED`` bars is whole, over sockets."""
    with tempfile.TemporaryDirectory(prefix="rl_trader_bench_") as name, ExitStack() as stack:
        folder = Path(name)
        write_stage(folder)
        place = stack.enter_context(exchange(folder))
        yield Contest(
            subject=lambda: asyncio.run(_backfill(place)),
            reference=lambda: _read_pages(place),
            reference_name="the answers with the bars alone, over one connection",
            config=live_hash(),
        )


async def _backfill(place: Place) -> float:
    venue = Venue.paper(f"http://127.0.0.1:{place.port}", f"ws://127.0.0.1:{place.port}")
    gate, clock = Gate(venue), MachineClock()
    terms = load_terms(SYMBOL, None)
    series = BarSeries(
        SeriesNeeds(terms=terms, interval=INTERVAL, num_bars=NUM_MISSED, mark_intervals=(MARK_INTERVAL,))
    )
    now_ms = _now_ms(place)
    transport, dialer = AiohttpTransport(gate), Dialer(gate, venue.streams)
    rest = Rest(venue, transport, ServerClock(clock.monotonic_ms), redactor=Redactor())
    begin = time.perf_counter()
    data = MarketData([MarketFeed(series)], rest, clock, _ignore)
    stream = MarketStream(dialer, [(SYMBOL, INTERVAL)], data.take, clock, Backoff(lambda: 0.5))
    async with _running(data, stream), asyncio.timeout(_PATIENCE_S):
        while not series.is_ready(now_ms // BAR_MS * BAR_MS):
            await asyncio.sleep(_LOOK_S)
        elapsed = time.perf_counter() - begin
    await dialer.close()
    await rest.close()
    return elapsed


async def _ignore(_event: FeedEvent) -> None:
    """Take what a feed tells."""


@asynccontextmanager
async def _running(data: MarketData, stream: MarketStream) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(data.run()), asyncio.create_task(stream.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _now_ms(place: Place) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", place.port)
    connection.request("GET", "/local/v1/clock")
    now: int = json.loads(connection.getresponse().read())["serverTime"]
    connection.close()
    return now


def _read_pages(place: Place) -> float:
    until = _now_ms(place) // BAR_MS * BAR_MS
    since = until - NUM_MISSED * BAR_MS
    begin = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", place.port)
    num_rows = 0
    for start in range(since, until, PAGE * BAR_MS):
        query = f"symbol={SYMBOL}&interval={INTERVAL}&startTime={start}&endTime={until - 1}&limit={PAGE}"
        connection.request("GET", f"/fapi/v1/klines?{query}")
        num_rows += len(json.loads(connection.getresponse().read()))
    connection.close()
    if num_rows != NUM_MISSED:
        raise RuntimeError(f"{NUM_MISSED} bars were asked for and {num_rows} have come; all should have")
    return time.perf_counter() - begin
