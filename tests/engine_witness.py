"""The exchange's engine as a third witness: a client that sends a case's orders, and keeps the stops beside them."""

from decimal import Decimal
from typing import NamedTuple

from rl_trader.differential.cases import Case
from rl_trader.differential.witnesses import book_bars, decimal, settlements_of, units
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.books.positions import MarginMode, Position
from rl_trader.local_exchange.books.prices import stop_level, take_profit_level
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.books.walk import path
from rl_trader.local_exchange.engine.changing import cancel_all
from rl_trader.local_exchange.engine.conditional import cancel_algo, place_algo
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.orders import AlgoRequest, OrderRequest
from rl_trader.local_exchange.engine.placing import place
from rl_trader.local_exchange.engine.settings import move_margin, set_leverage, set_margin_mode
from rl_trader.local_exchange.engine.words import OrderType, PositionSide, Side, TimeInForce, WorkingType
from rl_trader.state import Order

IMMEDIATELY = -2021


class EngineBar(NamedTuple):
    """What the engine did in one bar."""

    lines: tuple[tuple[str, int], ...]  # type, and amount in units of 1e-8 USDT
    is_unguarded: bool  # whether a stop was refused: met already, or beyond the price filter


class EngineWitness:
    """The engine on a case's bars."""

    def __init__(self, case: Case) -> None:
        trading = case.trading
        self._case = case
        self._symbol = case.terms.symbol
        self._bars = book_bars(case)
        self._settlements = settlements_of(case)
        conduct = Conduct(
            half_spread=decimal(trading.slippage.half_spread),
            sqrt_impact=decimal(trading.slippage.sqrt_impact),
            linear_impact=decimal(trading.slippage.linear_impact),
            slippage_scale=decimal(case.slippage_scale),
        )
        self.exchange = Exchange([case.terms], conduct)
        self.trader = self.exchange.open_account("witness", decimal(trading.initial_balance))
        bar = self._bars[0]
        self.exchange.open_bar(
            self._symbol, last=bar.close, mark=bar.mark_close, volume=bar.volume, now_ms=bar.open_time
        )
        set_leverage(self.exchange.state, self.trader, self._symbol, trading.leverage)
        if trading.margin_mode == "isolated":
            set_margin_mode(self.exchange.state, self.trader, self._symbol, MarginMode.ISOLATED)
        self._guarded: tuple[int, Decimal] | None = None  # side and entry price that the stops are of
        self._is_unguarded = False

    @property
    def position(self) -> Position:
        """The position."""
        return self.trader.position(self._symbol)

    @exact
    def play(self, order: Order, t: int) -> EngineBar:
        """Play bar ``t``."""
        bar, exchange, symbol = self._bars[t], self.exchange, self._symbol
        before = len(self.trader.income)
        self._is_unguarded = False
        due = [s for s in self._settlements[t] if s.time_ms == bar.open_time]
        for settlement in due:
            exchange.settle_funding(symbol, rate=settlement.rate, mark=settlement.mark_price, time_ms=bar.open_time)
        held = self.position.amount
        exchange.open_bar(symbol, last=bar.open, mark=bar.mark_open, volume=bar.volume, now_ms=bar.open_time)
        if self.position.amount == held:
            self._send(order)
        self._guard()
        for point in path(bar)[1:]:
            exchange.move(symbol, last=point.last, mark=point.mark, now_ms=bar.open_time)
            self._guard()
        cancel_all(exchange.state, self.trader, symbol)
        for settlement in self._settlements[t][len(due) :]:
            exchange.settle_funding(
                symbol, rate=settlement.rate, mark=settlement.mark_price, time_ms=settlement.time_ms
            )
            exchange.enforce_margin(symbol, mark=settlement.mark_price, now_ms=settlement.time_ms)
        lines = tuple((line.type, units(float(line.amount))) for line in self.trader.income[before:])
        return EngineBar(lines, self._is_unguarded)

    def move_margin(self, cash: float, mark_price: float) -> None:
        """Move isolated margin, if the exchange lets it."""
        before = self.exchange.state.marks[self._symbol]
        self.exchange.state.marks[self._symbol] = decimal(mark_price)
        try:
            move_margin(self.exchange.state, self.trader, self._symbol, PositionSide.BOTH, decimal(cash))
        except RefusedError:
            return
        finally:
            self.exchange.state.marks[self._symbol] = before

    def _send(self, order: Order) -> None:
        """Send both legs; the second is not sent where the first was refused for the price."""
        limit = decimal(order.limit_price) if order.limit_price else None
        for amount, is_reducing in ((order.reduce_amount, True), (order.open_amount, False)):
            if amount and not self._place(decimal(amount), limit, is_reducing=is_reducing):
                return

    def _place(self, amount: Decimal, limit: Decimal | None, *, is_reducing: bool) -> bool:
        request = OrderRequest(
            symbol=self._symbol,
            side=Side.BUY if amount > 0 else Side.SELL,
            type=OrderType.MARKET if limit is None else OrderType.LIMIT,
            quantity=abs(amount),
            price=limit,
            time_in_force=TimeInForce.GTC if limit is None else TimeInForce.GTX,
            reduce_only=is_reducing,
        )
        try:
            place(self.exchange.state, self.trader, request)
        except RefusedError:
            return False
        return True

    def _guard(self) -> None:
        """Let the stops be those of the position that is held."""
        position, trader = self.position, self.trader
        wanted = (int(position.amount.copy_sign(1) == position.amount), position.entry_price)
        if position.amount and self._guarded == wanted:
            return
        for order in list(trader.open_algo_orders.values()):
            cancel_algo(self.exchange.state, trader, order)
        self._guarded = None
        if not position.amount or not self.exchange.quotes[self._symbol].volume:
            return
        self._guarded = wanted
        terms, trading = self.exchange.quotes[self._symbol].terms, self._case.trading
        if trading.stop_loss is not None:
            level = stop_level(terms, position, decimal(trading.stop_loss))
            self._place_stop(OrderType.STOP_MARKET, level)
        if trading.take_profit is not None and self.position.amount:
            level = take_profit_level(terms, position, decimal(trading.take_profit))
            self._place_stop(OrderType.TAKE_PROFIT_MARKET, level)

    def _place_stop(self, order_type: OrderType, level: Decimal) -> None:
        request = AlgoRequest(
            symbol=self._symbol,
            side=Side.SELL if self.position.amount > 0 else Side.BUY,
            type=order_type,
            trigger_price=level,
            working_type=WorkingType.MARK_PRICE
            if self._case.trading.stop_trigger == "mark"
            else WorkingType.CONTRACT_PRICE,
            close_position=True,
        )
        try:
            place_algo(self.exchange.state, self.trader, request)
        except RefusedError as refusal:
            self._is_unguarded = True
            if refusal.code == IMMEDIATELY:
                self._place(-self.position.amount, None, is_reducing=True)
