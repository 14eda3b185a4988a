"""One account at the exchange: its books, its orders, and what it is to be told.

In hedge mode the books keep the long and the short position of a symbol under names of their own, each with the
symbol's terms; :func:`slot_name` makes them. Money in USDT, amounts in base asset, times in ms since 1970 UTC.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final, NamedTuple

from rl_trader.local_exchange.books.account import Account
from rl_trader.local_exchange.books.income import IncomeKind, IncomeLine
from rl_trader.local_exchange.books.money import ZERO, booked
from rl_trader.local_exchange.books.positions import MarginMode, Position, SymbolSetting
from rl_trader.local_exchange.books.terms import SymbolTerms
from rl_trader.local_exchange.engine.events import UserEvent
from rl_trader.local_exchange.engine.orders import AlgoOrder, Amendment, Fill, Income, MarginMove, Order
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.engine.words import PositionSide

DEFAULT_LEVERAGE: Final = 20  # the exchange's for a symbol that was never set
USDT: Final = "USDT"
BNB: Final = "BNB"
TRANSFER: Final = "TRANSFER"
INSURANCE_CLEAR: Final = "INSURANCE_CLEAR"

_INCOME_TYPES: Final = {  # the books' kinds that the exchange has no type of its own for
    IncomeKind.LIQUIDATION_FEE: INSURANCE_CLEAR,
    IncomeKind.INSURANCE: INSURANCE_CLEAR,
}


def slot_name(symbol: str, side: PositionSide) -> str:
    """Return the name under which the books keep a position."""
    return symbol if side is PositionSide.BOTH else f"{symbol}:{side}"


class Bnb(NamedTuple):
    """What an account has to pay its fees with."""

    balance: Decimal  # BNB
    price: Decimal  # USDT of one


class Trader:
    """One account.

    Args:
        name: Of the account.
        wallet_balance: USDT that are transferred to it at first.
        time_ms: When.
    """

    def __init__(self, name: str, wallet_balance: Decimal, time_ms: int) -> None:
        self.name = name
        self.books = Account(wallet_balance)
        self.is_hedged = False  # two positions a symbol
        self.is_multi_assets = False
        self.burns_bnb = False  # whether fees are charged with the discount for BNB
        self.bnb: Bnb | None = None  # that pays them; None lets the wallet of USDT pay what the BNB would be worth
        self.orders: dict[int, Order] = {}  # every one, also the finished ones
        self.open_orders: dict[int, Order] = {}
        self.algo_orders: dict[int, AlgoOrder] = {}
        self.open_algo_orders: dict[int, AlgoOrder] = {}
        self.fills: list[Fill] = []
        self.income: list[Income] = []
        self.amendments: list[Amendment] = []
        self.margin_moves: list[MarginMove] = []
        self.outbox: deque[UserEvent] = deque()
        self.costs: dict[str, Decimal] = {}  # by slot: USDT paid for the position that is open, with its fees
        self.realized: dict[str, Decimal] = {}  # by slot: USDT, since the account was opened
        self.called: set[str] = set()  # slots with a margin call that is not over
        self.updated_ms: dict[str, int] = {}  # by slot
        self._client_ids: dict[tuple[str, str], Order] = {}  # the newest order of each
        self._client_algo_ids: dict[str, AlgoOrder] = {}
        if wallet_balance:
            self.income.append(Income(1, "", TRANSFER, wallet_balance, time_ms, None, wallet_balance))

    # Settings

    def know(self, quotes: Quotes) -> None:
        """Let the account trade a symbol, in cross margin and at the exchange's default leverage."""
        if quotes.symbol not in self.books.positions:
            leverage = min(DEFAULT_LEVERAGE, quotes.terms.brackets[0].initial_leverage)
            self.set_symbol(quotes.terms, MarginMode.CROSS, leverage)

    def set_symbol(self, terms: SymbolTerms, margin_mode: MarginMode, leverage: int) -> None:
        """Set how a symbol is traded.

        Raises:
            ContractError: If the leverage cannot be set.
            RefusedError: If an open position does not allow it (-4048, -4161).
        """
        for side in PositionSide:
            slot = slot_name(terms.symbol, side)
            self.books.set_symbol(replace(terms, symbol=slot), margin_mode, leverage)

    def setting(self, symbol: str) -> SymbolSetting:
        """Return how a symbol is traded; of a symbol that the account knows."""
        return self.books.setting(symbol)

    # Positions

    def slots(self, symbol: str) -> Iterator[str]:
        """Yield the slots of a symbol that hold a position."""
        for side in PositionSide:
            slot = slot_name(symbol, side)
            if self.position(slot).amount:
                yield slot

    def held_slots(self) -> list[str]:
        """Return every slot that holds a position."""
        return [slot for slot, position in self.books.positions.items() if position.amount]

    def position(self, slot: str) -> Position:
        """Return the position of a slot."""
        return self.books.positions[slot]

    def slot_of(self, order: Order) -> str:
        """Return the slot that an order is for."""
        return slot_name(order.symbol, order.position_side)

    def is_isolated(self, symbol: str) -> bool:
        """Whether the symbol's positions have a part of the wallet for themselves."""
        return self.setting(symbol).is_isolated

    def fee_rate(self, quotes: Quotes, *, is_maker: bool) -> Decimal:
        """Return the fraction of a notional that a trade costs."""
        rate = self.listed_rate(quotes, is_maker=is_maker)
        return rate * (1 - Decimal(repr(quotes.contract.bnb_discount))) if self.burns_bnb else rate

    def listed_rate(self, quotes: Quotes, *, is_maker: bool) -> Decimal:
        """Return the same without the discount for BNB."""
        return quotes.terms.maker_fee if is_maker else quotes.terms.taker_fee

    def pay_in_bnb(self, fee: Decimal) -> Decimal | None:
        """Take a fee from the account's BNB, and return how much of it; None where it has none for that.

        Args:
            fee: USDT, with the discount.
        """
        if not self.burns_bnb or self.bnb is None:
            return None
        paid = booked(fee / self.bnb.price)
        if paid > self.bnb.balance:
            return None
        self.bnb = self.bnb._replace(balance=self.bnb.balance - paid)
        return paid

    @property
    def cross_wallet(self) -> Decimal:
        """The wallet without what isolated positions have."""
        return self.books.wallet_balance - sum((p.isolated_wallet for p in self.books.positions.values()), ZERO)

    # Orders

    def add_order(self, order: Order) -> None:
        """Keep a new order."""
        self.orders[order.order_id] = self.open_orders[order.order_id] = order
        self._client_ids[order.symbol, order.client_order_id] = order

    def add_algo_order(self, order: AlgoOrder) -> None:
        """Keep a new conditional order."""
        self.algo_orders[order.algo_id] = self.open_algo_orders[order.algo_id] = order
        self._client_algo_ids[order.client_algo_id] = order

    def order_by_client_id(self, symbol: str, client_order_id: str) -> Order | None:
        """Return the newest order with this client order id."""
        return self._client_ids.get((symbol, client_order_id))

    def algo_order_by_client_id(self, client_algo_id: str) -> AlgoOrder | None:
        """Return the newest conditional order with this client id."""
        return self._client_algo_ids.get(client_algo_id)

    def open_orders_of(self, symbol: str) -> list[Order]:
        """Return the open orders of a symbol, the oldest first."""
        return [order for order in self.open_orders.values() if order.symbol == symbol]

    def open_algo_orders_of(self, symbol: str) -> list[AlgoOrder]:
        """Return the conditional orders of a symbol that wait, the oldest first."""
        return [order for order in self.open_algo_orders.values() if order.request.symbol == symbol]

    # Bookings

    def note_income(self, lines: Sequence[IncomeLine], symbol: str, time_ms: int, trade_id: int | None) -> None:
        """Keep what the books have booked."""
        for line in lines:
            kind = _INCOME_TYPES.get(line.kind, line.kind.value)
            number = len(self.income) + 1
            self.income.append(Income(number, symbol, kind, line.amount, time_ms, trade_id, line.before_rounding))

    def note_bnb(self, paid: Decimal, symbol: str, time_ms: int, trade_id: int) -> None:
        """Keep a fee that was paid in BNB."""
        kind, number = IncomeKind.COMMISSION.value, len(self.income) + 1
        self.income.append(Income(number, symbol, kind, -paid, time_ms, trade_id, -paid, BNB))
