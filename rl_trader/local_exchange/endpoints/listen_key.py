"""Listen keys: ``POST``, ``PUT`` and ``DELETE /fapi/v1/listenKey``, and ``userDataStream.start``, ``.ping``, ``.stop``.

Source: the API documentation of USD-M futures, "User Data Streams" (read in autumn 2026): the key alone is shown,
there are no parameters, and an account has one listen key.
"""

from collections.abc import Callable
from typing import Final

from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Security


def start(call: Call) -> dict[str, object]:
    """Answer ``POST``: the account's listen key, valid for an hour from now."""
    venue = call.venue
    return {"listenKey": venue.hub.listen_keys.start(call.trader.name, venue.session_ms())}


def extend(call: Call) -> dict[str, object]:
    """Answer ``PUT``: the same, if the account has one that is valid.

    Raises:
        RefusedError: -1125 if it has not.
    """
    venue = call.venue
    return {"listenKey": venue.hub.listen_keys.extend(call.trader.name, venue.session_ms())}


def stop(call: Call) -> dict[str, object]:
    """Answer ``DELETE``: the account is told of nothing any more."""
    call.venue.hub.listen_keys.stop(call.trader.name)
    return {}


def _endpoint(method: str, path: str, answer: Callable[[Call], object]) -> Endpoint:
    return Endpoint(method=method, path=path, answer=answer, security=Security.USER_STREAM)


LISTEN_KEY_ENDPOINTS: Final = (
    _endpoint("POST", "/fapi/v1/listenKey", start),
    _endpoint("PUT", "/fapi/v1/listenKey", extend),
    _endpoint("DELETE", "/fapi/v1/listenKey", stop),
)
LISTEN_KEY_METHODS: Final = (  # of the WebSocket API
    _endpoint("", "userDataStream.start", start),
    _endpoint("", "userDataStream.ping", extend),
    _endpoint("", "userDataStream.stop", stop),
)
