"""What the trader knows, as far as it can be told from the events alone.

Prices in USDT per unit of the base asset, amounts in base asset and signed, money in USDT, times in milliseconds since
1970 UTC on the exchange's clock.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, NamedTuple

from rl_trader.live.core.caps import Caps
from rl_trader.live.core.events import BarClosed, FillSeen, IncomeSeen, SettingsSeen, SymbolSeen
from rl_trader.live.core.holding import bars_held_after
from rl_trader.live.core.intents import ZERO, Intent
from rl_trader.live.core.risk import Performance
from rl_trader.live.core.words import IntentState, Purpose, StopKind

DAY_MS: Final = 86_400_000
MINUTE_MS: Final = 60_000
MANY_FINISHED: Final = 500  # intents that are remembered after their end


@dataclass(frozen=True, slots=True, kw_only=True)
class Latched:
    """The trader enters no more."""

    kind: StopKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A person lets the trader enter again."""

    reason: str
    by: str


Change = Intent | FillSeen | IncomeSeen | Latched | Cleared
"""What a step has changed, for the journal's tables; an order stands as it stands then."""


class Lots(NamedTuple):
    """The grid of an order's amount, in base asset."""

    step_size: Decimal
    max_quantity: Decimal | None  # None is any

    def whole(self, amount: Decimal) -> Decimal:
        """Return an amount in whole steps, toward zero."""
        return amount - amount % self.step_size

    def slices(self, amount: Decimal) -> list[Decimal]:
        """Return an amount as orders that the exchange takes: whole steps, toward zero, none too large."""
        left, parts = self.whole(amount), list[Decimal]()
        largest = abs(left) if self.max_quantity is None else self.whole(self.max_quantity)
        while left and largest:
            parts.append(min(abs(left), largest).copy_sign(left))
            left -= parts[-1]
        return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How the trader trades; from the run's manifest, but for what only a deployment has."""

    symbol: str
    bar_ms: int
    tick_size: Decimal
    step_size: Decimal
    stop_loss: Decimal | None  # of the entry price
    take_profit: Decimal | None
    max_quantity: Decimal | None = None  # of a market order; None is any
    limit_step_size: Decimal | None = None  # of limit orders; None is that of market orders
    limit_max_quantity: Decimal | None = None  # of a limit order; None is any
    leverage: int | None = None  # that must be set; None is any
    margin_type: str | None = None  # that must be set, the exchange's word; None is any
    late_ms: int = 20_000  # after its close a bar is decided upon no more
    poll_ms: int = 15_000  # between two readings of the account
    settings_ms: int = 60_000  # between two looks at its settings, and at a symbol that does not trade
    symbol_ms: int = 3_600_000  # between two readings of the symbol's filters
    most_holds: int = 3  # decisions in a row without a usable action, before entries end
    most_refusals: int = 3  # entries in a row that the exchange refuses
    most_failures: int = 3  # readings of the account in a row, before nothing is decided


@dataclass(slots=True)
class Books:
    """The account: as the exchange says, and as it follows from every booking that was told."""

    wallet_balance: Decimal = ZERO
    amount: Decimal = ZERO
    entry_price: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    liquidation_price: Decimal = ZERO  # of this position, as the exchange says; 0 is none, or not told yet
    is_open: bool = False  # whether the ledger has begun
    opening_balance: Decimal = ZERO  # where it begins
    booked: Decimal = ZERO  # USDT since then
    filled: Decimal = ZERO  # base asset since then, with the position at its beginning
    last_trade_id: int = 0  # up to which every trade was read; what events tell of may have a gap before it
    income_since_ms: int = 0  # from when on income is in the ledger
    opened_ms: int = 0  # when the ledger began; what was booked before is in its opening balance
    told_ms: int = 0  # from when the newest is that is known of wallet and position
    trade_ids: set[int] = field(default_factory=set)  # of the ledger
    income_ids: set[tuple[str, int]] = field(default_factory=set)

    @property
    def ledger_balance(self) -> Decimal:
        """What the wallet must be."""
        return self.opening_balance + self.booked

    def equity(self, mark_price: Decimal) -> Decimal:
        """Return the wallet with the position's profit at a mark price."""
        return self.wallet_balance + self.amount * (mark_price - self.entry_price)

    def ledger_equity(self, mark_price: Decimal) -> Decimal:
        """Return what the wallet must be with the position's profit at a mark price."""
        return self.ledger_balance + self.amount * (mark_price - self.entry_price)


@dataclass(slots=True)
class State:
    """Everything."""

    conduct: Conduct
    epoch: int = 0
    tag: str = ""  # of the client ids of this start
    started_ms: int = 0
    caps: Caps | None = None  # the operator's, as of the newest start; without any nothing is entered
    instances: list[str] = field(default_factory=list)  # what the client ids of all starts by this journal begin with
    foreign: list[str] = field(default_factory=list)  # client ids of other instances, which nobody has looked at
    looked_at: list[str] = field(default_factory=list)  # those that a person has
    now_ms: int = 0
    is_reconciled: bool = False  # whether the account was read since the start, or since something was lost
    is_reading: bool = False  # whether the account is being read
    consistent_ms: int = 0  # of the newest reading that is what the bookings sum to
    num_failures: int = 0  # readings of the account in a row that have failed
    reads_again: bool = False  # whether it is to be read once more then
    num_told: int = 0  # events of the account, which make a reading old that has begun before
    untold: dict[int, int] = field(default_factory=dict)  # trades that a reading told first, and when they were
    books: Books = field(default_factory=Books)
    intents: dict[str, Intent] = field(default_factory=dict)  # by client id
    strangers: dict[int, tuple[int, Decimal]] = field(default_factory=dict)  # by order number: when it traded, and what
    tombstones: dict[str, int] = field(default_factory=dict)  # by client id: from when on it counts as never accepted
    suspended_ms: int = 0  # when the process has stood still last
    waiting: list[Intent] = field(default_factory=list)  # legs that go when the one before is filled
    guarded: tuple[int, Decimal] | None = None  # side and entry price that the stops are of
    stop_id: str | None = None
    take_profit_id: str | None = None
    num_guards: int = 0  # stops that were placed, for their client ids
    num_unguarded: int = 0  # protective orders in a row that were refused
    guard_after_ms: int = 0  # before which none is tried again
    bare_since_ms: int | None = None  # since when the position has no stop that the exchange is known to have
    is_market_alive: bool = False
    mark_price: Decimal = ZERO
    last_price: Decimal = ZERO  # at the newest close
    fundings: dict[int, Decimal] = field(default_factory=dict)  # USDT, by minute since 1970; of the newest bars
    held_bar: BarClosed | None = None  # is decided upon once what rests is known to be over
    all_cancelled_ms: int = 0  # when the exchange has cancelled every ordinary order last
    has_countdown: bool = False  # whether the exchange is to cancel what rests if it hears no more
    deciding_ms: int | None = None  # bar that the policy is asked about
    decided_ms: int = 0  # newest bar that is decided upon, or skipped
    memory: str = ""  # of the policy, after its newest decision
    remembered_ms: int = 0  # bar of that decision
    bars_held: int = 0  # since the position was opened, at the newest close
    amount_at_close: Decimal = ZERO  # position at the newest close
    armed_until_ms: int | None = None  # when entries end; None needs no arming, as no money is at stake
    settings: SettingsSeen | None = None  # of the account, as they were told last
    symbol: SymbolSeen | None = None  # its status and filters
    revised: dict[int, int] = field(default_factory=dict)  # by open time: when a bar was told with other numbers
    banned_until_ms: int = 0  # the exchange answers nothing before
    stop_kind: StopKind | None = None
    stop_reason: str = ""
    holds: int = 0
    refusals: int = 0
    differs_since_ms: int | None = None  # since when readings of the account are explained by nothing
    order_times: list[int] = field(default_factory=list)  # of the last day
    changes: list[Change] = field(default_factory=list)  # of the step that is being taken, in their order
    mark_ms: int = 0  # of when the mark price is
    day: int = 0  # since 1970, UTC, of what is traded today
    traded_today: Decimal = ZERO  # notional, USDT, on that day
    lost_day: int = -1  # since 1970, UTC, on which the loss was as large as it may be
    transferred: Decimal = ZERO  # USDT, deposits less withdrawals
    performance: Performance = field(default_factory=Performance)

    # Orders

    def unknown(self) -> list[Intent]:
        """Return the orders of which nobody knows whether the exchange has them."""
        return [intent for intent in self.intents.values() if intent.state is IntentState.UNKNOWN]

    def working(self) -> list[Intent]:
        """Return what may still trade, but for the orders that rest as protection."""
        return [i for i in self.intents.values() if not i.state.is_over and not i.purpose.is_conditional]

    def keep(self, intent: Intent) -> None:
        """Keep an order as it stands now."""
        if not intent.planned_ms:
            intent = replace(intent, planned_ms=self.now_ms)
        self.changes.append(intent)
        self.intents[intent.client_id] = intent
        if len(self.intents) > 2 * MANY_FINISHED:
            finished = [key for key, kept in self.intents.items() if kept.state.is_over]
            for key in finished[:-MANY_FINISHED]:
                del self.intents[key]

    def next_guard(self) -> int:
        """Return the number of the next protective order."""
        self.num_guards += 1
        return self.num_guards

    @property
    def worst_case_amount(self) -> Decimal:
        """The largest position that can come of what is sent and not known to be over, not negative."""
        adding = sum((abs(i.amount) - i.executed for i in self.working() if i.purpose is Purpose.ENTRY), ZERO)
        return abs(self.books.amount) + adding

    # The symbol

    @property
    def tick_size(self) -> Decimal:
        """On what grid prices lie."""
        size: Decimal = self._today("tick_size")
        return size

    def _today(self, name: str) -> Any:  # noqa: ANN401 - of the field of that name
        """Return a filter as the exchange has told it, or as it was in training."""
        told = None if self.symbol is None else getattr(self.symbol, name)
        return getattr(self.conduct, name) if told is None else told

    def lots(self, limit_price: Decimal | None) -> Lots:
        """Return the grid of the amounts of market orders, or where there is a limit price of limit orders."""
        if limit_price is None:
            return Lots(self._today("step_size"), self._today("max_quantity"))
        return Lots(self._today("limit_step_size") or self._today("step_size"), self._today("limit_max_quantity"))

    def on_tick(self, price: Decimal, amount: Decimal) -> Decimal:
        """Return the price of a limit order on whole ticks, away from the market."""
        over = price % self.tick_size
        return price - over if amount > 0 or not over else price - over + self.tick_size

    # Risk

    def latch(self, kind: StopKind, reason: str) -> None:
        """Enter no more."""
        self.stop_kind, self.stop_reason = kind, reason
        self.changes.append(Latched(kind=kind, reason=reason))
        self.waiting.clear()

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is entered any more."""
        return self.stop_kind is not None

    @property
    def turnover(self) -> Decimal:
        """Notional in USDT that was traded since 00:00 UTC."""
        return self.traded_today if self.now_ms // DAY_MS == self.day else ZERO

    @property
    def is_day_lost(self) -> bool:
        """Whether today's loss has been as large as it may be."""
        return self.now_ms // DAY_MS == self.lost_day

    def note_funding(self, t_ms: int, amount: Decimal) -> None:
        """Note a settlement; it may be told before the bar that ended just before it."""
        oldest = self.decided_ms // MINUTE_MS
        self.fundings = {minute: paid for minute, paid in self.fundings.items() if minute > oldest}
        self.fundings[t_ms // MINUTE_MS] = amount

    def wallets_at(self, close_ms: int) -> tuple[Decimal, Decimal]:
        """Return wallet and isolated wallet at a bar's end, before the funding that is settled there."""
        paid = sum((paid for minute, paid in self.fundings.items() if minute * MINUTE_MS >= close_ms), ZERO)
        books = self.books
        return books.wallet_balance - paid, books.isolated_wallet - paid if books.isolated_wallet else ZERO

    def memory_at(self, open_ms: int) -> str:
        """Return what the policy remembers at a bar: nothing where it has not decided upon the bar before.

        In training and in a back-test its memory begins anew after a hole, too.
        """
        return self.memory if open_ms == self.remembered_ms + self.conduct.bar_ms else ""

    def note_close(self) -> None:
        """Count the bars for which the position has been held, at a bar's close, as training does."""
        self.bars_held = bars_held_after(self.bars_held, self.amount_at_close, self.books.amount)
        self.amount_at_close = self.books.amount

    def note_equity(self) -> None:
        """Let the day and the peak follow the equity at the present mark price.

        It is the ledger's, which knows what is profit and what was moved in or out; a wallet may be told before its
        bookings. While the trades of a position are not all told, it stays what it was.
        """
        if not self.mark_price or not self.is_reconciled or self.books.filled != self.books.amount:
            return
        equity = self.books.ledger_equity(self.mark_price)
        self.performance = self.performance.noted(self.now_ms, equity, self.transferred)
