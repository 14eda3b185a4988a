"""The smallest client there is: it signs requests and sends them without a socket, for tests and measurements."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from rl_trader.errors import RlTraderError
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.protocol.request import Request
from rl_trader.local_exchange.shells.memory import MemoryTransport

_WINDOW_MS: Final = 60_000


def signed_query(key: ApiKey, parameters: Mapping[str, object], now_ms: int) -> str:
    """Return parameters as a signed query; those that are None are left out."""
    sent = {name: value for name, value in parameters.items() if value is not None}
    query = urlencode(sent | {"recvWindow": _WINDOW_MS, "timestamp": now_ms})
    signature = hmac.new(key.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={signature}"


class AnsweredError(RlTraderError):
    """An answer that is an error.

    Args:
        status: Of the response.
        code: The exchange's.
        message: The exchange's.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"the exchange answered {status} with {code}: {message}")
        self.status = status
        self.code = code


class SignedClient:
    """Asks as one account.

    Args:
        transport: Carries the requests.
        key: Signs them.
        clock_ms: Whose time they carry.
    """

    def __init__(self, transport: MemoryTransport, key: ApiKey, clock_ms: Callable[[], int]) -> None:
        self._transport = transport
        self._key = key
        self._clock_ms = clock_ms

    def call(self, method: str, path: str, **parameters: object) -> object:
        """Return the answer's data.

        Raises:
            AnsweredError: If it is an error.
        """
        query = signed_query(self._key, parameters, self._clock_ms())
        headers = {"x-mbx-apikey": self._key.key}
        response = self._transport.send(Request(method, path, query, b"", headers))
        data: object = json.loads(response.body)
        if response.status != 200:  # noqa: PLR2004
            assert isinstance(data, dict)
            raise AnsweredError(response.status, data["code"], data["msg"])
        return data
