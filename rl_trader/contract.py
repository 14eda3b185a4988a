"""Contract terms of a symbol: filters, fees, funding limits and leverage brackets, as dated data.

Every number comes from the exchange's own answers (``exchangeInfo``, ``leverageBracket``,
``commissionRate``, ``fundingInfo``) and carries the date on which they were read. What could not be read is
inferred from the recorded data or taken from ``contracts/assumed.json``, and named in
:attr:`ContractTerms.inferred`, so that a run's manifest can say so. Terms of today on data of the past are
an approximation: the exchange publishes no history of them.

Units: prices in USDT per unit of the base asset, quantities in base asset, notionals and amounts in USDT,
fees and rates as fractions. What the exchange writes as a decimal string and orders must be a multiple of is
a ``Decimal``.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from rl_trader.bars import OHLC
from rl_trader.brackets import Bracket as Bracket
from rl_trader.brackets import check_brackets
from rl_trader.errors import ContractError
from rl_trader.json_fields import FieldReader, read_json_object
from rl_trader.klines import infer_step
from rl_trader.store import DataStore

DECIMAL_FIELDS: Final = ("tick_size", "step_size", "min_quantity", "max_quantity")

_FOLDER: Final = Path(__file__).parent / "contracts"
_SHIPPED_SYMBOL: Final = "BTCUSDT"
_INFERRED_FIELDS: Final = (
    *DECIMAL_FIELDS,
    "min_notional",
    "liquidation_fee",
    "multiplier_up",
    "multiplier_down",
    "trigger_protect",
    "market_take_bound",
)
_ADVICE: Final = "read the terms again with scripts.download"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractTerms:
    """What the exchange demands of one symbol's orders and positions.

    Raises:
        ContractError: If a number is out of range or the brackets contradict each other.
    """

    symbol: str
    tick_size: Decimal  # USDT; prices are multiples of it
    step_size: Decimal  # base asset; market orders are multiples of it
    min_quantity: Decimal  # base asset, of a market order
    max_quantity: Decimal  # base asset, of a market order
    min_notional: float  # USDT, of an order that does not only reduce
    taker_fee: float  # of the notional
    maker_fee: float  # of the notional
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
    inferred: tuple[str, ...]  # fields that were not read from the exchange

    def __post_init__(self) -> None:
        for name in DECIMAL_FIELDS:
            value = getattr(self, name)
            self._require(value.is_finite() and value > 0, name, "positive")
        for name in (
            "min_notional",
            "multiplier_up",
            "multiplier_down",
            "trigger_protect",
            "market_take_bound",
        ):
            value = getattr(self, name)
            self._require(math.isfinite(value) and value > 0, name, "positive")
        for name in ("taker_fee", "maker_fee", "liquidation_fee"):
            self._require(0 <= getattr(self, name) < 1, name, "a fraction from 0 to below 1")
        self._require(self.funding_interval_hours > 0, "funding_interval_hours", "positive")
        self._require(0 <= self.funding_cap < 1, "funding_cap", "a fraction from 0 to below 1")
        self._require(-1 < self.funding_floor <= 0, "funding_floor", "a fraction from above -1 to 0")
        self._require(self.min_quantity <= self.max_quantity, "min_quantity", "at most max_quantity")
        check_brackets(self.symbol, self.brackets)

    def _require(self, is_met: bool, name: str, wanted: str) -> None:
        if not is_met:
            raise ContractError(f"{self.symbol} {name} must be {wanted} and is {getattr(self, name)}; {_ADVICE}")

    @property
    def max_leverage(self) -> int:
        """The highest leverage that can be set."""
        return self.brackets[0].initial_leverage

    def check_leverage(self, leverage: float) -> None:
        """Refuse a leverage that cannot be set.

        Raises:
            ContractError: If it is no whole number from 1 to the first bracket's leverage.
        """
        if not (1 <= leverage <= self.max_leverage and leverage == int(leverage)):
            raise ContractError(
                f"leverage of {self.symbol} must be a whole number from 1 to {self.max_leverage} "
                f"and is {leverage}; choose one in that range"
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
            step_size=read.decimal("step_size"),
            min_quantity=read.decimal("min_quantity"),
            max_quantity=read.decimal("max_quantity"),
            min_notional=read.number("min_notional"),
            taker_fee=read.number("taker_fee"),
            maker_fee=read.number("maker_fee"),
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
            inferred=tuple(str(name) for name in read.list("inferred")),
        )


def terms_from_binance(answers: Mapping[str, object]) -> ContractTerms:
    """Return the terms in the exchange's answers.

    Args:
        answers: ``symbol``, ``read_on`` (ISO date) and the symbol's own part of ``exchangeInfo``,
            ``leverageBracket``, ``commissionRate`` and ``fundingInfo``, as answered; the last may be absent,
            since the exchange lists there only symbols that it adjusted.

    Raises:
        ContractError: If an answer is missing, unreadable or contradictory.
    """
    read = FieldReader(answers, f"terms of {answers.get('symbol', 'a symbol without a name')}")
    info, fees = read.child("exchangeInfo"), read.child("commissionRate")
    filters = _filters(info)
    lot, percent = filters["MARKET_LOT_SIZE"], filters["PERCENT_PRICE"]
    has_funding = answers.get("fundingInfo") is not None
    funding = read.child("fundingInfo") if has_funding else _assumed_funding()
    return ContractTerms(
        symbol=read.text("symbol"),
        tick_size=filters["PRICE_FILTER"].decimal("tickSize"),
        step_size=lot.decimal("stepSize"),
        min_quantity=lot.decimal("minQty"),
        max_quantity=lot.decimal("maxQty"),
        min_notional=filters["MIN_NOTIONAL"].number("notional"),
        taker_fee=fees.number("takerCommissionRate"),
        maker_fee=fees.number("makerCommissionRate"),
        liquidation_fee=info.number("liquidationFee"),
        funding_interval_hours=funding.whole("fundingIntervalHours"),
        funding_cap=funding.number("adjustedFundingRateCap"),
        funding_floor=funding.number("adjustedFundingRateFloor"),
        multiplier_up=percent.number("multiplierUp"),
        multiplier_down=percent.number("multiplierDown"),
        trigger_protect=info.number("triggerProtect"),
        market_take_bound=info.number("marketTakeBound"),
        brackets=_brackets(read.child("leverageBracket")),
        read_on=read.text("read_on"),
        inferred=() if has_funding else ("funding_interval_hours", "funding_cap", "funding_floor"),
    )


def answers_from_ccxt(
    market: Mapping[str, object],
    tiers: Iterable[Mapping[str, object]],
    fee: Mapping[str, object],
    *,
    read_on: str,
    funding: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the exchange's answers out of what ccxt made of them; this is the content of a contract file.

    Args:
        market: ccxt's market of the symbol.
        tiers: Its list of leverage tiers.
        fee: Its trading fee.
        read_on: ISO date on which they were fetched.
        funding: Its funding interval, if fetched.
    """
    answers: dict[str, object] = {
        "symbol": market["id"],
        "read_on": read_on,
        "exchangeInfo": market["info"],
        "leverageBracket": {"symbol": market["id"], "brackets": [tier["info"] for tier in tiers]},
        "commissionRate": fee["info"],
    }
    if funding is not None:
        answers["fundingInfo"] = funding["info"]
    return answers


def terms_from_ccxt(
    market: Mapping[str, object],
    tiers: Iterable[Mapping[str, object]],
    fee: Mapping[str, object],
    *,
    read_on: str,
    funding: Mapping[str, object] | None = None,
) -> ContractTerms:
    """Return the terms in ccxt's forms of the exchange's answers (:func:`answers_from_ccxt`)."""
    return terms_from_binance(answers_from_ccxt(market, tiers, fee, read_on=read_on, funding=funding))


def load_terms(symbol: str, store: DataStore | None = None) -> ContractTerms:
    """Return the terms of a symbol from the data folder, else from this package, else inferred.

    The folder's ``contracts/<SYMBOL>.json`` holds the exchange's answers; leverage brackets that it lacks
    come from the folder's ``reference/leverage_brackets.json``, fees from the shipped BTCUSDT file, since an
    account pays the same on every USDT contract. Only BTCUSDT is shipped. For any other symbol tick and step
    are read off the recorded prices and volumes, and the rest off ``contracts/assumed.json``; all that is
    named as inferred.

    Raises:
        ContractError: If the terms are unreadable, or nothing is recorded from which to infer them.
    """
    answers = _read_answers(symbol, store)
    inferred: tuple[str, ...] = ()
    if answers is None:
        answers = _inferred_answers(symbol, store)
        inferred = _INFERRED_FIELDS
    if "leverageBracket" not in answers:
        answers["leverageBracket"] = _reference_brackets(symbol, store)
    if "commissionRate" not in answers:
        answers["commissionRate"] = read_json_object(_FOLDER / "BTCUSDT.json")["commissionRate"]
    terms = terms_from_binance(answers)
    return replace(terms, inferred=inferred + terms.inferred)


def _read_answers(symbol: str, store: DataStore | None) -> dict[str, object] | None:
    path = store.contract_terms_path(symbol) if store else None
    if path is None or not path.exists():
        return read_json_object(_FOLDER / "BTCUSDT.json") if symbol == _SHIPPED_SYMBOL else None
    answers = read_json_object(path)
    if answers.get("symbol") != symbol:
        raise ContractError(f"{path} must hold the terms of {symbol}, not of {answers.get('symbol')}; {_ADVICE}")
    return answers


def _inferred_answers(symbol: str, store: DataStore | None) -> dict[str, object]:
    if store is None:
        raise ContractError(
            f"terms of {symbol} are not shipped, only those of {_SHIPPED_SYMBOL}, and no data folder is "
            f"given; run scripts.download {symbol} and name its folder"
        )
    recorded = store.intervals(symbol) or ["1d"]  # none: the store says which symbols it has
    klines = store.klines(symbol, recorded[-1])
    tick, step = infer_step(klines[list(OHLC)].to_numpy()), infer_step(klines["volume"].to_numpy())
    brackets = _reference_brackets(symbol, store)
    # The largest order is not recorded: a power of ten beyond the last bracket lets the brackets be the limit.
    largest = _brackets(FieldReader(brackets, symbol))[-1].notional_cap / float(klines["low"].min())
    most = Decimal(10) ** math.ceil(math.log10(largest))
    lot = {"filterType": "MARKET_LOT_SIZE", "minQty": step, "stepSize": step, "maxQty": max(most, step)}
    assumed = FieldReader(read_json_object(_FOLDER / "assumed.json"), "contracts/assumed.json")
    info = assumed.child("exchangeInfo")
    filters = [*info.list("filters"), {"filterType": "PRICE_FILTER", "tickSize": tick}, lot]
    return {
        "symbol": symbol,
        "read_on": assumed.text("read_on"),
        "exchangeInfo": {**info.data, "filters": filters},
        "leverageBracket": brackets,
    }


def _filters(info: FieldReader) -> dict[str, FieldReader]:
    filters = {part.text("filterType"): part for part in info.children("filters")}
    for name in ("PRICE_FILTER", "MARKET_LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE"):
        if name not in filters:
            raise ContractError(f"{info.where} must have a filter {name} and has {', '.join(filters)}; {_ADVICE}")
    return filters


def _assumed_funding() -> FieldReader:
    assumed = read_json_object(_FOLDER / "assumed.json")
    return FieldReader(assumed, "contracts/assumed.json").child("fundingInfo")


def _reference_brackets(symbol: str, store: DataStore | None) -> dict[str, object]:
    path = store.root / "reference" / "leverage_brackets.json" if store else None
    table = read_json_object(path) if path and path.exists() else {}
    if symbol not in table:
        raise ContractError(
            f"leverage brackets of {symbol} are needed and {path or 'no data folder'} has none; "
            f"run scripts.download {symbol} with an API key, which fetches them"
        )
    return {"symbol": symbol, "brackets": table[symbol]}


def _stored_bracket(bracket: FieldReader) -> Bracket:
    return Bracket(
        notional_floor=bracket.number("notional_floor"),
        notional_cap=bracket.number("notional_cap"),
        maint_margin_rate=bracket.number("maint_margin_rate"),
        maint_amount=bracket.number("maint_amount"),
        initial_leverage=bracket.whole("initial_leverage"),
    )


def _brackets(answer: FieldReader) -> tuple[Bracket, ...]:
    return tuple(
        Bracket(
            notional_floor=bracket.number("notionalFloor"),
            notional_cap=bracket.number("notionalCap"),
            maint_margin_rate=bracket.number("maintMarginRatio"),
            maint_amount=bracket.number("cum"),
            initial_leverage=bracket.whole("initialLeverage"),
        )
        for bracket in answer.children("brackets")
    )
