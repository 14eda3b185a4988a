"""Parameters: read from query and body, then turned into what an endpoint declares, or refused.

Sources: the API documentation of USD-M futures, "General Info" and "Error Codes" (read in autumn 2026), and answers
recorded in autumn 2026 (-1120, -1121, -1130, -4021). GET takes its parameters from the query; POST, PUT and DELETE
from the query or a form in the body, and the query wins. Unknown parameters are ignored. Names are exact, except for
the two lists of ``DELETE batchOrders``, which a widespread client writes in lower case.

Assumptions: which code a malformed number gets is not documented in full (here -1102); the same name twice in one part
is refused with -1101, since nobody can say which one is meant.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from rl_trader.local_exchange.books.money import ZERO, is_number
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.protocol.endpoint import Kind, Parameter
from rl_trader.local_exchange.protocol.json_text import JsonError, load_json
from rl_trader.local_exchange.protocol.request import Request
from rl_trader.local_exchange.refusal_texts import refused

INTERVALS: Final = frozenset(
    {"1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"}
)
MOST_PARAMETERS: Final = 200  # in one part; no endpoint takes a tenth of it
MOST_DECIMALS: Final = 30  # the books compute with 60 digits, of which 14 may stand before the point

_OTHER_NAMES: Final = {"orderidlist": "orderIdList", "origclientorderidlist": "origClientOrderIdList"}
_TRUTHS: Final = {"true": True, "false": False}
_OF_A_VALUE: Final = frozenset({-4021, -4028})  # codes whose text names the value and not the parameter
_LEAST_WHOLE: Final = -(2**63)
_MOST_WHOLE: Final = 2**63 - 1
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")
_DECIMAL: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_LONGEST_NUMBER: Final = 100  # characters


def sent_texts(request: Request) -> dict[str, str]:
    """Return all parameters of a request by name, percent-decoded.

    Raises:
        RefusedError: -1100 for text that is no UTF-8; -1101 for too many parameters, or one name twice in one part.
    """
    texts = _decoded(request.query)
    if request.method == "GET" or not request.body:
        return texts
    try:
        body = request.body.decode()
    except UnicodeDecodeError as error:
        raise refused(-1100) from error
    return _decoded(body) | texts


def read_arguments(
    parameters: Iterable[Parameter], sent: Mapping[str, str], symbols: Collection[str]
) -> dict[str, object]:
    """Return the value of every declared parameter, its default (or None) where it was not sent.

    Args:
        parameters: What the endpoint declares, in the order in which mistakes are looked for.
        sent: What was sent, as text.
        symbols: All that there are.

    Raises:
        RefusedError: -1102 for what is missing or malformed, -1105 for what is empty, -1111 for more decimals than
            anything has, -1120 and -1121 for an interval or a symbol that does not exist, -1130 or the parameter's
            own code for a value that is not among those allowed.
    """
    arguments: dict[str, object] = {}
    for parameter in parameters:
        text = sent.get(parameter.name)
        if text:
            arguments[parameter.name] = _value(parameter, text, symbols)
        elif text == "":
            raise refused(-1105, parameter.name)
        elif parameter.is_required:
            raise refused(-1102, parameter.name)
        else:
            arguments[parameter.name] = parameter.default
    return arguments


def _decoded(part: str) -> dict[str, str]:
    return dict(_read(part)) if part else {}


@lru_cache(maxsize=8)  # who stands before the dispatcher reads the same parameters
def _read(part: str) -> dict[str, str]:
    try:
        part.encode()  # what is no UTF-8 as it stands
        pairs = parse_qsl(part, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except UnicodeError as error:
        raise refused(-1100) from error
    except ValueError as error:
        raise RefusedError(-1101, "Too many parameters sent for this endpoint.") from error
    texts = {_OTHER_NAMES.get(name, name): text for name, text in pairs}
    if len(texts) != len(pairs):
        raise RefusedError(-1101, "Duplicate values for a parameter detected.")
    return texts


def _value(parameter: Parameter, text: str, symbols: Collection[str]) -> object:
    match parameter.kind:
        case Kind.WHOLE:
            return _whole(parameter, text)
        case Kind.DECIMAL:
            return _decimal(parameter, text)
        case Kind.TRUTH:
            return _truth(parameter, text)
        case Kind.JSON:
            return _json(parameter, text)
        case Kind.SYMBOL if text not in symbols:
            raise refused(-1121)
        case Kind.INTERVAL if text not in INTERVALS:
            raise refused(-1120)
    _check_choice(parameter, text)
    return text


def _whole(parameter: Parameter, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise refused(-1102, parameter.name)
    value = int(text)
    if not _LEAST_WHOLE <= value <= _MOST_WHOLE:
        raise refused(-1102, parameter.name)
    is_low = parameter.least is not None and value < parameter.least
    is_high = parameter.most is not None and value > parameter.most
    if is_low or is_high:
        raise refused(-1130, parameter.name)
    _check_choice(parameter, text)
    return value


def _decimal(parameter: Parameter, text: str) -> Decimal:
    if len(text) > _LONGEST_NUMBER or not _DECIMAL.fullmatch(text):
        raise refused(-1102, parameter.name)
    value = Decimal(text)
    if not is_number(value):
        raise refused(-1102, parameter.name)
    if value == 0:
        return ZERO  # whatever its sign and exponent
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -MOST_DECIMALS:
        raise refused(-1111)
    return value


def _truth(parameter: Parameter, text: str) -> bool:
    value = _TRUTHS.get(text.lower())
    if value is None:
        raise _not_allowed(parameter, text)
    return value


def _json(parameter: Parameter, text: str) -> object:
    try:
        data = load_json(text)
    except JsonError as error:
        raise refused(-1102, parameter.name) from error
    if not isinstance(data, list | dict):
        raise refused(-1102, parameter.name)
    return data


def _check_choice(parameter: Parameter, text: str) -> None:
    if parameter.choices and text not in parameter.choices:
        raise _not_allowed(parameter, text)


def _not_allowed(parameter: Parameter, text: str) -> RefusedError:
    code = parameter.choice_code
    return refused(code, text if code in _OF_A_VALUE else parameter.name)
