"""What a shell does with an endpoint's failure: it writes the traceback to the log and answers as the exchange does."""

import logging

from rl_trader.local_exchange.protocol.dispatch import Dispatcher, failure_response
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.protocol.ws_api import Connection, WsApi

_log = logging.getLogger(__name__)


def guarded_response(dispatcher: Dispatcher, request: Request) -> Response:
    """Return the response to a request; 500 with -1000 if its endpoint fails."""
    try:
        return dispatcher.handle(request)
    except Exception:
        _log.exception("%s %s failed; this is a bug of its endpoint", request.method, request.path)
        return failure_response()


def guarded_frame(ws_api: WsApi, text: str, connection: Connection) -> str:
    """Return the frame that answers a frame; status 500 with -1000 if its endpoint fails."""
    try:
        return ws_api.handle(text, connection)
    except Exception:
        _log.exception("a request of the WebSocket API failed; this is a bug of its endpoint: %.200s", text)
        return ws_api.failure(text)
