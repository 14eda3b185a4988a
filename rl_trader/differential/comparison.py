"""Compare what both witnesses booked in a bar, to the unit of 1e-8 USDT, and name the reason of every difference.

A product of binary fractions misses the exact one by some parts in 1e16. Where the exact amount lies so near to half a
unit that this decides the rounding, the witnesses may differ by one unit: ``HALF_UNIT``. What then depends on the
wallet may differ by that unit too: ``FOLLOWS``. The margin that is set aside for a position is rounded in the same
way: ``ISOLATED_MARGIN``; a unit of margin more or less may be liquidated for itself: ``COURSE``. Where a price on the
path meets a level but for binary fractions, one witness may see it reached and the other not: ``LEVEL``. Anything else
is unexplained.
"""

from collections import Counter
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from rl_trader.bars import MARK_OHLC
from rl_trader.differential.cases import Case
from rl_trader.differential.witnesses import Answers, Books, BooksBar, Kernel, KernelBar, decimal, units
from rl_trader.ledger import Account
from rl_trader.local_exchange.books.money import UNIT
from rl_trader.state import Order

HALF_UNIT: Final = "an amount within binary error of half a unit"
FOLLOWS: Final = "an amount that depends on one that differed"
ISOLATED_MARGIN: Final = "isolated margin within binary error of half a unit"
COURSE: Final = "a course that depends on an amount that differed"
LEVEL: Final = "a price on the path that meets a level within binary error"

BINARY_ERROR: Final = 1e-14  # of a notional: what a few products and sums of doubles may miss
ENTRY_ERROR: Final = 1e-12  # of a price, after many averages
HALF: Final = Decimal("0.5")


@dataclass(slots=True)
class Tally:
    """What was compared, and how it came out."""

    steps: int = 0
    bookings: Counter[str] = field(default_factory=Counter)  # by kind
    reasons: Counter[str] = field(default_factory=Counter)  # of differences by one unit
    events: Counter[str] = field(default_factory=Counter)  # bars in which an event happened
    unexplained: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add what another part of the run counted."""
        self.steps += other.steps
        self.bookings.update(other.bookings)
        self.reasons.update(other.reasons)
        self.events.update(other.events)
        self.unexplained += other.unexplained


class Comparison:
    """The bars of one case, compared one after the other."""

    def __init__(self, case: Case, kernel: Kernel, books: Books, tally: Tally, place: str) -> None:
        """Compare the witnesses of a case; ``place`` names it in what is unexplained."""
        self._case, self._kernel, self._books = case, kernel, books
        self._tally, self._place = tally, place

    def bar(self, before: Account, order: Order, played: KernelBar, booked: BooksBar, t: int) -> None:
        """Compare bar ``t``; where they differ the books go on from the kernel's account."""
        self._tally.steps += 1
        scale = self._notional(before, order, played.account, t)
        if played.events != booked.events or [kind for kind, _ in played.lines] != [line[0] for line in booked.lines]:
            self._differ_in_course(before, played, booked, scale, t)
            return
        has_differed = self._differs_in_lines(played, booked, scale, t)
        has_differed |= self._differs_in_position(played, t, has_differed)
        if has_differed:
            self._books.take_over(played.account)

    def answers(self, kernel: Answers, books: Answers, t: int) -> None:
        """Compare what both say of the account at the close of bar ``t``."""
        account = self._kernel.account
        mark = float(self._case.bars[t]["mark_close"])
        size = abs(account.wallet_balance) + abs(account.position_amount) * (account.entry_price + mark)
        for name, one, other in zip(Answers._fields, kernel, books, strict=True):
            scale = size
            if name == "liquidation_price" and account.position_amount != 0.0:
                scale = size / abs(account.position_amount)
            if abs(one - other) > ENTRY_ERROR * scale + 1e-12:
                self._unexplained(t, f"{name} {one!r} and {other!r}")

    def _differs_in_lines(self, played: KernelBar, booked: BooksBar, scale: float, t: int) -> bool:
        has_differed = False
        for (kind, amount), (_, other, exact) in zip(played.lines, booked.lines, strict=True):
            self._tally.bookings[kind.value] += 1
            if amount == other:
                continue
            if abs(amount - other) > 1:
                self._unexplained(t, f"{kind.value} {amount} and {exact} units")
            elif is_near_half(exact, scale):
                self._tally.reasons[HALF_UNIT] += 1
            elif has_differed:
                self._tally.reasons[FOLLOWS] += 1
            else:
                self._unexplained(t, f"{kind.value} {amount} and {exact} units at a notional of {scale:.2f}")
            has_differed = True
        return has_differed

    def _notional(self, before: Account, order: Order, after: Account, t: int) -> float:
        bar = self._case.bars[t]
        highest = max(float(bar["high"]), float(bar["mark_high"]), before.entry_price, after.entry_price)
        traded = abs(before.position_amount) + abs(order.open_amount) + abs(after.position_amount)
        return traded * highest + abs(before.wallet_balance)

    def _differs_in_position(self, played: KernelBar, t: int, has_differed: bool) -> bool:
        account, position = played.account, self._books.position
        if decimal(account.position_amount) != position.amount:
            self._unexplained(t, f"amount {account.position_amount} and {position.amount}")
            return True
        if abs(account.entry_price - float(position.entry_price)) > ENTRY_ERROR * account.entry_price:
            self._unexplained(t, f"entry price {account.entry_price!r} and {position.entry_price}")
            return True
        wallet = units(account.wallet_balance) - self._books.account.wallet_balance / UNIT
        if wallet != 0 and not has_differed:
            self._unexplained(t, f"wallet off by {wallet} units, though every booking is equal")
            return True
        isolated = units(account.isolated_wallet) - position.isolated_wallet / UNIT
        if isolated == 0 or has_differed:
            return False
        if abs(isolated) > len(played.lines):
            self._unexplained(t, f"isolated wallet off by {isolated} units")
        else:
            self._tally.reasons[ISOLATED_MARGIN] += 1
        return True

    def _differ_in_course(self, before: Account, played: KernelBar, booked: BooksBar, scale: float, t: int) -> None:
        """Name the reason why other things happened: the first line that differs, or a level that is met or not."""
        pairs = zip(played.lines, booked.lines, strict=False)
        first = next((exact for (_, amount), (_, other, exact) in pairs if amount != other), None)
        if first is not None and is_near_half(first, scale):
            self._tally.reasons[HALF_UNIT] += 1
            self._tally.reasons[COURSE] += 1
        elif self._meets_level(before, played, t):
            self._tally.reasons[LEVEL] += 1
        else:
            told = [(kind.value, amount) for kind, amount, _ in booked.lines]
            kernel = [(kind.value, amount) for kind, amount in played.lines]
            self._unexplained(t, f"events {played.events} and {booked.events}, lines {kernel} and {told}")
        self._books.take_over(played.account)

    def _meets_level(self, before: Account, played: KernelBar, t: int) -> bool:
        """Return whether a mark price of the bar is the liquidation price before or after it, but for binary error."""
        bar = self._case.bars[t]
        levels = []
        for account in (before, played.account):
            self._kernel.account = account
            levels.append(self._kernel.answers(float(bar["mark_close"])).liquidation_price)
        self._kernel.account = played.account
        prices = [float(bar[name]) for name in MARK_OHLC]
        return any(abs(level - price) <= ENTRY_ERROR * price for level in levels for price in prices)

    def _unexplained(self, t: int, what: str) -> None:
        self._tally.unexplained.append(f"{self._place} bar {t}: {what}")


def is_near_half(exact: Decimal, notional: float) -> bool:
    """Return whether binary error at a notional (USDT) may decide how an amount (units) is rounded."""
    distance = abs(abs(exact - exact.to_integral_value(ROUND_HALF_EVEN)) - HALF)
    return distance <= Decimal(notional * BINARY_ERROR) / UNIT
