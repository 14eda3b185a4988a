"""python-binance trades on the local exchange over sockets, set up by nothing but the lines that the script prints."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, Self

import pytest

from rl_trader.klines import parse_date
from rl_trader.local_exchange.assembly import Setup
from rl_trader.local_exchange.shells.local import LocalExchange
from tests.client_setup import (
    AsyncClient,
    BinanceAPIException,
    BinanceSocketManager,
    Rebuilt,
    python_binance,
    truth,
    until,
)

SYMBOL: Final = "EMBEDDED"
BALANCE: Final = Decimal(10_000)
WARM_UP: Final = 60  # bars before the first request, so that there is a history
CONDITIONAL: Final[dict[str, dict[str, Any]]] = {
    "STOP_MARKET": {"stopPrice": 900, "quantity": 0.1, "reduceOnly": "true"},
    "TAKE_PROFIT_MARKET": {"stopPrice": 1100, "closePosition": "true"},
    "STOP": {"stopPrice": 900, "price": 890, "quantity": 0.1, "timeInForce": "GTC"},
    "TAKE_PROFIT": {"stopPrice": 1100, "price": 1090, "quantity": 0.1, "timeInForce": "GTC"},
    "TRAILING_STOP_MARKET": {"callbackRate": 1, "activationPrice": 1050, "quantity": 0.1},
}

# What is told of an order besides its beginning and its trades, by how it ended.
ENDS: Final = {
    "FILLED": (),
    "CANCELED": ("CANCELED",),
    "EXPIRED": ("EXPIRED",),
    "EXPIRED_IN_MATCH": ("EXPIRED",),  # by another order of the same account
}
ALGO_ENDS: Final = {
    "CANCELED": ("CANCELED",),
    "EXPIRED": ("EXPIRED",),
    "REJECTED": ("TRIGGERING", "REJECTED"),  # there was nothing to reduce
    "FINISHED": ("TRIGGERING", "TRIGGERED", "FINISHED"),
}


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    """Serve the embedded market, some bars after its beginning."""
    with LocalExchange(Setup()) as server:
        for _ in range(WARM_UP):
            server.to_next_open()
        yield server


@pytest.fixture
def client(exchange: LocalExchange) -> Iterator[Any]:
    """Return the printed client of that market."""
    with python_binance(exchange) as printed:
        yield printed


@asynccontextmanager
async def async_client(exchange: LocalExchange) -> AsyncIterator[Any]:
    """Make an asynchronous client, whose addresses have been printed for the other one."""
    client = await AsyncClient.create(exchange.key.key, exchange.key.secret)
    soon_over(client.ws_future)
    try:
        yield client
    finally:
        await client.ws_future.close()  # which the client forgets
        await client.close_connection()


def soon_over(socket: Any) -> Any:
    """Let a socket notice soon that it is to end: it looks only after this time without a message."""
    socket.TIMEOUT = 0.1
    return socket


# ---- REST


def test_market_data_is_read_over_rest(client: Any) -> None:
    assert client.futures_ping() == {}
    now = client.futures_time()["serverTime"]
    (info,) = client.futures_exchange_info()["symbols"]
    assert (info["symbol"], info["status"], info["contractType"]) == (SYMBOL, "TRADING", "PERPETUAL")
    klines = client.futures_klines(symbol=SYMBOL, interval="30m")
    assert len(klines) == WARM_UP + 1
    assert klines[-1][0] == now
    last = klines[-1][4]
    assert client.futures_historical_klines(SYMBOL, "30m", "2020-01-01") == klines
    assert client.futures_continuous_klines(pair=SYMBOL, contractType="PERPETUAL", interval="30m") == klines
    (mark,) = client.futures_mark_price_klines(symbol=SYMBOL, interval="30m", limit=1)
    assert Decimal(mark[4]) == Decimal(last)
    assert client.futures_symbol_ticker(symbol=SYMBOL)["price"] == last
    assert client.futures_ticker(symbol=SYMBOL)["lastPrice"] == last
    assert client.futures_aggregate_trades(symbol=SYMBOL)[-1]["p"] == last
    assert client.futures_recent_trades(symbol=SYMBOL)[-1]["price"] == last
    book, quote = client.futures_order_book(symbol=SYMBOL), client.futures_orderbook_ticker(symbol=SYMBOL)
    assert (quote["bidPrice"], quote["askPrice"]) == (book["bids"][0][0], book["asks"][0][0])
    assert Decimal(quote["bidPrice"]) < Decimal(last) < Decimal(quote["askPrice"])
    assert client.futures_mark_price(symbol=SYMBOL)["time"] == now
    assert client.futures_funding_rate(symbol=SYMBOL)[-1]["fundingTime"] % 28_800_000 == 0
    assert client.futures_open_interest(symbol=SYMBOL)["openInterest"] == "0.0000"


def test_an_account_is_set_up_and_looked_at_over_rest(client: Any, exchange: LocalExchange) -> None:
    assert client.futures_change_leverage(symbol=SYMBOL, leverage=5)["leverage"] == 5
    client.futures_change_margin_type(symbol=SYMBOL, marginType="ISOLATED")
    with pytest.raises(BinanceAPIException) as refused:
        client.futures_change_margin_type(symbol=SYMBOL, marginType="ISOLATED")
    assert refused.value.code == -4046
    client.futures_change_position_mode(dualSidePosition="true")
    assert client.futures_get_position_mode() == {"dualSidePosition": True}
    client.futures_change_position_mode(dualSidePosition="false")
    assert client.futures_account_balance()[0]["balance"] == "10000.00000000"
    assert client.futures_position_information(symbol=SYMBOL) == []

    client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.5)
    for _ in range(16):  # half hours: one settlement is among them
        exchange.to_next_open()
    client.futures_change_position_margin(symbol=SYMBOL, amount=5, type=1)
    (position,) = client.futures_position_information(symbol=SYMBOL)
    (trade,) = client.futures_account_trades(symbol=SYMBOL)
    assert (position["positionAmt"], position["entryPrice"]) == ("0.5000", trade["price"])
    income = client.futures_income_history()
    assert [row["incomeType"] for row in income] == ["TRANSFER", "COMMISSION", "FUNDING_FEE"]
    account = client.futures_account()
    assert Decimal(account["totalWalletBalance"]) == sum(Decimal(row["income"]) for row in income)
    assert Decimal(account["totalWalletBalance"]) == truth(exchange, SYMBOL).wallet
    (row,) = [row for row in account["positions"] if row["symbol"] == SYMBOL]
    assert (row["positionAmt"], row["leverage"], row["isolated"]) == ("0.5000", "5", True)


def test_orders_are_placed_changed_and_cancelled_over_rest(client: Any) -> None:
    bought = client.futures_create_order(
        symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.1, newOrderRespType="RESULT"
    )
    assert (bought["status"], bought["executedQty"]) == ("FILLED", "0.1000")
    terms = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "quantity": 0.1, "timeInForce": "GTC"}
    order = client.futures_create_order(**terms, price=900)
    changed = client.futures_modify_order(symbol=SYMBOL, side="BUY", orderId=order["orderId"], quantity=0.2, price=890)
    found = client.futures_get_order(symbol=SYMBOL, orderId=order["orderId"])
    assert (found["origQty"], found["price"]) == (changed["origQty"], changed["price"]) == ("0.2000", "890.00")
    assert [row["orderId"] for row in client.futures_get_open_orders(symbol=SYMBOL)] == [order["orderId"]]
    assert client.futures_cancel_order(symbol=SYMBOL, orderId=order["orderId"])["status"] == "CANCELED"
    with pytest.raises(BinanceAPIException) as refused:
        client.futures_cancel_order(symbol=SYMBOL, orderId=order["orderId"])
    assert refused.value.code == -2011
    with pytest.raises(BinanceAPIException) as refused:
        client.futures_create_order(**terms | {"timeInForce": "GTX"}, price=1100)
    assert refused.value.code == -5022
    client.futures_create_test_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.1)

    batch = [{name: str(value) for name, value in (terms | {"price": price}).items()} for price in (900, 890, 880)]
    numbers = [row["orderId"] for row in client.futures_place_batch_order(batchOrders=batch)]
    client.futures_cancel_orders(symbol=SYMBOL, orderidlist=numbers[:2])
    assert [row["orderId"] for row in client.futures_get_open_orders(symbol=SYMBOL)] == numbers[2:]
    client.futures_cancel_all_open_orders(symbol=SYMBOL)
    statuses = [row["status"] for row in client.futures_get_all_orders(symbol=SYMBOL)]
    assert statuses == ["FILLED", *["CANCELED"] * 4]


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_conditional_orders_are_placed_and_cancelled_over_rest(client: Any, kind: str) -> None:
    client.futures_create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.1)
    order = client.futures_create_order(symbol=SYMBOL, side="SELL", type=kind, **CONDITIONAL[kind])
    found = client.futures_get_algo_order(algoId=order["algoId"])
    assert (found["orderType"], found["algoStatus"], found["side"]) == (kind, "NEW", "SELL")
    assert [row["algoId"] for row in client.futures_get_open_algo_orders(symbol=SYMBOL)] == [order["algoId"]]
    client.futures_cancel_algo_order(algoId=order["algoId"])
    assert client.futures_get_open_algo_orders(symbol=SYMBOL) == []


# ---- Streams


def last_price(message: Any) -> str:
    """Return the price that a message of one of the streams below tells, or nothing if it tells none."""
    data = message.get("data", message)
    data = data[-1] if isinstance(data, list) else data
    if data["e"] in {"depthUpdate", "bookTicker"}:
        return str(data["a"][-1][0] if data["e"] == "depthUpdate" else data["a"])
    return str(data["k"]["c"] if "k" in data else data["c" if data["e"] == "24hrTicker" else "p"])


SOCKETS: Final[dict[str, Callable[[Any], Any]]] = {
    "kline": lambda manager: manager.kline_futures_socket(SYMBOL),
    "multiplex": lambda manager: manager.futures_multiplex_socket(["embedded@kline_30m", "embedded@aggTrade"]),
    "depth": lambda manager: manager.futures_depth_socket(SYMBOL),
    "mark": lambda manager: manager.symbol_mark_price_socket(SYMBOL),
    "trades": lambda manager: manager.aggtrade_futures_socket(SYMBOL),
    "ticker": lambda manager: manager.individual_symbol_ticker_futures_socket(SYMBOL),
    "tickers": lambda manager: manager.futures_ticker_socket(),
    "quotes": lambda manager: manager.symbol_ticker_futures_socket(SYMBOL),
}


@pytest.mark.parametrize("name", SOCKETS)
def test_a_market_socket_tells_what_rest_answers(exchange: LocalExchange, client: Any, name: str) -> None:
    async def listen() -> None:
        async with (
            async_client(exchange) as listener,
            soon_over(SOCKETS[name](BinanceSocketManager(listener))) as socket,
        ):
            await asyncio.to_thread(exchange.to_next_open)
            wanted = await asyncio.to_thread(client.futures_symbol_ticker, symbol=SYMBOL)
            if name in {"depth", "quotes"}:
                wanted = {"price": (await listener.futures_orderbook_ticker(symbol=SYMBOL))["askPrice"]}
            heard = ""
            while not heard or Decimal(heard) != Decimal(wanted["price"]):
                heard = last_price(await asyncio.wait_for(socket.recv(), timeout=60))

    asyncio.run(listen())


def test_orders_are_placed_changed_and_cancelled_over_the_websocket_api(exchange: LocalExchange, client: Any) -> None:
    async def trade() -> None:
        async with async_client(exchange) as trader:
            terms = {"symbol": SYMBOL, "side": "BUY"}
            order = await trader.ws_futures_create_order(
                **terms, type="LIMIT", quantity=0.1, price=900, timeInForce="GTC"
            )
            known = {"symbol": SYMBOL, "orderId": order["orderId"]}
            await trader.ws_futures_edit_order(**known, side="BUY", quantity=0.2, price=890)
            assert (await trader.ws_futures_get_order(**known))["price"] == "890.00"
            assert (await trader.ws_futures_cancel_order(**known))["status"] == "CANCELED"
            await trader.ws_futures_create_order(**terms, type="MARKET", quantity=0.1)
            (position,) = await trader.ws_futures_v2_account_position(symbol=SYMBOL)
            assert position["positionAmt"] == "0.1000"
            status = await trader.ws_futures_v2_account_status()
            assert status["totalWalletBalance"] == (await trader.futures_account())["totalWalletBalance"]

    asyncio.run(trade())


# ---- A day


@dataclass
class Account:
    """What a client's user socket has told; an asynchronous context manager."""

    client: Any
    events: list[Any] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Listen."""
        listening = asyncio.Event()
        self._task = asyncio.create_task(self._listen(listening))
        await listening.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _listen(self, listening: asyncio.Event) -> None:
        async with soon_over(BinanceSocketManager(self.client).futures_user_socket()) as socket:
            listening.set()
            while True:
                self.events.append(await socket.recv())

    def of(self, kind: str) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if event["e"] == kind]

    @property
    def fills(self) -> list[Any]:
        """The order updates that tell a trade."""
        return [event["o"] for event in self.of("ORDER_TRADE_UPDATE") if event["o"]["x"] == "TRADE"]


def test_a_strategy_trades_a_day_and_no_event_of_the_account_is_lost() -> None:
    setup = Setup(since_ms=parse_date("2020-01-05"), until_ms=parse_date("2020-01-06"))

    async def trade() -> None:
        async with async_client(server) as client, Account(client) as account:
            await play(server, client)
            await compare(server, client, account)
            assert len(account.fills) >= 20

    with LocalExchange(setup) as server, python_binance(server):
        asyncio.run(trade())


async def play(exchange: LocalExchange, client: Any) -> None:
    """Buy and sell by turns, with orders that rest and stops that wait, until the replay is over and all is closed."""
    number = 0
    while await asyncio.to_thread(exchange.to_next_open):
        number += 1
        last = float((await client.futures_symbol_ticker(symbol=SYMBOL))["price"])
        side, other, away = ("BUY", "SELL", 0.998) if number // 3 % 2 else ("SELL", "BUY", 1.002)
        if number % 3 == 0:
            await client.futures_cancel_all_open_orders(symbol=SYMBOL)
            await client.futures_cancel_all_algo_open_orders(symbol=SYMBOL)
            await client.futures_create_order(symbol=SYMBOL, side=side, type="MARKET", quantity=0.7)
            stop = {"stopPrice": round(last * away, 2), "quantity": 0.3, "reduceOnly": "true"}
            await client.futures_create_order(symbol=SYMBOL, side=other, type="STOP_MARKET", **stop)
        rests = {"price": round(last * away, 2), "quantity": 0.2, "timeInForce": "GTX"}
        await client.futures_create_order(symbol=SYMBOL, side=side, type="LIMIT", **rests)
    await client.futures_cancel_all_open_orders(symbol=SYMBOL)
    await client.futures_cancel_all_algo_open_orders(symbol=SYMBOL)
    for position in await client.futures_position_information(symbol=SYMBOL):
        amount = Decimal(position["positionAmt"])
        closing = {"side": "SELL" if amount > 0 else "BUY", "quantity": abs(amount), "reduceOnly": "true"}
        await client.futures_create_order(symbol=SYMBOL, type="MARKET", **closing)


async def compare(exchange: LocalExchange, client: Any, account: Account) -> None:
    """Compare what was told with what is answered, and both with the exchange's own books."""
    wanted = truth(exchange, SYMBOL)
    assert wanted.amount == 0
    assert await client.futures_position_information(symbol=SYMBOL) == []
    await until(
        lambda: len(account.fills) == len(wanted.fills) and last_wallet(account) == wanted.wallet,
        lambda: f"{wanted} after {account.events[-1:]}",
    )
    assert Decimal((await client.futures_account())["totalWalletBalance"]) == wanted.wallet
    trades = await client.futures_account_trades(symbol=SYMBOL)
    assert [fill["t"] for fill in account.fills] == [trade["id"] for trade in trades] == list(wanted.fills)
    payments = await client.futures_income_history(incomeType="FUNDING_FEE")
    compare_wallets(account, [Decimal(payment["income"]) for payment in payments])
    told = {event["o"]["i"]: event["o"] for event in account.of("ORDER_TRADE_UPDATE")}
    answered = await client.futures_get_all_orders(symbol=SYMBOL)
    assert {number: (order["X"], order["z"], order["ap"]) for number, order in told.items()} == {
        order["orderId"]: (order["status"], *_executed(order)) for order in answered
    }
    num_trades = Counter(trade["orderId"] for trade in trades)
    assert by_order(account.of("ORDER_TRADE_UPDATE"), "i", "x") == {
        order["orderId"]: ["NEW", *["TRADE"] * num_trades[order["orderId"]], *ENDS[order["status"]]]
        for order in answered
    }
    algo_orders = await client.futures_get_all_algo_orders(symbol=SYMBOL)
    assert by_order(account.of("ALGO_UPDATE"), "aid", "X") == {
        order["algoId"]: ["NEW", *ALGO_ENDS[order["algoStatus"]]] for order in algo_orders
    }
    assert {"FINISHED", "CANCELED"} <= {order["algoStatus"] for order in algo_orders}
    assert any(fill["m"] for fill in account.fills)


def by_order(events: list[Any], number: str, field: str) -> dict[int, list[str]]:
    """Return a field of the events of each order, in their order."""
    told: dict[int, list[str]] = {}
    for event in events:
        told.setdefault(event["o"][number], []).append(event["o"][field])
    return told


def _executed(order: Any) -> tuple[str, str]:
    """Return how much of an answered order was executed, and at which price, as events write it."""
    return ("0", "0") if not Decimal(order["executedQty"]) else (order["executedQty"], order["avgPrice"])


def last_wallet(account: Account) -> Decimal:
    """Return the wallet balance that was told last."""
    updates = [event["a"]["B"] for event in account.of("ACCOUNT_UPDATE") if event["a"]["B"]]
    return Decimal(updates[-1][0]["wb"]) if updates else BALANCE


def compare_wallets(account: Account, payments: list[Decimal]) -> None:
    """Compare every wallet that was told with the one before it and the event that it came with."""
    rebuilt, paid = Rebuilt(BALANCE), iter(payments)
    times = [event["E"] for event in account.events]
    assert all(before <= after for before, after in pairwise(times))
    fills = iter(account.fills)
    reasons = []
    for event in account.of("ACCOUNT_UPDATE"):
        reasons.append(event["a"]["m"])
        if event["a"]["m"] == "ORDER":
            fill = next(fills)
            amount = Decimal(fill["l"]) * (1 if fill["S"] == "BUY" else -1)
            rebuilt.trade(amount, Decimal(fill["L"]), Decimal(fill["n"]))
            (position,) = event["a"]["P"]
            assert Decimal(position["pa"]) == rebuilt.amount
        else:
            rebuilt.wallet += next(paid)
        assert Decimal(event["a"]["B"][0]["wb"]) == rebuilt.wallet
    assert next(fills, None) is next(paid, None) is None
    assert set(reasons) == {"ORDER", "FUNDING_FEE"}
