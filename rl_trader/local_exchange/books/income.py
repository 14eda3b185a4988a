"""Income lines: everything that moves a wallet, in booking order.

Amounts are in USDT and carry the sign of the wallet's change: a paid fee is negative. Kinds are those of
``GET /fapi/v1/income`` (read in autumn 2026); there the liquidation fee and what the insurance fund covers share
the type INSURANCE_CLEAR.
"""

from decimal import Decimal
from enum import Enum
from typing import NamedTuple


class IncomeKind(Enum):
    """Why a wallet moved."""

    REALIZED_PNL = "REALIZED_PNL"
    COMMISSION = "COMMISSION"
    FUNDING_FEE = "FUNDING_FEE"
    LIQUIDATION_FEE = "LIQUIDATION_FEE"
    INSURANCE = "INSURANCE"  # what the insurance fund pays for a loss beyond what stood behind the position


class IncomeLine(NamedTuple):
    """One booking."""

    kind: IncomeKind
    symbol: str
    amount: Decimal  # USDT, signed
    wallet_balance: Decimal  # USDT, after it
    before_rounding: Decimal  # USDT; the amount before it was rounded to 1e-8
