"""The live trader's REST client, made before the fork: what takes long is done once."""

from collections.abc import Callable
from functools import lru_cache

from rl_trader.live.exchange.rest import Rest
from rl_trader.live.exchange.secrets import Credentials, Secret
from rl_trader.live.exchange.server_clock import Sample, ServerClock
from rl_trader.live.exchange.venue import Venue
from rl_trader.live.exchange.wire import Transport, WireAnswer, WireRequest
from rl_trader.live.redaction import Redactor
from rl_trader.rehearsal.stage import ADDRESS


class Way:
    """A REST client whose transport and time come with the process that uses it.

    Args:
        key: Of the account.
        secret: Its secret.
    """

    def __init__(self, key: str, secret: str) -> None:
        self.wire: Transport | None = None
        self.now_ms: Callable[[], int] = lambda: 0
        clock = ServerClock(lambda: self.now_ms())
        clock.set_by([Sample(0, 0, 0)])
        self.rest = Rest(
            Venue.paper(ADDRESS, ADDRESS.replace("http", "ws")),
            self,
            clock,
            redactor=Redactor(),
            credentials=Credentials(key=Secret(key), secret=Secret(secret)),
        )

    async def send(self, request: WireRequest) -> WireAnswer:
        """Send a request once."""
        assert self.wire is not None
        return await self.wire.send(request)

    async def close(self) -> None:
        """Do nothing: nothing is open."""


@lru_cache(maxsize=16)
def prepared_way(key: str, secret: str) -> Way:
    """Return an account's way, made once in this process."""
    return Way(key, secret)
