"""Whose orders are: this program's, the exchange's own, a person's, or another instance's.

Beside what is not this program's nothing is entered until a person has looked. The exchange closes a position by
orders of its own, whose client ids say so: on a liquidation, to reduce somebody else's loss (ADL), and at a delivery.
"""

from rl_trader.live.core.commands import Alert, Command, QueryNumber
from rl_trader.live.core.events import FillSeen, OrderSeen
from rl_trader.live.core.intents import epoch_of, instance_of
from rl_trader.live.core.state import State
from rl_trader.live.core.stopping import halt

FORCED = {
    "settlement_autoclose-": "the contract was delivered",
    "adl_autoclose": "the position was reduced for somebody else's loss (ADL)",
    "autoclose-": "the position was liquidated",
}
MOST_ASKED = 5  # orders of nobody's, with a reading of the account
GIVEN_UP_MS = 3_600_000  # of asking, after which whose an order was is asked no more


def why_foreign(state: State, client_id: str) -> str | None:
    """Return whose an order is that is not this instance's, nor an older one's."""
    if epoch_of(client_id) is None:
        forced = next((what for begin, what in FORCED.items() if client_id.startswith(begin)), None)
        return forced or f"order {client_id} on the account is not this program's"
    if is_of_other_instance(state, client_id):
        return f"order {client_id} is of another instance or journal; only one may trade an account"
    return None


def is_of_other_instance(state: State, client_id: str) -> bool:
    """Return whether an order is of this program, of no start by this journal, and a person has not looked at it."""
    is_own = epoch_of(client_id) is None or instance_of(client_id) in state.instances
    return not is_own and client_id not in state.looked_at


def stop_beside(state: State, client_id: str) -> list[Command]:
    """Stop beside an order, if it is not this instance's, nor an older one's."""
    why = why_foreign(state, client_id)
    if why is None:
        return []
    if is_of_other_instance(state, client_id) and client_id not in state.foreign:
        state.foreign.append(client_id)
    return halt(state, why)


def note_owner(state: State, client_id: str) -> list[Command]:
    """Stop beside an order that is not this program's."""
    why = why_foreign(state, client_id)
    was_stopped = state.is_stopped
    commands = stop_beside(state, client_id)
    return [Alert(why)] if why is not None and was_stopped else commands


def note_trade(state: State, fill: FillSeen) -> list[Command]:
    """Stop beside a trade that is not of this program's orders; whose it is is asked where that is not told."""
    if fill.client_id is not None:
        return note_owner(state, fill.client_id)
    return [QueryNumber(fill.order_id)] if fill.order_id in state.strangers else []


def note_order(state: State, order: OrderSeen, *, was_strange: bool) -> list[Command]:
    """Stop beside an order that is not this program's, if it rests, or has traded by what was read."""
    is_effective = was_strange or order.status in ("NEW", "PARTIALLY_FILLED")
    return note_owner(state, order.client_id) if is_effective else []


def ask_for_strangers(state: State) -> list[Command]:
    """Ask whose the orders are of which only trades were read; stop where nobody can say it any more."""
    commands: list[Command] = []
    for order_id, (traded_ms, _) in list(state.strangers.items()):
        if state.now_ms - max(traded_ms, state.started_ms) > GIVEN_UP_MS:
            del state.strangers[order_id]
            commands += halt(state, f"order {order_id} has traded on the account, and nobody can say whose it was")
    return [*commands, *map(QueryNumber, list(state.strangers)[:MOST_ASKED])]
