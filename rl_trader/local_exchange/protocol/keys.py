"""Keys, signatures and timestamps: who asks, and whether the request is fresh.

Source: the API documentation of USD-M futures, "General Info", "Timing security" (read in autumn 2026): a request is
taken if ``timestamp < now + 1000`` and ``now - timestamp <= recvWindow``; the window is 5000 ms unless sent and at
most 60000 ms. That the signature is looked at before the time is an assumption.

Several clocks count as the server's, and a request is fresh if it is by any of them: the market's, which stands in
recorded time; the session's, which is the machine's unless the exchange runs in lock-step; and those that were set by
``GET /fapi/v1/time`` and have gone on since, as they do in clients that look at the server's time once, when they
start.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.protocol.endpoint import Kind, Parameter
from rl_trader.local_exchange.protocol.parameters import read_arguments
from rl_trader.local_exchange.protocol.signature import is_signed
from rl_trader.local_exchange.refusal_texts import refused

AHEAD_MS: Final = 1_000  # a client's clock may be ahead by less than that
DEFAULT_WINDOW_MS: Final = 5_000
LONGEST_WINDOW_MS: Final = 60_000

_AHEAD: Final = "Timestamp for this request was 1000ms ahead of the server's time."
_FORMAT: Final = re.compile(r"[0-9A-Za-z_-]{1,128}")  # the exchange's own have 64 letters and digits
_SIGNED: Final = (
    Parameter("timestamp", Kind.WHOLE, is_required=True),
    Parameter("recvWindow", Kind.WHOLE, default=DEFAULT_WINDOW_MS, least=0, most=LONGEST_WINDOW_MS),
    Parameter("signature", is_required=True),
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of an account."""

    key: str
    secret: str = field(repr=False)
    account: str  # its name


def find_key(keys: Mapping[str, ApiKey], text: str | None, address: str) -> ApiKey:
    """Return the key that a caller shows.

    Raises:
        RefusedError: -2014 if there is none or it cannot be one, -2015 if nobody has it.
    """
    if text is None or not _FORMAT.fullmatch(text):
        raise refused(-2014)
    key = keys.get(text)
    if key is None:
        raise refused(-2015, address)
    return key


def check_signed(key: ApiKey, sent: Mapping[str, str], signed: bytes, clocks_ms: Iterable[int]) -> None:
    """Refuse a request whose signature or timestamp is missing or wrong.

    Args:
        key: Whose secret signs.
        sent: All parameters, as text.
        signed: What the signature has to be of.
        clocks_ms: The times that count as now.

    Raises:
        RefusedError: -1102, -1105 or -1130 for the parameters themselves, -1022 for the signature, -1021 for the time.
    """
    values = read_arguments(_SIGNED, sent, ())
    timestamp, window, signature = values["timestamp"], values["recvWindow"], values["signature"]
    assert isinstance(timestamp, int)
    assert isinstance(window, int)
    if not is_signed(key.secret, signed, str(signature)):
        raise refused(-1022)
    clocks = tuple(clocks_ms)
    if not any(timestamp < now + AHEAD_MS and now - timestamp <= window for now in clocks):
        nearest = min(clocks, key=lambda now: abs(now - timestamp))
        raise RefusedError(-1021, _AHEAD) if timestamp >= nearest + AHEAD_MS else refused(-1021)
