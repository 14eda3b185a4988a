"""What the trader is doing when it is killed: how it comes there, and what it must hold in the end.

Times in milliseconds since 1970 UTC, amounts in base asset and signed.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from rl_trader.live.core.events import StopAsked
from rl_trader.live.core.words import StopKind
from rl_trader.local_exchange.engine.conditional import cancel_algo
from rl_trader.rehearsal.crashes.exchange import ExchangeSide
from rl_trader.rehearsal.minutes import ACCOUNT, BAR_MS

AFTER_CLOSE_MS: Final = 5_000
A_WHILE_MS: Final = 20_000
SEARCH_MS: Final = 60_000  # in which an order that was never accepted is found to be absent

Flow = Callable[[ExchangeSide, Decimal, str], Decimal]
"""Leads a trader to a point where it is killed, for a target; returns what it must hold in the end."""


def until_next_close(side: ExchangeSide) -> None:
    """Let time pass until a little after the next bar's close."""
    side.run_until((side.now_ms // BAR_MS + 1) * BAR_MS + AFTER_CLOSE_MS)


def ask_to_stop(side: ExchangeSide) -> None:
    """Be the person who wants out, and who asks again if nothing comes of it."""
    side.tell([StopAsked(t_ms=side.now_ms, kind=StopKind.KILL.value, reason="enough", by="operator")])


def _hold(side: ExchangeSide, target: Decimal) -> None:
    side.start()
    side.target = target
    until_next_close(side)


def _opening(side: ExchangeSide, target: Decimal, point: str) -> Decimal:
    side.start()
    side.target = target
    side.arm(point)
    until_next_close(side)
    return target


def _closing(side: ExchangeSide, target: Decimal, point: str) -> Decimal:
    _hold(side, target)
    side.target = Decimal(0)
    side.arm(point)
    until_next_close(side)
    return Decimal(0)


def _flipping(side: ExchangeSide, target: Decimal, point: str) -> Decimal:
    _hold(side, target)
    side.target = -target
    side.arm(point)
    until_next_close(side)
    return -target


def _stopping(side: ExchangeSide, target: Decimal, point: str) -> Decimal:
    _hold(side, target)
    side.arm(point)
    ask_to_stop(side)
    return Decimal(0)


def _rearming(side: ExchangeSide, target: Decimal, point: str) -> Decimal:
    """Let somebody take the stop back by hand."""
    _hold(side, target)
    side.arm(point)
    trader = side.venue.trader(ACCOUNT)
    for stop in list(trader.open_algo_orders.values()):
        cancel_algo(side.venue.exchange.state, trader, stop)
    side.run_until(side.now_ms + A_WHILE_MS)
    return target


def _reconciling(side: ExchangeSide, target: Decimal, point: str) -> Decimal:
    """Let there be an order that was never accepted, of which the trader does not know that."""
    side.start()
    side.arm("halfway through sending ENTRY")
    side.target = target
    until_next_close(side)
    side.start()
    side.arm(point)
    side.run_until(side.now_ms + SEARCH_MS)
    return target


def _starting(side: ExchangeSide, target: Decimal, point: str) -> Decimal:
    """Let there be an order that was filled, of which the trader does not know that."""
    side.start()
    side.arm("before reading the answer to ENTRY")
    side.target = target
    until_next_close(side)
    side.start(point)
    if side.is_up:
        side.run_until(side.now_ms + A_WHILE_MS)
    return target


PLAYS: Final[Mapping[str, Flow]] = {
    "opening": _opening,
    "closing": _closing,
    "flipping": _flipping,
    "stopping": _stopping,
    "re-arming": _rearming,
    "reconciling": _reconciling,
    "starting": _starting,
}
"""By the names of :data:`~rl_trader.rehearsal.crashes.points.FLOWS`."""
