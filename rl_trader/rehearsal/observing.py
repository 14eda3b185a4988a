"""What the policy was shown, what the market told, and how soon the trader was at work again.

Every checker is a function of the record alone: it yields a sentence for what is broken, and counts what it looks at.
"""

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Final

from rl_trader.live.core.commands import Decide
from rl_trader.live.core.events import BarClosed, BarSkipped, Decided, Event, Snapshot, Started
from rl_trader.rehearsal.convergence import SETTLED_MS
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.tally import Tally

AT_ONCE_MS: Final = 1_000  # before a close, in which a trade may be known or not
RECOVERY_MS: Final = 10_000  # from a start to a reading of the account
RECOVERY_WAYS: Final = 40  # to the exchange and back, of which one by one it consists
RECOVERY_CALLS: Final = 40
LASTS_MS: Final = 240_000  # for which what has gone wrong may last

_ZERO: Final = Decimal(0)


def observed(record: Record, tally: Tally) -> Iterator[str]:
    """The journal leads to what the policy was shown, and that to what it wanted."""
    if record.decide is None:
        return
    for question, decided in record.questions:
        tally.look()
        again = record.decide(question, decided.t_ms)
        if again.observation_sha != decided.observation_sha:
            yield f"on the bar of {decided.open_ms} the policy was shown something else than the journal leads to"
        elif again != decided:
            yield f"on the bar of {decided.open_ms} the policy wanted {decided}, and wants {again} of the same"
        yield from _untrue(record, question, decided)


def _untrue(record: Record, question: Decide, decided: Decided) -> Iterator[str]:
    """Yield what the policy was shown of the account and the exchange had otherwise, once nothing goes wrong."""
    if decided.t_ms < record.faults_end_ms + SETTLED_MS:
        return
    if any(decided.t_ms - AT_ONCE_MS <= time <= decided.t_ms for time in record.changes_ms):
        return
    amount = sum((fill.side.sign * fill.amount for fill in record.fills if fill.time_ms <= decided.t_ms), _ZERO)
    wallet = record.wallet_at(decided.t_ms)
    if (question.amount, question.wallet_balance) != (amount, wallet):
        yield (
            f"on the bar of {decided.open_ms} the policy was shown {question.amount} and {question.wallet_balance} "
            f"USDT, and the account had {amount} and {wallet}"
        )


def whole_series(record: Record, tally: Tally) -> Iterator[str]:
    """Bars come with the exchange's closes, and none is left out between two that have come to one start."""
    for told in _starts(record):
        opened = sorted({event.open_ms for event in told if isinstance(event, BarClosed | BarSkipped)})
        for before, after in pairwise(opened):
            tally.look()
            if after - before != record.conduct.bar_ms:
                yield f"between the bars of {before} and {after} some were left out"
        for event in told:
            if isinstance(event, BarClosed) and record.closes.get(event.open_ms) != event.close:
                yield f"the bar of {event.open_ms} closed at {record.closes.get(event.open_ms)}, not {event.close}"


def _starts(record: Record) -> Iterator[list[Event]]:
    """Yield what has happened in every life of the process."""
    told: list[Event] = []
    for event in record.events:
        if isinstance(event, Started):
            yield told
            told = []
        told.append(event)
    yield told


def _is_disturbed(record: Record, since_ms: int, until_ms: int) -> bool:
    """Return whether something went wrong in a time, or so shortly before that it may last."""
    if record.faulty_ms is None:
        return True
    return any(since_ms - LASTS_MS <= time <= until_ms for time in record.faulty_ms)


def recovered(record: Record, tally: Tally) -> Iterator[str]:
    """Where nothing goes wrong, a start has soon read the account, with few questions."""
    budget_ms = RECOVERY_MS + RECOVERY_WAYS * record.latency_ms
    for told in _starts(record):
        began = told[0].t_ms if told else 0
        if not told or not isinstance(told[0], Started) or began + budget_ms > record.end_ms:
            continue
        if _is_disturbed(record, began, began + budget_ms) or told[-1].t_ms < began + budget_ms:
            continue
        tally.look()
        read_ms = next((event.t_ms for event in told if isinstance(event, Snapshot)), None)
        if read_ms is None or read_ms - began > budget_ms:
            yield f"the start at {began} had not read the account {budget_ms} ms later"
            continue
        calls = sum(began <= asked.sent_ms <= read_ms for asked in record.asked)
        if calls > RECOVERY_CALLS:
            yield f"the start at {began} asked {calls} times before it had read the account"
