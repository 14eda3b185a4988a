"""The venue: the exchange, its market, its accounts' keys and its clocks, which everything around it shares.

Two clocks: the market's stands in recorded time and moves as the recording is played; the session's is that of
connections, limits and keys, and is the machine's, unless there is no socket: then both may be one.

Money in USDT, times in milliseconds since 1970 UTC.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.engine.changing import cancel_all
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.protocol.limits import Limits
from rl_trader.local_exchange.streams.hub import Hub

KEY_LENGTH: Final = 64  # letters and digits of a key and of a secret, as the exchange's

_TOLD_TIMES: Final = 1_000  # whose clocks are still right
_TOLD_APART_MS: Final = 100  # nearer ones set the same clock


class Venue:
    """What the endpoints answer from.

    Args:
        exchange: The engine.
        market: That is replayed into it.
        hub: Tells subscribers.
        limits: Of requests and orders.
        session_clock: Returns the machine's time; None lets the market's time be the session's.
        seed: Of the keys, so that a run can be repeated.
    """

    def __init__(
        self,
        exchange: Exchange,
        market: Market,
        hub: Hub,
        *,
        limits: Limits | None = None,
        session_clock: Callable[[], int] | None = None,
        seed: str = "local exchange",
    ) -> None:
        self.exchange = exchange
        self.market = market
        self.hub = hub
        self.limits = limits or Limits()
        self.keys: dict[str, ApiKey] = {}
        self.permissions: dict[str, bool] = {}  # of the keys, where they are others than those of most
        self.on_tick: list[Callable[[], object]] = []  # called whenever time has moved, before anybody is told
        self._session_clock = session_clock
        self._seed = seed
        self._countdowns: dict[tuple[str, str], int] = {}  # of account and symbol: when its orders are cancelled
        self._told_ahead_ms: deque[int] = deque(maxlen=_TOLD_TIMES)  # of the session's time, oldest first

    # Accounts

    def open_account(self, name: str, wallet_balance: Decimal) -> ApiKey:
        """Open an account and return its key.

        Raises:
            ConfigError: If there is one of that name, or the wallet balance is no number from 0.
        """
        self.exchange.open_account(name, wallet_balance)
        key = ApiKey(self._letters("key", name), self._letters("secret", name), name)
        self.keys[key.key] = key
        return key

    def trader(self, name: str) -> Trader:
        """Return an account.

        Raises:
            ConfigError: If there is none of that name.
        """
        try:
            return self.exchange.traders[name]
        except KeyError:
            names = ", ".join(self.exchange.traders) or "none"
            raise ConfigError(f"an account must be one of {names} and is {name}; open it first") from None

    def _letters(self, purpose: str, name: str) -> str:
        return hashlib.sha256(f"{self._seed} {purpose} {name}".encode()).hexdigest()[:KEY_LENGTH]

    # Time

    def market_ms(self) -> int:
        """Return the market's time."""
        return self.market.source.now_ms

    def session_ms(self) -> int:
        """Return the session's time."""
        return self.market.source.now_ms if self._session_clock is None else self._session_clock()

    def tell_time(self) -> int:
        """Return the market's time to whoever may set a clock by it."""
        told_ms = self.market_ms()
        ahead_ms = told_ms - self.session_ms()
        if not self._told_ahead_ms or abs(ahead_ms - self._told_ahead_ms[-1]) >= _TOLD_APART_MS:
            self._told_ahead_ms.append(ahead_ms)
        return told_ms

    def clocks_ms(self, now_ms: int) -> tuple[int, ...]:
        """Return what clocks that are right may show: the session's, the market's, and those set by what was told.

        A clock that was set by the market's time goes on as the machine's does, while the market stands or leaps.

        Args:
            now_ms: The session's time.
        """
        return now_ms, self.market_ms(), *(now_ms + ahead_ms for ahead_ms in self._told_ahead_ms)

    def advance(self, to_ms: int) -> None:
        """Let the market go on to a moment, and tell everybody what happened."""
        self.market.source.advance(to_ms)
        self.tick()

    def to_next_open(self) -> bool:
        """Let the market go on until the next bar opens, so that orders fill at its open; False at its end."""
        has_opened = self.market.source.to_next_open()
        self.tick()
        return has_opened

    def tick(self) -> None:
        """Do what is due by the session's time, and tell everybody what happened."""
        now_ms = self.session_ms()
        for (name, symbol), due_ms in list(self._countdowns.items()):
            if due_ms <= now_ms:
                del self._countdowns[name, symbol]
                cancel_all(self.exchange.state, self.trader(name), symbol)
        for call in self.on_tick:
            call()
        self.deliver()
        self.hub.tick(now_ms)

    def deliver(self) -> None:
        """Tell everybody what has happened since."""
        self.hub.flush()

    def set_countdown(self, trader: Trader, symbol: str, countdown_ms: int) -> None:
        """Cancel a symbol's open orders unless this is called again in time; 0 calls it off.

        Args:
            trader: Whose orders.
            symbol: Which.
            countdown_ms: In session time.
        """
        self._countdowns.pop((trader.name, symbol), None)
        if countdown_ms > 0:
            self._countdowns[trader.name, symbol] = self.session_ms() + countdown_ms
