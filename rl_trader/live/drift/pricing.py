"""What the simulation would have filled a trade at.

A market order of a decision fills at the open of the bar in which it was traded, a stop or take-profit at its trigger
price, both moved by the run's slippage and rounded to the tick; a limit order fills at its own price. An order of any
other purpose has no counterpart in the simulation. Prices in USDT per unit of the base asset, amounts in base asset and
signed, money in USDT.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from rl_trader.fills import market_price
from rl_trader.kernels import records
from rl_trader.live.core.events import USDT
from rl_trader.live.core.words import Purpose
from rl_trader.live.drift.steps import Trade
from rl_trader.live.policy.deployment import Deployment
from rl_trader.state import Costs
from rl_trader.trading import kernel_settings, kernel_terms

_AT_OPEN: Final = (Purpose.ENTRY.value, Purpose.EXIT.value)
_AT_TRIGGER: Final = (Purpose.STOP.value, Purpose.TAKE_PROFIT.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A trade beside the price of the simulation."""

    time_ms: int
    purpose: str  # of its order; empty where that is not known
    amount: Decimal
    price: Decimal
    commission: Decimal  # USDT; of a fee in BNB, its value by the run's own rate
    simulated: Decimal | None  # price; None where the simulation has none

    @property
    def slippage(self) -> Decimal:
        """What it has cost beyond the simulation, USDT; negative where it was cheaper."""
        return Decimal(0) if self.simulated is None else self.amount * (self.price - self.simulated)

    @property
    def fraction(self) -> Decimal:
        """The same of its notional in the simulation."""
        return Decimal(0) if self.simulated is None else self.slippage / (abs(self.amount) * self.simulated)


class Pricer:
    """Prices trades as a deployment's simulation does.

    Args:
        deployment: Which.
    """

    def __init__(self, deployment: Deployment) -> None:
        table, _ = kernel_terms([deployment.terms], deployment.trading)
        self._terms, self._settings = records(table)[0], records(kernel_settings(deployment.trading))[0]
        self._costs = Costs(float(table[0]["taker_fee"]), float(table[0]["maker_fee"]), 1.0)

    def price(self, trade: Trade, bar: np.void | None) -> Priced:
        """Return a trade beside the price of the simulation.

        Args:
            trade: Which.
            bar: In which it was traded, of ``BAR_DTYPE``; None where it is not known.
        """
        return Priced(
            time_ms=trade.fill.time_ms,
            purpose="" if trade.order is None else trade.order.purpose,
            amount=trade.amount,
            price=trade.fill.price,
            commission=self.fee(trade),
            simulated=None if bar is None else self._simulated(trade, bar),
        )

    def fee(self, trade: Trade) -> Decimal:
        """Return what a trade has cost in USDT; a fee in BNB counts with what the run's rate says that it is worth."""
        fill = trade.fill
        if fill.commission_asset == USDT:
            return fill.commission
        is_maker = trade.order is not None and trade.order.price is not None
        rate = Decimal(repr(self._costs.maker_fee if is_maker else self._costs.taker_fee))
        return (fill.quantity * fill.price * rate).quantize(Decimal("1e-8"))

    def _simulated(self, trade: Trade, bar: np.void) -> Decimal | None:
        order = trade.order
        if order is None or not bar["volume"] > 0.0:
            return None
        if order.price is not None:
            return order.price
        if order.purpose in _AT_OPEN:
            return self._moved(trade, float(bar["open"]), float(bar["volume"]))
        if order.purpose in _AT_TRIGGER and order.trigger_price is not None:
            return self._moved(trade, float(order.trigger_price), float(bar["volume"]))
        return None

    def _moved(self, trade: Trade, reference: float, volume: float) -> Decimal:
        whole = trade.fill.quantity if trade.order is None else trade.order.quantity or trade.fill.quantity
        amount = float(whole) if trade.amount > 0 else -float(whole)
        price = market_price(amount, reference, volume, self._costs, self._settings, self._terms)
        return Decimal(repr(float(price)))
