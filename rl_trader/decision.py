"""From account to observation, from action to orders: the same code in training, back-test, paper and live trading.

The policy sees the scaled market features of its window and the account part that ``account_part`` writes. Its action
is a target position, a fraction of ``max_exposure`` in [-1, 1]; ``order_of`` turns it into an order at the close of the
bar that was observed.

``settings`` is a record of ``state.SETTINGS_DTYPE``; ``terms`` and ``brackets`` are described in ``ledger``.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rl_trader import ledger
from rl_trader.errors import ConfigError
from rl_trader.kernels import inlined, kernel, records
from rl_trader.ledger import Account, Brackets, Terms
from rl_trader.observation import ObservationSchema
from rl_trader.state import Order

HALF_LIFE_BARS: Final = 64.0  # bars held at which `bars_held` is one half
FUNDING_HOURS: Final = 8.0
RATE_UNIT: Final = 0.001
ACCOUNT_LIMIT: Final = 10.0  # account features are cut there
LEAST_BALANCE: Final = 1e-8  # USDT, below which shares of the balance are not told apart
UNITS_PER_ONE: Final = 1e6  # account features are rounded to 1e-6, so that 1e-8 USDT in a wallet cannot move them


class DecisionSettings(Protocol):
    """What the functions of this file read from a record of ``state.SETTINGS_DTYPE``."""

    max_exposure: float  # notional over margin balance at action 1
    rebalance_band: float  # exposure; smaller differences send no order
    reserve: float  # fraction of the available balance and of the bracket's limit kept free
    limit_distance: float  # of a post-only limit order from the close, a fraction of it; 0 sends market orders
    max_order_notional: float  # USDT, of an opening leg; 0 is no cap
    max_position_notional: float  # USDT, that an opening leg leads to; 0 is no cap
    max_leverage: float  # that position over the margin balance; 0 is no cap


class MarketState(NamedTuple):
    """What the account part needs of the bar that just closed."""

    mark_price: float
    hours_to_funding: float
    last_funding_rate: float


@kernel
def exposure(account: Account, mark_price: float) -> float:
    """Return the signed notional over the margin balance; 0 when flat or when nothing is left."""
    balance = ledger.margin_balance(account, mark_price)
    if account.position_amount == 0.0 or balance <= 0.0:
        return 0.0
    return account.position_amount * mark_price / balance


@kernel
def _rounded(value: float) -> float:
    value = min(max(value, -ACCOUNT_LIMIT), ACCOUNT_LIMIT)
    return float(np.rint(value * UNITS_PER_ONE) / UNITS_PER_ONE)


@inlined
def account_part(
    account: Account,
    market: MarketState,
    bars_held: int,
    taker_fee: float,
    max_exposure: float,
    terms: Terms,
    brackets: Brackets,
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the account part of the observation in the order of ``ACCOUNT_FEATURES``, cut at 10, rounded to 1e-6."""
    mark_price = market.mark_price
    margin_ratio = 0.0
    distance = 1.0
    profit = 0.0
    share = 0.0
    if account.position_amount != 0.0:
        per_balance = 1.0 / max(ledger.margin_balance(account, mark_price), LEAST_BALANCE)
        share = account.position_amount * mark_price * per_balance / max_exposure
        profit = ledger.unrealized_pnl(account, mark_price) * per_balance
        margin_ratio = ledger.margin_ratio(account, mark_price, terms, brackets)
        price = ledger.liquidation_price(account, terms, brackets)
        if price > 0.0:
            distance = min(abs(mark_price - price) / mark_price, 1.0)
    return (
        _rounded(share),
        _rounded(profit),
        _rounded(margin_ratio),
        _rounded(distance),
        _rounded(bars_held / (bars_held + HALF_LIFE_BARS)),
        _rounded(market.hours_to_funding / FUNDING_HOURS),
        _rounded(market.last_funding_rate / RATE_UNIT),
        _rounded(taker_fee / RATE_UNIT),
    )


@inlined
def _affordable(
    size: float, account: Account, price: float, fee_rate: float, settings: DecisionSettings, terms: Terms
) -> float:
    """Return ``size``, or the part of it that the balance and the bracket's limit carry with the reserve kept free."""
    free = 1.0 - settings.reserve
    available = max(ledger.available_balance(account, price, terms) * free, 0.0)
    room = max(terms.max_notional * free - abs(account.position_amount) * price, 0.0)
    notional = size * price
    if notional <= room and notional / terms.leverage + notional * fee_rate <= available:
        return size
    return min(available / (price * (1.0 / terms.leverage + fee_rate)), room / price, size)


@inlined
def _order(reduce_amount: float, open_amount: float, price: float, settings: DecisionSettings, terms: Terms) -> Order:
    """Return the order with these legs: a market order, or a post-only limit order at its distance from the close."""
    amount = reduce_amount + open_amount
    if settings.limit_distance == 0.0 or amount == 0.0:
        return Order(reduce_amount, open_amount, 0.0)
    return Order(reduce_amount, open_amount, limit_price(amount, price, settings.limit_distance, terms))


@kernel
def limit_price(amount: float, price: float, distance: float, terms: Terms) -> float:
    """Return the price of a limit order: ``distance`` (fraction) below a buy's or above a sell's close, on the tick.

    Rounded away from the close, and one tick at least.
    """
    if amount > 0.0:
        return max(ledger.round_price_down(price * (1.0 - distance), terms), terms.tick_size)
    return ledger.round_price_up(price * (1.0 + distance), terms)


@inlined
def order_of(
    target: float,
    account: Account,
    price: float,
    mark_price: float,
    fee_rate: float,
    settings: DecisionSettings,
    terms: Terms,
) -> Order:
    """Return the order that moves the account to a target position, decided at the close of a bar.

    Args:
        target: Fraction of ``max_exposure`` in [-1, 1]; 0 closes the position exactly.
        account: At that close.
        price: Last price at that close, USDT.
        mark_price: Mark price at that close, USDT.
        fee_rate: Taker fee of the account.
        settings: Exposure limit, band, reserve and the distance of limit orders.
        terms: Of the symbol.

    A leg under the smallest quantity is dropped unless it closes the position, an opening leg also under the minimum
    notional, or above one of the operator's caps; a leg is never larger than one order may be.
    """
    held = account.position_amount
    if target == 0.0:
        return _order(-_limited(held, terms), 0.0, price, settings, terms)
    wanted_exposure = target * settings.max_exposure
    if abs(wanted_exposure - exposure(account, mark_price)) <= settings.rebalance_band:
        return Order(0.0, 0.0, 0.0)
    balance = ledger.margin_balance(account, mark_price)
    wanted = ledger.round_amount(wanted_exposure * balance / price, terms) if balance > 0.0 else 0.0
    if held * wanted >= 0.0 and abs(wanted) < abs(held):  # also a target under one step
        reduce_amount = _limited(ledger.sum_of_amounts(wanted, -held, terms), terms)
        if wanted != 0.0 and abs(reduce_amount) < terms.min_quantity:
            reduce_amount = 0.0
        return _order(reduce_amount, 0.0, price, settings, terms)
    reduce_amount = 0.0
    after = account
    if held * wanted < 0.0:
        reduce_amount = -_limited(held, terms)
        if reduce_amount != -held:  # more than one order: the rest of the flip waits for the next bar
            return _order(reduce_amount, 0.0, price, settings, terms)
        closing = held * (price - account.entry_price) - abs(held) * price * fee_rate
        after = Account(account.wallet_balance + closing, 0.0, 0.0, 0.0)
    opening = ledger.sum_of_amounts(wanted, -after.position_amount, terms)
    paid = price * (1.0 + settings.limit_distance)  # a sell's limit price; a buy's is lower
    size = _affordable(min(abs(opening), terms.max_quantity), after, paid, fee_rate, settings, terms)
    open_amount = ledger.round_amount(size if opening > 0.0 else -size, terms)
    if (
        abs(open_amount) < terms.min_quantity
        or ledger.exceeds(terms.min_notional, abs(open_amount) * price * (1.0 - settings.limit_distance))
        or _is_above_a_cap(open_amount, after, price, mark_price, settings, terms)
    ):
        open_amount = 0.0
    return _order(reduce_amount, open_amount, price, settings, terms)


@inlined
def _is_above_a_cap(
    amount: float, account: Account, price: float, mark_price: float, settings: DecisionSettings, terms: Terms
) -> bool:
    """Return whether an opening leg breaks one of the operator's caps, as the live risk gate finds it.

    Amounts are valued at the mark price, or at a limit order's own price where that is higher.
    """
    valued_at = mark_price
    if settings.limit_distance != 0.0:
        valued_at = max(valued_at, limit_price(amount, price, settings.limit_distance, terms))
    notional = abs(amount) * valued_at
    if settings.max_order_notional > 0.0 and ledger.exceeds(notional, settings.max_order_notional):
        return True
    position = (abs(account.position_amount) + abs(amount)) * valued_at
    if settings.max_position_notional > 0.0 and ledger.exceeds(position, settings.max_position_notional):
        return True
    if settings.max_leverage == 0.0:
        return False
    return ledger.exceeds(position, settings.max_leverage * ledger.margin_balance(account, mark_price))


@kernel
def _limited(amount: float, terms: Terms) -> float:
    """Return an amount cut to the largest order."""
    return max(min(amount, terms.max_quantity), -terms.max_quantity)


@lru_cache(maxsize=8)
def _level_table(levels: tuple[float, ...]) -> NDArray[np.float64]:
    return np.array(levels, np.float64)


@kernel
def _look_up(levels: NDArray[np.float64], actions: NDArray[Any], targets: NDArray[np.float64]) -> int:
    """Write the level of every action into ``targets``, and return the first that has none, or -1."""
    for i in range(actions.shape[0]):
        action = actions[i]
        if action < 0 or action >= levels.shape[0]:
            return i
        targets[i] = levels[action]
    return -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionMap:
    """What an action means: a target position as a fraction of ``max_exposure``."""

    levels: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """Targets of the discrete actions; empty for a continuous action in [-1, 1]."""

    def __post_init__(self) -> None:
        if any(not -1.0 <= level <= 1.0 for level in self.levels):
            raise ConfigError(f"action levels must lie in [-1, 1], were {self.levels}; give fractions of max_exposure")
        if len(set(self.levels)) != len(self.levels) or len(self.levels) == 1:
            raise ConfigError(f"action levels must be two or more different numbers, were {self.levels}")

    @property
    def is_discrete(self) -> bool:
        """Return whether actions are indices into ``levels``."""
        return bool(self.levels)

    def targets(self, actions: NDArray[Any]) -> NDArray[np.float64]:
        """Return the targets (num_actions,) of discrete actions (num_actions,) or continuous ones (num_actions, 1).

        Raises:
            ConfigError: If a discrete action is no index into ``levels``.
        """
        if self.levels:
            return self._levels_of(np.asarray(actions))
        return np.clip(np.asarray(actions, np.float64).reshape(-1), -1.0, 1.0)

    def _levels_of(self, actions: NDArray[Any]) -> NDArray[np.float64]:
        if actions.dtype.kind not in "iu" or actions.ndim != 1:
            raise self._fault(f"{actions.dtype} of the shape {actions.shape}")
        targets = np.empty(actions.size)
        strange = _look_up(_level_table(self.levels), actions, targets)
        if strange >= 0:
            raise self._fault(f"{actions[strange]} for account {strange}")
        return targets

    def _fault(self, found: str) -> ConfigError:
        wanted = f"actions must be whole numbers from 0 to {len(self.levels) - 1}, one an account"
        return ConfigError(f"{wanted}, found {found}; check the policy")


def observe(
    rows: NDArray[np.float32],
    account: Account,
    market: MarketState,
    bars_held: int,
    taker_fee: float,
    max_exposure: float,
    schema: ObservationSchema,
    terms: NDArray[np.void],
    brackets: Brackets,
) -> NDArray[np.float32]:
    """Return one observation (schema.size,), as the replay kernel writes it.

    Args:
        rows: (window, num_features) scaled market features, oldest first.
        account: At the close of the newest bar.
        market: Of the newest bar.
        bars_held: Since the position was opened.
        taker_fee: Of the account.
        max_exposure: Notional over margin balance at action 1.
        schema: Layout of the observation.
        terms: (1,) record of ``TERMS_DTYPE``.
        brackets: (num_rows, 4).
    """
    part = account_part(account, market, bars_held, taker_fee, max_exposure, records(terms)[0], brackets)
    chosen = np.array(part, np.float64)[list(schema.account_columns)]
    return np.concatenate([rows.reshape(-1), chosen.astype(np.float32)])
