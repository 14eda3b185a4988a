"""Parity: an episode in the replay, and the same orders over the API of the local exchange in lock-step.

What is compared at every bar's close: each booking by kind and amount, the wallet, the position and its entry price,
and what an order was refused for; at the end the whole list of ``GET /fapi/v1/income``. The client knows nothing but
the API: it sends the orders of the decisions, market orders with the reducing leg first, and keeps the stops beside the
position as deployment has to.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple, cast

import numpy as np

from rl_trader import state
from rl_trader.config import TradingConfig
from rl_trader.decision import order_of
from rl_trader.differential.cases import Case
from rl_trader.differential.witnesses import Kernel, KernelBar, decimal, units
from rl_trader.errors import ConfigError, RlTraderError
from rl_trader.kernels import records
from rl_trader.klines import utc
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.books.income import IncomeKind
from rl_trader.local_exchange.books.positions import FLAT, Position
from rl_trader.local_exchange.books.prices import stop_level, take_profit_level
from rl_trader.local_exchange.books.terms import SymbolTerms
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.shells.memory import MemoryTransport
from rl_trader.local_exchange.shells.signed_client import AnsweredError, SignedClient
from rl_trader.state import Order
from rl_trader.trading import kernel_settings, kernel_terms

LEVELS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of the target positions that are drawn
HOLDING_BARS: Final = 12  # how long a target is held, in the mean
ENTRY_PRICE_ERROR: Final = Decimal("1E-8")  # of an average, which is answered with 8 decimals
DAY_MS: Final = 86_400_000

_INSURANCE_CLEAR: Final = "INSURANCE_CLEAR"
_WORDS: Final = {IncomeKind.LIQUIDATION_FEE: _INSURANCE_CLEAR, IncomeKind.INSURANCE: _INSURANCE_CLEAR}
_REFUSALS: Final = {  # the replay's bits, and the exchange's codes
    state.REFUSED_NO_TRADES: -2020,
    state.REFUSED_PRICE: -4131,
    state.REFUSED_NOTIONAL: -4164,
    state.REFUSED_BRACKET: -2027,
    state.REFUSED_MARGIN: -2019,
}
_IMMEDIATELY: Final = -2021
_GONE: Final = -2022  # nothing to reduce: liquidated at the open, before the order


class ParityError(RlTraderError):
    """The replay and the exchange differ."""


class Booking(NamedTuple):
    """One line of income."""

    kind: str
    units: int  # of 1e-8 USDT


@dataclass(slots=True)
class Report:
    """What was compared, and equal."""

    bars: int = 0
    orders: int = 0
    bookings: Counter[str] = field(default_factory=Counter)  # by kind
    events: Counter[str] = field(default_factory=Counter)  # bars in which the replay had each
    stops_at_once: int = 0  # bars in which a stop was met before it could be placed; the client closed instead
    next_ms: int = 0  # open time of the bar after the last

    def add(self, other: "Report") -> None:
        """Count what another episode has compared, which is the later one."""
        self.bars += other.bars
        self.orders += other.orders
        self.bookings += other.bookings
        self.events += other.events
        self.stops_at_once += other.stops_at_once
        self.next_ms = other.next_ms


class ApiTrader:
    """Trades one symbol over the API.

    Args:
        assembly: In lock-step.
        symbol: Which.
        trading: How the account trades.
    """

    def __init__(self, assembly: Assembly, symbol: str, trading: TradingConfig) -> None:
        venue = assembly.venue
        self._client = SignedClient(MemoryTransport(assembly.dispatcher), assembly.keys[0], venue.market_ms)
        self._symbol = symbol
        self._trading = trading
        self._terms = SymbolTerms.of(venue.exchange.quotes[symbol].contract)
        self._guarded = FLAT  # what the stops are of
        self.refusals: list[int] = []
        self._client.call("POST", "/fapi/v1/leverage", symbol=symbol, leverage=trading.leverage_of(symbol))
        if trading.margin_mode == "isolated":
            self._client.call("POST", "/fapi/v1/marginType", symbol=symbol, marginType="ISOLATED")

    def position(self) -> Position:
        """Return the position, as the exchange answers."""
        rows = cast("list[dict[str, str]]", self._client.call("GET", "/fapi/v3/positionRisk", symbol=self._symbol))
        for row in rows:
            if Decimal(row["positionAmt"]):
                return Position(Decimal(row["positionAmt"]), Decimal(row["entryPrice"]), Decimal(row["isolatedWallet"]))
        return FLAT

    def wallet_balance(self) -> Decimal:
        """Return the wallet, as the exchange answers."""
        (row,) = cast("list[dict[str, str]]", self._client.call("GET", "/fapi/v3/balance"))
        return Decimal(row["balance"])

    def income(self, since_ms: int, until_ms: int) -> Iterator[Booking]:
        """Yield everything that was booked in a time, the oldest first, without transfers."""
        for begin in range(since_ms, until_ms, DAY_MS):
            end = min(begin + DAY_MS, until_ms) - 1
            rows = cast(
                "list[dict[str, str]]",
                self._client.call("GET", "/fapi/v1/income", startTime=begin, endTime=end, limit=1000),
            )
            if len(rows) == 1000:  # noqa: PLR2004
                raise ConfigError(f"the day of {utc(begin)} has more bookings than one answer holds; trade less")
            for row in rows:
                if row["incomeType"] != "TRANSFER":
                    yield Booking(row["incomeType"], units(float(row["income"])))

    def trade(self, order: Order) -> int:
        """Send an order's legs and let the stops follow; return how many orders were sent."""
        self.refusals = []
        sent = 0
        for amount, is_reducing in ((order.reduce_amount, True), (order.open_amount, False)):
            if not amount:
                continue
            sent += 1
            if not self._send(decimal(amount), is_reducing=is_reducing):
                break
        if sent:
            self._guard()
        return sent

    def _send(self, amount: Decimal, *, is_reducing: bool) -> bool:
        try:
            self._client.call(
                "POST",
                "/fapi/v1/order",
                symbol=self._symbol,
                side="BUY" if amount > 0 else "SELL",
                type="MARKET",
                quantity=f"{abs(amount):f}",
                reduceOnly="true" if is_reducing else None,
            )
        except AnsweredError as error:
            self.refusals.append(error.code)
            return False
        return True

    def _guard(self) -> None:
        """Let the stops be those of the position that is held."""
        position, trading = self.position(), self._trading
        was, self._guarded = self._guarded, position
        if position.amount * was.amount > 0 and position.entry_price == was.entry_price:
            return
        self._client.call("DELETE", "/fapi/v1/algoOpenOrders", symbol=self._symbol)
        if not position.amount:
            return
        if trading.stop_loss is not None:
            level = stop_level(self._terms, position, decimal(trading.stop_loss))
            if not self._place_stop("STOP_MARKET", level, position):
                return
        if trading.take_profit is not None:
            level = take_profit_level(self._terms, position, decimal(trading.take_profit))
            self._place_stop("TAKE_PROFIT_MARKET", level, position)

    def _place_stop(self, kind: str, level: Decimal, position: Position) -> bool:
        try:
            self._client.call(
                "POST",
                "/fapi/v1/algoOrder",
                algoType="CONDITIONAL",
                symbol=self._symbol,
                side="SELL" if position.amount > 0 else "BUY",
                type=kind,
                triggerPrice=f"{level:f}",
                workingType="MARK_PRICE" if self._trading.stop_trigger == "mark" else "CONTRACT_PRICE",
                closePosition="true",
            )
        except AnsweredError as error:
            self.refusals.append(error.code)
            if error.code == _IMMEDIATELY:
                self._send(-position.amount, is_reducing=True)
            return False
        return True


def case_of(recording: Recording, trading: TradingConfig) -> Case:
    """Return a recording as the witnesses of the replay play it."""
    table, brackets = kernel_terms([recording.contract], trading)
    return Case(
        terms=recording.contract,
        trading=trading,
        slippage_scale=1.0,
        settings=kernel_settings(trading),
        kernel_terms=table,
        brackets=brackets,
        bars=recording.bars,
        fundings=recording.fundings,
    )


def check_parity(assembly: Assembly, recording: Recording, trading: TradingConfig, num_bars: int, seed: int) -> Report:
    """Play bars in the replay and on the exchange, with the same random targets.

    Args:
        assembly: In lock-step, at the open of the first bar, with the balance and slippage of the trading.
        recording: What it plays.
        trading: How the account trades; with market orders.
        num_bars: How many, at most; fewer where the recording or the account ends.
        seed: Of the targets.

    Raises:
        ParityError: At the first difference.
        ConfigError: If the trading has limit orders.
    """
    if trading.limit_distance is not None:
        raise ConfigError("parity over the API is of market orders; leave trading.limit_distance out")
    return _Comparison(assembly, recording, trading, seed).play(num_bars)


class _Comparison:
    def __init__(self, assembly: Assembly, recording: Recording, trading: TradingConfig, seed: int) -> None:
        self._venue = assembly.venue
        self._recording = recording
        self._case = case_of(recording, trading)
        self._kernel = Kernel(self._case)
        self._trader = ApiTrader(assembly, recording.symbol, trading)
        self._income = self._venue.trader(assembly.keys[0].account).income
        self._rng = np.random.default_rng(seed)
        self._target = 0.0
        self._report = Report()
        self._replayed: list[Booking] = []

    def play(self, num_bars: int) -> Report:
        first = int(np.searchsorted(self._recording.open_time, self._venue.market_ms()))
        since_ms = self._venue.market_ms()
        if first == 0:  # nothing closed that could be decided upon
            self._venue.to_next_open()
            first = 1
        for t in range(first, min(first + num_bars, len(self._recording.bars))):
            self._play_bar(t)
            if not self._venue.to_next_open() or self._is_ruined():
                break
        self._report.next_ms = self._venue.market_ms()
        answered = list(self._trader.income(since_ms, self._venue.market_ms()))
        _require_equal("GET /fapi/v1/income", self._replayed, answered[: len(self._replayed)])
        return self._report

    def _play_bar(self, t: int) -> None:
        order = self._decide(t - 1)
        played = self._kernel.play(order, t)
        self._report.orders += self._trader.trade(order)
        self._venue.advance(int(self._recording.open_time[t]) + self._recording.interval_ms - 1)
        self._compare(t, played)

    def _decide(self, t: int) -> Order:
        if self._rng.random() * HOLDING_BARS < 1.0:
            self._target = float(self._rng.choice(LEVELS))
        bar = self._recording.bars[t]
        return order_of(
            self._target,
            self._kernel.account,
            float(bar["close"]),
            float(bar["mark_close"]),
            self._case.terms.taker_fee,
            records(self._case.settings)[0],
            records(self._case.kernel_terms)[0],
        )

    def _compare(self, t: int, played: KernelBar) -> None:
        where = f"bar {t} of {utc(int(self._recording.open_time[t]))}"
        done = [Booking(_WORDS.get(kind, kind.value), amount) for kind, amount in played.lines]
        begin = len(self._replayed) + 1  # after the transfer
        booked = [Booking(line.type, units(float(line.amount))) for line in self._income[begin:]]
        if _IMMEDIATELY in self._trader.refusals:
            self._report.stops_at_once += 1
        _require_equal(f"bookings in {where}", done, booked)
        self._replayed += done
        refusals = [code for bit, code in _REFUSALS.items() if played.events & bit]
        _require_equal(
            f"refusals in {where}",
            refusals,
            [code for code in self._trader.refusals if code not in (_IMMEDIATELY, _GONE)],
        )
        account, position = played.account, self._trader.position()
        _require_equal(f"amount in {where}", decimal(account.position_amount), position.amount)
        if abs(decimal(account.entry_price) - position.entry_price) > ENTRY_PRICE_ERROR:
            _require_equal(f"entry price in {where}", account.entry_price, position.entry_price)
        wallet = self._trader.wallet_balance()
        _require_equal(f"wallet in {where}", units(account.wallet_balance), units(float(wallet)))
        self._report.bars += 1
        self._report.bookings.update(booking.kind for booking in done)
        self._report.events.update(name for bit, name in state.EVENT_NAMES.items() if played.events & bit)

    def _is_ruined(self) -> bool:
        """Return whether the account cannot carry the smallest order any more."""
        account, terms = self._kernel.account, self._case.terms
        return account.position_amount == 0.0 and account.wallet_balance < terms.min_notional


def _require_equal(what: str, replayed: object, traded: object) -> None:
    if replayed != traded:
        raise ParityError(f"{what} must be equal, the replay has {replayed} and the exchange {traded}")
