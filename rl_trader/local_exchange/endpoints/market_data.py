"""Time, book and trades: ``ping``, ``time``, ``depth``, ``trades``, ``historicalTrades``, ``aggTrades``.

Sources: the API documentation of USD-M futures, "Order Book", "Recent Trades List" and its like (read in autumn 2026),
and answers of September 2026: a limit of ``depth`` that is not on its list is refused with -4021, one above 1000 with
-1130.

The book has one level on each side, where the replay fills, and what rests of the accounts. The last 1000 trades of a
symbol are remembered. Every trade is an aggregate trade of its own, with the same number.
"""

from collections.abc import Callable, Mapping
from typing import Final

from rl_trader.bars import MS_PER_HOUR
from rl_trader.local_exchange.books.money import exact
from rl_trader.local_exchange.engine.quotes import PublicTrade
from rl_trader.local_exchange.market.market import Level, Market
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter, Security
from rl_trader.local_exchange.refusal_texts import refused
from rl_trader.local_exchange.wire import amount_text, fixed, places, price_text

_DEPTH_WEIGHTS: Final = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_AGGREGATES_FOR_MS: Final = 48 * MS_PER_HOUR  # that can be asked for
_MOST: Final = 1000  # trades of an answer


def ping(call: Call) -> dict[str, object]:
    """Answer ``GET /fapi/v1/ping``."""
    return {}


def time(call: Call) -> dict[str, object]:
    """Answer ``GET /fapi/v1/time``."""
    return {"serverTime": call.venue.tell_time()}


def depth_weight(arguments: Mapping[str, object]) -> int:
    """Return the weight of a request for the book."""
    limit = arguments["limit"]
    assert isinstance(limit, int)
    return _DEPTH_WEIGHTS[limit]


def depth(call: Call) -> dict[str, object]:
    """Answer ``GET /fapi/v1/depth``."""
    symbol, limit = call.text("symbol"), call.whole("limit")
    market, now = call.venue.market, call.venue.market_ms()
    quotes, book = market.quotes(symbol), market.book(symbol)

    def texts(levels: list[Level]) -> list[list[str]]:
        contract = quotes.contract
        return [[price_text(price, contract), amount_text(amount, contract)] for price, amount in levels[:limit]]

    return {
        "lastUpdateId": quotes.update_id,
        "E": now,
        "T": now,
        "bids": texts(book.bids),
        "asks": texts(book.asks),
    }


def trades(call: Call) -> list[dict[str, object]]:
    """Answer ``GET /fapi/v1/trades``: the newest trades, in ascending order."""
    return [_trade(call, trade) for trade in _remembered(call)[-call.whole("limit") :]]


def historical_trades(call: Call) -> list[dict[str, object]]:
    """Answer ``GET /fapi/v1/historicalTrades``: trades from a number on, or the newest."""
    return [_trade(call, trade) for trade in _from_number(call, _remembered(call))]


def aggregate_trades(call: Call) -> list[dict[str, object]]:
    """Answer ``GET /fapi/v1/aggTrades``: trades from a number or a time on, or the newest up to a time.

    Raises:
        RefusedError: -1127 if start and end are an hour or more apart.
    """
    start, end = call.maybe_whole("startTime"), call.maybe_whole("endTime")
    if start is not None and end is not None and end - start >= MS_PER_HOUR:
        raise refused(-1127, 1)
    oldest = call.venue.market_ms() - _AGGREGATES_FOR_MS
    since = oldest if start is None else max(start, oldest)
    found = [trade for trade in _remembered(call) if since <= trade.time_ms and (end is None or trade.time_ms <= end)]
    if start is not None and call.maybe_whole("fromId") is None:
        found = found[: call.whole("limit")]
    return [_aggregate(call, trade) for trade in _from_number(call, found)]


def _remembered(call: Call) -> list[PublicTrade]:
    market: Market = call.venue.market
    return market.trades(call.text("symbol"))


def _from_number(call: Call, found: list[PublicTrade]) -> list[PublicTrade]:
    """Return as many trades as are asked for, from the number on that is asked for, or the newest."""
    number, limit = call.maybe_whole("fromId"), call.whole("limit")
    if number is None:
        return found[-limit:]
    return [trade for trade in found if trade.trade_id >= number][:limit]


@exact
def _trade(call: Call, trade: PublicTrade) -> dict[str, object]:
    contract = call.venue.market.quotes(call.text("symbol")).contract
    return {
        "id": trade.trade_id,
        "price": price_text(trade.price, contract),
        "qty": amount_text(trade.amount, contract),
        "quoteQty": fixed(trade.price * trade.amount, places(contract.tick_size)),
        "time": trade.time_ms,
        "isBuyerMaker": trade.is_buyer_maker,
        "isRPITrade": False,
    }


def _aggregate(call: Call, trade: PublicTrade) -> dict[str, object]:
    contract = call.venue.market.quotes(call.text("symbol")).contract
    amount = amount_text(trade.amount, contract)
    return {
        "a": trade.trade_id,
        "p": price_text(trade.price, contract),
        "q": amount,
        "nq": amount,
        "f": trade.trade_id,
        "l": trade.trade_id,
        "T": trade.time_ms,
        "m": trade.is_buyer_maker,
    }


_SYMBOL: Final = Parameter("symbol", Kind.SYMBOL, is_required=True)
_FROM_NUMBER: Final = Parameter("fromId", Kind.WHOLE)
_DEPTH: Final = (
    _SYMBOL,
    Parameter(
        "limit",
        Kind.WHOLE,
        default=500,
        choices=tuple(map(str, _DEPTH_WEIGHTS)),
        choice_code=-4021,
        most=max(_DEPTH_WEIGHTS),
    ),
)


def _limit(default: int, most: int) -> Parameter:
    return Parameter("limit", Kind.WHOLE, default=default, least=1, most=most)


def _get(
    name: str,
    answer: Callable[[Call], object],
    weight: int,
    *parameters: Parameter,
    security: Security = Security.NONE,
) -> Endpoint:
    return Endpoint(
        method="GET",
        path=f"/fapi/v1/{name}",
        answer=answer,
        security=security,
        weight=weight,
        parameters=parameters,
    )


MARKET_DATA_ENDPOINTS: Final = (
    _get("ping", ping, 1),
    _get("time", time, 1),
    Endpoint(method="GET", path="/fapi/v1/depth", answer=depth, weight=depth_weight, parameters=_DEPTH),
    _get("trades", trades, 5, _SYMBOL, _limit(500, _MOST)),
    _get(
        "historicalTrades",
        historical_trades,
        200,
        _SYMBOL,
        _limit(100, 500),
        _FROM_NUMBER,
        security=Security.MARKET_DATA,
    ),
    _get(
        "aggTrades",
        aggregate_trades,
        20,
        _SYMBOL,
        _FROM_NUMBER,
        Parameter("startTime", Kind.WHOLE),
        Parameter("endTime", Kind.WHOLE),
        _limit(500, _MOST),
    ),
)
MARKET_DATA_METHODS: Final = (  # of the WebSocket API
    Endpoint(method="", path="depth", answer=depth, weight=depth_weight, parameters=_DEPTH),
)
