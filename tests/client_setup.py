"""Public clients of the exchange that are set up by the printed lines, and how their tests wait and keep accounts."""

import asyncio
import contextlib
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import pytest

from rl_trader.local_exchange.books.money import CONTEXT, booked
from rl_trader.local_exchange.books.positions import FLAT
from rl_trader.local_exchange.shells.local import LocalExchange
from scripts.local_exchange import LINES

with warnings.catch_warnings():  # of names that websockets is about to give up
    warnings.simplefilter("ignore", DeprecationWarning)
    from binance import AsyncClient as AsyncClient
    from binance import BinanceSocketManager as BinanceSocketManager
    from binance.base_client import BaseClient
    from binance.exceptions import BinanceAPIException as BinanceAPIException

PATIENCE_S = 120.0  # on a machine with much else to do
ZERO = Decimal(0)

_POLL_S = 0.002
_SECOND_CLIENT = "# python-binance"
_ADDRESSES = ("API_URL", "FUTURES_URL", "FUTURES_DATA_URL", "WS_FUTURES_URL")


def printed_lines(exchange: LocalExchange) -> tuple[str, str]:
    """Return what the script prints for ccxt and for python-binance, with an exchange's addresses and key."""
    key = exchange.key
    text = LINES.format(url=exchange.url, ws_url=exchange.ws_url, key=key.key, secret=key.secret)
    first, second, rest = text.partition(_SECOND_CLIENT)
    return first, second + rest


@asynccontextmanager
async def ccxt_client(exchange: LocalExchange) -> AsyncIterator[Any]:
    """Make the ``ccxt.pro`` client of the printed lines; its connections are closed at the end."""
    names: dict[str, Any] = {}
    exec(printed_lines(exchange)[0], names)
    try:
        yield names["exchange"]
    finally:
        await names["exchange"].close()


@contextmanager
def python_binance(exchange: LocalExchange) -> Iterator[Any]:
    """Make the ``binance.Client`` of the printed lines; the addresses are its class's and are put back at the end."""
    names: dict[str, Any] = {}
    loop = asyncio.new_event_loop()  # the client would make one and leave it open
    asyncio.set_event_loop(loop)
    with pytest.MonkeyPatch.context() as patch, contextlib.closing(loop):
        for address in _ADDRESSES:
            patch.setattr(BaseClient, address, getattr(BaseClient, address))
        patch.setattr(BinanceSocketManager, "FSTREAM_URL", BinanceSocketManager.FSTREAM_URL)
        exec(printed_lines(exchange)[1], names)
        try:
            yield names["client"]
        finally:
            names["client"].close_connection()


async def until(is_so: Callable[[], bool], wanted: Callable[[], object]) -> None:
    """Wait until something is so, for as long as a busy machine may need.

    Args:
        is_so: Asked again and again.
        wanted: What is said of it where it never comes about.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"{wanted()} did not come about within {PATIENCE_S:g} s"
        await asyncio.sleep(_POLL_S)


class Truth(NamedTuple):
    """An account at the exchange, without the API."""

    wallet: Decimal  # USDT
    amount: Decimal  # base asset, signed
    entry_price: Decimal
    fills: tuple[int, ...]  # numbers of its trades, the oldest first
    orders: dict[str, tuple[str, Decimal]]  # status and executed amount of each order, by its number
    algo_orders: dict[str, str]  # status of each conditional order, by its number


def truth(exchange: LocalExchange, symbol: str) -> Truth:
    """Return an exchange's first account, in a symbol that it has in one-way mode."""

    def look() -> Truth:
        trader = exchange.assembly.venue.trader(exchange.key.account)
        position = trader.books.positions.get(symbol, FLAT)
        return Truth(
            trader.books.wallet_balance,
            position.amount,
            position.entry_price,
            tuple(fill.trade_id for fill in trader.fills),
            {str(number): (order.status.value, order.executed) for number, order in trader.orders.items()},
            {str(number): order.status.value for number, order in trader.algo_orders.items()},
        )

    return exchange.call(look)


@dataclass
class Rebuilt:
    """An account as its owner rebuilds it, from nothing but trades and payments."""

    wallet: Decimal  # USDT
    amount: Decimal = ZERO  # base asset, signed
    entry_price: Decimal = ZERO

    def trade(self, amount: Decimal, price: Decimal, commission: Decimal) -> Decimal:
        """Book a trade of a signed amount, and return the profit that it realized."""
        with localcontext(CONTEXT):
            closed = -amount if self.amount * amount < 0 else ZERO
            closed = max(-abs(self.amount), min(abs(self.amount), closed)) if closed else ZERO
            realized = booked(closed * (price - self.entry_price))
            opened, kept = amount + closed, self.amount - closed
            if opened:
                self.entry_price = (abs(kept) * self.entry_price + abs(opened) * price) / (abs(kept) + abs(opened))
            self.amount = kept + opened
            self.entry_price = self.entry_price if self.amount else ZERO
            self.wallet += realized - commission
        return realized
