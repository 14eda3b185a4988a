"""JSON as the API reads and writes it.

Decimals must not pass through binary numbers, and the WebSocket API signs numbers as they were written: a number with
a point or an exponent is read as its text.
"""

import json
from collections.abc import Mapping
from typing import Final, cast

_WRITE: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class JsonError(ValueError):
    """A text that is no JSON, or JSON that nobody can mean: too deep, or with numbers of thousands of digits."""


def load_json(text: str) -> object:
    """Return the data of a JSON text; whole numbers are int, all others the text that they were written as.

    Raises:
        JsonError: If it is no JSON, nested too deeply or has NaN, an infinity or text that UTF-8 cannot write.
    """
    try:
        data = json.loads(text, parse_float=str, parse_constant=_refuse_constant)
        if "\\u" in text:
            json.dumps(data, ensure_ascii=False).encode()  # half a surrogate pair can only come from an escape
    except (ValueError, RecursionError) as error:
        raise JsonError(f"JSON was wanted, found {text[:40]!r}: {error}") from error
    return cast("object", data)


def dump_json(data: object) -> str:
    """Return the JSON text of plain data, without blanks; what UTF-8 cannot write becomes a question mark."""
    text = _WRITE(data)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def as_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return the values of a JSON object as they would stand in a query; those that are null are left out."""
    return {name: _as_text(value) for name, value in values.items() if value is not None}


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return dump_json(value)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")
