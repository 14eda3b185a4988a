"""A small market with a hub, and the exchange's documented events, for the tests of the streams."""

import json
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from rl_trader.config import Assumptions
from rl_trader.embedded import INTERVAL, embedded_market, embedded_terms
from rl_trader.local_exchange.books.inputs import Conduct
from rl_trader.local_exchange.engine.exchange import Exchange
from rl_trader.local_exchange.engine.orders import Order, OrderRequest
from rl_trader.local_exchange.engine.placing import place
from rl_trader.local_exchange.engine.trader import Trader
from rl_trader.local_exchange.engine.words import OrderType, Side
from rl_trader.local_exchange.market.market import Market
from rl_trader.local_exchange.market.recording import record
from rl_trader.local_exchange.market.replay import Replay
from rl_trader.local_exchange.streams.hub import Hub, Subscription
from rl_trader.local_exchange.streams.message import Message
from rl_trader.market import SymbolTables, build_market

NUM_BARS = 60
BAR_MS = 1_800_000  # the embedded market's bars are of 30 minutes
CONDUCT = Conduct(
    half_spread=Decimal("0.0001"), sqrt_impact=Decimal(0), linear_impact=Decimal(0), slippage_scale=Decimal(1)
)


class Stage:
    """One embedded market for each symbol, none of it played yet, and a hub that has no subscriber.

    Args:
        symbols: Names that the markets are given; each has a seed of its own.
        missing: Numbers of the bars that are not recorded.
        replay: Plays them.
    """

    def __init__(self, *symbols: str, missing: Iterable[int] = (), replay: type[Replay] = Replay) -> None:
        tables = [_tables(symbol, seed, tuple(missing)) for seed, symbol in enumerate(symbols or ("BTCUSDT",))]
        self.recordings = record(build_market(tables, INTERVAL, Assumptions(holes="split")), tables)
        self.exchange = Exchange([table.terms for table in tables], CONDUCT)
        self.replay = replay(self.exchange, self.recordings)
        self.market = Market(self.exchange, self.recordings, self.replay)
        self.hub = Hub(self.exchange, self.market, "stage")
        self.messages: list[Message] = []

    @property
    def start_ms(self) -> int:
        """When the first bar opens."""
        return int(self.recordings[0].open_time[0])

    def subscribe(self, *names: str) -> Subscription:
        """Keep what comes under these names in ``messages``."""
        return self.hub.subscribe(names, self.messages.append)

    def play(self, num_bars: int) -> None:
        """Play up to the open of the bar after so many."""
        for _ in range(num_bars):
            self.replay.to_next_open()

    def events(self, stream: str) -> list[Any]:
        """Return the payloads that have come under a name."""
        return [json.loads(message.text) for message in self.messages if message.stream == stream]

    def open_account(self, name: str = "main", balance: int = 1_000_000) -> tuple[Trader, str]:
        """Return a new account with so many USDT, and its listen key."""
        return self.exchange.open_account(name, Decimal(balance)), self.hub.listen_keys.start(name, 0)

    def trade(self, trader: Trader, side: Side, quantity: str, price: Decimal | None = None) -> Order:
        """Place a market order, or a limit order at a price, and publish."""
        kind = OrderType.MARKET if price is None else OrderType.LIMIT
        request = OrderRequest(
            symbol="BTCUSDT", side=side, type=kind, quantity=Decimal(quantity), price=price, client_order_id=None
        )
        order = place(self.exchange.state, trader, request)
        self.hub.flush()
        return order


@cache
def _tables(symbol: str, seed: int, missing: tuple[int, ...]) -> SymbolTables:
    tables = embedded_market(NUM_BARS, seed)
    return SymbolTables(
        terms=replace(embedded_terms(), symbol=symbol),
        klines=tables.klines.drop(index=list(missing)).reset_index(drop=True),
        mark_prices={INTERVAL: tables.mark_price},
        funding=tables.funding,
    )


@cache
def documented(folder: Path, section: str) -> dict[str, Any]:
    """Return a section of the exchange's documented samples."""
    samples = json.loads((folder / "reference" / "documented_samples.json").read_text())
    return {name: sample.get("payload", sample) for name, sample in samples[section].items()}


def shape(value: object) -> object:
    """Return the fields and types of a payload; of a list its first element's, of a text whether it is a number."""
    if isinstance(value, dict):
        return {name: shape(field) for name, field in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        return "number as text" if value.replace(".", "", 1).removeprefix("-").isdecimal() else "text"
    return type(value).__name__
