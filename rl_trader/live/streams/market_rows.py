"""Rows of market data as the exchange tells them, checked before anything else reads them.

A row keeps the exchange's own texts, of which numbers are read as the downloader reads them. What cannot be what the
exchange means is refused in a sentence: a number that is none, a time off its grid, prices that no market has. Python
reads more as a number than the exchange writes (``1_0``, ``nan``, digits of other scripts); only plain ones are taken.

Prices in USDT, volumes in base asset, times in milliseconds since 1970 UTC, rates as fractions.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeGuard

from rl_trader.bars import MS_PER_HOUR, OHLC
from rl_trader.download.archive import KLINE_COLUMNS, QUOTED_COLUMNS, TRADED_COLUMNS, Kind, Series
from rl_trader.errors import DataError
from rl_trader.klines import interval_ms, utc

LAST_MS: Final = 4_102_444_800_000  # 2100-01-01; a stamp in microseconds lies far beyond
SETTLED_COLUMNS: Final = ("funding_time", "funding_rate", "mark_price")

_PLAIN: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_SIGNED: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_MOST_OFFSET_MS: Final = 60_000  # of a settlement's stamp from its hour
_COLUMN: Final = {name: place for place, name in enumerate(KLINE_COLUMNS)}
_SHOWN: Final = 40  # characters of a value that a message quotes

Row = tuple[int | str | None, ...]
"""A row of a table; its first column is the time."""


def read_candle(row: Sequence[object], series: Series) -> Row:
    """Return a kline, or a candle of the mark price, in the columns that the store keeps.

    Args:
        row: In the exchange's columns.
        series: Which it is of.

    Raises:
        DataError: If a time is none of the interval's, a number is none, or the prices are none that a market can have.
    """
    name = f"a candle of {series}"
    if isinstance(row, str) or len(row) < len(KLINE_COLUMNS):
        raise DataError(f"{name} must have {len(KLINE_COLUMNS)} columns and has {len(row)}; ask again")
    length = interval_ms(str(series.interval))
    open_time = _time(row[0], name)
    if open_time % length or _time(row[_COLUMN["close_time"]], name) != open_time + length - 1:
        raise DataError(
            f"{name} must open on its grid and end just before the next, and has the times {row[0]} to"
            f" {row[_COLUMN['close_time']]}; ask again"
        )
    where = f"{name} at {utc(open_time)}"
    texts = {column: _number(row[_COLUMN[column]], column, where) for column in (*OHLC, "volume")}
    opened, high, low, close = (float(texts[column]) for column in OHLC)
    if not 0.0 < low <= min(opened, close) <= max(opened, close) <= high:
        raise DataError(f"{where} must have positive prices between its low and its high and has {texts}; ask again")
    kept = TRADED_COLUMNS if series.kind is Kind.KLINES else QUOTED_COLUMNS
    texts |= {column: _number(row[_COLUMN[column]], column, where) for column in kept[1:] if column not in texts}
    return (open_time, *(texts[column] for column in kept[1:]))


def read_settlement(answer: object, symbol: str) -> tuple[int, Row]:
    """Return the hour of settled funding and its row: time, rate and mark price, which may be None.

    Raises:
        DataError: If it is of another symbol, more than a minute off an hour, or its rate is no fraction below 1.
    """
    name = f"a settlement of {symbol}"
    if not isinstance(answer, Mapping) or answer.get("symbol") != symbol:
        raise DataError(f"{name} must be an entry of fundingRate and is {str(answer)[:_SHOWN]}; ask again")
    time_ms = _time(answer.get("fundingTime"), name)
    hour = (time_ms + MS_PER_HOUR // 2) // MS_PER_HOUR * MS_PER_HOUR
    if abs(time_ms - hour) > _MOST_OFFSET_MS:
        raise DataError(f"{name} must be within a minute of a full hour and is of {utc(time_ms)}; ask again")
    where = f"{name} of {utc(hour)}"
    rate = _number(answer.get("fundingRate"), "rate", where, _SIGNED)
    if abs(float(rate)) >= 1.0:
        raise DataError(f"{where} must have a rate below 1 and has {rate}; ask again")
    mark = answer.get("markPrice") or None  # the exchange has none of old ones
    if mark is not None and float(mark := _number(mark, "mark price", where)) <= 0.0:
        raise DataError(f"{where} must have a positive mark price and has {mark}; ask again")
    return hour, (time_ms, rate, mark)


def _time(value: object, name: str) -> int:
    if not is_stamp(value):
        raise DataError(f"{name} must have times in ms since 1970 and has {str(value)[:_SHOWN]}; ask again")
    return value


def _number(value: object, column: str, where: str, form: re.Pattern[str] = _PLAIN) -> str:
    text = str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value
    if not isinstance(text, str) or form.fullmatch(text) is None:
        raise DataError(f"{where} must have a plain number as its {column} and has {str(value)[:_SHOWN]!r}; ask again")
    return text


def is_stamp(value: object) -> TypeGuard[int]:
    """Return whether a value is a time."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LAST_MS


def is_price(value: object) -> TypeGuard[str]:
    """Return whether a value is the text of a positive number."""
    return isinstance(value, str) and _PLAIN.fullmatch(value) is not None and float(value) > 0.0


def is_rate(value: object) -> TypeGuard[str]:
    """Return whether a value is the text of a number of either sign."""
    return isinstance(value, str) and _SIGNED.fullmatch(value) is not None
