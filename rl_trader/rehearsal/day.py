"""The day's profit, which a restart must not forget, and what follows from it, against the exchange's own history.

The day begins with the equity at the last close before 00:00 UTC. It is asked for where the trader can have known that:
it took that close in time, and has read the account since the last trade before.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from rl_trader.live.core.bookkeeping import TRANSFERS
from rl_trader.live.core.events import BarClosed, MarketSeen, Resumed, Snapshot
from rl_trader.live.core.state import DAY_MS
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.tally import Tally

IN_TIME_MS: Final = 1_000  # after its end the close was taken
UNIT: Final = Decimal("1E-6")  # USDT; entry prices are averages

_ZERO: Final = Decimal(0)


def day_opening(record: Record, tally: Tally) -> Iterator[str]:
    """The day's loss is counted from the day's beginning, whatever has ended and begun since."""
    done = record.state.performance
    equity = _opening(record, done.day)
    if equity is None or record.state.books.opened_ms // DAY_MS == done.day:
        return
    tally.look()
    if abs(done.day_opening_equity - equity) > UNIT:
        yield f"the day began with {equity}, and its loss is counted from {done.day_opening_equity} on"


def lost_day(record: Record, tally: Tally) -> Iterator[str]:
    """Once as much is lost as may be, nothing is entered until the next day, and until a person has resumed."""
    bars = [event for event in record.events if isinstance(event, BarClosed)]
    openings = {day: _opening(record, day) for day in {bar.t_ms // DAY_MS for bar in bars}}
    lost_ms = [bar.t_ms for bar in bars if _is_lost(record, bar, openings[bar.t_ms // DAY_MS])]
    resumed_ms = [event.t_ms for event in record.events if isinstance(event, Resumed)]
    for asked in record.sent_orders:
        since = [lost for lost in lost_ms if lost < asked.sent_ms]
        if not since:
            continue
        tally.look()
        is_of_day = since[-1] // DAY_MS == asked.sent_ms // DAY_MS
        is_resumed = any(_first_lost(record, since[0], openings) <= t_ms <= asked.sent_ms for t_ms in resumed_ms)
        if asked.adds_exposure and (is_of_day or not is_resumed):
            yield f"order {asked.client_id} left at {asked.sent_ms}, and the day was lost at {since[-1]}"


def _first_lost(record: Record, known_ms: int, openings: Mapping[int, Decimal | None]) -> int:
    """Return when the trader may first have found the day lost: at any price that it was told, not at closes alone."""
    day, mark_price = known_ms // DAY_MS, _ZERO
    opening = openings[day]
    assert opening is not None
    for event in record.events:
        if isinstance(event, MarketSeen | BarClosed):
            mark_price = event.mark_price if isinstance(event, MarketSeen) else event.mark_close
        if event.t_ms // DAY_MS != day or not mark_price:
            continue
        moved = [i.amount for i in record.income if i.type in TRANSFERS and day * DAY_MS <= i.time_ms <= event.t_ms]
        gained = _equity_at(record, event.t_ms + 1, mark_price) - opening - sum(moved, _ZERO)
        if -gained >= record.max_daily_loss * opening - UNIT:
            return event.t_ms
    return known_ms


def _is_lost(record: Record, bar: BarClosed, opening: Decimal | None) -> bool:
    """Return whether the trader can have known at a close that the day's loss is as large as it may be."""
    if opening is None or bar.open_ms + record.conduct.bar_ms + IN_TIME_MS < bar.t_ms:
        return False
    begin_ms = _day_begin(record, bar)
    moved = [i.amount for i in record.income if i.type in TRANSFERS and begin_ms <= i.time_ms <= bar.t_ms]
    gained = _equity_at(record, bar.t_ms + 1, bar.mark_close) - opening - sum(moved, _ZERO)
    if -gained <= record.max_daily_loss * opening + UNIT:
        return False
    last = max((time for time in _changes(record) if time <= bar.t_ms), default=0)
    return any(isinstance(event, Snapshot) and last < event.t_ms < bar.t_ms for event in record.events)


def _day_begin(record: Record, bar: BarClosed) -> int:
    """Return when a bar's day began, or the ledger in it; what is booked then is in what the day began with."""
    return max(bar.t_ms // DAY_MS * DAY_MS, record.state.books.opened_ms)


def _opening(record: Record, day: int) -> Decimal | None:
    """Return the equity with which a day began, where the trader can have known it."""
    midnight, opened_ms = day * DAY_MS, record.state.books.opened_ms
    if opened_ms // DAY_MS == day:
        return _equity_at(record, opened_ms, _ZERO) if position_at(record, opened_ms)[0] == 0 else None
    close = record.closes.get(midnight - record.conduct.bar_ms)
    return _equity_at(record, midnight, close) if close is not None and _has_known(record, midnight) else None


def _equity_at(record: Record, time_ms: int, mark_price: Decimal) -> Decimal:
    """Return the equity before a time, by the exchange's bookings."""
    amount, entry_price = position_at(record, time_ms)
    later = sum((income.amount for income in record.income if income.time_ms >= time_ms), _ZERO)
    return record.wallet_balance - later + amount * (mark_price - entry_price)


def _changes(record: Record) -> list[int]:
    """Return when the account was changed."""
    return [fill.time_ms for fill in record.fills] + [income.time_ms for income in record.income]


def _has_known(record: Record, midnight: int) -> bool:
    """Return whether the trader has known the account at the day's last close, and the close."""
    closed = any(
        isinstance(event, BarClosed) and event.open_ms == midnight - record.conduct.bar_ms
        for event in record.events
        if midnight - IN_TIME_MS <= event.t_ms <= midnight + IN_TIME_MS
    )
    changes = _changes(record)
    last = max((time for time in changes if time < midnight), default=0)
    is_read = any(isinstance(event, Snapshot) and last < event.t_ms < midnight for event in record.events)
    return closed and is_read and midnight not in changes


def position_at(record: Record, time_ms: int) -> tuple[Decimal, Decimal]:
    """Return amount and entry price before a time, by the exchange's trades."""
    amount = entry_price = _ZERO
    for fill in record.fills:
        if fill.time_ms >= time_ms:
            break
        change = fill.side.sign * fill.amount
        after = amount + change
        if amount * change >= 0:
            entry_price = (abs(amount) * entry_price + abs(change) * fill.price) / abs(after)
        elif amount * after < 0:
            entry_price = fill.price
        amount = after
    return amount, entry_price
