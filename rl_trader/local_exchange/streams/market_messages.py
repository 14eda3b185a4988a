"""What everybody is told of prices, trades, candles, the book and liquidations, as the exchange writes it.

Source: the API documentation of USD-M futures, "Websocket Market Streams", in its form since 2026-06-30: most events
have ``st``, 1 for USD-M, and many ``ps``, the pair (read in autumn 2026). The event of ``@trade`` is not documented:
its form is that of recordings of 2024, with ``st`` as the other trades have it.

Assumptions: each public trade is one aggregate, since a taker's order trades at one price here; the average behind
the mark price and the estimated settlement price are the mark and the index price.
"""

from collections.abc import Sequence
from typing import Final

from rl_trader.contract_terms import ContractTerms
from rl_trader.local_exchange.books.money import ZERO
from rl_trader.local_exchange.endpoints.klines import PERPETUAL, Row
from rl_trader.local_exchange.engine.orders import Order
from rl_trader.local_exchange.engine.quotes import PublicTrade, Quotes
from rl_trader.local_exchange.market.market import Book, Level, Ticker
from rl_trader.local_exchange.market.recording import Recording
from rl_trader.local_exchange.streams.books import Changes
from rl_trader.local_exchange.wire import amount_text, fixed, mark_text, price_text, rate_text

Payload = dict[str, object]

_USD_M: Final = 1  # what ``st`` says
_PERCENT_PLACES: Final = 3


def trade_message(trade: PublicTrade, contract: ContractTerms) -> Payload:
    """Return the event of ``@trade``."""
    return {
        "e": "trade",
        "E": trade.time_ms,
        "T": trade.time_ms,
        "s": contract.symbol,
        "t": trade.trade_id,
        "p": price_text(trade.price, contract),
        "q": amount_text(trade.amount, contract),
        "X": "MARKET",
        "m": trade.is_buyer_maker,
        "st": _USD_M,
    }


def agg_trade_message(trade: PublicTrade, contract: ContractTerms, now_ms: int) -> Payload:
    """Return the event of ``@aggTrade``."""
    amount = amount_text(trade.amount, contract)
    return {
        "e": "aggTrade",
        "E": now_ms,
        "s": contract.symbol,
        "a": trade.trade_id,
        "p": price_text(trade.price, contract),
        "q": amount,
        "nq": amount,
        "f": trade.trade_id,
        "l": trade.trade_id,
        "T": trade.time_ms,
        "m": trade.is_buyer_maker,
        "st": _USD_M,
    }


def mark_price_message(quotes: Quotes, now_ms: int) -> Payload:
    """Return the event of ``@markPrice``."""
    mark, index = mark_text(quotes.mark), mark_text(quotes.index)
    return {
        "e": "markPriceUpdate",
        "E": now_ms,
        "s": quotes.symbol,
        "p": mark,
        "i": index,
        "P": index,
        "r": rate_text(quotes.funding_rate),
        "ap": mark,
        "T": quotes.next_funding_ms,
        "st": _USD_M,
    }


def book_ticker_message(book: Book, quotes: Quotes, now_ms: int) -> Payload:
    """Return the event of ``@bookTicker``; a side without a level is written as 0."""
    (bid, bid_amount), (ask, ask_amount) = (_best(side, quotes.contract) for side in book)
    return {
        "e": "bookTicker",
        "u": quotes.update_id,
        "E": now_ms,
        "T": now_ms,
        "s": quotes.symbol,
        "ps": quotes.symbol,
        "b": bid,
        "B": bid_amount,
        "a": ask,
        "A": ask_amount,
        "st": _USD_M,
    }


def depth_message(changes: Changes, contract: ContractTerms, now_ms: int) -> Payload:
    """Return the event of ``@depth``, or of a partial book, whose levels are all of it."""
    return {
        "e": "depthUpdate",
        "E": now_ms,
        "T": now_ms,
        "s": contract.symbol,
        "U": changes.first_id,
        "u": changes.last_id,
        "pu": changes.previous_id,
        "b": _levels(changes.bids, contract),
        "a": _levels(changes.asks, contract),
        "ps": contract.symbol,
        "st": _USD_M,
    }


def force_order_message(order: Order, contract: ContractTerms, now_ms: int) -> Payload:
    """Return the event of ``@forceOrder``."""
    executed = amount_text(order.executed, contract)
    fields = {
        "s": order.symbol,
        "S": order.side.value,
        "o": order.type.value,
        "f": order.time_in_force.value,
        "q": amount_text(order.quantity, contract),
        "p": price_text(order.price, contract),
        "ap": price_text(order.average_price, contract),
        "X": order.status.value,
        "l": executed,
        "z": executed,
        "T": order.update_ms,
    }
    return {"e": "forceOrder", "E": now_ms, "o": fields}


def any_force_order_message(order: Order, contract: ContractTerms, now_ms: int) -> Payload:
    """Return the event of ``!forceOrder@arr``."""
    return {**force_order_message(order, contract, now_ms), "ps": contract.symbol, "st": _USD_M}


def mini_ticker_message(ticker: Ticker, recording: Recording, now_ms: int) -> Payload:
    """Return the event of ``@miniTicker``."""
    return {
        "e": "24hrMiniTicker",
        "E": now_ms,
        "s": recording.symbol,
        **_day_fields(ticker, recording),
        "ps": recording.symbol,
        "st": _USD_M,
    }


def ticker_message(ticker: Ticker, recording: Recording, now_ms: int) -> Payload:
    """Return the event of ``@ticker``."""
    contract = recording.contract
    return {
        "e": "24hrTicker",
        "E": now_ms,
        "s": contract.symbol,
        "p": price_text(ticker.change, contract),
        "P": fixed(ticker.change_percent, _PERCENT_PLACES),
        "w": fixed(ticker.weighted_price, recording.price_places),
        "Q": amount_text(ticker.last_amount, contract),
        **_day_fields(ticker, recording),
        "O": ticker.open_ms,
        "C": ticker.close_ms,
        "F": ticker.first_id,
        "L": ticker.last_id,
        "n": ticker.trades,
        "ps": contract.symbol,
        "st": _USD_M,
    }


def kline_message(kline: Payload, symbol: str, now_ms: int) -> Payload:
    """Return the event of ``@kline_<interval>``."""
    fields = {**kline, "s": symbol}
    return {"e": "kline", "E": now_ms, "s": symbol, "k": fields}


def continuous_kline_message(kline: Payload, pair: str, now_ms: int) -> Payload:
    """Return the event of ``@continuousKline_<interval>``."""
    return {"e": "continuous_kline", "E": now_ms, "ps": pair, "ct": PERPETUAL, "k": kline}


def kline_fields(row: Row, interval: str, ids: tuple[int, int], *, is_closed: bool) -> Payload:
    """Return a candle as streams write it.

    Args:
        row: As ``GET /fapi/v1/klines`` has it.
        interval: Of the candle.
        ids: Of its first and last trade.
        is_closed: Whether it is over.
    """
    fields: Payload = dict(zip("tohlcvTqnVQB", row, strict=True))
    return fields | {"i": interval, "f": ids[0], "L": ids[1], "x": is_closed}


def _day_fields(ticker: Ticker, recording: Recording) -> Payload:
    contract = recording.contract
    return {
        "c": price_text(ticker.last, contract),
        "o": price_text(ticker.open, contract),
        "h": price_text(ticker.high, contract),
        "l": price_text(ticker.low, contract),
        "v": amount_text(ticker.volume, contract),
        "q": fixed(ticker.quote_volume, recording.price_places),
    }


def _best(levels: Sequence[Level], contract: ContractTerms) -> tuple[str, str]:
    price, amount = levels[0] if levels else (ZERO, ZERO)
    return price_text(price, contract), amount_text(amount, contract)


def _levels(levels: Sequence[Level], contract: ContractTerms) -> list[list[str]]:
    return [[price_text(price, contract), amount_text(amount, contract)] for price, amount in levels]
