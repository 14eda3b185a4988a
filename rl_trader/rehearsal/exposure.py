"""What the position may become, by the exchange's own trades and all that is still on its way.

Every checker is a function of the record alone: it yields a sentence for what is broken, and counts what it looks at.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from rl_trader.live.core.intents import epoch_of
from rl_trader.rehearsal.day import position_at
from rl_trader.rehearsal.network import Asked
from rl_trader.rehearsal.record import Record
from rl_trader.rehearsal.tally import Tally

DRIFT: Final = Decimal("1.03")  # of the price, between the gate's look and the fill

_ZERO: Final = Decimal(0)
_OVER: Final = frozenset({"FILLED", "ENDED", "REJECTED", "ABSENT"})


def within_caps(record: Record, tally: Tally) -> Iterator[str]:
    """An entry of the trader leaves the position within the cap, unless another hand has traded before."""
    own = {order.order_id for order in record.orders if epoch_of(order.client_order_id) is not None}
    entries = {order.order_id for order in record.orders if order.order_id in own and not order.reduce_only}
    amount = _ZERO
    for fill in record.fills:
        amount += fill.side.sign * fill.amount
        if fill.order_id not in own:
            return
        if fill.order_id in entries:
            tally.look()
            if abs(amount) * fill.price > record.cap * DRIFT:
                yield f"trade {fill.trade_id} made the position {amount} at {fill.price}, above the cap of {record.cap}"


def within_caps_at_worst(record: Record, tally: Tally) -> Iterator[str]:
    """When an entry leaves, all that may come of it and of what is on its way or unknown is within the caps.

    Position and leverage are those of the exchange's own history; after a trade of another hand nothing is asked.
    """
    own = {order.order_id for order in record.orders if epoch_of(order.client_order_id) is not None}
    strange_ms = min((fill.time_ms for fill in record.fills if fill.order_id not in own), default=record.end_ms)
    entries = [asked for asked in record.sent_orders if asked.adds_exposure]
    for asked in entries:
        price = record.price_at(asked.sent_ms)
        if asked.sent_ms >= strange_ms or price is None:
            continue
        tally.look()
        worst = _worst(record, asked, entries) * price
        amount, entry_price = position_at(record, asked.sent_ms)
        equity = record.wallet_at(asked.sent_ms) + amount * (price - entry_price)
        if worst > record.cap * DRIFT:
            yield f"with order {asked.client_id} the position may be of {worst} USDT, above the cap of {record.cap}"
        if worst > record.max_leverage * equity * DRIFT:
            yield f"with order {asked.client_id} the position may be of {worst} USDT, and the equity is {equity}"


def _worst(record: Record, asked: Asked, entries: list[Asked]) -> Decimal:
    """Return the largest position that may come of an order and of all entries before it that are not over."""
    held, _ = position_at(record, asked.sent_ms)
    may_add = {1: _ZERO, -1: _ZERO}
    for each in entries:
        if each.sent_ms <= asked.sent_ms and (each is asked or not _is_over(record, each, asked)):
            may_add[1 if each.sent["side"] == "BUY" else -1] += _left(record, each, asked.sent_ms)
    return max(abs(held + may_add[1]), abs(held - may_add[-1]))


def _is_over(record: Record, order: Asked, asked: Asked) -> bool:
    """Return whether an order was known to be over when another one left."""
    states = [state for entry, state in record.states.get(order.client_id, ()) if entry <= asked.num_journalled]
    return not states or states[-1] in _OVER


def _left(record: Record, order: Asked, time_ms: int) -> Decimal:
    """Return what of an order had not been traded by a time."""
    numbers = {each.order_id for each in record.orders if each.client_order_id == order.client_id}
    traded = (fill.amount for fill in record.fills if fill.order_id in numbers and fill.time_ms < time_ms)
    return Decimal(order.sent["quantity"]) - sum(traded, _ZERO)
