"""The account, the bar and what has happened so far: what the steps of one bar hand on to each other.

Units are those of :mod:`rl_trader.local_exchange.books.inputs`.
"""

from decimal import Decimal

from rl_trader.local_exchange.books.account import Account
from rl_trader.local_exchange.books.checks import Event
from rl_trader.local_exchange.books.income import IncomeLine
from rl_trader.local_exchange.books.inputs import BookBar, Conduct, Order
from rl_trader.local_exchange.books.liquidation import liquidate
from rl_trader.local_exchange.books.positions import Marks, Position
from rl_trader.local_exchange.books.prices import market_price


class Play:
    """One bar of one symbol while it is played.

    Args:
        account: Changed in place.
        symbol: Which the bar is of.
        bar: Its prices.
        conduct: How orders fill.
        other_marks: Mark prices of the account's other symbols, which stand still.
    """

    __slots__ = ("account", "bar", "conduct", "events", "lines", "other_marks", "resting", "setting", "symbol")

    def __init__(self, account: Account, symbol: str, bar: BookBar, conduct: Conduct, other_marks: Marks) -> None:
        self.account = account
        self.symbol = symbol
        self.bar = bar
        self.conduct = conduct
        self.other_marks = other_marks
        self.setting = account.setting(symbol)
        self.resting: Order | None = None  # the limit order in the book
        self.events: set[Event] = set()
        self.lines: list[IncomeLine] = []

    @property
    def position(self) -> Position:
        """The symbol's position now."""
        return self.account.positions[self.symbol]

    def marks(self, mark_price: Decimal) -> dict[str, Decimal]:
        """Return the mark prices of every symbol while this one's is as given."""
        return {**self.other_marks, self.symbol: mark_price}

    def market_price(self, amount: Decimal, reference_price: Decimal) -> Decimal:
        """Return what a market order of this amount fills at."""
        return market_price(self.setting.terms, self.conduct, amount, self.bar.volume, reference_price)

    def close(self, amount: Decimal, price: Decimal, fee_rate: Decimal) -> None:
        """Reduce the position; what the wallet cannot pay is the insurance fund's."""
        self.lines += self.account.fill(self.symbol, amount, price, fee_rate)
        self.lines += self.account.cover_shortfall(self.symbol)

    def open(self, amount: Decimal, price: Decimal, fee_rate: Decimal) -> None:
        """Open a position or add to it."""
        self.lines += self.account.fill(self.symbol, amount, price, fee_rate)
        self.events.add(Event.OPENED)

    def liquidate(self, mark_price: Decimal) -> None:
        """Liquidate the position, which cancels the resting order."""
        self.lines += liquidate(self.account, self.symbol, mark_price, self.other_marks)
        self.events.add(Event.REDUCED_BY_LIQUIDATION if self.position.amount else Event.LIQUIDATED)
        self.resting = None
