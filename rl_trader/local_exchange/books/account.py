"""An account: one wallet, and positions in any number of symbols, each isolated or in cross margin.

One-way mode, USDT collateral. The account books what it is told to and answers questions about margins; whether an
order may be placed is asked in :mod:`rl_trader.local_exchange.books.checks`, what is liquidated in
:mod:`rl_trader.local_exchange.books.liquidation`.

Sources (read in autumn 2026): the FAQ of Binance futures "Leverage and Margin", "How to Calculate Liquidation Price of
USD-M Futures Contracts", "Introduction to Binance Futures Funding Rates", "Futures Fee Structure". Words are the API's.

Prices in USDT per unit of the base asset, amounts in base asset and signed (positive is long or bought), money in
USDT with the sign of the wallet's change, rates as fractions. ``marks`` are mark prices by symbol; each question needs
those of the positions that its answer depends on.
"""

from collections.abc import Iterator
from decimal import Decimal

from rl_trader.errors import ConfigError, DataError
from rl_trader.local_exchange.books.changes import check_margin_move, check_setting_change
from rl_trader.local_exchange.books.income import IncomeKind, IncomeLine
from rl_trader.local_exchange.books.money import ZERO, booked, exact, is_number, is_positive
from rl_trader.local_exchange.books.positions import FLAT as FLAT
from rl_trader.local_exchange.books.positions import MarginMode as MarginMode
from rl_trader.local_exchange.books.positions import Marks, SymbolSetting, checked_mark
from rl_trader.local_exchange.books.positions import Position as Position
from rl_trader.local_exchange.books.refusals import OrderError
from rl_trader.local_exchange.books.terms import SymbolTerms


class Account:
    """A wallet with its positions.

    Args:
        wallet_balance: USDT, not negative.

    Raises:
        ConfigError: If the wallet balance is no such number; by each method, if a symbol is not set.
        DataError: By each method, if a mark price or a funding rate is missing or no such number.
    """

    def __init__(self, wallet_balance: Decimal) -> None:
        if not (is_number(wallet_balance) and wallet_balance >= 0):
            raise ConfigError(
                f"wallet_balance must be a number from 0, below 1e14, and is {wallet_balance}; choose one"
            )
        self.wallet_balance = wallet_balance  # the sum of all bookings
        self.positions: dict[str, Position] = {}  # of every symbol that is set
        self._settings: dict[str, SymbolSetting] = {}

    def copy(self) -> "Account":
        """Return an account that goes its own way from here."""
        other = Account(ZERO)
        other.wallet_balance = self.wallet_balance
        other.positions = dict(self.positions)
        other._settings = dict(self._settings)
        return other

    # Settings

    def set_symbol(self, terms: SymbolTerms, margin_mode: MarginMode | str, leverage: int) -> None:
        """Set how a symbol is traded; an isolated wallet stays as it is when the leverage is raised.

        Raises:
            ConfigError: If there is no such margin mode.
            ContractError: If the leverage cannot be set.
            RefusedError: If an open position does not allow it (-4048, -4161).
        """
        terms.check_leverage(leverage)
        new = SymbolSetting(terms, MarginMode.of(margin_mode), int(leverage))
        if self.positions.setdefault(terms.symbol, FLAT).amount:
            check_setting_change(self._settings[terms.symbol], new)
        self._settings[terms.symbol] = new

    def setting(self, symbol: str) -> SymbolSetting:
        """Return how a symbol is traded."""
        try:
            return self._settings[symbol]
        except KeyError:
            names = ", ".join(self._settings) or "none"
            raise ConfigError(f"{symbol} must be one of the symbols set ({names}); call set_symbol first") from None

    def restore(self, symbol: str, position: Position) -> None:
        """Put a position in the place of the present one without booking anything, as when an account is loaded.

        Raises:
            OrderError: If it is no position that the symbol's margin mode can hold.
        """
        is_backed = self.setting(symbol).is_isolated or position.isolated_wallet == 0
        if not (position.is_sound and is_backed):
            raise OrderError(
                f"a position of {symbol} must have an amount, a positive entry_price and, only if isolated, an "
                f"isolated_wallet, or be all zero, and is {position}; correct it"
            )
        self.positions[symbol] = position

    # Questions

    @exact
    def unrealized_pnl(self, symbol: str, mark_price: Decimal) -> Decimal:
        """Return what closing the position at the mark price would realise."""
        self.setting(symbol)
        return self.positions[symbol].unrealized_pnl(checked_mark(symbol, mark_price))

    @exact
    def initial_margin(self, symbol: str, mark_price: Decimal) -> Decimal:
        """Return the position's notional at the mark price over its leverage."""
        leverage = self.setting(symbol).leverage
        return self.positions[symbol].notional(checked_mark(symbol, mark_price)) / leverage

    @exact
    def maintenance_margin(self, symbol: str, mark_price: Decimal) -> Decimal:
        """Return what the position needs at the least, by the bracket of its notional at the mark price."""
        terms = self.setting(symbol).terms
        return terms.maintenance_margin(self.positions[symbol].notional(checked_mark(symbol, mark_price)))

    @exact
    def backing(self, symbol: str) -> Decimal:
        """Return the money that stands behind a position: its isolated wallet, or all that is not set aside."""
        if self.setting(symbol).is_isolated:
            return self.positions[symbol].isolated_wallet
        return self._not_set_aside()

    @exact
    def collateral(self, symbol: str, marks: Marks) -> Decimal:
        """Return the position's margin without its own unrealised profit.

        In cross margin the other cross positions add their unrealised profit (UPNL1 of the FAQ) and take their
        maintenance margin (TMM1).
        """
        collateral = self.backing(symbol)
        if not self.setting(symbol).is_isolated:
            for other, position in self._cross_positions(marks, besides=symbol):
                terms = self._settings[other].terms
                collateral += position.unrealized_pnl(marks[other])
                collateral -= terms.maintenance_margin(position.notional(marks[other]))
        return collateral

    @exact
    def position_margin(self, symbol: str, marks: Marks) -> Decimal:
        """Return what is compared with the maintenance margin: collateral and unrealised profit."""
        return self.collateral(symbol, marks) + self.unrealized_pnl(symbol, checked_mark(symbol, marks.get(symbol)))

    @exact
    def margin_balance(self, marks: Marks) -> Decimal:
        """Return the wallet and the unrealised profit of every position."""
        held = [(symbol, position) for symbol, position in self.positions.items() if position.amount]
        profits = (position.unrealized_pnl(checked_mark(symbol, marks.get(symbol))) for symbol, position in held)
        return sum(profits, self.wallet_balance)

    @exact
    def available_balance(self, marks: Marks) -> Decimal:
        """Return what new orders may cost; it is negative where positions have used up more than there is.

        Unrealised profit counts in cross margin and not in isolated.
        """
        available = self._not_set_aside()
        for symbol, position in self._cross_positions(marks):
            initial_margin = position.notional(marks[symbol]) / self._settings[symbol].leverage
            available += position.unrealized_pnl(marks[symbol]) - initial_margin
        return available

    def check_marks(self, symbol: str, marks: Marks) -> None:
        """Refuse to go on with a symbol where the mark price of another cross position is missing."""
        for _ in self._cross_positions(marks, besides=symbol):
            pass

    def _not_set_aside(self) -> Decimal:
        return self.wallet_balance - sum((position.isolated_wallet for position in self.positions.values()), ZERO)

    def _cross_positions(self, marks: Marks, besides: str | None = None) -> Iterator[tuple[str, Position]]:
        for symbol, position in self.positions.items():
            if position.amount and symbol != besides and not self._settings[symbol].is_isolated:
                checked_mark(symbol, marks.get(symbol))
                yield symbol, position

    # Bookings

    @exact
    def book(self, kind: IncomeKind, symbol: str, before_rounding: Decimal) -> IncomeLine:
        """Move the wallet by an amount, rounded as every booking, and return the line that says so."""
        amount = booked(before_rounding)
        self.wallet_balance += amount
        return IncomeLine(kind, symbol, amount, self.wallet_balance, before_rounding)

    @exact
    def fill(self, symbol: str, amount: Decimal, price: Decimal, fee_rate: Decimal) -> tuple[IncomeLine, ...]:
        """Book a trade; one through zero is two trades, which close the position and open the other side.

        Args:
            symbol: Which.
            amount: Signed, positive where it is bought.
            price: What it was traded at.
            fee_rate: Of the notional.

        Raises:
            OrderError: If amount, price or rate is no number that can be traded.
        """
        setting = self.setting(symbol)
        if not (is_number(amount) and amount and is_positive(price) and fee_rate.is_finite() and abs(fee_rate) < 1):
            raise OrderError(
                f"a fill of {symbol} must have an amount other than 0, a positive price and a fee rate below 1 and has "
                f"{amount}, {price} and {fee_rate}; correct it"
            )
        held = self.positions[symbol].amount
        if held * amount >= 0:
            return self._add(setting, amount, price, fee_rate)
        if abs(amount) <= abs(held):
            return self._reduce(symbol, amount, price, fee_rate)
        return self._reduce(symbol, -held, price, fee_rate) + self._add(setting, held + amount, price, fee_rate)

    def _add(self, setting: SymbolSetting, amount: Decimal, price: Decimal, rate: Decimal) -> tuple[IncomeLine, ...]:
        symbol, notional = setting.terms.symbol, abs(amount) * price
        margin = booked(notional / setting.leverage) if setting.is_isolated else ZERO
        self.positions[symbol] = self.positions[symbol].added(amount, price, margin)
        return (self.book(IncomeKind.COMMISSION, symbol, -notional * rate),)

    def _reduce(self, symbol: str, amount: Decimal, price: Decimal, rate: Decimal) -> tuple[IncomeLine, ...]:
        position = self.positions[symbol]
        self.positions[symbol] = position.reduced(amount)
        return (
            self.book(IncomeKind.REALIZED_PNL, symbol, -amount * (price - position.entry_price)),
            self.book(IncomeKind.COMMISSION, symbol, -abs(amount) * price * rate),
        )

    @exact
    def settle_funding(self, symbol: str, rate: Decimal, mark_price: Decimal) -> tuple[IncomeLine, ...]:
        """Book one funding settlement, if there is a position; longs pay shorts when the rate is positive."""
        setting, position = self.setting(symbol), self.positions[symbol]
        if not is_number(rate):
            raise DataError(f"a funding rate of {symbol} must be a number and is {rate}; correct the data")
        checked_mark(symbol, mark_price)
        if not position.amount:
            return ()
        line = self.book(IncomeKind.FUNDING_FEE, symbol, -position.amount * mark_price * rate)
        if setting.is_isolated:
            self.positions[symbol] = position._replace(isolated_wallet=position.isolated_wallet + line.amount)
        return (line,)

    @exact
    def cover_shortfall(self, symbol: str) -> tuple[IncomeLine, ...]:
        """Let the insurance fund raise a wallet to zero that a trade, closing the position, took below it."""
        if self.wallet_balance >= 0 or self.positions[symbol].amount:
            return ()
        return (self.book(IncomeKind.INSURANCE, symbol, -self.wallet_balance),)

    @exact
    def move_margin(self, symbol: str, amount: Decimal, marks: Marks) -> None:
        """Set more (positive) or less (negative) of the wallet aside for an isolated position.

        Args:
            symbol: Which.
            amount: USDT; rounded as every booking.
            marks: Of the symbol and of every cross position.

        Raises:
            OrderError: If the amount is no number or nothing.
            RefusedError: If the exchange would refuse it (-4049, -4050, -4051, -4054).
        """
        if not (is_number(amount) and booked(amount)):
            raise OrderError(f"margin moved for {symbol} must be an amount other than 0 and is {amount}; choose one")
        check_margin_move(self, symbol, booked(amount), marks)
        position = self.positions[symbol]
        self.positions[symbol] = position._replace(isolated_wallet=position.isolated_wallet + booked(amount))
