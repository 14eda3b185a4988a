"""ccxt trades on the local exchange over sockets, set up by nothing but the lines that the script prints."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import ccxt
import pytest

from rl_trader.klines import parse_date
from rl_trader.local_exchange.assembly import Setup
from rl_trader.local_exchange.shells.local import LocalExchange
from rl_trader.local_exchange.wire import price_text
from tests.client_setup import Rebuilt, ccxt_client, truth, until

EMBEDDED: Final = "EMBEDDED/USDT:USDT"
BALANCE: Final = Decimal(10_000)
WARM_UP: Final = 60  # bars before the first request, so that there is a history

# An order's trades are only known to whom they were streamed; its time there is that of the latest event.
NOT_IN_BOTH: Final = {"info", "fee", "fees", "trades", "timestamp", "datetime"}
# Of a conditional order, in an answer and in an event.
ALGO_FIELDS: Final = {
    "algoId": "aid",
    "clientAlgoId": "caid",
    "orderType": "o",
    "side": "S",
    "quantity": "q",
    "algoStatus": "X",
    "triggerPrice": "tp",
    "actualOrderId": "ai",
    "actualPrice": "ap",
    "reduceOnly": "R",
}


def ask(exchange: LocalExchange, conversation: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    """Hold a conversation with a client that has loaded the markets, and does not wait between its requests."""

    async def hold() -> None:
        async with ccxt_client(exchange) as client:
            client.enableRateLimit = False  # the exchange has limits of its own
            await client.load_markets()
            await conversation(client)

    asyncio.run(hold())


@contextlib.contextmanager
def embedded() -> Iterator[LocalExchange]:
    """Serve the embedded market, some bars after its beginning."""
    with LocalExchange(Setup()) as exchange:
        for _ in range(WARM_UP):
            exchange.to_next_open()
        yield exchange


# ---- REST


def test_market_data_is_read_over_rest() -> None:
    async def read(client: Any) -> None:
        assert list(client.markets) == [EMBEDDED]
        now = await client.fetch_time()
        candles = await client.fetch_ohlcv(EMBEDDED, "30m", limit=WARM_UP + 1)
        last = candles[-1][4]
        assert len(candles) == WARM_UP + 1
        assert candles[-1][0] == now
        for price in ("mark", "index"):
            assert (await client.fetch_ohlcv(EMBEDDED, "30m", limit=1, params={"price": price}))[0][4] == last
        assert (await client.fetch_ohlcv(EMBEDDED, "30m", limit=1, params={"price": "premiumIndex"}))[0][4] == 0.0
        hours = await client.fetch_ohlcv(EMBEDDED, "1h", limit=2)
        assert hours[0][2] == max(candle[2] for candle in candles if hours[0][0] <= candle[0] < hours[1][0])

        book = await client.fetch_order_book(EMBEDDED)
        (bid, _), (ask, _) = book["bids"][0], book["asks"][0]
        assert bid < last < ask
        quotes = await client.fetch_bids_asks([EMBEDDED])
        assert (quotes[EMBEDDED]["bid"], quotes[EMBEDDED]["ask"]) == (bid, ask)
        ticker, tickers = await client.fetch_ticker(EMBEDDED), await client.fetch_tickers()
        assert ticker["last"] == tickers[EMBEDDED]["last"] == last
        assert ticker["high"] == max(candle[2] for candle in candles[-49:])
        assert (await client.fetch_last_prices())[EMBEDDED]["price"] == last
        assert (await client.fetch_trades(EMBEDDED))[-1]["price"] == last

        rate, history = await client.fetch_funding_rate(EMBEDDED), await client.fetch_funding_rate_history(EMBEDDED)
        assert rate["markPrice"] == last
        assert [row["timestamp"] % 28_800_000 for row in history] == [0] * len(history)
        assert history[-1]["timestamp"] < now < rate["fundingTimestamp"] == history[-1]["timestamp"] + 28_800_000
        assert (await client.fetch_funding_intervals())[EMBEDDED]["interval"] == "8h"
        assert (await client.fetch_open_interest(EMBEDDED))["openInterestAmount"] == 0.0
        assert (await client.fetch_status())["status"] == "ok"

    with embedded() as exchange:
        ask(exchange, read)


def test_an_account_is_set_up_over_rest() -> None:
    async def set_up(client: Any) -> None:
        assert (await client.fetch_balance())["USDT"] == {"free": 10_000.0, "used": 0.0, "total": 10_000.0}
        await client.set_leverage(5, EMBEDDED)
        assert (await client.fetch_leverage(EMBEDDED))["longLeverage"] == 5
        await client.set_margin_mode("isolated", EMBEDDED)
        assert (await client.fetch_margin_mode(EMBEDDED))["marginMode"] == "isolated"
        await client.set_position_mode(True)
        assert (await client.fetch_position_mode())["hedged"]
        await client.set_position_mode(False)
        tiers = (await client.fetch_leverage_tiers([EMBEDDED]))[EMBEDDED]
        assert [tier["maxLeverage"] for tier in tiers] == sorted((tier["maxLeverage"] for tier in tiers), reverse=True)
        assert (await client.fetch_trading_fee(EMBEDDED))["taker"] == 0.002  # of the embedded terms
        assert await client.fetch_positions() == []

        await client.create_order(EMBEDDED, "market", "buy", 0.5)
        (before,) = await client.fetch_positions([EMBEDDED])
        await client.add_margin(EMBEDDED, 10)
        await client.reduce_margin(EMBEDDED, 4)
        (after,) = await client.fetch_positions([EMBEDDED])
        assert Decimal(after["info"]["isolatedWallet"]) - Decimal(before["info"]["isolatedWallet"]) == 6
        assert after["liquidationPrice"] < before["liquidationPrice"] < after["entryPrice"]
        assert (after["marginMode"], after["side"], after["contracts"]) == ("isolated", "long", 0.5)
        moves = await client.fetch_margin_adjustment_history(EMBEDDED)
        assert [(move["type"], move["amount"]) for move in moves] == [("add", 10.0), ("reduce", 4.0)]

    with embedded() as exchange:
        ask(exchange, set_up)


def test_orders_of_every_kind_are_placed_changed_and_cancelled_over_rest() -> None:
    async def trade(client: Any) -> None:
        last = (await client.fetch_ticker(EMBEDDED))["last"]

        def at(fraction: float) -> float:
            return float(client.price_to_precision(EMBEDDED, last * fraction))

        order = await client.create_order(EMBEDDED, "limit", "buy", 0.1, at(0.99))
        await client.edit_order(order["id"], EMBEDDED, "limit", "buy", 0.2, at(0.98))
        changed = await client.fetch_open_order(order["id"], EMBEDDED)
        assert (changed["amount"], changed["price"], changed["status"]) == (0.2, at(0.98), "open")
        assert (await client.cancel_order(order["id"], EMBEDDED))["status"] == "canceled"

        bought = await client.create_order(EMBEDDED, "market", "buy", 0.3, params={"clientOrderId": "mine"})
        assert (bought["status"], bought["filled"]) == ("closed", 0.3)
        assert (await client.fetch_order("", EMBEDDED, {"clientOrderId": "mine"}))["id"] == bought["id"]
        with pytest.raises(ccxt.InvalidOrder, match="-5022"):
            await client.create_order(EMBEDDED, "limit", "sell", 0.1, at(0.99), {"postOnly": True})
        with pytest.raises(ccxt.ExchangeError, match="-2022"):
            await client.create_order(EMBEDDED, "market", "buy", 0.1, params={"reduceOnly": True})
        late = await client.create_order(EMBEDDED, "limit", "buy", 0.1, at(0.98), {"timeInForce": "IOC"})
        assert (late["status"], late["filled"]) == ("expired", 0.0)

        conditional = [
            ("market", None, {"stopLossPrice": at(0.95), "reduceOnly": True}),
            ("market", None, {"takeProfitPrice": at(1.05), "reduceOnly": True}),
            ("limit", at(0.94), {"stopLossPrice": at(0.95)}),
            ("limit", at(1.06), {"takeProfitPrice": at(1.05)}),
            ("STOP_MARKET", None, {"stopPrice": at(0.9), "closePosition": True}),
            ("market", None, {"trailingPercent": 1, "reduceOnly": True}),
        ]
        placed = [
            await client.create_order(EMBEDDED, kind, "sell", 0.3, price, more) for kind, price, more in conditional
        ]
        waiting = await client.fetch_open_orders(EMBEDDED, params={"trigger": True})
        assert [order["id"] for order in waiting] == [order["id"] for order in placed]
        first = await client.fetch_order(placed[0]["id"], EMBEDDED, {"trigger": True})
        assert (first["triggerPrice"], first["info"]["orderType"]) == (at(0.95), "STOP_MARKET")
        await client.cancel_order(placed[0]["id"], EMBEDDED, {"trigger": True})
        await client.cancel_all_orders(EMBEDDED, {"trigger": True})
        assert await client.fetch_open_orders(EMBEDDED, params={"trigger": True}) == []

        batch = [
            {"symbol": EMBEDDED, "type": "limit", "side": "buy", "amount": 0.1, "price": at(fraction)}
            for fraction in (0.97, 0.96, 0.95)
        ]
        ids = [order["id"] for order in await client.create_orders(batch)]
        await client.cancel_orders(ids[:2], EMBEDDED)
        assert [order["id"] for order in await client.fetch_open_orders(EMBEDDED)] == ids[2:]
        await client.cancel_all_orders(EMBEDDED)
        assert {order["status"] for order in await client.fetch_orders(EMBEDDED)} == {"closed", "canceled", "expired"}
        assert [order["id"] for order in await client.fetch_closed_orders(EMBEDDED)] == [bought["id"]]

    with embedded() as exchange:
        ask(exchange, trade)


def test_trades_and_payments_are_looked_up_over_rest() -> None:
    async def look(client: Any) -> None:
        await client.create_order(EMBEDDED, "market", "buy", 0.5)
        for _ in range(16):  # half hours: one settlement is among them
            await asyncio.to_thread(exchange.to_next_open)
        (trade,) = await client.fetch_my_trades(EMBEDDED)
        (payment,) = await client.fetch_funding_history(EMBEDDED)
        ledger = await client.fetch_ledger("USDT")
        kinds = [entry["info"]["incomeType"] for entry in ledger]
        assert kinds == ["TRANSFER", "COMMISSION", "FUNDING_FEE"]
        wallet = sum(Decimal(entry["info"]["income"]) for entry in ledger)
        assert wallet == BALANCE - Decimal(trade["info"]["commission"]) + Decimal(payment["info"]["income"])
        assert Decimal((await client.fetch_balance())["info"]["totalWalletBalance"]) == wallet

    with embedded() as exchange:
        ask(exchange, look)


def test_a_client_that_sets_its_clock_by_the_exchange_goes_on_signing_while_the_market_leaps() -> None:
    async def trade(client: Any) -> None:
        assert abs(await client.load_time_difference()) > 1e10  # the recording is of another year
        await asyncio.sleep(1.2)  # longer than a client's clock may be ahead of one that stands
        assert (await client.fetch_balance())["USDT"]["total"] == 10_000.0
        await asyncio.to_thread(exchange.to_next_open)
        assert (await client.create_order(EMBEDDED, "market", "buy", 0.1))["status"] == "closed"
        client.options["timeDifference"] += 60_000  # no clock of the exchange's any more
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await client.fetch_balance()

    with embedded() as exchange:
        ask(exchange, trade)


@pytest.mark.parametrize("default_type", ["future", "swap"])
def test_the_class_of_all_binance_markets_trades_too(default_type: str) -> None:
    async def trade() -> None:
        async with ccxt_client(exchange) as printed:
            options = {"defaultType": default_type}
            config = {"apiKey": printed.apiKey, "secret": printed.secret, "options": options, "urls": printed.urls}
            client = ccxt.pro.binance(config)
            try:
                order = await client.create_order(EMBEDDED, "limit", "buy", 0.1, 900.0)
                assert list(client.markets) == [EMBEDDED]
                assert (await client.cancel_order(order["id"], EMBEDDED))["status"] == "canceled"
                assert EMBEDDED in await client.fetch_leverage_tiers()
            finally:
                await client.close()

    with embedded() as exchange:
        asyncio.run(trade())


# ---- Streams


@dataclass
class Streams:
    """All that a client's streams have told; an asynchronous context manager.

    Args:
        client: Of ``ccxt.pro``.
        symbol: That is watched.
        interval: Of the candles.
    """

    client: Any
    symbol: str
    interval: str
    orders: dict[str, Any] = field(default_factory=dict)  # the latest of each, by number
    trades: dict[str, Any] = field(default_factory=dict)
    candles: dict[int, list[float]] = field(default_factory=dict)  # the latest of each, by open time
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        """Start watching, and wait until the account is watched."""
        watchers = (self._orders, self._trades, self._balances, self._positions, self._candles)
        self._tasks = [asyncio.create_task(watch()) for watch in watchers]
        await until(self._is_watched, lambda: "a connection for the account")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended

    @property
    def positions(self) -> dict[str, Any]:
        """The latest, by symbol: the client's cache, since of two updates at once watching returns the first alone."""
        return {row["symbol"]: row for cache in (self.client.positions or {}).values() for row in cache}

    @property
    def wallets(self) -> list[Decimal]:
        """What the client's cache has of the wallet, USDT; nothing before the first update."""
        updates = [balance.get("info", {}) for balance in self.client.balance.values()]
        return [Decimal(row["wb"]) for update in updates for row in update.get("a", {}).get("B", [])]

    def _is_watched(self) -> bool:
        clients = self.client.clients.items()
        return any("listenKey=" in url and connection.connected.done() for url, connection in clients)

    async def _orders(self) -> None:
        while True:
            self.orders |= {order["id"]: order for order in await self.client.watch_orders(self.symbol)}

    async def _trades(self) -> None:
        while True:
            self.trades |= {trade["id"]: trade for trade in await self.client.watch_my_trades(self.symbol)}

    async def _balances(self) -> None:
        while True:
            await self.client.watch_balance()

    async def _positions(self) -> None:
        while True:
            await self.client.watch_positions([self.symbol])

    async def _candles(self) -> None:
        while True:
            rows = await self.client.watch_ohlcv(self.symbol, self.interval)
            self.candles |= {row[0]: list(row) for row in rows}


@pytest.mark.parametrize(
    ("method", "arguments", "price_of"),
    [
        ("watch_ticker", (EMBEDDED,), lambda ticker: ticker["last"]),
        ("watch_tickers", ([EMBEDDED],), lambda tickers: tickers[EMBEDDED]["last"]),
        ("watch_trades", (EMBEDDED,), lambda trades: trades[-1]["price"]),
        ("watch_ohlcv", (EMBEDDED, "30m"), lambda candles: candles[-1][4]),
        ("watch_mark_price", (EMBEDDED,), lambda ticker: ticker["markPrice"]),
        ("watch_bids_asks", ([EMBEDDED],), lambda quotes: quotes[EMBEDDED]["ask"]),
        ("watch_order_book", (EMBEDDED,), lambda book: book["asks"][0][0]),
    ],
)
def test_a_market_stream_tells_what_rest_answers(
    method: str, arguments: tuple[Any, ...], price_of: Callable[[Any], float]
) -> None:
    async def watch(client: Any) -> None:
        heard: list[float] = []

        async def listen() -> None:
            while True:
                heard.append(price_of(await getattr(client, method)(*arguments)))

        task = asyncio.create_task(listen())
        while not heard:  # the subscription may come after a bar or two
            await asyncio.to_thread(exchange.to_next_open)
            await asyncio.sleep(0.02)
        await asyncio.to_thread(exchange.to_next_open)
        ticker = await client.fetch_ticker(EMBEDDED)
        ask = (await client.fetch_order_book(EMBEDDED))["asks"][0][0]
        wanted = ask if method in {"watch_bids_asks", "watch_order_book"} else ticker["last"]
        await until(lambda: task.done() or heard[-1] == wanted, lambda: f"{wanted} after {heard[-1]}")
        assert not task.done()
        task.cancel()

    with embedded() as exchange:
        ask(exchange, watch)


def test_orders_are_placed_changed_and_cancelled_over_the_websocket_api() -> None:
    async def trade(client: Any) -> None:
        async with Streams(client, EMBEDDED, "30m") as streams:
            order = await client.create_order_ws(EMBEDDED, "limit", "buy", 0.1, 900.0)
            await client.edit_order_ws(order["id"], EMBEDDED, "limit", "buy", 0.2, 890.0)
            found = await client.fetch_order_ws(order["id"], EMBEDDED)
            assert (found["amount"], found["price"]) == (0.2, 890.0)
            assert (await client.cancel_order_ws(order["id"], EMBEDDED))["status"] == "canceled"
            stop = {"stopLossPrice": 950.0, "reduceOnly": True}
            waits = await client.create_order_ws(EMBEDDED, "market", "sell", 0.1, None, stop)
            bought = await client.create_order_ws(EMBEDDED, "market", "buy", 0.1)
            statuses = {order["id"]: "canceled", waits["id"]: "open", bought["id"]: "closed"}
            await until(lambda: seen(streams) == statuses, lambda: f"{statuses} after {seen(streams)}")
            (position,) = await client.fetch_positions_ws([EMBEDDED])
            assert position["contracts"] == 0.1
            balance = (await client.fetch_balance_ws())["info"]
            assert Decimal(balance["totalWalletBalance"]) == streams.wallets[-1]
            with pytest.raises(ccxt.ExchangeError, match="-2027"):
                await client.create_order_ws(EMBEDDED, "market", "buy", 1e6)

    with embedded() as exchange:
        ask(exchange, trade)


def seen(streams: Streams) -> dict[str, str]:
    """Return the status of every order that was streamed."""
    return {number: order["status"] for number, order in streams.orders.items()}


# ---- A day


def test_a_strategy_trades_an_embedded_day_and_both_sides_agree_to_the_last_digit() -> None:
    setup = Setup(since_ms=parse_date("2020-01-03"), until_ms=parse_date("2020-01-04"))
    num_trades, num_stops = trade_a_day(setup, EMBEDDED, "30m", bars_between=1)
    assert num_trades >= 20
    assert num_stops >= 1


def test_a_strategy_trades_a_recorded_day_of_minutes_and_both_sides_agree_to_the_last_digit(
    recorded_data: Path,
) -> None:
    since_ms, until_ms = parse_date("2025-06-05"), parse_date("2025-06-06")
    setup = Setup(data=recorded_data, interval="1m", since_ms=since_ms, until_ms=until_ms)
    num_trades, num_stops = trade_a_day(setup, "BTC/USDT:USDT", "1m", bars_between=40)
    assert num_trades >= 20
    assert num_stops >= 1


def trade_a_day(setup: Setup, symbol: str, interval: str, bars_between: int) -> tuple[int, int]:
    """Let a strategy trade what a setup replays; return how many trades it made and how many of its stops triggered.

    Args:
        setup: What is replayed.
        symbol: Of the client.
        interval: Of the candles.
        bars_between: Decisions.
    """
    counts: list[tuple[int, int]] = []

    async def trade(client: Any) -> None:
        async with Streams(client, symbol, interval) as streams:
            day = Day(exchange, client, streams, Strategy(client, symbol, streams))
            await day.play(bars_between)
            counts.append((len(streams.trades), day.strategy.num_triggered()))

    with LocalExchange(setup) as exchange:
        ask(exchange, trade)
    return counts[0]


@dataclass
class Strategy:
    """Follows the last candles: a market order, a resting order beside it, and a stop behind both."""

    client: Any
    symbol: str
    streams: Streams
    resting: str = ""  # numbers of its orders
    stop: str = ""

    async def decide(self) -> None:
        """Turn over the position if the candles say so, and let its other orders follow."""
        closes = [self.streams.candles[time][4] for time in sorted(self.streams.candles)][-8:]
        last, mean = closes[-1], sum(closes) / len(closes)
        size = float(self.client.amount_to_precision(self.symbol, 900.0 / last))
        target = size if last > mean else -size
        amount = target - self.held()
        if abs(amount) > size / 2:
            await self.cancel_stop()
            side = "buy" if amount > 0 else "sell"
            wanted = self.client.amount_to_precision(self.symbol, abs(amount))
            await self.client.create_order(self.symbol, "market", side, float(wanted))
        await self.rest(last, target)
        if not self.is_open(self.stop):
            await self.protect(last, target)

    def held(self) -> float:
        """Return the position as the streams have told it."""
        position = self.streams.positions.get(self.symbol)
        return 0.0 if position is None else float(position["info"].get("pa", position["info"].get("positionAmt")))

    def is_open(self, number: str) -> bool:
        """Return whether an order is open, as the streams have told it."""
        return bool(number) and self.streams.orders[number]["status"] == "open"

    async def rest(self, last: float, target: float) -> None:
        """Let an order rest a little better than the last price, on the side of the target."""
        side, price = ("buy", last * 0.998) if target > 0 else ("sell", last * 1.002)
        terms = (self.symbol, "limit", side, abs(target), float(self.client.price_to_precision(self.symbol, price)))
        if self.is_open(self.resting) and self.streams.orders[self.resting]["side"] == side:
            await self.client.edit_order(self.resting, *terms)
            return
        if self.is_open(self.resting):
            await self.client.cancel_order(self.resting, self.symbol)
        self.resting = (await self.client.create_order(*terms, {"postOnly": True}))["id"]
        await until(lambda: self.resting in self.streams.orders, lambda: f"order {self.resting}")

    async def protect(self, last: float, target: float) -> None:
        """Let a stop wait behind the target."""
        side, price = ("sell", last * 0.996) if target > 0 else ("buy", last * 1.004)
        stop = {"stopLossPrice": float(self.client.price_to_precision(self.symbol, price)), "reduceOnly": True}
        self.stop = (await self.client.create_order(self.symbol, "market", side, abs(target), None, stop))["id"]
        await until(lambda: self.stop in self.streams.orders, lambda: f"order {self.stop}")

    async def cancel_stop(self) -> None:
        """Cancel the stop, if it waits."""
        if self.is_open(self.stop):
            await self.client.cancel_order(self.stop, self.symbol, {"trigger": True})

    async def close(self) -> None:
        """Cancel all orders and close the position."""
        await self.client.cancel_all_orders(self.symbol)
        await self.client.cancel_all_orders(self.symbol, {"trigger": True})
        if held := self.held():
            side, amount = "sell" if held > 0 else "buy", abs(held)
            await self.client.create_order(self.symbol, "market", side, amount, None, {"reduceOnly": True})

    def num_triggered(self) -> int:
        """Return how many of its stops have become orders."""
        return sum("aid" in order["info"] and bool(order["info"]["ai"]) for order in self.streams.orders.values())


@dataclass
class Day:
    """A day that is played bar by bar, and the comparison of both sides."""

    exchange: LocalExchange
    client: Any
    streams: Streams
    strategy: Strategy

    @property
    def market(self) -> Any:
        """The client's terms of the symbol."""
        return self.client.market(self.streams.symbol)

    async def play(self, bars_between: int) -> None:
        """Trade until the replay is over; compare after every fifth decision, and at the end, flat."""
        decisions = 0
        while await self.next_bars(bars_between):
            await self.hear_all()
            await self.strategy.decide()
            decisions += 1
            if decisions % 5 == 0:
                await self.compare()
        await self.hear_all()
        await self.strategy.close()
        await self.compare()
        assert truth(self.exchange, self.market["id"]).amount == 0
        assert (await self.client.fetch_positions([self.streams.symbol])) == []
        await self.compare_candles()

    async def next_bars(self, number: int) -> bool:
        """Let so many bars open, and wait until the client knows; False where there are fewer."""
        venue = self.exchange.assembly.venue

        def play() -> bool:
            return all(venue.to_next_open() for _ in range(number))

        if not await asyncio.to_thread(self.exchange.call, play):
            return False
        now_ms = self.exchange.call(venue.market_ms)
        await until(lambda: now_ms in self.streams.candles, lambda: f"the candle of {now_ms}")
        return True

    async def hear_all(self) -> None:
        """Wait until the streams have told every trade, and where every order, the wallet and the position stand."""
        wanted = truth(self.exchange, self.market["id"])
        told = self.streams
        await until(
            lambda: (
                sorted(told.trades, key=int) == list(map(str, wanted.fills))
                and self.told_orders() == (wanted.orders, wanted.algo_orders)
                and (not told.wallets or told.wallets[-1] == wanted.wallet)
                and Decimal(str(self.strategy.held())) == wanted.amount
            ),
            lambda: f"{wanted} after {told.trades.keys()}, {self.told_orders()}, {told.wallets[-1:]}",
        )

    def told_orders(self) -> tuple[dict[str, tuple[str, Decimal]], dict[str, str]]:
        """Return the orders as the streams have told them."""
        fields = {number: order["info"] for number, order in self.streams.orders.items()}
        return (
            {number: (row["X"], Decimal(row["z"])) for number, row in fields.items() if "aid" not in row},
            {number: row["X"] for number, row in fields.items() if "aid" in row},
        )

    async def compare(self) -> None:
        """Compare wallet, position and orders: rebuilt from the streams, as answered, and at the exchange."""
        await self.hear_all()
        wanted = truth(self.exchange, self.market["id"])
        rebuilt = await self.rebuild()
        balance = (await self.client.fetch_balance())["info"]
        assert rebuilt.wallet == wanted.wallet == Decimal(balance["totalWalletBalance"])
        assert rebuilt.amount == wanted.amount
        for position in await self.client.fetch_positions([self.streams.symbol]):
            contract = self.exchange.assembly.venue.exchange.quotes[self.market["id"]].contract
            assert Decimal(position["info"]["positionAmt"]) == rebuilt.amount
            assert position["info"]["entryPrice"] == price_text(rebuilt.entry_price, contract)
        await self.compare_orders()

    async def rebuild(self) -> Rebuilt:
        """Return the account as its streamed trades and its history of payments make it."""
        rebuilt = Rebuilt(BALANCE)
        for number in sorted(self.streams.trades, key=int):
            told = self.streams.trades[number]["info"]
            amount = Decimal(told["l"]) * (1 if told["S"] == "BUY" else -1)
            assert rebuilt.trade(amount, Decimal(told["L"]), Decimal(told["n"])) == Decimal(told["rp"])
        payments = await self.client.fetch_funding_history(self.streams.symbol)
        rebuilt.wallet += sum(Decimal(payment["info"]["income"]) for payment in payments)
        return rebuilt

    async def compare_orders(self) -> None:
        """Compare every order that was streamed with what the exchange answers."""
        orders = await self.client.fetch_orders(self.streams.symbol)
        algo_orders = await self.client.fetch_orders(self.streams.symbol, params={"trigger": True})
        assert len(orders) + len(algo_orders) == len(self.streams.orders)
        for order in orders:
            told, fields = self.streams.orders[order["id"]], order.keys() - NOT_IN_BOTH
            assert {name: order[name] for name in fields} == {name: told[name] for name in fields}
        for order in algo_orders:
            answer, event = order["info"], self.streams.orders[order["id"]]["info"]
            assert {name: answer[name] for name in ALGO_FIELDS} == {
                name: event[ALGO_FIELDS[name]] for name in ALGO_FIELDS
            }

    async def compare_candles(self) -> None:
        """Compare the candles that were streamed with what the exchange answers."""
        told = [self.streams.candles[time] for time in sorted(self.streams.candles)]
        answered: list[list[float]] = []
        while len(answered) < len(told):  # a page has a thousand
            since = told[len(answered)][0]
            answered += await self.client.fetch_ohlcv(self.streams.symbol, self.streams.interval, since, limit=1000)
        assert answered == told
