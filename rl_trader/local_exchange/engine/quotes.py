"""The prices of one symbol now, and what can be traded at them.

The book is one level on each side, as deep as anybody wants, half a spread from the last price: there the replay fills
too. Resting orders of the accounts stand before it where their price is better.

Prices in USDT per unit of the base asset, amounts in base asset, times in milliseconds since 1970 UTC.
"""

from collections import deque
from decimal import Decimal
from typing import Final, NamedTuple

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.books.money import ZERO
from rl_trader.local_exchange.books.prices import best_opposite_price, market_price
from rl_trader.local_exchange.books.terms import SymbolTerms

TAPE_LENGTH: Final = 1000  # trades that are remembered, the most that one answer may hold


class PublicTrade(NamedTuple):
    """One trade as everybody sees it."""

    trade_id: int
    time_ms: int
    price: Decimal
    amount: Decimal  # base asset, positive
    is_buyer_maker: bool


class Quotes:
    """Prices of one symbol.

    Args:
        contract: Filters as the exchange writes them.
        conduct: How market orders fill.
    """

    def __init__(self, contract: ContractTerms, conduct: Conduct) -> None:
        self.contract = contract
        self.terms = SymbolTerms.of(contract)
        self.conduct = conduct
        self.last = self.mark = self.index = ZERO  # all zero until the first price
        self.volume = ZERO  # of the bar that is played; what an order's share is counted of, and 0 fills nothing
        self.available: Decimal | None = None  # amount that the next fills may have in all; None is any
        self.funding_rate = ZERO  # of the next settlement, as far as it is known
        self.last_funding_rate = ZERO  # of the last settlement
        self.next_funding_ms = 0
        self.update_id = 1  # of the order book
        self.tape: deque[PublicTrade] = deque(maxlen=TAPE_LENGTH)
        self._num_trades = 0

    @property
    def symbol(self) -> str:
        """Which."""
        return self.contract.symbol

    @property
    def is_trading(self) -> bool:
        """Whether there is a price and anything is traded in the present bar."""
        return self.last > 0 and self.volume > 0

    @property
    def bid(self) -> Decimal:
        """The best price to sell at."""
        return best_opposite_price(self.terms, self.conduct, Decimal(-1), self.last)

    @property
    def ask(self) -> Decimal:
        """The best price to buy at."""
        return best_opposite_price(self.terms, self.conduct, Decimal(1), self.last)

    def market_price(self, amount: Decimal) -> Decimal:
        """Return what a market order of this signed amount fills at."""
        return market_price(self.terms, self.conduct, amount, self.volume, self.last)

    def record_trade(self, time_ms: int, price: Decimal, amount: Decimal, *, is_buyer_maker: bool) -> PublicTrade:
        """Write a trade on the tape, with the next number."""
        self._num_trades += 1
        trade = PublicTrade(self._num_trades, time_ms, price, amount, is_buyer_maker)
        self.tape.append(trade)
        return trade
