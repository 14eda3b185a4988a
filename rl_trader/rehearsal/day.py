"""The day's profit, which a restart must not forget: as the trader has it, against the exchange's own history.

The day begins with the equity at the last close before 00:00 UTC. It is asked for where the trader can have known that:
it took that close in time, and has read the account since the last trade before.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from rl_trader.live.core.events import BarClosed, Snapshot
from rl_trader.live.core.state import DAY_MS
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.tally import Tally

IN_TIME_MS: Final = 1_000  # after its end the close was taken
UNIT: Final = Decimal("1E-6")  # USDT; entry prices are averages

_ZERO: Final = Decimal(0)


def day_opening(record: Record, tally: Tally) -> Iterator[str]:
    """The day's loss is counted from the day's beginning, whatever has ended and begun since."""
    done = record.state.performance
    midnight = done.day * DAY_MS
    close = record.closes.get(midnight - record.conduct.bar_ms)
    if close is None or not _has_known(record, midnight):
        return
    tally.look()
    amount, entry_price = position_at(record, midnight)
    later = sum((income.amount for income in record.income if income.time_ms >= midnight), _ZERO)
    equity = record.wallet_balance - later + amount * (close - entry_price)
    if abs(done.day_opening_equity - equity) > UNIT:
        yield f"the day began with {equity}, and its loss is counted from {done.day_opening_equity} on"


def _has_known(record: Record, midnight: int) -> bool:
    """Return whether the trader has known the account at the day's last close, and the close."""
    closed = any(
        isinstance(event, BarClosed) and event.open_ms == midnight - record.conduct.bar_ms
        for event in record.events
        if midnight - IN_TIME_MS <= event.t_ms <= midnight + IN_TIME_MS
    )
    changes = [fill.time_ms for fill in record.fills] + [income.time_ms for income in record.income]
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
