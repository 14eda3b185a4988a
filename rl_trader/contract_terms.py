"""The terms of one symbol: filters, fees, funding limits and leverage brackets, and what must hold between them.

:mod:`rl_trader.contract` reads them from the exchange's answers; a run's manifest keeps them.

Units: prices in USDT per unit of the base asset, quantities in base asset, notionals and amounts in USDT,
fees and rates as fractions. What the exchange writes as a decimal string and checks orders against without
rounding is a ``Decimal``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Final

from rl_trader.brackets import Bracket, check_brackets
from rl_trader.errors import ContractError
from rl_trader.json_fields import FieldReader
from rl_trader.numeric import is_number, is_whole

DECIMAL_FIELDS: Final = (
    "tick_size",
    "min_price",
    "max_price",
    "step_size",
    "min_quantity",
    "max_quantity",
    "limit_step_size",
    "limit_min_quantity",
    "limit_max_quantity",
)

_POSITIVE_FIELDS: Final = ("min_notional", "multiplier_up", "multiplier_down", "trigger_protect", "market_take_bound")
_FRACTION_FIELDS: Final = ("taker_fee", "maker_fee", "bnb_discount", "liquidation_fee", "funding_cap")
_RANGES: Final = (
    ("min_price", "max_price"),
    ("min_quantity", "max_quantity"),
    ("limit_min_quantity", "limit_max_quantity"),
)
_LONGEST_INTERVAL_HOURS: Final = 24  # between two settlements of funding
_LARGEST: Final = Decimal("1E18")  # of a price or a quantity
_MOST_DECIMALS: Final = 8  # that the exchange writes
_ADVICE: Final = "read the terms again with scripts.download"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractTerms:
    """What the exchange demands of one symbol's orders and positions.

    Raises:
        ContractError: If a number is out of range or the brackets contradict each other.
    """

    symbol: str
    tick_size: Decimal  # USDT; prices lie whole ticks above min_price
    min_price: Decimal  # USDT, of a limit order
    max_price: Decimal  # USDT, of a limit order
    step_size: Decimal  # base asset; market orders are multiples of it
    min_quantity: Decimal  # base asset, of a market order
    max_quantity: Decimal  # base asset, of a market order
    limit_step_size: Decimal  # base asset; limit orders are multiples of it
    limit_min_quantity: Decimal  # base asset, of a limit order
    limit_max_quantity: Decimal  # base asset, of a limit order
    min_notional: float  # USDT, of an order that does not only reduce
    taker_fee: float  # of the notional
    maker_fee: float  # of the notional
    bnb_discount: float  # of both fees, where they are paid in BNB
    liquidation_fee: float  # of the liquidated notional
    funding_interval_hours: int
    funding_cap: float  # highest funding rate of one settlement
    funding_floor: float  # lowest
    multiplier_up: float  # buy price at most this times the mark price
    multiplier_down: float  # sell price at least this times the mark price
    trigger_protect: float  # of the price; how far mark and last may lie apart when a protected stop triggers
    market_take_bound: float  # of the mark price; how far a market order may fill from it
    brackets: tuple[Bracket, ...]  # by ascending notional
    read_on: str  # ISO date of the answers
    brackets_read_on: str | None  # ISO date of the brackets; None where the file that recorded them has none
    inferred: tuple[str, ...]  # fields that no answer of the exchange about this symbol and account has

    def __post_init__(self) -> None:
        if not (isinstance(self.symbol, str) and self.symbol.strip()):
            raise ContractError(f"contract terms must be those of a symbol and are those of {self.symbol!r}; {_ADVICE}")
        for name in DECIMAL_FIELDS:
            value = getattr(self, name)
            is_decimal = isinstance(value, Decimal) and value.is_finite()
            self._require(is_decimal and value > 0, name, "a positive decimal number")
            is_ordinary = value < _LARGEST and int(value.normalize().as_tuple().exponent) >= -_MOST_DECIMALS
            self._require(is_ordinary, name, f"below {_LARGEST:.0E} with at most {_MOST_DECIMALS} decimals")
        for name in _POSITIVE_FIELDS:
            value = getattr(self, name)
            self._require(is_number(value) and value > 0, name, "positive")
        for name in _FRACTION_FIELDS:
            value = getattr(self, name)
            self._require(is_number(value) and 0 <= value < 1, name, "a fraction from 0 to below 1")
        self._require(self.multiplier_up > 1, "multiplier_up", "above 1, where the exchange takes orders,")
        self._require(self.multiplier_down < 1, "multiplier_down", "below 1, where the exchange takes orders,")
        hours, floor = self.funding_interval_hours, self.funding_floor
        is_interval = is_whole(hours) and 0 < hours <= _LONGEST_INTERVAL_HOURS
        self._require(is_interval, "funding_interval_hours", f"a whole number from 1 to {_LONGEST_INTERVAL_HOURS}")
        self._require(is_number(floor) and -1 < floor <= 0, "funding_floor", "a fraction from above -1 to 0")
        for low, high in _RANGES:
            most = getattr(self, high)
            self._require(getattr(self, low) <= most, low, f"at most {high}, which is {most},")
        self._require(_is_date(self.read_on), "read_on", "a date as 2026-09-15")
        are_dated = self.brackets_read_on is None or _is_date(self.brackets_read_on)
        self._require(are_dated, "brackets_read_on", "a date as 2026-09-15, or none")
        check_brackets(self.symbol, self.brackets)

    def _require(self, is_met: bool, name: str, wanted: str) -> None:
        if not is_met:
            value = getattr(self, name)
            found = str(value) if isinstance(value, Decimal) else repr(value)
            raise ContractError(f"{self.symbol} {name} must be {wanted} and is {found}; {_ADVICE}")

    @property
    def max_leverage(self) -> int:
        """The highest leverage that can be set."""
        return self.brackets[0].initial_leverage

    def check_leverage(self, leverage: float) -> None:
        """Refuse a leverage that cannot be set.

        Raises:
            ContractError: If it is no whole number from 1 to the first bracket's leverage.
        """
        if not (is_whole(leverage) and 1 <= leverage <= self.max_leverage):
            raise ContractError(
                f"leverage of {self.symbol} must be a whole number from 1 to {self.max_leverage} "
                f"and is {leverage!r}; choose one in that range"
            )

    def max_notional(self, leverage: float) -> float:
        """Return the largest notional in USDT that a position may have at this leverage."""
        self.check_leverage(leverage)
        return max(b.notional_cap for b in self.brackets if b.initial_leverage >= leverage)

    def to_json(self) -> dict[str, object]:
        """Return the terms as plain data for a manifest; decimals become strings."""
        data: dict[str, object] = asdict(self)
        data |= {name: str(getattr(self, name)) for name in DECIMAL_FIELDS}
        return data | {"brackets": [asdict(b) for b in self.brackets], "inferred": list(self.inferred)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "ContractTerms":
        """Return the terms that :meth:`to_json` wrote.

        Raises:
            ContractError: If a field is missing, unknown or unreadable.
        """
        names = {field.name for field in fields(cls)}
        if set(data) != names:
            difference = ", ".join(sorted(set(data) ^ names))
            raise ContractError(f"contract terms have a missing or unknown field ({difference}); {_ADVICE}")
        read = FieldReader(data, f"terms of {data['symbol']}")
        return cls(
            symbol=read.text("symbol"),
            tick_size=read.decimal("tick_size"),
            min_price=read.decimal("min_price"),
            max_price=read.decimal("max_price"),
            step_size=read.decimal("step_size"),
            min_quantity=read.decimal("min_quantity"),
            max_quantity=read.decimal("max_quantity"),
            limit_step_size=read.decimal("limit_step_size"),
            limit_min_quantity=read.decimal("limit_min_quantity"),
            limit_max_quantity=read.decimal("limit_max_quantity"),
            min_notional=read.number("min_notional"),
            taker_fee=read.number("taker_fee"),
            maker_fee=read.number("maker_fee"),
            bnb_discount=read.number("bnb_discount"),
            liquidation_fee=read.number("liquidation_fee"),
            funding_interval_hours=read.whole("funding_interval_hours"),
            funding_cap=read.number("funding_cap"),
            funding_floor=read.number("funding_floor"),
            multiplier_up=read.number("multiplier_up"),
            multiplier_down=read.number("multiplier_down"),
            trigger_protect=read.number("trigger_protect"),
            market_take_bound=read.number("market_take_bound"),
            brackets=tuple(_stored_bracket(bracket) for bracket in read.children("brackets")),
            read_on=read.text("read_on"),
            brackets_read_on=None if data["brackets_read_on"] is None else read.text("brackets_read_on"),
            inferred=tuple(str(name) for name in read.list("inferred")),
        )


def _is_date(text: object) -> bool:
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _stored_bracket(bracket: FieldReader) -> Bracket:
    return Bracket(
        notional_floor=bracket.number("notional_floor"),
        notional_cap=bracket.number("notional_cap"),
        maint_margin_rate=bracket.number("maint_margin_rate"),
        maint_amount=bracket.number("maint_amount"),
        initial_leverage=bracket.whole("initial_leverage"),
    )
