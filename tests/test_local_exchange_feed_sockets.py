"""Paper trading over sockets: the local exchange follows another one on loopback, also when connections fail."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import pytest
import requests

from rl_trader.errors import ConfigError, DownloadError
from rl_trader.local_exchange.assembly import Setup, machine_ms
from rl_trader.local_exchange.market.live_questions import ENDPOINTS, Question
from rl_trader.local_exchange.market.replay import SmoothReplay
from rl_trader.local_exchange.protocol.limits import UNLIMITED, Limits, LimitTerms
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.shells.feed import Followed
from rl_trader.local_exchange.shells.feed_rest import PublicData
from rl_trader.local_exchange.shells.http import HttpServer
from rl_trader.local_exchange.shells.local import LocalExchange
from rl_trader.local_exchange.shells.pacing import Pace
from rl_trader.local_exchange.shells.server_thread import ServerThread
from rl_trader.local_exchange.shells.signed_client import signed_query
from rl_trader.local_exchange.shells.websocket import StreamRoutes
from rl_trader.local_exchange.streams.connection import Connection
from scripts import local_exchange
from tests.called_scripts import Answer, script_caller
from tests.feed_stage import Upstream
from tests.market_tables import MINUTE, START, random_bars, recording

REPO = Path(__file__).parents[1]
PAST = 10  # bars before following begins
SERIES = {"klines": "symbol", "markPriceKlines": "symbol", "indexPriceKlines": "pair", "premiumIndexKlines": "symbol"}


class Served:
    """An exchange on loopback that notes what it is asked and can be silenced; a context manager.

    Args:
        upstream: That is served.
        port: 0 takes a free one.
    """

    def __init__(self, upstream: Upstream, port: int = 0) -> None:
        self.upstream = upstream
        self.requests: list[Request] = []
        self.pass_frame: Callable[[str], Iterable[str]] = lambda text: (text,)
        self.is_down = False
        self._routes = StreamRoutes(upstream.venue.hub, machine_ms, interceptor=self._pass, handshakes=self)
        server = HttpServer(
            upstream.assembly.dispatcher, interceptor=self, add_routes=[self._routes.add_routes], port=port
        )
        self.thread = ServerThread(server)

    async def intercept(self, request: Request, proceed: Callable[[Request], Response]) -> Response:
        """Note a request, of REST or for a WebSocket, and let it be answered unless REST is down."""
        self.requests.append(request)
        if self.is_down and not request.path.endswith("/stream"):
            return Response(503, {}, b'{"code": -1001, "msg": "Service Unavailable."}')
        return proceed(request)

    def _pass(self, connection: Connection, stream: str, text: str) -> Iterable[str]:
        return self.pass_frame(text)

    def __enter__(self) -> Self:
        self.thread.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.thread.__exit__(kind, error, traceback)

    @property
    def followed(self) -> Followed:
        """Its addresses, and patience for a replay that stands still."""
        return self.followed_for(60_000)

    def followed_for(self, stale_after_ms: int) -> Followed:
        """Return its addresses, and patience."""
        return Followed(
            rest_url=self.thread.url,
            ws_url=self.thread.ws_url,
            num_bars=PAST,
            stale_after_ms=stale_after_ms,
            backoff_s=0.05,
        )

    @property
    def num_connections(self) -> int:
        """How many WebSockets are open."""
        return self.thread.call(lambda: len(self._routes.connections))

    @property
    def num_handshakes(self) -> int:
        """How many WebSockets were asked for."""
        return sum(request.path.endswith("/stream") for request in self.requests)

    def play(self, num_opens: int = 1) -> None:
        """Let the replay go on."""
        self.thread.call(lambda: [self.upstream.venue.to_next_open() for _ in range(num_opens)])

    def cut(self, num_opens: int = 0) -> None:
        """Cut every connection, and let the replay go on before there can be others."""

        def run() -> None:
            for connection in self._routes.connections:
                self._routes.cut(connection)
            for _ in range(num_opens):
                self.upstream.venue.to_next_open()

        self.thread.call(run)

    def get(self, path: str, **parameters: object) -> Any:
        """Return an answer without a socket, so that it is not noted."""
        return self.thread.call(lambda: self.upstream.get(path, **parameters))


def served(num_bars: int = 60, interval: str = "30m", seed: int = 1, **options: Any) -> Served:
    made = recording(random_bars(num_bars, seed), interval)
    return Served(Upstream(made, start_ms=START + PAST * made.interval_ms, **options))


@contextmanager
def following(theirs: Served, followed: Followed | None = None, interval: str = "30m") -> Iterator[LocalExchange]:
    with LocalExchange(Setup(interval=interval, limits=UNLIMITED), followed=followed or theirs.followed) as paper:
        wait_until(lambda: theirs.num_connections == 2)
        yield paper


def wait_until(is_so: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something that happens soon, and fail if it does not."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def get(exchange: LocalExchange, path: str, **parameters: Any) -> Any:
    return requests.get(f"{exchange.url}/fapi/{path}", params=parameters, timeout=10).json()


def differences(theirs: Served, paper: LocalExchange, interval: str = "30m") -> list[str]:
    """Return which candles, prices or settlements are others on both."""
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"v1/{path}", {name: "BTCUSDT", "interval": interval, "limit": 1500}) for path, name in SERIES.items()
    ]
    asked += [("v1/premiumIndex", {"symbol": "BTCUSDT"}), ("v1/fundingRate", {"symbol": "BTCUSDT"})]
    return [path for path, parameters in asked if theirs.get(path, **parameters) != get(paper, path, **parameters)]


def last_price(exchange: LocalExchange) -> str:
    return str(get(exchange, "v2/ticker/price", symbol="BTCUSDT")["price"])


def send(exchange: LocalExchange, **order: object) -> requests.Response:
    query = signed_query(exchange.key, order, machine_ms())
    url = f"{exchange.url}/fapi/v1/order?{query}"
    return requests.post(url, headers={"X-MBX-APIKEY": exchange.key.key}, timeout=10)


@pytest.fixture
def closed_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# ---- Following


def test_a_paper_exchange_shows_the_same_market_bar_by_bar_and_sends_nothing_but_questions() -> None:
    with served() as theirs, following(theirs) as paper:
        for _ in range(10):
            theirs.play()
            wait_until(lambda: not differences(theirs, paper))
        price = float(last_price(paper))
        answer = send(paper, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.010")
        assert answer.status_code == 200, answer.text
        # Half a spread of 0.0001 on the last price, up to the tick of 0.1.
        (trade,) = paper.call(lambda: list(paper.assembly.venue.trader("main").fills))
        assert price * 1.0001 <= float(trade.price) < price * 1.0001 + 0.1
        noted = theirs.requests[:]
    assert {request.method for request in noted} == {"GET"}
    paths = {f"/fapi/v1/{endpoint}" for endpoint in ENDPOINTS}
    assert {request.path for request in noted} == paths | {"/market/stream", "/public/stream"}
    assert not any(
        "x-mbx-apikey" in request.headers or request.body or "signature" in request.query for request in noted
    )


def test_a_paper_exchange_follows_one_that_moves_by_itself() -> None:
    with served(600, "1m", replay=SmoothReplay) as theirs, following(theirs, interval="1m") as paper:
        begun = get(paper, "v1/time")["serverTime"]
        pace = Pace(theirs.upstream.venue, 240.0, machine_ms)
        task = theirs.thread.call(lambda: asyncio.ensure_future(pace.run()))
        wait_until(lambda: get(paper, "v1/time")["serverTime"] >= begun + 8 * MINUTE)
        theirs.thread.call(task.cancel)
        wait_until(lambda: not differences(theirs, paper, "1m"))
        rows = get(paper, "v1/klines", symbol="BTCUSDT", interval="1m", limit=1500)
    assert [row[0] for row in rows] == [START + number * MINUTE for number in range(len(rows))]
    assert len(rows) > PAST + 8


# ---- Lost and silent connections


def test_bars_that_were_missed_while_the_connections_were_cut_are_caught_up(caplog: pytest.LogCaptureFixture) -> None:
    with served() as theirs, following(theirs) as paper:
        for num_opens in (0, 1, 5):
            theirs.cut(num_opens)
            wait_until(lambda: theirs.num_connections == 2)
            wait_until(lambda: not differences(theirs, paper))
        theirs.play()
        wait_until(lambda: not differences(theirs, paper))
    assert caplog.text.count("the streams of") >= 3


def test_silent_streams_halt_the_symbol_and_are_asked_for_anew() -> None:
    with served() as theirs, following(theirs, theirs.followed_for(300)) as paper:
        before = theirs.num_handshakes
        theirs.pass_frame = lambda text: ()
        wait_until(lambda: get(paper, "v1/ticker/bookTicker", symbol="BTCUSDT")["askPrice"] == "0.00")
        refused = send(paper, symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.010")
        assert (refused.status_code, refused.json()["code"]) == (400, -2020)
        theirs.play(3)  # not heard, but answered once there are connections again
        wait_until(lambda: theirs.num_handshakes >= before + 2)
        wait_until(lambda: not differences(theirs, paper))


def test_a_frame_that_cannot_be_read_ends_the_connection_and_is_made_up_for(caplog: pytest.LogCaptureFixture) -> None:
    with served() as theirs, following(theirs) as paper:
        theirs.pass_frame = lambda text: ("[]",)
        theirs.play()
        wait_until(lambda: "a frame must be a JSON object and is '[]'" in caplog.text)
        theirs.pass_frame = lambda text: (text,)
        wait_until(lambda: not differences(theirs, paper))


def test_answers_that_fail_are_asked_for_until_they_come(caplog: pytest.LogCaptureFixture) -> None:
    with served() as theirs, following(theirs) as paper:
        theirs.is_down = True
        theirs.cut(2)
        wait_until(lambda: "premiumIndex to be followed and did not (it answered 503" in caplog.text)
        assert last_price(paper) != theirs.get("v2/ticker/price", symbol="BTCUSDT")["price"]
        theirs.is_down = False
        wait_until(lambda: not differences(theirs, paper))


def test_an_exchange_that_goes_away_and_comes_back_is_followed_on() -> None:
    with ExitStack() as stack:
        with served() as theirs:
            paper = stack.enter_context(following(theirs))
            theirs.play()
            wait_until(lambda: not differences(theirs, paper))
            port = theirs.thread.server.port
        theirs.upstream.venue.to_next_open()
        assert get(paper, "v1/ping") == {}
        with Served(theirs.upstream, port) as again:
            wait_until(lambda: not differences(again, paper))
            again.play()
            wait_until(lambda: not differences(again, paper))


def test_an_address_that_allows_no_more_requests_is_left_alone() -> None:
    question = Question("klines", {"symbol": "BTCUSDT", "interval": "30m", "limit": 1500})

    async def ask(theirs: Served) -> None:
        async with aiohttp.ClientSession() as session:
            rest = PublicData(theirs.thread.url, session, backoff_s=0.0)
            await rest.ask(question)
            with pytest.raises(DownloadError, match=r"must answer klines .* answered 429 .*Too many requests"):
                await rest.ask(question)
            num_before = len(theirs.requests)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(rest.ask(question), 0.3)
            assert len(theirs.requests) == num_before

    with served() as theirs:
        theirs.upstream.venue.limits = Limits(LimitTerms(weight_per_minute=15))
        asyncio.run(ask(theirs))


# ---- What cannot be followed


@pytest.fixture
def call_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Answer]:
    called = script_caller(monkeypatch, capsys, tmp_path)
    return lambda *words: called(local_exchange, *words)


def test_the_command_follows_until_it_is_interrupted_and_says_where_the_terms_come_from() -> None:
    with served() as theirs:
        words = ("--follow", theirs.thread.url, theirs.thread.ws_url, "--interval", "30m", "--port", "0")
        command = [sys.executable, "-m", "scripts.local_exchange", *words]
        with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(4)]
            assert said[0].startswith("terms:     BTCUSDT: filters of 2024-01-01 as answered, brackets of "), said
            url = said[1].split()[1]
            price = requests.get(f"{url}/fapi/v2/ticker/price?symbol=BTCUSDT", timeout=10).json()["price"]
            assert price == theirs.get("v2/ticker/price", symbol="BTCUSDT")["price"]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
            assert process.returncode == 130


def test_an_address_that_does_not_answer_is_one_sentence(call_script: Callable[..., Answer], closed_port: int) -> None:
    answer = call_script("--follow", f"http://127.0.0.1:{closed_port}", f"ws://127.0.0.1:{closed_port}", "--port", 0)
    assert (answer.code, answer.out) == (2, "")
    assert re.fullmatch(
        rf"error: http://127\.0\.0\.1:{closed_port} must answer exchangeInfo to be followed and did not \(.*\); "
        r"check the address and the network, and start again\n",
        answer.err,
    )


def test_an_address_that_does_not_stream_is_one_sentence(call_script: Callable[..., Answer], closed_port: int) -> None:
    with served() as theirs:
        answer = call_script(
            "--follow", theirs.thread.url, f"ws://127.0.0.1:{closed_port}", "--interval", "30m", "--port", 0
        )
    assert answer.code == 2
    assert re.fullmatch(
        rf"error: ws://127\.0\.0\.1:{closed_port}/market/stream.* must stream to be followed.*\n", answer.err
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--follow", "http://x"), "--follow must have two addresses, of REST and of WebSockets, or none, and has 1"),
        (("--follow", "--from", "2024-01-01"), "--follow has no end and begins now, so that --from means nothing"),
        (("--follow", "--speed", "2"), "not allowed with argument --follow"),
        (("--follow", "--lock-step"), "not allowed with argument --follow"),
        (("--follow", "--interval", "7m"), "7m"),
    ],
)
def test_options_that_contradict_following_are_refused(
    call_script: Callable[..., Answer], words: tuple[str, ...], sentence: str
) -> None:
    answer = call_script(*words)
    assert answer.code == 2
    assert sentence in answer.err


def test_followed_prices_have_their_own_speed() -> None:
    with pytest.raises(ConfigError, match="an exchange that is followed has its own speed, not 2"):
        LocalExchange(Setup(), speed=2.0, followed=Followed())
    with pytest.raises(ConfigError, match="a bar of the past at least must be followed, not 0"):
        Followed(num_bars=0)
    with served() as theirs, following(theirs) as paper, pytest.raises(ConfigError, match="moves by itself"):
        paper.to_next_open()


def test_the_default_addresses_are_those_of_the_exchanges_public_data() -> None:
    assert (Followed().rest_url, Followed().ws_url) == ("https://fapi.binance.com", "wss://fstream.binance.com")
