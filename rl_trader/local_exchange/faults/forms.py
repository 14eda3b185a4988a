"""Calls of both APIs in one form: what was asked for, by whom, and how an answer to it is written."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final, Protocol, cast

from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.faults.triggers import Facts
from rl_trader.local_exchange.protocol.dispatch import KEY_HEADER, refusal_response
from rl_trader.local_exchange.protocol.json_text import JsonError, as_texts, dump_json, load_json
from rl_trader.local_exchange.protocol.keys import ApiKey
from rl_trader.local_exchange.protocol.parameters import sent_texts
from rl_trader.local_exchange.protocol.request import Request, Response
from rl_trader.local_exchange.protocol.statuses import StatusError, error_body, status_of
from rl_trader.local_exchange.refusal_texts import TEXTS

Keys = Mapping[str, ApiKey]

_BATCH: Final = "batchOrders"
_SHOWN: Final = ("symbol", "side", "type", "quantity", "newClientOrderId", "origClientOrderId", "orderId")


class Form(Protocol):
    """How answers are written."""

    def refuse(self, error: RefusedError) -> Response:
        """Return the answer of a call that is refused."""
        ...

    def says(self, status: int, error: Mapping[str, object]) -> Response:
        """Return an answer with a status and an error of any form."""
        ...

    def page(self, status: int) -> Response:
        """Return what something before the exchange answers: a page for people, where the API has such."""
        ...

    def result(self, answer: Response) -> object:
        """Return what an answer says; None of a refusal."""
        ...

    def with_result(self, answer: Response, result: object) -> Response:
        """Return an answer that says something else."""
        ...


@dataclass(slots=True, kw_only=True)
class ApiCall:
    """One call of either API."""

    endpoint: str  # "POST /fapi/v1/order", or a method of the WebSocket API; empty of what is neither
    address: str
    account: str | None  # of the key that was shown, if it is one
    sent: Mapping[str, str]
    orders: tuple[Mapping[str, str], ...]  # of a batch each one, else what was sent
    form: Form
    during: list[AbstractContextManager[object]] = field(default_factory=list)  # what holds while it is carried out

    def facts(self) -> Facts:
        """Return what conditions are held against."""
        wanted = {"symbol": ("symbol", "pair"), "side": ("side",), "type": ("type",)}
        facts = {
            name: frozenset(order[key] for order in self.orders for key in keys if key in order)
            for name, keys in wanted.items()
        }
        return facts | {"account": frozenset([self.account] if self.account else [])}

    def __str__(self) -> str:
        shown = [f"{name}={self.sent[name]}" for name in _SHOWN if name in self.sent]
        return " ".join([self.endpoint or "no call", *shown, *([f"of {self.account}"] if self.account else [])])


class RestForm:
    """Answers of REST."""

    def refuse(self, error: RefusedError) -> Response:
        """Return a status and the error."""
        return refusal_response(error)

    def says(self, status: int, error: Mapping[str, object]) -> Response:
        """Return a status and the error as JSON."""
        return Response(status, {"Content-Type": "application/json"}, dump_json(error).encode())

    def page(self, status: int) -> Response:
        """Return a status and HTML, as gateways do."""
        words = f"{status} {HTTPStatus(status).phrase}"
        body = (
            f"<html>\n<head><title>{words}</title></head>\n<body>\n<center><h1>{words}</h1></center>\n</body>\n</html>"
        )
        return Response(status, {"Content-Type": "text/html"}, body.encode())

    def result(self, answer: Response) -> object:
        """Return the data of an answer with status 200."""
        return cast("object", json.loads(answer.body)) if answer.status == HTTPStatus.OK else None

    def with_result(self, answer: Response, result: object) -> Response:
        """Return the answer with other data."""
        return replace(answer, body=dump_json(result).encode())


class FrameForm:
    """Answers of the WebSocket API, each a frame.

    Args:
        request_id: That the answers carry.
    """

    def __init__(self, request_id: object) -> None:
        self._id = request_id

    def refuse(self, error: RefusedError) -> Response:
        """Return the frame of an error."""
        body = error_body(error)
        if isinstance(error, StatusError) and error.retry_at_ms is not None:
            body["data"] = {"retryAfter": error.retry_at_ms}
        return self.says(status_of(error), body)

    def says(self, status: int, error: Mapping[str, object]) -> Response:
        """Return the frame of an error."""
        return framed({"id": self._id, "status": status, "error": error})

    def page(self, status: int) -> Response:
        """Return the frame of an unknown error: there are no pages in this API."""
        return self.says(status, {"code": -1000, "msg": TEXTS[-1000]})

    def result(self, answer: Response) -> object:
        """Return the result of a frame."""
        return cast("object", json.loads(answer.body).get("result"))

    def with_result(self, answer: Response, result: object) -> Response:
        """Return the frame with another result."""
        return framed(json.loads(answer.body) | {"result": result})


def framed(data: object) -> Response:
    """Return a frame in the form of a response, whose body alone is sent."""
    return Response(HTTPStatus.OK, {}, dump_json(data).encode())


def rest_call(request: Request, keys: Keys) -> ApiCall:
    """Return what a request asks for."""
    try:
        sent = sent_texts(request)
    except RefusedError:
        sent = {}
    return _call(
        f"{request.method} {request.path}",
        request.address,
        (keys, request.headers.get(KEY_HEADER)),
        sent,
        RestForm(),
    )


def frame_call(text: str, address: str, keys: Keys) -> ApiCall:
    """Return what a frame of the WebSocket API asks for."""
    try:
        data = load_json(text)
    except JsonError:
        data = None
    frame = data if isinstance(data, dict) else {}
    method, params = frame.get("method"), frame.get("params")
    sent = as_texts(params) if isinstance(params, dict) else {}
    endpoint = method if isinstance(method, str) else ""
    return _call(endpoint, address, (keys, sent.get("apiKey")), sent, FrameForm(frame.get("id")))


def _call(endpoint: str, address: str, key: tuple[Keys, str | None], sent: Mapping[str, str], form: Form) -> ApiCall:
    keys, shown = key
    owner = keys.get(shown or "")
    return ApiCall(
        endpoint=endpoint,
        address=address,
        account=owner.account if owner else None,
        sent=sent,
        orders=_orders(sent),
        form=form,
    )


def _orders(sent: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
    if _BATCH not in sent:
        return (sent,)
    try:
        batch = load_json(sent[_BATCH])
    except JsonError:
        return (sent,)
    entries = batch if isinstance(batch, list) else []
    return tuple(as_texts(entry) for entry in entries if isinstance(entry, dict)) or (sent,)
