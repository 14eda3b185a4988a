"""Margin ratio and liquidation price of the position, by the arithmetic of the replay and the terms of the run."""

from typing import Any, NamedTuple

import numpy as np

from rl_trader import ledger
from rl_trader.ledger import Account
from rl_trader.live.core.state import Books
from rl_trader.live.policy.deployment import Deployment
from rl_trader.trading import kernel_terms


class Margin(NamedTuple):
    """What the position needs, and where it ends."""

    ratio: float  # maintenance margin over the position's margin; 1 where it is liquidated
    liquidation_price: float | None  # USDT; None where no price liquidates


class MarginFigures:
    """The figures of one deployment.

    Args:
        deployment: Has the terms.
    """

    def __init__(self, deployment: Deployment) -> None:
        table, self._brackets = kernel_terms([deployment.terms], deployment.trading)
        self._terms: Any = table.view(np.recarray)[0]
        self._is_isolated = deployment.trading.margin_mode == "isolated"
        self._of(Account(1_000.0, 0.001, 1_000.0, 100.0 if self._is_isolated else 0.0), 1_000.0)  # compiles the kernels

    def of(self, books: Books, mark_price: float) -> Margin:
        """Return the figures of the position at a mark price."""
        if not books.amount:
            return Margin(0.0, None)
        isolated = float(books.isolated_wallet) if self._is_isolated else 0.0
        held = Account(float(books.wallet_balance), float(books.amount), float(books.entry_price), isolated)
        return self._of(held, mark_price)

    def _of(self, account: Account, mark_price: float) -> Margin:
        ratio = ledger.margin_ratio(account, mark_price, self._terms, self._brackets)
        return Margin(ratio, ledger.liquidation_price(account, self._terms, self._brackets) or None)
