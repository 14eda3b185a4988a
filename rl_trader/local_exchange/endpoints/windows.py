"""Which part of an account's history is asked for, and which of its rows are answered.

Sources: the API documentation of USD-M futures, "All Orders", "Account Trade List", "Get Income History" and its like
(read in autumn 2026). Assumptions: of more rows than are asked for, a request with a start or a first number gets the
oldest from there on, any other the newest; both in ascending order. Months are taken as 30 days.

Times in milliseconds since 1970 UTC.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from rl_trader.bars import MS_PER_HOUR
from rl_trader.local_exchange.protocol.endpoint import Call, Kind, Parameter
from rl_trader.local_exchange.refusal_texts import refused

MS_PER_DAY: Final = 24 * MS_PER_HOUR
WEEK_MS: Final = 7 * MS_PER_DAY
QUARTER_MS: Final = 90 * MS_PER_DAY  # older trades, bookings and orders are not answered

TIMES: Final = (Parameter("startTime", Kind.WHOLE), Parameter("endTime", Kind.WHOLE))

Row = TypeVar("Row")


class Span(NamedTuple):
    """Times from and to, both included."""

    since_ms: int
    until_ms: int

    def holds(self, time_ms: int) -> bool:
        """Return whether a time lies in it."""
        return self.since_ms <= time_ms <= self.until_ms


def limit(default: int, most: int) -> Parameter:
    """Return the parameter that says how many rows are wanted."""
    return Parameter("limit", Kind.WHOLE, default=default, least=1, most=most)


def has_times(call: Call) -> bool:
    """Return whether a start or an end is asked for."""
    return call.maybe_whole("startTime") is not None or call.maybe_whole("endTime") is not None


def short_span(call: Call, longest_ms: int = WEEK_MS, kept_ms: int = QUARTER_MS) -> Span:
    """Return a span of at most a length, by default the latest one; one that is open on a side has the full length.

    Args:
        call: With ``startTime`` and ``endTime``.
        longest_ms: Of it.
        kept_ms: How old the history is that can be answered.

    Raises:
        RefusedError: -1023 if it ends before it starts, -4165 if it is too long.
    """
    start, end, now = call.maybe_whole("startTime"), call.maybe_whole("endTime"), call.venue.market_ms()
    _check_order(start, end)
    if start is not None and end is not None and end - start > longest_ms:
        raise refused(-4165)
    if end is None:
        end = now if start is None else start + longest_ms
    if start is None:
        start = end - longest_ms
    return Span(max(start, now - kept_ms), end)


def open_span(call: Call, default_ms: int = WEEK_MS, kept_ms: int = QUARTER_MS) -> Span:
    """Return a span of any length; one without a start begins a default length before its end.

    Args:
        call: With ``startTime`` and ``endTime``.
        default_ms: How long one without a start is.
        kept_ms: How old the history is that can be answered.

    Raises:
        RefusedError: -1023 if it ends before it starts.
    """
    start, end, now = call.maybe_whole("startTime"), call.maybe_whole("endTime"), call.venue.market_ms()
    _check_order(start, end)
    until = now if end is None else end
    return Span(max(until - default_ms if start is None else start, now - kept_ms), until)


def kept_span(call: Call, kept_ms: int = QUARTER_MS) -> Span:
    """Return the whole history that can be answered."""
    now = call.venue.market_ms()
    return Span(now - kept_ms, now)


def _check_order(start: int | None, end: int | None) -> None:
    if start is not None and end is not None and start > end:
        raise refused(-1023)


def page(rows: Sequence[Row], size: int, *, is_from_start: bool, number: int = 1) -> Sequence[Row]:
    """Return as many rows as are wanted, of rows in ascending order: the oldest, or the newest.

    Args:
        rows: All that were found.
        size: How many are wanted.
        is_from_start: Whether the oldest are wanted.
        number: Of the page; the first is 1, the next goes on from there.
    """
    skipped = size * (number - 1)
    if is_from_start:
        return rows[skipped : skipped + size]
    end = max(len(rows) - skipped, 0)
    return rows[max(end - size, 0) : end]


def numbered(
    call: Call, name: str, rows: Sequence[Row], number_of: Callable[[Row], int], time_of: Callable[[Row], int]
) -> Sequence[Row]:
    """Return rows from a number on, or of a span of a week.

    Args:
        call: With the number, ``startTime``, ``endTime`` and ``limit``.
        name: Of the parameter that has the first number.
        rows: All that there are, in ascending order.
        number_of: Returns the number of a row.
        time_of: Returns the time of a row.

    Raises:
        RefusedError: -1023 or -4165 for the times.
    """
    first = call.maybe_whole(name)
    span = kept_span(call) if first is not None and not has_times(call) else short_span(call)
    found = [row for row in rows if span.holds(time_of(row)) and (first is None or number_of(row) >= first)]
    is_from_start = first is not None or call.maybe_whole("startTime") is not None
    return page(found, call.whole("limit"), is_from_start=is_from_start)
