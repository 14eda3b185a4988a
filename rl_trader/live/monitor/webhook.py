"""Alerts to a webhook: posted one after the other, beside the trader, which never waits for them nor fails by them.

An alert is posted as JSON: ``text`` (as chat services read it), ``run``, ``mode``, ``symbol`` and ``t_ms``. One that
cannot be delivered is counted and left out; while the webhook is slow at most :data:`MOST_WAITING` wait.

The address may hold a token: it is a secret, and is in no message.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp import ClientTimeout

from rl_trader.errors import ConfigError
from rl_trader.live.exchange.secrets import Secret

MOST_WAITING: Final = 100
TIMEOUT_S: Final = 5.0
LAST_S: Final = 2.0  # for what waits when the trader ends
VARIABLE: Final = "RL_TRADER_WEBHOOK"

_FAILED: Final = 300  # from here on an answer's status is no success

_log = logging.getLogger(__name__)


def webhook_address(text: str) -> Secret:
    """Return the address of a webhook.

    Raises:
        ConfigError: If it is neither https nor on this machine; the message does not show it.
    """
    try:
        split = urlsplit(text.strip())
        is_good = bool(split.hostname) and (
            split.scheme == "https" or (split.scheme == "http" and _is_loopback(split.hostname or ""))
        )
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigError(
            "the webhook must be an https address, or http on 127.0.0.1, and is another (it is not shown, since it may "
            f"hold a token); correct {VARIABLE} or --webhook"
        )
    return Secret(text.strip())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name may lead anywhere
        return False


class Webhook:
    """Posts alerts.

    Args:
        address: Where to.
        about: What every alert says beside its text.
        tell: Told when alerts begin to fail, and when they arrive again.
    """

    def __init__(self, address: Secret, about: Mapping[str, str], tell: Callable[[str], object]) -> None:
        self._address = address
        self._about = dict(about)
        self._tell = tell
        self._queue: asyncio.Queue[dict[str, object]] = asyncio.Queue(MOST_WAITING)
        self._is_failing = False
        self.num_delivered = 0
        self.num_lost = 0

    def post(self, t_ms: int, text: str) -> None:
        """Have an alert posted; it returns at once."""
        try:
            self._queue.put_nowait({"text": text, **self._about, "t_ms": t_ms})
        except asyncio.QueueFull:
            self.num_lost += 1

    async def run(self) -> None:
        """Post until it is cancelled; then what waits has a moment to go."""
        async with aiohttp.ClientSession(
            timeout=ClientTimeout(total=TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            try:
                while True:
                    await self._deliver(session, await self._queue.get())
            except asyncio.CancelledError:
                await self._deliver_rest(session)
                raise

    async def _deliver_rest(self, session: aiohttp.ClientSession) -> None:
        try:
            async with asyncio.timeout(LAST_S):
                while not self._queue.empty():
                    await self._deliver(session, self._queue.get_nowait())
        except TimeoutError:
            self.num_lost += self._queue.qsize()

    async def _deliver(self, session: aiohttp.ClientSession, alert: dict[str, object]) -> None:
        failure = await self._fault_of(session, alert)
        if failure is None:
            self.num_delivered += 1
        else:
            self.num_lost += 1
        if (failure is not None) != self._is_failing:
            self._is_failing = failure is not None
            self._tell(f"the webhook takes no alerts: {failure}" if failure else "the webhook takes alerts again")

    async def _fault_of(self, session: aiohttp.ClientSession, alert: dict[str, object]) -> str | None:
        """Post an alert, and return why it was not taken; never the error's own words, which show the address."""
        try:
            async with session.post(self._address.reveal(), json=alert, allow_redirects=False) as answer:
                return None if answer.status < _FAILED else f"it answers with status {answer.status}"
        except TimeoutError:
            return f"it does not answer within {TIMEOUT_S:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"it cannot be reached ({type(error).__name__})"
