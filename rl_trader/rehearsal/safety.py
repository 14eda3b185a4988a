"""What must never be, at any moment of a rehearsal.

Every checker is a function of the record alone: it yields a sentence for what is broken, and counts what it looks at.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Final

from rl_trader.live.core.events import BarClosed, Decided, MarketSeen, Started
from rl_trader.live.core.intents import epoch_of
from rl_trader.local_exchange.engine.words import AlgoStatus
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.tally import Tally

CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
WINDOW_MS: Final = 10_000
MOST_ORDERS: Final = 20  # in that time
MOST_REQUESTS: Final = 150  # in that time
UNHEARD_MS: Final = 60_000  # after which a trade of another hand is known, whatever was lost
ROUNDED_MS: Final = 1_000  # by which the end of a ban is told too late

_ZERO: Final = Decimal(0)
_NEXT: Final[Mapping[str, str]] = {  # the transitions of an order, written down once more
    "PLANNED": "SENT UNKNOWN REJECTED",
    "SENT": "UNKNOWN OPEN FILLED ENDED REJECTED",
    "UNKNOWN": "OPEN FILLED ENDED REJECTED ABSENT",
    "OPEN": "FILLED ENDED REJECTED UNKNOWN",
    "FILLED": "",
    "ENDED": "",
    "REJECTED": "",
    "ABSENT": "FILLED ENDED REJECTED",  # where the exchange says all the same how it has ended
}


def _decision_key(client_id: str) -> str | None:
    """Return what stands for decision and leg in a client id of the trader's, whatever instance and attempt."""
    return None if epoch_of(client_id) is None else client_id.split("-")[1]


def one_order_a_leg(record: Record, tally: Tally) -> Iterator[str]:
    """At most one order of a decision's leg has any effect."""
    effective: dict[str, list[str]] = defaultdict(list)
    for order in record.orders:
        key = _decision_key(order.client_order_id)
        if key is not None and order.algo_id is None and (order.executed or order.order_id in record.open_order_ids):
            effective[key].append(f"{order.order_id} ({order.client_order_id})")
    for algo in record.algo_orders:
        key = _decision_key(algo.client_algo_id)
        if key is not None and algo.status not in (AlgoStatus.CANCELED, AlgoStatus.EXPIRED, AlgoStatus.REJECTED):
            effective[key].append(f"{algo.algo_id} ({algo.client_algo_id})")
    tally.look(len(effective))
    for orders in effective.values():
        if len(orders) > 1:
            yield f"orders {' and '.join(orders)} are of one leg of one decision, and each has had an effect"


def journalled_first(record: Record, tally: Tally) -> Iterator[str]:
    """Every order was in the journal before it left."""
    for asked in record.sent_orders:
        tally.look()
        if not asked.is_journalled:
            yield f"order {asked.client_id} left at {asked.sent_ms} and was not in the journal"


def frozen_while_unknown(record: Record, tally: Tally) -> Iterator[str]:
    """Nothing that adds exposure leaves while an order is in an unknown state."""
    for asked in record.sent_orders:
        if not asked.adds_exposure:
            continue
        tally.look()
        if unknown := record.unknown_at(asked.num_journalled):
            yield f"order {asked.client_id} left at {asked.sent_ms} while {', '.join(unknown)} was unknown"


def only_out_after_a_stop(record: Record, tally: Tally) -> Iterator[str]:
    """After a halt or a kill nothing leaves that adds exposure, until a person has resumed."""
    for asked in record.sent_orders:
        stop = record.stop_at(asked.num_journalled)
        if stop is None:
            continue
        tally.look()
        if asked.adds_exposure:
            yield f"order {asked.client_id} left at {asked.sent_ms} although there was a {stop}"


def no_turn_in_one_order(record: Record, tally: Tally) -> Iterator[str]:
    """No order of the trader's takes a position through zero, and what only reduces does.

    An entry may that leaves before the trader can know that another hand has traded.
    """
    orders = {order.order_id: order for order in record.orders}
    amount, strange_ms = _ZERO, 0
    began: dict[int, Decimal] = {}
    for fill in record.fills:
        order = orders[fill.order_id]
        before, amount = amount, amount + fill.side.sign * fill.amount
        began.setdefault(fill.order_id, before)
        if epoch_of(order.client_order_id) is None:
            strange_ms = fill.time_ms
            continue
        if not order.reduce_only and fill.time_ms - strange_ms < UNHEARD_MS:
            continue
        tally.look()
        if began[fill.order_id] * amount < 0:
            yield f"order {order.client_order_id} turned the position from {began[fill.order_id]} to {amount}"
        if order.reduce_only and abs(amount) >= abs(before):
            yield f"order {order.client_order_id} may only reduce and took the position from {before} to {amount}"


def decided_once(record: Record, tally: Tally) -> Iterator[str]:
    """A bar is decided upon at most once, when it is over, as the exchange has it, and while the market is alive."""
    decided: Counter[int] = Counter()
    is_alive = False
    closes: dict[int, BarClosed] = {}
    for event in record.events:
        if isinstance(event, MarketSeen):
            is_alive = event.is_alive
        elif isinstance(event, Started):
            is_alive = False
        elif isinstance(event, BarClosed):
            closes[event.open_ms] = event
        elif isinstance(event, Decided):
            tally.look()
            decided[event.open_ms] += 1
            yield from _wrong_decision(record, event, closes.get(event.open_ms), is_alive=is_alive)
    yield from (f"the bar of {bar} was decided upon {times} times" for bar, times in decided.items() if times > 1)


def _wrong_decision(record: Record, event: Decided, closed: BarClosed | None, *, is_alive: bool) -> Iterator[str]:
    if not is_alive:
        yield f"the bar of {event.open_ms} was decided upon at {event.t_ms} while nothing came of the market"
    if event.t_ms < event.open_ms + record.conduct.bar_ms - 1:
        yield f"the bar of {event.open_ms} was decided upon at {event.t_ms}, before it was over"
    if closed is None or record.closes.get(event.open_ms) != closed.close:
        told, true = closed and closed.close, record.closes.get(event.open_ms)
        yield f"the bar of {event.open_ms} closed at {true} and was decided upon as if it had at {told}"


def never_hot(record: Record, tally: Tally) -> Iterator[str]:
    """Whatever goes wrong, orders and questions are not repeated without a pause."""
    for what, most, times in (
        ("orders", MOST_ORDERS, [asked.sent_ms for asked in record.sent_orders]),
        ("requests", MOST_REQUESTS, [asked.sent_ms for asked in record.asked]),
    ):
        tally.look(len(times))
        for first, last in zip(times, times[most:], strict=False):
            if last - first < WINDOW_MS:
                yield f"more than {most} {what} left between {first} and {last}"
                break


def silent_while_banned(record: Record, tally: Tally) -> Iterator[str]:
    """While the address is banned, and the trader was told, nothing is asked; not even after a restart."""
    for ban in record.asked:
        if ban.banned_until_ms is None or ban.told_ms is None or ban.is_untold:
            continue
        tally.look()
        asked = [a for a in record.asked if ban.told_ms < a.sent_ms < ban.banned_until_ms - ROUNDED_MS]
        if asked:
            yield f"{asked[0].name} was asked at {asked[0].sent_ms}, in a ban until {ban.banned_until_ms}"


def client_ids(record: Record, tally: Tally) -> Iterator[str]:
    """Every order has a client id of its own that the exchange takes, over the account's life."""
    used: Counter[str] = Counter()
    for asked in record.sent_orders:
        tally.look()
        used[asked.client_id] += 1
        if not CLIENT_ID.fullmatch(asked.client_id) or epoch_of(asked.client_id) is None:
            yield f"client id {asked.client_id!r} is none of the trader's, or none that the exchange takes"
    yield from (f"client id {name} was used for {times} requests" for name, times in used.items() if times > 1)


def natural_keys(record: Record, tally: Tally) -> Iterator[str]:
    """What is booked is booked once."""
    tally.look(len(record.keys))
    for key, times in record.keys.items():
        if times > 1:
            yield f"{' '.join(map(str, key))} was journalled {times} times"


def transitions(record: Record, tally: Tally) -> Iterator[str]:
    """Orders go only where orders can go, and never on from an end."""
    for client_id, entries in record.states.items():
        states = [state for _, state in entries]
        if states[0] != "PLANNED":
            yield f"order {client_id} begins as {states[0]}; all begin as PLANNED"
        for before, after in pairwise(states):
            tally.look()
            if before != after and after not in _NEXT[before].split():
                yield f"order {client_id} went from {before} to {after}"
