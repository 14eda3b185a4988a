"""The operator's caps: what no order may exceed, whatever a policy or its configuration wants.

They are in a JSON file of the operator's, which is read at the start; amounts are written as text, so that they are
exact. None has a default where money is at stake; a file with a line ``not_for_live`` is refused there.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, NamedTuple

from rl_trader.config import TradingConfig
from rl_trader.errors import ConfigError
from rl_trader.numeric import shown

NOT_FOR_LIVE: Final = "not_for_live"  # in a file of caps: why they must not be used with real money
_AMOUNTS: Final = ("max_order_notional", "max_position_notional", "max_leverage", "turnover_per_day")
_FRACTIONS: Final = ("price_band", "max_daily_loss", "max_drawdown", "min_liquidation_distance")
_COUNTS: Final = ("orders_per_minute", "orders_per_day", "max_mark_age_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What no order may exceed.

    Raises:
        ConfigError: If one is out of range.
    """

    symbols: tuple[str, ...]  # that may be traded
    max_order_notional: Decimal  # USDT
    max_position_notional: Decimal  # USDT, with all that resting and unknown orders can add
    max_leverage: Decimal  # that notional over the equity
    price_band: Decimal  # of the mark price: how far from it an order's price may lie
    orders_per_minute: int
    orders_per_day: int  # in 24 hours
    turnover_per_day: Decimal  # USDT, since 00:00 UTC
    max_daily_loss: Decimal  # of the equity at 00:00 UTC
    max_drawdown: Decimal  # of the highest equity
    max_mark_age_ms: int
    min_liquidation_distance: Decimal  # of the mark price, of a position that is added to

    def __post_init__(self) -> None:
        names = self.symbols if isinstance(self.symbols, tuple) else ()
        are_symbols = all(isinstance(name, str) and name.replace("_", "").isalnum() for name in names)
        self._require(bool(names) and are_symbols, "symbols", "one or more symbols")
        for name in _AMOUNTS:
            self._require(self._number(name) > 0, name, "a positive number")
        for name in _FRACTIONS:
            self._require(0 < self._number(name) < 1, name, "a fraction between 0 and 1")
        for name in _COUNTS:
            value = getattr(self, name)
            is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            self._require(is_count, name, "a whole number from 1")

    def _number(self, name: str) -> Decimal:
        value = getattr(self, name)
        self._require(isinstance(value, Decimal) and value.is_finite(), name, "a finite decimal number")
        return Decimal(value)

    def _require(self, is_met: bool, name: str, wanted: str) -> None:
        if not is_met:
            raise ConfigError(f"cap {name} must be {wanted}, was {shown(getattr(self, name))}; change the caps file")

    def check_run(self, symbol: str, trading: TradingConfig) -> None:
        """Refuse a run that would be refused at its first order.

        Raises:
            ConfigError: If its symbol is not allowed, or its exposure is above the largest leverage.
        """
        if symbol not in self.symbols:
            raise ConfigError(f"the caps allow {', '.join(self.symbols)}, and the run trades {symbol}; add it to them")
        if Decimal(repr(float(trading.max_exposure))) > self.max_leverage:
            raise ConfigError(
                f"the run holds up to {trading.max_exposure} times its balance, and the caps allow {self.max_leverage}"
                " times; deploy another run, or let the operator change the caps"
            )


class CapsFile(NamedTuple):
    """Caps, and what else there is to their file."""

    caps: Caps
    sha256: str  # by which the journal knows it
    is_for_live: bool  # nothing in it says that nobody has weighed it


def load_caps(path: Path) -> CapsFile:
    """Return the caps of an operator's file.

    Raises:
        ConfigError: If it cannot be read, or a cap is missing, unknown or out of range.
    """
    try:
        content = path.read_bytes()
        data = json.loads(content, parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise ConfigError(f"caps file {path} cannot be read: {error}; write one, see the documentation") from error
    is_for_live = not isinstance(data, Mapping) or NOT_FOR_LIVE not in data
    if not is_for_live:
        data = {name: value for name, value in data.items() if name != NOT_FOR_LIVE}
    names = {field.name for field in fields(Caps)}
    if not isinstance(data, Mapping) or set(data) != names:
        found = sorted(data) if isinstance(data, Mapping) else shown(data)
        raise ConfigError(f"caps file {path} must have {', '.join(sorted(names))} and has {found}; mend it")
    values: dict[str, object] = dict(data)
    if isinstance(data["symbols"], list):
        values["symbols"] = tuple(data["symbols"])
    values |= {name: _decimal(data[name]) for name in (*_AMOUNTS, *_FRACTIONS)}
    return CapsFile(Caps(**values), hashlib.sha256(content).hexdigest(), is_for_live)  # type: ignore[arg-type]


def _decimal(value: object) -> object:
    """Return a number, or what is none as it is."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return value
    try:
        return Decimal(value)
    except InvalidOperation:
        return value
