"""Positions: ``positionRisk``, and the figures that it shares with ``account``; ``adlQuantile``.

Sources: the API documentation of USD-M futures, "Position Information" v2 and v3 and "Position ADL Quantile
Estimation" (read in autumn 2026). Version 3 lists the symbols that have a position or an open order, version 2 all of
them, both in one-way mode one row of a symbol, in hedge mode LONG and SHORT. What open orders bind is their margin,
their loss against the mark price and their fee, as in the available balance.

Money in USDT.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.endpoints.order_answers import Answer, plain_text
from rl_trader.local_exchange.engine.forced import ranked_winners, shown_liquidation_price
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader, slot_name
from rl_trader.local_exchange.engine.views import order_cost_of, position_sides
from rl_trader.local_exchange.engine.words import PositionSide, Side
from rl_trader.local_exchange.protocol.endpoint import Call
from rl_trader.local_exchange.wire import amount_text, mark_text, money_text, price_text

NUM_QUANTILES: Final = 5  # places in the queue of those who are deleveraged, the first of all being the highest
NOTHING: Final = "0"


class PositionRow(NamedTuple):
    """A position with all that is shown of it; its amount may be 0."""

    contract: ContractTerms
    side: PositionSide
    amount: Decimal
    entry_price: Decimal
    break_even_price: Decimal
    mark_price: Decimal
    liquidation_price: Decimal
    unrealized: Decimal
    isolated_wallet: Decimal
    is_isolated: bool
    leverage: int
    max_notional: Decimal  # of the leverage
    position_margin: Decimal  # initial margin of what is held
    order_margin: Decimal  # that open orders bind
    maintenance: Decimal
    bid_notional: Decimal  # of open purchases
    ask_notional: Decimal  # of open sales
    quantile: int
    updated_ms: int

    @property
    def symbol(self) -> str:
        """Which."""
        return self.contract.symbol

    @property
    def initial_margin(self) -> Decimal:
        """Of what is held and of open orders."""
        return self.position_margin + self.order_margin

    @property
    def notional(self) -> Decimal:
        """At the mark price, signed."""
        return self.amount * self.mark_price

    @property
    def isolated_margin(self) -> Decimal:
        """The isolated wallet with the unrealised profit; 0 in cross margin."""
        return self.isolated_wallet + self.unrealized if self.is_isolated else ZERO


def rows_of(call: Call, symbol: str | None = None) -> Iterator[PositionRow]:
    """Yield the positions of one symbol or of all, the flat ones too."""
    state, trader = call.venue.exchange.state, call.trader
    for each in state.quotes if symbol is None else (symbol,):
        for side in position_sides(trader):
            yield position_row(state, trader, each, side)


def is_in_use(trader: Trader, symbol: str) -> bool:
    """Return whether there is a position or an open order of a symbol."""
    trader_knows = symbol in trader.books.positions
    return trader_knows and (any(trader.slots(symbol)) or bool(trader.open_orders_of(symbol)))


@exact
def position_row(state: State, trader: Trader, symbol: str, side: PositionSide) -> PositionRow:
    """Return a position at the present mark price."""
    quotes, slot = state.quotes[symbol], slot_name(symbol, side)
    trader.know(quotes)
    position, setting = trader.position(slot), trader.setting(symbol)
    is_held, mark = bool(position.amount), quotes.mark
    return PositionRow(
        contract=quotes.contract,
        side=side,
        amount=position.amount,
        entry_price=position.entry_price,
        break_even_price=trader.costs.get(slot, ZERO) / position.amount if is_held else ZERO,
        mark_price=mark,
        liquidation_price=shown_liquidation_price(state, trader, symbol, side),
        unrealized=position.unrealized_pnl(mark),
        isolated_wallet=position.isolated_wallet,
        is_isolated=setting.is_isolated,
        leverage=setting.leverage,
        max_notional=setting.terms.max_notional(setting.leverage),
        position_margin=trader.books.initial_margin(slot, mark) if is_held else ZERO,
        order_margin=order_cost_of(trader, quotes, side),
        maintenance=trader.books.maintenance_margin(slot, mark) if is_held else ZERO,
        bid_notional=_open_notional(trader, symbol, side, Side.BUY),
        ask_notional=_open_notional(trader, symbol, side, Side.SELL),
        quantile=quantile(state, trader, symbol, side),
        updated_ms=trader.updated_ms.get(slot, 0),
    )


def _open_notional(trader: Trader, symbol: str, position_side: PositionSide, side: Side) -> Decimal:
    orders = trader.open_orders_of(symbol)
    own = (order for order in orders if order.position_side is position_side and order.side is side)
    return sum((order.remaining * order.price for order in own), ZERO)


@exact
def quantile(state: State, trader: Trader, symbol: str, side: PositionSide) -> int:
    """Return how near a position is to being deleveraged among those of its side: 4 is first in the queue, 0 last."""
    amount = trader.position(slot_name(symbol, side)).amount
    if not amount:
        return 0
    queue = ranked_winners(state, symbol, is_long=amount > 0)
    place = next(i for i, (other, its_side) in enumerate(queue) if other is trader and its_side is side)
    return NUM_QUANTILES - 1 - NUM_QUANTILES * place // len(queue)


def position_risk(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v3/positionRisk`` and ``v2/account.position``."""
    return [_risk(row) for row in rows_of(call, call.maybe_text("symbol")) if is_in_use(call.trader, row.symbol)]


@exact
def _risk(row: PositionRow) -> Answer:
    return {
        **_shared(row),
        "isolatedMargin": _money_or_nothing(row.isolated_margin),
        "notional": _money_or_nothing(row.notional),
        "marginAsset": "USDT",
        "isolatedWallet": _money_or_nothing(row.isolated_wallet),
        "initialMargin": _money_or_nothing(row.initial_margin),
        "maintMargin": _money_or_nothing(row.maintenance),
        "positionInitialMargin": _money_or_nothing(row.position_margin),
        "openOrderInitialMargin": _money_or_nothing(row.order_margin),
        "adl": row.quantile,
        "bidNotional": _money_or_nothing(row.bid_notional),
        "askNotional": _money_or_nothing(row.ask_notional),
    }


def position_risk_v2(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v2/positionRisk``, the older one of v1, and ``account.position``."""
    return [_risk_v2(row) for row in rows_of(call, call.maybe_text("symbol"))]


@exact
def _risk_v2(row: PositionRow) -> Answer:
    return {
        **_shared(row),
        "marginType": "isolated" if row.is_isolated else "cross",
        "isAutoAddMargin": "false",
        "isolatedMargin": money_text(row.isolated_margin),
        "leverage": str(row.leverage),
        "maxNotionalValue": plain_text(row.max_notional),
        "notional": _money_or_nothing(row.notional),
        "isolatedWallet": _money_or_nothing(row.isolated_wallet),
    }


def _shared(row: PositionRow) -> Answer:
    contract = row.contract
    return {
        "symbol": row.symbol,
        "positionSide": row.side.value,
        "positionAmt": amount_text(row.amount, contract),
        "entryPrice": price_text(row.entry_price, contract),
        "breakEvenPrice": price_text(row.break_even_price, contract),
        "markPrice": mark_text(row.mark_price),
        "unRealizedProfit": money_text(row.unrealized),
        "liquidationPrice": price_text(row.liquidation_price, contract) if row.liquidation_price else NOTHING,
        "updateTime": row.updated_ms,
    }


def _money_or_nothing(value: Decimal) -> str:
    return money_text(value) if value else NOTHING


@exact
def account_position(row: PositionRow) -> Answer:
    """Return a position as ``GET /fapi/v3/account`` lists it."""
    return {
        "symbol": row.symbol,
        "positionSide": row.side.value,
        "positionAmt": amount_text(row.amount, row.contract),
        "unrealizedProfit": money_text(row.unrealized),
        "isolatedMargin": money_text(row.isolated_margin),
        "notional": _money_or_nothing(row.notional),
        "isolatedWallet": _money_or_nothing(row.isolated_wallet),
        "initialMargin": _money_or_nothing(row.initial_margin),
        "maintMargin": _money_or_nothing(row.maintenance),
        "updateTime": row.updated_ms,
    }


@exact
def account_position_v2(row: PositionRow) -> Answer:
    """Return a position as ``GET /fapi/v2/account`` lists it."""
    return account_position(row) | {
        "positionInitialMargin": _money_or_nothing(row.position_margin),
        "openOrderInitialMargin": _money_or_nothing(row.order_margin),
        "leverage": str(row.leverage),
        "isolated": row.is_isolated,
        "entryPrice": price_text(row.entry_price, row.contract),
        "breakEvenPrice": price_text(row.break_even_price, row.contract),
        "maxNotional": plain_text(row.max_notional),
        "bidNotional": _money_or_nothing(row.bid_notional),
        "askNotional": _money_or_nothing(row.ask_notional),
    }


def adl_quantiles(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/adlQuantile``: of every symbol with a position, each side's place in the queue."""
    state, trader = call.venue.exchange.state, call.trader
    wanted = call.maybe_text("symbol")
    symbols = [symbol for symbol in state.quotes if wanted in (None, symbol) and symbol in trader.books.positions]
    return [
        {"symbol": symbol, "adlQuantile": _quantiles(state, trader, symbol)}
        for symbol in symbols
        if any(trader.slots(symbol))
    ]


def _quantiles(state: State, trader: Trader, symbol: str) -> dict[str, int]:
    """Return the quantile of each side; in hedge mode with cross margin both sides have the higher one."""
    long, short, both = (
        quantile(state, trader, symbol, side) for side in (PositionSide.LONG, PositionSide.SHORT, PositionSide.BOTH)
    )
    if trader.is_hedged and not trader.is_isolated(symbol):
        higher = max(long, short)
        return {"LONG": higher, "SHORT": higher, "HEDGE": 0}  # HEDGE is only a sign
    return {"LONG": long, "SHORT": short, "BOTH": both}
