"""The WebSocket API: one frame with a request, one frame with its answer.

Sources: the API documentation of USD-M futures, "WebSocket API General Info" (read in autumn 2026); -5000 and -4056
with their texts as recorded by users. The methods are answered by the same functions as REST's, with the same limits.
``session.logon`` is for Ed25519 keys only; the keys here are HMAC's, so that nobody can log on and every signed request
carries its own signature.

Assumption: frames that are no requests get -1135, as they do from the spot market's WebSocket API.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qs

from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.protocol.admission import Claim, admit, charge_arrival
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Security
from rl_trader.local_exchange.protocol.json_text import JsonError, as_texts, dump_json, load_json
from rl_trader.local_exchange.protocol.parameters import MOST_PARAMETERS
from rl_trader.local_exchange.protocol.signature import sorted_text
from rl_trader.local_exchange.protocol.statuses import StatusError, error_body, status_of
from rl_trader.local_exchange.refusal_texts import TEXTS, refused

if TYPE_CHECKING:
    from rl_trader.local_exchange.venue import Venue

HANDSHAKE_WEIGHT: Final = 5

_FRAME_WEIGHT: Final = 1  # of a frame that is no request
_SESSION_WEIGHT: Final = 2
_LONGEST_ID: Final = 36  # characters
_MOST_WHOLE: Final = 2**63
_OK: Final = 200
_FAILED: Final = 500

Id = int | str | None


class Frame(NamedTuple):
    """A request as a client frames it."""

    id: Id
    method: str
    params: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Connection:
    """One client's connection."""

    address: str
    connected_ms: int  # of the market's clock
    returns_limits: bool  # unless a request says otherwise


def _refuse_logon(call: Call) -> object:
    raise refused(-4056)


_LOGON: Final = Endpoint(
    method="", path="session.logon", answer=_refuse_logon, security=Security.USER_DATA, weight=_SESSION_WEIGHT
)
_STATUS: Final = ("session.status", "session.logout")  # say the same of a connection that cannot log on


class WsApi:
    """Answers frames.

    Args:
        endpoints: All methods, apart from those of the session.
        venue: What they are answered from.

    Raises:
        ValueError: If a method is declared twice.
    """

    def __init__(self, endpoints: Iterable[Endpoint], venue: "Venue") -> None:
        self._venue = venue
        self._methods: dict[str, Endpoint] = {_LOGON.path: _LOGON}
        for endpoint in endpoints:
            if endpoint.path in self._methods or endpoint.path in _STATUS:
                raise ValueError(f"method {endpoint.path} is declared twice; a method has one answer")
            self._methods[endpoint.path] = endpoint

    def connect(self, address: str, query: str = "") -> Connection:
        """Return the connection of a client that asks for one; ``returnRateLimits=false`` holds for all its requests.

        Raises:
            StatusError: -1003, since a handshake costs weight.
        """
        now_ms = self._venue.session_ms()
        self._venue.limits.charge(address, HANDSHAKE_WEIGHT, now_ms)
        wanted = parse_qs(query, errors="replace").get("returnRateLimits", ["true"])[-1]
        return Connection(address, self._venue.market_ms(), wanted.lower() != "false")

    def handle(self, text: str, connection: Connection) -> str:
        """Return the frame that answers a frame.

        Raises:
            Exception: Any that an endpoint lets through, apart from refusals.
        """
        now_ms = self._venue.session_ms()
        answer: dict[str, object] = {"id": None}
        returns_limits, account = connection.returns_limits, None
        try:
            frame = self._frame(text, connection.address, now_ms)
            answer["id"] = frame.id
            sent = as_texts(frame.params)
            returns_limits = sent.get("returnRateLimits", str(returns_limits)).lower() == "true"
            account = self._account(frame.method, sent)
            answer |= {"status": _OK, "result": self._result(frame.method, sent, connection, now_ms)}
        except RefusedError as error:
            answer |= {"status": status_of(error), "error": _error(error, now_ms)}
        finally:
            self._venue.deliver()
        if returns_limits:
            answer["rateLimits"] = self._rate_limits(connection.address, account, now_ms)
        return dump_json(answer)

    def failure(self, text: str) -> str:
        """Return the frame that a shell answers with when an endpoint has failed."""
        try:
            request_id = _request(text).id
        except RefusedError:
            request_id = None
        return dump_json({"id": request_id, "status": _FAILED, "error": {"code": -1000, "msg": TEXTS[-1000]}})

    def _frame(self, text: str, address: str, now_ms: int) -> Frame:
        try:
            return _request(text)
        except RefusedError:
            self._venue.limits.charge(address, _FRAME_WEIGHT, now_ms)
            raise

    def _result(self, method: str, sent: Mapping[str, str], connection: Connection, now_ms: int) -> object:
        address = connection.address
        if method in _STATUS:
            self._venue.limits.charge(address, _SESSION_WEIGHT, now_ms)
            return self._status(connection)
        endpoint = self._methods.get(method)
        if endpoint is None:
            self._venue.limits.charge(address, _FRAME_WEIGHT, now_ms)
            raise StatusError(400, -5000, f"Method {method} is invalid")
        charge_arrival(self._venue, endpoint, address, now_ms)
        claim = Claim(address=address, key=sent.get("apiKey"), sent=sent, signed=sorted_text(sent), now_ms=now_ms)
        return endpoint.answer(admit(self._venue, endpoint, claim).call)

    def _status(self, connection: Connection) -> object:
        return {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": connection.connected_ms,
            "returnRateLimits": connection.returns_limits,
            "serverTime": self._venue.market_ms(),
        }

    def _account(self, method: str, sent: Mapping[str, str]) -> str | None:
        """Return the account whose order counts belong into the answer."""
        endpoint, key = self._methods.get(method), self._venue.keys.get(sent.get("apiKey", ""))
        return key.account if key is not None and endpoint is not None and any(endpoint.order_count) else None

    def _rate_limits(self, address: str, account: str | None, now_ms: int) -> list[dict[str, object]]:
        limits = self._venue.limits
        weight, minute, ten_seconds = limits.terms.rows()
        rows = [weight | {"count": limits.used_weight(address, now_ms)}]
        if account is not None:
            of_ten_seconds, of_minute = limits.order_counts(account, now_ms)
            rows = [ten_seconds | {"count": of_ten_seconds}, minute | {"count": of_minute}, *rows]
        return rows


def _request(text: str) -> Frame:
    try:
        data = load_json(text)
    except JsonError as error:
        raise RefusedError(-1135, "Invalid JSON Request") from error
    if not isinstance(data, dict):
        raise RefusedError(-1135, "Invalid JSON Request")
    request_id, method, params = data.get("id"), data.get("method"), data.get("params")
    if not _is_id(request_id):
        raise RefusedError(-1135, "Invalid 'id' in JSON request; expected an integer, a string or null.")
    if not isinstance(method, str):
        raise RefusedError(-1135, "Invalid 'method' in JSON request; expected a string.")
    if not isinstance(params, dict | None) or len(params or ()) > MOST_PARAMETERS:
        raise RefusedError(-1135, "Invalid 'params' in JSON request; expected an object.")
    return Frame(request_id, method, params or {})


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_ID
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < _MOST_WHOLE
    return value is None


def _error(error: RefusedError, now_ms: int) -> dict[str, object]:
    body = error_body(error)
    if isinstance(error, StatusError) and error.retry_at_ms is not None:
        body["data"] = {"serverTime": now_ms, "retryAfter": error.retry_at_ms}
    return body
