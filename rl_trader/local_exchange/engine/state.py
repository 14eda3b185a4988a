"""What the exchange knows at one moment: prices, accounts, and the numbers that it has given away."""

from collections import deque
from collections.abc import Iterable
from copy import copy
from decimal import Decimal
from typing import Final

from rl_trader.contract_terms import ContractTerms
from rl_trader.errors import ConfigError
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.books.legs import Point
from rl_trader.local_exchange.books.money import ZERO
from rl_trader.local_exchange.engine.orders import AlgoOrder, Order
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.engine.trader import Trader, slot_name
from rl_trader.local_exchange.engine.words import PositionSide

FIRST_ORDER_ID: Final = 8_000_000_000  # of the size of the exchange's own, so that nobody keeps them in 32 bits
FIRST_ALGO_ID: Final = 3_000_000_000
NUM_FORCE_ORDERS: Final = 1000  # liquidations that are remembered for everybody


class State:
    """The exchange's memory.

    Args:
        contracts: Of every symbol that is traded.
        conduct: How market orders fill.
        insurance_fund: USDT; None never ends. Where it is used up, other accounts are deleveraged.

    Raises:
        ConfigError: If no symbol or one twice is given.
    """

    def __init__(
        self, contracts: Iterable[ContractTerms], conduct: Conduct, insurance_fund: Decimal | None = None
    ) -> None:
        self.quotes: dict[str, Quotes] = {}
        for contract in contracts:
            if contract.symbol in self.quotes:
                raise ConfigError(f"symbols must differ and {contract.symbol} is given twice; leave one out")
            self.quotes[contract.symbol] = Quotes(contract, conduct)
        if not self.quotes:
            raise ConfigError("the exchange must trade a symbol and none is given; name one")
        self.marks = {slot_name(symbol, side): ZERO for symbol in self.quotes for side in PositionSide}  # by slot
        self.traders: dict[str, Trader] = {}
        self.insurance_fund = insurance_fund
        self.force_orders: deque[Order] = deque(maxlen=NUM_FORCE_ORDERS)  # as they stood when they were filled
        self.now_ms = 0
        self._num_orders = self._num_algo_orders = self._num_queued = 0

    def set_prices(self, symbol: str, at: Point) -> None:
        """Let a symbol have new prices; nothing happens by that alone."""
        quotes = self.quotes[symbol]
        quotes.last, quotes.mark = at
        for side in PositionSide:
            self.marks[slot_name(symbol, side)] = at.mark

    @property
    def next_order_id(self) -> int:
        """The number of the next order that is accepted; one that is refused uses up none."""
        return FIRST_ORDER_ID + self._num_orders + 1

    @property
    def next_algo_id(self) -> int:
        """The number of the next conditional order that is accepted."""
        return FIRST_ALGO_ID + self._num_algo_orders + 1

    def keep_order(self, trader: Trader, order: Order) -> None:
        """Let an account have a new order, whose number is given away by that."""
        self._num_orders += 1
        trader.add_order(order)

    def keep_algo_order(self, trader: Trader, order: AlgoOrder) -> None:
        """Let an account have a new conditional order, whose number is given away by that."""
        self._num_algo_orders += 1
        trader.add_algo_order(order)

    def next_queue_number(self) -> int:
        """Return a place behind every order that rests."""
        self._num_queued += 1
        return self._num_queued

    def note_force_order(self, order: Order) -> None:
        """Remember a liquidation, as everybody sees it."""
        self.force_orders.append(copy(order))

    def insure(self, amount: Decimal) -> Decimal:
        """Let the insurance fund pay, or be paid what is below zero, and return what it does not have.

        What it does not have it owes: it is below zero until liquidation fees or deleveraging have made up for it.
        """
        if self.insurance_fund is None:
            return ZERO
        had = max(self.insurance_fund, ZERO)
        self.insurance_fund -= amount
        return max(amount - had, ZERO)
