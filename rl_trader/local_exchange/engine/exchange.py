"""The exchange: what a market does to it and what accounts may ask of it.

Deterministic: the same calls in the same order give the same answers, numbers and events. Prices in USDT per unit of
the base asset, amounts in base asset, money in USDT, times in milliseconds since 1970 UTC.
"""

from collections.abc import Iterable
from decimal import Decimal

from rl_trader.contract_terms import ContractTerms
from rl_trader.errors import ConfigError
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.books.legs import Point
from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.engine.bookings import tell_wallet
from rl_trader.local_exchange.engine.events import AccountUpdate
from rl_trader.local_exchange.engine.matching import resting_levels
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.engine.quotes import Quotes
from rl_trader.local_exchange.engine.state import State
from rl_trader.local_exchange.engine.trader import Trader, slot_name
from rl_trader.local_exchange.engine.views import position_state, wallet_state
from rl_trader.local_exchange.engine.walking import enforce_margin, jump, walk
from rl_trader.local_exchange.engine.words import PositionSide, UpdateReason


class Exchange:
    """Symbols, accounts, and their prices.

    Args:
        contracts: Of every symbol that is traded.
        conduct: How market orders fill.
        insurance_fund: USDT; None never ends. Where it is used up, other accounts are deleveraged.
    """

    def __init__(
        self, contracts: Iterable[ContractTerms], conduct: Conduct, insurance_fund: Decimal | None = None
    ) -> None:
        self.state = State(contracts, conduct, insurance_fund)

    @property
    def quotes(self) -> dict[str, Quotes]:
        """The prices, by symbol."""
        return self.state.quotes

    @property
    def traders(self) -> dict[str, Trader]:
        """The accounts, by name."""
        return self.state.traders

    @property
    def now_ms(self) -> int:
        """The time of the last thing that the market did."""
        return self.state.now_ms

    @property
    def force_orders(self) -> Iterable[Order]:
        """The liquidations that everybody sees, the oldest first."""
        return self.state.force_orders

    def open_account(self, name: str, wallet_balance: Decimal) -> Trader:
        """Open an account.

        Raises:
            ConfigError: If there is one of that name, or the wallet balance is no number from 0.
        """
        if name in self.state.traders:
            raise ConfigError(f"accounts must have different names and {name!r} is there already; choose another")
        trader = self.state.traders[name] = Trader(name, wallet_balance, self.state.now_ms)
        return trader

    def resting_levels(self, symbol: str) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Return price and amount of what rests of all accounts: purchases and sales, the best price first."""
        bids, asks = resting_levels(self.state, symbol)
        return sorted(bids.items(), reverse=True), sorted(asks.items())

    # The market

    def open_bar(self, symbol: str, *, last: Decimal, mark: Decimal, volume: Decimal, now_ms: int) -> None:
        """Let a bar begin: prices jump to its open, and an account that is bankrupt there is liquidated.

        Args:
            symbol: Which.
            last: Last price at the open.
            mark: Mark price at the open.
            volume: Of the bar that begins, base asset; without any nothing fills in it.
            now_ms: Its open time.
        """
        self._set_time(now_ms)
        quotes = self.state.quotes[symbol]
        quotes.volume = volume
        quotes.update_id += 1
        jump(self.state, symbol, Point(last, mark))

    def move(self, symbol: str, *, last: Decimal, mark: Decimal, now_ms: int) -> None:
        """Let both prices go straight to a point, and happen what they meet on the way."""
        self._set_time(now_ms)
        self.state.quotes[symbol].update_id += 1
        walk(self.state, symbol, Point(last, mark))

    @exact
    def settle_funding(self, symbol: str, *, rate: Decimal, mark: Decimal, time_ms: int) -> None:
        """Settle funding on every position of a symbol, at the settlement's own mark price."""
        self._set_time(time_ms)
        for trader in self.state.traders.values():
            if symbol in trader.books.positions:
                self._settle(trader, symbol, rate, mark)

    def enforce_margin(self, symbol: str, *, mark: Decimal, now_ms: int) -> None:
        """Liquidate, at a mark price, what a settlement inside a bar has left too little margin."""
        self._set_time(now_ms)
        enforce_margin(self.state, symbol, mark)

    def _settle(self, trader: Trader, symbol: str, rate: Decimal, mark: Decimal) -> None:
        for side in PositionSide:
            slot = slot_name(symbol, side)
            lines = trader.books.settle_funding(slot, rate, mark)
            if not lines:
                continue
            trader.note_income(lines, symbol, self.state.now_ms, None)
            change = sum((line.amount for line in lines), ZERO)
            if trader.is_isolated(symbol):
                positions = (position_state(self.state, trader, symbol, side),)
                wallet = wallet_state(trader, change)
                trader.outbox.append(
                    AccountUpdate(self.state.now_ms, UpdateReason.FUNDING_FEE, wallet, positions, symbol)
                )
            else:
                tell_wallet(self.state, trader, UpdateReason.FUNDING_FEE, change, symbol)

    def _set_time(self, now_ms: int) -> None:
        if now_ms < self.state.now_ms:
            raise ConfigError(f"time must not go back from {self.state.now_ms} and would to {now_ms}; correct it")
        self.state.now_ms = now_ms
