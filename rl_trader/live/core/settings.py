"""How account and symbol are set up at the exchange, as it says: by an event, by the timer, or after a refusal.

Nothing is mended here, least of all with a position: what a person has changed, a person changes back. Meanwhile
nothing is entered; where the account is set up otherwise, until a person has resumed.
"""

from dataclasses import fields, replace
from typing import Final

from rl_trader.live.core.commands import Alert, Command, ReadSettings, ReadSymbol, SetTimer
from rl_trader.live.core.events import SettingsSeen, SymbolSeen
from rl_trader.live.core.intents import ZERO
from rl_trader.live.core.state import State
from rl_trader.live.core.stopping import halt

TRADING = "TRADING"  # the exchange's word for a symbol that trades

_TOLD: Final = (
    "status",
    "tick_size",
    "step_size",
    "min_notional",
    "max_quantity",
    "limit_step_size",
    "limit_max_quantity",
)


def read_settings(state: State) -> list[Command]:
    """Read how the account is set up, now and again and again."""
    return [ReadSettings(), SetTimer("settings", state.conduct.settings_ms)]


def read_symbol(state: State, why: str) -> list[Command]:
    """Read the symbol's status and filters, now and again and again; soon where it does not trade."""
    again_ms = state.conduct.symbol_ms if is_trading(state) else state.conduct.settings_ms
    return [ReadSymbol(why), SetTimer("symbol", again_ms)]


def is_trading(state: State) -> bool:
    """Return whether the symbol trades, as far as is known."""
    return state.symbol is None or state.symbol.status == TRADING


def see_settings(state: State, event: SettingsSeen) -> list[Command]:
    """Take over what was told of the settings, and stop where they are not as they must be."""
    told = {field.name: getattr(event, field.name) for field in fields(event)}
    known = {name: value for name, value in told.items() if value is not None}
    state.settings = event if state.settings is None else replace(state.settings, **known)
    fault = why_not_set_up(state)
    return [] if fault is None else halt(state, fault)


def why_not_set_up(state: State) -> str | None:
    """Return what is set otherwise than it must be."""
    conduct, found = state.conduct, state.settings
    if found is None:
        return None
    for name, wanted, is_set in (
        (f"leverage of {conduct.symbol}", conduct.leverage, found.leverage),
        (f"margin mode of {conduct.symbol}", conduct.margin_type, found.margin_type),
        ("hedge mode", False, found.is_hedged),
        ("multi-assets mode", False, found.is_multi_assets),
        ("the right to trade", True, found.can_trade),
    ):
        if wanted is not None and is_set is not None and is_set != wanted:
            return f"{name} must be {_words(wanted)} and is {_words(is_set)}; set it back"
    return None


def _words(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def see_symbol(state: State, event: SymbolSeen) -> list[Command]:
    """Take over the symbol's status and filters, by which orders are made from now on."""
    before, state.symbol = state.symbol, event
    commands: list[Command] = []
    for name in _TOLD:
        was, is_now = getattr(before, name, None), getattr(event, name)
        if None not in (was, is_now) and was != is_now:
            commands.append(Alert(f"{name} of {state.conduct.symbol} is {is_now} now and was {was}"))
    left = state.books.amount % event.step_size if event.step_size > 0 else ZERO
    if left and (before is None or before.step_size != event.step_size):
        text = (
            f"{left} of {state.conduct.symbol} are no whole step of {event.step_size} and cannot be closed by an order"
        )
        commands.append(Alert(f"{text}; close them at the exchange by hand"))
    if not is_trading(state):
        commands.append(SetTimer("symbol", state.conduct.settings_ms))
    return commands


def why_not_trading(state: State) -> str | None:
    """Return why no order for the symbol would be taken."""
    if state.symbol is None or is_trading(state):
        return None
    return f"{state.conduct.symbol} does not trade: it is {state.symbol.status}"
