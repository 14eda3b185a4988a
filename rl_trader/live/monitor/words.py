"""Figures of a view as a person reads them."""

from decimal import Decimal
from typing import Final

from rl_trader.live.monitor.view import AccountView, DecisionView, HealthView, View

MINUS: Final = "\u2212"
DASH: Final = "\u2013"

_MS_PER_S: Final = 1_000
_S_PER_MINUTE: Final = 60
_S_PER_HOUR: Final = 3_600
_S_PER_DAY: Final = 86_400
_MANY: Final = 120  # of a unit, before the next one is used


def number(value: Decimal | float, spec: str = ",.2f") -> str:
    """Return a number with separators and a minus sign; a zero has none."""
    text = format(value, spec)
    if not text.strip("+-0.,%"):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def amount(value: Decimal) -> str:
    """Return an amount with its sign and without zeros at its end."""
    return number(value.normalize(), "+,f") if value else "0"


def age(ms: int | None) -> str:
    """Return how long ago something was."""
    if ms is None:
        return "never"
    seconds = max(ms, 0) // _MS_PER_S
    for length, name in ((1, "s"), (_S_PER_MINUTE, "min"), (_S_PER_HOUR, "h")):
        if seconds < _MANY * length:
            return f"{seconds // length} {name} ago"
    return f"{seconds // _S_PER_DAY} days ago"


def wanted(decision: DecisionView) -> str:
    """Return what a decision wanted."""
    if decision.fault:
        return f"held: {decision.fault}"
    orders = [amount(each) for each in (decision.reduce_amount, decision.open_amount) if each]
    target = f"target {number(decision.target, '+.3g')}"
    return f"{target}, {' then '.join(orders)}" if orders else f"{target}, nothing to do"


def position(account: AccountView) -> str:
    """Return the position with its entry price."""
    if not account.amount:
        return "flat"
    side = "long" if account.amount > 0 else "short"
    return f"{side} {amount(abs(account.amount)).lstrip('+')} at {number(account.entry_price)}"


def faults(health: HealthView) -> list[str]:
    """Return what is not as it should be, in words; nothing where all is well."""
    found = {
        "market data are stale": not health.is_market_alive,
        "the account's stream is down": not health.is_user_stream_up,
        "the account is not reconciled": not health.is_reconciled,
        f"{health.failed_readings} readings of the account failed in a row": bool(health.failed_readings),
        f"{health.unknown_orders} orders of unknown outcome": bool(health.unknown_orders),
        f"{health.monitor_faults} things could not be shown": bool(health.monitor_faults),
    }
    return [text for text, is_so in found.items() if is_so]


def measured(health: HealthView) -> str:
    """Return the figures of the trader's health."""
    error = "unknown" if health.clock_error_ms is None else f"within {health.clock_error_ms} ms"
    return (
        f"consistent {age(health.reconciled_age_ms)}, clock {error}, weight {health.weight_used} of"
        f" {health.weight_limit}, loop lag {health.loop_lag_ms:g} ms"
    )


def summary(view: View) -> str:
    """Return a view in one line."""
    account = view.account
    parts = [f"{view.run} {view.symbol} {view.interval} {view.mode}", view.phase]
    if account is not None:
        parts += [f"equity {number(account.equity)}", position(account)]
    if view.stop is not None:
        parts.append(f"{view.stop.kind}: {view.stop.reason}")
    return ", ".join([*parts, *faults(view.health)])
