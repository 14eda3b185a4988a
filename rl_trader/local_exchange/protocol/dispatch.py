"""REST: from a request to its response, without a socket, a clock or a wait.

Whatever is sent is answered in the exchange's form. An exception that is no refusal is a bug of an endpoint: it goes
through to the shell.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.protocol.admission import Claim, admit, charge_arrival
from rl_trader.local_exchange.protocol.endpoint import Endpoint
from rl_trader.local_exchange.protocol.json_text import dump_json
from rl_trader.local_exchange.protocol.parameters import sent_texts
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.protocol.signature import signed_text
from rl_trader.local_exchange.protocol.statuses import StatusError, error_body, status_of
from rl_trader.local_exchange.refusal_texts import TEXTS, refused

if TYPE_CHECKING:
    from rl_trader.local_exchange.venue import Venue

LARGEST_BODY: Final = 2**20  # bytes
KEY_HEADER: Final = "x-mbx-apikey"
USED_WEIGHT: Final = "X-MBX-USED-WEIGHT-1M"
ORDER_COUNTS: Final = ("X-MBX-ORDER-COUNT-10S", "X-MBX-ORDER-COUNT-1M")

_JSON: Final = "application/json"
_UNKNOWN_WEIGHT: Final = 1  # of a request to nowhere


class Dispatcher:
    """Answers requests.

    Args:
        endpoints: All that there are; an alias is one more of them.
        venue: What they are answered from.

    Raises:
        ValueError: If one method of one path is declared twice.
    """

    def __init__(self, endpoints: Iterable[Endpoint], venue: "Venue") -> None:
        self._venue = venue
        self._routes: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            methods = self._routes.setdefault(endpoint.path, {})
            if endpoint.method in methods:
                raise ValueError(f"{endpoint.method} {endpoint.path} is declared twice; an endpoint has one answer")
            methods[endpoint.method] = endpoint

    def handle(self, request: Request) -> Response:
        """Return the response.

        Raises:
            Exception: Any that an endpoint lets through, apart from refusals.
        """
        now_ms = self._venue.session_ms()
        headers = {"Content-Type": _JSON}
        try:
            status, data = int(HTTPStatus.OK), self._answer(request, now_ms, headers)
        except RefusedError as error:
            status, data = status_of(error), error_body(error)
            headers |= _retry_header(error)
        finally:
            self._venue.deliver()
        headers[USED_WEIGHT] = str(self._venue.limits.used_weight(request.address, now_ms))
        return Response(status, headers, dump_json(data).encode())

    def _answer(self, request: Request, now_ms: int, headers: dict[str, str]) -> object:
        endpoint = self._endpoint(request, now_ms)
        charge_arrival(self._venue, endpoint, request.address, now_ms)
        if len(request.body) > LARGEST_BODY:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            raise StatusError(status, -1101, "Too many parameters sent for this endpoint.")
        sent = sent_texts(request)  # refuses queries that could not be signed
        admitted = admit(
            self._venue,
            endpoint,
            Claim(
                address=request.address,
                key=request.headers.get(KEY_HEADER),
                sent=sent,
                signed=signed_text(request.query, request.body),
                now_ms=now_ms,
            ),
        )
        if admitted.key is not None and any(endpoint.order_count):
            counts = self._venue.limits.order_counts(admitted.key.account, now_ms)
            headers.update(zip(ORDER_COUNTS, map(str, counts), strict=True))
        return endpoint.answer(admitted.call)

    def _endpoint(self, request: Request, now_ms: int) -> Endpoint:
        methods = self._routes.get(request.path)
        endpoint = methods.get(request.method) if methods else None
        if endpoint is not None:
            return endpoint
        self._venue.limits.charge(request.address, _UNKNOWN_WEIGHT, now_ms)
        error = refused(-5000, request.path, request.method)
        raise StatusError(HTTPStatus.METHOD_NOT_ALLOWED, error.code, str(error)) if methods else error


def refusal_response(error: RefusedError) -> Response:
    """Return the response to a request that is refused before it reaches the dispatcher."""
    headers = {"Content-Type": _JSON, **_retry_header(error)}
    return Response(status_of(error), headers, dump_json(error_body(error)).encode())


def failure_response() -> Response:
    """Return what a shell answers when an endpoint has failed."""
    return refusal_response(StatusError(HTTPStatus.INTERNAL_SERVER_ERROR, -1000, TEXTS[-1000]))


def _retry_header(error: RefusedError) -> dict[str, str]:
    retry_after_s = error.retry_after_s if isinstance(error, StatusError) else None
    return {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
