"""The terms of symbols that are followed: filters and funding of today, brackets and fees from elsewhere.

Leverage brackets and an account's fees are answered only to a key, and following uses none: they are those of the data
folder, or of this package (:func:`rl_trader.contract.load_terms`).

Times in milliseconds since 1970 UTC.
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np

from rl_trader.bars import BAR_DTYPE, FUNDING_DTYPE, MARK_OHLC, OHLC
from rl_trader.contract import Bracket, load_terms, terms_from_binance
from rl_trader.contract_terms import ContractTerms
from rl_trader.errors import ConfigError, DataError
from rl_trader.local_exchange.market.candles import Series
from rl_trader.local_exchange.market.listing import Listing
from rl_trader.local_exchange.market.live_history import LiveRecording, Places
from rl_trader.local_exchange.market.live_news import Kline
from rl_trader.local_exchange.market.live_questions import (
    EXCHANGE_INFO,
    FUNDING_INFO,
    Ask,
    Question,
    Snapshot,
    ask_begin,
)
from rl_trader.local_exchange.wire import places
from rl_trader.store import DataStore

_TRADING: Final = "TRADING"
_KEYED_FIELDS: Final = ("taker_fee", "maker_fee")
_EXTRAS: Final = ("quote_volume", "trades", "taker_buy_volume")
_MOST_UNITS: Final = 4e18  # that are counted in 64 bits
_GROWTH: Final = 1000  # room for what is still to be traded, over what was traded


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beginning:
    """From where on a symbol is followed."""

    recording: LiveRecording
    snapshot: Snapshot


async def ask_beginnings(
    ask: Ask,
    symbols: Sequence[str],
    interval: str,
    num_bars: int,
    data: Path | None,
    keyed: Mapping[str, ContractTerms] | None = None,
) -> tuple[Beginning, ...]:
    """Return terms and past of symbols.

    Args:
        ask: Answers questions.
        symbols: Which.
        interval: Of the bars.
        num_bars: How many of the past.
        data: Data folder whose leverage brackets and fees are taken; None takes those of this package.
        keyed: Terms by symbol whose brackets and fees are taken instead.

    Raises:
        ConfigError: If the followed exchange does not trade a symbol.
        ContractError: If a symbol's terms cannot be used, or its leverage brackets are not at hand.
        DataError: If an answer has another form than the exchange's.
    """
    entries = _by_symbol(await ask(Question(EXCHANGE_INFO, {})), EXCHANGE_INFO)
    fundings = _by_symbol(await ask(Question(FUNDING_INFO, {})), FUNDING_INFO)
    store = None if data is None else DataStore(data)
    known = keyed or {symbol: load_terms(symbol, store) for symbol in symbols if symbol in entries}
    beginnings = []
    for symbol in symbols:
        entry = entries.get(symbol)
        if entry is None or entry.get("status") != _TRADING:
            found = "does not list" if entry is None else f"has with the status {entry.get('status')}"
            raise ConfigError(
                f"a symbol that is followed must be traded there and the followed exchange {found} {symbol}; "
                f"choose one such as {', '.join(sorted(entries)[:3])}"
            )
        listing = Listing(entry, fundings.get(symbol))
        snapshot = await ask_begin(ask, symbol, interval, num_bars)
        read_on = dt.datetime.fromtimestamp(snapshot.now.time_ms / 1000, dt.UTC).date()
        recording = _recording(_terms(known[symbol], listing, f"{read_on}"), listing, interval, snapshot)
        beginnings.append(Beginning(recording=recording, snapshot=snapshot))
    return tuple(beginnings)


def describe_terms(terms: ContractTerms) -> str:
    """Return a sentence about where the terms of a symbol come from."""
    brackets = f"brackets of {terms.brackets_read_on}" if terms.brackets_read_on else "brackets without a date"
    fees = "fees assumed" if set(_KEYED_FIELDS) & set(terms.inferred) else "fees of an account"
    return (
        f"{terms.symbol}: filters of {terms.read_on} as answered, {brackets}, {fees} (no key is used to ask for them)"
    )


def _terms(known: ContractTerms, listing: Listing, read_on: str) -> ContractTerms:
    """Return the terms that are answered today, with brackets and fees that are known."""
    symbol = known.symbol
    answers: dict[str, object] = {
        "symbol": symbol,
        "read_on": read_on,
        "exchangeInfo": listing.info,
        "leverageBracket": {
            "symbol": symbol,
            "brackets": [_bracket(bracket) for bracket in known.brackets],
        },
        "commissionRate": {"takerCommissionRate": known.taker_fee, "makerCommissionRate": known.maker_fee},
    }
    if listing.funding is not None:
        answers["fundingInfo"] = listing.funding
    terms = terms_from_binance(answers)
    inferred = tuple(name for name in known.inferred if name in _KEYED_FIELDS)
    return replace(terms, brackets_read_on=known.brackets_read_on, inferred=inferred + terms.inferred)


def _bracket(bracket: Bracket) -> dict[str, object]:
    """Return a bracket as ``leverageBracket`` has it."""
    return {
        "notionalFloor": bracket.notional_floor,
        "notionalCap": bracket.notional_cap,
        "maintMarginRatio": bracket.maint_margin_rate,
        "cum": bracket.maint_amount,
        "initialLeverage": bracket.initial_leverage,
    }


def _recording(terms: ContractTerms, listing: Listing, interval: str, snapshot: Snapshot) -> LiveRecording:
    klines = snapshot.klines[Series.LAST]
    marks = {mark.open_time: mark for mark in snapshot.klines[Series.MARK]}
    bars, fundings = np.zeros(len(klines), BAR_DTYPE), np.zeros(len(snapshot.fundings), FUNDING_DTYPE)
    for row, kline in enumerate(klines):
        bars["open_time"][row] = kline.open_time
        for last, mark in zip(OHLC, MARK_OHLC, strict=True):
            bars[last][row] = getattr(kline, last)
            bars[mark][row] = getattr(marks.get(kline.open_time, kline), last)
    for name, of_settlement in (("funding_time", "time_ms"), ("funding_rate", "rate"), ("mark_price", "mark_price")):
        fundings[name] = [float(getattr(settlement, of_settlement)) for settlement in snapshot.fundings]
    volume = np.array([float(kline.volume) for kline in klines])
    bars["volume"] = volume
    extras = {name: np.array([float(getattr(kline, name)) for kline in klines]) for name in _EXTRAS}
    return LiveRecording(
        contract=terms,
        interval=interval,
        bars=bars,
        volume=volume,
        extras=extras,
        fundings=fundings,
        listing=listing,
        written=_places(terms, klines),
    )


def _places(terms: ContractTerms, klines: Sequence[Kline]) -> Places:
    """Return the digits that numbers were answered with, of quote volumes no more than 64 bits can count."""
    quote_volume = float(sum(kline.quote_volume for kline in klines)) + 1.0
    countable = int(math.log10(_MOST_UNITS / quote_volume / _GROWTH))
    return Places(
        price=max(places(terms.tick_size), _digits(price for kline in klines for price in kline[1:5])),
        amount=max(places(terms.limit_step_size), _digits(kline.volume for kline in klines)),
        quote=max(min(_digits(kline.quote_volume for kline in klines), countable), 0),
    )


def _digits(values: Iterable[Decimal]) -> int:
    return max(places(value) for value in values)


def _by_symbol(answer: object, endpoint: str) -> dict[str, Mapping[str, object]]:
    """Return the entries of an answer that is a list of them, or has one as ``symbols``."""
    entries = answer.get("symbols") if isinstance(answer, Mapping) else answer
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise DataError(f"{endpoint} must list symbols and is {str(answer)[:80]}; check the address that is followed")
    return {str(entry.get("symbol")): entry for entry in entries}
