"""What has changed in an order book between two looks.

Update ids: an event spans those from ``pu``, the last one of the event before it, to ``u``. A snapshot in between
carries an id that the next event spans, as the exchange's procedure for a local book wants it.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rl_trader.local_exchange.books.money import ZERO
from rl_trader.local_exchange.market.market import Book, Level, Market


class Changes(NamedTuple):
    """An event of the book; an amount of 0 removes a level."""

    first_id: int
    last_id: int
    previous_id: int
    bids: list[Level]
    asks: list[Level]


class BookWatch:
    """Remembers a book and says what has changed since.

    Args:
        market: Has the book.
        symbol: Of it.
        levels: How many of a side are watched; None is all.
    """

    def __init__(self, market: Market, symbol: str, levels: int | None = None) -> None:
        self._market, self._quotes, self._levels = market, market.quotes(symbol), levels
        self._seen_id = self._last_id = self._quotes.update_id
        self._book = self._look()

    def whole(self) -> Changes | None:
        """Return all levels that are watched, or None if none of them has changed."""
        changes = self.differences()
        return changes._replace(bids=self._book.bids, asks=self._book.asks) if changes else None

    def differences(self) -> Changes | None:
        """Return the levels that have changed, or None if none has."""
        if self._quotes.update_id == self._seen_id:
            return None
        before, self._book = self._book, self._look()
        self._seen_id = self._quotes.update_id
        bids = list(_differences(before.bids, self._book.bids))
        asks = list(_differences(before.asks, self._book.asks))
        if not bids and not asks:
            return None
        previous, self._last_id = self._last_id, self._seen_id
        return Changes(previous, self._seen_id, previous, bids, asks)

    def _look(self) -> Book:
        bids, asks = self._market.book(self._quotes.symbol)
        return Book(bids[: self._levels], asks[: self._levels])


def _differences(before: Iterable[Level], after: Iterable[Level]) -> Iterator[Level]:
    gone, now = dict(before), dict(after)
    for price, amount in now.items():
        if gone.pop(price, None) != amount:
            yield price, amount
    for price in gone:
        yield price, ZERO
