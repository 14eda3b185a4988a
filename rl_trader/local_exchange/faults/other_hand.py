"""What another hand does to an account or a symbol; each class is a change of the plan's action ``other_hand``."""

from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Final, Literal

from rl_trader.errors import ConfigError
from rl_trader.local_exchange.books.money import booked, exact
from rl_trader.local_exchange.books.positions import MarginMode
from rl_trader.local_exchange.books.terms import SymbolTerms
from rl_trader.local_exchange.endpoints.exchange_info import entry_of
from rl_trader.local_exchange.engine.bookings import tell_wallet
from rl_trader.local_exchange.engine.changing import cancel_all
from rl_trader.local_exchange.engine.conditional import cancel_algo
from rl_trader.local_exchange.engine.orders import Income, OrderRequest
from rl_trader.local_exchange.engine.placing import place
from rl_trader.local_exchange.engine.settings import (
    set_leverage,
    set_margin_mode,
    set_multi_assets,
    set_position_mode,
)
from rl_trader.local_exchange.engine.trader import TRANSFER, slot_name
from rl_trader.local_exchange.engine.views import available_balance, position_sides
from rl_trader.local_exchange.engine.words import OrderType, PositionSide, Side, UpdateReason
from rl_trader.local_exchange.faults.actions import Deed
from rl_trader.local_exchange.faults.reading import Count, Positive, Signed
from rl_trader.local_exchange.faults.stage import Stage
from rl_trader.local_exchange.market.listing import Listing
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.refusal_texts import refused

_FILTERED: Final = ("pricePrecision", "quantityPrecision", "filters")  # of a symbol's entry of exchangeInfo


@dataclass(frozen=True, kw_only=True)
class Leverage(Deed):
    """The leverage of a symbol is set."""

    account: str
    symbol: str
    leverage: Count

    def act(self, stage: Stage) -> str:
        """Set it."""
        set_leverage(stage.venue.exchange.state, stage.venue.trader(self.account), self.symbol, self.leverage)
        return f"{self.account} {self.symbol} has leverage {self.leverage}"


@dataclass(frozen=True, kw_only=True)
class SetMarginMode(Deed):
    """The margin mode of a symbol is set."""

    account: str
    symbol: str
    margin_mode: Literal["isolated", "cross"]

    def act(self, stage: Stage) -> str:
        """Set it."""
        trader = stage.venue.trader(self.account)
        set_margin_mode(stage.venue.exchange.state, trader, self.symbol, MarginMode.of(self.margin_mode))
        return f"{self.account} {self.symbol} is {self.margin_mode}"


@dataclass(frozen=True, kw_only=True)
class PositionMode(Deed):
    """Hedge mode is turned on or off."""

    account: str
    hedged: bool

    def act(self, stage: Stage) -> str:
        """Turn it."""
        set_position_mode(stage.venue.trader(self.account), is_hedged=self.hedged)
        return f"{self.account} has hedge mode {self.hedged}"


@dataclass(frozen=True, kw_only=True)
class MultiAssets(Deed):
    """Multi-assets mode is turned on or off."""

    account: str
    multi_assets: bool

    def act(self, stage: Stage) -> str:
        """Turn it."""
        trader = stage.venue.trader(self.account)
        set_multi_assets(stage.venue.exchange.state, trader, is_multi_assets=self.multi_assets)
        return f"{self.account} has multi-assets mode {self.multi_assets}"


@dataclass(frozen=True, kw_only=True)
class Filters(Deed):
    """The exchange changes a symbol's filters, for orders that come and in ``exchangeInfo``.

    Raises:
        ConfigError: If it changes none.
    """

    symbol: str
    tick_size: Positive | None = None
    step_size: Positive | None = None  # of limit and market orders
    min_quantity: Positive | None = None  # of limit and market orders
    min_notional: Positive | None = None

    def __post_init__(self) -> None:
        if not any((self.tick_size, self.step_size, self.min_quantity, self.min_notional)):
            raise ConfigError("must have tick_size, step_size, min_quantity or min_notional and has none; add one")

    def act(self, stage: Stage) -> str:
        """Change them."""
        changes: dict[str, Decimal | float] = {}
        for name in ("tick_size", "step_size", "min_quantity"):
            if (value := getattr(self, name)) is not None:
                changes[name] = value
        changes |= {f"limit_{name}": value for name, value in changes.items() if name != "tick_size"}
        if self.min_notional is not None:
            changes["min_notional"] = float(self.min_notional)
        quotes, market = stage.venue.exchange.quotes[self.symbol], stage.venue.market
        if self.tick_size is not None:  # prices lie whole ticks above the least one
            changes["min_price"] = _whole_ticks(quotes.contract.min_price, self.tick_size)
        contract = replace(quotes.contract, **changes)  # type: ignore[arg-type]
        quotes.contract, quotes.terms = contract, SymbolTerms.of(contract)
        market.recordings[self.symbol] = _relisted(replace(market.recordings[self.symbol], contract=contract))
        return f"{self.symbol} has {', '.join(f'{name} {value}' for name, value in changes.items())}"


@exact
def _whole_ticks(price: Decimal, tick: Decimal) -> Decimal:
    """Return the lowest whole number of ticks that is not below a price."""
    return (price / tick).to_integral_value(ROUND_CEILING) * tick


def _relisted(recording: Recording) -> Recording:
    """Return a recording whose entry of ``exchangeInfo`` has the filters of its contract."""
    made = entry_of(replace(recording, listing=Listing()))
    info = entry_of(recording) | {name: made[name] for name in _FILTERED}
    return replace(recording, listing=replace(recording.listing, info=info))


@dataclass(frozen=True, kw_only=True)
class PlaceOrder(Deed):
    """An order is placed."""

    account: str
    symbol: str
    side: Literal["BUY", "SELL"]
    type: Literal["LIMIT", "MARKET"]
    quantity: Positive
    price: Positive | None = None  # of a limit order
    reduce_only: bool = False
    position_side: Literal["BOTH", "LONG", "SHORT"] = "BOTH"
    client_order_id: str | None = None

    def act(self, stage: Stage) -> str:
        """Place it."""
        request = OrderRequest(
            symbol=self.symbol,
            side=Side(self.side),
            type=OrderType(self.type),
            quantity=self.quantity,
            price=self.price,
            position_side=PositionSide(self.position_side),
            reduce_only=self.reduce_only,
            client_order_id=self.client_order_id,
        )
        order = place(stage.venue.exchange.state, stage.venue.trader(self.account), request)
        return f"order {order.order_id} of {self.account} is {order.status}"


@dataclass(frozen=True, kw_only=True)
class Close(Deed):
    """The positions of a symbol are closed at the market."""

    account: str
    symbol: str

    def act(self, stage: Stage) -> str:
        """Close them."""
        state, trader = stage.venue.exchange.state, stage.venue.trader(self.account)
        closed = []
        for side in position_sides(trader) if self.symbol in trader.books.positions else ():
            held = trader.position(slot_name(self.symbol, side)).amount
            if not held:
                continue
            request = OrderRequest(
                symbol=self.symbol,
                side=Side.SELL if held > 0 else Side.BUY,
                type=OrderType.MARKET,
                quantity=abs(held),
                position_side=side,
                reduce_only=side is PositionSide.BOTH,
            )
            order = place(state, trader, request)
            closed.append(f"{held} {self.symbol} by order {order.order_id}, which is {order.status}")
        return f"closed {' and '.join(closed)}" if closed else "no position"


@dataclass(frozen=True, kw_only=True)
class Cancel(Deed):
    """The open orders of a symbol are cancelled."""

    account: str
    symbol: str
    orders: Literal["all", "ordinary", "conditional"] = "all"

    def act(self, stage: Stage) -> str:
        """Cancel them."""
        state, trader = stage.venue.exchange.state, stage.venue.trader(self.account)
        ordinary, conditional = trader.open_orders_of(self.symbol), trader.open_algo_orders_of(self.symbol)
        if self.orders != "conditional":
            cancel_all(state, trader, self.symbol)
        for order in conditional if self.orders != "ordinary" else ():
            cancel_algo(state, trader, order)
        left = len(trader.open_orders_of(self.symbol)) + len(trader.open_algo_orders_of(self.symbol))
        return f"cancelled {len(ordinary) + len(conditional) - left} orders of {self.account}"


@dataclass(frozen=True, kw_only=True)
class Transfer(Deed):
    """Money comes into the wallet, or leaves it."""

    account: str
    amount: Signed  # USDT, negative where it leaves

    @exact
    def act(self, stage: Stage) -> str:
        """Move it.

        Raises:
            RefusedError: -2018 if more would leave than is available.
        """
        state, trader = stage.venue.exchange.state, stage.venue.trader(self.account)
        amount = booked(self.amount)
        if amount < 0 and -amount > available_balance(state, trader):
            raise refused(-2018)
        trader.books.wallet_balance += amount
        trader.income.append(Income(len(trader.income) + 1, "", TRANSFER, amount, state.now_ms, None, amount))
        tell_wallet(state, trader, UpdateReason.DEPOSIT, amount, None)
        return f"{amount} USDT to {self.account}"


CHANGES: Final[dict[str, type[Deed]]] = {
    "leverage": Leverage,
    "margin_mode": SetMarginMode,
    "position_mode": PositionMode,
    "multi_assets": MultiAssets,
    "filters": Filters,
    "order": PlaceOrder,
    "close": Close,
    "cancel": Cancel,
    "transfer": Transfer,
}
