"""The arrays that every kernel reads: one record a bar, one record a funding settlement.

A bar covers ``[open_time, open_time + interval)``. Everything in its record is known at its close and nothing later is:
the row kernels of the features and the replay kernel both read these records, in training, back-test and live trading.

Prices are in USDT per unit of the base asset, volumes in the base asset, times in milliseconds since 1970 UTC, rates
are fractions (0.0001 is one basis point).
"""

from typing import Final

import numpy as np

BAR_DTYPE: Final = np.dtype(
    [
        ("open_time", np.int64),  # ms UTC
        ("open", np.float64),  # last price
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("mark_open", np.float64),  # mark price
        ("mark_high", np.float64),
        ("mark_low", np.float64),
        ("mark_close", np.float64),
        ("volume", np.float32),  # base asset; 0 means that nothing traded and nothing fills
        ("taker_buy_volume", np.float32),  # base asset; NaN where it is not recorded
        ("last_funding_rate", np.float32),  # of the newest settlement before the bar's close
        ("hours_to_funding", np.float32),  # from the bar's close to the next settlement; 0 if it is due at that instant
        ("num_settled", np.int32),  # row of FUNDING_DTYPE: settlements before the bar's close; the next one due
        ("segment", np.int32),  # gap-free stretch of one symbol that the bar belongs to
    ]
)

FUNDING_DTYPE: Final = np.dtype(
    [
        ("funding_time", np.int64),  # ms UTC, a full hour
        ("funding_rate", np.float64),  # positive: longs pay shorts
        ("mark_price", np.float64),  # at the settlement
    ]
)

OHLC: Final = ("open", "high", "low", "close")
MARK_OHLC: Final = ("mark_open", "mark_high", "mark_low", "mark_close")
MS_PER_HOUR: Final = 3_600_000
MS_PER_DAY: Final = 86_400_000
