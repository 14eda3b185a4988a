"""What the replay kernels keep of an account between steps, and what a step reports.

Arrays of one record an account: ``STATE_DTYPE`` is kept, ``OUTCOME_DTYPE`` is what one step did. Money is in USDT and
carries the sign of the wallet's change; rates, fees and slippage are fractions.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np

SETTINGS_DTYPE: Final = np.dtype(
    [
        ("max_exposure", np.float64),
        ("rebalance_band", np.float64),
        ("reserve", np.float64),
        ("initial_balance", np.float64),  # USDT
        ("ruin_balance", np.float64),  # USDT; below it a flat account cannot carry the smallest order
        ("limit_distance", np.float64),  # fraction of the close; 0 sends market orders
        ("max_order_notional", np.float64),  # USDT, of an opening order; 0 is no cap
        ("max_position_notional", np.float64),  # USDT, that an opening order leads to; 0 is no cap
        ("max_leverage", np.float64),  # that position over the margin balance; 0 is no cap
        ("half_spread", np.float64),
        ("sqrt_impact", np.float64),
        ("linear_impact", np.float64),
        ("stop_loss", np.float64),  # fraction of the entry price; 0 is none
        ("take_profit", np.float64),  # fraction of the entry price; 0 is none
        ("stop_on_mark", np.bool_),  # trigger on the mark price, else on the last price
        ("random_start", np.bool_),
        ("random_position", np.bool_),
        ("fee_scale_low", np.float64),  # an episode's fees are the account's rates times a number in this range
        ("fee_scale_high", np.float64),
        ("slippage_scale_low", np.float64),  # likewise the slippage
        ("slippage_scale_high", np.float64),
        ("episode_bars", np.int64),  # 0: until the end of the segment
        ("window", np.int64),  # rows of market features in an observation
    ]
)

STATE_DTYPE: Final = np.dtype(
    [
        ("wallet_balance", np.float64),
        ("position_amount", np.float64),
        ("entry_price", np.float64),
        ("isolated_wallet", np.float64),
        ("margin_balance", np.float64),  # at the last mark close
        ("taker_fee", np.float64),  # of this episode
        ("maker_fee", np.float64),  # of this episode
        ("slippage_scale", np.float64),  # of this episode
        ("bar", np.int64),  # newest closed bar
        ("last_bar", np.int64),  # of the episode
        ("bars_held", np.int64),  # since the position was opened
        ("symbol", np.int64),  # row of the terms
        ("key", np.int64),  # of the random generator
        ("episode", np.int64),  # number of this account's episode
    ]
)

OUTCOME_DTYPE: Final = np.dtype(
    [
        ("margin_balance_before", np.float64),  # USDT, at the mark close of the observed bar
        ("margin_balance", np.float64),  # USDT, at the mark close of the new bar
        ("price_pnl", np.float64),  # USDT from price moves; with the next four it sums to the change of margin balance
        ("fees", np.float64),  # USDT, not positive
        ("slippage", np.float64),  # USDT, not positive
        ("funding", np.float64),  # USDT, positive when received
        ("liquidation", np.float64),  # USDT: liquidation fees and what the insurance fund bore
        ("insurance", np.float64),  # USDT, not negative: the part of it that the insurance fund bore
        (
            "realized_pnl",
            np.float64,
        ),  # USDT that fills and liquidations booked, before fees; a part of price_pnl over time
        ("traded_notional", np.float64),  # USDT
        ("exposure", np.float64),  # signed notional over margin balance at the mark close
        ("bar", np.int64),  # the bar that was played
        ("symbol", np.int64),
        ("events", np.int64),  # sum of the Event bits
        ("terminated", np.bool_),
        ("truncated", np.bool_),
    ]
)

EPISODE_DTYPE: Final = np.dtype(
    [
        ("symbol", np.int64),
        ("first_start", np.int64),  # earliest bar after which an episode may begin
        ("num_starts", np.int64),  # bars after which it may begin, from first_start on
        ("last_bar", np.int64),  # of the segment
    ]
)

# Bits of OUTCOME_DTYPE.events
FILLED: Final = 1
REFUSED_MARGIN: Final = 2  # exchange code -2019
REFUSED_BRACKET: Final = 4  # exchange code -2027
REFUSED_NOTIONAL: Final = 8  # exchange code -4164
REFUSED_NO_TRADES: Final = 16  # the bar has no volume
STOPPED: Final = 32
TOOK_PROFIT: Final = 64
REDUCED_BY_LIQUIDATION: Final = 128
LIQUIDATED: Final = 256
RUINED: Final = 512
REFUSED_PRICE: Final = 1024  # exchange codes -4131, and of limit orders -4013, -4002, -4016, -4024
REFUSED_POST_ONLY: Final = 2048  # exchange code -5022
NOT_REACHED: Final = 4096  # a resting order was cancelled at the bar's end, or by a liquidation

EVENT_NAMES: Final = {
    FILLED: "filled",
    REFUSED_MARGIN: "refused: margin is insufficient",
    REFUSED_BRACKET: "refused: above the bracket's limit at this leverage",
    REFUSED_NOTIONAL: "refused: below the minimum notional",
    REFUSED_NO_TRADES: "refused: nothing traded in the bar",
    STOPPED: "stop-loss triggered",
    TOOK_PROFIT: "take-profit triggered",
    REDUCED_BY_LIQUIDATION: "position reduced by liquidation",
    LIQUIDATED: "position liquidated",
    RUINED: "balance cannot carry the smallest order",
    REFUSED_PRICE: "refused: the price is beyond a filter, or too far from the mark price",
    REFUSED_POST_ONLY: "refused: the post-only order would fill at once",
    NOT_REACHED: "limit order cancelled: the bar did not trade through its price",
}


class Settings(Protocol):
    """What the kernels of this file read from a record of ``SETTINGS_DTYPE``."""

    max_exposure: float
    rebalance_band: float
    reserve: float
    initial_balance: float
    ruin_balance: float
    limit_distance: float
    max_order_notional: float
    max_position_notional: float
    max_leverage: float
    half_spread: float
    sqrt_impact: float
    linear_impact: float
    stop_loss: float
    take_profit: float
    stop_on_mark: bool
    random_start: bool
    random_position: bool
    fee_scale_low: float
    fee_scale_high: float
    slippage_scale_low: float
    slippage_scale_high: float
    episode_bars: int
    window: int


class Bar(NamedTuple):
    """Prices and volume of one bar."""

    open: float
    high: float
    low: float
    close: float
    mark_open: float
    mark_high: float
    mark_low: float
    mark_close: float
    volume: float


class Costs(NamedTuple):
    """What an account pays in this episode."""

    taker_fee: float
    maker_fee: float
    slippage_scale: float


class Order(NamedTuple):
    """The order of one decision: first a reduce-only leg, then an opening leg of the same side; 0 is no leg."""

    reduce_amount: float  # base asset, signed against the position
    open_amount: float  # base asset, signed
    limit_price: float  # USDT, of both legs, post-only until the end of the bar; 0 is a market order
