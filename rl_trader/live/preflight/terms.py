"""The exchange's terms of today beside those of the training, and what the account's size and leverage ask of them.

Money in USDT.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from rl_trader.brackets import Bracket
from rl_trader.config import TradingConfig
from rl_trader.contract_terms import ContractTerms
from rl_trader.live.preflight.finding import Finding
from rl_trader.live.reading import UnreadableError, number, whole

Row = Mapping[str, Any]

_PAID_IN: Final = {False: "USDT", True: "BNB"}


class Step(NamedTuple):
    """One leverage bracket, as far as it is compared."""

    cap: Decimal  # largest notional
    leverage: int  # highest that may carry it
    maint_margin_rate: Decimal


def check_symbol(rows: Sequence[Row], terms: ContractTerms) -> list[Finding]:
    """Return whether a symbol trades, and where its filters differ from the training's.

    Args:
        rows: Symbols of the exchange's information.
        terms: Of training.

    Raises:
        UnreadableError: If a filter lacks a number.
    """
    symbol = terms.symbol
    row = next((row for row in rows if row.get("symbol") == symbol), None)
    if row is None:
        return [Finding("refuse", f"{symbol} must be traded at the exchange and is not; choose another run")]
    if row.get("status") != "TRADING":
        return [Finding("refuse", f"{symbol} must be trading and is {row.get('status')}; wait until it is")]
    filters = {each.get("filterType"): each for each in row.get("filters", ())}
    price, lot, notional = (filters.get(name, {}) for name in ("PRICE_FILTER", "MARKET_LOT_SIZE", "MIN_NOTIONAL"))
    pairs = (
        ("tick size", terms.tick_size, number(price, "tickSize")),
        ("step size", terms.step_size, number(lot, "stepSize")),
        ("smallest amount", terms.min_quantity, number(lot, "minQty")),
        ("largest amount", terms.max_quantity, number(lot, "maxQty")),
        ("smallest notional", Decimal(repr(terms.min_notional)), number(notional, "notional")),
    )
    return [_compared(f"{name} of {symbol}", trained, today) for name, trained, today in pairs]


def check_fees(row: Row, terms: ContractTerms) -> list[Finding]:
    """Return where the account's fees differ from the training's.

    Raises:
        UnreadableError: If one is missing.
    """
    pairs = (
        ("the taker fee", terms.taker_fee, number(row, "takerCommissionRate")),
        ("the maker fee", terms.maker_fee, number(row, "makerCommissionRate")),
    )
    return [_compared(name, Decimal(repr(trained)), today) for name, trained, today in pairs]


def check_fee_burn(row: Row, trading: TradingConfig) -> Finding:
    """Return whether the account pays its fees in what the run was trained to pay them in.

    Raises:
        UnreadableError: If it is not said.
    """
    if not isinstance(row.get("feeBurn"), bool):
        raise UnreadableError("feeBurn must be true or false and is not")
    found, wanted = (_PAID_IN[in_bnb] for in_bnb in (row["feeBurn"], trading.fees_in_bnb))
    if found == wanted:
        return Finding("ok", f"fees are paid in {found}")
    return Finding("note", f"fees are paid in {found}, and in {wanted} in training; change it at the exchange")


def steps_of(rows: Sequence[Row], symbol: str) -> tuple[Step, ...]:
    """Return the brackets that the exchange answers for a symbol, the lowest first; none where it answers none.

    Raises:
        UnreadableError: If a number is missing.
    """
    found: Iterable[Row] = next((row.get("brackets", ()) for row in rows if row.get("symbol") == symbol), ())
    steps = [Step(number(b, "notionalCap"), whole(b, "initialLeverage"), number(b, "maintMarginRatio")) for b in found]
    return tuple(sorted(steps))


def check_brackets(steps: Sequence[Step], terms: ContractTerms, leverage: int, largest: Decimal) -> list[Finding]:
    """Return whether the exchange lets a position be as large as it may become, and where its brackets are others.

    Args:
        steps: The exchange's brackets today, the lowest first.
        terms: Of training.
        leverage: That is set.
        largest: Notional that the position may have.
    """
    symbol = terms.symbol
    allowed = max((step.cap for step in steps if step.leverage >= leverage), default=Decimal(0))
    if largest > allowed:
        return [
            Finding(
                "refuse",
                f"at leverage {leverage} the exchange allows {allowed} USDT of {symbol} and the run may hold "
                f"{largest:.2f}; lower the cap max_position_notional, or deploy a run of lower leverage",
            )
        ]
    findings = [Finding("ok", f"leverage {leverage} may carry up to {allowed} USDT of {symbol}, {largest:.2f} is held")]
    if tuple(steps) == tuple(_step(bracket) for bracket in terms.brackets):
        return [*findings, Finding("ok", f"brackets of {symbol} are those of training")]
    return [*findings, Finding("note", f"brackets of {symbol} are others than in training, read {_day(terms)}")]


def _step(bracket: Bracket) -> Step:
    return Step(
        Decimal(repr(float(bracket.notional_cap))),
        bracket.initial_leverage,
        Decimal(repr(float(bracket.maint_margin_rate))),
    )


def _day(terms: ContractTerms) -> str:
    return f"on {terms.brackets_read_on}" if terms.brackets_read_on else "on a day that is not recorded"


def _compared(name: str, trained: Decimal, today: Decimal) -> Finding:
    if trained == today:
        return Finding("ok", f"{name} is {today}")
    return Finding("note", f"{name} is {today}, and {trained} in training")
