"""How an account's exposure follows a target: the arithmetic of decision and fills, in fractions of the balance.

The amount of an order is decided at a close from the balance of that moment, and filled at the next open at the same
price. What the order pays leaves the position as it is and makes the balance smaller, so that the exposure is larger
afterwards by as much.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_trader.chains import SignalChain
from rl_trader.config import TradingConfig

Floats = NDArray[np.float64]
Reward = Literal["log_return", "simple_return"]

DRIFT: Final = 0.16  # of a level: how far an exposure may drift from it on the grid
SHORT_DRIFT: Final = np.linspace(1.0 - DRIFT, 1.0 + DRIFT, 33)  # grid around the level of a short, in its fractions
LONG_DRIFT: Final = 1.0 + DRIFT * np.linspace(-1.0, 1.0, 9) ** 3  # of a long: near 1 it does not drift
BOX_REACH: Final = 1.1  # of the largest exposure
BOX_POINTS: Final = 133  # of the grid where any exposure may be wanted; odd, so that 0 is one


class Trades(NamedTuple):
    """What an order does; arrays of one shape."""

    kept: Floats  # balance after funding, fee and impact, over the balance before
    held: Floats  # exposure after the order, over the balance before
    exposure: Floats  # exposure after the order
    turnover: Floats  # absolute change of exposure


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRules:
    """What an account may hold and what changing it costs."""

    exposures: Floats
    """(num_exposures,) grid of the present exposure, ascending, with 0."""
    choices: Floats
    """(num_choices,) target exposures to choose from."""
    levels: bool
    """Whether these are all, or a grid of targets that are free."""
    band: float
    """Exposure; a target that differs by no more sends no order, but for 0."""
    taker_fee: float
    """Fraction of the notional."""
    impact: float
    """Fraction of the price that an order of exposure 1 pays, growing linearly."""
    reward: Reward
    """What is maximised."""

    def trades(self, target: Floats, exposure: Floats, funding_rate: Floats) -> Trades:
        """Return what orders to targets do to accounts with exposures, after funding at these rates; all broadcast."""
        stays = (target != 0.0) & (np.abs(target - exposure) <= self.band)
        held = np.where(stays, exposure, target)
        is_flip = held * exposure < 0.0
        # A flip is two orders, a close and an opening, each with an impact of its own.
        squares = np.where(is_flip, held**2 + exposure**2, (held - exposure) ** 2)
        turnover = np.abs(held - exposure)
        kept = 1.0 - funding_rate * exposure - self.taker_fee * turnover - self.impact * squares
        kept, held, turnover = np.broadcast_arrays(kept, held, turnover)
        return Trades(kept, held, held / kept, turnover)

    def immediate_of(self, trades: Trades, mean_return: Floats) -> Floats:
        """Return the part of the reward that the order decides; of log returns the rest is the holding's."""
        if self.reward == "log_return":
            return np.log(trades.kept)
        return trades.kept - 1.0 + trades.held * mean_return

    def immediate(self, trades: Trades, chain: SignalChain) -> Floats:
        """Return the same for trades (num_classes, num_exposures, num_choices), by state, exposure and choice."""
        of_state = Trades(*(part[chain.funding_class] for part in trades))
        return np.ascontiguousarray(self.immediate_of(of_state, chain.mean_return[:, None, None]))


def position_rules(trading: TradingConfig, taker_fee: float, reward: Reward, impact: float = 0.0) -> PositionRules:
    """Return the rules of an account's configuration.

    Args:
        trading: Levels or none, largest exposure and band.
        taker_fee: Fraction of the notional, with the half spread that is paid too.
        reward: What is maximised.
        impact: Fraction of the price that an order of exposure 1 pays, growing linearly.
    """
    largest = trading.max_exposure
    band = trading.rebalance_band * largest
    wanted = np.unique(np.array([*trading.levels, 0.0])) * largest
    if trading.levels and band > 0.0:
        around = [level * (SHORT_DRIFT if level < 0.0 else LONG_DRIFT) for level in wanted if level != 0.0]
        exposures = np.unique(np.concatenate([[0.0], *around]))
    else:
        reach = BOX_REACH * largest
        exposures = np.linspace(-reach, reach, BOX_POINTS)
        exposures[BOX_POINTS // 2] = 0.0
        exposures = np.unique(np.concatenate([exposures, wanted]))
    choices = np.array(trading.levels) * largest if trading.levels else exposures[np.abs(exposures) <= largest]
    return PositionRules(
        exposures=exposures,
        choices=choices,
        levels=bool(trading.levels),
        band=band,
        taker_fee=taker_fee + trading.slippage.half_spread,
        impact=impact,
        reward=reward,
    )
