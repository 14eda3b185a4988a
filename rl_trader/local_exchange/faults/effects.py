"""What goes on for a while: bans, forgotten orders, halted symbols, thin books, revised candles.

Bans and forgotten orders are about callers and end by the session's clock; halts and thin books are about the market
and end by its clock; a revised candle stays revised.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from rl_trader.local_exchange.books.money import ZERO, exact
from rl_trader.local_exchange.endpoints.exchange_info import entry_of
from rl_trader.local_exchange.endpoints.klines import Row
from rl_trader.local_exchange.faults.forms import ApiCall
from rl_trader.local_exchange.faults.paths import ASKING, CANCELLING, CHANGING, KLINES, LISTING, PLACING
from rl_trader.local_exchange.faults.stage import Effect, Inner, Stage, Steps
from rl_trader.local_exchange.market.happenings import BarOpened, Halted, Happening
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.protocol.limits import Limits, LimitTerms
from rl_trader.local_exchange.protocol.request import Response
from rl_trader.local_exchange.protocol.statuses import StatusError
from rl_trader.local_exchange.refusal_texts import refused
from rl_trader.local_exchange.wire import fixed, places

ORDER_NAMES: Final = ("orderId", "clientOrderId", "algoId", "clientAlgoId")  # of an answer
TRADING: Final = "TRADING"

_ASKED_NAMES: Final = ("orderId", "origClientOrderId", "algoId", "clientAlgoId")  # of a request


class Banned(Effect):
    """An address that is refused everything.

    Args:
        terms: The venue's limits.
        address: Whose.
        for_ms: How long from now on.
        now_ms: Of the session.
    """

    def __init__(self, terms: LimitTerms, address: str, for_ms: int, now_ms: int) -> None:
        banning = replace(terms, weight_per_minute=0, tolerated_refusals=0, first_ban_ms=for_ms, longest_ban_ms=for_ms)
        self._limits = Limits(banning)  # that ban at the first request
        self._address, self._until_ms = address, now_ms + for_ms

    def is_over(self, stage: Stage) -> bool:
        """Return whether the ban has ended."""
        return stage.venue.session_ms() >= self._until_ms

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Refuse a call of the address."""
        if call.address != self._address or self.is_over(stage):
            return (yield from inner())
        return call.form.refuse(self._refusal(stage.venue.session_ms()))

    def _refusal(self, now_ms: int) -> StatusError:
        try:
            self._limits.charge(self._address, 1, now_ms)
        except StatusError as error:
            return error
        raise AssertionError("limits of nothing must refuse")


class Forgotten(Effect):
    """Orders of an account that queries do not find.

    Args:
        account: Whose.
        names: Numbers and client ids; None is every order.
        until_ms: Of the session.
    """

    def __init__(self, account: str, names: frozenset[str] | None, until_ms: int) -> None:
        self._account, self._names, self._until_ms = account, names, until_ms

    def is_over(self, stage: Stage) -> bool:
        """Return whether the orders are known again."""
        return stage.venue.session_ms() >= self._until_ms

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Answer as if there were no such order; neither a change nor a cancellation is carried out."""
        if call.account != self._account or self.is_over(stage):
            return (yield from inner())
        asked = [call.sent[name] for name in _ASKED_NAMES if name in call.sent]
        is_named = any(self._is_forgotten(name) for name in asked)
        if is_named and call.endpoint in CANCELLING:
            return call.form.refuse(refused(-2011))
        if is_named and call.endpoint in CHANGING:
            return call.form.refuse(refused(-2013))
        outcome = yield from inner()
        if not isinstance(outcome, Response) or call.endpoint not in ASKING | LISTING:
            return outcome
        result = call.form.result(outcome)
        if is_named and result is not None and call.endpoint in ASKING:
            return call.form.refuse(refused(-2013))
        if isinstance(result, list):
            return call.form.with_result(outcome, [order for order in result if not self._covers(order)])
        return outcome

    def _covers(self, order: Mapping[str, object]) -> bool:
        return any(self._is_forgotten(str(order[name])) for name in ORDER_NAMES if name in order)

    def _is_forgotten(self, name: str) -> bool:
        return self._names is None or name in self._names


class HaltedSymbol(Effect):
    """A symbol that does not trade: nothing fills, and new and changed orders are refused.

    That new ones get -4140 is an assumption.

    Args:
        market: Of the symbol.
        symbol: Which.
        status: What ``exchangeInfo`` says of it.
        until_ms: Of the market.
    """

    def __init__(self, market: Market, symbol: str, status: str, until_ms: int) -> None:
        self._symbol, self._until_ms = symbol, until_ms
        self._quotes = market.quotes(symbol)
        self._volume = self._quotes.volume
        list_anew(market, symbol, status=status)
        self._stop()

    def is_over(self, stage: Stage) -> bool:
        """Return whether the symbol trades again."""
        return stage.venue.market_ms() >= self._until_ms

    def happen(self, stage: Stage, happening: Happening) -> None:
        """Let a bar that opens have no volume."""
        if isinstance(happening, BarOpened | Halted) and happening.symbol == self._symbol:
            self._volume = self._quotes.volume
            self._stop()

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Refuse orders of the symbol."""
        if any(order.get("symbol") == self._symbol for order in call.orders):
            if call.endpoint in PLACING:
                return call.form.refuse(refused(-4140))
            if call.endpoint in CHANGING:
                return call.form.refuse(refused(-5024))
        return (yield from inner())

    def end(self, stage: Stage) -> None:
        """Let the symbol trade."""
        list_anew(stage.venue.market, self._symbol, status=TRADING)
        self._quotes.volume = self._volume
        self._quotes.update_id += 1

    def _stop(self) -> None:
        self._quotes.volume = ZERO
        self._quotes.update_id += 1


class ThinBook(Effect):
    """A symbol of which only so much can be traded.

    Args:
        market: Of the symbol.
        symbol: Which.
        amount: Base asset, in all.
        until_ms: Of the market.
    """

    def __init__(self, market: Market, symbol: str, amount: Decimal, until_ms: int) -> None:
        self._quotes, self._until_ms = market.quotes(symbol), until_ms
        self._quotes.available = amount
        self._quotes.update_id += 1

    def is_over(self, stage: Stage) -> bool:
        """Return whether there is any amount again."""
        return stage.venue.market_ms() >= self._until_ms

    def end(self, stage: Stage) -> None:
        """Let there be any amount."""
        self._quotes.available = None
        self._quotes.update_id += 1


class RevisedBar(Effect):
    """A candle whose close was another.

    Args:
        symbol: Which.
        interval: Of the candle; longer ones that it is a part of stay as they are.
        open_time: Of the candle.
        factor: Of the close.
    """

    def __init__(self, symbol: str, interval: str, open_time: int, factor: Decimal) -> None:
        self._symbol, self._interval, self._open_time, self._factor = symbol, interval, open_time, factor

    def around(self, stage: Stage, call: ApiCall, inner: Inner) -> Steps:
        """Answer with the candle as it is now."""
        outcome = yield from inner()
        asked = call.sent.get("symbol", call.sent.get("pair")), call.sent.get("interval")
        if not isinstance(outcome, Response) or call.endpoint not in KLINES or asked != (self._symbol, self._interval):
            return outcome
        rows = call.form.result(outcome)
        if not isinstance(rows, list):
            return outcome
        return call.form.with_result(
            outcome, [revised_row(row, self._factor) if row[0] == self._open_time else row for row in rows]
        )


@exact
def revised_row(row: Row, factor: Decimal) -> Row:
    """Return a candle whose close is multiplied by a factor; high and low reach at least as far."""
    open_time, opened, high, low, close, *rest = row
    digits = places(Decimal(close))
    revised = Decimal(fixed(Decimal(close) * factor, digits))
    prices = max(Decimal(high), revised), min(Decimal(low), revised), revised
    return [open_time, opened, *(fixed(price, digits) for price in prices), *rest]


def list_anew(market: Market, symbol: str, **fields: object) -> None:
    """Let ``exchangeInfo`` list a symbol with other fields."""
    recording = market.recordings[symbol]
    listing = replace(recording.listing, info=entry_of(recording) | fields)
    market.recordings[symbol] = replace(recording, listing=listing)
