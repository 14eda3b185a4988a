"""A bar that both sides have played: bookings, refusals and account must be equal.

A product of binary fractions misses the exact one by some parts in 1e16. Where the exact amount lies so near to half a
unit of 1e-8 USDT that this decides its rounding, the replay may book one unit more or less than the exchange; it is
counted, and the replay goes on from the exchange's account. Any other difference is an error.
"""

from collections import Counter
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Final

from rl_trader import state
from rl_trader.differential.comparison import is_near_half
from rl_trader.differential.witnesses import KernelBar, decimal, units
from rl_trader.errors import RlTraderError
from rl_trader.klines import utc
from rl_trader.ledger import Account
from rl_trader.local_exchange.assembly import Assembly
from rl_trader.local_exchange.books.income import IncomeKind
from rl_trader.local_exchange.books.money import UNIT
from rl_trader.local_exchange.engine.orders import Income
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.parity.api_trader import IMMEDIATELY, ApiTrader, Booking

ENTRY_PRICE_ERROR: Final = Decimal("1E-8")  # of an average, which is answered with 8 decimals
ASKED_EVERY_MS: Final = 86_400_000  # between two questions for the income of the time since

_INSURANCE_CLEAR: Final = "INSURANCE_CLEAR"
_WORDS: Final = {IncomeKind.LIQUIDATION_FEE: _INSURANCE_CLEAR, IncomeKind.INSURANCE: _INSURANCE_CLEAR}
_REFUSALS: Final = {  # the replay's bits, and the exchange's codes
    state.REFUSED_NO_TRADES: -2020,
    state.REFUSED_PRICE: -4131,
    state.REFUSED_POST_ONLY: -5022,
    state.REFUSED_NOTIONAL: -4164,
    state.REFUSED_BRACKET: -2027,
    state.REFUSED_MARGIN: -2019,
}
_LIMIT_PRICES: Final = (-4002, -4013, -4016, -4024)  # refusals of a limit order's price
_GONE: Final = -2022  # nothing to reduce: liquidated at the open, before the order


class ParityError(RlTraderError):
    """The replay and the exchange differ."""


@dataclass(slots=True)
class Report:
    """What was compared, and equal."""

    bars: int = 0
    observations: int = 0  # of a run's policy, equal in every byte
    targets: Counter[str] = field(default_factory=Counter)  # long, short or flat: what a run's policy wanted
    orders: int = 0
    bookings: Counter[str] = field(default_factory=Counter)  # by kind
    events: Counter[str] = field(default_factory=Counter)  # bars in which the replay had each
    near_halves: int = 0  # bookings and margins that differ by a unit, within binary error of half a unit
    stops_at_once: int = 0  # bars in which a stop was met before it could be placed; the client closed instead
    raced: int = 0  # bars in which a resting order was filled and a stop met, and the exchange's account was taken over
    next_ms: int = 0  # open time of the bar after the last

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        counts = {name: dict(sorted(value.items())) for name, value in values.items() if isinstance(value, Counter)}
        return values | counts

    def add(self, other: "Report") -> None:
        """Count what another episode has compared, which is the later one."""
        self.bars += other.bars
        self.observations += other.observations
        self.targets += other.targets
        self.orders += other.orders
        self.bookings += other.bookings
        self.events += other.events
        self.near_halves += other.near_halves
        self.stops_at_once += other.stops_at_once
        self.raced += other.raced
        self.next_ms = other.next_ms


class BarComparison:
    """Compares the bars of one episode.

    Args:
        assembly: In lock-step.
        recording: What it plays.
        trader: Who trades over the API.
    """

    def __init__(self, assembly: Assembly, recording: Recording, trader: ApiTrader) -> None:
        self.report = Report()
        self._venue = assembly.venue
        self._recording = recording
        self._trader = trader
        self._income = self._venue.trader(assembly.keys[0].account).income
        self._num_compared = len(self._income)  # transfers
        self._num_answered = self._num_compared
        self._asked_ms = self._venue.market_ms()

    def compare(self, t: int, before: Account, played: KernelBar) -> Account | None:
        """Compare what a bar booked, refused and left; once a day also what the exchange answers about its income.

        Args:
            t: Row of the bar.
            before: The replay's account before it.
            played: What the replay did in it.

        Returns:
            The account from which the replay has to go on, where a rounding differs that binary error explains.

        Raises:
            ParityError: At any other difference.
        """
        where = f"bar {t} of {utc(int(self._recording.open_time[t]))}"
        booked = self._income[self._num_compared :]
        self._num_compared += len(booked)
        has_differed = self._differ_in_bookings(where, self._notional(t, before, played.account), played, booked)
        refusals = [code for bit, code in _REFUSALS.items() if played.events & bit]
        answered = [code for code in self._trader.refusals if code not in (IMMEDIATELY, _GONE)]
        require_equal(f"refusals in {where}", refusals, [-4131 if code in _LIMIT_PRICES else code for code in answered])
        corrected = self._compare_account(where, played.account, has_differed)
        self.report.bars += 1
        self.report.stops_at_once += IMMEDIATELY in self._trader.refusals
        self.report.bookings.update(line.type for line in booked)
        self.report.events.update(name for bit, name in state.EVENT_NAMES.items() if played.events & bit)
        if self._venue.market_ms() - self._asked_ms >= ASKED_EVERY_MS:
            self.ask_for_income()
        return corrected

    def take_over(self) -> Account:
        """Take the exchange's account over after a bar in which a resting order was filled and a stop was met.

        The replay has the stops of a new position at once. A client has them once it hears of the fill, here at the
        next corner of the path.
        """
        booked = self._income[self._num_compared :]
        self._num_compared += len(booked)
        self.report.bars += 1
        self.report.raced += 1
        position, wallet = self._trader.position(), self._trader.wallet_balance()
        amount, entry, margin = map(float, (position.amount, position.entry_price, position.isolated_wallet))
        return Account(float(wallet), amount, entry, margin)

    def _differ_in_bookings(self, where: str, notional: float, played: KernelBar, booked: list[Income]) -> bool:
        """Compare line by line, and return whether one differs by a unit that binary error explains."""
        kinds = [_WORDS.get(kind, kind.value) for kind, _ in played.lines]
        require_equal(f"kinds of bookings in {where}", kinds, [line.type for line in booked])
        has_differed = False
        for (_, amount), line in zip(played.lines, booked, strict=True):
            other = units(float(line.amount))
            is_explained = is_near_half(line.before_rounding / UNIT, notional) or has_differed
            if amount != other and abs(amount - other) == 1 and is_explained:
                self.report.near_halves += 1
                has_differed = True
            else:
                require_equal(f"{line.type} in {where}", amount, other)
        return has_differed

    def _notional(self, t: int, before: Account, after: Account) -> float:
        bar = self._recording.bars[t]
        highest = max(float(bar["high"]), float(bar["mark_high"]), before.entry_price, after.entry_price)
        return 2 * (abs(before.position_amount) + abs(after.position_amount)) * highest + before.wallet_balance

    def _compare_account(self, where: str, account: Account, has_differed: bool) -> Account | None:
        position, wallet = self._trader.position(), self._trader.wallet_balance()
        require_equal(f"amount in {where}", decimal(account.position_amount), position.amount)
        if abs(decimal(account.entry_price) - position.entry_price) > ENTRY_PRICE_ERROR:
            require_equal(f"entry price in {where}", account.entry_price, position.entry_price)
        if not has_differed:
            require_equal(f"wallet in {where}", units(account.wallet_balance), units(float(wallet)))
        margin, other = units(account.isolated_wallet), units(float(position.isolated_wallet))
        if abs(margin - other) == 1 and not has_differed:  # rounded like a booking
            self.report.near_halves += 1
        elif not has_differed:
            require_equal(f"isolated wallet in {where}", margin, other)
        if margin == other and not has_differed:
            return None
        return Account(float(wallet), account.position_amount, account.entry_price, float(position.isolated_wallet))

    def ask_for_income(self) -> None:
        """Compare what the exchange answers with what was booked since the last question.

        Raises:
            ParityError: At a difference.
        """
        now = self._venue.market_ms()
        if now == self._asked_ms:
            return
        answered = self._trader.income(self._asked_ms, now)
        lines = self._income[self._num_answered : self._num_answered + len(answered)]
        booked = [Booking(line.type, units(float(line.amount))) for line in lines]
        require_equal(f"income answered at {utc(now)}", booked, answered)
        self._num_answered += len(answered)
        self._asked_ms = now


def require_equal(what: str, replayed: object, traded: object) -> None:
    """Raise the error that says what differs; of lists the first difference.

    Raises:
        ParityError: If the two differ.
    """
    if replayed == traded:
        return
    if isinstance(replayed, list) and isinstance(traded, list) and len(replayed) == len(traded):
        replayed, traded = next(pair for pair in zip(replayed, traded, strict=True) if pair[0] != pair[1])
    raise ParityError(f"{what} must be equal, the replay has {replayed} and the exchange {traded}")
