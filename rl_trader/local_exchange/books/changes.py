"""What stands against changing a symbol's setting, or the money that is set aside for its position.

Error codes are those of the API documentation of USD-M futures (read in autumn 2026). That isolated margin can be taken
away down to the initial margin at the mark price, without unrealised profit, is an assumption.

Money in USDT.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rl_trader.local_exchange.books.money import ZERO, booked, denoised
from rl_trader.local_exchange.books.positions import Marks, SymbolSetting, checked_mark
from rl_trader.local_exchange.books.refusals import RefusedError

if TYPE_CHECKING:
    from rl_trader.local_exchange.books.account import Account

_MODE_WITH_POSITION: Final = -4048
_ONLY_ISOLATED: Final = -4049
_CROSS_INSUFFICIENT: Final = -4050
_ISOLATED_INSUFFICIENT: Final = -4051
_NO_POSITION: Final = -4054
_LOWER_LEVERAGE: Final = -4161


def check_setting_change(now: SymbolSetting, new: SymbolSetting) -> None:
    """Refuse what an open position does not allow.

    Raises:
        RefusedError: If the margin mode would change (-4048) or the leverage of an isolated position fall (-4161).
    """
    symbol = now.terms.symbol
    if new.margin_mode is not now.margin_mode:
        raise RefusedError(
            _MODE_WITH_POSITION,
            f"margin mode of {symbol} must stay {now.margin_mode.value} while there is a position; close it first",
        )
    if now.is_isolated and new.leverage < now.leverage:
        raise RefusedError(
            _LOWER_LEVERAGE,
            f"leverage of {symbol} must stay at least {now.leverage} while there is an isolated position and would be "
            f"{new.leverage}; close it first",
        )


def check_margin_move(account: "Account", symbol: str, amount: Decimal, marks: Marks) -> None:
    """Refuse to move margin that is not there.

    Raises:
        RefusedError: If the symbol is in cross margin (-4049), has no position (-4054), or more would be moved than
            can be added (-4050) or taken away (-4051).
    """
    if not account.setting(symbol).is_isolated:
        raise RefusedError(_ONLY_ISOLATED, f"{symbol} must be isolated to move margin and is in cross; set it so")
    if not account.positions[symbol].amount:
        raise RefusedError(_NO_POSITION, f"{symbol} must have a position to move margin and has none; open one")
    if amount > 0:
        code, wanted, most = _CROSS_INSUFFICIENT, "margin added to", account.available_balance(marks)
    else:
        code, wanted, most = _ISOLATED_INSUFFICIENT, "margin taken from", _removable(account, symbol, marks)
    if abs(amount) > denoised(most):
        raise RefusedError(
            code, f"{wanted} {symbol} must be at most {booked(max(most, ZERO))} USDT and is {abs(amount)}; move less"
        )


def _removable(account: "Account", symbol: str, marks: Marks) -> Decimal:
    position = account.positions[symbol]
    mark_price = checked_mark(symbol, marks.get(symbol))
    loss = min(position.unrealized_pnl(mark_price), ZERO)
    return position.isolated_wallet + loss - account.initial_margin(symbol, mark_price)
