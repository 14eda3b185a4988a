"""Requests without a socket: for lock-step, where nothing waits and nothing depends on the machine.

Everything runs in the caller's thread, so that one thread has to own the venue.
"""

import io
from collections.abc import Mapping
from http import HTTPStatus
from http.client import RemoteDisconnected
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import IncompleteRead, ProtocolError

from rl_trader.local_exchange.protocol.dispatch import Dispatcher
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.shells.guarded import guarded_response
from rl_trader.local_exchange.shells.interception import Cut, Dropped, SyncInterceptor

_ADDRESS: Final = "127.0.0.1"


class MemoryTransport:
    """Carries requests to the dispatcher and responses back.

    Args:
        dispatcher: Answers them.
        address: Of the caller, for the limits.
        interceptor: Stands between the two.
    """

    def __init__(
        self, dispatcher: Dispatcher, address: str = _ADDRESS, interceptor: SyncInterceptor | None = None
    ) -> None:
        self._dispatcher = dispatcher
        self._address = address
        self._interceptor = interceptor

    def send(self, request: Request) -> Response:
        """Return the response; 500 with -1000 if an endpoint fails, as over a socket.

        Raises:
            requests.ConnectionError: If an interceptor drops the request or its answer.
            requests.exceptions.ChunkedEncodingError: If it cuts the answer; both as ``requests`` raises them.
        """
        if self._interceptor is None:
            return self._proceed(request)
        outcome = self._interceptor.intercept_now(request, self._proceed)
        if isinstance(outcome, Dropped):
            gone = RemoteDisconnected("Remote end closed connection without response")
            raise requests.ConnectionError(ProtocolError("Connection aborted.", gone))
        if isinstance(outcome, Cut):
            return _whole(outcome)
        return outcome

    def _proceed(self, request: Request) -> Response:
        return guarded_response(self._dispatcher, request)

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: str | bytes | None = None
    ) -> Response:
        """Return the response to what a client would send to an address; scheme and host do not matter."""
        split = urlsplit(url)
        return self.send(
            Request(
                method=method,
                path=split.path,
                query=split.query,
                body=body.encode() if isinstance(body, str) else body or b"",
                headers={name.lower(): value for name, value in (headers or {}).items()},
                address=self._address,
            )
        )

    async def fetch(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: str | bytes | None = None
    ) -> Response:
        """Return the same as :meth:`request`, for callers that await; it never gives up its turn."""
        return self.request(method, url, headers=headers, body=body)


class MemoryAdapter(BaseAdapter):
    """Lets clients that use ``requests`` trade without a socket, unmodified.

    Mount it where the client sends to: ``session.mount("https://fapi.binance.com", MemoryAdapter(transport))``. ccxt's
    synchronous exchanges and python-binance have such a ``session``.

    Args:
        transport: Carries the requests.
    """

    def __init__(self, transport: MemoryTransport) -> None:
        super().__init__()
        self._transport = transport

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        """Return the response; time-outs, proxies and certificates have no meaning here."""
        assert request.method is not None
        assert request.url is not None
        body = request.body
        if not isinstance(body, str | bytes | None):
            raise TypeError(f"a body of text or bytes was wanted, found {type(body).__name__}; streams are not taken")
        headers = {name: str(value) for name, value in request.headers.items()}
        response = self._transport.request(request.method, request.url, headers=headers, body=body)
        return _as_requests(request, response)

    def close(self) -> None:
        """Do nothing: there is nothing open."""


def _whole(cut: Cut) -> Response:
    """Return an answer that is cut behind its end; raise what ``requests`` does of any other."""
    missing = len(cut.response.body) - cut.at_byte
    if missing <= 0:
        return cut.response
    incomplete = IncompleteRead(cut.at_byte, missing)
    raise requests.exceptions.ChunkedEncodingError(ProtocolError(f"Connection broken: {incomplete!r}", incomplete))


def _as_requests(request: requests.PreparedRequest, response: Response) -> requests.Response:
    result = requests.Response()
    result.status_code = response.status
    result.reason = HTTPStatus(response.status).phrase
    result.headers = CaseInsensitiveDict(response.headers)
    result.encoding = "utf-8"
    result.raw = io.BytesIO(response.body)
    result.url = request.url or ""
    result.request = request
    return result
