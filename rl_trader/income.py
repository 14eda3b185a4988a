"""Every booking of an account as a line of its own, in the order of booking, as ``GET /fapi/v1/income`` lists them.

The replay writes lines where it is given room for them (``Simulator.keep_income``); the exchange's word for a kind is
in ``INCOME_TYPES``. Money is in USDT and carries the sign of the wallet's change. The wallet's change over any stretch
is the sum of its lines in units of 1e-8 USDT, exactly.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.kernels import kernel

INCOME_DTYPE: Final = np.dtype(
    [
        ("kind", np.int64),  # one of the kinds below; 0 is no line
        ("income", np.float64),  # USDT
        ("wallet_balance", np.float64),  # USDT, after it
    ]
)

REALIZED_PNL: Final = 1  # of every fill that reduces, before fees
COMMISSION: Final = 2  # of every fill of an order
FUNDING_FEE: Final = 3  # of every settlement with a position
LIQUIDATION_FEE: Final = 4  # of every part that is liquidated
INSURANCE: Final = 5  # loss that the insurance fund bore

INCOME_TYPES: Final = {
    REALIZED_PNL: "REALIZED_PNL",
    COMMISSION: "COMMISSION",
    FUNDING_FEE: "FUNDING_FEE",
    LIQUIDATION_FEE: "INSURANCE_CLEAR",
    INSURANCE: "INSURANCE_CLEAR",
}

MOST_LINES: Final = 256  # of one account in one bar; brackets, orders and settlements need fewer

Lines = NDArray[np.void] | None  # (MOST_LINES,) of INCOME_DTYPE, or nothing is written


@kernel
def write_line(lines: Lines, num_lines: int, kind: int, income: float, wallet_balance: float) -> int:
    """Write a line where lines are kept, and return how many there are now."""
    if lines is None:
        return num_lines
    line = lines[num_lines]
    line.kind = kind
    line.income = income
    line.wallet_balance = wallet_balance
    return num_lines + 1


@kernel
def lines_of(lines: Lines, i: int) -> Lines:
    """Return the room of account ``i`` in (num_accounts, MOST_LINES), if there is any."""
    if lines is None:
        return None
    room: NDArray[np.void] = lines[i]
    return room
