"""Contract terms of a symbol, read from the exchange's answers as dated data.

Every number comes from the exchange's own answers (``exchangeInfo``, ``leverageBracket``,
``commissionRate``, ``fundingInfo``) and carries the date on which they were read; the discount for fees in BNB,
which no answer has, comes from the exchange's fee schedule in ``contracts/bnb_discount.json``. What could not be
read is inferred from the recorded data or taken from ``contracts/assumed.json`` or, as fees, from the schedule for
regular users, and named in :attr:`ContractTerms.inferred`, so that a run's manifest can say so. Terms of today on data
of the past are an approximation: the exchange publishes no history of them.

Units are those of :mod:`rl_trader.contract_terms`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import pandas as pd

from rl_trader.bars import OHLC
from rl_trader.brackets import Bracket as Bracket
from rl_trader.contract_terms import DECIMAL_FIELDS
from rl_trader.contract_terms import ContractTerms as ContractTerms
from rl_trader.errors import ContractError
from rl_trader.json_fields import FieldReader, read_json_object
from rl_trader.klines import infer_step
from rl_trader.store import DataStore

_FOLDER: Final = Path(__file__).parent / "contracts"
_SHIPPED_SYMBOL: Final = "BTCUSDT"
_FILTERS: Final = ("PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE")
_FEE_FIELDS: Final = ("taker_fee", "maker_fee")
_FUNDING_FIELDS: Final = ("funding_interval_hours", "funding_cap", "funding_floor")
_INFERRED_FIELDS: Final = (
    *DECIMAL_FIELDS,
    "min_notional",
    "liquidation_fee",
    "multiplier_up",
    "multiplier_down",
    "trigger_protect",
    "market_take_bound",
)
_PRICE_ROOM: Final = 1000  # highest inferred limit price over the highest recorded price, at least
_REFERENCE: Final = Path("reference") / "leverage_brackets.json"
_FINEST: Final = Decimal("1E-8")  # of a price or an amount
_ADVICE: Final = "read the terms again with scripts.download"


def bnb_discount() -> float:
    """Return the fraction that the exchange takes off both fees where they are paid in BNB."""
    path = _FOLDER / "bnb_discount.json"
    return FieldReader(read_json_object(path), f"contracts/{path.name}").number("bnb_discount")


def terms_from_binance(answers: Mapping[str, object]) -> ContractTerms:
    """Return the terms in the exchange's answers.

    Args:
        answers: ``symbol``, ``read_on`` (ISO date) and ``exchangeInfo``, ``leverageBracket``, ``commissionRate``
            and ``fundingInfo``, each as answered or only the symbol's own part of it. The last may be absent or
            lack the symbol, since the exchange lists there only symbols that it adjusted. ``carried_over`` has the
            dates of answers that are older than ``read_on``, by their names.

    Raises:
        ContractError: If an answer is missing, unreadable or contradictory.
    """
    read = FieldReader(answers, f"terms of {answers.get('symbol', 'a symbol without a name')}")
    info, fees = _needed_part(read, "exchangeInfo"), read.child("commissionRate")
    filters = _filters(info)
    price, lot, market_lot = filters["PRICE_FILTER"], filters["LOT_SIZE"], filters["MARKET_LOT_SIZE"]
    percent = filters["PERCENT_PRICE"]
    own_funding = _own_part(read, "fundingInfo") if answers.get("fundingInfo") is not None else None
    funding = own_funding or _assumed_funding()
    return ContractTerms(
        symbol=read.text("symbol"),
        tick_size=price.decimal("tickSize"),
        min_price=price.decimal("minPrice"),
        max_price=price.decimal("maxPrice"),
        step_size=market_lot.decimal("stepSize"),
        min_quantity=market_lot.decimal("minQty"),
        max_quantity=market_lot.decimal("maxQty"),
        limit_step_size=lot.decimal("stepSize"),
        limit_min_quantity=lot.decimal("minQty"),
        limit_max_quantity=lot.decimal("maxQty"),
        min_notional=filters["MIN_NOTIONAL"].number("notional"),
        taker_fee=fees.number("takerCommissionRate"),
        maker_fee=fees.number("makerCommissionRate"),
        bnb_discount=bnb_discount(),
        liquidation_fee=info.number("liquidationFee"),
        funding_interval_hours=funding.whole("fundingIntervalHours"),
        funding_cap=funding.number("adjustedFundingRateCap"),
        funding_floor=funding.number("adjustedFundingRateFloor"),
        multiplier_up=percent.number("multiplierUp"),
        multiplier_down=percent.number("multiplierDown"),
        trigger_protect=info.number("triggerProtect"),
        market_take_bound=info.number("marketTakeBound"),
        brackets=_brackets(_needed_part(read, "leverageBracket")),
        read_on=read.text("read_on"),
        brackets_read_on=_date_of(read, "leverageBracket"),
        inferred=() if own_funding else _FUNDING_FIELDS,
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

    Raises:
        ContractError: If one of them is missing, or lacks what the exchange answered.
    """
    parsed = {"market": market, "tiers": list(tiers) if isinstance(tiers, Iterable) else tiers, "fee": fee}
    read = FieldReader(parsed | {"funding": funding}, "what ccxt made of the terms")
    symbol = read.child("market").text("id")
    answers: dict[str, object] = {
        "symbol": symbol,
        "read_on": read_on,
        "exchangeInfo": read.child("market").child("info").data,
        "leverageBracket": {
            "symbol": symbol,
            "brackets": [tier.child("info").data for tier in read.children("tiers")],
        },
        "commissionRate": read.child("fee").child("info").data,
    }
    if funding is not None:
        answers["fundingInfo"] = read.child("funding").child("info").data
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
    come from the folder's ``reference/leverage_brackets.json``, which has no date, fees from the shipped BTCUSDT
    file, since an account pays the same on every USDT contract: the exchange's schedule for regular users. Only
    BTCUSDT is shipped. For any other symbol tick and step are read off the recorded prices and volumes, or are the
    finest possible, and the rest is read off ``contracts/assumed.json``; all that is named as inferred.

    Raises:
        ContractError: If the terms are unreadable, or the leverage brackets are not to be had.
    """
    answers = _read_answers(symbol, store)
    inferred: tuple[str, ...] = ()
    are_dated = True
    if answers is None and symbol == _SHIPPED_SYMBOL:
        answers = _shipped_answers()
        inferred = _FEE_FIELDS
    elif answers is None:
        answers = _inferred_answers(symbol, store)
        inferred = _INFERRED_FIELDS
        are_dated = False
    if "leverageBracket" not in answers:
        answers["leverageBracket"] = _reference_brackets(symbol, store)
        are_dated = False
    if "commissionRate" not in answers:
        answers["commissionRate"] = _shipped_answers()["commissionRate"]
        inferred += _FEE_FIELDS
    terms = terms_from_binance(answers)
    brackets_read_on = terms.brackets_read_on if are_dated else None
    return replace(terms, brackets_read_on=brackets_read_on, inferred=inferred + terms.inferred)


def _read_answers(symbol: str, store: DataStore | None) -> dict[str, object] | None:
    path = store.contract_terms_path(symbol) if store else None
    if path is None or not path.exists():
        return None
    answers = read_json_object(path)
    if answers.get("symbol") != symbol:
        raise ContractError(f"{path} must hold the terms of {symbol}, not of {answers.get('symbol')}; {_ADVICE}")
    return answers


def _shipped_answers() -> dict[str, object]:
    return read_json_object(_FOLDER / f"{_SHIPPED_SYMBOL}.json")


def _inferred_answers(symbol: str, store: DataStore | None) -> dict[str, object]:
    if store is None:
        raise ContractError(
            f"terms of {symbol} are not shipped, only those of {_SHIPPED_SYMBOL}, and no data folder is "
            f"given; run scripts.download {symbol} and name its folder"
        )
    recorded = store.intervals(symbol)
    if not recorded and symbol not in _reference_table(store):
        recorded = ["1d"]  # none: the store says which symbols it has
    klines = store.klines(symbol, recorded[-1]) if recorded else None
    brackets = _reference_brackets(symbol, store)
    last_cap = _brackets(FieldReader(brackets, symbol))[-1].notional_cap
    assumed = FieldReader(read_json_object(_FOLDER / "assumed.json"), "contracts/assumed.json")
    info = assumed.child("exchangeInfo")
    return {
        "symbol": symbol,
        "read_on": assumed.text("read_on"),
        "exchangeInfo": {**info.data, "filters": [*info.list("filters"), *_inferred_filters(klines, last_cap)]},
        "leverageBracket": brackets,
    }


def _inferred_filters(klines: pd.DataFrame | None, last_cap: float) -> list[dict[str, object]]:
    """Return the filters that the recorded prices and volumes allow; the lots of limit and market orders are alike.

    The largest order and the highest price are not recorded: powers of ten, beyond the last bracket's cap and far
    above the recorded prices, let the brackets and the mark price be the limit. Where nothing is recorded, tick and
    step are the finest that the exchange writes.
    """
    tick = step = _FINEST
    lowest_price = highest_price = 1.0
    if klines is not None:
        tick, step = infer_step(klines[list(OHLC)].to_numpy()), infer_step(klines["volume"].to_numpy())
        lowest_price, highest_price = float(klines["low"].min()), float(klines["high"].max())
    most = max(_power_of_ten(last_cap / lowest_price), step)
    highest = _power_of_ten(highest_price * _PRICE_ROOM)
    lot: dict[str, object] = {"minQty": step, "stepSize": step, "maxQty": most}
    return [
        {"filterType": "PRICE_FILTER", "tickSize": tick, "minPrice": tick, "maxPrice": highest},
        {"filterType": "LOT_SIZE"} | lot,
        {"filterType": "MARKET_LOT_SIZE"} | lot,
    ]


def _power_of_ten(least: float) -> Decimal:
    return Decimal(10) ** math.ceil(math.log10(least))


def _own_part(read: FieldReader, name: str) -> FieldReader | None:
    """Return the symbol's own part of an answer, given alone or in a list of all symbols; None if not listed."""
    whole = read.data.get(name)
    if isinstance(whole, list):
        entries = read.children(name)
    elif isinstance(whole, Mapping) and "symbols" in whole:
        entries = read.child(name).children("symbols")
    else:
        return read.child(name)
    return next((entry for entry in entries if entry.text("symbol") == read.text("symbol")), None)


def _needed_part(read: FieldReader, name: str) -> FieldReader:
    part = _own_part(read, name)
    if part is None:
        raise ContractError(f"{name} must list {read.text('symbol')} and does not; {_ADVICE}")
    return part


def _date_of(read: FieldReader, name: str) -> str:
    """Return the date of an answer, which may have been carried over from an earlier day."""
    older = read.child("carried_over") if "carried_over" in read.data else None
    return older.text(name) if older is not None and name in older.data else read.text("read_on")


def _filters(info: FieldReader) -> dict[str, FieldReader]:
    filters = {part.text("filterType"): part for part in info.children("filters")}
    for name in _FILTERS:
        if name not in filters:
            raise ContractError(f"{info.where} must have a filter {name} and has {', '.join(filters)}; {_ADVICE}")
    return filters


def _assumed_funding() -> FieldReader:
    assumed = read_json_object(_FOLDER / "assumed.json")
    return FieldReader(assumed, "contracts/assumed.json").child("fundingInfo")


def _reference_brackets(symbol: str, store: DataStore | None) -> dict[str, object]:
    table = _reference_table(store)
    if symbol not in table:
        raise ContractError(
            f"leverage brackets of {symbol} are needed and {store.root / _REFERENCE if store else 'no data folder'} "
            f"has none; run scripts.download {symbol} with an API key, which fetches them"
        )
    return {"symbol": symbol, "brackets": table[symbol]}


def _reference_table(store: DataStore | None) -> dict[str, object]:
    path = store.root / _REFERENCE if store else None
    return read_json_object(path) if path and path.exists() else {}


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
