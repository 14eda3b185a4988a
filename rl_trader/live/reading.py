"""What the exchange writes, as the core's events: read tolerantly, since fields come and go.

Only the fields that are used are looked at; one of them that is missing or no number makes the whole text unreadable,
and an unreadable text tells nothing. Words that are not known are handed on as they are, and count as unknown.

Sources: the API documentation of USD-M futures, "User Data Streams" and the endpoints' pages (read in autumn 2026).
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from rl_trader.errors import RlTraderError
from rl_trader.live.core.events import (
    AccountSeen,
    Event,
    FillSeen,
    IncomeSeen,
    OrderSeen,
    SettingsSeen,
    Snapshot,
    SymbolSeen,
)
from rl_trader.live.core.intents import ZERO

Row = Mapping[str, Any]
MARGIN_TYPES: Final = {"isolated": "ISOLATED", "cross": "CROSSED"}  # a run's and events' words, as answers have them
TRADE_INCOME: Final = ("REALIZED_PNL", "COMMISSION")  # that fills tell of

_USDT: Final = "USDT"


class UnreadableError(RlTraderError):
    """A text of the exchange that lacks what is needed of it."""


def number(row: Row, name: str) -> Decimal:
    """Return a number that is written as text.

    Raises:
        UnreadableError: If it is missing or none.
    """
    try:
        value = Decimal(str(row[name]))
    except (KeyError, InvalidOperation):
        raise UnreadableError(f"field {name!r} must be a number and is {row.get(name)!r}") from None
    if not value.is_finite():
        raise UnreadableError(f"field {name!r} must be a number and is {row[name]!r}")
    return value


def _told(row: Row, name: str) -> Decimal:
    """Return a number that may be missing, and is 0 then."""
    return number(row, name) if row.get(name) else ZERO


def whole(row: Row, name: str) -> int:
    """Return a whole number.

    Raises:
        UnreadableError: If it is missing or none.
    """
    value = number(row, name)
    if value != value.to_integral_value():
        raise UnreadableError(f"field {name!r} must be a whole number and is {row[name]!r}")
    return int(value)


def _part(row: Row, name: str) -> Row:
    value = row.get(name)
    if not isinstance(value, Mapping):
        raise UnreadableError(f"field {name!r} must be an object and is {value!r}")
    return value


def _truth(row: Row, name: str) -> bool:
    value = row.get(name)
    if not isinstance(value, bool):
        raise UnreadableError(f"field {name!r} must be true or false and is {value!r}")
    return value


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise UnreadableError(f"field {name!r} must be text and is {value!r}")
    return value


def _signed(row: Row, side: str, amount: str) -> Decimal:
    sides = {"BUY": 1, "SELL": -1}
    if row.get(side) not in sides:
        raise UnreadableError(f"field {side!r} must be BUY or SELL and is {row.get(side)!r}")
    return sides[row[side]] * number(row, amount)


# The user data stream


def user_events(data: Row, symbol: str) -> list[Event]:
    """Return what an event of the user data stream tells of a symbol; nothing where it tells nothing that is needed.

    Raises:
        UnreadableError: If it is no event, or a field that is needed is missing or no number.
    """
    match _text(data, "e"):
        case "ORDER_TRADE_UPDATE":
            return _order_events(data, symbol)
        case "ALGO_UPDATE":
            return _algo_events(data, symbol)
        case "ACCOUNT_UPDATE":
            return [*_account_events(data, symbol), *_margin_type_events(data, symbol)]
        case "ACCOUNT_CONFIG_UPDATE":
            return _config_events(data, symbol)
    return []


def _order_events(data: Row, symbol: str) -> list[Event]:
    order = _part(data, "o")
    if order.get("s") != symbol:
        return []
    t_ms, client_id, order_id = whole(data, "T"), _text(order, "c"), whole(order, "i")
    events: list[Event] = []
    if order.get("x") in ("TRADE", "CALCULATED") and number(order, "l"):
        events.append(
            FillSeen(
                t_ms=t_ms,
                trade_id=whole(order, "t"),
                order_id=order_id,
                client_id=client_id,
                amount=_signed(order, "S", "l"),
                price=number(order, "L"),
                realized=number(order, "rp"),
                commission=number(order, "n") if "n" in order else ZERO,
                commission_asset=_text(order, "N") if "N" in order else _USDT,
            )
        )
    status, executed = _text(order, "X"), number(order, "z")
    return [
        *events,
        OrderSeen(t_ms=t_ms, client_id=client_id, order_id=order_id, status=status, executed=executed),
    ]


def _algo_events(data: Row, symbol: str) -> list[Event]:
    order = _part(data, "o")
    if order.get("s") != symbol:
        return []
    return [
        OrderSeen(
            t_ms=whole(data, "T"),
            client_id=_text(order, "caid"),
            order_id=whole(order, "aid"),
            status=_text(order, "X"),
            executed=number(order, "aq"),
        )
    ]


def _account_events(data: Row, symbol: str) -> list[Event]:
    """Return wallet and position, where both are told; a wallet alone is found by the next reading."""
    account = _part(data, "a")
    wallets = [row for row in account.get("B", ()) if row.get("a") == _USDT]
    positions = [row for row in account.get("P", ()) if row.get("s") == symbol and row.get("ps") == "BOTH"]
    if not wallets or not positions:
        return []
    wallet, position = wallets[0], positions[0]
    amount = number(position, "pa")
    return [
        AccountSeen(
            t_ms=whole(data, "T"),
            wallet_balance=number(wallet, "wb"),
            amount=amount,
            entry_price=number(position, "ep") if amount else ZERO,
            isolated_wallet=number(position, "iw"),
            reason=str(account.get("m")),
        )
    ]


def _margin_type_events(data: Row, symbol: str) -> list[Event]:
    account = _part(data, "a")
    if account.get("m") != "MARGIN_TYPE_CHANGE":
        return []
    return [
        SettingsSeen(t_ms=whole(data, "T"), margin_type=MARGIN_TYPES.get(_text(row, "mt")))
        for row in account.get("P", ())
        if row.get("s") == symbol
    ]


def _config_events(data: Row, symbol: str) -> list[Event]:
    t_ms, leverage, mode = whole(data, "T"), data.get("ac"), data.get("ai")
    events: list[Event] = []
    if isinstance(leverage, Mapping) and leverage.get("s") == symbol:
        events.append(SettingsSeen(t_ms=t_ms, leverage=whole(leverage, "l")))
    if isinstance(mode, Mapping):
        events.append(SettingsSeen(t_ms=t_ms, is_multi_assets=_truth(mode, "j")))
    return events


# Answers


def settings_seen(t_ms: int, account: Row, of_symbol: Row) -> SettingsSeen:
    """Return how the account is set up, as ``accountConfig`` and the symbol's row of ``symbolConfig`` have it.

    Raises:
        UnreadableError: If a field that is needed is missing.
    """
    return SettingsSeen(
        t_ms=t_ms,
        leverage=whole(of_symbol, "leverage"),
        margin_type=_text(of_symbol, "marginType"),
        is_hedged=_truth(account, "dualSidePosition"),
        is_multi_assets=_truth(account, "multiAssetsMargin"),
        can_trade=_truth(account, "canTrade"),
    )


def symbol_seen(t_ms: int, symbol: str, rows: Iterable[Row]) -> SymbolSeen:
    """Return a symbol as ``exchangeInfo`` has it.

    Raises:
        UnreadableError: If it is not there, or a field that is needed is missing or no number.
    """
    row = next((row for row in rows if row.get("symbol") == symbol), None)
    if row is None:
        raise UnreadableError(f"{symbol} must be listed and is not")
    filters = {each.get("filterType"): each for each in row.get("filters", ())}
    market, limit = filters.get("MARKET_LOT_SIZE", {}), filters.get("LOT_SIZE", {})
    return SymbolSeen(
        t_ms=t_ms,
        status=_text(row, "status"),
        tick_size=number(filters.get("PRICE_FILTER", {}), "tickSize"),
        step_size=number(market, "stepSize"),
        min_notional=number(filters.get("MIN_NOTIONAL", {}), "notional"),
        max_quantity=number(market, "maxQty"),
        min_quantity=number(market, "minQty"),
        limit_step_size=number(limit, "stepSize"),
        limit_min_quantity=number(limit, "minQty"),
        limit_max_quantity=number(limit, "maxQty"),
    )


def order_seen(row: Row, t_ms: int) -> OrderSeen:
    """Return an order as ``GET /fapi/v1/order`` and its lists have it.

    Raises:
        UnreadableError: If a field that is needed is missing or no number.
    """
    return OrderSeen(
        t_ms=t_ms,
        client_id=_text(row, "clientOrderId"),
        order_id=whole(row, "orderId"),
        status=_text(row, "status"),
        executed=number(row, "executedQty"),
    )


def stop_seen(row: Row, t_ms: int) -> OrderSeen:
    """Return a conditional order as ``GET /fapi/v1/algoOrder`` and its lists have it.

    Raises:
        UnreadableError: If a field that is needed is missing or no number.
    """
    return OrderSeen(
        t_ms=t_ms,
        client_id=_text(row, "clientAlgoId"),
        order_id=whole(row, "algoId"),
        status=_text(row, "algoStatus"),
        executed=number(row, "actualQty") if row.get("actualQty") else ZERO,
    )


def fill_seen(row: Row) -> FillSeen:
    """Return a trade as ``GET /fapi/v1/userTrades`` has it.

    Raises:
        UnreadableError: If a field that is needed is missing or no number.
    """
    return FillSeen(
        t_ms=whole(row, "time"),
        trade_id=whole(row, "id"),
        order_id=whole(row, "orderId"),
        client_id=None,
        amount=_signed(row, "side", "qty"),
        price=number(row, "price"),
        realized=number(row, "realizedPnl"),
        commission=number(row, "commission"),
        commission_asset=_text(row, "commissionAsset") if "commissionAsset" in row else _USDT,
    )


def income_seen(rows: Iterable[Row]) -> tuple[IncomeSeen, ...]:
    """Return what ``GET /fapi/v1/income`` lists, without what fills tell of.

    Raises:
        UnreadableError: If a field that is needed is missing or no number.
    """
    return tuple(
        IncomeSeen(
            t_ms=whole(row, "time"),
            kind=_text(row, "incomeType"),
            tran_id=whole(row, "tranId"),
            amount=number(row, "income"),
        )
        for row in rows
        if row.get("incomeType") not in TRADE_INCOME and row.get("asset") == _USDT
    )


def snapshot(
    t_ms: int,
    symbol: str,
    *,
    positions: Sequence[Row],
    balances: Sequence[Row],
    trades: Sequence[Row],
    income: Sequence[Row],
    open_orders: Sequence[Row],
    open_stops: Sequence[Row],
    is_user_stream_healthy: bool,
    listed: Sequence[Row] = (),
    searched: Sequence[str] = (),
) -> Snapshot:
    """Return one reading of the account, out of the answers of its endpoints.

    Raises:
        UnreadableError: If a field that is needed is missing or no number, or the account has no USDT.
    """
    wallets = [row for row in balances if row.get("asset") == _USDT]
    if not wallets:
        raise UnreadableError("the balances must have USDT and have none")
    held = [row for row in positions if row.get("symbol") == symbol and number(row, "positionAmt")]
    position = held[0] if held else None
    return Snapshot(
        t_ms=t_ms,
        wallet_balance=number(wallets[0], "balance"),
        amount=number(position, "positionAmt") if position else ZERO,
        entry_price=number(position, "entryPrice") if position else ZERO,
        isolated_wallet=number(position, "isolatedWallet") if position else ZERO,
        liquidation_price=_told(position or {}, "liquidationPrice"),
        fills=tuple(fill_seen(row) for row in trades),
        income=income_seen(income),
        open_orders=tuple(order_seen(row, t_ms) for row in open_orders if row.get("symbol") == symbol),
        open_stops=tuple(stop_seen(row, t_ms) for row in open_stops if row.get("symbol") == symbol),
        is_user_stream_healthy=is_user_stream_healthy,
        listed=tuple(order_seen(row, t_ms) for row in listed),
        searched=tuple(searched),
    )
