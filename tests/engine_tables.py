"""An exchange of round numbers for the tests of the engine, and short words for what they ask of it.

Prices are around 100, one bracket more every few thousand USDT:

=============  ======  ========  ======
notional up to  rate   leverage  amount
=============  ======  ========  ======
10 000          1 %     50            0
50 000          2 %     20          100  (10 000 * (0.02 - 0.01))
200 000         5 %      5        1 600  (100 + 50 000 * (0.05 - 0.02))
=============  ======  ========  ======
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from enum import Enum

import pytest

from rl_trader.brackets import Bracket
from rl_trader.contract import load_terms
from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.books.positions import MarginMode
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.engine.conditional import place_algo
from rl_trader.local_exchange.engine.events import AccountUpdate, AlgoUpdate, OrderUpdate
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.orders import AlgoOrder, AlgoRequest, Fill, Order, OrderRequest
from rl_trader.local_exchange.engine.placing import place
from rl_trader.local_exchange.engine.settings import set_leverage, set_margin_mode, set_position_mode
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.engine.words import Execution, OrderType, Side

D = Decimal
A, B = "AAAUSDT", "BBBUSDT"
START = 1_700_000_000_000  # ms
TAKER, MAKER = D("0.0005"), D("0.0002")

_ROWS = ((10_000.0, 0.01, 50, 0.0), (50_000.0, 0.02, 20, 100.0), (200_000.0, 0.05, 5, 1_600.0))


def contract(symbol: str = A, **changes: object) -> ContractTerms:
    """Return terms of round numbers; market orders have a coarser step and a lower limit than limit orders."""
    floors = (0.0, *(row[0] for row in _ROWS))
    brackets = tuple(
        Bracket(
            notional_floor=floor, notional_cap=cap, maint_margin_rate=rate, maint_amount=amount, initial_leverage=most
        )
        for floor, (cap, rate, most, amount) in zip(floors, _ROWS, strict=False)
    )
    numbers: dict[str, object] = {
        "tick_size": D("0.1"),
        "min_price": D("0.1"),
        "max_price": D(1000),
        "step_size": D("0.01"),
        "min_quantity": D("0.02"),
        "max_quantity": D(500),
        "limit_step_size": D("0.002"),
        "limit_min_quantity": D("0.004"),
        "limit_max_quantity": D(900),
        "min_notional": 5.0,
        "taker_fee": 0.0005,
        "maker_fee": 0.0002,
        "bnb_discount": 0.1,
        "liquidation_fee": 0.01,
        "multiplier_up": 1.05,
        "multiplier_down": 0.95,
        "trigger_protect": 0.02,
        "market_take_bound": 0.03,
        "brackets": brackets,
    }
    return replace(load_terms("BTCUSDT"), symbol=symbol, **{**numbers, **changes})  # type: ignore[arg-type]


class Floor:
    """An exchange whose symbols stand at a price.

    Args:
        half_spread: Fraction of the price.
        fund: USDT of the insurance fund; None never ends.
        symbols: That are traded.
        price: Last and mark price of each at first.
        changes: Of the contracts' terms.
    """

    def __init__(
        self,
        *,
        half_spread: str = "0",
        fund: str | None = None,
        symbols: tuple[str, ...] = (A,),
        price: str = "100",
        **changes: object,
    ) -> None:
        conduct = Conduct(half_spread=D(half_spread), sqrt_impact=D(0), linear_impact=D(0), slippage_scale=D(1))
        contracts = [contract(symbol, **changes) for symbol in symbols]
        self.exchange = Exchange(contracts, conduct, None if fund is None else D(fund))
        self.state = self.exchange.state
        self.now = START
        for symbol in symbols:
            self.open_bar(price, symbol=symbol)

    def account(
        self,
        wallet: str = "10000",
        name: str = "trader",
        *,
        leverage: int = 20,
        is_isolated: bool = False,
        is_hedged: bool = False,
    ) -> Trader:
        """Return a new account that knows every symbol and has not been told anything."""
        trader = self.exchange.open_account(name, D(wallet))
        for symbol, quotes in self.exchange.quotes.items():
            trader.know(quotes)
            set_leverage(self.state, trader, symbol, leverage)
            if is_isolated:
                set_margin_mode(self.state, trader, symbol, MarginMode.ISOLATED)
        if is_hedged:
            set_position_mode(trader, is_hedged=True)
        trader.outbox.clear()
        return trader

    # The market

    def open_bar(self, last: str, mark: str | None = None, *, symbol: str = A, volume: str = "1000") -> None:
        """Open a bar a minute later; the mark price is the last price unless it is given."""
        self.now += 60_000
        self.exchange.open_bar(symbol, last=D(last), mark=D(mark or last), volume=D(volume), now_ms=self.now)

    def move(self, *lasts: str, mark: str | None = None, symbol: str = A) -> None:
        """Let the last price go from point to point, a second each; the mark price goes along unless it is given."""
        for last in lasts:
            self.now += 1_000
            self.exchange.move(symbol, last=D(last), mark=D(mark or last), now_ms=self.now)

    # Orders

    def buy(self, trader: Trader, quantity: str, price: str | None = None, **more: object) -> Order:
        """Place a purchase: a limit order if it has a price, else a market order."""
        return self.place(trader, Side.BUY, quantity, price, **more)

    def sell(self, trader: Trader, quantity: str, price: str | None = None, **more: object) -> Order:
        """Place a sale: a limit order if it has a price, else a market order."""
        return self.place(trader, Side.SELL, quantity, price, **more)

    def place(self, trader: Trader, side: Side, quantity: str, price: str | None = None, **more: object) -> Order:
        """Place an order."""
        kind = OrderType.MARKET if price is None else OrderType.LIMIT
        given: dict[str, object] = {"symbol": A, "type": kind, "price": None if price is None else D(price), **more}
        return place(self.state, trader, OrderRequest(side=side, quantity=D(quantity), **given))  # type: ignore[arg-type]

    def wait(
        self, trader: Trader, kind: OrderType, side: Side, quantity: str | None, trigger: str | None, **more: object
    ) -> AlgoOrder:
        """Place a conditional order."""
        given: dict[str, object] = {
            "symbol": A,
            "quantity": None if quantity is None else D(quantity),
            "trigger_price": None if trigger is None else D(trigger),
            **more,
        }
        return place_algo(self.state, trader, AlgoRequest(type=kind, side=side, **given))  # type: ignore[arg-type]

    @contextmanager
    def refuses(self, code: int) -> Iterator[None]:
        """Expect a refusal with this code, and that it changes nothing at all."""
        before = snapshot(self.state)
        with pytest.raises(RefusedError) as caught:
            yield
        assert caught.value.code == code
        assert snapshot(self.state) == before


def snapshot(value: object) -> object:
    """Return everything that an object holds as plain data that can be compared."""
    if value is None or isinstance(value, str | int | float | Decimal | Enum | ContractTerms):
        return value
    if isinstance(value, Mapping):
        return {str(key): snapshot(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | deque | set):
        return [snapshot(entry) for entry in (sorted(value) if isinstance(value, set) else value)]
    if is_dataclass(value):
        return {field.name: snapshot(getattr(value, field.name)) for field in fields(value)}
    return {name: snapshot(entry) for name, entry in vars(value).items()}


def told(trader: Trader) -> list[str]:
    """Return in a few words what an account has been told since it was last asked."""
    events, trader.outbox = list(trader.outbox), deque()
    return [_words(event) for event in events]


def _words(event: object) -> str:
    if isinstance(event, OrderUpdate):
        words = f"{event.execution} {event.order.status}"
        return words if event.execution is Execution.NEW else f"{words} {event.order.executed.normalize():f}"
    if isinstance(event, AccountUpdate):
        return f"account {event.reason}"
    if isinstance(event, AlgoUpdate):
        return f"algo {event.order.status}"
    return type(event).__name__


def fills(trader: Trader) -> list[tuple[str, str, str]]:
    """Return side, amount and price of every fill of an account."""
    return [(fill.side.value, f"{fill.amount.normalize():f}", f"{fill.price.normalize():f}") for fill in trader.fills]


def last_fill(trader: Trader) -> Fill:
    """Return the newest fill of an account."""
    return trader.fills[-1]


def booked_of(trader: Trader, kind: str) -> list[Decimal]:
    """Return the amounts of one type of income, the oldest first."""
    return [line.amount for line in trader.income if line.type == kind]
