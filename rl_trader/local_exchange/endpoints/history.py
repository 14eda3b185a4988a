"""What has happened to an account: trades, income, liquidations, changes of orders and of isolated margin.

Sources: the API documentation of USD-M futures, "Account Trade List", "Get Income History", "User's Force Orders", "Get
Order Modify History" and "Get Position Margin Change History" (read in autumn 2026). Amendments are answered the newest
first, as in the sample, everything else in ascending order.
"""

from typing import Final

from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.endpoints.each_symbol import weight_of_each
from rl_trader.local_exchange.endpoints.order_answers import Answer, contract_of, forced_order, quote_text
from rl_trader.local_exchange.endpoints.order_parameters import ANY_SYMBOL, ORDER_IDS, SYMBOL
from rl_trader.local_exchange.endpoints.orders import known_order
from rl_trader.local_exchange.endpoints.windows import (
    MS_PER_DAY,
    TIMES,
    has_times,
    kept_span,
    limit,
    numbered,
    open_span,
    page,
    short_span,
)
from rl_trader.local_exchange.engine.orders import Fill, Order
from rl_trader.local_exchange.engine.words import Side
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter, Security
from rl_trader.local_exchange.refusal_texts import refused
from rl_trader.local_exchange.wire import amount_text, money_text, price_text

USDT: Final = "USDT"
MARGIN_KEPT_MS: Final = 30 * MS_PER_DAY  # how long changes of isolated margin are answered

INCOME_TYPES: Final = (
    "TRANSFER",
    "WELCOME_BONUS",
    "REALIZED_PNL",
    "FUNDING_FEE",
    "COMMISSION",
    "INSURANCE_CLEAR",
    "REFERRAL_KICKBACK",
    "COMMISSION_REBATE",
    "API_REBATE",
    "CONTEST_REWARD",
    "CROSS_COLLATERAL_TRANSFER",
    "OPTIONS_PREMIUM_FEE",
    "OPTIONS_SETTLE_PROFIT",
    "INTERNAL_TRANSFER",
    "AUTO_EXCHANGE",
    "DELIVERED_SETTELMENT",  # as the exchange spells it
    "COIN_SWAP_DEPOSIT",
    "COIN_SWAP_WITHDRAW",
    "POSITION_LIMIT_INCREASE_FEE",
    "STRATEGY_UMFUTURES_TRANSFER",
    "FEE_RETURN",
    "BFUSD_REWARD",
)

_FORCED: Final = {"LIQUIDATION": "autoclose-", "ADL": "adl_autoclose"}  # how their client order ids begin
_ADDED, _REDUCED = "1", "2"


def user_trades(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/userTrades``.

    Raises:
        RefusedError: -1128 where ``fromId`` is sent with times, -1023 or -4165 for the times.
    """
    if call.maybe_whole("fromId") is not None and has_times(call):
        raise refused(-1128)
    symbol, order_id = call.text("symbol"), call.maybe_whole("orderId")
    fills = [fill for fill in call.trader.fills if fill.symbol == symbol and order_id in (None, fill.order_id)]
    found = numbered(call, "fromId", fills, lambda fill: fill.trade_id, lambda fill: fill.time_ms)
    return [_trade(call, fill) for fill in found]


@exact
def _trade(call: Call, fill: Fill) -> Answer:
    contract = contract_of(call, fill.symbol)
    amount = amount_text(fill.amount, contract)
    return {
        "buyer": fill.side is Side.BUY,
        "commission": money_text(fill.commission),
        "commissionAsset": fill.commission_asset,
        "id": fill.trade_id,
        "maker": fill.is_maker,
        "orderId": fill.order_id,
        "price": price_text(fill.price, contract),
        "qty": amount,
        "quoteQty": quote_text(fill.price * fill.amount, contract),
        "baseQty": amount,
        "marginAsset": USDT,
        "realizedPnl": money_text(fill.realized),
        "side": fill.side.value,
        "positionSide": fill.position_side.value,
        "symbol": fill.symbol,
        "pair": fill.symbol,
        "time": fill.time_ms,
    }


def income(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/income``: everything that moved the wallet."""
    span, symbol, kind = open_span(call), call.maybe_text("symbol"), call.maybe_text("incomeType")
    found = [
        line
        for line in call.trader.income
        if span.holds(line.time_ms) and symbol in (None, line.symbol) and kind in (None, line.type)
    ]
    is_from_start = call.maybe_whole("startTime") is not None
    rows = page(found, call.whole("limit"), is_from_start=is_from_start, number=call.whole("page"))
    return [
        {
            "symbol": line.symbol,
            "incomeType": line.type,
            "income": money_text(line.amount),
            "asset": line.asset,
            "info": line.type,
            "time": line.time_ms,
            "tranId": line.tran_id,
            "tradeId": "" if line.trade_id is None else str(line.trade_id),
        }
        for line in rows
    ]


def force_orders(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/forceOrders``: liquidations and deleveragings of the account's own."""
    span, symbol = open_span(call), call.maybe_text("symbol")
    kind = call.maybe_text("autoCloseType")
    beginnings = tuple(_FORCED.values()) if kind is None else (_FORCED[kind],)

    def is_wanted(order: Order) -> bool:
        is_of_kind = order.is_forced and order.client_order_id.startswith(beginnings)
        return is_of_kind and symbol in (None, order.symbol)

    orders = [order for order in call.trader.orders.values() if is_wanted(order) and span.holds(order.time_ms)]
    rows = page(orders, call.whole("limit"), is_from_start=call.maybe_whole("startTime") is not None)
    return [forced_order(call, order) for order in rows]


def order_amendments(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/orderAmendment``: how an order was changed."""
    order = known_order(call)
    contract = contract_of(call, order.symbol)
    span = open_span(call) if has_times(call) else kept_span(call)
    found = [
        change for change in call.trader.amendments if change.order_id == order.order_id and span.holds(change.time_ms)
    ]
    rows = page(found, call.whole("limit"), is_from_start=call.maybe_whole("startTime") is not None)
    return [
        {
            "amendmentId": change.amendment_id,
            "symbol": change.symbol,
            "pair": change.symbol,
            "orderId": change.order_id,
            "clientOrderId": change.client_order_id,
            "time": change.time_ms,
            "amendment": {
                "price": {
                    "before": price_text(change.price_before, contract),
                    "after": price_text(change.price_after, contract),
                },
                "origQty": {
                    "before": amount_text(change.quantity_before, contract),
                    "after": amount_text(change.quantity_after, contract),
                },
                "count": change.num_amendments,
                "modifyId": change.modify_id,
            },
        }
        for change in reversed(rows)
    ]


def margin_changes(call: Call) -> list[Answer]:
    """Answer ``GET /fapi/v1/positionMargin/history``: what the account moved itself."""
    symbol, kind = call.text("symbol"), call.maybe_text("type")
    span = short_span(call, MARGIN_KEPT_MS, MARGIN_KEPT_MS)
    found = [
        move
        for move in call.trader.margin_moves
        if move.symbol == symbol
        and span.holds(move.time_ms)
        and kind in (None, _ADDED if move.amount > 0 else _REDUCED)
    ]
    rows = page(found, call.whole("limit"), is_from_start=call.maybe_whole("startTime") is not None)
    return [
        {
            "symbol": symbol,
            "type": int(_ADDED if move.amount > 0 else _REDUCED),
            "deltaType": "USER_ADJUST",
            "amount": money_text(abs(move.amount)),
            "asset": USDT,
            "time": move.time_ms,
            "positionSide": move.position_side.value,
        }
        for move in rows
    ]


HISTORY_ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/fapi/v1/userTrades",
        answer=user_trades,
        security=Security.USER_DATA,
        weight=5,
        parameters=(
            SYMBOL,
            Parameter("orderId", Kind.WHOLE),
            Parameter("fromId", Kind.WHOLE),
            *TIMES,
            limit(500, 1000),
        ),
    ),
    Endpoint(
        method="GET",
        path="/fapi/v1/income",
        answer=income,
        security=Security.USER_DATA,
        weight=30,
        parameters=(
            ANY_SYMBOL,
            Parameter("incomeType", choices=INCOME_TYPES),
            *TIMES,
            Parameter("page", Kind.WHOLE, default=1, least=1),
            limit(100, 1000),
        ),
    ),
    Endpoint(
        method="GET",
        path="/fapi/v1/forceOrders",
        answer=force_orders,
        security=Security.USER_DATA,
        weight=weight_of_each(20, 50),
        parameters=(ANY_SYMBOL, Parameter("autoCloseType", choices=tuple(_FORCED)), *TIMES, limit(50, 100)),
    ),
    Endpoint(
        method="GET",
        path="/fapi/v1/orderAmendment",
        answer=order_amendments,
        security=Security.USER_DATA,
        parameters=(*ORDER_IDS, *TIMES, limit(50, 100)),
    ),
    Endpoint(
        method="GET",
        path="/fapi/v1/positionMargin/history",
        answer=margin_changes,
        security=Security.TRADE,
        parameters=(SYMBOL, Parameter("type", choices=(_ADDED, _REDUCED)), *TIMES, limit(500, 1000)),
    ),
)
