"""How an account trades: what is set at the exchange, what the decision code may do, and what an order pays.

One configuration for training, back-test and live trading; a run's manifest carries it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rl_trader.contract import ContractTerms
from rl_trader.decision import ActionMap
from rl_trader.errors import ConfigError
from rl_trader.ledger import TERMS_DTYPE
from rl_trader.slippage import Slippage

MAX_RESERVE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingConfig:
    """How an account trades."""

    initial_balance: float = 10_000.0
    """Wallet balance at the start, USDT."""
    margin_mode: Literal["isolated", "cross"] = "isolated"
    """What backs a position: its own margin, or the whole wallet."""
    leverage: int = 5
    """Initial leverage set on the symbol: the initial margin is the notional over it."""
    max_exposure: float = 1.0
    """Notional over margin balance at action 1 or -1."""
    rebalance_band: float = 0.1
    """Fraction of max_exposure; a target that differs less from the exposure sends no order."""
    reserve: float = 0.02
    """Fraction of the available balance, and of the bracket's limit, that order sizes leave free."""
    slippage: Slippage = field(default_factory=lambda: Slippage(half_spread=0.0001))
    """What a market order pays beyond the price."""
    stop_loss: float | None = 0.1
    """Distance of the protective stop from the entry price, as a fraction of it; none for no stop."""
    take_profit: float | None = None
    """Distance of the take-profit from the entry price, as a fraction of it; none for no take-profit."""
    stop_trigger: Literal["mark", "last"] = "mark"
    """Price that triggers stop and take-profit."""
    levels: tuple[float, ...] = (-1.0, 0.0, 1.0)
    """Target positions of the discrete actions, fractions of max_exposure; empty for a continuous action."""

    def __post_init__(self) -> None:
        self._require(0.0 < self.initial_balance < np.inf, "initial_balance", "a positive amount of USDT")
        self._require(self.margin_mode in ("isolated", "cross"), "margin_mode", "isolated or cross")
        self._require(self.leverage >= 1 and self.leverage == int(self.leverage), "leverage", "a whole number from 1")
        self._require(0.0 < self.max_exposure <= self.leverage, "max_exposure", "above 0 and at most the leverage")
        self._require(0.0 <= self.rebalance_band < 1.0, "rebalance_band", "a fraction from 0 to below 1")
        self._require(0.0 <= self.reserve <= MAX_RESERVE, "reserve", f"a fraction from 0 to {MAX_RESERVE}")
        self._require(self.stop_loss is None or 0.0 < self.stop_loss < 1.0, "stop_loss", "between 0 and 1, or none")
        self._require(self.take_profit is None or 0.0 < self.take_profit < 1.0, "take_profit", "in (0, 1), or none")
        self._require(self.stop_trigger in ("mark", "last"), "stop_trigger", "mark or last")
        self.action_map  # noqa: B018 - refuses levels that are out of range

    def _require(self, is_met: bool, name: str, wanted: str) -> None:
        if not is_met:
            raise ConfigError(f"{name} must be {wanted}, was {getattr(self, name)}; change trading.{name}")

    @property
    def action_map(self) -> ActionMap:
        """Return what an action means."""
        return ActionMap(levels=self.levels)

    def smallest_order(self, terms: ContractTerms, price: float) -> float:
        """Return the notional in USDT of the smallest order that opens a position at ``price``."""
        steps = np.ceil(terms.min_notional / price / float(terms.step_size))
        return max(float(steps * float(terms.step_size)), float(terms.min_quantity)) * price


def _scale(step: float) -> float:
    decimals = 0
    while decimals < 12 and abs(step * 10**decimals - round(step * 10**decimals)) > 1e-9:  # noqa: PLR2004
        decimals += 1
    return float(10**decimals)


def kernel_terms(
    terms: Sequence[ContractTerms], trading: TradingConfig
) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """Return the terms of several symbols as the kernels read them.

    Returns:
        (num_symbols,) of ``TERMS_DTYPE`` and the brackets (num_rows, 4) of all symbols one below the other.

    Raises:
        ContractError: If a symbol does not allow the leverage.
    """
    table = np.zeros(len(terms), TERMS_DTYPE)
    rows: list[tuple[float, float, float, float]] = []
    for row, symbol in zip(table, terms, strict=True):
        symbol.check_leverage(trading.leverage)
        row["tick_size"] = float(symbol.tick_size)
        row["price_scale"] = _scale(float(symbol.tick_size))
        row["step_size"] = float(symbol.step_size)
        row["amount_scale"] = _scale(float(symbol.step_size))
        row["max_quantity"] = float(symbol.max_quantity)
        row["min_notional"] = symbol.min_notional
        row["taker_fee"] = symbol.taker_fee
        row["liquidation_fee"] = symbol.liquidation_fee
        row["leverage"] = trading.leverage
        row["max_notional"] = symbol.max_notional(trading.leverage)
        row["is_isolated"] = trading.margin_mode == "isolated"
        row["first_bracket"] = len(rows)
        rows += [(b.notional_cap, b.maint_margin_rate, b.maint_amount, b.notional_floor) for b in symbol.brackets]
        row["last_bracket"] = len(rows) - 1
    return table, np.array(rows, np.float64)
