"""A stage: an exchange in lock-step, a trader on it, and the time that both share.

Time goes from one thing that happens to the next: a corner of the market's path, a timer of the trader's. What the
exchange sends is taken at once. At a bar's close the trader decides, and its orders arrive at the next open, as they do
in the replay.

Times in milliseconds since 1970 UTC.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from rl_trader.live.calls import Calls
from rl_trader.live.commands import Decide
from rl_trader.live.deciding import Gate
from rl_trader.live.events import BarClosed, Decided, Event, MarketSeen, Started
from rl_trader.live.reading import user_events
from rl_trader.live.redaction import Redactor
from rl_trader.live.rest import RECV_WINDOW_MS, Rest
from rl_trader.live.secrets import Credentials, Secret
from rl_trader.live.server_clock import Sample, ServerClock
from rl_trader.live.state import Conduct, State
from rl_trader.live.step import Core
from rl_trader.live.trader import Trader
from rl_trader.live.venue import Venue
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.market.happenings import BarClosed as MarketBarClosed
from rl_trader.local_exchange.market.happenings import Happening
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.local_exchange.streams.message import Message
from rl_trader.rehearsal.memory_journal import MemoryJournal
from rl_trader.rehearsal.timers import VirtualTimers
from rl_trader.rehearsal.wire import MemoryWire

ADDRESS: Final = "http://127.0.0.1:1"  # of nobody: requests never leave the process
MOST_ROUNDS: Final = 1_000  # of events that lead to events at one moment


class Stage:
    """One trader on one exchange.

    Args:
        assembly: In lock-step, at the open of a bar; its account is set up.
        conduct: How the trader trades.
        decide: The policy.
        gate: The risk gate.
        transport: To the exchange; None has no faults.
    """

    def __init__(
        self,
        assembly: Assembly,
        conduct: Conduct,
        *,
        decide: Callable[[Decide, int], Decided],
        gate: Gate,
        transport: MemoryTransport | None = None,
    ) -> None:
        self.venue = assembly.venue
        self.journal = MemoryJournal()
        self.alerts: list[str] = []
        self.epoch = 0
        self._key = assembly.keys[0]
        self._conduct = conduct
        self._decide, self._gate = decide, gate
        self._transport = transport or MemoryTransport(assembly.dispatcher)
        self._timers = VirtualTimers(self.venue.market_ms())
        self._messages: list[str] = []
        self._closed: list[MarketBarClosed] = []
        self._is_listening = True
        self.venue.market.source.listeners.append(self._hear)
        listen_key = self.venue.hub.listen_keys.start(self._key.account, self.venue.session_ms())
        self._subscription = self.venue.hub.subscribe([listen_key], self._receive)
        self.trader = self._new_trader()

    # The trader's life

    async def start(self) -> None:
        """Begin, or begin again after a stop or a kill: what is known is what the journal says."""
        self.epoch += 1
        self.trader = self._new_trader()
        for event in self.journal.events():
            self.trader.core.step(event)
        self._is_listening = True
        await self.trader.__aenter__()
        self._happen(Started(t_ms=self._now(), epoch=self.epoch))
        self._happen(MarketSeen(t_ms=self._now(), is_alive=True, mark_price=self._mark()))
        await self._settle()

    async def kill(self) -> None:
        """End the trader without a word; the exchange goes on, and nobody listens."""
        await self.trader.__aexit__()
        self._timers.clear()
        self._messages.clear()
        self._is_listening = False

    def _new_trader(self) -> Trader:
        clock = ServerClock(self.venue.session_ms)
        now = self.venue.session_ms()
        clock.set_by([Sample(now, now, now)])
        credentials = Credentials(key=Secret(self._key.key), secret=Secret(self._key.secret))
        rest = Rest(
            Venue.paper(ADDRESS, ADDRESS.replace("http", "ws")),
            MemoryWire(self._transport),
            clock,
            redactor=Redactor(),
            credentials=credentials,
        )
        calls = Calls(
            rest,
            self._conduct.symbol,
            now_ms=self._now,
            recv_window_ms=RECV_WINDOW_MS,
            stop_on_mark=True,
            is_user_stream_healthy=lambda: self._is_listening,
        )
        return Trader(
            Core(State(self._conduct), self._gate),
            self.journal,
            calls,
            self._timers,
            decide=lambda command: self._decide(command, self._now()),
            tell=self.alerts.append,
            session_ms=self._now,
        )

    # Time

    async def run_until(self, end_ms: int) -> None:
        """Let time pass, and everything happen that happens in it."""
        source = self.venue.market.source
        assert isinstance(source, Replay)
        while self._now() < end_ms:
            wanted = [end_ms, self._timers.next_ms, source.next_ms]
            await self._go_to(max(min(time for time in wanted if time is not None), self._now()))
            if source.is_over and self._timers.next_ms is None:
                break

    async def _go_to(self, time_ms: int) -> None:
        self.venue.advance(time_ms)
        self._timers.at(time_ms)
        if self._closed and self._is_listening:
            self._take_messages()
            for closed in self._take_closed():
                self._happen(closed)
            self.venue.to_next_open()  # the orders of a decision arrive there
            self._timers.at(self._now())
        self._closed.clear()
        await self._settle()

    async def _settle(self) -> None:
        """Let everything happen that is due."""
        for _ in range(MOST_ROUNDS):
            await self.trader.idle()
            self.venue.tick()
            names = self._timers.take_due() if self._is_listening else []
            for name in names:
                self.trader.fire(name, self._now())
            if not self._take_messages() and not names:
                return
        raise RuntimeError(f"at {self._now()} something always leads to something else")

    def _now(self) -> int:
        return self.venue.market_ms()

    def _mark(self) -> Decimal:
        return self.venue.exchange.quotes[self._conduct.symbol].mark

    # What the trader is told

    def _receive(self, message: Message) -> None:
        if self._is_listening:
            self._messages.append(message.text)

    def _hear(self, happening: Happening) -> None:
        if isinstance(happening, MarketBarClosed) and happening.symbol == self._conduct.symbol:
            self._closed.append(happening)

    def _take_messages(self) -> bool:
        texts, self._messages = self._messages, []
        for text in texts:
            for event in user_events(json.loads(text), self._conduct.symbol):
                self._happen(event)
        return bool(texts)

    def _take_closed(self) -> list[BarClosed]:
        quotes = self.venue.exchange.quotes[self._conduct.symbol]
        return [
            BarClosed(t_ms=self._now(), open_ms=closed.open_time, close=quotes.last, mark_close=quotes.mark)
            for closed in self._closed
        ]

    def _happen(self, event: Event) -> None:
        self.trader.happen(event)
