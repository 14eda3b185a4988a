"""The followed exchange's answers over REST: public market data, and nothing else.

No key is read or sent, no other method than GET is used, no other path than those of
:data:`rl_trader.local_exchange.market.live_questions.ENDPOINTS`, and no redirection is gone after.
"""

import asyncio
import logging
import math
from http import HTTPStatus
from typing import Final

import aiohttp

from rl_trader.errors import DownloadError
from rl_trader.local_exchange.market.live_questions import ENDPOINTS, Question

NUM_ATTEMPTS: Final = 3
TIMEOUT_S: Final = 10.0  # of one attempt
RATE_LIMIT_PAUSE_S: Final = 60.0  # the exchange counts requests by the minute
BAN_PAUSE_S: Final = 120.0  # the shortest ban

_SERVER_ERRORS: Final = 500
_BANNED: Final = 418
_SHOWN: Final = 100  # characters of an answer that a message quotes

_log = logging.getLogger(__name__)


class PublicData:
    """Asks one address for public market data.

    Args:
        base_url: Scheme, host and port, without ``/fapi``.
        session: Makes the connections; it stays open.
        backoff_s: Seconds before the second attempt; twice as long before the third.
    """

    def __init__(self, base_url: str, session: aiohttp.ClientSession, backoff_s: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = session
        self._backoff_s = backoff_s
        self._not_before_s = -math.inf  # on the loop's clock

    async def ask(self, question: Question) -> object:
        """Return the JSON of an answer.

        Raises:
            DownloadError: If there is none, or a refusal.
        """
        assert question.endpoint in ENDPOINTS
        reason = ""
        for attempt in range(NUM_ATTEMPTS):
            pause_s = self._not_before_s - asyncio.get_running_loop().time()
            await asyncio.sleep(max(pause_s, self._backoff_s * 2 ** (attempt - 1) if attempt else 0.0))
            try:
                return await self._get(question)
            except aiohttp.ClientResponseError as error:
                reason = f"it answered {error.status} {error.message}"
                if error.status < _SERVER_ERRORS:
                    break
            except aiohttp.InvalidURL:
                reason = "that is no address"
                break
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                reason = str(error) or type(error).__name__
        raise DownloadError(
            f"{self._base_url} must answer {question.endpoint} to be followed and did not ({reason}); check the "
            "address and the network, and start again"
        )

    async def _get(self, question: Question) -> object:
        url = f"{self._base_url}/fapi/v1/{question.endpoint}"
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        parameters = {name: str(value) for name, value in question.parameters.items()}
        async with self._session.get(url, params=parameters, timeout=timeout, allow_redirects=False) as answer:
            if answer.status == HTTPStatus.OK:
                return await answer.json(content_type=None)
            text = (await answer.text(errors="replace"))[:_SHOWN]
            self._pause_after(answer)
            raise aiohttp.ClientResponseError(answer.request_info, (), status=answer.status, message=text)

    def _pause_after(self, answer: aiohttp.ClientResponse) -> None:
        """Ask nothing for a while if an answer says that too much was asked."""
        pauses = {HTTPStatus.TOO_MANY_REQUESTS: RATE_LIMIT_PAUSE_S, _BANNED: BAN_PAUSE_S}
        if answer.status not in pauses:
            return
        told = answer.headers.get("Retry-After", "")
        pause_s = float(told) if told.isdecimal() else pauses[answer.status]
        self._not_before_s = asyncio.get_running_loop().time() + pause_s
        _log.warning("%s allows no request for %.0f s", self._base_url, pause_s)
