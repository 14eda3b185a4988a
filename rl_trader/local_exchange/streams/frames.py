"""Frames that clients send on a connection of streams, and the errors that they get.

Source: the API documentation of USD-M futures, "Live Subscribing/Unsubscribing to streams" (read in autumn 2026);
the errors' forms are those of its older text.
"""

from enum import StrEnum
from typing import Final, NamedTuple, cast

from rl_trader.local_exchange.protocol.json_text import JsonError, dump_json, load_json

UNKNOWN_PROPERTY: Final = 0
INVALID_VALUE: Final = 1
INVALID_REQUEST: Final = 2
INVALID_JSON: Final = 3

Id = int | str | None


class Method(StrEnum):
    """What a client may ask for."""

    SUBSCRIBE = "SUBSCRIBE"
    UNSUBSCRIBE = "UNSUBSCRIBE"
    LIST_SUBSCRIPTIONS = "LIST_SUBSCRIPTIONS"
    SET_PROPERTY = "SET_PROPERTY"
    GET_PROPERTY = "GET_PROPERTY"


class Frame(NamedTuple):
    """What a client asks for."""

    method: Method
    params: list[object]
    id: Id


class FrameError(Exception):
    """A frame that cannot be answered.

    Args:
        code: One of this module's.
        message: In the exchange's words.
        frame_id: Of the frame, as far as it could be read.
    """

    def __init__(self, code: int, message: str, frame_id: Id = None) -> None:
        super().__init__(message)
        self.code = code
        self.frame_id = frame_id

    def answer(self) -> str:
        """Return the frame that tells the client."""
        return dump_json({"code": self.code, "msg": str(self), "id": self.frame_id})


def parse_frame(text: str) -> Frame:
    """Return what a frame asks for.

    Raises:
        FrameError: If it is no JSON (3) or no request (2).
    """
    try:
        data = load_json(text)
    except JsonError as error:
        raise FrameError(INVALID_JSON, "Invalid JSON: expected value") from error
    if not isinstance(data, dict):
        raise _invalid("expected an object")
    frame_id = data.get("id")
    if not (frame_id is None or isinstance(frame_id, int | str)) or isinstance(frame_id, bool):
        raise _invalid("request ID must be an integer or a string")
    if "method" not in data:
        raise _invalid("missing field `method`", frame_id)
    method, params = data["method"], data.get("params") or []
    if method not in tuple(Method):
        expected = ", ".join(f"`{known}`" for known in Method)
        raise _invalid(f"unknown variant `{method}`, expected one of {expected}", frame_id)
    if not isinstance(params, list):
        raise _invalid("params must be a sequence", frame_id)
    return Frame(Method(method), params, frame_id)


def stream_names(frame: Frame) -> list[str]:
    """Return the names that a frame subscribes to, or no longer.

    Raises:
        FrameError: If there is none or one is no text (2).
    """
    if not frame.params or not all(isinstance(name, str) and name for name in frame.params):
        raise _invalid("params must be names of streams", frame.id)
    return cast("list[str]", frame.params)


def check_property(frame: Frame) -> None:
    """Refuse a frame about another property than ``combined``, the only one.

    Raises:
        FrameError: If its name is no text (2) or another (0), or there are too many parameters (2).
    """
    most = 2 if frame.method is Method.SET_PROPERTY else 1
    if not frame.params or not isinstance(frame.params[0], str):
        raise _invalid("property name must be a string", frame.id)
    if len(frame.params) > most:
        raise _invalid("too many parameters", frame.id)
    if frame.params[0] != "combined":
        raise FrameError(UNKNOWN_PROPERTY, "Unknown property", frame.id)


def property_value(frame: Frame) -> bool:
    """Return what a property is set to.

    Raises:
        FrameError: If the property is none (0, 2) or its value is not true or false (1).
    """
    check_property(frame)
    value = frame.params[1] if len(frame.params) > 1 else None
    if not isinstance(value, bool):
        raise FrameError(INVALID_VALUE, "Invalid value type: expected Boolean", frame.id)
    return value


def result(frame: Frame, value: object) -> str:
    """Return the frame that answers a frame."""
    return dump_json({"result": value, "id": frame.id})


def _invalid(reason: str, frame_id: Id = None) -> FrameError:
    return FrameError(INVALID_REQUEST, f"Invalid request: {reason}", frame_id)
