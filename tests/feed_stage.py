"""An exchange in lock-step and one that follows it, without sockets: the test hands on every frame and answer."""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from rl_trader.config import Slippage
from rl_trader.errors import DownloadError
from rl_trader.local_exchange.assembly import ENDPOINTS, METHODS, Assembly, Setup, assemble_following
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.market.happenings import Happening
from rl_trader.local_exchange.market.live_news import parse_news
from rl_trader.local_exchange.market.live_questions import (
    DERIVED,
    Question,
    ask_fundings,
    ask_klines,
    ask_snapshot,
)
from rl_trader.local_exchange.market.live_symbol import Missing, Need
from rl_trader.local_exchange.market.live_terms import ask_beginnings
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.local_exchange.protocol.dispatch import Dispatcher
from rl_trader.local_exchange.protocol.limits import UNLIMITED, Limits
from rl_trader.local_exchange.protocol.ws_api import WsApi
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.local_exchange.shells.signed_client import SignedClient
from rl_trader.local_exchange.streams.hub import Hub
from rl_trader.local_exchange.venue import Venue
from tests.market_tables import START

CLOCK = START + 1_000_000_000  # of the machine when following begins; any time will do
TOPICS = ("aggTrade", "markPrice@1s", "bookTicker")
HALF_SPREAD = 0.0002
CONDUCT = Conduct(
    half_spread=Decimal("0.0002"), sqrt_impact=Decimal(0), linear_impact=Decimal(0), slippage_scale=Decimal(1)
)
STALE_AFTER_MS = 10_000


class Upstream:
    """A replay at the open of its first played bar, what its streams say, and its answers.

    Args:
        recordings: That are replayed.
        replay: Plays them.
        start_ms: First bar that is played; None is the first one.
    """

    def __init__(self, *recordings: Recording, replay: type[Replay] = Replay, start_ms: int | None = None) -> None:
        exchange = Exchange([each.contract for each in recordings], CONDUCT)
        self.replay = replay(exchange, recordings, start_ms=start_ms)
        self.interval = recordings[0].interval
        self.symbols = tuple(each.symbol for each in recordings)
        self.market = Market(exchange, recordings, self.replay)
        hub = Hub(exchange, self.market, "upstream")
        self.venue = Venue(exchange, self.market, hub, limits=Limits(UNLIMITED))
        self.venue.to_next_open()
        self.assembly = Assembly(self.venue, Dispatcher(ENDPOINTS, self.venue), WsApi(METHODS, self.venue), ())
        self._transport = MemoryTransport(self.assembly.dispatcher)
        self.texts: deque[str] = deque()
        self.questions: list[Question] = []
        topics = (*TOPICS, f"kline_{self.interval}")
        names = [f"{symbol.lower()}@{topic}" for symbol in self.symbols for topic in topics]
        self.venue.hub.subscribe(names, lambda message: self.texts.append(message.combined))

    async def ask(self, question: Question) -> object:
        """Return the answer to a question."""
        self.questions.append(question)
        response = self._transport.request("GET", f"/fapi/v1/{question.endpoint}?{urlencode(question.parameters)}")
        if response.status != 200:
            raise DownloadError(f"answered {response.status} {response.body!r}")
        return json.loads(response.body)

    def get(self, endpoint: str, **parameters: object) -> Any:
        """Return the answer to a request that is not counted as a question."""
        return answer_of(self._transport, endpoint, **parameters)


class FeedStage:
    """An exchange that follows, with one account of 10 000 USDT.

    Args:
        upstream: That is followed.
        num_bars: Of the past.
        data: Folder whose brackets are taken.
        slippage: Of market orders.
    """

    def __init__(
        self, upstream: Upstream, *, num_bars: int = 100, data: Path | None = None, slippage: Slippage | None = None
    ) -> None:
        self.upstream = upstream
        self.clock_ms = CLOCK
        self.happenings: list[Happening] = []
        self.needs: list[Need] = []  # that were met
        asked = ask_beginnings(upstream.ask, upstream.symbols, upstream.interval, num_bars, data)
        setup = Setup(symbols=upstream.symbols, slippage=slippage or Slippage(half_spread=HALF_SPREAD))
        following = assemble_following(
            setup, asyncio.run(asked), stale_after_ms=STALE_AFTER_MS, session_clock=lambda: self.clock_ms
        )
        self.assembly, self.market = following
        self.venue = self.assembly.venue
        self.market.listeners.append(self.happenings.append)
        self._transport = MemoryTransport(self.assembly.dispatcher)
        self._client = SignedClient(self._transport, self.assembly.keys[0], lambda: self.clock_ms)
        self.follow()

    @property
    def quotes(self) -> Quotes:
        """Of the first symbol."""
        return self.venue.exchange.quotes[self.upstream.symbols[0]]

    def call(self, method: str, path: str, **parameters: object) -> Any:
        """Return the answer to a signed request."""
        return self._client.call(method, f"/fapi/{path}", **parameters)

    def get(self, endpoint: str, **parameters: object) -> Any:
        """Return the answer to a public request."""
        return answer_of(self._transport, endpoint, **parameters)

    def hear(self, texts: Iterable[str] | None = None) -> None:
        """Hand on what the streams said, or some frames, and let happen what may."""
        if texts is None:
            texts, self.upstream.texts = self.upstream.texts, deque()
        for text in texts:
            news = parse_news(text)
            if news is not None:
                self.market.receive(news)
        self.pass_time(0)

    def pass_time(self, milliseconds: int) -> None:
        """Let the machine's clock go on."""
        self.clock_ms += milliseconds
        self.venue.advance(self.clock_ms)

    def needed(self) -> list[Need]:
        """Return what is missing."""
        return list(self.market.needs(self.clock_ms))

    def answer(self) -> None:
        """Ask for what is missing, and let happen what may."""
        for need in self.needed():
            self.needs.append(need)
            asyncio.run(self._answer(need))
        self.pass_time(0)

    async def _answer(self, need: Need) -> None:
        ask, symbol, interval = self.upstream.ask, need.symbol, self.upstream.interval
        match need.missing:
            case Missing.SNAPSHOT:
                snapshot = await ask_snapshot(ask, symbol, interval, need.since_ms)
                self.market.catch_up(symbol, snapshot, self.clock_ms)
            case Missing.RATE:
                self.market.learn_rates(symbol, await ask_fundings(ask, symbol, need.since_ms))
            case Missing.DERIVED:
                span = need.since_ms, self.market.now_ms
                self.market.amend(
                    symbol, {series: await ask_klines(ask, series, symbol, interval, span) for series in DERIVED}
                )

    def follow(self) -> None:
        """Hear everything that was said and ask for everything that is missing."""
        self.hear()
        while self.needed():
            self.answer()

    def play(self, num_opens: int = 1) -> None:
        """Let the upstream go on to the next open, or farther, and follow every instant."""
        for _ in range(num_opens):
            self.upstream.venue.to_next_open()
            self.pass_time(1000)
            self.follow()

    def miss(self, num_opens: int) -> None:
        """Let the upstream go on and lose everything that it says."""
        for _ in range(num_opens):
            self.upstream.venue.to_next_open()
        self.upstream.texts.clear()
        self.market.lose()


def answer_of(transport: MemoryTransport, endpoint: str, **parameters: object) -> Any:
    """Return the answer to a public request."""
    response = transport.request("GET", f"/fapi/{endpoint}?{urlencode(parameters)}")
    assert response.status == 200, response.body
    return json.loads(response.body)


def frame(event: str, symbol: str = "BTCUSDT", **fields: object) -> str:
    """Return a frame of a combined stream."""
    return json.dumps({"stream": f"{symbol.lower()}@{event}", "data": {"e": event, "s": symbol, **fields}})


def trade_frame(price: str, time_ms: int, last_id: int = 10**9, amount: str = "0.001") -> str:
    """Return the frame of a trade that the upstream did not make."""
    return frame("aggTrade", E=time_ms, T=time_ms, p=price, q=amount, m=False, l=last_id)


def mark_frame(price: str, time_ms: int, rate: str = "0.00010000", next_ms: int = START + 8 * 3_600_000) -> str:
    """Return the frame of a mark price."""
    return frame("markPriceUpdate", E=time_ms, p=price, i=price, r=rate, T=next_ms)


def kline_frame(
    open_time: int, prices: str, time_ms: int, *, interval: str = "30m", last_id: int = 10**9, is_closed: bool = False
) -> str:
    """Return the frame of a candle of "open high low close volume"."""
    values: Sequence[str] = prices.split()
    fields: dict[str, object] = dict(zip("ohlcv", values, strict=True))
    fields |= {"t": open_time, "i": interval, "q": "0", "n": 1, "V": "0", "Q": "0", "L": last_id, "x": is_closed}
    return frame("kline", E=time_ms, k=fields)
