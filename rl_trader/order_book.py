"""A local order book of one symbol, kept by Binance's procedure from a snapshot and a stream of differences.

``OrderBook`` is the procedure itself: it is fed with what arrives, does no input or output and knows no clock.
``follow_order_book`` feeds it from the exchange's REST interface and stream.

The procedure (USD-M futures, "How to manage a local order book correctly"; developers.binance.com, read 2026-10):

1. Events are buffered until a snapshot is there.
2. Events with ``u < lastUpdateId`` are dropped.
3. The first event applied has ``U <= lastUpdateId <= u``. If there is none, a new snapshot is needed.
4. The ``pu`` of each further event is the ``u`` of the one before it. If it is not, a new snapshot is needed.
5. Amounts are absolute and 0 removes a level; the removal of a level that is not known is normal.

Update ids are shared by all symbols, so that ``U`` does not follow on the previous ``u``: only ``pu`` shows a gap.

A snapshot holds the best 1000 levels of a side, which on a liquid symbol is a fraction of a percent of the price.
Levels further out are known only once they have changed. ``covered_prices`` says how far the book is known in full,
``is_touch_covered`` whether best bid and ask still lie there; if not, ``start_over`` asks for a new snapshot.

Units: prices in USDT per unit of base asset, amounts in base asset; both are decimals exactly as they were sent.
"""

import asyncio
import json
import logging
import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal, InvalidOperation
from enum import Enum
from http import HTTPStatus
from itertools import islice
from typing import Final, NamedTuple, TypeVar

import aiohttp

from rl_trader.errors import DataError, DownloadError

SNAPSHOT_LIMIT: Final = 1000  # levels of a side; the most that the exchange gives
BACKOFF_S: Final = 1.0  # a snapshot weighs 20 of the 2400 allowed in a minute
MAX_BACKOFF_S: Final = 60.0
RATE_LIMIT_PAUSE_S: Final = 60.0  # the exchange counts requests by the minute
HEARTBEAT_S: Final = 30.0
SNAPSHOT_TIMEOUT_S: Final = 10.0

_MAX_BUFFERED: Final = 10_000  # events, more than 15 minutes of the fastest stream
_SERVER_ERRORS: Final = 500
_INFINITY: Final = Decimal("Infinity")

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Level(NamedTuple):
    """One price of one side of the book."""

    price: Decimal  # USDT per unit of base asset
    amount: Decimal  # base asset


class State(Enum):
    """How far the procedure has come."""

    NO_SNAPSHOT = "events are buffered until a snapshot is there"
    NOT_JOINED = "a snapshot is there, the event that spans it is not"
    IN_SYNC = "the book is that of the exchange after the last event"


class _Event(NamedTuple):
    first_id: int
    last_id: int
    previous_id: int
    bids: list[Level]
    asks: list[Level]


class _Side:
    """The levels of one side, in the order of their prices."""

    def __init__(self) -> None:
        self.amounts: dict[Decimal, Decimal] = {}
        self.prices: list[Decimal] = []

    def update(self, levels: list[Level]) -> None:
        for price, amount in levels:
            if not amount:
                if self.amounts.pop(price, None) is not None:
                    del self.prices[bisect_left(self.prices, price)]
                continue
            if price not in self.amounts:
                insort(self.prices, price)
            self.amounts[price] = amount


class OrderBook:
    """The book of one symbol and where its upkeep stands; no input or output.

    Feed it every event of the stream in the order of arrival, and a snapshot whenever ``needs_snapshot``. What it
    holds can be read while ``is_in_sync``; to read it otherwise is a ``DataError``.

    Args:
        symbol: As the exchange writes it, for example ``BTCUSDT``.
        snapshot_limit: How many levels of a side the snapshots were asked for.

    Attributes:
        state: How far the procedure has come.
        num_resyncs: How often a snapshot had to be given up: it was too old for the first event, an event was
            missing, the book was crossed, or ``start_over`` was called.
    """

    def __init__(self, symbol: str, snapshot_limit: int = SNAPSHOT_LIMIT) -> None:
        self.symbol = symbol
        self.num_resyncs = 0
        self._snapshot_limit = snapshot_limit
        self._buffer: deque[_Event] = deque(maxlen=_MAX_BUFFERED)
        self._clear()

    @property
    def needs_snapshot(self) -> bool:
        """Return whether ``apply_snapshot`` is to be called with a snapshot taken from now on."""
        return self.state is State.NO_SNAPSHOT

    @property
    def is_in_sync(self) -> bool:
        """Return whether the book can be read."""
        return self.state is State.IN_SYNC

    @property
    def last_update_id(self) -> int:
        """Return the ``u`` of the last event applied."""
        self._check_in_sync()
        return self._last_id

    @property
    def best_bid(self) -> Level | None:
        """Return the highest bid, or None if there is none."""
        return next(iter(self.bids(1)), None)

    @property
    def best_ask(self) -> Level | None:
        """Return the lowest ask, or None if there is none."""
        return next(iter(self.asks(1)), None)

    @property
    def mid_price(self) -> Decimal | None:
        """Return the middle of best bid and ask, or None if one is missing."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else (bid.price + ask.price) / 2

    @property
    def covered_prices(self) -> tuple[Decimal, Decimal]:
        """Return the lowest and highest price between which every level is known; 0, Infinity: a whole side is."""
        self._check_in_sync()
        return self._lowest, self._highest

    @property
    def is_touch_covered(self) -> bool:
        """Return whether best bid and ask lie where every level is known."""
        (lowest, highest), bid, ask = self.covered_prices, self.best_bid, self.best_ask
        return (bid.price if bid else 0) >= lowest and (ask.price if ask else _INFINITY) <= highest

    def bids(self, depth: int | None = None) -> list[Level]:
        """Return the bids, highest first: at most ``depth`` of them, all that are known if it is None."""
        self._check_in_sync()
        return [Level(price, self._bids.amounts[price]) for price in islice(reversed(self._bids.prices), depth)]

    def asks(self, depth: int | None = None) -> list[Level]:
        """Return the asks, lowest first: at most ``depth`` of them, all that are known if it is None."""
        self._check_in_sync()
        return [Level(price, self._asks.amounts[price]) for price in islice(self._asks.prices, depth)]

    def apply_event(self, frame: Mapping[str, object]) -> bool:
        """Take the next event of the stream and return whether the book is in sync after it.

        Args:
            frame: A ``depthUpdate`` of ``<symbol>@depth``, raw or wrapped by a combined stream.

        Raises:
            DataError: If it is none of this symbol, which leaves the book as it was; or if the book is crossed after
                it, which starts it over.
        """
        self._advance(_parse_event(frame, self.symbol))
        return self.is_in_sync

    def apply_snapshot(self, snapshot: Mapping[str, object]) -> bool:
        """Take a snapshot and what fits of the buffered events; return whether the book is in sync after it.

        Args:
            snapshot: The answer of ``GET /fapi/v1/depth``; left aside unless one is needed.

        Raises:
            DataError: As from ``apply_event``.
        """
        if not self.needs_snapshot:
            return self.is_in_sync
        where = f"the order book snapshot of {self.symbol}"
        last_id = _field(snapshot, "lastUpdateId", int, where)
        bids, asks = _levels(snapshot, "bids", where), _levels(snapshot, "asks", where)
        kept = tuple(self._buffer)
        self._clear()
        self.state, self._last_id = State.NOT_JOINED, last_id
        self._update(bids, asks, f"snapshot {last_id}")
        if len(bids) >= self._snapshot_limit:
            self._lowest = min(bids).price
        if len(asks) >= self._snapshot_limit:
            self._highest = max(asks).price
        for event in kept:
            self._advance(event)
        return self.is_in_sync

    def start_over(self, reason: str) -> None:
        """Forget book and buffer and ask for a new snapshot, as after a lost connection; the reason is logged."""
        _log.warning("the order book of %s starts over: %s", self.symbol, reason)
        self.num_resyncs += not self.needs_snapshot
        self._clear()

    def _clear(self) -> None:
        self.state = State.NO_SNAPSHOT
        self._last_id = -1
        self._bids, self._asks = _Side(), _Side()
        self._lowest, self._highest = Decimal(0), _INFINITY
        self._buffer.clear()

    def _advance(self, event: _Event) -> None:
        if self.state is State.NOT_JOINED and event.last_id < self._last_id:
            return
        spans = event.first_id <= self._last_id
        fits = spans if self.state is State.NOT_JOINED else event.previous_id == self._last_id
        if fits and self.state is not State.NO_SNAPSHOT:
            self.state, self._last_id = State.IN_SYNC, event.last_id
            self._update(event.bids, event.asks, f"event {event.last_id}")
            return
        if self.state is not State.NO_SNAPSHOT:
            self.start_over(f"event {event.first_id} to {event.last_id} does not follow on {self._last_id}")
        self._buffer.append(event)

    def _update(self, bids: list[Level], asks: list[Level], cause: str) -> None:
        self._bids.update(bids)
        self._asks.update(asks)
        bid, ask = self._bids.prices[-1:], self._asks.prices[:1]
        if bid and ask and bid >= ask:
            self.start_over(f"{cause} crosses it")
            raise DataError(
                f"after {cause} every bid of {self.symbol} must lie below every ask, and {bid[0]} is bid and "
                f"{ask[0]} asked; apply a new snapshot, and check that events and snapshot are of one exchange"
            )

    def _check_in_sync(self) -> None:
        if self.state is not State.IN_SYNC:
            found = f"must be in sync to be read and is not: {self.state.value}"
            raise DataError(f"the order book of {self.symbol} {found}; feed it until is_in_sync")


# ---- What the exchange sends


def _parse_event(frame: Mapping[str, object], symbol: str) -> _Event:
    where = f"a depth event of {symbol}"
    data = _unwrapped(frame, symbol, where)
    if data.get("e") != "depthUpdate" or data.get("s") != symbol:
        raise _fault(where, "e and s", f"depthUpdate and {symbol}", (data.get("e"), data.get("s")))
    first_id, last_id, previous_id = (_field(data, name, int, where) for name in ("U", "u", "pu"))
    if first_id > last_id:
        raise _fault(where, "U", f"at most its u, {last_id},", first_id)
    return _Event(first_id, last_id, previous_id, _levels(data, "b", where), _levels(data, "a", where))


def _unwrapped(frame: Mapping[str, object], symbol: str, where: str) -> Mapping[str, object]:
    if "stream" not in frame:
        return frame
    stream, data = frame["stream"], frame.get("data")
    wanted = f"{symbol.lower()}@depth"
    # Streams of partial books, such as @depth20, send events that look the same and are no differences.
    if not isinstance(stream, str) or not f"{stream}@".startswith(f"{wanted}@"):
        raise _fault(where, "stream", f"{wanted} or {wanted}@<rate>", stream)
    if not isinstance(data, Mapping):
        raise _fault(where, "data", "an object", data)
    return data


def _field(data: Mapping[str, object], name: str, kind: type[T], where: str) -> T:
    value = data.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _fault(where, name, f"of type {kind.__name__}", value)
    return value


def _levels(data: Mapping[str, object], name: str, where: str) -> list[Level]:
    return [_level(level, name, where) for level in _field(data, name, list, where)]


def _level(level: object, name: str, where: str) -> Level:
    match level:
        case [str(price), str(amount), *_]:
            try:
                result = Level(Decimal(price), Decimal(amount))
                if 0 < result.price < _INFINITY and 0 <= result.amount < _INFINITY:
                    return result
            except InvalidOperation:
                pass
    raise _fault(where, f"each level of {name}", "the texts of a price above 0 and an amount of 0 or more", level)


def _fault(where: str, name: str, wanted: str, found: object) -> DataError:
    return DataError(f"{name} of {where} must be {wanted} and is {found!r}; check symbol, stream and address")


# ---- Following the exchange


def follow_order_book(
    symbol: str, rest_url: str, stream_url: str, session: aiohttp.ClientSession, *, backoff_s: float = BACKOFF_S
) -> AsyncGenerator[OrderBook, None]:
    """Return an iterator of the book of a symbol after every event applied, which goes on for ever.

    The same book is yielded each time, always in sync; catching up on buffered events counts as one. After a gap, a
    failed request or a lost connection it is yielded again once a new snapshot has been joined. Leave the loop inside
    ``contextlib.aclosing(iterator)``, so that the connection is closed.

    Args:
        symbol: For example ``BTCUSDT``.
        rest_url: For example ``https://fapi.binance.com``.
        stream_url: For example ``wss://fstream.binance.com``; ``/public/stream?streams=<symbol>@depth`` is added.
        session: Makes the connections; it stays open.
        backoff_s: Seconds between two snapshots and before a new connection, there doubled by each failure in turn.

    Raises:
        DataError: If something else arrives than depth events of the symbol, or the book is crossed.
        DownloadError: If the exchange refuses a request for good.
    """
    return _Feed(symbol, rest_url.rstrip("/"), stream_url.rstrip("/"), session, backoff_s).books()


class _Feed:
    def __init__(self, symbol: str, rest: str, stream: str, session: aiohttp.ClientSession, backoff_s: float) -> None:
        self._book = OrderBook(symbol)
        self._snapshot_url = f"{rest}/fapi/v1/depth?symbol={symbol}&limit={SNAPSHOT_LIMIT}"
        self._stream_url = f"{stream}/public/stream?streams={symbol.lower()}@depth"
        self._session = session
        self._backoff_s = backoff_s
        self._not_before_s = -math.inf  # on the loop's clock: the next snapshot

    async def books(self) -> AsyncGenerator[OrderBook, None]:
        wait_s = self._backoff_s
        while True:
            reason = "the server ended the stream"
            try:
                async with self._session.ws_connect(self._stream_url, heartbeat=HEARTBEAT_S) as socket:
                    async for message in socket:
                        if await self._take(message):
                            wait_s = self._backoff_s
                            yield self._book
            except (aiohttp.ClientError, OSError) as error:
                reason = repr(error)
                wait_s = max(wait_s, _least_pause_s(error))
            self._book.start_over(f"{self._stream_url}: {reason}")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, MAX_BACKOFF_S)

    async def _take(self, message: aiohttp.WSMessage) -> bool:
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise aiohttp.ClientConnectionError(f"the stream sent {message.type.name} {message.data!r}")
        is_in_sync = self._book.apply_event(_json_object(message.data, self._stream_url))
        now_s = asyncio.get_running_loop().time()
        if self._book.needs_snapshot and now_s >= self._not_before_s:
            self._not_before_s = now_s + self._backoff_s
            is_in_sync = self._book.apply_snapshot(await self._snapshot())  # events wait in the connection meanwhile
        return is_in_sync

    async def _snapshot(self) -> dict[str, object]:
        timeout = aiohttp.ClientTimeout(total=SNAPSHOT_TIMEOUT_S)
        async with self._session.get(self._snapshot_url, timeout=timeout) as answer:
            text = await answer.text(errors="replace")
            if answer.status != HTTPStatus.OK:
                raise aiohttp.ClientResponseError(answer.request_info, (), status=answer.status, message=text)
        return _json_object(text, self._snapshot_url)


def _least_pause_s(error: Exception) -> float:
    """Return how long a failed request forbids another one; raise if another one would fail as well."""
    status = error.status if isinstance(error, aiohttp.ClientResponseError) else HTTPStatus.SERVICE_UNAVAILABLE
    passes = status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= _SERVER_ERRORS
    if isinstance(error, aiohttp.InvalidURL) or not passes:
        raise DownloadError(f"cannot follow the order book ({error}); check the symbol and the addresses") from error
    return RATE_LIMIT_PAUSE_S if status == HTTPStatus.TOO_MANY_REQUESTS else 0.0


def _json_object(text: str, where: str) -> dict[str, object]:
    try:
        data: object = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise DataError(f"{where} must send a JSON object and sent {text[:100]!r}; check the address")
    return data
