"""The risk gate, asked about the core's orders; what it looks at is read off the state."""

from rl_trader.contract_terms import ContractTerms
from rl_trader.live.core.deciding import Gate
from rl_trader.live.core.intents import ZERO, Intent
from rl_trader.live.core.risk import RiskGate, RiskOrder, RiskView
from rl_trader.live.core.state import State
from rl_trader.live.core.words import Purpose


def gate_of(terms: ContractTerms) -> Gate:
    """Return the core's gate; the caps are those that were journalled, so that a replay of the journal asks the same.

    Args:
        terms: Of the symbol.
    """

    def ask(state: State, intent: Intent) -> str | None:
        order = RiskOrder(
            symbol=state.conduct.symbol,
            amount=intent.amount,
            is_reduce_only=not intent.purpose.adds_exposure,
            price=intent.price,
        )
        if state.caps is None:
            return "no caps were given at the start"
        refusal = RiskGate(state.caps).refusal(order, _view(state, terms))
        return None if refusal is None else str(refusal)

    return ask


def _view(state: State, terms: ContractTerms) -> RiskView:
    return RiskView(
        now_ms=state.now_ms,
        terms=terms,
        stop=state.stop_kind,
        armed_until_ms=state.armed_until_ms,
        banned_until_ms=state.banned_until_ms,
        mark_price=state.mark_price,
        mark_ms=state.mark_ms,
        last_price=state.mark_price,
        amount=state.books.amount,
        entries=tuple(
            (abs(i.amount) - i.executed).copy_sign(i.amount) for i in state.working() if i.purpose is Purpose.ENTRY
        ),
        has_unknown_order=bool(state.unknown()),
        order_times=tuple(state.order_times),
        traded_today=state.traded_today,
        performance=state.performance,
        liquidation_price=ZERO,  # not told by the account's events
    )
