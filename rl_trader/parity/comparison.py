"""The replay and the exchange side by side, bar by bar.

A product of binary fractions misses the exact one by some parts in 1e16. Where the exact amount lies so near to half a
unit of 1e-8 USDT that this decides its rounding, the replay may book one unit more or less than the exchange; it is
counted, and the replay goes on from the exchange's account. Any other difference is an error.
"""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np

from rl_trader import state
from rl_trader.config import TradingConfig
from rl_trader.decision import order_of
from rl_trader.differential.cases import Case
from rl_trader.differential.comparison import is_near_half
from rl_trader.differential.witnesses import Kernel, KernelBar, decimal, units
from rl_trader.errors import ConfigError, RlTraderError
from rl_trader.kernels import records
from rl_trader.klines import utc
from rl_trader.ledger import Account
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.books.income import IncomeKind
from rl_trader.local_exchange.books.money import UNIT
from rl_trader.local_exchange.books.positions import Position
from rl_trader.local_exchange.engine.orders import Income
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.parity.api_trader import IMMEDIATELY, ApiTrader, Booking
from rl_trader.state import Order
from rl_trader.trading import kernel_settings, kernel_terms

LEVELS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of the target positions that are drawn
ENTRY_PRICE_ERROR: Final = Decimal("1E-8")  # of an average, which is answered with 8 decimals
ASKED_EVERY_MS: Final = 86_400_000  # between two questions for the income of the time since

_INSURANCE_CLEAR: Final = "INSURANCE_CLEAR"
_WORDS: Final = {IncomeKind.LIQUIDATION_FEE: _INSURANCE_CLEAR, IncomeKind.INSURANCE: _INSURANCE_CLEAR}
_REFUSALS: Final = {  # the replay's bits, and the exchange's codes
    state.REFUSED_NO_TRADES: -2020,
    state.REFUSED_PRICE: -4131,
    state.REFUSED_NOTIONAL: -4164,
    state.REFUSED_BRACKET: -2027,
    state.REFUSED_MARGIN: -2019,
}
_GONE: Final = -2022  # nothing to reduce: liquidated at the open, before the order


class ParityError(RlTraderError):
    """The replay and the exchange differ."""


class Decisions(NamedTuple):
    """Random targets."""

    seed: int
    holding_bars: float  # how long one is held, in the mean


@dataclass(slots=True)
class Report:
    """What was compared, and equal."""

    bars: int = 0
    orders: int = 0
    bookings: Counter[str] = field(default_factory=Counter)  # by kind
    events: Counter[str] = field(default_factory=Counter)  # bars in which the replay had each
    near_halves: int = 0  # bookings and margins that differ by a unit, within binary error of half a unit
    stops_at_once: int = 0  # bars in which a stop was met before it could be placed; the client closed instead
    next_ms: int = 0  # open time of the bar after the last

    def add(self, other: "Report") -> None:
        """Count what another episode has compared, which is the later one."""
        self.bars += other.bars
        self.orders += other.orders
        self.bookings += other.bookings
        self.events += other.events
        self.near_halves += other.near_halves
        self.stops_at_once += other.stops_at_once
        self.next_ms = other.next_ms


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


def check_parity(
    assembly: Assembly, recording: Recording, trading: TradingConfig, num_bars: int, decisions: Decisions
) -> Report:
    """Play bars in the replay and on the exchange, with the same random targets.

    Args:
        assembly: In lock-step, at the open of the first bar, with the balance and slippage of the trading.
        recording: What it plays.
        trading: How the account trades; with market orders.
        num_bars: How many, at most; fewer where the recording or the account ends.
        decisions: What is decided.

    Raises:
        ParityError: At the first difference.
        ConfigError: If the trading has limit orders.
    """
    if trading.limit_distance is not None:
        raise ConfigError("parity over the API is of market orders; leave trading.limit_distance out")
    return _Comparison(assembly, recording, trading, decisions).play(num_bars)


class _Comparison:
    def __init__(self, assembly: Assembly, recording: Recording, trading: TradingConfig, decisions: Decisions) -> None:
        self._venue = assembly.venue
        self._recording = recording
        self._case = case_of(recording, trading)
        self._kernel = Kernel(self._case)
        self._trader = ApiTrader(assembly, recording.symbol, trading)
        self._income = self._venue.trader(assembly.keys[0].account).income
        self._rng = np.random.default_rng(decisions.seed)
        self._holding_bars = decisions.holding_bars
        self._target = 0.0
        self._report = Report()
        self._num_compared = len(self._income)  # transfers
        self._num_answered = self._num_compared
        self._asked_ms = self._venue.market_ms()

    def play(self, num_bars: int) -> Report:
        first = int(np.searchsorted(self._recording.open_time, self._venue.market_ms()))
        if first == 0:  # nothing closed that could be decided upon
            self._venue.to_next_open()
            first = 1
        for t in range(first, min(first + num_bars, len(self._recording.bars))):
            self._play_bar(t)
            if not self._venue.to_next_open() or self._is_ruined():
                break
        self._ask_for_income()
        self._report.next_ms = self._venue.market_ms()
        return self._report

    def _play_bar(self, t: int) -> None:
        order = self._decide(t - 1)
        before = self._kernel.account
        played = self._kernel.play(order, t)
        self._report.orders += self._trader.trade(order)
        self._venue.advance(int(self._recording.open_time[t]) + self._recording.interval_ms - 1)
        self._compare(t, before, played)
        if self._venue.market_ms() - self._asked_ms >= ASKED_EVERY_MS:
            self._ask_for_income()

    def _decide(self, t: int) -> Order:
        if self._rng.random() * self._holding_bars < 1.0:
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

    def _compare(self, t: int, before: Account, played: KernelBar) -> None:
        where = f"bar {t} of {utc(int(self._recording.open_time[t]))}"
        booked = self._income[self._num_compared :]
        self._num_compared += len(booked)
        has_differed = self._differ_in_bookings(where, self._notional(t, before, played.account), played, booked)
        refusals = [code for bit, code in _REFUSALS.items() if played.events & bit]
        answered = [code for code in self._trader.refusals if code not in (IMMEDIATELY, _GONE)]
        _require_equal(f"refusals in {where}", refusals, answered)
        self._compare_account(where, played.account, has_differed)
        self._report.bars += 1
        self._report.stops_at_once += IMMEDIATELY in self._trader.refusals
        self._report.bookings.update(line.type for line in booked)
        self._report.events.update(name for bit, name in state.EVENT_NAMES.items() if played.events & bit)

    def _differ_in_bookings(self, where: str, notional: float, played: KernelBar, booked: list[Income]) -> bool:
        """Compare line by line, and return whether one differs by a unit that binary error explains."""
        kinds = [_WORDS.get(kind, kind.value) for kind, _ in played.lines]
        _require_equal(f"kinds of bookings in {where}", kinds, [line.type for line in booked])
        has_differed = False
        for (_, amount), line in zip(played.lines, booked, strict=True):
            other = units(float(line.amount))
            is_explained = is_near_half(line.before_rounding / UNIT, notional) or has_differed
            if amount != other and abs(amount - other) == 1 and is_explained:
                self._report.near_halves += 1
                has_differed = True
            else:
                _require_equal(f"{line.type} in {where}", amount, other)
        return has_differed

    def _notional(self, t: int, before: Account, after: Account) -> float:
        bar = self._recording.bars[t]
        highest = max(float(bar["high"]), float(bar["mark_high"]), before.entry_price, after.entry_price)
        return 2 * (abs(before.position_amount) + abs(after.position_amount)) * highest + before.wallet_balance

    def _compare_account(self, where: str, account: Account, has_differed: bool) -> None:
        position, wallet = self._trader.position(), self._trader.wallet_balance()
        _require_equal(f"amount in {where}", decimal(account.position_amount), position.amount)
        if abs(decimal(account.entry_price) - position.entry_price) > ENTRY_PRICE_ERROR:
            _require_equal(f"entry price in {where}", account.entry_price, position.entry_price)
        if not has_differed:
            _require_equal(f"wallet in {where}", units(account.wallet_balance), units(float(wallet)))
        margin, other = units(account.isolated_wallet), units(float(position.isolated_wallet))
        if abs(margin - other) == 1 and not has_differed:  # rounded like a booking
            self._report.near_halves += 1
        elif not has_differed:
            _require_equal(f"isolated wallet in {where}", margin, other)
        if margin != other or has_differed:
            self._go_on_from(account, position, wallet)

    def _go_on_from(self, account: Account, position: Position, wallet: Decimal) -> None:
        self._kernel.account = Account(
            float(wallet), account.position_amount, account.entry_price, float(position.isolated_wallet)
        )

    def _ask_for_income(self) -> None:
        """Compare what the exchange answers with what was booked since the last question."""
        now = self._venue.market_ms()
        answered = self._trader.income(self._asked_ms, now)
        lines = self._income[self._num_answered : self._num_answered + len(answered)]
        booked = [Booking(line.type, units(float(line.amount))) for line in lines]
        _require_equal(f"income answered at {utc(now)}", booked, answered)
        self._num_answered += len(answered)
        self._asked_ms = now

    def _is_ruined(self) -> bool:
        """Return whether the account cannot carry the smallest order any more."""
        account, terms = self._kernel.account, self._case.terms
        return account.position_amount == 0.0 and account.wallet_balance < terms.min_notional


def _require_equal(what: str, replayed: object, traded: object) -> None:
    """Raise the error that says what differs; of lists the first difference."""
    if replayed == traded:
        return
    if isinstance(replayed, list) and isinstance(traded, list) and len(replayed) == len(traded):
        replayed, traded = next(pair for pair in zip(replayed, traded, strict=True) if pair[0] != pair[1])
    raise ParityError(f"{what} must be equal, the replay has {replayed} and the exchange {traded}")
