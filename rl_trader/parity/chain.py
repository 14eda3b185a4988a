"""The chain that paper trading uses, without sockets: one exchange replays, another follows its public market data.

The first moves in lock-step; every frame of its streams and every answer is handed on before it moves again. Whoever
trades, trades on the second, which knows nothing but what it is told.

Times in milliseconds since 1970 UTC.
"""

import asyncio
import json
from collections import deque
from typing import Final
from urllib.parse import urlencode

from rl_trader.errors import ConfigError, DownloadError
from rl_trader.live.policy.deployment import Deployment
from rl_trader.local_exchange.assembly import Assembly, Setup, assemble_following, assemble_lock_step
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
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.local_exchange.shells.feed import stream_topics
from rl_trader.local_exchange.shells.memory import MemoryTransport

STALE_AFTER_MS: Final = 86_400_000  # between two corners of a bar's path nothing is told
EXTRA_BARS: Final = 100  # of the past, for candles longer than the bars

_OK: Final = 200


class Chain:
    """Two exchanges, of which the second follows the first.

    Args:
        setup: Of the first, and of the second's account; slippage without impact.
        deployment: Whose symbol, interval and window are followed, and whose brackets and fees are the account's.

    Raises:
        ConfigError: If the slippage has an impact: it counts a bar's volume, which is told at the bar's end only.
    """

    def __init__(self, setup: Setup, deployment: Deployment) -> None:
        if setup.slippage.sqrt_impact or setup.slippage.linear_impact:
            raise ConfigError(
                "an exchange that follows must fill without impact, since it learns a bar's volume at its end, and the"
                " run has trading.slippage with one; compare it without --chain"
            )
        self._followed = assemble_lock_step(setup)
        self._symbol, self._interval = deployment.symbol, deployment.interval
        self._transport = MemoryTransport(self._followed.dispatcher)
        self._frames: deque[str] = deque()
        topics = stream_topics([self._symbol], self._interval)
        self._followed.venue.hub.subscribe(topics, lambda message: self._frames.append(message.combined))
        num_bars = deployment.num_bars + EXTRA_BARS
        keyed = {self._symbol: deployment.terms}
        asked = ask_beginnings(self._ask, (self._symbol,), self._interval, num_bars, None, keyed)
        self.assembly, self._market = assemble_following(
            setup, asyncio.run(asked), stale_after_ms=STALE_AFTER_MS, session_clock=self.market_ms
        )
        self._hand_on()

    @property
    def replayed(self) -> Assembly:
        """The exchange that is followed."""
        return self._followed

    @property
    def recording(self) -> Recording:
        """What is replayed."""
        return self._followed.venue.market.recordings[self._symbol]

    def market_ms(self) -> int:
        """Return the time of both."""
        return self._followed.venue.market_ms()

    def advance(self, to_ms: int) -> None:
        """Let the first exchange go on to a moment, from corner to corner, and the second follow."""
        source = self._followed.venue.market.source
        assert isinstance(source, Replay)
        while (next_ms := source.next_ms) is not None and next_ms <= to_ms:
            self._followed.venue.advance(next_ms)
            self._hand_on()
        self._followed.venue.advance(to_ms)
        self._hand_on()

    def to_next_open(self) -> bool:
        """Let the first exchange go on until its next bar opens, and the second follow; False at its end."""
        has_opened = self._followed.venue.to_next_open()
        self._hand_on()
        return has_opened

    def _hand_on(self) -> None:
        """Let the second exchange hear everything that was said, and have everything that it asks for."""
        unanswered: list[Need] = []
        while True:
            while self._frames:
                news = parse_news(self._frames.popleft())
                if news is not None:
                    self._market.receive(news)
            self.assembly.venue.advance(self.market_ms())
            needs = list(self._market.needs(self.market_ms()))
            if needs == unanswered:  # a settlement's rate is told when it is settled
                return
            for need in needs:
                asyncio.run(self._answer(need))
            unanswered = needs

    async def _answer(self, need: Need) -> None:
        symbol, since_ms, now_ms = need.symbol, need.since_ms, self.market_ms()
        match need.missing:
            case Missing.SNAPSHOT:
                self._market.catch_up(symbol, await ask_snapshot(self._ask, symbol, self._interval, since_ms), now_ms)
            case Missing.RATE:
                self._market.learn_rates(symbol, await ask_fundings(self._ask, symbol, since_ms))
            case Missing.DERIVED:
                span = since_ms, now_ms
                klines = {each: await ask_klines(self._ask, each, symbol, self._interval, span) for each in DERIVED}
                self._market.amend(symbol, klines)

    async def _ask(self, question: Question) -> object:
        query = urlencode(question.parameters)
        response = self._transport.request("GET", f"/fapi/v1/{question.endpoint}?{query}")
        if response.status != _OK:
            raise DownloadError(
                f"{question.endpoint} must be answered and was with {response.status}; see the exchange"
            )
        answer: object = json.loads(response.body)
        return answer
