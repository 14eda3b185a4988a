"""Candles: ``klines``, ``continuousKlines``, ``markPriceKlines``, ``indexPriceKlines`` and ``premiumIndexKlines``.

Sources: the API documentation of USD-M futures, "Kline/Candlestick Data" and its like (read in autumn 2026), and
answers of September 2026: twelve columns, no more than 1500 rows, else -1130. What klines do not record is derived
(:mod:`rl_trader.local_exchange.market.amounts`).
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rl_trader.local_exchange.market.candles import Candles, Series
from rl_trader.local_exchange.market.history import Window
from rl_trader.local_exchange.market.intervals import ending_times
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.protocol.endpoint import Call, Endpoint, Kind, Parameter
from rl_trader.local_exchange.wire import MONEY_PLACES, units_text

PERPETUAL: Final = "PERPETUAL"
CONTRACT_TYPES: Final = (PERPETUAL, "CURRENT_QUARTER", "NEXT_QUARTER")

_MOST: Final = 1500  # rows
_DEFAULT: Final = 500
_WEIGHTS: Final = ((100, 1), (500, 2), (1001, 5))  # below a number of rows
_MOST_WEIGHT: Final = 10
_NOTHING: Final = "0"

Row = list[int | str]


def kline_weight(arguments: Mapping[str, object]) -> int:
    """Return the weight of a request for candles, which depends on how many are asked for."""
    limit = arguments["limit"]
    assert isinstance(limit, int)
    return next((weight for below, weight in _WEIGHTS if limit < below), _MOST_WEIGHT)


def klines(call: Call) -> list[Row]:
    """Answer ``GET /fapi/v1/klines``."""
    return _rows(call, call.text("symbol"), Series.LAST)


def continuous_klines(call: Call) -> list[Row]:
    """Answer ``GET /fapi/v1/continuousKlines``; all contracts are perpetual, so that the others have no candles."""
    if call.text("contractType") != PERPETUAL:
        return []
    return _rows(call, call.text("pair"), Series.LAST)


def mark_klines(call: Call) -> list[Row]:
    """Answer ``GET /fapi/v1/markPriceKlines``."""
    return _rows(call, call.text("symbol"), Series.MARK)


def index_klines(call: Call) -> list[Row]:
    """Answer ``GET /fapi/v1/indexPriceKlines``; the mark price stands for the index price, which is not recorded."""
    return _rows(call, call.text("pair"), Series.INDEX)


def premium_klines(call: Call) -> list[Row]:
    """Answer ``GET /fapi/v1/premiumIndexKlines``: the last price over the index price, less one."""
    return _rows(call, call.text("symbol"), Series.PREMIUM)


def kline_rows(recording: Recording, series: Series, interval: str, candles: Candles) -> list[Row]:
    """Return candles as the exchange writes them.

    Args:
        recording: That they are made of.
        series: What they are of.
        interval: Of the exchange's.
        candles: Of them.
    """
    places = recording.price_places if series is Series.LAST else MONEY_PLACES
    closes = (ending_times(interval, candles.open_time) - 1).tolist()
    prices = [_price_texts(column, places) for column in candles[1:5]]
    trades = candles.trades.tolist()
    amounts = [[_NOTHING] * len(trades)] * 4
    if series is Series.LAST:
        volumes = (candles.volume, candles.taker_buy_volume)
        quotes = (candles.quote_volume, candles.taker_buy_quote)
        volume, bought = (_unit_texts(column, recording.amount_places) for column in volumes)
        quote, bought_quote = (_unit_texts(column, recording.quote_places) for column in quotes)
        amounts = [volume, quote, bought, bought_quote]
    columns = (candles.open_time.tolist(), *prices, amounts[0], closes, amounts[1], trades, *amounts[2:])
    return [[*row, _NOTHING] for row in zip(*columns, strict=True)]


def _rows(call: Call, symbol: str, series: Series) -> list[Row]:
    market, interval = call.venue.market, call.text("interval")
    window = Window(call.whole("limit"), call.maybe_whole("startTime"), call.maybe_whole("endTime"))
    return kline_rows(market.recordings[symbol], series, interval, market.klines(symbol, series, interval, window))


def _price_texts(values: NDArray[np.float64], places: int) -> list[str]:
    return [f"{value:.{places}f}" for value in (values + 0.0).tolist()]  # no negative zero


def _unit_texts(units: NDArray[np.int64], places: int) -> list[str]:
    return [units_text(value, places) for value in units.tolist()]


_SYMBOL: Final = Parameter("symbol", Kind.SYMBOL, is_required=True)
_PAIR: Final = Parameter("pair", Kind.SYMBOL, is_required=True)
_CONTRACT_TYPE: Final = Parameter("contractType", is_required=True, choices=CONTRACT_TYPES)
_WINDOW: Final = (
    Parameter("interval", Kind.INTERVAL, is_required=True),
    Parameter("startTime", Kind.WHOLE),
    Parameter("endTime", Kind.WHOLE),
    Parameter("limit", Kind.WHOLE, default=_DEFAULT, least=1, most=_MOST),
)


def _endpoint(name: str, answer: Callable[[Call], object], *parameters: Parameter) -> Endpoint:
    return Endpoint(
        method="GET", path=f"/fapi/v1/{name}", answer=answer, weight=kline_weight, parameters=(*parameters, *_WINDOW)
    )


KLINE_ENDPOINTS: Final = (
    _endpoint("klines", klines, _SYMBOL),
    _endpoint("continuousKlines", continuous_klines, _PAIR, _CONTRACT_TYPE),
    _endpoint("markPriceKlines", mark_klines, _SYMBOL),
    _endpoint("indexPriceKlines", index_klines, _PAIR),
    _endpoint("premiumIndexKlines", premium_klines, _SYMBOL),
)
