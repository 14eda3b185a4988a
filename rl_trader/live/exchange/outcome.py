"""What became of a call, judged from nothing but what came back.

An answer acknowledges, refuses for certain, or says nothing of whether the call was carried out. Whatever is not known
to be one of the first two is the third: an order that is taken for dead and lives is a position that nobody wants.

Sources: the API documentation of USD-M futures, "General Info" and "Error Codes" (read in autumn 2026). Times in
milliseconds since 1970 UTC on the exchange's clock.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from rl_trader.live.exchange.endpoints import ENDPOINTS

_MS_PER_S: Final = 1_000
_SHORTEST_BAN_MS: Final = 120_000
_LONGEST_WAIT_MS: Final = 3 * 86_400_000  # no ban is longer

_BAD_REQUEST: Final = 400
_UNAVAILABLE: Final = 503
_SHUT: Final = frozenset({401, 403, 418, 429})  # not let in, whatever the body says
_LIMITED: Final = 429
_BANNED: Final = 418
_SUCCESSES: Final = range(200, 300)

_FAILED: Final = "Service Unavailable."  # the one text of a 503 that says that nothing was done
_THROTTLED: Final = -1008

# Refusals of what was asked, made before anything is carried out.
_REFUSED: Final = frozenset(
    {
        *(-1013, -1015, -1021, -1022),
        *(-1100, -1101, -1102, -1103, -1104, -1105, -1106, -1111, -1112, -1114, -1115, -1116, -1117, -1118, -1119),
        *(-1120, -1121, -1125, -1127, -1128, -1130, -1136),
        *(-2010, -2011, -2013, -2014, -2015, -2018, -2019, -2020, -2021, -2022, -2023, -2024, -2025, -2026, -2027),
        *(-2028, -5021, -5022, -5028),
    }
)
_REFUSED_RANGE: Final = range(-4_999, -3_999)  # filters, margins, settings
_TWIN: Final = -4116  # there is an order of this client id already: it may be this very one
_CLOCK: Final = frozenset({-1021, -5028})
_KEY: Final = frozenset({-1022, -2014, -2015})
_ALREADY: Final = frozenset({-4046, -4059})  # what was to be set is set
_LATER: Final = _CLOCK | {-1015}

_BAN_END: Final = re.compile(r"banned until (\d{13})\b")
_WHOLE: Final = re.compile(r"-?\d{1,9}")


class Kind(StrEnum):
    """Whether a call was carried out."""

    ACKED = "ACKED"
    REJECTED = "REJECTED"  # for certain not
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """What came back of one call."""

    endpoint: str  # its name in the table
    sent_ms: int  # not before the time that the request was signed with
    received_ms: int
    recv_window_ms: int = 0  # how long after that the exchange accepts it; 0 of a call that is not signed
    status: int | None = None  # None where not even the head of an answer came
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = field(default=b"", repr=False)  # may hold a listen key
    failure: str = ""  # why there is no whole answer; empty where there is one
    is_written: bool = True  # whether a byte of the request may have left
    held_ms: int = 0  # for how long the own budget holds such calls back; then nothing was sent

    def data(self) -> object:
        """Return the body as JSON, with fractions as Decimal.

        Raises:
            ValueError: If it is none.
        """
        try:
            data: object = json.loads(self.body, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError, ArithmeticError) as error:
            raise ValueError(f"the answer to {self.endpoint} is no JSON; it may be read as nothing else") from error
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a call."""

    kind: Kind
    status: int | None
    code: int | None = None  # the exchange's
    reason: str = ""  # the exchange's words, or why there are none
    is_transient: bool = False  # of a refusal: whether the same may be accepted later
    retry_after_ms: int | None = None  # how long nothing should be asked, where that is said
    ban_until_ms: int | None = None  # nothing may be asked before
    data: object = field(default=None, repr=False)  # of an acknowledged call; may hold a listen key

    @property
    def is_clock_wrong(self) -> bool:
        """Whether the clock has to be set before anything else is signed."""
        return self.kind is Kind.REJECTED and self.code in _CLOCK

    @property
    def is_key_refused(self) -> bool:
        """Whether no signed call will be accepted until a person has mended the key."""
        return self.kind is Kind.REJECTED and (self.code in _KEY or self.status == 401)  # noqa: PLR2004

    @property
    def is_already_so(self) -> bool:
        """Whether a setting was refused because it is as wanted."""
        return self.kind is Kind.REJECTED and self.code in _ALREADY


def classify(answer: RawAnswer) -> Outcome:
    """Return what became of a call."""
    if not answer.is_written and answer.status is None:
        wait_ms = answer.held_ms or None
        return _rejected(answer, None, f"not sent: {answer.failure}", is_transient=True, retry_after_ms=wait_ms)
    if answer.status is None:
        return _unknown(answer, None, f"no answer: {answer.failure}")
    data = _readable(answer)
    code, message = _error_of(data)
    if answer.status in _SHUT:
        return _shut(answer, code, message)
    if answer.failure:
        return _unknown(answer, code, f"an answer of {answer.status} broke off: {answer.failure}")
    if answer.status in _SUCCESSES:
        return _success(answer, data, code, message)
    if answer.status == _BAD_REQUEST and _is_refusal(code):
        return _rejected(answer, code, message, is_transient=code in _LATER)
    if answer.status == _UNAVAILABLE and _is_certain(code, message):
        return _rejected(answer, code, message, is_transient=True)
    return _unknown(answer, code, message or f"an answer of {answer.status} that says nothing")


def _success(answer: RawAnswer, data: object, code: int | None, message: str) -> Outcome:
    if ENDPOINTS[answer.endpoint].is_acknowledged_by(data):
        return Outcome(kind=Kind.ACKED, status=answer.status, data=data)
    return _unknown(answer, code, message or f"an answer of {answer.status} without what {answer.endpoint} answers")


def _shut(answer: RawAnswer, code: int | None, message: str) -> Outcome:
    """Return the outcome of a call that was not let in."""
    words = message or f"answered {answer.status}"
    wait_ms = _retry_after_ms(answer)
    if answer.status == _BANNED:
        until_ms = _ban_end(answer, message, wait_ms)
        return _rejected(answer, code, words, is_transient=True, retry_after_ms=wait_ms, ban_until_ms=until_ms)
    return _rejected(answer, code, words, is_transient=answer.status == _LIMITED, retry_after_ms=wait_ms)


def _ban_end(answer: RawAnswer, message: str, wait_ms: int | None) -> int:
    """Return when a ban ends: as the exchange says, and where it says nothing after the shortest that there is."""
    told = _BAN_END.search(message)
    if told:
        return min(int(told[1]), answer.received_ms + _LONGEST_WAIT_MS)
    return answer.received_ms + (_SHORTEST_BAN_MS if wait_ms is None else wait_ms)


def _is_refusal(code: int | None) -> bool:
    return code is not None and code != _TWIN and (code in _REFUSED or code in _REFUSED_RANGE)


def _is_certain(code: int | None, message: str) -> bool:
    """Return whether a 503 says that nothing was done; its texts tell that, and of one kind the code."""
    return message == _FAILED or (code == _THROTTLED and not message.startswith("Unknown error"))


def _rejected(
    answer: RawAnswer,
    code: int | None,
    reason: str,
    *,
    is_transient: bool,
    retry_after_ms: int | None = None,
    ban_until_ms: int | None = None,
) -> Outcome:
    return Outcome(
        kind=Kind.REJECTED,
        status=answer.status,
        code=code,
        reason=reason,
        is_transient=is_transient,
        retry_after_ms=retry_after_ms,
        ban_until_ms=ban_until_ms,
    )


def _unknown(answer: RawAnswer, code: int | None, reason: str) -> Outcome:
    return Outcome(kind=Kind.UNKNOWN, status=answer.status, code=code, reason=reason)


# Reading


def _readable(answer: RawAnswer) -> object:
    try:
        return answer.data()
    except ValueError:
        return None


def _error_of(data: object) -> tuple[int | None, str]:
    """Return code and words of an error; None and nothing where there is none to be read."""
    if not isinstance(data, dict):
        return None, ""
    code, message = data.get("code"), data.get("msg")
    if isinstance(code, bool) or not isinstance(code, int | str) or not _WHOLE.fullmatch(str(code)):
        code = None
    return None if code is None else int(code), message if isinstance(message, str) else ""


def _retry_after_ms(answer: RawAnswer) -> int | None:
    text = answer.headers.get("retry-after", "").strip()
    return min(int(text) * _MS_PER_S, _LONGEST_WAIT_MS) if _WHOLE.fullmatch(text) and int(text) >= 0 else None


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number of JSON")
