"""The risk gate, asked about the core's orders; what it looks at is read off the state."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from rl_trader.contract_terms import ContractTerms
from rl_trader.errors import ConfigError, ContractError
from rl_trader.live.core.deciding import Gate
from rl_trader.live.core.events import SymbolSeen
from rl_trader.live.core.intents import ZERO, Intent
from rl_trader.live.core.risk import RiskGate, RiskOrder, RiskView
from rl_trader.live.core.state import State
from rl_trader.live.core.words import Purpose
from rl_trader.margin import position_margin

_FILTERS: Final = (
    "tick_size",
    "step_size",
    "min_quantity",
    "max_quantity",
    "limit_step_size",
    "limit_min_quantity",
    "limit_max_quantity",
)


def gate_of(terms: ContractTerms) -> Gate:
    """Return the core's gate; the caps are those that were journalled, so that a replay of the journal asks the same.

    Args:
        terms: Of the symbol, in training; filters that the exchange has told since go before.

    What it asks is compiled here: at work a compilation would hold up the trader for a minute.
    """
    _own_liquidation_price(terms, Decimal(1), terms.tick_size, terms.tick_size, ZERO)
    today = _Today(terms)

    def ask(state: State, intent: Intent) -> str | None:
        order = RiskOrder(
            symbol=state.conduct.symbol,
            amount=intent.amount,
            is_reduce_only=not intent.purpose.adds_exposure,
            price=intent.price,
        )
        if state.caps is None:
            return "no caps were given at the start"
        refusal = RiskGate(state.caps).refusal(order, _view(state, today.told_by(state.symbol)))
        return None if refusal is None else str(refusal)

    return ask


class _Today:
    """Terms with the filters that were told last; they are put together when others are told.

    Args:
        terms: Of the symbol, in training.
    """

    def __init__(self, terms: ContractTerms) -> None:
        self._trained, self._terms = terms, terms
        self._told: SymbolSeen | None = None

    def told_by(self, told: SymbolSeen | None) -> ContractTerms:
        """Return the terms of today."""
        if told is not self._told:
            self._told, self._terms = told, _today(self._trained, told)
        return self._terms


def _today(terms: ContractTerms, told: SymbolSeen | None) -> ContractTerms:
    """Return terms with the filters as the exchange has told them."""
    if told is None:
        return terms
    values = {name: getattr(told, name) for name in _FILTERS}
    values = {name: value for name, value in values.items() if value is not None}
    try:
        return replace(terms, min_notional=float(told.min_notional), **values)
    except ContractError:  # what was told cannot be
        return terms


def _view(state: State, terms: ContractTerms) -> RiskView:
    return RiskView(
        now_ms=state.now_ms,
        terms=terms,
        stop=state.stop_kind,
        armed_until_ms=state.armed_until_ms,
        banned_until_ms=state.banned_until_ms,
        mark_price=state.mark_price,
        mark_ms=state.mark_ms,
        last_price=state.last_price,
        amount=state.books.amount,
        entries=tuple(
            (abs(i.amount) - i.executed).copy_sign(i.amount) for i in state.working() if i.purpose is Purpose.ENTRY
        ),
        has_unknown_order=bool(state.unknown()),
        order_times=tuple(state.order_times),
        traded_today=state.turnover,
        is_day_lost=state.is_day_lost,
        performance=state.performance,
        liquidation_price=_liquidation_price(state, terms),
    )


def _liquidation_price(state: State, terms: ContractTerms) -> Decimal:
    """Return where the position is liquidated: by its margin, or nearer where the exchange says so; 0 is nowhere.

    The account's events do not tell it, and what a reading tells is of the position as it was then.
    """
    books = state.books
    if not books.amount:
        return ZERO
    own = _own_liquidation_price(terms, books.amount, books.entry_price, books.isolated_wallet, books.wallet_balance)
    if own is None:
        return state.mark_price
    prices = [price for price in (own, books.liquidation_price) if price]
    return min(prices, key=lambda price: abs(price - state.mark_price), default=ZERO)


def _own_liquidation_price(
    terms: ContractTerms, amount: Decimal, entry_price: Decimal, isolated_wallet: Decimal, wallet_balance: Decimal
) -> Decimal | None:
    """Return the mark price that liquidates a position, 0 for none; None if nothing backs it or no bracket has it."""
    try:
        position = position_margin(
            terms,
            side="long" if amount > 0 else "short",
            mode="isolated" if isolated_wallet else "cross",
            leverage=1,  # by which what backs the position is none other
            entry_price=float(entry_price),
            amount=float(abs(amount)),
            wallet_balance=float(isolated_wallet or wallet_balance),
        )
    except ConfigError:
        return None
    return Decimal(repr(position.liquidation_price))
