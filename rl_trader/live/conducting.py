"""How a deployment's core trades, from the run's manifest."""

from decimal import Decimal

from rl_trader.live.core.state import Conduct
from rl_trader.live.policy.deployment import Deployment
from rl_trader.live.reading import MARGIN_TYPES


def conduct_of(deployment: Deployment) -> Conduct:
    """Return how a deployment's core trades."""
    trading, terms = deployment.trading, deployment.terms
    return Conduct(
        symbol=deployment.symbol,
        bar_ms=deployment.interval_ms,
        tick_size=terms.tick_size,
        step_size=terms.step_size,
        max_quantity=terms.max_quantity,
        limit_step_size=terms.limit_step_size,
        limit_max_quantity=terms.limit_max_quantity,
        leverage=int(trading.leverage_of(deployment.symbol)),
        margin_type=MARGIN_TYPES[trading.margin_mode],
        stop_loss=None if trading.stop_loss is None else Decimal(repr(trading.stop_loss)),
        take_profit=None if trading.take_profit is None else Decimal(repr(trading.take_profit)),
    )
