"""The risk gate: the last word before an order is journalled. It may only refuse.

It knows no clock and keeps nothing: what it looks at is given, and is derived from the journal's ledger, so that a
restart forgets no loss. The caps are the operator's, in a file of theirs; no configuration of a policy can raise one.

An order that can only reduce goes in any case, but while the exchange has banned the address, and if the exchange would
not take its numbers. Whatever else may make a position larger is an entry, and every rule is asked about it.

Prices in USDT per unit of the base asset, amounts in base asset and signed, money in USDT, times in milliseconds since
1970 UTC on the exchange's clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from rl_trader.bars import MS_PER_DAY
from rl_trader.contract_terms import ContractTerms
from rl_trader.klines import MS_PER_MINUTE, utc
from rl_trader.live.core.caps import Caps
from rl_trader.live.core.words import StopKind

ZERO: Final = Decimal(0)


class Rule(StrEnum):
    """Why an order is refused."""

    BANNED = "BANNED"  # the exchange answers nothing
    NOT_QUANTISED = "NOT_QUANTISED"  # not finite, or off the grid or the range of the symbol's filters
    STOPPED = "STOPPED"  # HALT or KILL
    NOT_ARMED = "NOT_ARMED"
    NOT_ALLOWED = "NOT_ALLOWED"  # the symbol
    NOT_A_NUMBER = "NOT_A_NUMBER"  # something that the gate looks at
    STALE = "STALE"  # the mark price
    UNKNOWN_ORDER = "UNKNOWN_ORDER"  # nobody knows whether the exchange has it
    MIN_NOTIONAL = "MIN_NOTIONAL"  # the exchange takes no order that is so small, unless it can only reduce
    ORDER_NOTIONAL = "ORDER_NOTIONAL"
    POSITION_NOTIONAL = "POSITION_NOTIONAL"
    LEVERAGE = "LEVERAGE"
    PRICE_BAND = "PRICE_BAND"
    ORDERS_PER_MINUTE = "ORDERS_PER_MINUTE"
    ORDERS_PER_DAY = "ORDERS_PER_DAY"
    TURNOVER = "TURNOVER"
    DAILY_LOSS = "DAILY_LOSS"
    DRAWDOWN = "DRAWDOWN"
    LIQUIDATION_DISTANCE = "LIQUIDATION_DISTANCE"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order must not go."""

    rule: Rule
    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskOrder:
    """An order that is about to be journalled."""

    symbol: str
    amount: Decimal
    is_reduce_only: bool
    price: Decimal | None = None  # limit; None is a market order


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Profit of the day and of all time, folded from the ledger; transfers are neither."""

    day: int = -1  # since 1970, UTC
    day_opening_equity: Decimal = ZERO
    day_pnl: Decimal = ZERO  # since then, unrealised profit included
    peak_equity: Decimal = ZERO  # moved along with every transfer
    equity: Decimal = ZERO
    transferred: Decimal = ZERO

    def noted(self, now_ms: int, equity: Decimal, transferred: Decimal) -> "Performance":
        """Return it further on.

        Args:
            now_ms: When.
            equity: Wallet with unrealised profit.
            transferred: Deposits less withdrawals since the ledger's beginning.
        """
        if self.day < 0:  # the ledger begins
            return Performance(
                day=now_ms // MS_PER_DAY,
                day_opening_equity=equity,
                peak_equity=equity,
                equity=equity,
                transferred=transferred,
            )
        moved = transferred - self.transferred
        gained = equity - self.equity - moved
        day, opening, pnl = self.day, self.day_opening_equity, self.day_pnl
        if now_ms // MS_PER_DAY > day:  # a gap between two looks belongs to the new day
            day, opening, pnl = now_ms // MS_PER_DAY, self.equity + moved, ZERO
        return Performance(
            day=day,
            day_opening_equity=opening,
            day_pnl=pnl + gained,
            peak_equity=max(self.peak_equity + moved, equity),
            equity=equity,
            transferred=transferred,
        )

    @property
    def drawdown(self) -> Decimal:
        """Fraction of the peak that is lost; 1 where nothing is left of it."""
        if self.peak_equity <= 0:
            return Decimal(1)
        return (self.peak_equity - self.equity) / self.peak_equity


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskView:
    """What the gate looks at."""

    now_ms: int
    terms: ContractTerms  # of the symbol, as they are today
    stop: StopKind | None  # latched
    armed_until_ms: int | None  # None needs no arming: no money is at stake
    banned_until_ms: int  # by the exchange; 0 is not
    mark_price: Decimal  # at which amounts are valued, as in training
    mark_ms: int  # of when the mark price is
    last_price: Decimal  # near which a market order fills
    amount: Decimal  # position
    entries: tuple[Decimal, ...]  # what may still come of every entry that is resting, on its way or unknown
    has_unknown_order: bool
    order_times: tuple[int, ...]  # of the orders of the last 24 hours
    traded_today: Decimal  # notional, since 00:00 UTC
    performance: Performance
    liquidation_price: Decimal  # of the position; 0 is none
    is_day_lost: bool = False  # whether today's loss has been as large as it may be, whatever it is now


_Check = Callable[[Caps, RiskOrder, RiskView], str | None]


class RiskGate:
    """Refuses orders.

    Args:
        caps: The operator's.
    """

    def __init__(self, caps: Caps) -> None:
        self.caps = caps

    def refusal(self, order: RiskOrder, view: RiskView) -> Refusal | None:
        """Return why an order must not go, by the first rule that it breaks; None lets it go."""
        for rule, check in _ALWAYS if order.is_reduce_only else _ENTRIES:
            reason = check(self.caps, order, view)
            if reason is not None:
                return Refusal(rule, reason)
        return None


def _banned(_caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    if view.now_ms < view.banned_until_ms:
        return f"the exchange has banned this address until {utc(view.banned_until_ms)}"
    return None


def _not_quantised(_caps: Caps, order: RiskOrder, view: RiskView) -> str | None:
    terms, amount, price = view.terms, order.amount, order.price
    step, least, most = (
        (terms.step_size, terms.min_quantity, terms.max_quantity)
        if price is None
        else (terms.limit_step_size, terms.limit_min_quantity, terms.limit_max_quantity)
    )
    if not amount.is_finite() or not least <= abs(amount) <= most or amount % step != 0:
        return f"an amount must be whole steps of {step} from {least} to {most}, was {amount}"
    if price is None:
        return None
    is_in_range = price.is_finite() and terms.min_price <= price <= terms.max_price
    if not is_in_range or (price - terms.min_price) % terms.tick_size != 0:
        return f"a price must be whole ticks of {terms.tick_size} above {terms.min_price}, was {price}"
    return None


def _stopped(_caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    return None if view.stop is None else f"{view.stop}: nothing is entered until a person clears it"


def _not_armed(_caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    if view.armed_until_ms is not None and view.now_ms > view.armed_until_ms:
        return f"the trader was armed until {utc(view.armed_until_ms)}"
    return None


def _not_allowed(caps: Caps, order: RiskOrder, view: RiskView) -> str | None:
    if order.symbol not in caps.symbols or order.symbol != view.terms.symbol:
        return f"{order.symbol} is not among the symbols of the caps, {', '.join(caps.symbols)}"
    return None


def _not_a_number(_caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    done = view.performance
    seen = {
        "position": view.amount,
        "entries": sum(view.entries, ZERO),
        "turnover": view.traded_today,
        "liquidation price": view.liquidation_price,
        "equity": done.equity,
        "day's opening equity": done.day_opening_equity,
        "day's profit": done.day_pnl,
        "peak equity": done.peak_equity,
    }
    strange = [f"{name} {value}" for name, value in seen.items() if not value.is_finite()]
    return f"all that is known of the account must be finite, found {strange[0]}" if strange else None


def _stale(caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    if not (_is_price(view.mark_price) and _is_price(view.last_price)):
        return f"prices must be positive numbers, the mark price is {view.mark_price} and the last {view.last_price}"
    age_ms = view.now_ms - view.mark_ms
    if abs(age_ms) > caps.max_mark_age_ms:
        return f"the mark price is {age_ms} ms old, and {caps.max_mark_age_ms} ms are allowed"
    return None


def _unknown_order(_caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    return "nobody knows whether the exchange has an earlier order" if view.has_unknown_order else None


def _price_band(caps: Caps, order: RiskOrder, view: RiskView) -> str | None:
    price = view.last_price if order.price is None else order.price
    if abs(price - view.mark_price) > caps.price_band * view.mark_price:
        return f"the price {price} is more than {caps.price_band} away from the mark price {view.mark_price}"
    return None


def _min_notional(_caps: Caps, order: RiskOrder, view: RiskView) -> str | None:
    notional = abs(order.amount) * (view.mark_price if order.price is None else order.price)
    least = Decimal(repr(view.terms.min_notional))
    return f"the order is {notional} USDT, and the exchange takes none below {least}" if notional < least else None


def _order_notional(caps: Caps, order: RiskOrder, view: RiskView) -> str | None:
    notional = _notional(order, view)
    if notional > caps.max_order_notional:
        return f"the order is {notional} USDT, and {caps.max_order_notional} are allowed"
    return None


def _position_notional(caps: Caps, order: RiskOrder, view: RiskView) -> str | None:
    worst = worst_notional(order, view)
    if worst > caps.max_position_notional:
        return f"the position may become {worst} USDT, and {caps.max_position_notional} are allowed"
    return None


def _leverage(caps: Caps, order: RiskOrder, view: RiskView) -> str | None:
    worst, equity = worst_notional(order, view), view.performance.equity
    if worst > caps.max_leverage * equity:
        return f"the position may become {worst} USDT on {equity} of equity, and {caps.max_leverage} times is allowed"
    return None


def _orders_per_minute(caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    return _too_many(view, MS_PER_MINUTE, caps.orders_per_minute, "minute")


def _orders_per_day(caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    return _too_many(view, MS_PER_DAY, caps.orders_per_day, "day")


def _turnover(caps: Caps, order: RiskOrder, view: RiskView) -> str | None:
    pending = sum((abs(amount) for amount in view.entries), ZERO) * view.mark_price
    traded = view.traded_today + pending + _notional(order, view)
    if traded > caps.turnover_per_day:
        return f"{traded} USDT would be traded today, and {caps.turnover_per_day} are allowed"
    return None


def _daily_loss(caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    if (why := why_day_lost(caps, view.performance)) is not None:
        return why
    return "as much as is allowed was lost today; nothing is entered until the next day" if view.is_day_lost else None


def why_day_lost(caps: Caps, done: Performance) -> str | None:
    """Return how much is lost today, if that is as much as may be."""
    if -done.day_pnl < caps.max_daily_loss * done.day_opening_equity:
        return None
    return f"{-done.day_pnl} USDT are lost today, and {caps.max_daily_loss} of {done.day_opening_equity} are allowed"


def _drawdown(caps: Caps, _order: RiskOrder, view: RiskView) -> str | None:
    done = view.performance
    if done.drawdown >= caps.max_drawdown:
        return f"{done.drawdown:.4f} of the peak {done.peak_equity} is lost, and {caps.max_drawdown} is allowed"
    return None


def _liquidation_distance(caps: Caps, order: RiskOrder, view: RiskView) -> str | None:
    is_added_to = view.amount * order.amount > 0
    if not is_added_to or not view.liquidation_price:
        return None
    distance = abs(view.mark_price - view.liquidation_price)
    if distance < caps.min_liquidation_distance * view.mark_price:
        return f"the position is liquidated at {view.liquidation_price}, too near the mark price {view.mark_price}"
    return None


_ALWAYS: Final[tuple[tuple[Rule, _Check], ...]] = ((Rule.BANNED, _banned), (Rule.NOT_QUANTISED, _not_quantised))
_ENTRIES: Final[tuple[tuple[Rule, _Check], ...]] = (
    *_ALWAYS,
    (Rule.STOPPED, _stopped),
    (Rule.NOT_ARMED, _not_armed),
    (Rule.NOT_ALLOWED, _not_allowed),
    (Rule.NOT_A_NUMBER, _not_a_number),
    (Rule.STALE, _stale),
    (Rule.UNKNOWN_ORDER, _unknown_order),
    (Rule.PRICE_BAND, _price_band),
    (Rule.MIN_NOTIONAL, _min_notional),
    (Rule.ORDER_NOTIONAL, _order_notional),
    (Rule.POSITION_NOTIONAL, _position_notional),
    (Rule.LEVERAGE, _leverage),
    (Rule.ORDERS_PER_MINUTE, _orders_per_minute),
    (Rule.ORDERS_PER_DAY, _orders_per_day),
    (Rule.TURNOVER, _turnover),
    (Rule.DAILY_LOSS, _daily_loss),
    (Rule.DRAWDOWN, _drawdown),
    (Rule.LIQUIDATION_DISTANCE, _liquidation_distance),
)


def worst_notional(order: RiskOrder, view: RiskView) -> Decimal:
    """Return the largest notional that can come of the position, all entries and an order, on the order's side.

    A position of the other side does not make it smaller: its stop may close it before the order fills.
    """
    side = 1 if order.amount > 0 else -1
    held = max(side * view.amount, ZERO)
    pending = sum((abs(amount) for amount in view.entries if side * amount > 0), ZERO)
    price = view.mark_price if order.price is None else max(view.mark_price, order.price)
    return (held + pending + abs(order.amount)) * price


def _notional(order: RiskOrder, view: RiskView) -> Decimal:
    price = view.mark_price if order.price is None else max(view.mark_price, order.price)
    return abs(order.amount) * price


def _too_many(view: RiskView, window_ms: int, most: int, word: str) -> str | None:
    sent = sum(view.now_ms - time < window_ms for time in view.order_times)
    return f"{sent} orders went in the last {word}, and {most} are allowed" if sent >= most else None


def _is_price(price: Decimal) -> bool:
    return price.is_finite() and price > 0
