"""The operator's caps for tests."""

from decimal import Decimal

from rl_trader.live.core.caps import Caps

D = Decimal
WIDE = Caps(  # that let everything through
    symbols=("BTCUSDT",),
    max_order_notional=D(10**12),
    max_position_notional=D(10**12),
    max_leverage=D(10**6),
    price_band=D("0.9"),
    orders_per_minute=1_000,
    orders_per_day=1_000,
    turnover_per_day=D(10**12),
    max_daily_loss=D("0.99"),
    max_drawdown=D("0.99"),
    max_mark_age_ms=10_000,
    min_liquidation_distance=D("0.0001"),
)
