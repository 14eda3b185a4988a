"""The kernel and the books, each playing a case's bars with the same orders."""

from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_trader import income, ledger, replay, state
from rl_trader.bars import MARK_OHLC, OHLC
from rl_trader.bookings import UNITS_PER_USDT
from rl_trader.differential.cases import Case
from rl_trader.income import INCOME_DTYPE, MOST_LINES
from rl_trader.kernels import records
from rl_trader.ledger import Account
from rl_trader.local_exchange.books import account as books
from rl_trader.local_exchange.books import bar as book_bar
from rl_trader.local_exchange.books.checks import Event
from rl_trader.local_exchange.books.income import IncomeKind
from rl_trader.local_exchange.books.liquidation import liquidation_price
from rl_trader.local_exchange.books.money import UNIT
from rl_trader.local_exchange.books.positions import FLAT, Position
from rl_trader.local_exchange.books.refusals import RefusedError
from rl_trader.local_exchange.books.terms import SymbolTerms
from rl_trader.state import Costs, Order

KINDS: Final = {
    income.REALIZED_PNL: IncomeKind.REALIZED_PNL,
    income.COMMISSION: IncomeKind.COMMISSION,
    income.FUNDING_FEE: IncomeKind.FUNDING_FEE,
    income.LIQUIDATION_FEE: IncomeKind.LIQUIDATION_FEE,
    income.INSURANCE: IncomeKind.INSURANCE,
}
KERNEL_EVENTS: Final = {
    Event.REDUCED: state.FILLED,
    Event.OPENED: state.FILLED,
    Event.STOP_LOSS: state.STOPPED,
    Event.TAKE_PROFIT: state.TOOK_PROFIT,
    Event.LIQUIDATED: state.LIQUIDATED,
    Event.REDUCED_BY_LIQUIDATION: state.REDUCED_BY_LIQUIDATION,
    Event.NO_TRADES: state.REFUSED_NO_TRADES,
    Event.MARKET_PRICE_BAND: state.REFUSED_PRICE,
    Event.BELOW_MIN_PRICE: state.REFUSED_PRICE,
    Event.ABOVE_MAX_PRICE: state.REFUSED_PRICE,
    Event.LIMIT_TOO_HIGH: state.REFUSED_PRICE,
    Event.LIMIT_TOO_LOW: state.REFUSED_PRICE,
    Event.WOULD_CROSS: state.REFUSED_POST_ONLY,
    Event.BELOW_MIN_NOTIONAL: state.REFUSED_NOTIONAL,
    Event.ABOVE_MAX_NOTIONAL: state.REFUSED_BRACKET,
    Event.MARGIN_INSUFFICIENT: state.REFUSED_MARGIN,
}
UNCOMPARED: Final = state.NOT_REACHED  # the books say instead that an order rested


class KernelBar(NamedTuple):
    """What the kernel did in one bar."""

    account: Account
    events: int
    lines: tuple[tuple[IncomeKind, int], ...]  # kind, and amount in units of 1e-8 USDT


class BooksBar(NamedTuple):
    """What the books did in one bar."""

    events: int
    lines: tuple[tuple[IncomeKind, int, Decimal], ...]  # kind, and amount in units, and before it was rounded to them


class Answers(NamedTuple):
    """What a witness says of its account at a mark price."""

    maintenance_margin: float
    available_balance: float
    liquidation_price: float
    position_margin: float


def units(money: float) -> int:
    """Return an amount in whole units of 1e-8 USDT."""
    return round(money * UNITS_PER_USDT)


def decimal(value: float) -> Decimal:
    """Return the shortest decimal number that a float is printed as."""
    return Decimal(repr(float(value)))


class Kernel:
    """The replay kernel on a case's bars."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._bars, self._fundings = records(case.bars), records(case.fundings)
        self._settings, self._terms = records(case.settings)[0], records(case.kernel_terms)[0]
        self._costs = Costs(case.terms.taker_fee, case.terms.maker_fee, case.slippage_scale)
        self._lines: NDArray[np.void] = np.zeros(MOST_LINES, INCOME_DTYPE)
        self.account = Account(case.trading.initial_balance, 0.0, 0.0, 0.0)

    def play(self, order: Order, t: int) -> KernelBar:
        """Play bar ``t``."""
        self._lines["kind"] = 0
        progress = replay.play_bar(
            self.account,
            order,
            self._bars,
            t,
            self._fundings,
            self._costs,
            self._settings,
            self._terms,
            self._case.brackets,
            records(self._lines),
        )
        self.account = Account(*progress.account)
        written = self._lines[: progress.flows.num_lines]
        lines = tuple((KINDS[int(line["kind"])], units(line["income"])) for line in written)
        return KernelBar(self.account, progress.flows.events & ~UNCOMPARED, lines)

    def move_margin(self, cash: float, mark_price: float) -> None:
        """Move isolated margin, if the exchange lets it."""
        self.account = Account(*ledger.move_margin(self.account, cash, mark_price, self._terms))

    def answers(self, mark_price: float) -> Answers:
        """Return what it says at a mark price."""
        account, terms, brackets = self.account, self._terms, self._case.brackets
        return Answers(
            ledger.maintenance_margin(account, mark_price, terms, brackets),
            ledger.available_balance(account, mark_price, terms),
            ledger.liquidation_price(account, terms, brackets),
            ledger.position_margin(account, mark_price, terms),
        )


class Books:
    """The books on a case's bars."""

    def __init__(self, case: Case) -> None:
        self._symbol = case.terms.symbol
        self._bars = book_bars(case)
        self._settlements = settlements_of(case)
        trading = case.trading
        self._conduct = book_bar.Conduct(
            half_spread=decimal(trading.slippage.half_spread),
            sqrt_impact=decimal(trading.slippage.sqrt_impact),
            linear_impact=decimal(trading.slippage.linear_impact),
            slippage_scale=decimal(case.slippage_scale),
            stop_loss=None if trading.stop_loss is None else decimal(trading.stop_loss),
            take_profit=None if trading.take_profit is None else decimal(trading.take_profit),
            stop_on_mark=trading.stop_trigger == "mark",
        )
        self.account = books.Account(decimal(trading.initial_balance))
        self.account.set_symbol(SymbolTerms.of(case.terms), trading.margin_mode, trading.leverage)

    @property
    def position(self) -> Position:
        """Return the position."""
        return self.account.positions[self._symbol]

    def play(self, order: Order, t: int) -> BooksBar:
        """Play bar ``t``."""
        sent = book_bar.Order(
            reduce_amount=decimal(order.reduce_amount),
            open_amount=decimal(order.open_amount),
            limit_price=decimal(order.limit_price) if order.limit_price else None,
        )
        bar = self._bars[t]
        result = book_bar.play_bar(self.account, self._symbol, bar, sent, self._settlements[t], self._conduct)
        events = 0
        for event in result.events:
            events |= KERNEL_EVENTS.get(event, 0)
        lines = ((line.kind, int(line.amount / UNIT), line.before_rounding / UNIT) for line in result.lines)
        return BooksBar(events, tuple(lines))

    def move_margin(self, cash: float, mark_price: float) -> None:
        """Move isolated margin, if the exchange lets it."""
        try:
            self.account.move_margin(self._symbol, decimal(cash), {self._symbol: decimal(mark_price)})
        except RefusedError:
            return

    def answers(self, mark_price: float) -> Answers:
        """Return what they say at a mark price."""
        mark = decimal(mark_price)
        marks = {self._symbol: mark}
        return Answers(
            float(self.account.maintenance_margin(self._symbol, mark)),
            float(self.account.available_balance(marks)),
            float(liquidation_price(self.account, self._symbol, marks)),
            float(self.account.position_margin(self._symbol, marks)),
        )

    def take_over(self, account: Account) -> None:
        """Go on from the kernel's account."""
        self.account.wallet_balance = Decimal(units(account.wallet_balance)) * UNIT
        position = FLAT
        if account.position_amount != 0.0:
            isolated_wallet = Decimal(units(account.isolated_wallet)) * UNIT
            position = Position(decimal(account.position_amount), decimal(account.entry_price), isolated_wallet)
        self.account.restore(self._symbol, position)


def book_bars(case: Case) -> list[book_bar.BookBar]:
    """Return the bars as the books read them."""
    return [_book_bar(bar) for bar in case.bars]


def _book_bar(bar: np.void) -> book_bar.BookBar:
    prices = {name: decimal(bar[name]) for name in (*OHLC, *MARK_OHLC)}
    return book_bar.BookBar(open_time=int(bar["open_time"]), volume=decimal(bar["volume"]), **prices)


def settlements_of(case: Case) -> list[list[book_bar.Settlement]]:
    """Return the settlements of every bar."""
    due = [
        book_bar.Settlement(
            time_ms=int(row["funding_time"]), rate=decimal(row["funding_rate"]), mark_price=decimal(row["mark_price"])
        )
        for row in case.fundings
    ]
    ends = case.bars["num_settled"].tolist()
    return [due[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
